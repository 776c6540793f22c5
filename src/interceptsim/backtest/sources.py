"""Where records are: files found by name, glob or folder, and what each of them yields, chunk after chunk.

A `Chunk` is raw columns with the line (or row) of each record, and the lines that hold no record. Parquet and Arrow
files are read here by Polars, in the background and a chunk at a time; text in `lines`.
"""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

import numpy as np
import polars as pl
from numpy.typing import NDArray

from interceptsim.backtest.lines import Broken, csv_names, json_names, read_csv, read_json
from interceptsim.backtest.mapping import Csv
from interceptsim.errors import ConfigurationError

__all__ = ["CHUNK_ROWS", "FORMATS", "Chunk", "FrameSource", "RecordFile", "Source", "find_records"]

CHUNK_ROWS = 262_144
"""Rows of a chunk of a columnar file: few enough to stay small, many enough for two threads."""

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".arrow": "ipc",
    ".ipc": "ipc",
    ".feather": "ipc",
}
"""Which format a file of a suffix is of."""


@dataclass(frozen=True)
class Chunk:
    """Raw columns of some records; `lines` (int64) are theirs in the file, counted from 1; `broken` are no records.

    `part` is how much of the source has been read with it, 0 to 1.
    """

    frame: pl.DataFrame
    lines: NDArray[np.int64]
    broken: list[Broken] = field(default_factory=list)
    part: float = 1.0

    @property
    def records(self) -> int:
        """How many records there are, broken ones included."""
        return len(self.frame) + len(self.broken)


class Source(Protocol):
    """Something that records are read from: its name, its columns, and chunks of those that are wanted.

    `size` is told as progress is; where it is `loose`, records have keys of their own rather than columns.
    """

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def size(self) -> int:
        """How large it is, in a unit of its own."""
        ...

    @property
    def loose(self) -> bool:
        """Whether each record may lack any key."""
        ...

    def names(self) -> list[str]:
        """Return the columns that there are."""
        ...

    def chunks(self, wanted: tuple[str, ...]) -> Iterator[Chunk]:
        """Yield the wanted columns, chunk after chunk."""
        ...


@dataclass(frozen=True)
class RecordFile:
    """One file of records; `partition` holds what its folders say, such as province=44."""

    name: str
    path: Path
    format: str
    csv: Csv
    partition: dict[str, str]
    chunk_rows: int = CHUNK_ROWS

    def names(self) -> list[str]:
        """Return the columns that there are, those of folders included."""
        with _told(self.name):
            if self.format in {"parquet", "ipc"}:
                own = self._scan().collect_schema().names()
            else:
                own = csv_names(self.path, self.csv) if self.format == "csv" else json_names(self.path)
        return [*own, *(key for key in self.partition if key not in own)]

    def chunks(self, wanted: tuple[str, ...]) -> Iterator[Chunk]:
        """Yield the wanted columns, chunk after chunk; raise ConfigurationError where the file is damaged."""
        with _told(self.name):
            inside = tuple(name for name in wanted if name not in self.partition)
            for chunk in self._chunks(inside):
                given = {key: pl.lit(value) for key, value in self.partition.items() if key in wanted}
                yield replace(chunk, frame=chunk.frame.with_columns(**given)) if given else chunk

    @property
    def size(self) -> int:
        """The bytes of the file."""
        with _told(self.name):
            return self.path.stat().st_size

    @property
    def loose(self) -> bool:
        """Whether it holds JSON lines."""
        return self.format == "json"

    def _scan(self) -> pl.LazyFrame:
        scan: Callable[..., pl.LazyFrame] = pl.scan_parquet if self.format == "parquet" else pl.scan_ipc
        return scan(self.path, hive_partitioning=False, glob=False)

    def _chunks(self, wanted: tuple[str, ...]) -> Iterator[Chunk]:
        if self.format in {"parquet", "ipc"}:
            row, total = 0, max(self._scan().select(pl.len()).collect().item(), 1)
            for frame in self._scan().select(wanted).collect_batches(chunk_size=self.chunk_rows, maintain_order=True):
                lines = np.arange(row + 1, row + 1 + len(frame), dtype=np.int64)
                row += len(frame)
                yield Chunk(frame, lines, part=row / total)
            return
        read = read_csv(self.path, self.csv, wanted) if self.format == "csv" else read_json(self.path, wanted)
        size = max(self.size, 1)
        for frame, lines, broken, done in read:
            yield Chunk(frame, lines, broken, min(done / size, 1.0))


