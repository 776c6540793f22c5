"""The year suite under pytest-benchmark, small: both engines, bare SimPy, the draws, slices; each with its witness."""

from __future__ import annotations

import pytest

from interceptsim import bench_year
from interceptsim.results import RunResult
from interceptsim.scenario import Scenario
from interceptsim.scenario_files import load
from interceptsim.simulation import run
from interceptsim.units import DAY_US

SCALE, CALLS = 2000, 20_000
DRAWN = 2_109_355_905  # the words of the first draws together, as the plain Python twin makes them


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load("china-2025").replace({"period.warm_up": "1d", "traffic.sample_ratio": 0.05})


@pytest.fixture(scope="module")
def wanted(scenario: Scenario) -> RunResult:
    return run(scenario, scale=SCALE, days=1, threads=1, batch_rows=64)


@pytest.mark.benchmark(group="two days of china-2025 at 1:2000")
@pytest.mark.parametrize("engine", ["columnar", "reference"])
def test_engines(benchmark, scenario: Scenario, wanted: RunResult, engine: str) -> None:
    options = {"scale": SCALE, "days": 1, "engine": engine}
    found = benchmark.pedantic(run, args=(scenario,), kwargs=options, rounds=2)
    assert (found.attempts, found.digest) == (wanted.attempts, wanted.digest)
    assert found.attempts > CALLS


@pytest.mark.benchmark(group="20,000 of what an attempt cannot do without")
def test_bare_simpy(benchmark) -> None:
    assert benchmark.pedantic(bench_year.calls, args=(CALLS,), rounds=2) == CALLS


@pytest.mark.benchmark(group="20,000 of what an attempt cannot do without")
def test_draws(benchmark) -> None:
    assert benchmark.pedantic(bench_year.draws, args=(CALLS, 2), rounds=2, warmup_rounds=1) == DRAWN


@pytest.mark.benchmark(group="what a slice costs")
@pytest.mark.parametrize("name", ["minimal", "china-2025"])
def test_slices(benchmark, name: str) -> None:
    row = benchmark.pedantic(bench_year.slices, args=(name, 1, 1), rounds=1)
    assert row.n == 24 * 60 - DAY_US // load(name).slice_us  # slices of a minute, less the longest
    assert row.witness > 0
