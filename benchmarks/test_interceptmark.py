"""InterceptMark under pytest-benchmark: the core on each workload, its witness asserted."""

from __future__ import annotations

import pytest

from interceptsim import bench
from interceptsim.attempts import INTERCEPT
from interceptsim.filtering.plan import compile_filter

ROWS = 200_000
SMOKE = [name for name in bench.WORKLOADS if "10 M" not in name]


@pytest.mark.benchmark(group="InterceptMark, 200,000 attempts")
@pytest.mark.parametrize("name", SMOKE)
def test_core(benchmark, name: str) -> None:
    work = bench.make(name, ROWS)
    core = compile_filter(work.chain)
    found = benchmark.pedantic(core.decide, args=(work.batch, 2), rounds=3, warmup_rounds=1)
    assert (found.verdict == INTERCEPT).sum() == bench.WITNESSES[name, ROWS]