@dataclass(frozen=True)
class FrameSource:
    """Records in a Polars frame."""

    frame: pl.DataFrame
    name: str = "records"
    loose: bool = False

    @property
    def size(self) -> int:
        """The rows of the frame."""
        return len(self.frame)

    def names(self) -> list[str]:
        """Return the columns that there are."""
        return self.frame.columns

    def chunks(self, wanted: tuple[str, ...]) -> Iterator[Chunk]:
        """Yield the wanted columns, chunk after chunk."""
        for first in range(0, len(self.frame), CHUNK_ROWS):
            piece = self.frame[first : first + CHUNK_ROWS].select(wanted)
            lines = np.arange(first + 1, first + 1 + len(piece), dtype=np.int64)
            yield Chunk(piece, lines, part=(first + len(piece)) / len(self.frame))


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    """Tell in one ConfigurationError that a file cannot be read, whatever its reader says or does."""
    try:
        yield
    except ConfigurationError:
        raise
    except OSError as error:
        raise ConfigurationError(name, f"cannot be read: {error.strerror or error}") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, MemoryError) as error:
        told = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise ConfigurationError(name, f"damaged, or not of the format that its name says: {told}") from None


def find_records(records: str | Path, csv: Csv) -> list[RecordFile]:
    """Return the files of records: one by its name, those of a glob or within a folder, in the order of their paths.

    Folders named key=value give a column to the files in them. Raise ConfigurationError where there is none, or a file
    has a suffix that tells no format.
    """
    text = str(records)
    try:
        paths = _paths(text)
    except (OSError, ValueError) as error:
        raise ConfigurationError(repr(text)[:200], f"cannot be read: {error}") from None
    found = []
    for root, path in paths:
        kind = FORMATS.get(path.suffix.lower())
        if kind is None:
            wanted = f"wanted a name that ends in one of {', '.join(FORMATS)}"
            raise ConfigurationError(str(path), wanted, given=path.suffix)
        folders = path.relative_to(root).parts[:-1] if root else ()
        pairs = (part.partition("=") for part in folders)
        partition = {key: unquote(value) for key, equals, value in pairs if equals}
        kept = (
            csv.model_copy(update={"separator": "\t"})
            if path.suffix.lower() == ".tsv" and csv.separator == ","
            else csv
        )
        found.append(RecordFile(str(path), path, kind, kept, partition))
    return found


def _paths(text: str) -> list[tuple[Path | None, Path]]:
    """Return the files, each with the folder that was given, if any."""
    path = Path(text)
    if path.is_dir():
        inside = sorted(
            Path(folder, name)
            for folder, folders, names in os.walk(path)
            for name in names
            if not name.startswith((".", "_"))
            and not any(p.startswith((".", "_")) for p in Path(folder).relative_to(path).parts)
        )
        if not inside:
            raise ConfigurationError(text, "holds no files of records")
        return [(path, file) for file in inside]
    if path.is_file():
        return [(None, path)]
    if glob.has_magic(text):
        matched = sorted(Path(name) for name in glob.glob(text, recursive=True) if Path(name).is_file())  # noqa: PTH207
        if not matched:
            raise ConfigurationError(text, "matches no file")
        return [(Path(path.anchor), file) if path.anchor else (Path(), file) for file in matched]
    raise ConfigurationError(text, "no such file or folder")
