"""What is kept of single attempts, where a run is asked to keep them: frames in memory, or Parquet files.

Takes decided rows in batches of any order; gives them in the order (time, line, ordinal).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from interceptsim.attempts import ALLOW, DELIVER, ENTRIES, OUTCOMES, VERDICTS, Rows

__all__ = ["Recorder"]

_RECORDED = (
    *("time_us", "channel", "a_number", "b_number", "a_kind", "entry", "b_carrier", "roaming", "content", "text_score"),
    *("link", "a_incoming", "answered", "duration_us", "line", "ordinal", "code", "reason", "outcome"),
)


class Recorder:
    """Keeps decided attempts, day by day, in memory or as Parquet parts in a directory.

    Where `from_start`, those of the warm-up are kept too, apart: a chain that remembers numbers over midnight decides
    the counted days by them.
    """

    def __init__(
        self, rules: tuple[str, ...], folder: Path | None, keep: NDArray[np.bool_] | None, *, from_start: bool = False
    ) -> None:
        self._rules = ["", *rules]
        self._folder = folder
        self._keep = keep
        self._batches: list[dict[str, NDArray[Any]]] = []
        self._frames: list[pl.DataFrame] = []
        self._parts: list[Path] = []
        self.counting = from_start
        self._warm_up: pl.DataFrame | None = None

    def begin_counting(self) -> None:
        """Put what was kept of the warm-up apart: a frame, or a file in the folder."""
        self.counting = True
        whole = self._finish("warm_up.parquet")
        self._warm_up = whole if isinstance(whole, pl.DataFrame) else None
        self._frames, self._parts = [], []

    @property
    def story_folds(self) -> int:
        """In how many folds of people their stories are kept: the first alone, where that is so of lines."""
        return 1 if self._keep is not None else 2**31

    def add(self, rows: Rows, n: int) -> None:
        """Take copies of the first `n` rows, those of kept lines only; called from several threads."""
        if self.counting and n > 0:
            self.add_columns({name: getattr(rows, name)[:n] for name in _RECORDED})

    def add_columns(self, columns: dict[str, NDArray[Any]]) -> None:
        """Take copies of columns that bear the names of `Rows`; others than those recorded are passed over."""
        which: slice | NDArray[np.intp] = slice(None)
        if self._keep is not None:
            which = np.flatnonzero(self._keep[columns["line"]])
        self._batches.append({name: columns[name][which].copy() for name in _RECORDED})

    def end_day(self) -> None:
        """Put the day's attempts in the order (time, line, ordinal) and set them down."""
        if not self._batches:
            return
        columns = {k: np.concatenate([b[k] for b in self._batches]) for k in self._batches[0]}
        self._batches.clear()
        code = columns.pop("code")
        verdict = np.where(code == ALLOW, DELIVER, code)
        line, ordinal, reason = columns.pop("line"), columns.pop("ordinal"), columns.pop("reason")
        entry, outcome = columns["entry"], columns.pop("outcome")
        frame = pl.DataFrame(
            {
                **columns,
                "line_id": line.astype(np.uint32),
                "ordinal": ordinal.astype(np.uint64),
                "element": pl.Series(entry).replace_strict(dict(enumerate(ENTRIES)), return_dtype=pl.Utf8),
                "verdict": pl.Series(verdict).replace_strict(dict(enumerate(VERDICTS)), return_dtype=pl.Utf8),
                "reason": pl.Series(reason).replace_strict(dict(enumerate(self._rules)), return_dtype=pl.Utf8),
                "outcome": pl.Series(outcome).replace_strict(dict(enumerate(OUTCOMES)), return_dtype=pl.Utf8),
            }
        ).sort("time_us", "line_id", "ordinal")
        if self._folder is None:
            self._frames.append(frame)
            return
        self._parts.append(self._folder / f"part-{len(self._parts):05}.parquet")
        frame.write_parquet(self._parts[-1])

    def finish(self) -> tuple[pl.DataFrame | None, pl.DataFrame | None]:
        """Return the attempts of the counted days and of the warm-up, in order; None where they are in the folder."""
        whole = self._finish("decisions.parquet")
        return whole if isinstance(whole, pl.DataFrame) else None, self._warm_up

    def _finish(self, name: str) -> pl.DataFrame | Path | None:
        """Return attempts in order: a frame, or one Parquet file where parts were written."""
        if self._folder is None:
            return pl.concat(self._frames) if self._frames else None
        if not self._parts:
            return None
        whole = self._folder / name
        pl.scan_parquet(self._parts).sink_parquet(whole, maintain_order=True)
        for part in self._parts:
            part.unlink()
        return whole
