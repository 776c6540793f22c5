"""Charts of comparisons, sweeps and searches: what differs, over which axis, and which points are best.

Each function gives a `Figure`, or None where there is nothing of the kind. Intervals are those of the study: over
replications, pair by pair where variants are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from interceptsim.experiments.compare import Comparison
from interceptsim.experiments.optimise import Optimum
from interceptsim.experiments.study import Objective
from interceptsim.experiments.sweep import Sweep
from interceptsim.printing_studies import short_names
from interceptsim.report.charts import CHANNELS
from interceptsim.report.look import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
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

__all__ = ["differences", "figures_of_metric", "front", "front_of_objectives", "pairs", "said", "sweep_figures"]

_SHOWN = (
    *("made", "intercepted", "delivered", "answered", "interception ratio", "precision", "labelled", "numbers"),
    *("complaints",),
)
_HARM = (
    *("response.engaged", "response.warned", "response.called", "response.visited", "response.dissuaded"),
    *("response.paid", "harm.transferred", "harm.frozen", "harm.lost"),
)
_COLOURS = [BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY]
_MOST_LEVELS = 12
_MINUS = "\N{MINUS SIGN}"


def _name_of(metric: str, channel: str) -> str:
    """Write a metric as people say it in a chart of one channel."""
    if channel == "harm":
        what = "money " if metric.startswith("harm.") else "people "
        return what + metric.partition(".")[2]
    name = metric.removeprefix(f"{channel}.").removeprefix(f"ordinary {channel}.")
    name = {"numbers": "numbers used", "complaints": "numbers complained of", "delivered": "got through"}.get(
        name, name
    )
    return f"ordinary {name}" if metric.startswith("ordinary ") else name


def _signed(value: float, of: float | None = None) -> str:
    """Write a difference with its sign."""
    return f"{'+' if value > 0 else ''}{amount(value, of)}"


def _share(value: float) -> str:
    """Write a relative change with its sign."""
    if value == 0:
        return "0 %"
    return f"{'+' if value > 0 else _MINUS}{per_cent(abs(value))}"


def _baseline(found: Comparison) -> dict[str, float]:
    of = found.values.filter(pl.col("variant") == found.baseline.name)
    return dict(of.group_by("metric", maintain_order=True).agg(pl.col("value").mean()).iter_rows())


def differences(found: Comparison, variant: str, channel: str = "voice") -> Figure | None:
    """Draw how a variant's metrics differ from the baseline's, as shares of these, with intervals.

    `channel` is "voice", "sms" or "harm".
    """
    before = _baseline(found)
    wanted = [*(f"{channel}.{name}" for name in _SHOWN), f"ordinary {channel}.intercepted"]
    if channel == "harm":
        wanted = list(_HARM)
    rows: list[dict[str, Any]] = []
    table = []
    effects = {row["metric"]: row for row in found.effects.filter(variant=variant).iter_rows(named=True)}
    for metric in wanted:
        effect, base = effects.get(metric), before.get(metric, 0.0)
        if effect is None or not base:
            continue
        low, high = effect["low"], effect["high"]
        alone = low is None
        ends = (effect["difference"],) * 2 if alone else (low, high)
        name = _name_of(metric, channel)
        size = max(abs(ends[0]), abs(ends[1]))
        rows.append(
            {
                "name": name,
                "shown": f"{_signed(effect['difference'])} · {_share(effect['difference'] / base)}",
                "value": effect["difference"] / base,
                "low": ends[0] / base,
                "high": ends[1] / base,
                "told": not alone and (ends[0] > 0 or ends[1] < 0),
            }
        )
        interval = "" if alone else between(*ends, size)
        table.append((name, amount(base), _signed(effect["difference"]), interval))
    if not rows:
        return None
    alt = altair()

    def marks(base: Any, x: Any) -> list[Any]:
        zero = alt.Chart(pl.DataFrame({"zero": [0.0]})).mark_rule(strokeDash=[4, 3], opacity=0.7).encode(x=x("zero"))
        color = alt.condition("datum.told", alt.value(BLUE), alt.value(GREY))
        lines = base.mark_rule(strokeWidth=3, yOffset=9).encode(x=x("low"), x2="high:Q", color=color)
        tip = [alt.Tooltip("name:N", title=""), alt.Tooltip("shown:N", title="")]
        points = base.mark_point(size=90, filled=True, yOffset=9, opacity=1)
        return [zero, lines, points.encode(x=x("value"), color=color, tooltip=tip)]

    metric, fraud, happen = (
        ("harm.lost", "yuan", "are lost")
        if channel == "harm"
        else (f"{channel}.delivered", f"fraud {CHANNELS[channel]}", "get through")
    )
    main = next((row for row in rows if row["name"] == _name_of(metric, channel)), None)
    change = effects[metric]["difference"] if main else 0.0
    more = "more" if change > 0 else "fewer"
    doubt = "" if not main or main["told"] or len(found.seeds) < 2 else ", within the interval of no change"
    finding = (
        f"{variant}: {amount(abs(change))} {more} {fraud} {happen}, {_share(main['value'])}{doubt}"
        if main and change
        else f"{variant}: as many {fraud} {happen}"
    )
    return Figure(
        f"differences-{_slug(variant)}-{channel}",
        finding,
        rows_of(pl.DataFrame(rows), marks, title="change, as a share of the baseline", axis={"format": "+.1~%"}),
        "Grey: the interval holds no change." if len(found.seeds) > 1 else "One pair of runs gives no interval.",
        ("", "baseline", "difference", "95 % interval"),
        tuple(table),
    )


def pairs(found: Comparison, channel: str = "voice") -> Figure | None:
    """Draw the difference of each pair of runs in what gets through."""
    metric = f"{channel}.delivered"
    values = found.values.filter(metric=metric).select("replication", "variant", "value")
    if values.is_empty() or len(found.seeds) < 2:
        return None
    before = values.filter(variant=found.baseline.name).select("replication", before="value")
    each = values.filter(pl.col("variant") != found.baseline.name).join(before, on="replication")
    each = each.with_columns((pl.col("value") - pl.col("before")).alias("difference"))
    size, word = sized(float(each["difference"].abs().max() or 1.0))  # type: ignore[arg-type]
    rows = []
    for variant in found.variants:
        of = each.filter(variant=variant)["difference"]
        fewer = int((of < 0).sum())
        effect = found.effects.filter(variant=variant, metric=metric).row(0, named=True)
        ends = {end: effect[end] / size for end in ("low", "high")}
        rows.append({"name": variant, "shown": f"fewer in {fewer} of {len(of)}", "fewer": fewer, **ends})
    points = each.select(name="variant", pair=pl.col("replication") + 1, difference=pl.col("difference") / size)
    alt = altair()
    order = [row["name"] for row in rows]
    unit = CHANNELS[channel]

    def marks(base: Any, x: Any) -> list[Any]:
        zero = alt.Chart(pl.DataFrame({"zero": [0.0]})).mark_rule(strokeDash=[4, 3], opacity=0.7).encode(x=x("zero"))
        lines = base.mark_rule(strokeWidth=9, yOffset=9, color=SKY, opacity=0.5).encode(x=x("low"), x2="high:Q")
        dots = alt.Chart(points).mark_circle(size=60, yOffset=9, color=BLUE, opacity=0.9)
        y = alt.Y("name:N", sort=order, axis=None)
        tip = ["pair:Q", alt.Tooltip("difference:Q", format="+.4~g")]
        return [zero, lines, dots.encode(x=x("difference"), y=y, tooltip=tip)]

    n = len(found.seeds)
    sure = [row["name"] for row in rows if row["fewer"] in (0, n)]
    finding = (
        f"Every one of {n} pairs of runs agrees on the sign, for each variant"
        if len(sure) == len(rows)
        else f"Pairs of runs disagree on {', '.join(row['name'] for row in rows if row['name'] not in sure)}"
    )
    return Figure(
        f"pairs-{channel}",
        f"{unit.capitalize()}: {finding[0].lower()}{finding[1:]}",
        rows_of(pl.DataFrame(rows), marks, title=f"{word} more or fewer {unit} that get through".strip()),
        "A dot is a pair of runs over the same latent traffic, the band the 95 % interval of their mean.",
    )


def _slug(text: str) -> str:
    """Return a text as part of a file's name."""
    kept = "".join(letter if letter.isalnum() else "-" for letter in text.lower())
    return "-".join(filter(None, kept.split("-"))) or "variant"


