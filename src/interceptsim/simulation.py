"""The columnar engine: a scenario and a seed in, a `RunResult` out.

SimPy's clock is the control plane's; the traffic advances slice by slice. In each slice the data plane first
decides every attempt, then the control plane lives through the same time and receives what came of them; only people
and desks are served while the data plane is already at the next slice.
What control changes must lie at or beyond the end of the slice; a slice is never longer than the least delay
of such a change, so nothing depends on how long it is.
"""

from __future__ import annotations

import functools
import resource
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import polars as pl

from interceptsim.compiled import cores
from interceptsim.control import ControlPlane
from interceptsim.dataplane import BATCH_ROWS, DataPlane
from interceptsim.errors import ConfigurationError
from interceptsim.findings import Findings
from interceptsim.recorder import Recorder
from interceptsim.reference import ReferenceEngine
from interceptsim.results import RunResult, digest_of
from interceptsim.scenario import MIN_SLICE_US, Scenario
from interceptsim.traffic.bands import bands_of
from interceptsim.traffic.population import FOLDS
from interceptsim.units import DAY_US, YEAR_DAYS, format_duration
from interceptsim.world import Progress, Tally, World

__all__ = ["Engine", "Progress", "Record", "recorded_bytes", "run"]

Record = Literal["none", "sample", "all"]

_ROW_BYTES = 48  # a recorded attempt in Parquet, as measured on china-2025

Engine = Literal["columnar", "reference"]


def run(
    scenario: Scenario,
    *,
    policies: Iterable[Any] | None = None,
    seed: int = 1,
    scale: int = 1000,
    days: int | None = None,
    threads: int | None = None,
    slice_us: int | None = None,
    engine: Engine = "columnar",
    record: Record = "none",
    progress: Progress | None = None,
    batch_rows: int = BATCH_ROWS,
    record_folder: Path | None = None,
) -> RunResult:
    """Run a scenario and return what it found.

    `policies`, where given, take the place of the scenario's: policies of any origin, or functions of a batch.
    `scale` N simulates one line and one subscriber in N; `days` counts only so many days of the period;
    `threads` defaults to the cores that are there. `slice_us` (default: the scenario's least posting delay)
    and `batch_rows` change nothing but the speed. Nor does `engine`: "reference" is a plain SimPy program with a
    process for every attempt, hundreds of times slower. `record` keeps no attempt, those of a fiftieth
    of the lines, or all; with `record_folder` they are written there as they come.
    Those of the warm-up are kept too, apart, where a rule remembers numbers over midnight.

    Raise ConfigurationError for an argument out of range.
    """
    if policies is not None:
        scenario = scenario.with_policies(policies)
    period = scenario.period
    counted_days = period.days if days is None else days
    slice_us = scenario.slice_us if slice_us is None else slice_us
    threads = cores() if threads is None else threads
    _check_range("seed", seed, 0, 2**64 - 1)
    _check_range("scale", scale, 1, 1_000_000)
    _check_range("days", counted_days, 1, period.days)
    _check_range("threads", threads, 1, 64)
    if engine not in get_args(Engine):
        raise ConfigurationError("engine", "wanted 'columnar' or 'reference'", given=engine)
    longest = scenario.lookahead_us or DAY_US
    if not MIN_SLICE_US <= slice_us <= longest:
        wanted = f"{format_duration(MIN_SLICE_US)} to {format_duration(longest)}, the least delay of what control posts"
        raise ConfigurationError("slice", f"wanted {wanted}", given=format_duration(slice_us))
    compile_s = _compile()
    started = time.perf_counter()
    world = World(scenario, seed, scale, counted_days)
    recorder = _recorder(record, world, record_folder)
    if engine == "reference":
        slice_us, threads = 0, 1
        tally, time_ratio = ReferenceEngine(world, recorder).run(progress), None
    else:
        tally, time_ratio = _in_columns(world, recorder, threads, slice_us, batch_rows, progress)
    findings = Findings(world, tally)
    metrics, harm = findings.metrics(), findings.harm
    recorded, before = recorder.finish() if recorder else (None, None)
    return RunResult(
        scenario=scenario,
        seed=seed,
        scale=scale,
        days=counted_days,
        slice_us=slice_us,
        threads=threads,
        engine=engine,
        attempts=tally.attempts,
        metrics=metrics,
        targets=findings.targets(),
        summary=findings.summary(),
        daily=findings.daily(),
        harm=harm.frame() if harm else None,
        harm_daily=harm.daily() if harm else None,
        desks=harm.desks() if harm else None,
        stories=harm.stories() if harm else None,
        decisions=recorded,
        warm_up=before,
        truth=pl.DataFrame(vars(world.population.truth())) if recorder else None,
        changes=findings.changes() if recorder else None,
        wall_s=time.perf_counter() - started,
        compile_s=compile_s,
        peak_rss_bytes=peak_rss_bytes(),
        ordinary_time_ratio=time_ratio,
        digest=digest_of(
            metrics, [tally.daily, tally.totals.folds, tally.totals.rules, *(harm.arrays() if harm else ())]
        ),
    )


