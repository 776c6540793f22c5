"""What a sweep costs beside its runs: naming, sending, keeping and reading them, with an asserted result."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import Any

import pytest

from interceptsim.experiments.executors import described
from interceptsim.experiments.runs import found_by
from interceptsim.experiments.sweep import sweep
from interceptsim.scenario_files import load
from interceptsim.simulation import run

POINTS, REPLICATIONS = 25, 4


class Recalling(Executor):
    """An executor that gives one run's result for every run, so that nothing but the sweep itself is measured."""

    def __init__(self, result: dict[str, Any]) -> None:
        self.result = result

    def submit(self, function: Any, /, *arguments: Any, **_named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(described() if function is described else (self.result, None))
        del arguments
        return future


def test_own_cost_of_100_runs(benchmark: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    china = load("china-2025")
    executor = Recalling(found_by(run(china, scale=100_000, days=1, threads=1)))
    axes = {"police.voice_complaint_ratio": [n / 1000 for n in range(1, POINTS + 1)]}

    def fresh() -> tuple[tuple[Any, ...], dict[str, Any]]:
        store = tmp_path_factory.mktemp("store")
        return (china, axes), {"replications": REPLICATIONS, "store": store, "executor": executor}

    found = benchmark.pedantic(sweep, setup=fresh, rounds=3)
    assert (found.wanted, found.finished) == (POINTS * REPLICATIONS,) * 2