def sweep_figures(found: Sweep) -> Iterator[Figure]:
    """Yield for each metric that the study names its charts over the axes, then the front of a search's objectives."""
    for metric in found.about["metrics"]:
        yield from figures_of_metric(found, metric)
    best = front_of_objectives(found)
    if best is not None:
        yield best


def figures_of_metric(found: Sweep, metric: str) -> Iterator[Figure]:
    """Yield the charts of a metric: a heat map over a grid of two axes, else lines or points over each that varies."""
    of = found.estimates.filter(metric=metric)
    if of.is_empty():
        return
    varied = [axis for axis in found.axes if found.table[axis].n_unique() > 1]
    names = dict(zip(varied, short_names(varied), strict=True))
    if len(varied) == 2 and _is_grid(found, varied):
        baseline, *variants = found.about["variants"]
        yield _heat_map(of.filter(variant=baseline), metric, varied, names, "", found)
        effects = found.effects
        for variant in variants:
            changed = effects.filter(variant=variant, metric=metric)
            if changed.height:
                yield _heat_map(changed, metric, varied, names, variant, found)
        return
    for axis in varied or found.axes[:1]:
        yield _lines(of, metric, axis, names.get(axis, axis), found, alone=len(varied) <= 1)


def _is_grid(found: Sweep, axes: list[str]) -> bool:
    levels = [found.table[axis].n_unique() for axis in axes]
    return max(levels) <= _MOST_LEVELS and found.table.select(axes).unique().height > max(levels)