def _in_columns(
    world: World, recorder: Recorder | None, threads: int, slice_us: int, batch_rows: int, progress: Progress | None
) -> tuple[Tally, float]:
    """Advance the data plane and control slice by slice; return what is found, and ordinary callers' part of time."""
    warm_up, days = world.scenario.period.warm_up_days, world.days
    plane = DataPlane(world, threads, batch_rows, recorder.add if recorder else None, slice_us)
    network = world.network_load()
    response = world.response(story_folds=recorder.story_folds if recorder else 0)
    control = ControlPlane(
        world.scenario,
        world.key,
        plane,
        network=network,
        response=response,
        wrongly_listed=world.wrongly_listed(),
        keep_posted=recorder is not None,
    )
    cut_us = network.every_us if network else DAY_US
    by_day = np.zeros((days, *plane.take_day().shape), np.int64)
    decided_before = 0
    try:
        control.run_until(0)
        for day in range(warm_up + days):
            if day == warm_up:
                decided_before = plane.totals().made()
                plane.begin_counting()
                control.begin_counting()
                if recorder:
                    recorder.begin_counting()
            for edge in _edges(day * DAY_US, slice_us, cut_us):
                control.receive(plane.advance(edge, control.serve))
                control.run_until(edge)
            counts = plane.take_day()
            if day >= warm_up:
                by_day[day - warm_up] = counts
            if recorder:
                recorder.end_day()
            if progress:
                progress(day + 1, warm_up + days, decided_before + plane.totals().made())
        plane.end()
    finally:
        plane.close()
    totals = plane.totals()
    made = decided_before + totals.made()
    told = control.handed_over, control.listed, control.posted, control.network_counts(), control.finish()
    tally = Tally(totals, by_day, made, *told, control.wrongly_listed)
    return tally, plane.ordinary_time_ratio


def _check_range(name: str, given: int, low: int, high: int) -> None:
    if not low <= given <= high:
        raise ConfigurationError(name, f"wanted a whole number from {low} to {high}", given=given)


def recorded_bytes(scenario: Scenario, scale: int, days: int | None, record: str, folder: Path) -> int:
    """Return about how many bytes a record will take on disk; refuse one that would not fit into `folder`."""
    traffic, counted = scenario.traffic, scenario.period.days if days is None else days
    if any(getattr(policy, "window", None) == "leaky-bucket" for policy in scenario.policies):
        counted += scenario.period.warm_up_days  # the warm-up is kept too
    rows = (traffic.voice.latent + traffic.sms.latent) / YEAR_DAYS * counted / scale
    for callers in traffic.ordinary:
        for band in bands_of(callers, traffic.sample_ratio, scale):
            rows += band.kept * min(callers.panel / DAY_US, counted) * band.attempts_per_day
    size = round(rows * _ROW_BYTES / (FOLDS if record == "sample" else 1))
    free = shutil.disk_usage(folder).free
    if 2 * size > free:  # the parts and the whole stand side by side for a moment
        raise ConfigurationError(
            "--record",
            f"would take about {2 * size / 1e9:.3g} GB while writing; {free / 1e9:.3g} GB are free",
        )
    return size


def peak_rss_bytes() -> int:
    """Return the most memory this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _edges(from_us: int, slice_us: int, cut_us: int = DAY_US) -> Iterator[int]:
    """Yield the ends of the slices of one local day, cut at the multiples of `cut_us`, a part of a day."""
    end = from_us + DAY_US
    edge = from_us
    while edge < end:
        edge = min(edge + slice_us, edge - edge % cut_us + cut_us)
        yield edge


def _recorder(record: Record, world: World, folder: Path | None) -> Recorder | None:
    if record == "none":
        return None
    keep = world.population.lines["fold"] == 0 if record == "sample" else None
    return Recorder(world.core.rules, folder, keep, from_start=not world.core.forgets)


@functools.cache
def _compile() -> float:
    """Compile the kernels, or load them from the cache, by a run of one tiny day; return the seconds."""
    started = time.perf_counter()
    scenario = Scenario.model_validate(_tiny_scenario())
    world = World(scenario, 0, 1, 1)
    plane = DataPlane(world, 1, 64)
    control = ControlPlane(scenario, world.key, plane)
    for edge in _edges(0, scenario.slice_us):
        control.receive(plane.advance(edge))
        control.run_until(edge)
    plane.end()
    return time.perf_counter() - started


def _tiny_scenario() -> dict[str, object]:
    """Return the tables of a scenario of a few lines that passes through every kernel."""
    line = {
        "hub": "h",
        "channel": "voice",
        "entry": "mobile-access",
        "share": 0.5,
        "profile": "p",
        "attempts_per_day": 50,
        "rate_sigma": 0.5,
        "number_life": {"mean": "2h"},
        "notice": {"median": "1h", "sigma": 0.5},
        "resupply": "1h",
    }
    rules: list[dict[str, object]] = [
        {"kind": "allow-listed-numbers", "numbers": ["12381"]},
        {"kind": "reject-listed-numbers", "delay": "1h"},
        {"kind": "reject-spoofed-origin"},
        {"kind": "limit-attempts", "per_day": {"critical": 5}},
        {"kind": "score-text", "threshold": 0.5},
    ]
    return {
        "name": "compile",
        "title": "a few lines",
        "period": {"start": "2025-01-01", "end": "2025-01-01", "warm_up": "0d"},
        "population": {"subscribers": 1000, "carriers": [{"id": "c", "share": 1.0}]},
        "hubs": [{"id": "h", "place": "h", "country_code": 1, "fraud_types": {"t": 1.0}}],
        "police": {"voice_complaint_ratio": 0.5, "sms_complaint_ratio": 0.5, "delay": "1h"},
        "policies": rules,
        "traffic": {
            "voice": {"latent": "100/day"},
            "sms": {"latent": "0/day"},
            "profiles": [{"id": "p", "hours": [1] * 24}],
            "lines": [{**line, "id": "a"}, {**line, "id": "b", "cli": "neighbour"}],
        },
    }
