"""A chain over traffic that comes batch after batch: what is known of numbers is kept in between.

Takes a `FilterCore`, batches that follow one another in time, and listings: numbers that are on a fed list from a time
on. Decides as the simulation does, which knows its numbers beforehand.
"""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
from numpy.typing import NDArray

from interceptsim.attempts import LOCAL_OFFSET_US, AttemptBatch, Decisions, empty_rows
from interceptsim.compiled import cores
from interceptsim.errors import ColumnError, ConfigurationError
from interceptsim.filtering.batch_kernels import part_of
from interceptsim.filtering.kernels import ARGUMENTS, EMPTY_WINDOW, NO_LIMIT, OP_CODE, REJECT_LISTED
from interceptsim.filtering.plan import FilterCore, NumberIndex
from interceptsim.units import DAY_US

__all__ = ["LISTING_COLUMNS", "FilterStream", "fed_words"]

LISTING_COLUMNS = {"policy": pl.String, "a_number": pl.UInt64, "from_us": pl.Int64}
"""What a frame of listings holds: the rule's id, the number's digits, and UTC microseconds from which it is listed."""


class FilterStream:
    """Decides batches one after another as one long batch would be decided.

    `threads` share the numbers out; how many changes no decision. `listings` is a frame with LISTING_COLUMNS, in any
    order. State of numbers is forgotten at local midnight where no rule would remember it, so that memory grows with
    the numbers of a day; with listings or leaky buckets, with all numbers.
    Listings of rules that are not in the chain or not fed are passed over.

    Raise ConfigurationError where the frame of listings lacks a column.
    """

    def __init__(self, core: FilterCore, threads: int | None = None, listings: pl.DataFrame | None = None) -> None:
        self.core = core
        self._threads = cores() if threads is None else threads
        self._indices = [NumberIndex(core.words) for _ in range(self._threads)]
        self._words = fed_words(core)
        self._listings = _in_order(listings, self._words)
        self._listed = 0
        self._forgets = core.forgets and not len(self._listings[0])
        self._day = np.int64(-(2**62))
        self.decided_us: int | None = None

    def decide(self, batch: AttemptBatch) -> Decisions:
        """Decide a batch whose attempts stand in order of time, and after those of earlier batches.

        Raise ColumnError where they do not, or a rule reads a column that the batch lacks.
        """
        if len(batch) == 0:
            return self.core.decide(batch, 1)
        times = batch.time_us
        if not self.core.words:
            return self.core.decide(batch, self._threads)
        if (times[1:] < times[:-1]).any() or (self.decided_us is not None and times[0] < self.decided_us):
            raise ColumnError("column 'time_us': batches of a stream have to follow one another in order of time")
        self.decided_us = int(times[-1])
        found = [self._decide(_piece(batch, first, last)) for first, last in self._pieces(times)]
        if len(found) == 1:
            return found[0]
        return Decisions(*(np.concatenate(columns) for columns in zip(*(vars(f).values() for f in found), strict=True)))

    def _pieces(self, times: NDArray[np.int64]) -> list[tuple[int, int]]:
        """Return where a batch is cut: at local midnights where state is forgotten, and where a number is listed anew.

        A first listing may be entered at any time before it holds; a later one of the same number must not take the
        place of the earlier before its own time.
        """
        edges = [0, len(times)]
        if self._forgets:
            days = (times + LOCAL_OFFSET_US) // DAY_US
            edges += (1 + np.flatnonzero(days[1:] != days[:-1])).tolist()
        _, _, from_us, again = self._listings
        until = np.searchsorted(from_us, times[-1], side="right")
        due = from_us[self._listed : until][again[self._listed : until]]
        edges += np.searchsorted(times, due, side="left").tolist()
        cuts = sorted(set(edges))
        return list(itertools.pairwise(cuts))

    def _decide(self, batch: AttemptBatch) -> Decisions:
        """Decide a piece of a batch, with the listings that come to hold within it."""
        if self._forgets:
            day = (batch.time_us[0] + LOCAL_OFFSET_US) // DAY_US
            if day != self._day:
                for index in self._indices:
                    index.clear()
                self._day = day
        numbers, words, from_us, _ = self._listings
        until = int(np.searchsorted(from_us, batch.time_us[-1], side="right"))
        if until > self._listed:
            due = slice(self._listed, until)
            self._list(numbers[due], words[due], from_us[due])
            self._listed = until
        return self.core.decide(batch, self._threads, self._indices)

    def _list(self, numbers: NDArray[np.uint64], words: NDArray[np.int64], from_us: NDArray[np.int64]) -> None:
        """Enter listings into the state of their numbers, which are given a place where they have none."""
        part = part_of(numbers, len(self._indices))
        for k, index in enumerate(self._indices):
            own = part == k
            n = int(own.sum())
            if n == 0:
                continue
            rows = empty_rows(n)
            rows.a_number[:] = numbers[own]
            index.find(rows, n)
            new = rows.slot[rows.fresh != 0]
            index.state[new, :-1] = EMPTY_WINDOW  # as good as none to every rule, and to a bucket too
            for word in self._words.values():
                index.state[new, word] = NO_LIMIT
            index.state[rows.slot, words[own]] = from_us[own]


def _piece(batch: AttemptBatch, first: int, last: int) -> AttemptBatch:
    if first == 0 and last == len(batch):
        return batch
    columns = {name: values[first:last] for name, values in vars(batch).items() if values is not None}
    return AttemptBatch(**columns)


def fed_words(core: FilterCore) -> dict[str, int]:
    """Return the state words of the chain's fed lists, by rule."""
    fed = (core.ops[:, OP_CODE] == REJECT_LISTED) & (core.ops[:, ARGUMENTS + 12] != 0)
    return {rule: core.first_word[rule] for rule, is_fed in zip(core.rules, fed, strict=True) if is_fed}


def _in_order(
    listings: pl.DataFrame | None, words: dict[str, int]
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return numbers, state words, times and whether the number was listed before, by time.

    Listings of rules that the chain has not (they may be switched off) are left out.
    """
    frame = pl.DataFrame(schema=LISTING_COLUMNS) if listings is None else listings
    for name, wanted in LISTING_COLUMNS.items():
        if frame.schema.get(name) != wanted:
            raise ConfigurationError("listings", f"wanted a column {name!r} of {wanted}", given=str(frame.schema))
    kept = frame.filter(pl.col("policy").is_in(list(words))).sort("from_us", "policy", "a_number", maintain_order=True)
    again = ~kept.select(pl.struct("policy", "a_number").is_first_distinct())["policy"]
    return (
        kept["a_number"].to_numpy(),
        kept["policy"].replace_strict(words, return_dtype=pl.Int64).to_numpy(),
        kept["from_us"].to_numpy(),
        again.to_numpy(),
    )
