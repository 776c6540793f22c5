"""InterceptMark: pinned workloads for the filter core, beside what analysts could put together themselves.

Each workload is a batch made of keyed draws, with a checksum, and a chain. The core, NumPy, Polars, DuckDB and a
Python loop decide the same batch in one run; their results have to be equal, and the number of intercepted
attempts, the witness, has to be the pinned one. Times are the least of several rounds, in nanoseconds a decision.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interceptsim.attempts import COLUMNS, INTERCEPT, SCORE_ONE, AttemptBatch
from interceptsim.compiled import Column, Scalar, kernel
from interceptsim.errors import ConfigurationError
from interceptsim.filtering.plan import FilterCore, compile_filter
from interceptsim.filtering.policies import RejectListedLinks, RejectListedNumbers, RejectNumberRanges
from interceptsim.filtering.rowwise import Attempt, RowFilter
from interceptsim.randomness import draw, root_key, stream_id
from interceptsim.registry import policy_kinds
from interceptsim.units import DAY_US

__all__ = [
    "WITNESSES",
    "WORKLOADS",
    "Row",
    "Workload",
    "as_json",
    "checksum",
    "interceptmark",
    "least_ns",
    "machine",
    "make",
    "prefix_bounds",
]

Mask = NDArray[np.bool_]

_KEY = root_key(2025)
_START_US = 20_089 * DAY_US  # 1 January 2025, UTC
_MOBILE = np.uint64(86_130_0000_0000)
_MOBILES = np.uint64(7_000_000_000)
_LIST_SPAN = np.uint64(70_000_000_000)
_LIST_RANGE = np.uint64(86_300_0000_0000)  # listed numbers: landlines, so that no other traffic meets them
_LOOP_ROWS = 20_000
_LOOPS = ("python loop", "row by row")  # slow, and measured once


@dataclass(frozen=True)
class Row:
    """One measurement: nanoseconds a decision (a whole compilation where the engine says so), and its witness."""

    workload: str
    engine: str
    threads: int
    n: int
    ns: float
    witness: int
    ratio: float


@dataclass(frozen=True)
class Workload:
    """A pinned batch with its chain; `lists` holds what other engines need of the chain."""

    name: str
    batch: AttemptBatch
    chain: tuple[Any, ...]
    lists: dict[str, NDArray[Any]]
    witness: int


@kernel
def _fill_words(out: Column, key0: Scalar, key1: Scalar, stream: Scalar) -> None:
    for k in range(out.shape[0]):
        w0, w1, _, _ = draw(key0, key1, stream, 0, k)
        out[k] = w0 << np.uint64(32) | w1


def _words(name: str, n: int) -> NDArray[np.uint64]:
    """Return n pinned words of 64 bits."""
    out = np.empty(n, np.uint64)
    _fill_words(out, _KEY[0], _KEY[1], np.uint64(stream_id(f"interceptmark/{name}")))
    return out


def _below(name: str, n: int, bound: int) -> NDArray[np.uint64]:
    return (_words(name, n) >> np.uint64(32)) * np.uint64(bound) >> np.uint64(32)


def _traffic(n: int, numbers: int, listed: NDArray[np.uint64], hit_ratio: float) -> AttemptBatch:
    """Return a day of attempts in order of time from `numbers` live numbers, a share of them from listed ones."""
    live = _MOBILE + _words("live", numbers) % _MOBILES
    squared = (_words("which", n) >> np.uint64(32)) ** 2 >> np.uint64(32)  # some call far more than others
    a_number = live[squared * np.uint64(numbers) >> np.uint64(32)]
    if len(listed):
        hit = _below("hit", n, 10**6) < np.uint64(hit_ratio * 10**6)
        a_number = np.where(hit, listed[_below("listed", n, len(listed))], a_number)
    columns = {
        "time_us": _START_US + np.arange(n, dtype=np.int64) * (DAY_US // n),
        "channel": _below("channel", n, 2),
        "a_number": a_number,
        "b_number": _MOBILE + _words("b", n) % _MOBILES,
        "a_kind": np.where(_below("kind", n, 10) < 9, 1, 0),
        "entry": np.where(_below("entry", n, 50) == 0, 0, 2),
        "b_carrier": _below("carrier", n, 4),
        "roaming": _below("roaming", n, 10) == 0,
        "content": _below("content", n, 10**5),
        "text_score": _below("text", n, SCORE_ONE),
        "link": _below("link", n, 10**6),
    }
    return AttemptBatch(
        **{name: np.ascontiguousarray(values.astype(COLUMNS[name])) for name, values in columns.items()}
    )


def make(name: str, n: int) -> Workload:
    """Return a workload of n attempts."""
    wants, size, hit_ratio = WORKLOADS[name]
    none = np.zeros(0, np.uint64)
    listed = _LIST_RANGE + np.unique(_words("list", size) % _LIST_SPAN) if "list" in wants else none
    prefixes = np.unique(np.uint64(86_130_000) + _below("prefix", 1076, 7000))[:1000]
    links = np.unique(_below("links", 10_000, 10**6))
    return Workload(
        name,
        _traffic(n, 300_000, listed, hit_ratio),
        tuple(_policy(want, listed, prefixes, links) for want in wants),
        {"listed": listed, "prefixes": prefixes, "links": links},
        WITNESSES.get((name, n), -1),
    )


def _policy(want: str, listed: NDArray[np.uint64], prefixes: NDArray[np.uint64], links: NDArray[np.uint64]) -> Any:
    """Return one rule of a workload."""
    if want == "list":
        return RejectListedNumbers.of(listed, feed="none")
    if want == "links":
        return RejectListedLinks.of(links)
    if want == "ranges":
        given = {"kind": "reject-number-ranges", "intercept": [str(p) for p in prefixes]}
        return RejectNumberRanges.model_validate(given)
    kind, values = _PLAIN[want]
    return policy_kinds()[kind].model_validate({"kind": kind, **values})


_PLAIN: dict[str, tuple[str, dict[str, Any]]] = {
    "spoofed": ("reject-spoofed-origin", {}),
    "text": ("score-text", {"threshold": 0.97}),
    "limits": (
        "limit-attempts",
        {"per_minute": {"critical": 2}, "per_hour": {"critical": 4}, "per_day": {"warn": 20, "critical": 25}},
    ),
    "fan-out": ("limit-fan-out", {"distinct": {"critical": 24}, "sketch_bits": 128}),
    "by the hour": ("limit-fan-out", {"id": "by-the-hour", "per": "hour", "distinct": {"warn": 3}, "sketch_bits": 64}),
    "bucket": ("limit-attempts", {"id": "bucket", "window": "leaky-bucket", "per_hour": {"critical": 5}}),
    "symptoms": (
        "score-reputation",
        {"weights": {"limit-attempts": 0.5, "by-the-hour": 0.4}, "text_weight": 0.2, "threshold": 0.95},
    ),
}

_STATELESS = ("list", "ranges", "spoofed", "text", "links")

WORKLOADS: dict[str, tuple[tuple[str, ...], int, float]] = {
    "exact list of 1 k, 5 % matched": (("list",), 10**3, 0.05),
    "exact list of 100 k, 5 % matched": (("list",), 10**5, 0.05),
    "exact list of 1 M, 0.1 % matched": (("list",), 10**6, 0.001),
    "exact list of 1 M, 5 % matched": (("list",), 10**6, 0.05),
    "exact list of 1 M, 50 % matched": (("list",), 10**6, 0.5),
    "exact list of 10 M, 5 % matched": (("list",), 10**7, 0.05),
    "1,000 prefix ranges": (("ranges",), 0, 0.0),
    "text scores": (("text",), 0, 0.0),
    "attempt limits": (("limits",), 0, 0.0),
    "fan-out": (("fan-out",), 0, 0.0),
    "stateless mix": (_STATELESS, 10**6, 0.05),
    "stateful mix": ((*_STATELESS, "limits", "fan-out"), 10**6, 0.05),
    "chain of ten": ((*_STATELESS, "limits", "fan-out", "by the hour", "bucket", "symptoms"), 10**6, 0.05),
}
"""Name: the rules, how many numbers are listed, and the share of attempts from listed ones."""

ROWS = 4_000_000

WITNESSES: dict[tuple[str, int], int] = {
    ("exact list of 1 k, 5 % matched", 200_000): 10_125,
    ("exact list of 100 k, 5 % matched", 200_000): 10_125,
    ("exact list of 1 M, 0.1 % matched", 200_000): 166,
    ("exact list of 1 M, 5 % matched", 200_000): 10_125,
    ("exact list of 1 M, 50 % matched", 200_000): 100_286,
    ("exact list of 10 M, 5 % matched", 200_000): 10_125,
    ("1,000 prefix ranges", 200_000): 2_876,
    ("text scores", 200_000): 3_076,
    ("attempt limits", 200_000): 866,
    ("fan-out", 200_000): 812,
    ("stateless mix", 200_000): 19_625,
    ("stateful mix", 200_000): 20_429,
    ("chain of ten", 200_000): 20_500,
    ("exact list of 1 k, 5 % matched", 4_000_000): 199_828,
    ("exact list of 100 k, 5 % matched", 4_000_000): 199_828,
    ("exact list of 1 M, 0.1 % matched", 4_000_000): 3_979,
    ("exact list of 1 M, 5 % matched", 4_000_000): 199_828,
    ("exact list of 1 M, 50 % matched", 4_000_000): 1_999_624,
    ("exact list of 10 M, 5 % matched", 4_000_000): 199_828,
    ("1,000 prefix ranges", 4_000_000): 56_481,
    ("text scores", 4_000_000): 60_047,
    ("attempt limits", 4_000_000): 359_504,
    ("fan-out", 4_000_000): 338_701,
    ("stateless mix", 4_000_000): 387_114,
    ("stateful mix", 4_000_000): 719_099,
    ("chain of ten", 4_000_000): 741_395,
}
"""Intercepted attempts of each workload at its size; the run fails where an engine finds another number."""

CHECKSUMS = {
    "stateless mix": "fd152093dfa88f72",
    "text scores": "3cdd6d88a7889650",
    "exact list of 1 k, 5 % matched": "ed62c05e99870eda",
}
"""Digests of batches of 20,000 attempts: the same on every machine."""


def _numpy(work: Workload) -> Mask:
    """Decide a stateless chain in vectorised NumPy."""
    b, lists = work.batch, work.lists
    wants = WORKLOADS[work.name][0]
    hit = np.zeros(len(b), bool)
    if "list" in wants:
        ordered = lists["listed"]
        at = np.minimum(np.searchsorted(ordered, b.a_number), len(ordered) - 1)
        hit |= ordered[at] == b.a_number
    if "ranges" in wants:
        hit |= np.searchsorted(prefix_bounds(lists["prefixes"]), b.a_number, side="right") & 1 == 1
    if "spoofed" in wants:
        hit |= (b.entry == 0) & (b.a_kind != 0) & ~b.roaming
    if "text" in wants:
        assert b.text_score is not None
        hit |= (b.channel == 1) & (b.text_score >= 970_000)
    if "links" in wants:
        assert b.link is not None
        at = np.minimum(np.searchsorted(lists["links"], b.link), len(lists["links"]) - 1)
        hit |= (b.channel == 1) & (lists["links"][at] == b.link)
    return hit


def prefix_bounds(prefixes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return first number and end of each prefix of 8 digits among numbers of 13, neighbours put together."""
    size = np.uint64(100_000)
    first, end = prefixes * size, (prefixes + np.uint64(1)) * size
    apart = np.concatenate([[True], first[1:] != end[:-1]])
    return np.stack([first[apart], end[np.append(apart[1:], True)]], axis=1).ravel()