def _slug_of(metric: str, *more: str) -> str:
    return "-".join(_slug(text) for text in (metric, *more))


def _unit_of(metric: str) -> str:
    """Return the unit of a metric, as far as its name tells it."""
    if metric.endswith((" ratio", "precision")):
        return ""
    return next((unit for channel, unit in CHANNELS.items() if f"{channel}." in metric), "")


def said(metric: str) -> str:
    """Write the name of a metric as people say it: "calls delivered" for voice.delivered."""
    for channel, unit in CHANNELS.items():
        for whose, prefix in (("ordinary ", f"ordinary {channel}."), ("", f"{channel}.")):
            if metric.startswith(prefix):
                name = metric.removeprefix(prefix)
                of = name.endswith(" ratio") or name in ("precision", "numbers", "complaints")
                return f"{name} of {whose}{unit}" if of else f"{whose}{unit} {name}"
    return metric


def _written(value: float, metric: str) -> str:
    """Write a value of a metric, shares as percentages."""
    if value < 0:
        return f"{_MINUS}{_written(-value, metric)}"
    return per_cent(value) if metric.endswith((" ratio", "precision")) else amount(value)


def _changed(value: float, metric: str) -> str:
    """Write a difference of a metric with its sign, that of shares in percentage points."""
    text = _written(value, metric).replace("%", "pp")
    return f"+{text}" if value > 0 else text


