"""Where finished runs are kept: a directory of Parquet files, whose names are the index.

    runs/NAME.parquet            a run that is finished, by the name made from its content
    runs/NAME.failed.parquet     one that failed, with its error; it is tried again when it is asked for again
    fits/NAME.parquet            a calibration that a sweep needed
    sweeps/NAME.parquet          a table of points and the names of their runs

Every file is written aside and renamed, so it is whole or not there; the same content has the same name and bytes.
So any number of processes may use one store at a time, and may be killed at any time.
"""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import polars as pl

from interceptsim.errors import ResultsError

__all__ = ["DEFAULT_STORE", "Store"]

DEFAULT_STORE = Path("runs/store")

Room = Literal["runs", "fits", "sweeps"]

_PARTIAL = ".partial"
_WRITER = "".join(filter(str.isalnum, platform.node()))[:40] or "host"
_LEFT_AFTER_S = 3600
_TRIES = 5
_FAILED = ".failed"


class Store:
    """A directory of finished runs."""

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(DEFAULT_STORE if folder is None else folder)

    def open(self) -> Store:
        """Make the directory where it is not there, and take away what killed processes left half written.

        Raise ResultsError where that cannot be done.
        """
        with self._told():
            for room in ("runs", "fits", "sweeps"):
                (self.folder / room).mkdir(parents=True, exist_ok=True)
        for partial in self.folder.glob(f"*/.*{_PARTIAL}"):
            with contextlib.suppress(OSError):  # somebody else took it away, or uses it
                if _is_left(partial):
                    partial.unlink()
        return self

    def path(self, room: Room, name: str, *, failed: bool = False) -> Path:
        """Return where something is or would be kept."""
        return self.folder / room / f"{name}{_FAILED if failed else ''}.parquet"

    def has(self, room: Room, name: str) -> bool:
        """Tell whether something is kept and did not fail."""
        return self.path(room, name).exists()

    def names(self, room: Room) -> set[str]:
        """Return the names of all that is kept and did not fail."""
        try:
            files = [entry.name for entry in os.scandir(self.folder / room)]
        except FileNotFoundError:
            return set()
        return {name.removesuffix(".parquet") for name in files if name.count(".") == 1 and name.endswith(".parquet")}

    def put(
        self,
        room: Room,
        name: str,
        frame: pl.DataFrame,
        *,
        failed: bool = False,
        about: Mapping[str, str] | None = None,
    ) -> None:
        """Keep a frame, with what is said `about` it in the file's metadata; raise ResultsError where that fails."""
        path = self.path(room, name, failed=failed)
        with self._told():
            for _ in range(_TRIES):
                aside = path.with_name(f".{path.name}.{_WRITER}.{os.getpid()}.{secrets.token_hex(4)}{_PARTIAL}")
                try:
                    frame.write_parquet(aside, metadata=dict(about or {}))
                    aside.replace(path)
                except FileNotFoundError:  # another machine took it for one that was left
                    continue
                finally:  # it is there still where writing failed
                    with contextlib.suppress(OSError):
                        aside.unlink()
                break
            else:
                raise ResultsError(f"{path}: cannot be written: what is written beside it keeps vanishing")
            if not failed:
                with contextlib.suppress(FileNotFoundError):
                    self.path(room, name, failed=True).unlink()

    def files(self, room: Room, names: Iterable[str]) -> list[Path]:
        """Return the files that are there, of things by their names, those that failed included."""
        there = []
        for name in names:
            either = (self.path(room, name), self.path(room, name, failed=True))
            there += [path for path in either if path.exists()][:1]
        return there

    def read(self, room: Room, names: Iterable[str], schema: Mapping[str, type[pl.DataType]]) -> pl.LazyFrame:
        """Return the rows of things by their names, as far as they are there."""
        files = self.files(room, names)
        return pl.scan_parquet(files, glob=False) if files else pl.LazyFrame(schema=dict(schema))

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ResultsError(f"{self.folder}: cannot be written: {error.strerror or error}") from None


def _is_left(partial: Path) -> bool:
    """Tell whether a file that is being written was left so by a process that is no more."""
    *_, writer, process, _, _ = partial.name.split(".")
    if writer == _WRITER and process.isdecimal() and os.name == "posix":
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
    return time.time() - partial.stat().st_mtime > _LEFT_AFTER_S
