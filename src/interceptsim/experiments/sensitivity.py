"""Which assumptions results hang on: Morris' screening of many axes, Sobol's shares of variance of a few.

Both walk through the space of a study's design in steps along one axis at a time, and all runs are those of a sweep.
Morris (Technometrics 33, 1991; mu* of Campolongo et al., 2007): paths of steps half an axis long; `importance` is the
mean size of a step's effect over the whole axis. Sobol by SciPy (Saltelli et al., 2010): `first` is the share of an
outcome's variance that goes when the axis is known, `total` what stays when all others are.

Replications tell the noise floor: what an axis that did nothing would come out as, since runs are random. An axis whose
interval lies above it matters; of one that does not, the study cannot tell. With variants, their differences are
outcomes too, and `rankings` says at how many of an axis' steps their order changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from interceptsim.errors import ConfigurationError, ResultsError, nearest_name
from interceptsim.experiments.design import Design
from interceptsim.experiments.executors import RunProgress, open_pool
from interceptsim.experiments.extras import extra
from interceptsim.experiments.store import Store
from interceptsim.experiments.study import Sensitivity, Study
from interceptsim.experiments.sweep import Sweep, make_runs, study_of
from interceptsim.results import by_t
from interceptsim.scenario import Scenario
from interceptsim.tables import validated

__all__ = ["Sensitivities", "Steps", "sensitivity", "steps_of", "with_method"]

Fractions = NDArray[np.float64]

_BY_MORRIS = ("importance", "low", "high", "effect", "spread", "noise")
_BY_SOBOL = ("first", "first_low", "first_high", "total", "total_low", "total_high", "noise")
_RESAMPLES = 1000
_MEAN_SIZE = math.sqrt(2 / math.pi)  # of a normal deviate
_MANY_RUNS = 100_000


@dataclass(frozen=True)
class Steps:
    """The places that a method looks at, and its steps from one to another.

    fractions  float64 (places, axes), each from 0 to 1
    before     int64 (paths, axes), the place from which a path steps along an axis
    after      int64 (paths, axes), the place that the step leads to
    """

    fractions: Fractions
    before: NDArray[np.int64]
    after: NDArray[np.int64]


@dataclass(frozen=True)
class Sensitivities:
    """What was found, and the sweep that it was found from.

    indices   frame (outcome, metric, axis, ...), the most important axis of an outcome first; an outcome is a variant,
              or one "minus" the baseline. By Morris: importance, low, high, effect, spread, noise; all in the metric's
              unit over the whole axis. By Sobol: first, first_low, first_high, total, total_low, total_high, noise;
              shares of the outcome's variance. Intervals are 95 %; `noise` is null without replications.
    rankings  frame (metric, axis, steps, changes, share, low, high): at how many of an axis' steps the order of the
              variants changes, with Wilson's 95 % interval; empty without variants
    """

    sweep: Sweep
    method: str
    indices: pl.DataFrame
    rankings: pl.DataFrame

    def as_json(self) -> dict[str, Any]:
        """Return what `interceptsim sensitivity --json` prints."""
        return {
            **self.sweep.about,
            "table": str(self.sweep.file),
            "method": self.method,
            "indices": self.indices.to_dicts(),
            "rankings": self.rankings.to_dicts(),
        }


def sensitivity(
    scenario: Scenario | Study | str | Path,
    design: Mapping[str, Any] | Design | None = None,
    *,
    method: str | None = None,
    levels: int | None = None,
    store: str | Path | None = None,
    executor: Executor | str | None = None,
    workers: int | None = None,
    progress: RunProgress | None = None,
    **options: Any,
) -> Sensitivities:
    """Make the runs that tell how sensitive a study's metrics are to its axes, and return what they tell.

    `method` is "morris", for which the design's `points` are paths of one place more than there are axes, or "sobol",
    for which they are base samples, a power of two, each of two places more; other options are those of `sweep`.

    Raise ConfigurationError for what does not fit, ResultsError where a run failed or the executor is lost.
    """
    study, steps = with_method(study_of(scenario, design, options), method, levels)
    kept = Store(store).open()
    with open_pool(executor, workers) as pool:
        made = make_runs(study, study.design.at(steps.fractions), kept, pool, progress)
    return _found(study, steps, made)


def with_method(study: Study, method: str | None = None, levels: int | None = None) -> tuple[Study, Steps]:
    """Return a study by another method or number of levels, where they are given, and the steps that it takes.

    Raise ConfigurationError as `steps_of` does, and for what is no method.
    """
    asked = {"method": method, "levels": levels}
    table = study.sensitivity.model_dump() | {key: value for key, value in asked.items() if value is not None}
    study = replace(study, sensitivity=validated(Sensitivity, table, "sensitivity"))
    return study, steps_of(study)


def steps_of(study: Study) -> Steps:
    """Return the places and steps that a study's method takes.

    Raise ConfigurationError where Sobol's number of points is no power of two, or the runs would be too many.
    """
    design, axes = study.design, len(study.design.axes)
    morris = study.sensitivity.method == "morris"
    runs = design.points * (axes + (1 if morris else 2)) * study.replications * len(study.variant_names)
    if runs > _MANY_RUNS:
        raise ConfigurationError(
            "design.points", f"would take {runs:,} runs; fewer points will do", given=design.points
        )
    if morris:
        return _morris_steps(axes, design.points, study.sensitivity.levels, design.seed)
    if design.points.bit_count() != 1:
        raise ConfigurationError("design.points", "Sobol's method wants a power of two", given=design.points)
    sample = extra("scipy.stats.qmc", "Sobol's method").Sobol(2 * axes, rng=design.seed).random(design.points)
    return _sobol_steps(sample[:, :axes], sample[:, axes:])


def _morris_steps(axes: int, paths: int, levels: int, seed: int) -> Steps:
    """Return random paths over a grid of levels; each steps once along every axis, by half of the levels."""
    rng = np.random.default_rng(seed)
    places, before, after = [], np.zeros((paths, axes), np.int64), np.zeros((paths, axes), np.int64)
    for path in range(paths):
        at = rng.integers(0, levels, axes)
        places.append(at.copy())
        for axis in rng.permutation(axes):
            before[path, axis] = len(places) - 1
            at[axis] += levels // 2 if at[axis] < levels // 2 else -(levels // 2)
            places.append(at.copy())
            after[path, axis] = len(places) - 1
    return Steps(np.array(places) / (levels - 1), before, after)


def _sobol_steps(a: Fractions, b: Fractions) -> Steps:
    """Return the samples A, B, and A with each of its columns in turn from B."""
    n, axes = a.shape
    mixed = [np.where(np.arange(axes) == axis, b, a) for axis in range(axes)]
    before = np.repeat(np.arange(n)[:, None], axes, axis=1)
    after = np.arange(n)[:, None] + n * (2 + np.arange(axes))
    return Steps(np.concatenate([a, b, *mixed]), before, after)


def _found(study: Study, steps: Steps, made: Sweep) -> Sensitivities:
    failed = made.failed
    if failed.height:
        told = f"{failed.height} runs failed, and all are needed; the first: {failed['error'][0]}"
        raise ResultsError(told)
    values = _values(study, made)
    morris = study.sensitivity.method == "morris"
    rows = []
    for (outcome, metric), y in _outcomes(study, values).items():
        found = _morris(steps, y) if morris else _sobol(steps, y, study.design.seed)
        ranked = sorted(zip(study.design.axes, found, strict=True), key=lambda pair: -pair[1][0 if morris else 3])
        rows += [(outcome, metric, axis, *numbers) for axis, numbers in ranked]
    names = _BY_MORRIS if morris else _BY_SOBOL
    schema = {**dict.fromkeys(("outcome", "metric", "axis"), pl.String), **dict.fromkeys(names, pl.Float64)}
    indices = pl.DataFrame(rows, schema, orient="row")
    return Sensitivities(made, study.sensitivity.method, indices, _rankings(study, steps, values))


def _values(study: Study, made: Sweep) -> dict[tuple[str, str], Fractions]:
    """Return, by variant and metric, the values of all runs, float64 (places, replications)."""
    wanted = pl.col("metric").is_in(study.metrics)
    runs = made.runs.select("point", "variant", "replication", "metric", "value").collect()
    known = runs["metric"].unique(maintain_order=True)
    for metric in study.metrics:
        if metric not in known:
            raise ConfigurationError("metrics", f"no metric {metric!r}", nearest=nearest_name(metric, known))
    places = made.table["point"].n_unique()
    found = {(v, m): np.zeros((places, study.replications)) for v in study.variant_names for m in study.metrics}
    for point, variant, replication, metric, value in runs.filter(wanted).iter_rows():
        found[variant, metric][point, replication] = value or 0.0
    return found


def _outcomes(study: Study, values: Mapping[tuple[str, str], Fractions]) -> dict[tuple[str, str], Fractions]:
    """Return the values of all variants, and of how they differ from the baseline."""
    baseline, *variants = study.variant_names
    minus = {
        (f"{variant} minus {baseline}", metric): values[variant, metric] - values[baseline, metric]
        for variant in variants
        for metric in study.metrics
    }
    return {**values, **minus}


def _morris(steps: Steps, y: Fractions) -> list[tuple[Any, ...]]:
    """Return for each axis: importance with its interval, effect, spread and noise, over the whole axis."""
    axes = np.arange(steps.before.shape[1])
    reach = steps.fractions[steps.after, axes] - steps.fractions[steps.before, axes]  # (paths, axes), signed
    by_run = (y[steps.after] - y[steps.before]) / reach[:, :, None]  # (paths, axes, replications)
    effects = by_run.mean(axis=2)
    found = []
    for axis in axes:
        size = by_t(np.abs(effects[:, axis]).tolist())
        spread = float(np.std(effects[:, axis], ddof=1))
        effect = float(np.mean(effects[:, axis]))
        n = y.shape[1]
        errors = np.std(by_run[:, axis], axis=1, ddof=1) / math.sqrt(n) if n > 1 else None
        noise = None if errors is None else float(np.mean(errors)) * _MEAN_SIZE
        found.append((size.value, max(size.low, 0.0), size.high, effect, spread, noise))
    return found


def _sobol(steps: Steps, y: Fractions, seed: int) -> list[tuple[Any, ...]]:
    """Return for each axis: first and total index with their bootstrap intervals, and noise, as shares of variance."""
    n, axes = steps.before.shape
    mean = y.mean(axis=1)
    a, b, mixed = mean[:n], mean[n : 2 * n], mean[2 * n :].reshape(axes, n)
    variance = float(np.var(mean[: 2 * n]))
    if variance == 0:  # nothing moves it
        return [(0.0,) * 7] * axes
    rng = np.random.default_rng(seed)
    whole = _sobol_indices(a, b, mixed)
    drawn = np.array([_sobol_indices(a[rows], b[rows], mixed[:, rows]) for rows in rng.integers(0, n, (_RESAMPLES, n))])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    noise = _noise_variance(y) / variance if y.shape[1] > 1 else None
    return [
        (*(float(part[kind, axis]) for kind in (0, 1) for part in (whole, low, high)), noise) for axis in range(axes)
    ]


def _sobol_indices(a: Fractions, b: Fractions, mixed: Fractions) -> Fractions:
    """Return first and total indices, float64 (2, axes)."""
    func = {"f_A": a[None, :], "f_B": b[None, :], "f_AB": mixed[:, None, :]}
    with np.errstate(invalid="ignore", divide="ignore"):  # a resample may hold one value alone
        found = extra("scipy.stats", "Sobol's method").sobol_indices(func=func, n=len(a))
    return np.nan_to_num(np.array([found.first_order.ravel(), found.total_order.ravel()]))


def _noise_variance(y: Fractions) -> float:
    """Return the variance that means over replications have from their number.

    It is of what is left of runs when the means of their place and of their replication are taken away.
    """
    left = y - y.mean(axis=1, keepdims=True) - y.mean(axis=0, keepdims=True) + y.mean()
    places, n = y.shape
    return float(np.sum(left**2)) / ((places - 1) * (n - 1)) / n


def _rankings(study: Study, steps: Steps, values: Mapping[tuple[str, str], Fractions]) -> pl.DataFrame:
    rows = []
    for metric in study.metrics if study.variants else ():
        means = np.array([values[variant, metric].mean(axis=1) for variant in study.variant_names])
        order = np.argsort(means, axis=0, kind="stable")  # (variants, places)
        for axis, name in enumerate(study.design.axes):
            changed = (order[:, steps.before[:, axis]] != order[:, steps.after[:, axis]]).any(axis=0)
            rows.append((metric, name, len(changed), int(changed.sum()), *_share(int(changed.sum()), len(changed))))
    schema = {
        **dict.fromkeys(("metric", "axis"), pl.String),
        **dict.fromkeys(("steps", "changes"), pl.Int64),
        **dict.fromkeys(("share", "low", "high"), pl.Float64),
    }
    return pl.DataFrame(rows, schema, orient="row").sort(
        "metric", "changes", descending=[False, True], maintain_order=True
    )


def _share(count: int, of: int) -> tuple[float, float, float]:
    """Return a share with its 95 % interval (Wilson, J. American Statistical Association 22, 1927)."""
    z = NormalDist().inv_cdf(0.975)
    middle = (count + z**2 / 2) / (of + z**2)
    reach = z / (of + z**2) * math.sqrt(count * (of - count) / of + z**2 / 4)
    return count / of, max(middle - reach, 0.0), min(middle + reach, 1.0)
