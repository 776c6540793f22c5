"""Charts of the response and of harm: whom fraud engages, who warns them, where they wait, what is lost.

They are drawn from the frames `harm` and `desks` of a run, and are None where it has none. Money is counted in fen
and shown in yuan. What a frame counts stands, by its weight, for the full-size world; where the summary has an estimate
of a total, parts are shares of that.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from interceptsim.report.charts import estimates_of, over
from interceptsim.report.look import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SKY,
    VERMILION,
    Figure,
    altair,
    amount,
    between,
    per_cent,
    rows_of,
    sized,
)
from interceptsim.results import Estimate, RunResult

__all__ = ["harm_by", "money", "people", "provinces", "waits"]

_PEOPLE = {
    "engaged": "engaged",
    "averted": "see through it at once",
    "warned": "warned by 12381",
    "instructed": "put on a desk's list",
    "called": "called by police",
    "visited": "visited by police",
    "suspended": "line suspended",
    "dissuaded": "dissuaded",
    "doubted": "doubt by themselves",
    "paid": "paid",
    "reported": "report it",
}
_MONEY = {
    "transferred_fen": "transferred",
    "held_fen": "held before it went on",
    "stopped_fen": "stopped on its way",
    "returned_fen": "returned to victims",
    "lost_fen": "lost",
    "frozen_fen": "frozen in all",
}
_COLOURS = {"paid": VERMILION, "lost_fen": VERMILION, "engaged": BLUE, "transferred_fen": BLUE, "dissuaded": GREEN}
_COLOURS |= {"returned_fen": GREEN, "frozen_fen": GREY}
_FEN = 100.0
_MOST = 12
_TILES = {
    "heilongjiang": ("HL", 7, 0),
    "inner-mongolia": ("NM", 5, 1),
    "jilin": ("JL", 7, 1),
    "xinjiang": ("XJ", 0, 2),
    "gansu": ("GS", 2, 2),
    "ningxia": ("NX", 3, 2),
    "shanxi": ("SX", 4, 2),
    "hebei": ("HE", 5, 2),
    "beijing": ("BJ", 6, 1),
    "liaoning": ("LN", 7, 2),
    "tianjin": ("TJ", 6, 2),
    "qinghai": ("QH", 1, 3),
    "shaanxi": ("SN", 3, 3),
    "henan": ("HA", 4, 3),
    "shandong": ("SD", 5, 3),
    "tibet": ("XZ", 0, 4),
    "sichuan": ("SC", 2, 4),
    "chongqing": ("CQ", 3, 4),
    "hubei": ("HB", 4, 4),
    "anhui": ("AH", 5, 4),
    "jiangsu": ("JS", 6, 3),
    "shanghai": ("SH", 7, 4),
    "yunnan": ("YN", 1, 5),
    "guizhou": ("GZ", 2, 5),
    "hunan": ("HN", 3, 5),
    "jiangxi": ("JX", 4, 5),
    "zhejiang": ("ZJ", 6, 4),
    "fujian": ("FJ", 5, 5),
    "guangxi": ("GX", 2, 6),
    "guangdong": ("GD", 3, 6),
    "hainan": ("HI", 2, 7),
}
"""Where a province lies on the tile grid: its letters, column and row."""


def _unit(measure: str) -> str:
    return "yuan" if measure.endswith("_fen") else "people"


def _counted(run: RunResult) -> pl.DataFrame | None:
    """Return the frame of harm with what is lost as a measure of its own: what was transferred and not returned."""
    harm = run.harm
    if harm is None or harm.is_empty():
        return None
    parts = {"transferred_fen": pl.col("count"), "returned_fen": -pl.col("count")}
    lost = [
        harm.filter(measure=of).with_columns(count.alias("count"), measure=pl.lit("lost_fen"))
        for of, count in parts.items()
    ]
    return pl.concat([harm, *lost])


def _totals(run: RunResult) -> dict[str, Estimate]:
    """Return the full-size total of each measure, in people or yuan: the summary's, or what the frame counts."""
    harm = _counted(run)
    if harm is None:
        return {}
    counted = harm.group_by("measure").agg((pl.col("count") * pl.col("weight")).sum().alias("total"))
    known = estimates_of(run)
    found = {}
    for measure, total in counted.sort("measure").iter_rows():
        if measure.endswith("_fen"):
            drawn = total / _FEN
            found[measure] = known.get(f"harm.{measure.removesuffix('_fen')}", Estimate(drawn, drawn, drawn))
        else:
            found[measure] = known.get(f"response.{measure}", Estimate(total, total, total))
    return found