def _polars(work: Workload) -> Callable[[], Mask]:
    """Return a function that decides a stateless chain in one lazy Polars query."""
    import polars as pl  # noqa: PLC0415  only where it is measured

    frame, lists = work.batch.to_frame(), work.lists
    wants = WORKLOADS[work.name][0]
    listed = pl.DataFrame({"a_number": lists["listed"]}).with_columns(listed=pl.lit(value=True)).lazy()
    links = pl.DataFrame({"link": lists["links"].astype(np.uint32)}).with_columns(known=pl.lit(value=True)).lazy()
    bounds = pl.Series(prefix_bounds(lists["prefixes"]))
    tests = []
    query = frame.lazy()
    if "list" in wants:
        query = query.join(listed, on="a_number", how="left", maintain_order="left")
        tests.append(pl.col("listed").fill_null(value=False))
    if "ranges" in wants:
        tests.append(pl.lit(bounds).search_sorted(pl.col("a_number"), side="right") % 2 == 1)
    if "spoofed" in wants:
        tests.append((pl.col("entry") == 0) & (pl.col("a_kind") != 0) & ~pl.col("roaming"))
    if "text" in wants:
        tests.append((pl.col("channel") == 1) & (pl.col("text_score") >= 970_000))
    if "links" in wants:
        query = query.join(links, on="link", how="left", maintain_order="left")
        tests.append((pl.col("channel") == 1) & pl.col("known").fill_null(value=False))
    asked = query.select(pl.any_horizontal(tests).alias("hit"))

    def answer() -> Mask:
        return asked.collect()["hit"].to_numpy()

    return answer


