"""Tables on a terminal: numbers and intervals as people say them."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

__all__ = ["plain_console", "plain_table", "readable", "span"]


def readable(value: float, of: float | None = None, decimals: int = 3) -> str:
    """Write a number as people say it, in the unit that fits `of` (the number itself by default)."""
    reference = abs(value if of is None else of)
    for size, name in ((1e9, " bn"), (1e6, " M"), (1e3, " k")):
        if reference >= size:
            return f"{value / size:.{decimals}f}{name}"
    return f"{value:.4g}"


def span(low: float, high: float, of: float, decimals: int = 3) -> str:
    """Write an interval in the unit in which `of` is shown, unless that is 0."""
    shown = of or high
    ends = [readable(end, shown, decimals).partition(" ")[0] for end in (low, high)]
    return " – ".join(ends) + ("" if of else readable(high, None, decimals).removeprefix(ends[1]))


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
