"""Tables written row group by row group, aside, and renamed when all is well.

A table's format is that of its name: Parquet, Arrow IPC, CSV or JSON lines. Until every table of a replay is whole,
none bears its name; a process that is killed leaves hidden files that end in ".partial".
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import polars as pl
from polars.io.plugins import register_io_source

from interceptsim.errors import ConfigurationError, ResultsError

__all__ = ["Outputs", "Table"]

_FORMATS = {
    ".parquet": "parquet",
    ".arrow": "ipc",
    ".ipc": "ipc",
    ".feather": "ipc",
    ".csv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
}
_AHEAD = 2  # frames that wait to be written


class _Stopped(Exception):  # noqa: N818  no failure: the replay itself failed
    """The table is not wanted any more."""


class Table:
    """One file that grows by frames of one schema; `name` is the one that it is to have.

    Whatever cannot be written is told as a ResultsError.
    """

    def __init__(self, name: str, aside: Path, kind: str, schema: dict[str, Any]) -> None:
        self.name = name
        self.schema = schema
        self._kind = kind
        self._file: BinaryIO | None = None
        self._failed: BaseException | None = None
        self._frames: queue.Queue[pl.DataFrame | BaseException | None] = queue.Queue(_AHEAD)
        self._thread: threading.Thread | None = None
        if kind in {"csv", "json"}:
            self._file = aside.open("wb")
            if kind == "csv":
                pl.DataFrame(schema=schema).write_csv(self._file)
        else:
            self._thread = threading.Thread(target=self._sink, args=(aside,), daemon=True)
            self._thread.start()

    def write(self, frame: pl.DataFrame) -> None:
        """Add a frame of the table's schema."""
        if len(frame) == 0:
            return
        with self._told():
            if self._file is None:
                self._put(frame)
            elif self._kind == "csv":
                frame.write_csv(self._file, include_header=False)
            else:
                frame.write_ndjson(self._file)

    def close(self) -> None:
        """Finish the file."""
        with self._told():
            if self._file is not None:
                self._file.close()
                return
            self._put(None)
            self._join()
            self._check()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pl.exceptions.PolarsError) as error:
            raise ResultsError(f"{self.name}: cannot be written: {str(error).splitlines()[0]}") from None

    def _check(self) -> None:
        if self._failed is not None:
            raise ResultsError(f"{self.name}: cannot be written: {str(self._failed).splitlines()[0]}")

    def abandon(self) -> None:
        """Stop writing, whatever state it is in."""
        if self._file is not None:
            self._file.close()
        elif self._thread is not None and self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._frames.get_nowait() if self._frames.full() else None
                self._frames.put(_Stopped(), timeout=5)
            self._join()

    def _join(self) -> None:
        assert self._thread is not None
        self._thread.join()

    def _put(self, item: pl.DataFrame | None) -> None:
        while True:
            self._check()
            try:
                self._frames.put(item, timeout=0.2)
            except queue.Full:
                continue
            return

    def _sink(self, aside: Path) -> None:
        def frames(_columns: Any, _predicate: Any, _rows: Any, _size: Any) -> Iterator[pl.DataFrame]:
            while (item := self._frames.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item

        plan = register_io_source(frames, schema=self.schema)
        try:
            if self._kind == "parquet":
                plan.sink_parquet(aside, compression="lz4", statistics=False, maintain_order=True)
            else:
                plan.sink_ipc(aside, compression="lz4", maintain_order=True)
        except BaseException as error:  # noqa: BLE001  told to the thread that writes
            self._failed = error


class Outputs:
    """The tables of a replay: open them, write, and let them take their names together, in the order they were opened.

    Used as a context: where the block ends badly, nothing is left.
    """

    def __init__(self) -> None:
        self._tables: list[tuple[Path, Path, Table]] = []

    def check(self, path: str | Path, what: str) -> None:
        """Raise ConfigurationError or ResultsError where a table of this name could not be written."""
        target = Path(path)
        if target.suffix.lower() not in _FORMATS:
            raise ConfigurationError(f"{what} {target}", f"wanted a name that ends in one of {', '.join(_FORMATS)}")
        if os.path.lexists(target):
            raise ResultsError(f"{target}: something is there already; choose another name")
        if not target.parent.is_dir():
            raise ResultsError(f"{target}: cannot be written: there is no folder {target.parent}")

    def open(self, path: str | Path, schema: dict[str, Any]) -> Table:
        """Return a new table; raise ResultsError where it cannot be written."""
        target = Path(path)
        aside = target.with_name(f".{target.name}.{os.getpid()}.partial")
        try:
            table = Table(str(target), aside, _FORMATS[target.suffix.lower()], schema)
        except OSError as error:
            raise ResultsError(f"{target}: cannot be written: {error.strerror}") from None
        self._tables.append((target, aside, table))
        return table

    def finish(self) -> None:
        """Close all tables and give them their names; raise ResultsError where one cannot be written."""
        for _, _, table in self._tables:
            table.close()
        for target, aside, _ in self._tables:
            try:
                aside.rename(target)
            except OSError as error:
                raise ResultsError(f"{target}: cannot be written: {error.strerror}") from None
        self._tables.clear()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave nothing of tables that were not finished."""
        for _, aside, table in self._tables:
            table.abandon()
            aside.unlink(missing_ok=True)