def _duckdb(work: Workload, threads: int) -> Callable[[], Mask]:
    """Return a function that decides a stateless chain in one DuckDB query with joins."""
    import duckdb  # noqa: PLC0415  an extra

    connection = duckdb.connect(config={"threads": threads})
    wants = WORKLOADS[work.name][0]
    lists = work.lists
    frame = work.batch.to_frame().with_row_index("at").to_arrow()
    connection.register("given", frame)
    connection.execute("CREATE TABLE attempts AS SELECT * FROM given")
    for name, column in (
        ("listed", lists["listed"]),
        ("links", lists["links"]),
        ("bounds", prefix_bounds(lists["prefixes"])),
    ):
        values = {"v": column, "odd": np.arange(len(column)) % 2 == 0}
        connection.register("given_list", _arrow(values))
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM given_list")  # noqa: S608  names of ours
    joins, tests = "", []
    if "list" in wants:
        joins += " LEFT JOIN listed ON attempts.a_number = listed.v"
        tests.append("listed.v IS NOT NULL")
    if "ranges" in wants:
        joins += " ASOF LEFT JOIN bounds ON attempts.a_number >= bounds.v"
        tests.append("coalesce(bounds.odd, false)")
    if "spoofed" in wants:
        tests.append("(entry = 0 AND a_kind <> 0 AND NOT roaming)")
    if "text" in wants:
        tests.append("(channel = 1 AND text_score >= 970000)")
    if "links" in wants:
        joins += " LEFT JOIN links ON attempts.link = links.v"
        tests.append("(channel = 1 AND links.v IS NOT NULL)")
    asked = f"SELECT attempts.at, ({' OR '.join(tests)}) AS hit FROM attempts{joins}"  # noqa: S608  text of ours

    def answer() -> Mask:
        found = connection.execute(asked).fetchnumpy()
        hit = np.empty(len(work.batch), bool)
        hit[found["at"]] = found["hit"]
        return hit

    return answer


