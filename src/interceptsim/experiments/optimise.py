"""The best points of a study by several objectives at once: a Pareto front, searched for by Optuna in batches.

Optuna is asked for a batch of points, their runs are made as those of a sweep are, and it is told what came of them;
then it is asked for the next. A batch has one size whatever the number of workers, and what is asked hangs on the seed
and on what was told alone: so a search is the same everywhere, and one that was killed goes on where it was.

Points are compared over the same traffic, pair by pair of runs. The front is of the points that no other is better than
on the mean; a point off it is beaten where another is better beyond the intervals of their differences in every
objective, and else told as "within noise". The best of many noisy points looks better than it is: run the front again
with another seed.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from interceptsim.errors import ConfigurationError, ResultsError, nearest_name
from interceptsim.experiments.design import Bundles, Design, Levels, Point
from interceptsim.experiments.executors import RunProgress, open_pool
from interceptsim.experiments.extras import extra
from interceptsim.experiments.store import Store
from interceptsim.experiments.study import Limit, Objective, Optimise, Study
from interceptsim.experiments.sweep import Sweep, make_runs, study_of
from interceptsim.results import by_t
from interceptsim.scenario import Scenario
from interceptsim.shown import Shown
from interceptsim.tables import validated

__all__ = ["Optimum", "optimise"]

_STATUSES = ["front", "within noise", "beaten", "not admitted", "failed"]

Outcomes = NDArray[np.float64]
"""float64 (points, outcomes, replications)."""


@dataclass(frozen=True)
class Optimum(Shown):
    """What a search found, and the sweep over all of its points.

    points  frame (point, axes, for each objective and constraint its name, `NAME low` and `NAME high`, status), by
            status and the first objective; `status` is "front", "within noise" of it, "beaten", "not admitted" by a
            constraint, or "failed". Intervals are 95 % over replications, null for one replication.
    """

    sweep: Sweep
    objectives: tuple[Objective, ...]
    constraints: tuple[Limit, ...]
    points: pl.DataFrame

    @property
    def front(self) -> pl.DataFrame:
        """The points of the front."""
        return self.points.filter(status="front")

    def as_json(self) -> dict[str, Any]:
        """Return what `interceptsim optimise --json` prints."""
        return {**self.sweep.about, "table": str(self.sweep.file), "points": self.points.to_dicts()}


def optimise(
    scenario: Scenario | Study | str | Path,
    design: Mapping[str, Any] | Design | None = None,
    *,
    objectives: Sequence[Mapping[str, Any]] | None = None,
    constraints: Sequence[Mapping[str, Any]] | None = None,
    batch: int | None = None,
    sampler: str | None = None,
    store: str | Path | None = None,
    executor: Executor | str | None = None,
    workers: int | None = None,
    progress: RunProgress | None = None,
    **options: Any,
) -> Optimum:
    """Search a study's axes for the points that are best by its objectives, and return the Pareto front.

    An objective is a table such as {"metric": "voice.delivered"}, {"axis": PATH}, or {"name": "cost", "weights":
    {PATH or METRIC: WEIGHT, ...}}, each with `goal` "least" (the default) or "greatest"; a constraint has `at_most` or
    `at_least` instead. The design's `points` are tried in batches of `batch` by the `sampler` "nsga2" or "tpe"; other
    options are those of `sweep`.

    Raise ConfigurationError for what does not fit, ResultsError where no point gave a result or the executor is lost.
    """
    study = study_of(scenario, design, options)
    asked = {"objectives": objectives, "constraints": constraints, "batch": batch, "sampler": sampler}
    table = {} if study.optimise is None else study.optimise.model_dump(exclude_none=True)
    table |= {key: value for key, value in asked.items() if value is not None}
    aims = validated(Optimise, table, "optimise")
    study = replace(study, optimise=aims, variants={})
    _check_axes(study, aims)
    searching = _Search(study.design, aims)
    kept = Store(store).open()
    points: list[Point] = []
    with open_pool(executor, workers) as pool:
        while len(points) < study.design.points:
            batch_points = searching.ask(min(aims.batch, study.design.points - len(points)))
            made = make_runs(study, batch_points, kept, pool, progress)
            searching.tell(_outcomes(study, aims, batch_points, made))
            points += batch_points
        whole = make_runs(study, points, kept, pool)
    return _found(study, aims, points, whole)


class _Search:
    """Optuna's side: places on axes out, outcomes in."""

    def __init__(self, design: Design, aims: Optimise) -> None:
        self._optuna = extra("optuna", "optimise")
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        self._design = design
        self._aims = aims
        samplers = self._optuna.samplers
        with warnings.catch_warnings():  # what is experimental there is no news to users here
            warnings.simplefilter("ignore")
            if aims.sampler == "nsga2":
                sampler = samplers.NSGAIISampler(seed=design.seed % 2**32, population_size=aims.batch)
            else:
                sampler = samplers.TPESampler(seed=design.seed % 2**32, n_startup_trials=aims.batch, multivariate=True)
            goals = {"least": "minimize", "greatest": "maximize"}
            directions = [goals[objective.goal] for objective in aims.objectives]
            self._study = self._optuna.create_study(directions=directions, sampler=sampler)
        self._asked: list[Any] = []

    def ask(self, n: int) -> list[Point]:
        """Return the next points."""
        distributions = self._optuna.distributions
        space = {
            name: distributions.CategoricalDistribution(list(range(len(axis.grid()))))
            if isinstance(axis, Levels | Bundles)
            else distributions.FloatDistribution(0.0, 1.0)
            for name, axis in self._design.axes.items()
        }
        self._asked = [self._study.ask(space) for _ in range(n)]
        return [
            {
                name: axis.grid()[trial.params[name]]
                if isinstance(axis, Levels | Bundles)
                else axis.at(trial.params[name])
                for name, axis in self._design.axes.items()
            }
            for trial in self._asked
        ]

    def tell(self, outcomes: Outcomes) -> None:
        """Take what came of the points that were asked for last, in their order."""
        failed = self._optuna.trial.TrialState.FAIL
        count = len(self._aims.objectives)
        for trial, means in zip(self._asked, outcomes.mean(axis=2).tolist(), strict=True):
            if not np.isfinite(means).all():
                self._study.tell(trial, state=failed)
                continue
            for limit, value in zip(self._aims.constraints, means[count:], strict=True):
                trial.set_constraint(limit.title, _beyond(limit, value))
            self._study.tell(trial, means[:count])


