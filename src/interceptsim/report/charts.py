"""Charts of a run: what it found, beside what was reported, and what that rests on.

Each function takes a run and gives a `Figure`, whose title is what the numbers say, or None where the run has nothing
of the kind. Frames are summed up first, so that no chart holds more than some thousand rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from interceptsim import ledger
from interceptsim.report.look import (
    BLUE,
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

__all__ = [
    "CHANNELS",
    "channels_of",
    "counted",
    "daily",
    "estimates_of",
    "funnel",
    "ordinary_by_class",
    "ordinary_by_rule",
    "over",
    "rules",
    "targets",
]

CHANNELS = {"voice": "calls", "sms": "messages"}
_MINUS = "\N{MINUS SIGN}"
_LONGEST_NAME = 34  # letters for which a telephone has room
_TAKEN = ("taken", "not made")


def channels_of(run: RunResult) -> list[str]:
    """Return the channels on which fraud is tried."""
    return [channel for channel in CHANNELS if run.metrics.get(f"{channel}.made")]


def estimates_of(run: RunResult) -> dict[str, Estimate]:
    """Return the rows of the summary by metric."""
    return {row[0]: Estimate(*row[1:]) for row in run.summary.select("metric", "value", "low", "high").iter_rows()}


def over(run: RunResult) -> str:
    """Say over what time a run's totals are."""
    return "a year" if run.days in (365, 366) else f"in {run.days} days"


def targets(run: RunResult) -> Figure | None:
    """Draw simulated over reported, for each reported figure; what was fitted is hollow, what was predicted is full."""
    if not run.targets:
        return None
    alt = altair()
    quantities = {figure.id: figure.quantity for figure in ledger.figures()}
    short = {i: name if len(name) <= _LONGEST_NAME else i.replace("_", " ") for i, name in quantities.items()}
    rows: list[dict[str, Any]] = [
        {
            "name": short.get(t.id, t.id),
            "shown": f"{'+' if t.ratio > 1 else _MINUS}{per_cent(abs(t.ratio - 1))}",
            "value": t.ratio,
            "low": t.low / t.reported,
            "high": t.high / t.reported,
            "role": t.role,
        }
        for t in run.targets
    ]
    reach = 1.15 * max(0.02, *(abs(end - 1) for r in rows for end in (r["low"], r["high"], r["value"])))

    def marks(base: Any, x: Any) -> list[Any]:
        one = alt.Chart(pl.DataFrame({"one": [1.0]})).mark_rule(strokeDash=[4, 3], opacity=0.7).encode(x=x("one"))
        lines = base.mark_rule(strokeWidth=3, yOffset=9, color=BLUE).encode(x=x("low"), x2="high:Q")
        fill = alt.condition("datum.role == 'fitted'", alt.value("white"), alt.value(BLUE))
        points = base.mark_point(size=110, yOffset=9, stroke=BLUE, strokeWidth=2.5, opacity=1).encode(
            x=x("value"),
            fill=fill,
            tooltip=[alt.Tooltip("name:N", title="figure"), alt.Tooltip("value:Q", format=".4f"), "role:N"],
        )
        return [one, lines, points]

    worst = max(rows, key=lambda row: abs(row["value"] - 1))
    off = per_cent(abs(worst["value"] - 1))
    fitted = [row for row in rows if row["role"] == "fitted"]
    how = "all fitted" if len(fitted) == len(rows) else "none fitted" if not fitted else f"{len(fitted)} of them fitted"
    finding = (
        f"{len(rows)} reported figures, {how}: at most {off} off"
        if len(rows) > 1
        else f"The reported figure is {'fitted' if fitted else 'predicted'} and {off} off"
    )
    return Figure(
        "targets",
        finding,
        rows_of(
            pl.DataFrame(rows),
            marks,
            title="simulated over reported, with 95 % interval",
            domain=(1 - reach, 1 + reach),
            axis={"format": ".2f"},
        ),
        "A hollow point was fitted: latent volume and one strength were chosen for it, and that it agrees is no "
        "evidence. A full point was predicted.",
        ("figure", "reported", "simulated", "95 % interval", "ratio", "role"),
        tuple(
            (
                quantities.get(t.id, t.id),
                amount(t.reported) + (" (prorated)" if t.prorated else ""),
                amount(t.simulated),
                between(t.low, t.high, t.simulated),
                f"{t.ratio:.4f}",
                t.role,
            )
            for t in run.targets
        ),
    )


