"""The replay suite: from a Parquet file to decisions, beside the same rules in DuckDB's SQL over the same file.

The workloads are InterceptMark's mixes. SQL can express lists, ranges, scores and counts in fixed windows, but not the
sketch of fan-out: so the stateful mix stands there once more without it. Times are the least of several rounds, in
nanoseconds a record; what is read, decided and counted is timed, and where it says so written.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from interceptsim.backtest.replay import replay
from interceptsim.bench import Row, Workload, least_ns, make, prefix_bounds
from interceptsim.errors import ConfigurationError
from interceptsim.filtering.plan import FilterCore, compile_filter

__all__ = ["IN_SQL", "MIXES", "WITNESSES", "replayed"]

IN_SQL = "stateful mix without fan-out"
MIXES = ("stateful mix", IN_SQL, "stateless mix")

WITNESSES = {(IN_SQL, 200_000): 20_373, (IN_SQL, 4_000_000): 696_205}
"""Intercepted attempts of what is no workload of InterceptMark, at its size."""

_STATELESS = """listed.v IS NOT NULL OR coalesce(bounds.odd, false) OR (entry = 0 AND a_kind <> 0 AND NOT roaming)
    OR (channel = 1 AND (text_score >= 970000 OR links.v IS NOT NULL))"""
_WINDOW = """count(*) OVER (PARTITION BY a_number, (time_us + 28800000000) // {us}
    ORDER BY time_us ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) > {most}"""
_LIMITS = " OR ".join(
    _WINDOW.format(us=us, most=most) for us, most in ((60_000_000, 2), (3_600_000_000, 4), (86_400_000_000, 25))
)
_ASKED = """SELECT ({tests}) AS hit FROM read_parquet('{file}') AS attempts
LEFT JOIN listed ON attempts.a_number = listed.v
ASOF LEFT JOIN bounds ON attempts.a_number >= bounds.v
LEFT JOIN links ON attempts.link = links.v"""


def _duckdb(work: Workload, file: Path, threads: int) -> Callable[[], int]:
    """Return a function that decides a file in one DuckDB query and returns how many attempts are intercepted."""
    import duckdb  # noqa: PLC0415  an extra

    connection = duckdb.connect(config={"threads": threads})
    bounds = prefix_bounds(work.lists["prefixes"])
    for name, column in (("listed", work.lists["listed"]), ("links", work.lists["links"]), ("bounds", bounds)):
        connection.register("given", pl.DataFrame({"v": column, "odd": np.arange(len(column)) % 2 == 0}).to_arrow())
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM given")  # noqa: S608  names of ours
    asked = _ASKED.format(file=file, tests=_STATELESS if work.name == "stateless mix" else f"{_STATELESS} OR {_LIMITS}")
    return lambda: int(connection.execute(asked).fetchnumpy()["hit"].sum())


def _ours(core: FilterCore, file: Path, threads: int, out: Path | None) -> int:
    """Replay a file and return how many attempts are intercepted; what is written is deleted."""
    found = replay(file, core, threads=threads, out=out)
    if out is not None:
        out.unlink()
    return found.verdicts["intercept"]


def _made(name: str, n: int) -> Workload:
    """Return one of MIXES."""
    if name != IN_SQL:
        return make(name, n)
    whole = make("stateful mix", n)
    return replace(whole, name=name, chain=whole.chain[:-1], witness=WITNESSES.get((name, n), -1))


def replayed(*, n: int, threads: int = 2, rounds: int = 3) -> Iterator[Row]:
    """Replay each of MIXES from a Parquet file of n attempts and yield a row for each engine; ratios are to the replay.

    Raise ConfigurationError where engines differ, or from the pinned witness.
    """
    for name in MIXES:
        work = _made(name, n)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "attempts.parquet"
            work.batch.to_frame().write_parquet(file)
            core = compile_filter(work.chain)
            engines: list[tuple[str, Callable[[], int]]] = [("replay", partial(_ours, core, file, threads, None))]
            if name == "stateful mix":
                engines.append(("replay and write", partial(_ours, core, file, threads, file.with_name("out.parquet"))))
            elif importlib.util.find_spec("duckdb"):
                engines.append(("duckdb", _duckdb(work, file, threads)))
            first, own = work.witness, 0.0
            for engine, call in engines:
                least, witness = least_ns(call, rounds)
                own = own or least / n
                first = witness if first == -1 else first
                if witness != first:
                    raise ConfigurationError(name, f"{engine}: wanted {first} intercepted attempts", given=witness)
                yield Row(name, engine, threads, n, least / n, witness, least / n / own)
