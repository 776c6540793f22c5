"""The hot loops, each with an asserted result: deciding columns against deciding rows, and a simulated day."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from interceptsim.attempts import COLUMNS, AttemptBatch
from interceptsim.dataplane import DataPlane
from interceptsim.filtering.plan import compile_filter
from interceptsim.filtering.rowwise import Attempt, RowFilter
from interceptsim.scenario_files import load
from interceptsim.units import DAY_US, HOUR_US
from interceptsim.world import World

ROWS = 200_000
INTERCEPTED = 63_951  # of the pinned batch, by the chain of china-2025; kernels and twin agree on it


@pytest.fixture(scope="module")
def batch() -> AttemptBatch:
    """A day of attempts of 2,000 numbers, pinned by its seed."""
    rng = np.random.default_rng(20250101)
    values = {
        "time_us": np.sort(rng.integers(0, DAY_US, ROWS)) + 20_000 * DAY_US,
        "channel": rng.integers(0, 2, ROWS),
        "a_number": 8615000000000 + rng.integers(0, 2000, ROWS),
        "b_number": 8613000000000 + rng.integers(0, 10**9, ROWS),
        "a_kind": rng.integers(0, 3, ROWS),
        "entry": rng.integers(0, 4, ROWS),
        "b_carrier": rng.integers(0, 4, ROWS),
        "roaming": rng.random(ROWS) < 0.1,
        "content": np.zeros(ROWS),
        "text_score": rng.integers(0, 10**6, ROWS),
    }
    return AttemptBatch(**{name: column.astype(COLUMNS[name]) for name, column in values.items()})


@pytest.fixture(scope="module")
def chain() -> tuple[Any, ...]:
    """The chain of china-2025, its fitted strengths pinned too."""
    pinned = {"policies.score-text.threshold": 0.6, "policies.reject-listed-numbers.adoption_ratio": 0.9}
    return load("china-2025").replace(pinned).policies


@pytest.mark.benchmark(group="chain of china-2025, 200,000 attempts in memory")
def test_columns(benchmark, batch: AttemptBatch, chain: tuple[Any, ...]) -> None:
    core = compile_filter(chain)
    found = benchmark(core.decide, batch)
    assert (found.verdict == 2).sum() == INTERCEPTED


@pytest.mark.benchmark(group="chain of china-2025, 200,000 attempts in memory")
def test_rows(benchmark, batch: AttemptBatch, chain: tuple[Any, ...]) -> None:
    attempts = [Attempt(*row) for row in batch.to_frame().iter_rows()]

    def decide() -> int:
        rows = RowFilter(chain)
        return sum(rows.decide(attempt)[0] == 2 for attempt in attempts)

    assert benchmark.pedantic(decide, rounds=2) == INTERCEPTED


@pytest.mark.benchmark(group="a day of china-2025 at 1:10, generated, decided and accounted for")
@pytest.mark.parametrize("threads", [1, 2])
def test_day(benchmark, threads: int) -> None:
    world = World(load("china-2025"), 1, 10, 1)
    fraud = ~world.population.ordinary  # ordinary callers are seen on some days of the period alone

    def day() -> int:
        plane = DataPlane(world, threads)
        for edge in range(2 * HOUR_US, DAY_US + 1, 2 * HOUR_US):
            plane.advance(edge)
        plane.close()
        return int(plane.totals().folds[:, fraud].sum())

    day()
    latent = benchmark.pedantic(day, rounds=3)
    assert latent == benchmark.extra_info.setdefault("attempts", latent)
    assert abs(latent / (world.population.per_day[fraud].sum() / 10) - 1) < 0.15
