"""Records in lines of text: CSV and JSON lines, read in blocks, with the line of each record.

A block that is plain is read by Polars. Whatever is not (quotation marks, rows of another length, blank lines, lines
that are no JSON) is read line by line with Python's own readers, which tell exactly which line is wrong and why; tests
hold the two to the same answer.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from interceptsim.backtest.mapping import Csv
from interceptsim.errors import ConfigurationError

__all__ = ["Broken", "Read", "csv_names", "csv_rows", "json_names", "json_rows", "read_csv", "read_json"]

BLOCK_BYTES = 1 << 24
LONGEST_LINE = 1 << 26
_SAMPLE_LINES = 1000
_SHOWN = 80
_BOM = b"\xef\xbb\xbf"


class Broken(NamedTuple):
    """A line that holds no record."""

    line: int
    reason: str
    text: str


Read = tuple[pl.DataFrame, NDArray[np.int64], list[Broken]]
"""Columns of text, the line of each record, and the lines that hold none."""

Block = tuple[pl.DataFrame, NDArray[np.int64], list[Broken], int]
"""The same, and how many bytes of the file have been read with it."""


def _text(block: bytes, encoding: str) -> str:
    return block.decode(encoding, "replace")


def csv_names(path: Path, how: Csv) -> list[str]:
    """Return the names of a CSV file's columns; raise ConfigurationError where there are none or two are the same."""
    with path.open("rb") as file:
        first = file.readline(LONGEST_LINE).removeprefix(_BOM)
    if not first.strip():
        raise ConfigurationError(str(path), "is empty; wanted a line with the names of the columns")
    try:
        row = next(csv.reader([_text(first, how.encoding)], delimiter=how.separator), [])
    except csv.Error as error:
        raise ConfigurationError(str(path), f"its first line is no line of CSV: {error}") from None
    return [name.strip() for name in row] if how.header else [str(k + 1) for k in range(len(row))]


