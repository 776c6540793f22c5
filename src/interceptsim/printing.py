"""What the command line prints for people: tables of a run and of a comparison, numbers as they are said, progress."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import polars as pl
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from interceptsim.experiments.compare import Comparison
from interceptsim.results import RunResult
from interceptsim.scenario import Scenario

__all__ = ["plain_console", "plain_table", "print_comparison", "print_run", "progress_bar", "readable", "span"]

_UNITS = {"voice": "calls", "sms": "messages"}


@contextlib.contextmanager
def progress_bar(title: str, *, shown: bool) -> Iterator[Callable[[int, int, int], None] | None]:
    """Give what to call after each day of a run, or None where nothing is `shown`.

    It draws a bar of days on standard error, with attempts per second and the time left.
    """
    if not shown:
        yield None
        return
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("day {task.completed} of {task.total}"),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(title, total=None, speed="")
    started = time.perf_counter()

    def progress(done: int, total: int, attempts: int) -> None:
        speed = attempts / (time.perf_counter() - started) / 1e6
        bar.update(task, completed=done, total=total, speed=f"{speed:.1f} M attempts/s")

    with bar:
        yield progress


def readable(value: float, of: float | None = None) -> str:
    """Write a number as people say it, in the unit that fits `of` (the number itself by default)."""
    reference = abs(value if of is None else of)
    for size, name in ((1e9, " bn"), (1e6, " M"), (1e3, " k")):
        if reference >= size:
            return f"{value / size:.3f}{name}"
    return f"{value:.4g}"


def span(low: float, high: float, of: float) -> str:
    """Write an interval in the unit in which `of` is shown, unless that is 0."""
    shown = of or high
    ends = [readable(end, shown).partition(" ")[0] for end in (low, high)]
    return " – ".join(ends) + ("" if of else readable(high).removeprefix(ends[1]))


def plain_console() -> Console:
    """Return a console that prints text as it is: brackets and colons in data are no markup."""
    return Console(markup=False, emoji=False)


def plain_table(title: str, left: tuple[str, ...], right: tuple[str, ...], last: str | None = None) -> Table:
    """Return an empty table with columns to the left, columns of numbers to the right of them, and one of words."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in left:
        table.add_column(column, no_wrap=True)
    for column in right:
        table.add_column(column, no_wrap=True, justify="right")
    if last is not None:
        table.add_column(last, no_wrap=True)
    return table


def _extent(scenario: Scenario, scale: int, seed: int, days: int) -> str:
    """Say what was simulated: how much of the world, from which seed, over which days."""
    period = scenario.period
    counted = f"{days} days" if days == period.days else f"{days} of {period.days} days"
    return f"scale 1:{scale}, seed {seed}, {counted} from {period.start} after {period.warm_up_days} of warm-up"


def _named(metric: str, channel: str) -> str:
    """Write the name of a channel's metric as it stands in a table of that channel."""
    name = metric.removeprefix(f"{channel}.")
    return {"numbers": "numbers used", "complaints": "numbers complained of"}.get(
        name, name.replace("settled by ", "  by ")
    )


