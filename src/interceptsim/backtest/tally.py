"""What is counted while records are decided: everything that is told later is a sum over this.

Attempts are counted by day, channel, label, fold of A-numbers, verdict, reason, and the set of rules that matched;
numbers that rules cut off by rule; scores of labelled attempts by hundredths. All are integers, and independent of how
the records came in chunks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from interceptsim.attempts import INTERCEPT, SCORE_ONE, AttemptBatch, Decisions, empty_rows
from interceptsim.backtest.kernels import (
    ATTEMPTS,
    DAY_AT,
    FIRST,
    LAST,
    ORDINARY,
    count_cut_off,
    count_kinds,
    place_kinds,
)
from interceptsim.filtering.batch_kernels import part_of
from interceptsim.filtering.plan import NumberIndex

__all__ = ["FOLDS", "SCORE_BINS", "Tally"]

FOLDS = 50
"""Labelled attempts are counted in so many groups, by a hash of the A-number, for the jackknife."""

SCORE_BINS = 102
"""Scores are counted below 0, in hundredths from 0 to 1, and from 1 on."""

KEYS = ("day", "channel", "label", "fold", "verdict", "reason", "other_verdict", "other_reason", "matched")
_BITS = {"channel": 1, "label": 2, "fold": 6, "verdict": 2, "reason": 7, "other_verdict": 2, "other_reason": 7}
_FIRST_KINDS = 256
_REASON_AT = np.uint64(50)  # a number has 15 digits at most, which are 50 bits
_DIGITS = (np.uint64(1) << _REASON_AT) - np.uint64(1)


class Tally:
    """Counts decided batches.

    `counts` is a frame of KEYS and `count`: the day in local time since 1970, codes as in `attempts`, `label` 0 or 1,
    or 2 where there is none. `numbers` is a frame (reason, a_number, attempts, first_us, last_us, ordinary) of
    intercepted attempts, `ordinary` being those labelled false. `scores` (int64, 2 scores x 2 labels x folds x bins)
    holds labelled attempts by `text_score` (messages) and by the score of the chain.
    """

    def __init__(self) -> None:
        self._kinds = np.zeros((_FIRST_KINDS, 3), np.int64)
        self._places = np.zeros(4 * _FIRST_KINDS, np.int64)
        self._held = 0
        self._cut_off = NumberIndex(4)
        self.scores = np.zeros((2, 2, FOLDS, SCORE_BINS), np.int64)
        self.first_us: int | None = None
        self.last_us: int | None = None

    def add(
        self,
        batch: AttemptBatch,
        found: Decisions,
        other: Decisions | None = None,
        label: NDArray[np.int8] | None = None,
    ) -> None:
        """Count a batch in order of time with its decisions, another chain's, and labels (int8; -1 is none)."""
        if len(batch) == 0:
            return
        first, last = int(batch.time_us[0]), int(batch.time_us[-1])
        self.first_us, self.last_us = self.first_us if self.first_us is not None else first, last
        fields: dict[str, Any] = {"channel": batch.channel, "label": np.full(len(batch), 2, np.int8)}
        if label is not None:
            fields["label"] = np.where(label < 0, 2, label)
            fields["fold"] = part_of(batch.a_number, FOLDS)
            self._add_scores(batch, found, label, fields["fold"])
        fields |= {"verdict": found.verdict, "reason": found.reason}
        if other is not None:
            fields |= {"other_verdict": other.verdict, "other_reason": other.reason}
        self._count(batch.time_us, _packed(fields, len(batch)), found.matched)
        self._add_numbers(batch, found, label)

    def _count(self, time_us: NDArray[np.int64], fields: NDArray[np.int64], matched: NDArray[np.uint64]) -> None:
        """Count attempts by kind, with room made for more kinds as they come."""
        row = 0
        while row < len(time_us):
            self._held, row = count_kinds(self._kinds, self._held, self._places, time_us, fields, matched, row)
            if row < len(time_us):
                self._kinds = np.concatenate([self._kinds, np.zeros_like(self._kinds)])
                self._places = np.zeros(4 * len(self._kinds), np.int64)
                place_kinds(self._kinds[: self._held], self._places)

    def _add_numbers(self, batch: AttemptBatch, found: Decisions, label: NDArray[np.int8] | None) -> None:
        (cut,) = np.nonzero(found.verdict == INTERCEPT)
        n = len(cut)
        if n == 0:
            return
        rows = empty_rows(n)
        rows.a_number[:] = batch.a_number[cut] | found.reason[cut].astype(np.uint64) << _REASON_AT
        self._cut_off.find(rows, n)
        ordinary = np.zeros(n, np.int64) if label is None else (label[cut] == 0).astype(np.int64)
        count_cut_off(self._cut_off.state, rows.slot, rows.fresh, batch.time_us[cut], ordinary, n)

    def _add_scores(
        self, batch: AttemptBatch, found: Decisions, label: NDArray[np.int8], fold: NDArray[np.int64]
    ) -> None:
        for k, (scores, there) in enumerate(((batch.text_score, batch.channel == 1), (found.score, label >= 0))):
            if scores is None:
                continue
            which = np.flatnonzero(there & (label >= 0))
            bins = np.clip(scores[which] // (SCORE_ONE // 100), -1, SCORE_BINS - 2) + 1
            at = (label[which] * np.int64(FOLDS) + fold[which]) * SCORE_BINS + bins
            self.scores[k] += np.bincount(at, minlength=2 * FOLDS * SCORE_BINS).reshape(2, FOLDS, SCORE_BINS)

    @property
    def counts(self) -> pl.DataFrame:
        """All counts so far, by KEYS."""
        word, matched, count = self._kinds[: self._held].T
        columns: dict[str, Any] = {"day": word >> DAY_AT}
        shift = 0
        for name, bits in _BITS.items():
            columns[name] = word >> shift & (1 << bits) - 1
            shift += bits
        return pl.DataFrame({**columns, "matched": matched.astype(np.uint64), "count": count}).sort(KEYS)

    @property
    def numbers(self) -> pl.DataFrame:
        """All numbers cut off so far, by rule and number."""
        held = self._cut_off.state[: self._cut_off.held]
        key = held[:, -1].astype(np.uint64)
        found = pl.DataFrame(
            {
                "reason": (key >> _REASON_AT).astype(np.uint16),
                "a_number": key & _DIGITS,
                "attempts": held[:, ATTEMPTS],
                "first_us": held[:, FIRST],
                "last_us": held[:, LAST],
                "ordinary": held[:, ORDINARY],
            }
        )
        return found.sort("reason", "a_number")


def _packed(fields: dict[str, Any], n: int) -> NDArray[np.int64]:
    """Return fields side by side in one integer a row."""
    word = np.zeros(n, np.int64)
    shift = 0
    for name, bits in _BITS.items():
        if name in fields:
            word |= fields[name].astype(np.int64) << shift
        shift += bits
    return word
