"""What a replay is printed as: tables for people, and a bar while it runs."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from interceptsim.attempts import LOCAL_OFFSET_US
from interceptsim.backtest.deciding import Progress as Told
from interceptsim.backtest.replay import Replay
from interceptsim.terminal import plain_console, plain_table

__all__ = ["print_replay", "record_bar"]

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  local times are shown
_MOST_PAIRS = 12
_MOST_REJECTS = 5


@contextlib.contextmanager
def record_bar(title: str, *, shown: bool) -> Iterator[Told | None]:
    """Show how far a replay has come, on standard error, where that is a terminal."""
    if not shown:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[read]:,} records"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, read=0)

        def told(done: int, total: int, read: int) -> None:
            bar.update(task, completed=done, total=total or None, read=read)

        yield told


def print_replay(found: Replay, records: str) -> None:
    """Print what became of the records and what each rule did."""
    console = plain_console()
    c = found.counts
    console.print(f"{records}: {c.read:,} records", style="bold")
    if found.first_us is not None and found.last_us is not None:
        console.print(f"from {_local(found.first_us)} to {_local(found.last_us)}, Asia/Shanghai")
    for column, value in found.absent.items():
        console.print(f"no column {column}: taken as {value}")
    console.print()
    table = plain_table("What became of them", ("",), ("              records",))
    for name in ("decided", "late", "duplicate", "malformed"):
        table.add_row(name, f"{getattr(c, name):,}")
    for name, count in found.verdicts.items():
        table.add_row(f"  {name}", f"{count:,}")
    if found.same is not None:
        table.add_row("decided as the simulation had", f"{found.same:,}")
    console.print(table)
    _print_rejects(console, found)
    _print_rules(console, found)
    _print_quality(console, found)
    _print_fates(console, found)


def _local(time_us: int) -> str:
    return f"{_EPOCH + dt.timedelta(microseconds=time_us + LOCAL_OFFSET_US):%Y-%m-%d %H:%M:%S}"


def _print_rejects(console: Console, found: Replay) -> None:
    if found.rejects.is_empty():
        return
    table = plain_table("The first that were not decided", ("file", "line", "reason"), ())
    for row in found.rejects[:_MOST_REJECTS].iter_rows(named=True):
        table.add_row(Path(row["file"]).name, str(row["line"]), row["reason"])
    console.print(table)


def _print_rules(console: Console, found: Replay) -> None:
    right = ("matched", "alone", "intercepted", "numbers", "share by day")
    table = plain_table("What each rule matched", ("rule",), right)
    for row in found.rules.iter_rows(named=True):
        counts = (f"{row[name]:,}" for name in ("matched", "alone", "intercepted", "numbers"))
        table.add_row(row["rule"], *counts, f"{row['share']:.2%}")
        if row["least_share"] < row["most_share"]:
            table.add_row("", "", "", "", "", f"{row['least_share']:.2%} – {row['most_share']:.2%}")
    console.print(table)
    if found.together.is_empty():
        return
    table = plain_table("Rules that matched together", ("rule", "and"), ("records",))
    for rule, other, count in found.together.sort("count", descending=True)[:_MOST_PAIRS].iter_rows():
        table.add_row(rule, other, f"{count:,}")
    console.print(table)


def _print_quality(console: Console, found: Replay) -> None:
    if found.quality.is_empty():
        return
    right = ("true", "false", "precision", "recall", "false-positive")
    table = plain_table("Against the labels", ("found by",), right)
    names = ("precision", "recall", "false_positive_ratio")
    for row in found.quality.iter_rows(named=True):
        counts = (f"{row[name]:,}" for name in ("true_positives", "false_positives"))
        table.add_row(row["found_by"], *counts, *("–" if row[n] is None else f"{row[n]:.1%}" for n in names))
        spans = (f"{100 * row[f'{n}_low']:.1f} – {row[f'{n}_high']:.1%}" if row[n] is not None else "" for n in names)
        table.add_row("", "", "", *spans)
    console.print(table)
    for name, area in found.areas.items():
        console.print(f"area under the curve, {name}: {area.value:.4f} ({area.low:.4f} – {area.high:.4f})")


def _print_fates(console: Console, found: Replay) -> None:
    if found.fates is None:
        return
    table = plain_table("Champion and challenger", ("champion", "challenger", "channel", "label"), ("records",))
    for *names, count in found.fates.filter(pl.col("verdict") != pl.col("challenger")).iter_rows():
        table.add_row(*names, f"{count:,}")
    console.print(table)