def read_csv(path: Path, how: Csv, wanted: tuple[str, ...], block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Yield the wanted columns of a CSV file as text, block after block.

    An empty field is null, and a blank line is no record.
    """
    names = csv_names(path, how)
    for name in wanted:
        if names.count(name) > 1:
            raise ConfigurationError(str(path), "two columns have this name", given=name)
    at = [names.index(name) for name in wanted]
    with path.open("rb") as file:
        line = 1
        if how.header:
            file.readline(LONGEST_LINE)
            line = 2
        elif file.read(3) != _BOM:
            file.seek(0)
        held = _Lines(file, block_bytes, str(path))
        while block := held.next_block():
            read = _plain_csv(block, how, at, len(names), wanted)
            if read is None:
                many = block.count(b"\n") + (not block.endswith(b"\n"))
                given = held.lines_from(block), many, how, at, len(names), wanted
                frame, lines, broken, ended = csv_rows(*given)
                yield frame, lines + line, [b._replace(line=b.line + line) for b in broken], file.tell()
                line += ended
            else:
                yield read, np.arange(line, line + len(read), dtype=np.int64), [], file.tell()
                line += len(read)


class _Lines:
    """Blocks of whole lines, and single lines where a quoted field goes on beyond its block."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self._file, self._size, self._name = file, size, name

    def next_block(self) -> bytes:
        block = self._file.read(self._size)
        return block + self._line() if block and not block.endswith(b"\n") else block

    def lines_from(self, block: bytes) -> Iterator[bytes]:
        yield from io.BytesIO(block)
        while line := self._line():
            yield line

    def _line(self) -> bytes:
        line = self._file.readline(LONGEST_LINE + 1)
        if len(line) > LONGEST_LINE:
            raise ConfigurationError(self._name, f"has a line of over {LONGEST_LINE >> 20} MiB; it cannot be a record")
        return line


def _plain_csv(block: bytes, how: Csv, at: list[int], width: int, wanted: tuple[str, ...]) -> pl.DataFrame | None:
    """Return a block's columns as Polars reads them, None where it is not as plain as can be."""
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    bare = b"\r" in block and block.count(b"\r") != block.count(b"\r\n")
    uneven = block.count(how.separator.encode()) != lines * (width - 1)
    if b'"' in block or bare or uneven or width == 1:
        return None
    plain = block if block.isascii() else _text(block, how.encoding).encode()
    places = sorted(set(at))
    try:
        read = pl.read_csv(
            plain, has_header=False, infer_schema=False, separator=how.separator, quote_char=None, columns=places
        )
    except pl.exceptions.PolarsError:
        return None
    if len(read) != lines:
        return None
    by_place = dict(zip(places, read.get_columns(), strict=True))
    return pl.DataFrame({name: by_place[k] for name, k in zip(wanted, at, strict=True)})


def csv_rows(
    lines: Iterator[bytes], many: int, how: Csv, at: list[int], width: int, wanted: tuple[str, ...]
) -> tuple[pl.DataFrame, NDArray[np.int64], list[Broken], int]:
    """Read lines one by one, until `many` are read and the last record is whole.

    Return the wanted columns, the line of each record counted from 0, the broken lines, and how many lines were read.
    """
    taken = 0

    def texts() -> Iterator[str]:
        nonlocal taken
        for line in lines:
            taken += 1
            yield _text(line, how.encoding)

    reader = csv.reader(texts(), delimiter=how.separator)
    rows: list[list[str]] = []
    where: list[int] = []
    broken: list[Broken] = []
    while taken < max(many, 1):
        first = taken
        try:
            row = next(reader, None)
        except csv.Error as error:
            broken.append(Broken(first, f"not a line of CSV: {error}", ""))
            continue
        if row is None:
            break
        if not row:
            continue
        if len(row) == width:
            rows.append([row[k] for k in at])
            where.append(first)
        else:
            told = f"has {len(row)} fields where there are {width} columns"
            broken.append(Broken(first, told, how.separator.join(row)[:_SHOWN]))
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(at)
    data = {name: pl.Series(values, dtype=pl.String) for name, values in zip(wanted, columns, strict=True)}
    frame = pl.DataFrame(data).with_columns(pl.when(pl.all() != "").then(pl.all()))
    return frame, np.array(where, np.int64), broken, taken


def json_names(path: Path) -> list[str]:
    """Return the keys of the first records of a file of JSON lines."""
    names: dict[str, None] = {}
    with path.open("rb") as file:
        for _ in range(_SAMPLE_LINES):
            line = file.readline(LONGEST_LINE)
            if not line:
                break
            record = _record(line)
            if isinstance(record, dict):
                names.update(dict.fromkeys(record))
    return list(names)


def _record(line: bytes) -> dict[str, Any] | str:
    """Return the record in a line, or what is wrong with it."""
    try:
        record = json.loads(line.decode("utf-8").removeprefix("\ufeff"))
    except UnicodeDecodeError:
        return "not UTF-8 text"
    except (ValueError, RecursionError) as error:
        return f"not JSON: {str(error)[:_SHOWN]}"
    return record if isinstance(record, dict) else "not a JSON object"


def read_json(path: Path, wanted: tuple[str, ...], block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Yield the wanted keys of a file of JSON lines as text, block after block.

    What is absent is null, and a blank line is no record.
    """
    line = 1
    with path.open("rb") as file:
        held = _Lines(file, block_bytes, str(path))
        while block := held.next_block():
            whole = io.BytesIO(block).readlines()
            frame, lines, broken = json_rows(whole, wanted)
            yield frame, lines + line, [b._replace(line=b.line + line) for b in broken], file.tell()
            line += len(whole)


def json_rows(lines: Iterable[bytes], wanted: tuple[str, ...]) -> Read:
    """Read JSON lines one by one; return the wanted keys, the line of each record counted from 0, and broken lines."""
    columns: list[list[str | None]] = [[] for _ in wanted]
    where: list[int] = []
    broken: list[Broken] = []
    for k, line in enumerate(lines):
        if not line.strip():
            continue
        record = _record(line)
        values = record if isinstance(record, str) else _values(record, wanted)
        if isinstance(values, str):
            broken.append(Broken(k, values, line[:_SHOWN].decode("utf-8", "replace").rstrip("\r\n")))
            continue
        for column, value in zip(columns, values, strict=True):
            column.append(value)
        where.append(k)
    data = {name: pl.Series(values, dtype=pl.String) for name, values in zip(wanted, columns, strict=True)}
    return pl.DataFrame(data), np.array(where, np.int64), broken


def _values(record: dict[str, Any], wanted: tuple[str, ...]) -> list[str | None] | str:
    """Return the wanted values as text, or what is wrong with one."""
    values: list[str | None] = []
    for name in wanted:
        value: Any = record.get(name)
        kind: Any = type(value)
        if kind is str:
            text = value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
            values.append(text or None)
        elif kind is int:
            values.append(str(value))
        elif value is None:
            values.append(None)
        elif kind is bool:
            values.append("true" if value else "false")
        elif kind is float:
            values.append(repr(value))
        else:
            return f"{name}: wanted a single value"
    return values
