"""What waits for the editions of a list: words of numbers, and when police know each.

Takes words as they come, gives for each edition those that police knew before it, and from and up to when carriers
have them. It knows no clock: who calls `publish` says when.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interceptsim.compiled import Column, Scalar, Table, allocating_kernel, joined, kernel
from interceptsim.filtering.policies import RejectListedNumbers
from interceptsim.randomness import LAW, LONGEST_US, stream_id, threshold
from interceptsim.response.police import WORD, delay_of_number, drawn_of_number
from interceptsim.response.records import NEVER

__all__ = ["Edition", "Publication"]

_FIRST_ROOM = 256

_TERMS = np.dtype(
    [
        ("delay", LAW),
        ("delay_salt", "u8"),
        ("unblock", LAW),
        ("unblock_salt", "u8"),
        ("unblocked_bound", "u8"),  # of a draw below it somebody has the number taken off
        ("unblocked_salt", "u8"),
    ],
    align=True,
)


class Edition(NamedTuple):
    """Numbers that a list publishes at one time: words (WORD), and int64 us from the start of the run, an entry each.

    `known_us` tells when police knew a number; carriers have it from `from_us` on, up to `until_us`.
    """

    words: np.ndarray
    known_us: NDArray[np.int64]
    from_us: NDArray[np.int64]
    until_us: NDArray[np.int64]


class Publication:
    """The words that wait for a list's next editions."""

    def __init__(self, policy: RejectListedNumbers, key: NDArray[np.uint64]) -> None:
        self._key = key
        self._terms = np.zeros(1, _TERMS)
        self._terms["delay"], self._terms["unblock"] = policy.delay.law, policy.unblock.law
        self._terms["unblocked_bound"] = threshold(policy.unblocked_ratio)
        for name in ("delay", "unblock", "unblocked"):
            self._terms[f"{name}_salt"] = stream_id(f"{name}/{policy.id}")
        self._words = np.zeros(_FIRST_ROOM, WORD)
        self._due_us = np.zeros(_FIRST_ROOM, np.int64)
        self._takes_back = np.zeros(_FIRST_ROOM, np.bool_)
        self._held = 0

    def wait(self, words: np.ndarray, known_us: NDArray[np.int64], was_us: NDArray[np.int64]) -> None:
        """Let words wait until police know their numbers, which was to be at `was_us` before, NEVER if it was not."""
        if self._held + 2 * len(words) > len(self._words):
            self._make_room(2 * len(words))
        waiting = self._words, self._due_us, self._takes_back, self._held
        self._held = _enter(*waiting, words, known_us, was_us)

    def _make_room(self, wanted: int) -> None:
        """Close the gaps, and make room for more where half of it would be taken then."""
        self._held = _close_ranks(self._words, self._due_us, self._takes_back, self._held)
        if 2 * (self._held + wanted) > len(self._words):
            more = len(self._words) + 2 * wanted
            self._words = joined([self._words, np.zeros(more, WORD)])
            self._due_us = np.concatenate([self._due_us, np.zeros(more, np.int64)])
            self._takes_back = np.concatenate([self._takes_back, np.zeros(more, np.bool_)])

    def publish(self, now_us: int) -> Edition:
        """Take what police knew before a time; each number stands there once, in the order in which words came."""
        waiting = self._words, self._due_us, self._takes_back, self._held
        return Edition(*_publish(*waiting, now_us, self._terms, self._key))


# What waits stands in the order in which it came; what has been published stays as a gap until room is wanted. A word
# whose number police come to know sooner stands there twice, then a third time to take the first back: both of these
# are due at the same time.


@kernel
def _enter(
    waiting: Table, due_us: Column, takes_back: Column, held: Scalar, words: Table, known_us: Column, was_us: Column
) -> int:
    for k in range(words.shape[0]):
        for back in range(1 + (was_us[k] < NEVER)):
            waiting[held] = words[k]
            due_us[held] = was_us[k] if back else known_us[k]
            takes_back[held] = back == 1
            held += 1
    return held


@kernel
def _close_ranks(waiting: Table, due_us: Column, takes_back: Column, held: Scalar) -> int:
    n = 0
    for k in range(held):
        if due_us[k] < NEVER:
            waiting[n], due_us[n], takes_back[n] = waiting[k], due_us[k], takes_back[k]
            n += 1
    return n


@allocating_kernel
def _publish(
    waiting: Table, due_us: Column, takes_back: Column, held: Scalar, now_us: Scalar, terms: Table, key: Column
) -> tuple[Table, Column, Column, Column]:
    many = 0
    for k in range(held):
        many += due_us[k] < now_us
    due, back = np.empty(many, np.int64), np.empty(many, np.int64)
    entries = backs = 0
    for k in range(held):
        if due_us[k] < now_us:
            if takes_back[k]:
                back[backs] = k
                backs += 1
            else:
                due[entries] = k
                entries += 1
    words, known_us = np.empty(entries, WORD), np.empty(entries, np.int64)
    n = 0
    for k in range(entries):
        word = waiting[due[k]]
        stays = True
        for j in range(backs):
            other = waiting[back[j]]
            if other.line == word.line and other.generation == word.generation:
                stays = stays and due_us[back[j]] != due_us[due[k]]
        if stays:
            words[n], known_us[n] = word, due_us[due[k]]
            n += 1
    for k in range(held):
        if due_us[k] < now_us:
            due_us[k] = NEVER
    from_us, until_us = np.empty(n, np.int64), np.full(n, LONGEST_US)
    rule = terms[0]
    for k in range(n):
        from_us[k] = now_us + delay_of_number(words[k], key[0], key[1], rule.delay_salt, rule.delay)
        if rule.unblocked_bound > 0:
            if drawn_of_number(words[k], key[0], key[1], rule.unblocked_salt) < rule.unblocked_bound:
                until_us[k] = from_us[k] + delay_of_number(words[k], key[0], key[1], rule.unblock_salt, rule.unblock)
    return words[:n], known_us[:n], from_us, until_us
