"""One pass over records: chains, window, counts and tables at work.

Sources are read chunk by chunk; what the window gives out is decided, counted, and written where that is wanted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from interceptsim.attempts import CHANNELS, VERDICTS, AttemptBatch, Decisions
from interceptsim.backtest.mapping import Mapping
from interceptsim.backtest.normalise import Normaliser, Wrong, batch_of
from interceptsim.backtest.ordering import Released, Window
from interceptsim.backtest.pseudonyms import Pseudonyms
from interceptsim.backtest.sources import Chunk, Source
from interceptsim.backtest.tally import Tally
from interceptsim.backtest.writing import Outputs, Table
from interceptsim.compiled import cores
from interceptsim.filtering.kernels import OP_CODE, SCORE_REPUTATION
from interceptsim.filtering.plan import FilterCore
from interceptsim.filtering.stream import FilterStream
from interceptsim.units import format_duration

__all__ = ["REJECT_COLUMNS", "Counts", "Pass", "Progress", "Wanted"]

REJECT_COLUMNS = {"file": pl.String, "line": pl.Int64, "kind": pl.String, "reason": pl.String, "value": pl.String}
"""Columns of a file of rejects: where the record stood, "malformed", "late" or "duplicate", why, and what was wrong."""

_EXAMPLES = 10

Progress = Callable[[int, int, int], None]
"""Called with bytes (or rows) done, of how many, and records read."""


@dataclass
class Counts:
    """Records read, and what became of them: read = decided + late + duplicate + malformed."""

    read: int = 0
    decided: int = 0
    late: int = 0
    duplicate: int = 0
    malformed: int = 0


@dataclass(frozen=True)
class Wanted:
    """What a pass is to give: tables by what they hold, decisions to keep, numbers as pseudonyms.

    `compared` are records of a simulated run, whose own verdicts are compared.
    """

    outputs: Outputs
    paths: dict[str, str | Path | None]
    keep: bool = False
    pseudonyms: Pseudonyms | None = None
    compared: bool = False


class Pass:
    """Decides all records of some sources, once.

    `counts`, `tally`, `absent`, `same` and `first_rejects` tell what was found; `kept` is the frame of all decisions if
    they were wanted. What is counted and written of a batch is so while the next one is decided.
    """

    def __init__(
        self,
        core: FilterCore,
        other: FilterCore | None,
        mapping: Mapping,
        listings: pl.DataFrame | None,
        threads: int | None,
        wanted: Wanted,
    ) -> None:
        self._core, self._other, self._mapping, self._wanted = core, other, mapping, wanted
        threads = cores() if threads is None else threads
        self._stream = FilterStream(core, threads, listings)
        self._other_stream = None if other is None else FilterStream(other, threads, listings)
        self._window = Window(mapping.time.lateness, keep_duplicates=mapping.duplicates == "keep")
        self.counts = Counts()
        self.tally = Tally()
        self.same = 0
        self.absent: dict[str, str] = {}
        self.first_rejects: list[pl.DataFrame] = []
        self._decisions: list[pl.DataFrame] = []
        self._names: list[str] = []
        self._tables: dict[str, Table] = {}
        self._counting = True
        self._scores = bool((core.ops[:, OP_CODE] == SCORE_REPUTATION).any())
        self._several = False
        self._pending: deque[Future[None]] = deque()

    @property
    def kept(self) -> pl.DataFrame | None:
        """All decisions, if they were to be kept."""
        if not self._wanted.keep:
            return None
        return pl.concat([self._told(*self._nothing()), *self._decisions])

    def run(self, sources: Sequence[Source], before: int, progress: Progress | None) -> None:
        """Read all sources; the first few, `before`, only for the state that they leave."""
        self._names = [source.name for source in sources]
        self._several = len(sources) - before > 1
        own = [source.names() for source in sources]
        carried = ("verdict", "reason") if self._wanted.compared else ()
        there = dict.fromkeys(name for names in own for name in names)
        keys = any(source.loose for source in sources)
        normaliser = Normaliser(self._mapping, there, self._names[0], carried, keys=keys)
        self.absent = normaliser.absent
        empty = self._told(*self._nothing())
        for name in ("rejects", "changed", "out"):
            path = self._wanted.paths.get(name)
            if path is not None:
                schema = REJECT_COLUMNS if name == "rejects" else dict(empty.schema)
                self._tables[name] = self._wanted.outputs.open(path, schema)
        total, done = sum(source.size for source in sources), 0
        with ThreadPoolExecutor(1) as clerk:
            for k, source in enumerate(sources):
                self._counting = k >= before
                for chunk in self._chunks(source, own[k], normaliser):
                    self._read(chunk, normaliser, k, clerk)
                    if progress:
                        progress(done + round(chunk.part * source.size), total, self.counts.read)
                done += source.size
                if not self._counting and k + 1 == before:
                    self._decide_all(self._window.flush().ready, clerk)
            self._take(self._window.flush(), clerk)
            self._wait_for(0)

    @staticmethod
    def _chunks(source: Source, own: list[str], normaliser: Normaliser) -> Iterator[Chunk]:
        """Yield chunks with all columns that are read; those that this source lacks are null."""
        lacks = [] if source.loose else [name for name in normaliser.wanted if name not in own]
        for name in lacks:
            normaliser.check_may_lack(name, source.name, own)
        for chunk in source.chunks(tuple(name for name in normaliser.wanted if name not in lacks)):
            nulls = [pl.lit(None, pl.String).alias(name) for name in lacks]
            yield replace(chunk, frame=chunk.frame.with_columns(nulls)) if lacks else chunk

    def _read(self, chunk: Chunk, normaliser: Normaliser, file: int, clerk: Executor) -> None:
        frame, wrong = normaliser.read(chunk.frame)
        lines = chunk.lines[frame["row"].to_numpy()] if len(frame) != len(chunk.lines) else chunk.lines
        frame = frame.with_columns(line=pl.Series(lines), file=pl.lit(file, pl.UInt32)).drop("row")
        if self._counting:
            self.counts.read += chunk.records
            self._reject_malformed(self._names[file], chunk, wrong)
        self._take(self._window.add(frame), clerk)

    def _take(self, released: Released, clerk: Executor) -> None:
        """Decide what the window gives out, and set down what it holds to be late or a duplicate."""
        if released.late is not None:
            self.counts.late += len(released.late)
            told = f"more than {format_duration(self._window.lateness_us)} behind the latest record before it"
            self._reject(_rejected(released.late, self._names, "late", told))
        for frame in released.duplicate:
            self.counts.duplicate += len(frame)
            self._reject(_rejected(frame, self._names, "duplicate", "equal to an earlier record"))
        self._decide_all(released.ready, clerk)

    def _decide_all(self, frames: list[pl.DataFrame], clerk: Executor) -> None:
        for frame in frames:
            batch = batch_of(frame, self._mapping)
            found = self._stream.decide(batch)
            other = None if self._other_stream is None else self._other_stream.decide(batch)
            if self._counting:
                self.counts.decided += len(batch)
                self._wait_for(1)
                self._pending.append(clerk.submit(self._account, frame, batch, found, other))

    def _wait_for(self, most: int) -> None:
        """Wait until at most so many batches are still to be counted; raise what went wrong with one."""
        while len(self._pending) > most:
            self._pending.popleft().result()

    def _account(self, frame: pl.DataFrame, batch: AttemptBatch, found: Decisions, other: Decisions | None) -> None:
        """Count a batch, write its decisions where they are wanted, and compare them with those of a simulation."""
        label = frame["label"].to_numpy() if "label" in frame.columns else None
        self.tally.add(batch, found, other, label)
        if self._wanted.compared:
            verdict, reason = _coded(found.verdict, VERDICTS), _coded(found.reason, ("", *self._core.rules))
            same = (verdict.cast(pl.String) == frame["verdict"]) & (reason.cast(pl.String) == frame["reason"])
            self.same += int(same.sum())
        if not (self._wanted.keep or self._tables.keys() & {"out", "changed"}):
            return
        told = self._told(frame, batch, found, other)
        if self._wanted.keep:
            self._decisions.append(told)
        if "out" in self._tables:
            self._tables["out"].write(told)
        if other is not None and "changed" in self._tables:
            self._tables["changed"].write(told.filter(pl.Series(found.verdict != other.verdict)))

    def _told(
        self, frame: pl.DataFrame, batch: AttemptBatch, found: Decisions, other: Decisions | None
    ) -> pl.DataFrame:
        """Return decisions as they are told: where, when, who, and what was decided."""
        a_number, b_number = frame["a_number"], frame["b_number"]
        if self._wanted.pseudonyms is not None:
            a_number, b_number = (
                self._wanted.pseudonyms.of_column(a_number),
                self._wanted.pseudonyms.of_column(b_number),
            )
        columns: dict[str, Any] = {
            **({"file": _named(frame["file"].to_numpy(), self._names)} if self._several else {}),
            "line": frame["line"],
            "time_us": frame["time_us"],
            "channel": _coded(batch.channel, CHANNELS),
            "a_number": a_number,
            "b_number": b_number,
            "verdict": _coded(found.verdict, VERDICTS),
            "reason": _coded(found.reason, ("", *self._core.rules)),
            "matched": found.matched,
            **({"score": found.score} if self._scores else {}),
        }
        if other is not None and self._other is not None:
            columns["challenger_verdict"] = _coded(other.verdict, VERDICTS)
            columns["challenger_reason"] = _coded(other.reason, ("", *self._other.rules))
        return pl.DataFrame(columns)

    def _reject_malformed(self, name: str, chunk: Chunk, wrong: Wrong) -> None:
        many = len(wrong.rows) + len(chunk.broken)
        if not many:
            return
        self.counts.malformed += many
        lines = [*chunk.lines[wrong.rows].tolist(), *(broken.line for broken in chunk.broken)]
        reasons = [*wrong.reasons, *(broken.reason for broken in chunk.broken)]
        values = [*wrong.values, *(broken.text for broken in chunk.broken)]
        data = {"file": [name] * many, "line": lines, "kind": ["malformed"] * many, "reason": reasons, "value": values}
        self._reject(pl.DataFrame(data, schema=REJECT_COLUMNS).sort("line"))

    def _reject(self, rejected: pl.DataFrame) -> None:
        if not self._counting:
            return
        if self._wanted.pseudonyms is not None:
            rejected = rejected.with_columns(value=pl.lit(""))  # it may hold a number
        have = sum(map(len, self.first_rejects))
        if have < _EXAMPLES:
            self.first_rejects.append(rejected[: _EXAMPLES - have])
        if "rejects" in self._tables:
            self._tables["rejects"].write(rejected)

    def _nothing(self) -> tuple[pl.DataFrame, AttemptBatch, Decisions, Decisions | None]:
        """Return no attempt, of the shape that decisions are told in."""
        schema = {"time_us": pl.Int64, "a_number": pl.UInt64, "b_number": pl.UInt64, "a_kind": pl.UInt8}
        frame = pl.DataFrame(schema={**schema, "line": pl.Int64, "file": pl.UInt32})
        none = Decisions(np.zeros(0, np.uint8), np.zeros(0, np.uint16), np.zeros(0, np.uint64), np.zeros(0, np.int32))
        return frame, batch_of(frame, self._mapping), none, None if self._other is None else none


def _coded(codes: Any, names: tuple[str, ...]) -> pl.Series:
    """Return codes as an Enum of their names, without a look at each."""
    return pl.Series(codes).cat.to(pl.Enum(names))


def _named(files: Any, names: list[str]) -> pl.Series:
    return pl.Series(files).replace_strict(dict(enumerate(names)), return_dtype=pl.String)


def _rejected(frame: pl.DataFrame, names: list[str], kind: str, reason: str) -> pl.DataFrame:
    return frame.select(
        _named(frame["file"].to_numpy(), names).alias("file"),
        "line",
        pl.lit(kind).alias("kind"),
        pl.lit(reason).alias("reason"),
        pl.from_epoch("time_us", "us").dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ").alias("value"),
    )