def _arrow(columns: dict[str, NDArray[Any]]) -> Any:
    import polars as pl  # noqa: PLC0415  only where it is measured

    return pl.DataFrame(columns).to_arrow()


def _python_stateless(work: Workload) -> Callable[[], Mask]:
    """Return a function that decides the first rows of a stateless mix in a plain Python loop over lists and sets."""
    head = _head(work.batch, _LOOP_ROWS)
    assert head.text_score is not None
    assert head.link is not None
    listed, links = set(work.lists["listed"].tolist()), set(work.lists["links"].tolist())
    prefixes = set(work.lists["prefixes"].tolist())
    columns = [
        c.tolist()
        for c in (head.a_number, head.channel, head.entry, head.a_kind, head.roaming, head.text_score, head.link)
    ]

    def loop() -> Mask:
        hits = []
        for number, channel, entry, kind, roaming, score, link in zip(*columns, strict=True):
            hits.append(
                number in listed
                or number // 100_000 in prefixes
                or (entry == 0 and kind != 0 and not roaming)
                or (channel == 1 and (score >= 970_000 or link in links))
            )
        return np.array(hits)

    return loop


def _head(batch: AttemptBatch, n: int) -> AttemptBatch:
    given = {name: getattr(batch, name) for name in COLUMNS}
    return AttemptBatch(**{name: column[:n] for name, column in given.items() if column is not None})


@kernel
def _touch(time_us: Column, a_number: Column, others: Column, out: Column, first: Scalar, last: Scalar) -> None:
    """Read the columns of a batch once and write a verdict: what memory alone costs."""
    for k in range(first, last):
        out[k] = (np.int64(a_number[k]) ^ time_us[k] ^ others[k]) & 1


