"""The year suite: what an attempt of china-2025 costs, beside the reference engine, bare SimPy and draws alone.

All is measured in one run, in nanoseconds an attempt, with a warm-up of one day. Where columns and reference run the
same world they have to find the same; the last rows are what a slice costs, whatever it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import simpy

from interceptsim.bench import Row, least_ns
from interceptsim.compiled import Scalar, kernel
from interceptsim.errors import ConfigurationError
from interceptsim.randomness import draw, root_key, stream_id
from interceptsim.results import RunResult
from interceptsim.scenario import MIN_SLICE_US, Scenario
from interceptsim.scenario_files import load
from interceptsim.simulation import run
from interceptsim.units import DAY_US

__all__ = ["REFERENCE_SCALE", "SLICE_DAYS", "calls", "draws", "slices", "year"]

REFERENCE_SCALE = 500
"""Where the reference engine is measured: large enough that attempts, and not the making of lines, cost the time."""

SLICE_DAYS = 10

_FEWEST_LINES = 1_000_000  # a scale at which every group of lines is left with one
_KEY = root_key(2025)


@kernel
def _only_draw(key0: Scalar, key1: Scalar, stream: Scalar, first: Scalar, last: Scalar) -> Scalar:
    """Make the draws `first` to `last` and return their words put together (uint64), so that each is needed."""
    together = np.uint64(0)
    for ordinal in range(first, last):
        w0, w1, w2, w3 = draw(key0, key1, stream, 0, ordinal)
        together ^= w0 ^ w1 ^ w2 ^ w3
    return together


def draws(n: int, threads: int) -> int:
    """Make one draw for each of n attempts, and nothing else."""
    stream = np.uint64(stream_id("bench/draws"))
    cuts = [(n * t // threads, n * (t + 1) // threads) for t in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(lambda cut: _only_draw(_KEY[0], _KEY[1], stream, *cut), cuts))
    return int(np.bitwise_xor.reduce(np.array(parts, np.uint64)))


def calls(n: int) -> int:
    """Let n calls happen in bare SimPy, each a process that waits once; return how many ended."""
    ended = 0

    def call(env: simpy.Environment) -> Generator[simpy.Event, None, None]:
        nonlocal ended
        yield env.timeout(1)
        ended += 1

    env = simpy.Environment()
    for _ in range(n):
        env.process(call(env))
    env.run()
    return ended


def _intercepted(found: RunResult) -> int:
    return found.metrics["voice.intercepted"] + found.metrics["sms.intercepted"]


def _check(workload: str, engine: str, found: object, wanted: object) -> None:
    """Raise ConfigurationError where an engine finds something else than the one before it."""
    if found != wanted:
        raise ConfigurationError(workload, f"{engine} finds something else: wanted {wanted}", given=str(found))


def _same(workload: str, engine: str, found: RunResult, wanted: RunResult) -> None:
    _check(workload, engine, (found.attempts, found.digest), (wanted.attempts, wanted.digest))


def year(
    *,
    scale: int = 1,
    days: int = 1,
    threads: int = 2,
    rounds: int = 2,
    reference_scale: int = REFERENCE_SCALE,
    slice_days: int = SLICE_DAYS,
) -> Iterator[Row]:
    """Run the suite and yield its rows, the columns on `threads` first; ratios are to the time of an attempt there.

    `days` are counted after one of warm-up, at one in `scale`; the reference runs at one in `reference_scale`, once.
    Witnesses are intercepted attempts, for bare SimPy the calls that ended, for draws their words put together, for
    slices the attempts made. Raise ConfigurationError where two ways to the same result differ.
    """
    scenario = load("china-2025").replace({"period.warm_up": "1d"})
    own = 0.0

    def row(workload: str, engine: str, count: int, n: int, least: float, witness: int) -> Row:
        return Row(workload, engine, count, n, least / n, witness, least / n / own if own else 1.0)

    whole = f"china-2025, {days + 1} days at 1:{scale}"
    first: RunResult | None = None
    for count in dict.fromkeys((threads, 1)):
        least, found = least_ns(_running(scenario, scale=scale, days=days, threads=count), rounds)
        first = first or found
        _same(whole, f"columnar on {count} threads", found, first)
        yield row(whole, "columnar", count, found.attempts, least, _intercepted(found))
        own = own or least / found.attempts
    assert first is not None

    small = f"china-2025, {days + 1} days at 1:{reference_scale}"
    mixed = scenario.replace({"traffic.sample_ratio": 1 / reference_scale})  # as few ordinary attempts among fraud's
    least, columns = least_ns(_running(mixed, scale=reference_scale, days=days, threads=1), rounds)
    yield row(small, "columnar", 1, columns.attempts, least, _intercepted(columns))
    least, slow = least_ns(_running(mixed, scale=reference_scale, days=days, engine="reference"), 1)
    _same(small, "reference", slow, columns)
    yield row(small, "reference", 1, slow.attempts, least, _intercepted(slow))

    least, ended = least_ns(lambda: calls(slow.attempts), rounds)
    _check("a process for each call, no rules", "bare SimPy", ended, slow.attempts)
    yield row("a process for each call, no rules", "bare SimPy", 1, ended, least, ended)

    together: int | None = None
    for count in dict.fromkeys((threads, 1)):
        least, words = least_ns(lambda count=count: draws(first.attempts, count), rounds)  # type: ignore[misc]
        together = words if together is None else together
        _check("keyed draws alone", f"{count} threads", words, together)
        yield row("keyed draws alone", "compiled", count, first.attempts, least, words)

    for name in ("minimal", "china-2025"):
        yield slices(name, slice_days, rounds, own)


def _running(scenario: Scenario, **options: object) -> Callable[[], RunResult]:
    return lambda: run(scenario, **options)  # type: ignore[arg-type]


def slices(name: str, days: int, rounds: int, own: float = 1.0) -> Row:
    """Measure what a slice costs inline: a scenario with a line a group, in slices of a minute and in the longest.

    The time of the one run less that of the other, for each slice that it has more; `own` ns are an attempt's.
    """
    scenario = load(name).replace({"period.warm_up": "0d", "traffic.sample_ratio": 1e-9})
    workload = f"slice of {name}, a line a group"
    times, counts, runs = [], [], []
    for slice_us in (scenario.slice_us, MIN_SLICE_US):
        call = _running(scenario, scale=_FEWEST_LINES, days=days, threads=1, slice_us=slice_us)
        least, found = least_ns(call, rounds)
        times.append(least)
        counts.append(-(-DAY_US // slice_us) * days)
        runs.append(found)
    _same(workload, "columnar in slices of a minute", runs[1], runs[0])
    n = counts[1] - counts[0]
    ns = (times[1] - times[0]) / n
    return Row(workload, "columnar, inline", 1, n, ns, runs[0].attempts, ns / own)