def _lines(of: pl.DataFrame, metric: str, axis: str, name: str, found: Sweep, *, alone: bool) -> Figure:
    """Return a metric over one axis, with intervals, a colour for each variant."""
    alt = altair()
    ratio = metric.endswith((" ratio", "precision"))
    size, word = (1.0, "") if ratio else sized(float(of["high"].max() or 1.0))  # type: ignore[arg-type]
    scaled = [(pl.col(end) / size).alias(end) for end in ("value", "low", "high")]
    data = of.select("variant", pl.col(axis).alias("axis"), *scaled)
    numeric = data["axis"].dtype.is_numeric()
    order = found.table[axis].unique(maintain_order=True).to_list()
    x = (
        alt.X("axis:Q", title=axis, scale=alt.Scale(zero=False, padding=14), axis=alt.Axis(tickCount=6))
        if numeric
        else alt.X("axis:O", title=axis, sort=order, axis=alt.Axis(labelAngle=0))
    )
    title = f"{word} {_unit_of(metric)}".strip() or ("share" if ratio else metric)
    look = alt.Axis(tickCount=5, **({"format": ".1~%"} if ratio else {}))
    variants = found.about["variants"]
    color = alt.Color(
        "variant:N",
        scale=alt.Scale(domain=variants, range=_COLOURS),
        legend=alt.Legend() if len(variants) > 1 else None,
    )
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=False), axis=look)
    base = alt.Chart(data).encode(x=x, color=color)
    layers = [base.mark_rule(strokeWidth=2.5, opacity=0.5).encode(y=alt.Y("low:Q", title=title), y2="high:Q")]
    if alone:
        layers.append(base.mark_line(strokeWidth=2).encode(y=y))
    tip = ["variant:N", alt.Tooltip("axis", title=axis), alt.Tooltip("value:Q", format=".4~g")]
    layers.append(base.mark_point(filled=True, size=70, opacity=1).encode(y=y, tooltip=tip))
    spans = of.filter(variant=variants[0])["value"]
    low, high = float(spans.min() or 0), float(spans.max() or 0)  # type: ignore[arg-type]
    reach = f"{said(metric)}: {_written(low, metric)} to {_written(high, metric)}"
    finding = reach if alone else f"{reach}, by {name}"
    head = (name, *(("variant",) if len(variants) > 1 else ()), said(metric), "95 % interval")
    rows = []
    for row in of.iter_rows(named=True):
        interval = f"{_written(row['low'], metric)} – {_written(row['high'], metric)}"
        own = (row["variant"],) if len(variants) > 1 else ()
        rows.append((str(row[axis]), *own, _written(row["value"], metric), interval))
    return Figure(
        _slug_of(metric, name),
        finding,
        alt.layer(*layers).properties(height=260),
        f"Intervals are 95 %, over {found.about['replications']} replications.",
        head,
        tuple(rows) if alone else (),
    )


def _heat_map(
    of: pl.DataFrame, metric: str, axes: list[str], names: dict[str, str], variant: str, found: Sweep
) -> Figure:
    """Return a metric over a grid of two axes, or what a variant changes in it; its value stands in each cell."""
    alt = altair()
    across, down = axes
    column = "difference" if variant else "value"
    written = _changed if variant else _written
    shown = [written(value, metric) for value in of[column]]
    data = of.select(
        across=pl.col(across).cast(pl.String), down=pl.col(down).cast(pl.String), value=column, shown=pl.Series(shown)
    )
    low, high = float(data["value"].min() or 0), float(data["value"].max() or 0)  # type: ignore[arg-type]
    most = max(abs(low), abs(high)) or 1.0
    colours, strong = (
        (alt.Scale(domain=[-most, 0, most], range=[BLUE, "#f4f4f4", VERMILION]), f"abs(datum.value) > {0.7 * most}")
        if variant
        else (alt.Scale(range=["#e3eef7", "#08457c"], zero=False), f"datum.value > {low + 0.5 * (high - low)}")
    )
    orders = [[str(v) for v in found.table[axis].unique(maintain_order=True)] for axis in axes]
    base = alt.Chart(data).encode(
        x=alt.X("across:O", sort=orders[0], title=across, axis=alt.Axis(labelAngle=0, grid=False)),
        y=alt.Y("down:O", sort=orders[1], title=names[down], axis=alt.Axis(grid=False)),
    )
    chart = alt.layer(
        base.mark_rect(stroke="white", strokeWidth=2).encode(color=alt.Color("value:Q", scale=colours, legend=None)),
        base.mark_text(fontSize=12).encode(
            text="shown:N", color=alt.condition(strong, alt.value("white"), alt.value("#16191d"))
        ),
    ).properties(height=max(44 * len(orders[1]), 88))
    ends = [written(end, metric) for end in (low, high)]
    told = f"{said(metric)}: {ends[0]} to {ends[1]}"
    return Figure(
        _slug_of(metric, *([variant] if variant else [])),
        f"{variant} minus {found.about['variants'][0]}, {told}" if variant else told,
        chart,
        f"Means over {found.about['replications']} replications."
        + (" Blue: less, orange-red: more than without the variant; pp: percentage points." if variant else ""),
        (names[across], names[down], said(metric), "95 % interval"),
        tuple(
            (
                str(row[across]),
                str(row[down]),
                written(row[column], metric),
                "" if row["low"] is None else f"{written(row['low'], metric)} to {written(row['high'], metric)}",
            )
            for row in of.iter_rows(named=True)
        ),
    )