def counted(run: RunResult, *by: str) -> pl.DataFrame:
    """Return the frame (channel, by, kind, value) of fraud: the daily counts as shares of the run's estimates.

    `kind` is "intercepted", "got through", "lost" or "not made". Days and hubs of one channel and kind add up to the
    estimate, which a plain multiplication of counts would miss by the luck of the draw.
    """
    delivered = ("failed", "unanswered", "answered", "delivered", "open", "expired")
    kind = pl.when(pl.col("outcome").is_in(delivered)).then(pl.lit("got through")).otherwise(pl.col("outcome"))
    found = (
        run.daily.filter(pl.col("fraud_type") != "ordinary")
        .with_columns(kind.alias("kind"), (pl.col("count") * pl.col("weight")).alias("drawn"))
        .group_by("channel", *by, "kind")
        .agg(pl.col("drawn").sum())
        .sort("channel", *by, "kind")
    )
    totals = found.group_by("channel", "kind").agg(pl.col("drawn").sum())
    estimates: dict[str, float] = dict(run.summary.select("metric", "value").iter_rows())
    factors = {}
    for channel, of, drawn in totals.iter_rows():
        through = sum(estimates.get(f"{channel}.{outcome}", 0.0) for outcome in ("delivered", "expired"))
        wanted = through if of == "got through" else estimates.get(f"{channel}.{of}", 0.0)
        factors[(channel, of)] = wanted / drawn if drawn else 0.0
    scale = pl.Series([factors[key] for key in found.select("channel", "kind").iter_rows()], dtype=pl.Float64)
    return found.with_columns((pl.col("drawn") * scale).round_sig_figs(5).alias("value")).drop("drawn")


def daily(run: RunResult, channel: str = "voice") -> Figure | None:
    """Draw the attempts of each day that were intercepted, and those that got through."""
    if channel not in channels_of(run):
        return None
    alt = altair()
    found = counted(run, "date").filter(
        (pl.col("channel") == channel) & pl.col("kind").is_in(["intercepted", "got through"])
    )
    largest = found.group_by("date").agg(pl.col("value").sum())["value"].max() or 1.0
    size, word = sized(float(largest))  # type: ignore[arg-type]
    data = found.select(
        pl.col("date").dt.strftime("%Y-%m-%dT00:00:00"), "kind", (pl.col("value") / size).round_sig_figs(4)
    )
    unit = f"{word} {CHANNELS[channel]} a day".strip()
    kinds = ["intercepted", "got through"]
    chart = (
        alt.Chart(data)
        .mark_area(interpolate="step-after", line=False, opacity=0.92)
        .encode(
            x=alt.X("date:T", title=None, axis=alt.Axis(format="%b" if run.days > 90 else "%d %b", grid=False)),
            y=alt.Y("value:Q", title=unit, stack="zero", axis=alt.Axis(tickCount=5)),
            color=alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=[BLUE, VERMILION])),
            order=alt.Order("kind:N", sort="ascending"),
            tooltip=[
                alt.Tooltip("date:T", format="%d %b %Y"),
                alt.Tooltip("kind:N"),
                alt.Tooltip("value:Q", title=unit, format=",.3~f"),
            ],
        )
        .properties(height=220)
    )
    spans = {kind: found.filter(kind=kind)["value"] for kind in kinds}
    through = spans["got through"]
    finding = (
        f"{amount(float(through.mean() or 0))} {CHANNELS[channel]} get through on a day, "  # type: ignore[arg-type]
        f"{amount(float(spans['intercepted'].mean() or 0))} are intercepted"  # type: ignore[arg-type]
    )
    return Figure(f"daily-{channel}", finding, chart, "Days share out the run's estimate by what was counted on each.")


def funnel(run: RunResult, channel: str = "voice") -> Figure | None:
    """Draw the way from latent attempts to those that are answered or delivered, step by step."""
    if channel not in channels_of(run):
        return None
    alt = altair()
    found = estimates_of(run)
    steps = list(_steps(run, channel, found))
    size, word = sized(found[f"{channel}.latent"].value)
    made = found[f"{channel}.made"].value
    data = pl.DataFrame(
        {
            "name": [name for name, *_ in steps],
            "shown": [
                f"{_MINUS if kind in _TAKEN else ''}{amount(value)} · {per_cent(value / made)}"
                if name != "latent"
                else amount(value)
                for name, kind, _, value in steps
            ],
            "start": [round(start / size, 5) for _, _, start, _ in steps],
            "end": [round((start + value) / size, 5) for _, _, start, value in steps],
            "kind": [kind for _, kind, _, _ in steps],
        }
    )

    def marks(base: Any, x: Any) -> list[Any]:
        color = alt.Color(
            "kind:N",
            legend=None,
            scale=alt.Scale(domain=["left", "taken", "not made", "through"], range=[BLUE, SKY, GREY, VERMILION]),
        )
        return [base.mark_bar(height=16, yOffset=9).encode(x=x("start"), x2="end:Q", color=color)]

    unit = CHANNELS[channel]
    through = found[f"{channel}.answered" if channel == "voice" else f"{channel}.delivered"]
    ended = "answered" if channel == "voice" else "delivered"
    finding = (
        f"Of {amount(made)} fraud {unit} made, {amount(found[f'{channel}.intercepted'].value)} are intercepted "
        f"and {amount(through.value)} {ended}"
    )
    labels = {f"{channel}.{name}": name for name in ("latent", "not made", "made", "intercepted", "delivered")}
    labels |= {f"{channel}.{name}": name for name in ("lost", "failed", "unanswered", "answered", "expired")}
    status = dict(run.summary.select("metric", "status").iter_rows())
    table = tuple(
        (name, amount(e.value), between(e.low, e.high, e.value), status[metric])
        for metric, name in labels.items()
        if (e := found.get(metric)) is not None and (e.value or name == "lost")
    )
    return Figure(
        f"funnel-{channel}",
        finding,
        rows_of(data, marks, title=f"{word} {unit} {over(run)}".strip()),
        "Dark bars are what is left, light ones what each step takes, in per cent of attempts made. Latent attempts "
        "are those that there would be if no line fell silent.",
        (unit, "estimate", "95 % interval", "status"),
        table,
    )


