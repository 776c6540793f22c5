"""How charts look, and how numbers are said in them: colours, type, units, and charts of rows.

A chart is made by Altair, without a title: a page writes titles as text, which breaks over lines, and pictures and
notebooks get them from `Figure.titled`. Colours are Okabe and Ito's, which colour-blind readers can tell apart; text
takes the colour of the page around it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from interceptsim.experiments.extras import extra

__all__ = [
    "BLUE",
    "CONFIG",
    "GREEN",
    "GREY",
    "ORANGE",
    "PURPLE",
    "SKY",
    "VERMILION",
    "Figure",
    "altair",
    "amount",
    "between",
    "listed",
    "per_cent",
    "rows_of",
    "sized",
]

BLUE, SKY, GREEN, ORANGE, VERMILION, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"
GREY = "#8A929B"

_SIZES = ((1e12, "trillion", "tn"), (1e9, "billion", "bn"), (1e6, "million", "M"), (1e3, "thousand", "k"))
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans CJK SC', 'DejaVu Sans', sans-serif"
_TEXT = 12.5
_LETTER = 7.4
_UNBROKEN = "\N{NO-BREAK SPACE}"
_ROW = 46
"""Pixels a row takes: a line of text over its mark."""

CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": _FONT,
    "padding": 2,
    "view": {"stroke": None, "continuousWidth": 640, "continuousHeight": 240},
    "axis": {
        "domain": False,
        "ticks": False,
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelOpacity": 0.75,
        "titleOpacity": 0.75,
        "titlePadding": 8,
        "labelPadding": 6,
        "gridColor": GREY,
        "gridOpacity": 0.18,
        "labelFlush": True,
        "labelOverlap": "greedy",
        "labelSeparation": 8,
    },
    "axisY": {"titleAngle": 0, "titleAlign": "left", "titleBaseline": "bottom", "titleX": 0, "titleY": -9},
    "legend": {
        "orient": "top",
        "direction": "horizontal",
        "title": None,
        "labelColor": "currentColor",
        "labelFontSize": 12,
        "labelLimit": 300,
        "symbolType": "square",
        "symbolOpacity": 1,
        "columnPadding": 14,
        "offset": 26,
    },
    "title": {"color": "currentColor", "fontSize": 15, "fontWeight": 600, "anchor": "start", "offset": 14},
    "rule": {"color": "currentColor"},
    "text": {"fontSize": _TEXT, "color": "currentColor"},
}


def altair() -> Any:
    """Return Altair; raise ConfigurationError that names the extra where it is missing."""
    return extra("altair", "charts")


@dataclass(frozen=True)
class Figure:
    """A chart with its name, the finding it shows, what has to be known to read it, and the numbers behind it.

    `rows` are those of a table under `head`; numbers in it are written already.
    """

    name: str
    finding: str
    chart: Any
    note: str = ""
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()

    def titled(self, width: int = 640) -> Any:
        """Return the chart with its title, `width` pixels wide: for pictures and notebooks."""
        lines = textwrap.wrap(self.finding, max(width // 11, 20), break_on_hyphens=False)
        title = altair().Title(lines, anchor="start", fontSize=15, offset=14)
        return self.chart.properties(title=title, width=width)

    def spec(self, width: int | str = "container", *, titled: bool = False) -> dict[str, Any]:
        """Return the Vega-Lite specification, with the look of the page."""
        chart = self.titled(int(width)) if titled else self.chart.properties(width=width)
        made: dict[str, Any] = chart.to_dict()
        return {**made, "config": CONFIG, "autosize": {"type": "fit-x", "contains": "padding"}}


def sized(largest: float) -> tuple[float, str]:
    """Return what to divide by, and the word for it, so that numbers up to `largest` are short: (1e9, "billion")."""
    return next(((size, word) for size, word, _ in _SIZES if abs(largest) >= size), (1.0, ""))


def amount(value: float, of: float | None = None) -> str:
    """Write a number with three digits in the unit that fits `of`, by default the number itself: "3.65 bn"."""
    reference = abs(value if of is None else of)
    for size, _, short in _SIZES:
        if reference >= 0.9995 * size:
            return f"{_digits(value / size)}{_UNBROKEN}{short}"
    return _digits(value)


def _digits(value: float) -> str:
    """Write a number below a thousand with three digits, whole where it is."""
    if value == 0:
        return "0"
    text = f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.3g}"
    return f"{value:.2e}" if "e" in text else text.replace("-", "\N{MINUS SIGN}")


def between(low: float, high: float, of: float) -> str:
    """Write an interval in the unit that fits `of`: "3.58 – 3.72"."""
    ends = [amount(end, of or high) for end in (low, high)]
    bare = [end.partition(_UNBROKEN)[0] for end in ends]
    joint = "to" if low < 0 else "–"
    return f"{bare[0]} {joint} {bare[1] if of else ends[1]}"


def per_cent(share: float) -> str:
    """Write a share as a percentage of as many digits as tell it apart from all or nothing."""
    hundredths = 100 * share
    digits = 0 if 10 <= hundredths <= 99 else 1 if hundredths >= 0.95 else 2
    written = f"{hundredths:.0f}" if hundredths in (0, 100) else f"{hundredths:.{digits}f}"
    return f"{written}{_UNBROKEN}%"


def listed(names: Sequence[str]) -> str:
    """Write names with commas and a last "and"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def rows_of(
    data: pl.DataFrame,
    marks: Any,
    *,
    title: str,
    domain: tuple[float, float] | None = None,
    scale: dict[str, Any] | None = None,
    axis: dict[str, Any] | None = None,
) -> Any:
    """Return a chart with a row for each of `data`: a line of text, its name and what is shown of it, over its marks.

    `data` has the columns name (different in each row), shown, and those of the marks; `marks` is called with the chart
    to draw on and the encoding of x to draw by, and returns layers. Names stand above bars, not beside them, so that
    they take nothing from the width of a telephone's screen.
    """
    alt = altair()
    order = data["name"].to_list()
    base = alt.Chart(data).encode(y=alt.Y("name:N", sort=order, axis=None, scale=alt.Scale(paddingInner=0)))
    settings = {"nice": domain is None, **({"domain": list(domain)} if domain else {}), **(scale or {})}

    def x(field: str) -> Any:
        look = {"title": title, "tickCount": 5, **(axis or {})}
        return alt.X(f"{field}:Q", scale=alt.Scale(**settings), axis=alt.Axis(**look))

    over = {"baseline": "middle", "dy": -11, "fontSize": _TEXT}
    taken = round(_LETTER * (2 + max(map(len, data["shown"]))))  # a name that would run into it ends in an ellipsis
    limit = alt.ExprRef(f"max(width - {taken}, 60)")
    names = base.mark_text(align="left", limit=limit, **over).encode(x=alt.value(0), text="name:N")
    shown = base.mark_text(align="right", opacity=0.8, **over).encode(x=alt.value("width"), text="shown:N")
    return alt.layer(*marks(base, x), names, shown).properties(height=_ROW * len(order))