def _beyond(limit: Limit, value: float) -> float:
    """Return by how much a value goes beyond a limit; 0 or less where it does not."""
    over = [value - limit.at_most] if limit.at_most is not None else []
    under = [limit.at_least - value] if limit.at_least is not None else []
    return max([*over, *under, -np.inf]) if over or under else 0.0


def _check_axes(study: Study, aims: Optimise) -> None:
    """Raise ConfigurationError for an objective on an axis that is none, or is not of numbers."""
    for one in (*aims.objectives, *aims.constraints):
        if one.axis is not None and one.axis not in study.design.axes:
            near = nearest_name(one.axis, study.design.axes)
            raise ConfigurationError(f"optimise: {one.title}", f"no axis {one.axis!r}", nearest=near)
        for name in one.parts:
            axis = study.design.axes.get(name)
            if axis is not None and not all(isinstance(value, int | float) for value in axis.grid()):
                raise ConfigurationError(f"optimise: {one.title}", "wanted an axis of numbers", given=axis.grid()[0])
    for limit in aims.constraints:
        if limit.at_most is None and limit.at_least is None:
            raise ConfigurationError(f"optimise: {limit.title}", "a constraint wants 'at_most' or 'at_least'")


def _outcomes(study: Study, aims: Optimise, points: Sequence[Point], made: Sweep) -> Outcomes:
    """Return the objectives, then the constraints, of points by replication; NaN where a run failed."""
    wanted = [*aims.objectives, *aims.constraints]
    metrics = {name for one in wanted for name in one.parts} - study.design.axes.keys()
    held = made.runs.filter(pl.col("value").is_not_null())
    runs = held.select("point", "replication", "metric", "value").collect()
    known = runs["metric"].unique(maintain_order=True)
    if runs.height:
        for metric in sorted(metrics - set(known)):
            raise ConfigurationError("optimise", f"no metric or axis {metric!r}", nearest=nearest_name(metric, known))
    values = {name: np.full((len(points), study.replications), np.nan) for name in metrics}
    for place, replication, metric, value in runs.filter(pl.col("metric").is_in(metrics)).iter_rows():
        values[metric][place, replication] = value
    for name in study.design.axes.keys() & {name for one in wanted for name in one.parts}:
        values[name] = np.repeat([[float(point[name])] for point in points], study.replications, axis=1)
    there = runs.group_by("point").agg(pl.col("replication").n_unique()).filter(replication=study.replications)["point"]
    gap = np.full((len(points), 1), np.nan)
    gap[there.to_list()] = 0.0
    sums = [sum(weight * values[name] for name, weight in one.parts.items()) for one in wanted]
    return np.stack([one + gap for one in sums], axis=1)