def _floor(batch: AttemptBatch, threads: int) -> Callable[[], Mask]:
    """Return a function that reads as many bytes as the stateless mix does, and writes a verdict a row."""
    n = len(batch)
    out = np.empty(n, np.uint8)
    others = np.ascontiguousarray(batch.b_number.view(np.int64))

    def read() -> Mask:
        with ThreadPoolExecutor(threads) as pool:
            cuts = [(n * t // threads, n * (t + 1) // threads) for t in range(threads)]
            list(pool.map(lambda c: _touch(batch.time_us, batch.a_number, others, out, *c), cuts))
        return out.view(bool)

    return read


def least_ns(call: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """Return the least nanoseconds of several calls after one that is not counted, and the last result."""
    result = call()
    least = float("inf")
    for _ in range(rounds):
        started = time.perf_counter_ns()
        result = call()
        least = min(least, time.perf_counter_ns() - started)
    return least, result


def _engines(work: Workload, core: FilterCore, threads: int) -> Iterator[tuple[str, int, Callable[[], Mask], int]]:
    """Yield (engine, threads, function, rows it decides) for a workload, the core first."""
    n = len(work.batch)
    for count in dict.fromkeys((threads, 1)):
        yield "interceptsim", count, lambda count=count: core.decide(work.batch, threads=count).verdict == INTERCEPT, n  # type: ignore[misc]
    loop_rows = min(_LOOP_ROWS, n)
    if core.words == 0:
        yield "numpy", 1, partial(_numpy, work), n
        yield "polars", threads, _polars(work), n
        if importlib.util.find_spec("duckdb"):
            yield "duckdb", threads, _duckdb(work, threads), n
        if work.name == "stateless mix":
            yield "python loop", 1, _python_stateless(work), loop_rows
    if core.words or work.name != "stateless mix":
        if len(work.lists["listed"]) <= 10**6:
            yield "row by row", 1, _row_by_row(work, loop_rows), loop_rows


def _row_by_row(work: Workload, n: int) -> Callable[[], Mask]:
    """Return a function that decides the first rows by the twins; it can be called twice, each time from new state."""
    rows = [Attempt(*row) for row in _head(work.batch, n).to_frame().iter_rows()]

    chains = [RowFilter(work.chain) for _ in range(2)]

    def loop() -> Mask:
        chain = chains.pop()
        return np.array([chain.decide(row).verdict == INTERCEPT for row in rows])

    return loop


def interceptmark(
    workloads: Iterable[str] = tuple(WORKLOADS), *, n: int = ROWS, threads: int = 2, rounds: int = 3
) -> Iterator[Row]:
    """Run workloads and yield a row for each engine, the core on `threads` first; ratios are to that.

    Raise ConfigurationError where results differ between engines or from the pinned witness.
    """
    for name in workloads:
        work = make(name, n)
        started = time.perf_counter_ns()
        core = compile_filter(work.chain)
        compiling = time.perf_counter_ns() - started
        first: Mask | None = None
        own = 0.0
        for engine, count, call, rows in _engines(work, core, threads):
            least, hit = least_ns(call, 1 if engine in _LOOPS else rounds)
            ns = least / rows
            witness = int(hit.sum())
            if first is None:
                first, own = hit, ns
                if work.witness not in (-1, witness):
                    raise ConfigurationError(name, f"wanted {work.witness} intercepted attempts", given=witness)
                yield Row(name, "interceptsim compile", 1, n, compiling, witness, compiling / n / own)
            elif not (first[:rows] == hit).all():
                raise ConfigurationError(
                    name, f"{engine} decides {int((first[:rows] != hit).sum())} attempts otherwise"
                )
            yield Row(name, engine, count, rows, ns, witness, ns / own)
        if name.endswith("mix"):
            least, _ = least_ns(_floor(work.batch, threads), rounds)
            yield Row(
                name,
                "memory floor",
                threads,
                n,
                least / n,
                int(first.sum()) if first is not None else 0,
                least / n / own,
            )


def checksum(batch: AttemptBatch) -> str:
    """Return a digest of a batch's columns."""
    hasher = blake2b(digest_size=8)
    for name in COLUMNS:
        column = getattr(batch, name)
        if column is not None:
            hasher.update(np.ascontiguousarray(column).tobytes())
    return hasher.hexdigest()


def machine() -> dict[str, Any]:
    """Return what is to know of the machine beside its figures."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
    }


def as_json(rows: list[Row]) -> dict[str, Any]:
    """Return what `interceptsim bench --json` prints."""
    return {"rows": [asdict(row) for row in rows], "machine": machine()}
