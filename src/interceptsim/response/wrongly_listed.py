"""People whose number is on a list though they are no fraudsters, and how long they are cut off.

Police hand over some ordinary numbers by mistake, and numbers once used for fraud are given to others while they are
still listed. A sample of ordinary callers would miss both, so these people are found from the hand-over side: keyed
draws of the number handed over say whether there is one, who it is, and when and whom that person calls. Since lists
alone decide about them, all that follows from a hand-over is found at once, and needs no line in the data plane.

It is counted for the numbers that the first list publishes in the counted days, whatever of it comes later: at most a
year.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from interceptsim.attempts import ENTRIES
from interceptsim.compiled import joined
from interceptsim.filtering.policies import RejectListedNumbers
from interceptsim.numbering import NATIONAL
from interceptsim.randomness import LAW, stream_id, threshold
from interceptsim.response.police import Police, falsely_handed_over, recycled
from interceptsim.response.wrongly_listed_kernels import (
    CALLERS,
    CUT_OFF_US,
    HOURS,
    LISTS,
    LONGEST_US,
    count_people,
    quarantines,
)
from interceptsim.traffic.model import CallerGroup
from interceptsim.traffic.population import FOLDS
from interceptsim.units import DAY_US

__all__ = ["KINDS", "WronglyListed"]

KINDS = ("handed over by mistake", "recycled numbers")

_AT_ONCE = 4096  # numbers


class WronglyListed:
    """Finds and counts the people who are listed because of what police hand over.

    They are looked for many numbers at a time, when somebody asks at the latest.
    """

    def __init__(
        self,
        police: Police,
        lists: Iterable[RejectListedNumbers],
        callers: Sequence[CallerGroup],
        lines: np.ndarray,
        groups: np.ndarray,
        key: NDArray[np.uint64],
        carriers: tuple[Sequence[str], NDArray[np.uint8]],
        subscribers: tuple[int, int],
    ) -> None:
        """Take ordinary `callers` of calls, the tables of lines and groups, and who can be called.

        `carriers` are their names and the code of each value of a byte of a number's hash, `subscribers` how many can
        be called and the serials between two of them.
        """
        self._police = police
        self._key = key
        self._lists = _lists_of(lists, carriers[0])
        self._callers = _callers_of(callers)
        self._fold, self._group = lines["fold"].astype(np.int64), lines["group"].astype(np.int64)
        self._domestic = groups["own_kind"] == NATIONAL
        self._carriers = carriers[1]
        self._subscribers = subscribers
        self._counted = np.zeros((FOLDS, len(groups), len(KINDS), CUT_OFF_US + 1), np.int64)
        self._hours = np.zeros((len(KINDS), HOURS + 1), np.int64)
        self._waiting: list[tuple[np.ndarray, NDArray[np.int64]]] = []
        self._many = 0

    def begin_counting(self) -> None:
        """Forget what the warm-up counted."""
        self._waiting.clear()
        self._many = 0
        self._counted.fill(0)
        self._hours.fill(0)

    @property
    def counted(self) -> NDArray[np.int64]:
        """What was counted, int64 (FOLDS, groups, KINDS, 5).

        It is by fold and group of the fraudsters' line, by kind, and by `LISTED` to `CUT_OFF_US`.
        """
        self._find()
        return self._counted

    @property
    def hours(self) -> NDArray[np.int64]:
        """How many people were cut off for how many whole hours, int64 (KINDS, HOURS + 1)."""
        self._find()
        return self._hours

    def metrics(self) -> dict[str, int]:
        """Return what was counted, at the scale of the run."""
        total = self.counted.sum(axis=(0, 1))
        told = ("people listed", "people cut off", "calls while listed", "calls intercepted", "cut off (us)")
        return {f"{kind}.{name}": int(total[k, n]) for k, kind in enumerate(KINDS) for n, name in enumerate(told)}

    def hand_over(self, words: np.ndarray, known_us: NDArray[np.int64]) -> None:
        """Take numbers, known to police from `known_us` on, because of which people are listed."""
        self._waiting.append((words, known_us))
        self._many += len(words)
        if self._many >= _AT_ONCE:
            self._find()

    def _find(self) -> None:
        """Find and count the people who are listed because of the numbers that wait."""
        if not self._waiting:
            return
        words, known_us = joined([some for some, _ in self._waiting]), np.concatenate([at for _, at in self._waiting])
        self._waiting.clear()
        self._many = 0
        police, key = self._police, self._key
        mistaken = falsely_handed_over(police, words, key)
        given = recycled(police, words, key) & self._domestic[self._group[words["line"]]]
        for kind, there in enumerate((mistaken, given)):
            (which,) = np.nonzero(there)
            if len(which) == 0:
                continue
            some, known = words[which], known_us[which]
            salt, law = stream_id(KINDS[kind]), np.array([police.quarantine.law], LAW)
            count_people(
                some,
                known,
                known if kind == 0 else known + quarantines(some, key, salt, law),
                key,
                salt,
                self._callers,
                self._lists,
                self._carriers,
                *self._subscribers,
                self._fold[some["line"]],
                self._group[some["line"]],
                self._counted[:, :, kind],
                self._hours[kind],
            )


def _lists_of(lists: Iterable[RejectListedNumbers], carriers: Sequence[str]) -> np.ndarray:
    """Return the lists that intercept calls as records."""
    acting = [p for p in lists if p.action == "intercept" and "voice" in p.channels]
    table = np.zeros(len(acting), LISTS)
    for one, policy in zip(table, acting, strict=True):
        one["publish_every"] = policy.publish_every
        one["delay"], one["delay_salt"] = policy.delay.law, stream_id(f"delay/{policy.id}")
        one["unblock"], one["unblock_salt"] = policy.unblock.law, stream_id(f"unblock/{policy.id}")
        one["expiry"] = LONGEST_US if policy.expires_after is None else min(policy.expires_after, LONGEST_US)
        one["adoption"], one["adoption_salt"] = threshold(policy.adoption_ratio), stream_id(f"adoption/{policy.id}")
        one["entries"] = sum(1 << ENTRIES.index(entry) for entry in policy.entries)
        users = [n for n, name in enumerate(carriers) if not policy.carriers or name in policy.carriers]
        one["carriers"][users] = 1
    return table


def _callers_of(callers: Sequence[CallerGroup]) -> np.ndarray:
    """Return classes of ordinary callers as records; each line of theirs is as likely to be picked as another."""
    table = np.zeros(len(callers), CALLERS)
    total, before = sum(spec.lines for spec in callers), 0
    for one, spec in zip(table, callers, strict=True):
        before += spec.lines
        one["bound"] = threshold(before / total)
        one["gap"] = DAY_US / spec.attempts_per_day
        one["sigma"] = spec.rate_sigma
        one["contacts"], one["stranger_bound"] = spec.contacts, threshold(spec.stranger_ratio)
        one["entry"] = ENTRIES.index(spec.entry)
    return table