def _found(study: Study, aims: Optimise, points: Sequence[Point], made: Sweep) -> Optimum:
    different = [place for place, point in enumerate(points) if point not in points[:place]]
    outcomes = _outcomes(study, aims, points, made)[different]
    if not np.isfinite(outcomes).any():
        errors = made.failed["error"]
        raise ResultsError(f"no point gave a result; the first error: {errors[0] if len(errors) else 'unknown'}")
    statuses = _statuses(aims, outcomes)
    names = [one.title for one in (*aims.objectives, *aims.constraints)]
    ranked = []
    for place, status, values in zip(different, statuses, outcomes, strict=True):
        row: dict[str, Any] = {"point": place}
        for name, of in zip(names, values, strict=True):
            if name in study.design.axes:  # which has its column
                continue
            ends = by_t(of.tolist()) if len(of) > 1 and np.isfinite(of).all() else None
            value = float(of.mean())
            row |= {name: value if np.isfinite(value) else None}
            row |= {f"{name} low": ends.low if ends else None, f"{name} high": ends.high if ends else None}
        rank = _STATUSES.index(status), float(np.nan_to_num(values[0].mean())), place
        ranked.append((rank, {**row, "status": status}))
    rows = [row for _, row in sorted(ranked, key=lambda pair: pair[0])]
    axes = made.table.select("point", *made.axes).unique("point", keep="first")
    frame = pl.DataFrame(rows, infer_schema_length=None).join(axes, on="point", maintain_order="left")
    frame = frame.select("point", *made.axes, pl.exclude("point", *made.axes))
    return Optimum(made, aims.objectives, aims.constraints, frame)


def _statuses(aims: Optimise, outcomes: Outcomes) -> list[str]:
    """Return the status of each point; the front is that of points that are not worse than another on the mean."""
    count = len(aims.objectives)
    sign = np.array([1.0 if objective.goal == "least" else -1.0 for objective in aims.objectives])
    losses = outcomes[:, :count] * sign[:, None]
    means = outcomes.mean(axis=2)
    statuses = []
    for place in range(len(outcomes)):
        statuses.append("failed" if not np.isfinite(means[place]).all() else "")
        limits = zip(aims.constraints, means[place, count:].tolist(), strict=True)
        if not statuses[place] and any(_beyond(limit, value) > 0 for limit, value in limits):
            statuses[place] = "not admitted"
    rivals = [place for place, status in enumerate(statuses) if not status]
    for place in rivals:
        better = [other for other in rivals if other != place and _is_better(losses[other], losses[place])]
        sure = losses.shape[2] == 1 or any(_is_surely_better(losses[other], losses[place]) for other in better)
        statuses[place] = ("beaten" if sure else "within noise") if better else "front"
    return statuses


def _is_better(one: Outcomes, other: Outcomes) -> bool:
    """Tell whether a point's mean losses (objectives, replications) are less than another's once, and never greater."""
    gaps = (one - other).mean(axis=1)
    return bool((gaps <= 0).all() and (gaps < 0).any())


def _is_surely_better(one: Outcomes, other: Outcomes) -> bool:
    """Tell whether that holds of the ends of their differences' intervals, too."""
    ends = np.array([by_t(gap.tolist()).high for gap in one - other])
    return bool((ends <= 0).all() and (ends < 0).any())
