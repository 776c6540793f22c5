"""Charts of what surrounds a run: where attempts come from, the network they cross, the ratio that nobody reports.

Each function takes a run and gives a `Figure`, or None where the run has nothing of the kind.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from interceptsim.report.charts import CHANNELS, channels_of, counted, estimates_of, over
from interceptsim.report.look import (
    BLUE,
    ORANGE,
    SKY,
    VERMILION,
    Figure,
    altair,
    amount,
    listed,
    per_cent,
    rows_of,
    sized,
)
from interceptsim.results import RunResult

__all__ = ["network", "ratio_band", "sources"]

_LOW_RATIO, _HIGH_RATIO = 0.4, 0.95
"""The range that is assumed of interception ratios, as the ledger says."""


def sources(run: RunResult, channel: str = "voice") -> Figure | None:
    """Draw where attempts that get through come from, beside those that are intercepted."""
    if channel not in channels_of(run):
        return None
    found = counted(run, "hub").filter(pl.col("channel") == channel)
    wide = found.pivot("kind", index="hub", values="value", aggregate_function="sum").fill_null(0.0)
    for kind in ("intercepted", "got through"):
        if kind not in wide.columns:
            wide = wide.with_columns(pl.lit(0.0).alias(kind))
    wide = wide.with_columns((pl.col("intercepted") + pl.col("got through")).alias("made")).filter(pl.col("made") > 0)
    if wide.height < 2:
        return None
    wide = wide.sort("got through", descending=True)
    places = {hub.id: hub.place.partition(" (")[0] for hub in run.scenario.hubs}
    size, word = sized(float(wide["made"].max()))  # type: ignore[arg-type]
    unit = CHANNELS[channel]
    rows = [
        {
            "name": places.get(row["hub"], row["hub"] or "elsewhere"),
            "shown": f"{amount(row['got through'])} of {amount(row['made'])}",
            "through": row["got through"] / size,
            "made": row["made"] / size,
        }
        for row in wide.iter_rows(named=True)
    ]
    alt = altair()

    def marks(base: Any, x: Any) -> list[Any]:
        bars = base.mark_bar(yOffset=9)
        return [
            bars.encode(x=x("made"), color=alt.value(BLUE), size=alt.value(16)),
            bars.encode(x=x("through"), color=alt.value(VERMILION), size=alt.value(16)),
        ]

    share = wide["got through"][0] / wide["got through"].sum()
    return Figure(
        f"sources-{channel}",
        f"{per_cent(share)} of the {unit} that get through come from {rows[0]['name']}",
        rows_of(pl.DataFrame(rows), marks, title=f"{word} {unit} made {over(run)}".strip()),
        "Orange-red: got through, of all that were made; blue: intercepted. How volume is shared out among places is "
        "assumed.",
    )


def network(run: RunResult) -> Figure | None:
    """Draw how full trunk groups are, in the mean and at the busiest, and what they lose."""
    plan = run.scenario.network
    if plan is None or not plan.trunk_groups:
        return None
    found = estimates_of(run)
    rows: list[dict[str, Any]] = []
    for trunk in plan.trunk_groups:
        of = f"trunk {trunk.id}"
        lost = found[f"{of}.lost ratio"].value
        busiest = run.metrics[f"{of}.busiest load (milli-erlangs)"] / 1000
        rows.append(
            {
                "name": trunk.id,
                "shown": f"{per_cent(busiest / trunk.circuits)} · lost {per_cent(lost)}",
                "mean": found[f"{of}.carried load"].value / trunk.circuits,
                "busiest": busiest / trunk.circuits,
                "lost": lost,
                "circuits": trunk.circuits,
            }
        )

    def marks(base: Any, x: Any) -> list[Any]:
        return [
            base.mark_bar(height=16, yOffset=9, color=SKY).encode(x=x("mean")),
            base.mark_tick(thickness=3, size=22, yOffset=9, color=VERMILION, opacity=1).encode(x=x("busiest")),
        ]

    worst = max(rows, key=lambda row: (row["lost"], row["busiest"]))
    finding = (
        f"{worst['name']} loses {per_cent(worst['lost'])} of its fraud calls"
        if worst["lost"] > 0
        else f"No trunk group loses calls; the fullest, {worst['name']}, reaches {per_cent(worst['busiest'])}"
    )
    longest = {smsc.id: run.metrics[f"smsc {smsc.id}.longest delay (us)"] / 1e6 for smsc in plan.smscs}
    told = "; ".join(f"Messages of centre {name} are late by {amount(s)} s at most" for name, s in longest.items())
    top = max(1.0, *(row["busiest"] for row in rows))
    return Figure(
        "network",
        finding,
        rows_of(
            pl.DataFrame(rows), marks, title="load over circuits", domain=(0.0, 1.05 * top), axis={"format": ".0%"}
        ),
        "Bar: mean load; mark and number: the busiest interval." + (f" {told}." if told else ""),
        ("trunk group", "circuits", "mean load", "busiest", "lost"),
        tuple(
            (
                row["name"],
                amount(row["circuits"]),
                per_cent(row["mean"]),
                per_cent(row["busiest"]),
                per_cent(row["lost"]),
            )
            for row in rows
        ),
    )


def ratio_band(run: RunResult) -> Figure | None:
    """Draw how many attempts get through, by the interception ratio that nobody reports."""
    named = {target.id: target for target in run.targets}
    entries = [entry for entry in run.scenario.calibration if entry.figure in named and entry.channel in CHANNELS]
    if not entries:
        return None
    alt = altair()
    curves: list[dict[str, Any]] = []
    marks: list[dict[str, Any]] = []
    for entry in entries:
        reported = named[entry.figure].reported
        unit = CHANNELS[entry.channel]
        steps = range(round(100 * _LOW_RATIO), round(100 * _HIGH_RATIO) + 1)
        curves += [{"of": unit, "ratio": step / 100, "through": reported * (100 / step - 1)} for step in steps]
        assumed = entry.interception_ratio
        marks.append({"of": unit, "ratio": assumed, "through": reported * (1 / assumed - 1)})
    size, word = sized(max(row["through"] for row in curves))
    by = pl.col("through") / size
    color = alt.Color("of:N", scale=alt.Scale(domain=["calls", "messages"], range=[BLUE, ORANGE]))
    x = alt.X(
        "ratio:Q",
        title="interception ratio, assumed",
        scale=alt.Scale(domain=[_LOW_RATIO, _HIGH_RATIO]),
        axis=alt.Axis(format=".0%", tickCount=6),
    )
    y = alt.Y("through:Q", title=f"{word} that get through".strip(), axis=alt.Axis(tickCount=5))
    tip = [
        "of:N",
        alt.Tooltip("ratio:Q", format=".0%"),
        alt.Tooltip("through:Q", format=".3f", title=f"{word} through"),
    ]
    lines = alt.Chart(pl.DataFrame(curves).with_columns(by.round_sig_figs(4))).mark_line(strokeWidth=2.5)
    points = alt.Chart(pl.DataFrame(marks).with_columns(by.round_sig_figs(4))).mark_point(
        filled=True, size=110, opacity=1
    )
    chart = alt.layer(
        lines.encode(x=x, y=y, color=color, tooltip=tip), points.encode(x=x, y=y, color=color, tooltip=tip)
    )
    spans = [
        f"{amount(named[e.figure].reported * (1 / _HIGH_RATIO - 1))} and "
        f"{amount(named[e.figure].reported * (1 / _LOW_RATIO - 1))} {CHANNELS[e.channel]}"
        for e in entries
    ]
    return Figure(
        "ratio-band",
        f"Reports leave open whether between {listed(spans)} get through",
        chart.properties(height=260),
        "Only what was intercepted is reported: attempts are the reported count over the ratio, which is assumed. "
        "Points are what this scenario assumes.",
        ("of", "assumed ratio", "made at 40 %", "made as assumed", "made at 95 %"),
        tuple(
            (
                CHANNELS[e.channel],
                per_cent(e.interception_ratio),
                *(
                    amount(named[e.figure].reported / ratio)
                    for ratio in (_LOW_RATIO, e.interception_ratio, _HIGH_RATIO)
                ),
            )
            for e in entries
        ),
    )
