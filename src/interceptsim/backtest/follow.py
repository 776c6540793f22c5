"""Records decided as they come: a file that grows, or JSON lines on standard input.

Each line in gives one JSON line out, at once: its decision, or why there is none. With a lateness, decisions wait until
no earlier record can come, and come out in order of time.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import polars as pl

from interceptsim.attempts import VERDICTS
from interceptsim.backtest.deciding import Counts
from interceptsim.backtest.lines import Broken, csv_rows, json_rows
from interceptsim.backtest.listings import as_listings
from interceptsim.backtest.mapping import Mapping, as_mapping
from interceptsim.backtest.normalise import Normaliser, batch_of
from interceptsim.backtest.ordering import Released, Window
from interceptsim.backtest.pseudonyms import Pseudonyms
from interceptsim.backtest.replay import Chain, as_chain
from interceptsim.backtest.sources import FORMATS
from interceptsim.errors import ConfigurationError
from interceptsim.filtering.plan import FilterCore
from interceptsim.filtering.stream import FilterStream

__all__ = ["follow"]

_POLL_S = 0.1
_MOST_LINES = 10_000
_NONE = pl.DataFrame()


def follow(
    records: str | Path,
    policies: Chain,
    *,
    to: TextIO,
    mapping: Mapping | dict[str, Any] | str | Path | None = None,
    listings: pl.DataFrame | str | Path | None = None,
    pseudonymise: str | Path | None = None,
    lateness_us: int | None = None,
    stop: Callable[[], bool] | None = None,
) -> Counts:
    """Decide records as they are appended to a file (CSV, JSON lines), or arrive on standard input ("-", JSON lines).

    Decisions are written `to` a stream of text as JSON lines. A file is followed until `stop` tells so or the process
    is interrupted; standard input until its end. Return how many records there were. The lateness is 0 unless given.

    Raise ConfigurationError as `replay` does.
    """
    core, how = as_chain(policies, as_mapping(mapping))
    fed = None if listings is None else as_listings(listings, [core])
    desk = _Desk(core, how, fed, pseudonymise, lateness_us or 0, to)
    if str(records) == "-":
        return desk.serve(_whole_lines(sys.stdin.buffer, None), "standard input", "json")
    path = Path(records)
    kind = FORMATS.get(path.suffix.lower())
    if kind not in {"csv", "json"}:
        raise ConfigurationError(str(path), "only CSV and JSON lines can be followed, by a name that says so")
    try:
        with path.open("rb") as file:
            return desk.serve(_whole_lines(file, stop or (lambda: False)), str(path), kind)
    except OSError as error:
        raise ConfigurationError(str(path), f"cannot be read: {error.strerror}") from None


def _whole_lines(file: BinaryIO, stop: Callable[[], bool] | None) -> Iterator[list[bytes]]:
    """Yield the lines that are there, as many as are whole; wait for more unless `stop` is None, the file's end.

    At the end the last line is given out as it is.
    """
    rest = b""
    read = getattr(file, "read1", file.read)
    while True:
        piece = read(1 << 20)
        if piece:
            *lines, rest = (rest + piece).split(b"\n")
            if lines:
                yield [line + b"\n" for line in lines]
            continue
        if stop is None or stop():
            break
        time.sleep(_POLL_S)
    if rest:
        yield [rest]


class _Desk:
    """Decides lines as they come and writes what was decided."""

    def __init__(
        self,
        core: FilterCore,
        mapping: Mapping,
        listings: pl.DataFrame | None,
        keyfile: str | Path | None,
        lateness_us: int,
        to: TextIO,
    ) -> None:
        self._core, self._mapping, self._to = core, mapping, to
        self._stream = FilterStream(core, 1, listings)
        self._window = Window(lateness_us, keep_duplicates=True, promptly=True)  # a duplicate might come much later
        self._pseudonyms = None if keyfile is None else Pseudonyms(keyfile)
        self._names: list[str] | None = None
        self.counts = Counts()

    def serve(self, lines: Iterator[list[bytes]], name: str, kind: str) -> Counts:
        """Decide all lines; return the counts when they end or the process is interrupted."""
        at = 1
        try:
            for many in lines:
                for first in range(0, len(many), _MOST_LINES):
                    piece = many[first : first + _MOST_LINES]
                    self._decide(piece, at, name, kind)
                    at += len(piece)
        except KeyboardInterrupt:
            pass
        self._tell(self._window.flush())
        self._to.flush()
        return self.counts

    def _decide(self, lines: list[bytes], at: int, name: str, kind: str) -> None:
        if kind == "csv" and self._names is None:
            head = lines.pop(0).removeprefix(b"\xef\xbb\xbf").decode(self._mapping.csv.encoding, "replace")
            fields = next(csv.reader([head], delimiter=self._mapping.csv.separator), [])
            self._names = [field.strip() for field in fields]
            at += 1
        if kind == "csv":
            assert self._names is not None
            reader = Normaliser(self._mapping, self._names, name)
            places = [self._names.index(column) for column in reader.wanted]
            given = iter(lines), len(lines), self._mapping.csv, places, len(self._names), reader.wanted
            frame, where, broken, _ = csv_rows(*given) if lines else (_NONE, None, [], 0)
        else:
            reader, frame, where, broken = self._read_json(lines, name)
        self._tell_broken(broken, at)
        if where is None or len(frame) == 0:
            self._to.flush()
            return
        self.counts.read += len(frame)
        read, wrong = reader.read(frame)
        for row, reason in zip(wrong.rows.tolist(), wrong.reasons, strict=True):
            self.counts.malformed += 1
            self._line({"line": int(where[row]) + at, "rejected": "malformed", "reason": reason})
        rows = pl.Series(where[read["row"].to_numpy()] + at)
        self._tell(self._window.add(read.with_columns(line=rows).drop("row")))
        if self._window.lateness_us == 0:
            self._tell(self._window.flush())
        self._to.flush()

    def _read_json(self, lines: list[bytes], name: str) -> tuple[Normaliser, pl.DataFrame, Any, list[Broken]]:
        """Read JSON lines; a key that a record lacks is null, whichever other records have it."""
        columns = type(self._mapping.columns).model_fields
        there = [getattr(self._mapping.columns, field) for field in columns if field != "time"]
        needs = set(self._core.needs)
        optional = {"text_score", "link", "a_incoming", "answered", "duration_us"}
        keys = [name for name in there if name not in optional or name in needs or self._is_mapped(name)]
        reader = Normaliser(self._mapping, [*self._mapping.columns.times, *keys], name)
        frame, where, broken = json_rows(lines, reader.wanted)
        return reader, frame, where, broken

    def _is_mapped(self, column: str) -> bool:
        given = self._mapping.columns
        return any(getattr(given, field) == column for field in given.model_fields_set)

    def _tell_broken(self, broken: list[Broken], at: int) -> None:
        for line, reason, _ in broken:
            self.counts.read += 1
            self.counts.malformed += 1
            self._line({"line": line + at, "rejected": "malformed", "reason": reason})

    def _tell(self, released: Released) -> None:
        if released.late is not None:
            self.counts.late += len(released.late)
            for line in released.late["line"]:
                self._line({"line": line, "rejected": "late", "reason": "earlier than records that are decided"})
        rules = ("", *self._core.rules)
        for frame in released.ready:
            batch = batch_of(frame, self._mapping)
            found = self._stream.decide(batch)
            self.counts.decided += len(batch)
            told = zip(
                frame["line"],
                batch.time_us.tolist(),
                frame["a_number"],
                frame["b_number"],
                found.verdict.tolist(),
                found.reason.tolist(),
                found.score.tolist(),
                strict=True,
            )
            for line, time_us, a, b, verdict, reason, score in told:
                numbers = (a, b) if self._pseudonyms is None else (self._pseudonyms.of(a), self._pseudonyms.of(b))
                row = {"line": line, "time_us": time_us, "a_number": numbers[0], "b_number": numbers[1]}
                self._line({**row, "verdict": VERDICTS[verdict], "reason": rules[reason], "score": score})

    def _line(self, row: dict[str, Any]) -> None:
        self._to.write(json.dumps(row) + "\n")
