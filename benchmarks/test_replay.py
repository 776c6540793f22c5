"""The replay suite under pytest-benchmark, small: each row with its witness, equal between engines."""

from __future__ import annotations

import pytest

from interceptsim import bench, bench_replay

ROWS = 200_000


@pytest.mark.benchmark(group="Parquet to decisions, 200,000 records of each mix")
def test_replays(benchmark) -> None:
    rows = benchmark.pedantic(lambda: list(bench_replay.replayed(n=ROWS, rounds=1)), rounds=1)
    assert {row.workload for row in rows} == set(bench_replay.MIXES)
    assert {row.engine for row in rows} == {"replay", "replay and write", "duckdb"}
    for row in rows:
        assert row.witness == {**bench.WITNESSES, **bench_replay.WITNESSES}[row.workload, ROWS]