def _steps(run: RunResult, channel: str, found: dict[str, Estimate]) -> Iterator[tuple[str, str, float, float]]:
    """Yield (name, kind, start, length) of the bars of a funnel, from the widest to the last."""
    value = {metric.removeprefix(f"{channel}."): e.value for metric, e in found.items()}
    yield "latent", "left", 0.0, value["latent"]
    left = value["made"]
    if value["not made"]:
        yield "not made (line silent)", "not made", left, value["not made"]
    yield "made", "left", 0.0, left
    for policy in run.scenario.policies:
        taken = value.get(f"intercepted by {policy.id}", 0.0)
        if taken:
            left -= taken
            yield policy.id, "taken", left, taken
    for loss, name in (("lost", "lost on the way"), ("expired", "expired on the way")):
        if value.get(loss):
            left -= value[loss]
            yield name, "taken", left, value[loss]
    if channel == "sms":
        yield "delivered", "through", 0.0, value["delivered"]
        return
    yield "delivered", "left", 0.0, value["delivered"]
    left = value["delivered"]
    for loss in ("failed", "unanswered"):
        if value.get(loss):
            left -= value[loss]
            yield loss, "taken", left, value[loss]
    yield "answered", "through", 0.0, value["answered"]


def rules(run: RunResult, channel: str = "voice") -> Figure | None:
    """Draw what share of attempts each rule matched, and what share no other rule did."""
    made = run.metrics.get(f"{channel}.made")
    if not made:
        return None
    rows = []
    for policy in run.scenario.policies:
        matched = run.metrics.get(f"{channel}.matched by {policy.id}", 0)
        if matched:
            alone = run.metrics[f"{channel}.matched by {policy.id} alone"]
            rows.append({"name": policy.id, "matched": matched / made, "alone": alone / made})
    if not rows:
        return None
    alt = altair()
    for row in rows:
        row["shown"] = f"{per_cent(row['matched'])} · alone {per_cent(row['alone'])}"

    def marks(base: Any, x: Any) -> list[Any]:
        tip = [
            alt.Tooltip("name:N", title="rule"),
            alt.Tooltip("matched:Q", format=".2%"),
            alt.Tooltip("alone:Q", format=".2%", title="no other rule"),
        ]
        bars = base.mark_bar(yOffset=9)
        return [
            bars.encode(x=x("matched"), tooltip=tip, color=alt.value(SKY), size=alt.value(16)),
            bars.encode(x=x("alone"), tooltip=tip, color=alt.value(BLUE), size=alt.value(16)),
        ]

    best = max(rows, key=lambda row: row["matched"])
    own = max(rows, key=lambda row: row["alone"])
    unit = CHANNELS[channel]
    more = (
        f"{per_cent(best['alone'])} no other rule would"
        if own is best
        else f"{own['name']} most that no other rule would, {per_cent(own['alone'])}"
    )
    chart = rows_of(pl.DataFrame(rows), marks, title=f"share of fraud {unit} made, as counted", axis={"format": ".0%"})
    return Figure(
        f"rules-{channel}",
        f"{best['name']} catches most {unit}, {per_cent(best['matched'])}; {more}",
        chart,
        "Light: all that the rule matched. Dark: what it alone matched and would get through without it.",
        ("rule", "matched", "no other rule", "settled by it first"),
        tuple(
            (
                row["name"],
                per_cent(row["matched"]),
                per_cent(row["alone"]),
                per_cent(run.metrics[f"{channel}.settled by {row['name']}"] / made),
            )
            for row in rows
        ),
    )


