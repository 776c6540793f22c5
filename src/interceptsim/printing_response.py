"""What the command line prints of people and desks: from contact to frozen transfer, and who waited where."""

from __future__ import annotations

import polars as pl
from rich.console import Console

from interceptsim.results import RunResult
from interceptsim.terminal import plain_console, plain_table, readable, span

__all__ = ["print_response", "print_story"]

_PEOPLE = {
    "engaged": "began to fall for it",
    "averted": "  saw through it at once",
    "warned": "  warned by 12381",
    "instructed": "  desks told of them",
    "called": "  called by 96110",
    "visited": "  visited",
    "suspended": "  line suspended",
    "dissuaded": "  stopped by a warning or a bank",
    "doubted": "  doubted by themselves",
    "paid": "paid",
    "reported": "  reported it",
}
_WORK = {
    "12381 messages": "messages from 12381",
    "instructions": "instructions to desks",
    "calls tried": "calls from 96110",
    "calls taken": "  taken",
    "visits": "visits",
    "false holds": "ordinary transfers held",
}
_MONEY = {
    "held": "held by banks",
    "transferred": "transferred",
    "stopped": "  stopped of it",
    "returned": "  returned of it",
    "lost": "  lost",
    "frozen": "frozen along the chain",
}


def print_response(console: Console, result: RunResult) -> None:
    """Print what came of people, what desks did and how long jobs waited there."""
    for title, kind, names in (
        ("People whom fraud reached", "response", _PEOPLE),
        ("What was done", "response", _WORK),
        ("Money, in yuan", "harm", _MONEY),
    ):
        table = plain_table(title, ("",), ("a year" if result.days > 360 else "in all", "interval"), "status")
        for metric, name in names.items():
            row = result.summary.row(by_predicate=_is(f"{kind}.{metric}"), named=True)
            if row["value"] or metric in {"engaged", "paid", "lost"}:
                shown = readable(row["value"]), span(row["low"], row["high"], row["value"])
                table.add_row(name, *shown, row["status"])
        console.print(table)
    if result.desks is None or result.desks.is_empty():
        return
    columns = ("jobs", "given up", "mean wait", "9 in 10", "busy")
    table = plain_table(f"Desks, jobs at 1:{result.scale}", ("desk", "tier"), columns)
    for row in result.desks.iter_rows(named=True):
        counts = (f"{row[name]:,}" for name in ("jobs", "given_up"))
        waits = (_hours(row["wait_mean_s"]), _hours(row["wait_p90_s"]))
        table.add_row(row["desk"], row["tier"], *counts, *waits, f"{row['busy_ratio']:.2f}")
    console.print(table)


def print_story(told: pl.DataFrame, who: str) -> None:
    """Print the story of a person or a number."""
    table = plain_table(f"The story of {who}", ("local time", "what happened", "by"), ("yuan",))
    for time, event, policy, yuan in told.iter_rows():
        table.add_row(f"{time:%Y-%m-%d %H:%M}", event, policy, f"{yuan:,.0f}" if yuan else "")
    plain_console().print(table)


def _is(metric: str) -> pl.Expr:
    return pl.col("metric") == metric


def _hours(seconds: float) -> str:
    """Write a wait in the unit that fits."""
    for size, name in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"
