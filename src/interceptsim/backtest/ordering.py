"""Records put in order of time within a window, late and duplicate ones told apart, in bounded memory.

A record is late if it is earlier than the latest record before it by more than the lateness. That depends on the
records alone, not on how they are cut into chunks; so do duplicates, which are records of one time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import polars as pl

__all__ = ["Released", "Window"]

_WHERE = ("row", "line", "file")  # columns that tell where a record stood, and not what it says
_LEAST = 65_536  # rows that are put in order together
_LONG = 1_000_000  # rows beyond which a frame is given out in pieces


@dataclass(frozen=True)
class Released:
    """Attempts in order of time, and records that are not decided."""

    ready: list[pl.DataFrame]
    late: pl.DataFrame | None
    duplicate: list[pl.DataFrame]


class Window:
    """Holds attempts back until no earlier one can come that would not be late.

    Frames have `time_us` (int64, UTC microseconds), all of one layout. `keep_duplicates` lets equal records pass. What
    can be decided is given out `promptly`, or frame by frame, which is faster.
    """

    def __init__(self, lateness_us: int, *, keep_duplicates: bool = False, promptly: bool = False) -> None:
        self._promptly = promptly
        self.lateness_us = lateness_us
        self._lateness = np.int64(lateness_us)
        self._keep = keep_duplicates
        self._latest = np.int64(-(2**62))
        self._held: deque[pl.DataFrame] = deque()
        self._rows = 0
        self._ordered = True
        self._wait_for = 0

    def add(self, frame: pl.DataFrame) -> Released:
        """Take a chunk; return what can be decided now."""
        if len(frame) == 0:
            return Released([], None, [])
        times = frame["time_us"].to_numpy()
        late = None
        ordered = times[0] >= self._latest and not (times[1:] < times[:-1]).any()
        if not ordered:
            before = np.maximum.accumulate(np.concatenate([[self._latest], times[:-1]]))
            is_late = times < before - self._lateness
            if is_late.any():
                late = frame.filter(pl.Series(is_late))
                frame = frame.filter(pl.Series(~is_late))
                times = frame["time_us"].to_numpy()
            if len(frame) == 0:
                return Released([], late, [])
            ordered = times[0] >= self._latest and not (times[1:] < times[:-1]).any()
        self._ordered = self._ordered and ordered
        self._latest = max(self._latest, times.max())
        self._held.append(frame)
        self._rows += len(frame)
        ready, duplicate = self._release(self._latest - self._lateness)
        return Released(ready, late, duplicate)

    def flush(self) -> Released:
        """Return all that is held: no more records come."""
        self._wait_for = 0
        ready, duplicate = self._release(np.int64(2**63 - 1))
        return Released(ready, None, duplicate)

    def _release(self, before: np.int64) -> tuple[list[pl.DataFrame], list[pl.DataFrame]]:
        """Give out what lies before a time, where that is worth putting the rest in order."""
        if not self._ordered:
            if self._rows < self._wait_for:
                return [], []
            whole = pl.concat(list(self._held)).sort("time_us", maintain_order=True)
            self._held = deque([whole])
            self._ordered = True
        ready: list[pl.DataFrame] = []
        while self._held and self._held[0]["time_us"][-1] < before:
            ready.append(self._held.popleft())
        if self._held and (self._promptly or len(self._held[0]) > _LONG):
            frame = self._held.popleft()
            cut = int(np.searchsorted(frame["time_us"].to_numpy(), before))
            ready += [frame[:cut]] if cut else []
            self._held.appendleft(frame[cut:])
        elif self._held and ready and self._held[0]["time_us"][0] == ready[-1]["time_us"][-1]:
            ready[-1], ended = _without_last(ready[-1])
            self._held[0] = pl.concat([ended, self._held[0]])
        self._rows = sum(map(len, self._held))
        self._wait_for = 2 * self._rows + _LEAST  # so that each record is sorted only a few times
        return self._distinct(ready)

    def _distinct(self, ready: list[pl.DataFrame]) -> tuple[list[pl.DataFrame], list[pl.DataFrame]]:
        """Take records out that equal an earlier one; all of one time are given out together."""
        if self._keep:
            return ready, []
        kept, duplicate = [], []
        for k, frame in enumerate(ready):
            if k + 1 < len(ready):
                following = ready[k + 1]
                if len(frame) and following["time_us"][0] == frame["time_us"][-1]:
                    frame, ended = _without_last(frame)
                    ready[k + 1] = pl.concat([ended, following])
            again = _repeated(frame)
            if again is not None:
                duplicate.append(frame.filter(pl.Series(again)))
                frame = frame.filter(pl.Series(~again))
            if len(frame):
                kept.append(frame)
        return kept, duplicate


def _without_last(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Cut a frame before its last moment, whose records go on in the next one."""
    times = frame["time_us"].to_numpy()
    cut = int(np.searchsorted(times, times[-1]))
    return frame[:cut], frame[cut:]


def _repeated(frame: pl.DataFrame) -> np.ndarray | None:
    """Tell which rows of a frame in order of time equal an earlier one (bool), None where none does."""
    times = frame["time_us"].to_numpy()
    same = times[1:] == times[:-1]
    if not same.any():
        return None
    key = ["time_us", "id"] if "id" in frame.columns else [name for name in frame.columns if name not in _WHERE]
    tied = np.zeros(len(frame), np.bool_)
    tied[1:] |= same
    tied[:-1] |= same
    word = times.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for k, name in enumerate(("id",) if "id" in key else ("a_number", "b_number")):
        word = (word ^ frame[name].to_numpy()) * np.uint64(0xBF58476D1CE4E5B9 + 2 * k)
    places = np.flatnonzero(tied)
    alike = pl.Series(word[places]).is_duplicated().to_numpy()
    places = places[alike]
    if len(places) == 0:
        return None
    first = frame[places].select(pl.struct(key).is_first_distinct()).to_series().to_numpy()
    again = np.zeros(len(frame), np.bool_)
    again[places[~first]] = True
    return again if again.any() else None
