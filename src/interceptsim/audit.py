"""Leakage audit: how well one visible column, or a shallow tree over all, tells fraud from ordinary traffic.

Synthetic data often have a fault that one rule finds all fraud. Here a scenario runs for a few days with every attempt
recorded, and each column that rules may see has to separate the classes by itself: attempt by attempt, and number by
number. The verdicts of the filter are no columns.

A row stands for as many of its own class as there are in the full-size world. A line of a group stands for
lines / sampled lines of the country; an ordinary line that is seen for a panel of p days of D stands in each of its
attempts for D / p as many again. So each class is mixed as it would be in full. How rare fraud is plays no part: an
AUC is the chance that an attempt of fraud ranks above an ordinary one.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from interceptsim.attempts import CHANNELS, LOCAL_OFFSET_US
from interceptsim.errors import ConfigurationError
from interceptsim.filtering.plan import compile_filter
from interceptsim.filtering.policies import LimitFanOut
from interceptsim.results import RunResult
from interceptsim.scenario import Scenario
from interceptsim.separation import Leaf, balanced, bins_of, code_auc, shallow_tree, weighted_auc, weighted_quantiles
from interceptsim.simulation import run
from interceptsim.traffic.model import CallerGroup
from interceptsim.units import DAY_US, HOUR_US, SECOND_US
from interceptsim.world import SIMULATED_COLUMNS, World

__all__ = ["Audit", "View", "audit", "audit_run"]

ORDINARY_ATTEMPTS = 1_000_000
"""About how many ordinary attempts an audit looks at, shared out evenly among the groups of callers."""

LEAST_LINES = 20
"""No sample of a group is made smaller than this."""

_PREFIX = " first digits: "
_LONGEST_PREFIX = 6
_HASH = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_REACHED = ("failed", "unanswered", "answered")
_DURATIONS = ("mean", "median")
_AS_MESSAGES = {"attempts": "messages sent", "incoming an active day": "received an active day"}


@dataclass(frozen=True)
class View:
    """Fraud and ordinary traffic of a channel, by attempt or by number.

    columns  frame (column, by_value, by_code, auc, exceeds), the worst first: AUC of the column as a number, whichever
             way round, and as categories; `auc` is the larger one
    auc      of a tree over all these columns, in the half of the numbers to which it was not fitted
    rules    the leaves of that tree
    """

    channel: str
    per: str
    fraud: int
    ordinary: int
    columns: pl.DataFrame
    auc: float
    rules: tuple[Leaf, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the view as plain tables."""
        return {**asdict(self), "columns": self.columns.to_dicts()}


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    run      the recorded run that was looked at
    callers  frame (channel, callers, numbers, days, statistic, q05, q25, q50, q75, q95): quantiles over the numbers
             that fraudsters and each group of ordinary callers present, each number standing for those of the full-size
             world; `numbers` were seen, over at most `days`
    """

    run: RunResult
    limit: float
    views: tuple[View, ...]
    callers: pl.DataFrame

    @property
    def leaks(self) -> pl.DataFrame:
        """The columns that exceed the limit: frame (channel, per, column, by_value, by_code, auc)."""
        frames = [
            view.columns.filter("exceeds")
            .drop("exceeds")
            .select(pl.lit(view.channel).alias("channel"), pl.lit(view.per).alias("per"), pl.all())
            for view in self.views
        ]
        return pl.concat(frames)

    def as_json(self) -> dict[str, Any]:
        """Return what `interceptsim audit --json` prints."""
        run = self.run
        return {
            "scenario": run.scenario.name,
            "seed": run.seed,
            "scale": run.scale,
            "days": run.days,
            "attempts": run.attempts,
            "limit": self.limit,
            "views": [view.as_json() for view in self.views],
            "callers": self.callers.to_dicts(),
            "leaks": self.leaks.to_dicts(),
        }


def audit(scenario: Scenario, *, limit: float = 0.95, days: int | None = None, **options: Any) -> Audit:
    """Run a scenario with every attempt recorded, and audit what was recorded.

    `days` defaults to the longest panel of ordinary callers; other `options` are those of `run`. Groups of ordinary
    callers are thinned where they would make more attempts than their part of a million, and a rule that only observes
    is added where no rule reads `a_incoming`, so that the column is there. Raise ConfigurationError for a limit that is
    none, or where a channel of fraud has no ordinary callers.
    """
    if not 0.5 < limit <= 1:
        raise ConfigurationError("limit", "wanted more than 0.5 and at most 1", given=limit)
    traffic = scenario.traffic
    ordinary = [group for group in traffic.ordinary if round(group.sample * traffic.sample_ratio)]
    channels = [name for name in CHANNELS if getattr(traffic, name).latent > 0]
    lacking = [name for name in channels if not any(group.channel == name for group in ordinary)]
    if lacking:
        wanted = f"an audit wants ordinary callers on every channel of fraud; {lacking[0]} has none"
        raise ConfigurationError("traffic.ordinary", wanted)
    if not channels:
        raise ConfigurationError("traffic", "an audit wants fraud: 'latent' is 0 on every channel")
    if days is None:
        days = min(max(group.panel for group in ordinary) // DAY_US, scenario.period.days)
    samples: dict[str, Any] = {}
    for group in ordinary:
        of_a_line = group.attempts_per_day * min(group.panel // DAY_US, days)
        enough = max(ORDINARY_ATTEMPTS / len(ordinary) / of_a_line, LEAST_LINES)
        samples[f"traffic.ordinary.{group.id}.busiest"] = {}
        samples[f"traffic.ordinary.{group.id}.sample"] = math.ceil(min(group.sample, enough / traffic.sample_ratio))
    looked_at = scenario.replace(samples)
    if "a_incoming" not in compile_filter(scenario.policies).needs:
        reads = {"kind": "limit-fan-out", "id": "audit", "action": "observe"}
        share = {"min_attempts": 1, "critical": 1.0}
        observer = LimitFanOut.model_validate({**reads, "outgoing_share": share})
        looked_at = looked_at.with_policies([*looked_at.policies, observer])
    return audit_run(run(looked_at, days=days, record="all", **options), limit)


def audit_run(result: RunResult, limit: float = 0.95) -> Audit:
    """Audit a run whose attempts were all recorded.

    Raise ConfigurationError where none were, or where those of fraud and of ordinary callers share no channel.
    """
    if result.decisions is None:
        raise ConfigurationError("run", "an audit wants recorded attempts, and the run has none")
    attempts = _attempts(result, result.decisions)
    views, callers = [], []
    for code, channel in enumerate(CHANNELS):
        there = attempts.filter(pl.col("channel") == code)
        if there["fraud"].n_unique() < 2:
            continue
        views.append(_view(channel, "attempt", there, _columns_of_attempts(there), limit))
        numbers = _numbers(there.filter(pl.col("day") < pl.col("panel").min()))
        views.append(_view(channel, "number", numbers, _columns_of_numbers(numbers, channel), limit))
        callers.append(_statistics(channel, _numbers(there)))
    if not views:
        raise ConfigurationError("run", "an audit wants fraud and ordinary callers who make attempts on one channel")
    return Audit(result, limit, tuple(views), pl.concat(callers))


def _attempts(result: RunResult, decisions: pl.DataFrame) -> pl.DataFrame:
    """Return the recorded attempts with what the audit knows of their lines.

    fraud   bool     the line is run by fraudsters
    callers str      id of its group, or "fraud"
    own     bool     the number it presents is its own
    lines   float64  how many lines of the full-size world the line stands for
    weight  float64  how many attempts of the full-size world an attempt stands for
    panel   int64    days for which the line is seen
    day     int64    day of the attempt, from 0 on the first of them
    """
    world = World(result.scenario, result.seed, result.scale, result.days)
    population, names = world.population, world.population.names
    whole = result.days
    panel = np.array([min(g.panel // DAY_US, whole) if isinstance(g, CallerGroup) else whole for g in names])
    group = population.lines["group"]
    lines = pl.DataFrame(
        {
            "line_id": np.arange(len(group), dtype=np.uint32),
            "fraud": ~population.ordinary[group],
            "callers": np.where(population.ordinary, [g.id for g in names], "fraud")[group],
            "own": np.array([g.cli == "own" for g in names])[group],
            "lines": population.weights[group],
            "weight": (population.weights * whole / panel)[group],
            "panel": panel[group],
            "starts_us": world.epoch_us + np.maximum(population.lines["starts_us"], world.from_hour * HOUR_US),
        }
    )
    day = (pl.col("time_us") - pl.col("starts_us")) // DAY_US
    return decisions.join(lines, on="line_id", maintain_order="left").with_columns(day.alias("day"))


def _columns_of_attempts(attempts: pl.DataFrame) -> dict[str, NDArray[Any]]:
    """Return all that rules may see of an attempt, and what digits and hours tell at a glance."""
    seen = {name: attempts[name].to_numpy() for name in SIMULATED_COLUMNS if name != "channel"}
    return {**seen, "hour of day": (seen["time_us"] + LOCAL_OFFSET_US) % DAY_US // HOUR_US, **_digits(seen["a_number"])}


def _digits(number: NDArray[np.uint64]) -> dict[str, NDArray[Any]]:
    """Return the length of numbers and their leading digits."""
    length = np.searchsorted(10 ** np.arange(1, 20, dtype=np.uint64), number, side="right") + 1
    found: dict[str, NDArray[Any]] = {"a_number length": length}
    for k in range(1, _LONGEST_PREFIX + 1):
        found[f"a_number{_PREFIX}{k}"] = number // np.uint64(10) ** np.maximum(length - k, 0).astype(np.uint64)
    return found


def _numbers(attempts: pl.DataFrame) -> pl.DataFrame:
    """Return, for each number that a line presents as its own, who uses it and what it did.

    Numbers that spoofers present are used once or belong to others: there is no conduct to judge.
    """
    number = ("line_id", "a_number")
    talk = pl.col("duration_us").filter("answered") / SECOND_US
    own = attempts.filter("own").with_columns((pl.col("time_us") // HOUR_US).alias("hour"))
    hours = own.group_by(*number, "hour").agg(pl.len().alias("attempts"))
    days = own.group_by(*number, "day").agg(pl.col("a_incoming").max())
    return (
        own.group_by(*number)
        .agg(
            pl.col("fraud", "callers", "lines", "panel", "a_kind", "entry", "roaming").first(),
            pl.len().alias("attempts"),
            pl.col("b_number").n_unique().alias("contacts"),
            pl.col("text_score").mean(),
            (pl.col("link") > 0).mean().alias("with_link"),
            (pl.col("outcome") == "answered").sum().alias("answered"),
            pl.col("outcome").is_in(_REACHED).sum().alias("reached"),
            *(getattr(talk, of)().alias(f"{of} duration (s)") for of in _DURATIONS),
        )
        .join(hours.group_by(number).agg(pl.col("attempts").max().alias("busiest_hour")), on=number)
        .join(
            days.group_by(number).agg(pl.len().alias("days"), pl.col("a_incoming").sum().alias("incoming")), on=number
        )
        .with_columns(pl.col("lines").alias("weight"))
        .sort(number)
    )


def _columns_of_numbers(numbers: pl.DataFrame, channel: str) -> dict[str, NDArray[Any]]:
    """Return what can be said of each number by what its attempts show."""
    shown = numbers.select(
        "a_number",
        "a_kind",
        "entry",
        "roaming",
        *_conduct(),
        pl.col("busiest_hour").alias("attempts in its busiest hour"),
    )
    if channel == "voice":  # of numbers whose calls reached nobody nothing is known: they stand in the middle
        answered = pl.col("answered") / pl.col("reached")
        middle = pl.col("answered").sum() / pl.col("reached").sum()
        durations = [pl.col(f"{of} duration (s)") for of in _DURATIONS]
        talked = [of.fill_null(of.median()).fill_null(0.0) for of in durations]
        more = numbers.select(answered.fill_nan(middle).fill_nan(0.0).alias("answered share"), *talked)
    else:
        more = numbers.select(
            pl.col("text_score").alias("mean text_score"), pl.col("with_link").alias("share with link")
        )
    columns = {series.name: series.to_numpy() for series in (*shown, *more)}
    return {**columns, **_digits(columns["a_number"])}


def _conduct() -> list[pl.Expr]:
    """Return what is said of callers, as expressions over the frame of numbers."""
    attempts = pl.col("attempts")
    return [
        attempts,
        (attempts / pl.col("days")).alias("attempts an active day"),
        (pl.col("contacts") / attempts).alias("contacts per attempt"),
        (attempts / pl.col("contacts")).alias("attempts per contact"),
        (attempts / (attempts + pl.col("incoming"))).alias("outgoing share"),
        pl.col("days").alias("active days"),
        (pl.col("incoming") / pl.col("days")).alias("incoming an active day"),
    ]


def _view(channel: str, per: str, rows: pl.DataFrame, columns: dict[str, NDArray[Any]], limit: float) -> View:
    """Judge each column, and a tree over all but the leading digits, which the number itself tells."""
    fraud, weight = rows["fraud"].to_numpy(), rows["weight"].to_numpy()
    number = rows["a_number"].to_numpy()
    half = number * _HASH >> np.uint64(63) > 0  # all that a number does falls in one half
    heavy = balanced(weight, fraud)
    judged, binned = [], {}
    for name, values in columns.items():
        by_value = weighted_auc(values, heavy, fraud)
        if _PREFIX in name:
            codes = np.unique(values, return_inverse=True)[1]
        else:
            codes, _ = binned[name] = bins_of(values, heavy)
        judged.append((name, max(by_value, 1 - by_value), code_auc(codes, heavy, fraud, half)))
    found = pl.DataFrame(judged, ["column", "by_value", "by_code"], orient="row")
    auc = pl.max_horizontal("by_value", "by_code")
    found = found.with_columns(auc.alias("auc"), (auc > limit).alias("exceeds")).sort(-auc, "column")
    tree = shallow_tree(binned, heavy, fraud, half)
    return View(channel, per, int(fraud.sum()), int((~fraud).sum()), found, tree.auc, tree.leaves)


def _statistics(channel: str, numbers: pl.DataFrame) -> pl.DataFrame:
    """Return quantiles of the conduct of fraudsters' numbers, of ordinary ones together, and of each group."""
    everybody = numbers.filter(~pl.col("fraud"))
    some = {"fraud": numbers.filter("fraud"), "ordinary": everybody}
    some |= {str(name): group for (name,), group in everybody.group_by("callers", maintain_order=True)}
    rows = []
    for callers, group in some.items():
        if group.is_empty():
            continue
        weight, panel = group["lines"].to_numpy(), group["panel"].to_numpy().max()
        talked = [pl.col(f"{of} duration (s)") for of in _DURATIONS] if channel == "voice" else []
        for series in group.select(*_conduct(), *talked):  # who was not answered has no duration
            known = series.is_not_null().to_numpy()
            if not known.any():
                continue
            points = weighted_quantiles(series.drop_nulls().to_numpy(), weight[known], np.array(_QUANTILES))
            name = _AS_MESSAGES.get(series.name, series.name) if channel == "sms" else series.name
            rows.append((channel, callers, int(known.sum()), int(panel), name, *points.astype(float)))
    names = ["channel", "callers", "numbers", "days", "statistic", *(f"q{q * 100:02.0f}" for q in _QUANTILES)]
    return pl.DataFrame(rows, names, orient="row")