def ordinary_by_rule(run: RunResult, channel: str = "voice") -> Figure | None:
    """Draw what each rule intercepts of ordinary traffic."""
    found = estimates_of(run)
    made = found.get(f"ordinary {channel}.made")
    if made is None:
        return None
    alt = altair()
    unit = CHANNELS[channel]
    rows: list[dict[str, Any]] = []
    for policy in run.scenario.policies:
        of_fraud = found.get(f"{channel}.intercepted by {policy.id}")
        cut = found.get(f"ordinary {channel}.intercepted by {policy.id}")
        if of_fraud is None or cut is None or not (of_fraud.value or cut.value):
            continue
        shown = amount(cut.value) if cut.value else f"none seen, < {amount(cut.high)}"
        rows.append(
            {
                "name": policy.id,
                "shown": shown,
                "value": cut.value,
                "low": cut.low,
                "high": cut.high,
                "seen": cut.value > 0,
                "fraud": of_fraud.value,
            }
        )
    if not rows:
        return None
    size, word = sized(max(row["high"] for row in rows))
    data = pl.DataFrame(rows).with_columns(pl.col("value", "low", "high") / size)
    worst = max(rows, key=lambda row: row["value"])
    finding = (
        f"{worst['name']} cuts off most ordinary {unit}: {amount(worst['value'])} {over(run)}, beside "
        f"{amount(worst['fraud'])} of fraud"
        if worst["value"]
        else f"No rule was seen to cut off ordinary {unit}"
    )
    return Figure(
        f"ordinary-by-rule-{channel}",
        finding,
        rows_of(data, _point_and_interval(alt, ORANGE), title=f"{word} ordinary {unit} {over(run)}".strip()),
        "Hollow: none in the sample of ordinary callers; the line ends where 95 % confidence does.",
        ("rule", "ordinary", "95 % interval", "of fraud", "ordinary per 100,000"),
        tuple(
            (
                row["name"],
                amount(row["value"]),
                between(row["low"], row["high"], row["value"]),
                amount(row["fraud"]),
                amount(row["value"] / made.value * 1e5),
            )
            for row in rows
        ),
    )


def _point_and_interval(alt: Any, color: str) -> Any:
    """Return the marks of rows (value, low, high, seen): hollow where nothing was seen."""

    def marks(base: Any, x: Any) -> list[Any]:
        lines = base.mark_rule(strokeWidth=3, yOffset=9, color=color, opacity=0.55).encode(x=x("low"), x2="high:Q")
        fill = alt.condition("datum.seen", alt.value(color), alt.value("white"))
        tip = [alt.Tooltip("name:N", title=""), alt.Tooltip("shown:N", title="")]
        points = base.mark_point(size=90, yOffset=9, stroke=color, strokeWidth=2.5, opacity=1)
        return [lines, points.encode(x=x("value"), fill=fill, tooltip=tip)]

    return marks


def ordinary_by_class(run: RunResult) -> Figure | None:
    """Draw how many of 100,000 attempts of each class of ordinary callers are intercepted."""
    found = estimates_of(run)
    rows: list[dict[str, Any]] = []
    table = []
    for callers in run.scenario.traffic.ordinary:
        rate, cut = found.get(f"{callers.id}.intercepted per 100,000"), found.get(f"{callers.id}.intercepted")
        if rate is None or cut is None:
            continue
        hit = found[f"{callers.id}.numbers cut off on a day"]
        unit = CHANNELS[callers.channel]
        seen = rate.value > 0
        shown = f"{amount(rate.value)} · {amount(cut.value)}" if seen else f"none seen, < {amount(rate.high)}"
        ends = {"value": rate.value, "low": rate.low, "high": rate.high}
        rows.append({"name": callers.id, "shown": shown, "seen": seen, **ends})
        table.append(
            (
                callers.id,
                f"{amount(cut.value)} {unit}",
                f"{amount(rate.value)} ({between(rate.low, rate.high, rate.value)})",
                f"{amount(hit.value)} ({between(hit.low, hit.high, hit.value)})",
            )
        )
    if not rows:
        return None
    data = pl.DataFrame(rows).sort("value", "high", descending=True)
    worst = data.row(0, named=True)
    return Figure(
        "ordinary-by-class",
        f"{worst['name']} lose most: {amount(worst['value'])} of 100,000 attempts are intercepted"
        if worst["seen"]
        else "No ordinary caller was seen to be cut off",
        rows_of(
            data,
            _point_and_interval(altair(), ORANGE),
            title="intercepted of 100,000 attempts (by powers of ten)",
            scale={"type": "symlog", "constant": 1},
            axis={"values": [0, 1, 10, 100, 1000, 10_000, 100_000], "format": ",d"},
        ),
        "At the right the rate, then attempts over the full-size world. Ordinary callers are a sample of each class; "
        "hollow points are classes in which none was seen.",
        ("class", "intercepted", "of 100,000 (95 %)", "numbers hit on a day (95 %)"),
        tuple(table),
    )