def front_of_objectives(found: Sweep) -> Figure | None:
    """Draw the points of a search by the first two of its objectives, those that none is better than marked."""
    objectives = [Objective.model_validate(table) for table in found.about.get("objectives", [])][:2]
    if len(objectives) < 2:
        return None
    wide = found.estimates.filter(variant=found.about["variants"][0]).pivot("metric", index="point", values="value")
    axes = found.table.select("point", *found.axes).unique("point", keep="first", maintain_order=True)
    points = axes.join(wide, on="point", maintain_order="left")
    columns = {}
    for one in objectives:
        if not set(one.parts) <= set(points.columns):
            return None
        columns[one.title] = sum(weight * points[name] for name, weight in one.parts.items())
    values = pl.DataFrame(columns).drop_nulls().unique(maintain_order=True)
    signs = [1.0 if one.goal == "least" else -1.0 for one in objectives]
    losses = [[sign * value for sign, value in zip(signs, row, strict=True)] for row in values.iter_rows()]
    marks = [
        not any(other != loss and all(o <= own for o, own in zip(other, loss, strict=True)) for other in losses)
        for loss in losses
    ]
    statuses = ["front" if mark else "beaten on the mean" for mark in marks]
    return _front(values.with_columns(pl.Series("status", statuses)), [one.title for one in objectives])


def front(found: Optimum) -> Figure | None:
    """Draw the points of a search by its first two objectives, by their status."""
    titles = [one.title for one in found.objectives][:2]
    if len(titles) < 2:
        return None
    return _front(found.points.select(*titles, "status").drop_nulls(), titles)


def _front(points: pl.DataFrame, titles: list[str]) -> Figure:
    alt = altair()
    data = points.select(x=titles[0], y=titles[1], status="status")
    sizes = [sized(float(data[column].abs().max() or 1.0)) for column in ("x", "y")]  # type: ignore[arg-type]
    data = data.with_columns(*((pl.col(c) / size).alias(c) for c, (size, _) in zip(("x", "y"), sizes, strict=True)))
    names = [f"{title} ({word})" if word else title for title, (_, word) in zip(titles, sizes, strict=True)]
    known = ["front", "within noise", "beaten on the mean", "beaten", "not admitted"]
    present = [status for status in known if status in set(data["status"])]
    colours = dict(zip(known, [BLUE, SKY, GREY, GREY, ORANGE], strict=True))
    color = alt.Color("status:N", scale=alt.Scale(domain=present, range=[colours[s] for s in present]))
    x = alt.X("x:Q", title=names[0], scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=6))
    y = alt.Y("y:Q", title=names[1], scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
    base = alt.Chart(data).encode(x=x, y=y, color=color)
    lines = alt.Chart(data.filter(status="front").sort("x")).mark_line(
        interpolate="step-after", color=BLUE, opacity=0.6
    )
    tip = [
        alt.Tooltip("x:Q", title=names[0], format=".4~g"),
        alt.Tooltip("y:Q", title=names[1], format=".4~g"),
        "status:N",
    ]
    points_drawn = base.mark_point(filled=True, size=80, opacity=1).encode(tooltip=tip)
    n = data.filter(status="front").height
    return Figure(
        "front",
        f"{n} of {data.height} points are on the front: none is better in both {titles[0]} and {titles[1]}",
        alt.layer(lines.encode(x=x, y=y), points_drawn).properties(height=300),
        "The best of many noisy points looks better than it is: run the front again with another seed.",
    )