def _bars(run: RunResult, names: dict[str, str], of: str) -> tuple[Any, tuple[tuple[str, ...], ...]] | None:
    """Return a chart of a bar for each measure, and its table; shares are of the measure `of`."""
    totals = _totals(run)
    there = [measure for measure in names if measure in totals]
    if not any(totals[measure].value for measure in there):
        return None
    alt = altair()
    size, word = sized(max(totals[measure].value for measure in there))
    whole = totals[of].value if of in totals else 0.0
    shown = [
        amount(totals[m].value) + (f" · {per_cent(totals[m].value / whole)}" if whole and m != of else "")
        for m in there
    ]
    data = pl.DataFrame(
        {
            "name": [names[measure] for measure in there],
            "shown": shown,
            "value": [totals[measure].value / size for measure in there],
            "color": [_COLOURS.get(measure, SKY) for measure in there],
        }
    )

    def marks(base: Any, x: Any) -> list[Any]:
        color = alt.Color("color:N", scale=None, legend=None)
        return [base.mark_bar(height=16, yOffset=9).encode(x=x("value"), color=color)]

    chart = rows_of(data, marks, title=f"{word} {_unit(of)} {over(run)}".strip())
    table = tuple(
        (names[m], amount(totals[m].value), between(totals[m].low, totals[m].high, totals[m].value)) for m in there
    )
    return chart, table


def people(run: RunResult) -> Figure | None:
    """Draw how many people fraud takes in, how many are warned, called and visited, and how many pay."""
    drawn = _bars(run, _PEOPLE, "engaged")
    if drawn is None:
        return None
    totals = _totals(run)
    paid, engaged = (totals[m].value if m in totals else 0.0 for m in ("paid", "engaged"))
    share = f", {per_cent(paid / engaged)} of {amount(engaged)} engaged" if engaged else ""
    chart, table = drawn
    note = (
        "Of those engaged, by calls, messages and the internet. One person may be warned, called and visited; so these "
        "are no steps that add up."
    )
    return Figure(
        "people", f"{amount(paid)} people pay{share}", chart, note, ("people", "estimate", "95 % interval"), table
    )


def money(run: RunResult) -> Figure | None:
    """Draw what is transferred, and what of it is held, frozen, returned and lost."""
    drawn = _bars(run, _MONEY, "transferred_fen")
    if drawn is None:
        return None
    totals = _totals(run)
    gone, lost = (totals[m].value if m in totals else 0.0 for m in ("transferred_fen", "lost_fen"))
    chart, table = drawn
    finding = f"Of {amount(gone)} yuan transferred, {amount(lost)} are lost"
    note = (
        "Frozen in all is not what victims transferred: the balance of every account along the chain is frozen. What "
        "is returned is another figure, which nobody publishes."
    )
    return Figure("money", finding, chart, note, ("money", "yuan", "95 % interval"), table)


def _parts(run: RunResult, by: str, measure: str) -> pl.DataFrame | None:
    """Return the frame (part, value) of a measure's total shared out by a column, the greatest first."""
    total = _totals(run).get(measure)
    harm = _counted(run)
    if total is None or not total.value or harm is None:
        return None
    counted = (
        harm.filter(measure=measure)
        .group_by(part=by)
        .agg((pl.col("count") * pl.col("weight")).sum().alias("counted"))
        .sort("counted", "part", descending=[True, False])
    )
    value = (pl.col("counted") / pl.col("counted").sum() * total.value).round_sig_figs(5)
    return counted.select("part", value=value)


def _worst_measure(run: RunResult) -> str | None:
    """Return the measure to share out: money lost where it is counted, else people who paid."""
    totals = _totals(run)
    return next((m for m in ("lost_fen", "transferred_fen", "paid") if m in totals and totals[m].value), None)


def harm_by(run: RunResult, by: str) -> Figure | None:
    """Draw how harm is shared out by "fraud_type" or "age_band"."""
    measure = _worst_measure(run)
    parts = _parts(run, by, measure) if measure else None
    if parts is None or measure is None or parts.height < 2:
        return None
    total = parts["value"].sum()
    ordered = parts.sort("part") if by == "age_band" else parts.head(_MOST)
    size, word = sized(float(parts["value"][0]))
    data = ordered.select(
        name="part",
        shown=pl.Series([f"{amount(value)} · {per_cent(value / total)}" for value in ordered["value"]]),
        value=pl.col("value") / size,
    )
    unit = _unit(measure)

    def marks(base: Any, x: Any) -> list[Any]:
        return [base.mark_bar(height=16, yOffset=9, color=VERMILION).encode(x=x("value"))]

    what = "of all money lost" if measure == "lost_fen" else f"of all {unit}"
    whom = "People aged" if by == "age_band" else ""
    finding = f"{whom} {parts['part'][0]} bear {per_cent(parts['value'][0] / total)} {what}".strip()
    if by == "fraud_type":
        finding = f"{parts['part'][0]} takes {per_cent(parts['value'][0] / total)} {what}"
    title = f"{word} {unit} {over(run)}".strip()
    return Figure(f"harm-by-{by.replace('_', '-')}", finding, rows_of(data, marks, title=title))


