"""What a sweep would take, told before it is begun: runs, time and disk."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from interceptsim.experiments.design import Point
from interceptsim.experiments.fits import fit_name, kept_fits
from interceptsim.experiments.runs import PlannedRun, found_by
from interceptsim.experiments.store import Store
from interceptsim.experiments.study import Study
from interceptsim.experiments.sweep import planned_runs
from interceptsim.simulation import run
from interceptsim.units import DAY_US

__all__ = ["Foreseen", "foresee"]

_TRIALS = 3
_TRIAL_DAYS = 2, 6  # of the shorter trial at the least, and how many more the longer one has
_RUNS_A_FIT = 8  # of a target, times the seeds: what shipped scenarios took


@dataclass(frozen=True)
class Foreseen:
    """What a sweep would take: points, runs in all and those still to be made, calibrations before, seconds, bytes.

    Time and disk are what short trials of up to three of the runs foretell, on this machine.
    """

    points: int
    runs: int
    to_make: int
    fits: int
    wall_s: float
    disk_bytes: int


def foresee(study: Study, store: Store, workers: int, points: Sequence[Point] | None = None) -> Foreseen:
    """Return what the runs at points, by default those of the design, would take with so many workers; write nothing.

    Raise ConfigurationError as the sweep itself would.
    """
    points = study.design.chosen() if points is None else points
    asked = {fit_name(study, *one): one for point in points if (one := study.to_fit(point)) is not None}
    to_fit = asked.keys() - store.names("fits")
    planned = planned_runs(study, study.cells(points, {} if to_fit else kept_fits(study, points, store)))
    there = store.names("runs")
    to_make = [wanted for name, wanted in planned.items() if name not in there]
    chosen = to_make[:: max(1, math.ceil(len(to_make) / _TRIALS))]
    trials = [_trial(wanted) for wanted in chosen]
    each_s, each_bytes = (sum(parts) / len(trials) for parts in zip(*trials, strict=True)) if trials else (0.0, 0.0)
    of_fits = sum(len(asked[name][1]) for name in to_fit) * study.fit.seeds * _RUNS_A_FIT
    return Foreseen(
        points=len(points),
        runs=len(planned),
        to_make=len(to_make),
        fits=len(to_fit),
        wall_s=each_s * (len(to_make) + of_fits * study.scale / (study.fit.scale or study.scale)) / workers,
        disk_bytes=round(each_bytes * len(to_make)),
    )


def _trial(wanted: PlannedRun) -> tuple[float, int]:
    """Return how many seconds a run would take and how large its file would be, from two that are short.

    Both last as long as ordinary callers are seen, who take as much of a short run as of a long one.
    """
    scenario = wanted.prepared.scenario
    bare = scenario.replace({"period.warm_up": "0d"})
    seen = max((callers.panel // DAY_US for callers in scenario.traffic.ordinary), default=0)
    few = min(max(_TRIAL_DAYS[0], seen), wanted.days)
    more = min(few + _TRIAL_DAYS[1], wanted.days)
    run(bare, seed=wanted.seed, scale=wanted.scale, days=1, threads=1)  # what is made once in a process is made here
    short, long = (run(bare, seed=wanted.seed, scale=wanted.scale, days=n, threads=1) for n in (few, more))
    a_day = max(long.wall_s - short.wall_s, 0.0) / max(more - few, 1)
    file = io.BytesIO()
    wanted.rows(found_by(long)).write_parquet(file, metadata={"scenario": json.dumps(scenario.as_dict())})
    return short.wall_s + a_day * (scenario.period.warm_up_days + wanted.days - few), len(file.getvalue())
