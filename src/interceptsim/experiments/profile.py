"""What targets cannot tell: the interception ratio, and with it the strength and volume that were fitted under it.

A count of intercepted attempts is met under many a ratio: fewer attempts, of which more are intercepted, or more, of
which fewer are. The profile fits the scenario under each ratio in turn and holds it against its targets. Where they are
met all the same, they cannot tell ratio, strength and volume apart; the band is what that leaves of every result.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from interceptsim.errors import ConfigurationError
from interceptsim.experiments.design import Design, Levels, Point
from interceptsim.experiments.executors import RunProgress, open_pool
from interceptsim.experiments.fits import kept_fits
from interceptsim.experiments.store import Store
from interceptsim.experiments.study import Fit, Study
from interceptsim.experiments.sweep import Sweep, make_runs
from interceptsim.scenario import Scenario
from interceptsim.tables import value_at
from interceptsim.targets import targets_of

__all__ = ["Profile", "profile"]

_MET = 0.02
"""A target is met, too, within two per cent: what seeds of a small world make of a fit by other seeds."""


@dataclass(frozen=True)
class Profile:
    """What a profile over interception ratios found.

    fits  frame (figure, entry, interception_ratio, strength, volume, ratio, low, high, met, error): for each ratio the
          fitted values, and simulated over reported with its 95 % interval; it is `met` where that holds 1 or its
          middle is within two per cent of it; `error` where no strength gives the ratio
    band  frame (metric, value, low, high): every metric under the ratios that the scenario assumes, and how far it
          reaches, intervals included, over all ratios under which the targets are met
    """

    scenario: Scenario
    sweep: Sweep
    fits: pl.DataFrame
    band: pl.DataFrame

    def not_told_apart(self) -> list[dict[str, Any]]:
        """Return for each figure the least and greatest ratio under which it is met, and the paths it leaves open."""
        met = self.fits.filter(pl.col("met"))
        spans = met.group_by("figure", "entry", maintain_order=True).agg(
            pl.col("interception_ratio").min().alias("low"), pl.col("interception_ratio").max().alias("high")
        )
        entries = {entry.id: entry for entry in self.scenario.calibration}
        return [
            {**row, "paths": [_axis(entry.id), entry.strength, entry.volume]}
            for row in spans.to_dicts()
            if row["low"] < row["high"] and (entry := entries[row["entry"]])
        ]


def profile(
    scenario: Scenario,
    ratios: Sequence[float],
    *,
    replications: int = 4,
    seed: int = 1,
    scale: int = 1000,
    seeds: int = 2,
    store: str | Path | None = None,
    executor: Executor | str | None = None,
    workers: int | None = None,
    progress: RunProgress | None = None,
) -> Profile:
    """Fit a scenario under each of some interception ratios, one calibration entry at a time, and run what was found.

    Each fit takes `seeds` runs a trial, each ratio is run with `replications`; both as parts of a sweep, in its `store`
    and by its `executor`.

    Raise ConfigurationError where a scenario has no calibration, or a ratio does not lie between 0 and 1.
    """
    if not scenario.calibration:
        raise ConfigurationError(scenario.name, "has no [[calibration]] entry to profile")
    for ratio in ratios:
        if not 0 < ratio < 1:
            raise ConfigurationError("profile", "wanted interception ratios between 0 and 1", given=ratio)
    assumed: Point = {_axis(entry.id): entry.interception_ratio for entry in scenario.calibration}
    axes = {axis: Levels(values=tuple(dict.fromkeys((value, *ratios)))) for axis, value in assumed.items()}
    points = [assumed, *({**assumed, axis: ratio} for axis in axes for ratio in ratios if ratio != assumed[axis])]
    study = Study(
        scenario=scenario,
        design=Design(axes=axes),
        name=f"{scenario.name}-profile",
        replications=replications,
        seed=seed,
        scale=scale,
        fit=Fit(seeds=seeds),
    )
    kept = Store(store).open()
    with open_pool(executor, workers) as pool:
        made = make_runs(study, points, kept, pool, progress)
    fits = _fits(study, points, made)
    return Profile(scenario, made, fits, _band(made, fits))


def _axis(entry: str) -> str:
    return f"calibration.{entry}.interception_ratio"


def _fits(study: Study, points: Sequence[Point], made: Sweep) -> pl.DataFrame:
    fits = kept_fits(study, points, made.store)
    estimates = made.estimates
    errors = dict(made.failed.select("point", "error").unique("point").iter_rows())
    tables = study.scenario.as_dict()
    rows = []
    for place, point in enumerate(points):
        for entry, target in zip(study.scenario.calibration, targets_of(study.scenario), strict=False):
            ratio = point[_axis(entry.id)]
            if place and ratio == entry.interception_ratio:
                continue  # this point is about another entry
            fitted = fits.get(place, {})
            values = (None, None)
            if not isinstance(fitted, str):
                now = {path: value_at(tables, path) for path in (entry.strength, entry.volume)}
                now |= {path: fitted[path].value for path in now.keys() & fitted.keys()}
                values = (now[entry.strength], now[entry.volume])
            error = errors.get(place)
            share: tuple[float, float, float] | tuple[None, None, None] = (None, None, None)
            if error is None:
                [of] = estimates.filter(point=place, metric=target.quantity).to_dicts()
                reported = target.value * study.days_of(study.scenario) / target.days
                share = (of["value"] / reported, of["low"] / reported, of["high"] / reported)
            met = _is_met(*share)
            rows.append((place, target.id, entry.id, ratio, *values, *share, met, error))
    schema = {
        "point": pl.Int64,
        **dict.fromkeys(("figure", "entry"), pl.String),
        **dict.fromkeys(("interception_ratio", "strength"), pl.Float64),
        "volume": pl.String,
        **dict.fromkeys(("ratio", "low", "high"), pl.Float64),
        "met": pl.Boolean,
        "error": pl.String,
    }
    return pl.DataFrame(rows, schema, orient="row").sort("entry", "interception_ratio")


def _is_met(share: float | None, low: float | None, high: float | None) -> bool:
    if share is None or low is None or high is None:
        return False
    return low <= 1 <= high or abs(share - 1) <= _MET


def _band(made: Sweep, fits: pl.DataFrame) -> pl.DataFrame:
    met = fits.group_by("point").agg(pl.col("met").all()).filter("met")["point"].to_list()
    estimates = made.estimates.filter(pl.col("point").is_in([0, *met]))
    reach = estimates.group_by("metric", maintain_order=True).agg(pl.col("low").min(), pl.col("high").max())
    return estimates.filter(point=0).select("metric", "value").join(reach, on="metric", maintain_order="left")