def provinces(run: RunResult) -> Figure | None:
    """Draw harm by province on a grid of tiles."""
    measure = _worst_measure(run)
    parts = _parts(run, "province", measure) if measure else None
    if parts is None or measure is None:
        return None
    found = dict(parts.iter_rows())
    tiles: list[dict[str, Any]] = [
        {"province": place.replace("-", " ").title(), "letters": letters, "column": column, "row": row}
        | {"value": found.get(place, 0.0)}
        for place, (letters, column, row) in _TILES.items()
    ]
    tiles.sort(key=lambda tile: -tile["value"])
    if not tiles[0]["value"]:
        return None
    alt = altair()
    size, word = sized(float(parts["value"][0]))
    data = pl.DataFrame(tiles).with_columns((pl.col("value") / size).round_sig_figs(4))
    most = float(data["value"].max() or 1.0)  # type: ignore[arg-type]
    unit = _unit(measure)
    tip = ["province:N", alt.Tooltip("value:Q", title=f"{word} {unit}".strip(), format=",.3~r")]
    base = alt.Chart(data).encode(
        x=alt.X("column:O", axis=None, scale=alt.Scale(domain=list(range(8)), paddingInner=0.06)),
        y=alt.Y("row:O", axis=None, scale=alt.Scale(domain=list(range(8)), paddingInner=0.06)),
        tooltip=tip,
    )
    legend = alt.Legend(title=f"{word} {unit} {over(run)}".strip(), titleColor="currentColor", titleFontSize=12)
    color = alt.Color("value:Q", scale=alt.Scale(domain=[0, most], range=["#e3eef7", "#08457c"]), legend=legend)
    dark = alt.condition(f"datum.value > {0.5 * most}", alt.value("white"), alt.value("#16191d"))
    chart = alt.layer(
        base.mark_rect(cornerRadius=4).encode(color=color),
        base.mark_text(fontSize=12).encode(text="letters:N", color=dark),
    ).properties(height=340)
    first = tiles[0]
    share = per_cent(first["value"] / parts["value"].sum())
    lost = "lost" if measure == "lost_fen" else "counted"
    return Figure(
        "harm-by-province",
        f"{first['province']} bears most: {amount(first['value'])} {unit} {lost}, {share} of all",
        chart,
        "Each province has one tile, about where it lies.",
        ("province", unit),
        tuple((f"{tile['province']} ({tile['letters']})", amount(tile["value"])) for tile in tiles if tile["value"]),
    )


def _lasting(seconds: float) -> str:
    """Write a time in the unit that fits it."""
    for size, name in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{amount(seconds / size)} {name}"
    return f"{amount(seconds)} s"


def waits(run: RunResult) -> Figure | None:
    """Draw how long jobs wait at each desk: the middle, and what one in ten and one in a hundred wait at least."""
    if run.desks is None:
        return None
    desks = run.desks.filter(pl.col("served") > 0).sort("wait_p90_s", descending=True)
    if desks.is_empty():
        return None
    shown = [
        f"{_lasting(mid)} · {_lasting(late)}" for mid, late in desks.select("wait_p50_s", "wait_p90_s").iter_rows()
    ]
    tiers = desks["tier"].n_unique() > 1
    names = [f"{d} ({t})" if tiers and d != t else d for d, t in desks.select("desk", "tier").iter_rows()]
    minutes = [(pl.col(f"wait_{p}_s") / 60.0).round_sig_figs(4).alias(p) for p in ("p50", "p90", "p99")]
    data = desks.select(pl.Series("name", names), pl.Series("shown", shown), *minutes).head(_MOST)
    altair()

    def marks(base: Any, x: Any) -> list[Any]:
        return [
            base.mark_rule(strokeWidth=2, yOffset=9, color=GREY).encode(x=x("p90"), x2="p99:Q"),
            base.mark_rule(strokeWidth=6, yOffset=9, color=SKY).encode(x=x("p50"), x2="p90:Q"),
            base.mark_point(size=90, filled=True, yOffset=9, color=BLUE, opacity=1).encode(x=x("p50")),
            base.mark_tick(thickness=3, size=16, yOffset=9, color=ORANGE, opacity=1).encode(x=x("p99")),
        ]

    table = []
    for row, name in zip(desks.iter_rows(named=True), names, strict=True):
        spans = (_lasting(row[f"wait_{p}_s"]) for p in ("mean", "p50", "p90", "p99"))
        counts = (amount(row["jobs"]), amount(row["given_up"]), per_cent(row["busy_ratio"]))
        table.append((name, *counts, *spans))
    worst = desks.row(0, named=True)
    few = run.summary.filter((pl.col("status") == "coarse") & pl.col("metric").str.starts_with("desk "))
    coarse = (
        "" if few.is_empty() else " At this scale desks have so few servers that waits are not those of the full size."
    )
    return Figure(
        "waits",
        f"The longest wait is at {names[0]}: one in ten waits {_lasting(worst['wait_p90_s'])} or more",
        rows_of(
            data,
            marks,
            title="minutes (by powers of ten)",
            scale={"type": "symlog", "constant": 1},
            axis={"values": [0, 1, 10, 60, 600, 1440, 10_080], "format": ",d"},
        ),
        "Point: half wait no longer; bar: to what one in ten exceeds; mark: to what one in a hundred does. At the "
        f"right the first two.{coarse}",
        ("desk", "jobs", "given up", "busy", "mean wait", "half", "one in ten", "one in 100"),
        tuple(table),
    )