def print_run(result: RunResult) -> None:
    """Print the tables of a run."""
    console = plain_console()
    console.print(result.scenario.title, style="bold")
    console.print(
        f"{_extent(result.scenario, result.scale, result.seed, result.days)}\n"
        "Estimates are for the full-size world; intervals are 95 %.\n"
    )
    if result.targets:
        columns = ("reported", "simulated", "interval", "ratio")
        table = plain_table("Reported and simulated", ("figure",), columns, "role")
        for t in result.targets:
            shown = (
                readable(t.reported),
                readable(t.simulated),
                span(t.low, t.high, t.simulated),
                f"{t.ratio:.4f}",
            )
            table.add_row(t.id, *shown, t.role)
        console.print(table)
        prorated = (
            "Reported figures are prorated to the simulated days. " if any(t.prorated for t in result.targets) else ""
        )
        console.print(
            f"{prorated}A fitted figure is no evidence: latent volume and one strength were chosen for it, under "
            "an interception ratio that is assumed.\n",
            style="dim",
        )
    for channel, unit in _UNITS.items():
        if not result.metrics.get(f"{channel}.made"):
            continue
        table = plain_table(f"What became of the {unit}", ("",), (unit, "interval"), "status")
        for metric, value, low, high, of, status in result.summary.iter_rows():
            if not metric.startswith(f"{channel}.") or (".settled by " in metric and not value):
                continue
            table.add_row(
                _named(metric, channel),
                f"{value:.4f}" if of == "ratio" else readable(value),
                f"{low:.4f} – {high:.4f}" if of == "ratio" else span(low, high, value),
                status,
            )
        console.print(table)
        rules = plain_table(f"What each rule matched, in {unit} at 1:{result.scale}", ("rule",), ("matched", "alone"))
        for name, matched in result.metrics.items():
            rule = name.removeprefix(f"{channel}.matched by ")
            if rule != name and not name.endswith(" alone") and matched:
                rules.add_row(rule, f"{matched:,}", f"{result.metrics[name + ' alone']:,}")
        console.print(rules)
    console.print(
        f"{result.attempts:,} attempts decided in {result.wall_s:.2f} s "
        f"({result.attempts / result.wall_s / 1e6:.1f} million a second, {result.threads} threads, slices of "
        f"{result.slice_us / 6e7:g} min; compiling took {result.compile_s:.1f} s)\ndigest {result.digest}"
    )


def print_comparison(found: Comparison) -> None:
    """Print, for each variant, how its metrics differ from the baseline's."""
    console = plain_console()
    replications = len(found.seeds)
    pairs = f"{replications} pair{'s' if replications > 1 else ''} of runs over the same latent traffic"
    told = found.effects["method"][0]
    intervals = f"intervals are 95 %, {told}" if replications > 1 else "one pair gives no interval"
    console.print(found.baseline.title, style="bold")
    console.print(
        f"{_extent(found.baseline, found.options['scale'], found.seed, found.days)}\n"
        f"Differences are variant minus baseline, in {pairs}, for the full-size world; {intervals}.\n"
    )
    of_baseline = found.values.filter(pl.col("variant") == found.baseline.name)
    baseline = dict(of_baseline.group_by("metric").agg(pl.col("value").mean()).iter_rows())
    for variant in found.variants:
        effects = found.effects.filter(pl.col("variant") == variant).select("metric", "difference", "low", "high")
        rows = [row for row in effects.iter_rows() if baseline.get(row[0]) or row[1]]
        for channel, unit in _UNITS.items():
            table = plain_table(f"{variant}: {unit}", ("",), ("baseline", "difference", "interval"))
            for metric, difference, low, high in rows:
                if metric.startswith(f"{channel}.") and metric != f"{channel}.latent":  # the same in every run
                    value = baseline.get(metric, 0.0)
                    table.add_row(_named(metric, channel), *_difference(metric, value, difference, low, high))
            if table.row_count:
                console.print(table)
    for row in found.needed().iter_rows(named=True):
        short = row["half_width"] > row["wished"]
        verdict = f"about {row['needed']} pairs are needed in all" if short else "is reached"
        console.print(
            f"{row['variant']}, {row['metric']}: ± {row['half_width']:.4g}, the wish of ± {row['wished']:.4g} {verdict}"
        )
    console.print(f"{found.attempts:,} attempts decided in {found.wall_s:.2f} s")


def _difference(
    metric: str, value: float, difference: float, low: float | None, high: float | None
) -> tuple[str, str, str]:
    """Write a metric of the baseline, how a variant differs from it, and the interval of that."""
    sign = "+" if difference > 0 else ""
    if metric.endswith(" ratio"):
        interval = "" if low is None or high is None else f"{low:.4f} – {high:.4f}"
        return f"{value:.4f}", f"{sign}{difference:.4f}", interval
    ends = (difference,) if low is None or high is None else (low, high)
    of = max(ends, key=abs)
    return readable(value), sign + readable(difference, of), span(*ends, of) if len(ends) == 2 else ""
