"""Hot loops of a replay: attempts counted by kind, and what is summed of each number that a rule cuts off."""

from __future__ import annotations

import numpy as np

from interceptsim.attempts import LOCAL_OFFSET_US
from interceptsim.compiled import Column, Scalar, kernel
from interceptsim.randomness import mix64
from interceptsim.units import DAY_US

__all__ = [
    "ATTEMPTS",
    "COUNT",
    "DAY_AT",
    "FIRST",
    "LAST",
    "MATCHED",
    "ORDINARY",
    "WORD",
    "count_cut_off",
    "count_kinds",
    "place_kinds",
]

WORD, MATCHED, COUNT = range(3)
"""Words of a kind of attempt: its packed fields, the rules that matched, and how many there are."""

DAY_AT = 32
"""The bits of a packed word from this one on are the local day since 1970; the fields stand below."""

ATTEMPTS, FIRST, LAST, ORDINARY = range(4)
"""Words of the state of a number: attempts, the first and last of them (UTC us), and those labelled as no fraud."""


@kernel
def count_cut_off(state: Column, slot: Column, fresh: Column, time_us: Column, ordinary: Column, n: Scalar) -> None:
    """Add `n` attempts in order of time to the state (int64) of their numbers; `ordinary` (int64) is 0 or 1."""
    for r in range(n):
        at = slot[r]
        if fresh[r]:
            state[at, ATTEMPTS] = 0
            state[at, FIRST] = time_us[r]
            state[at, ORDINARY] = 0
        state[at, ATTEMPTS] += 1
        state[at, LAST] = time_us[r]
        state[at, ORDINARY] += ordinary[r]


@kernel
def count_kinds(
    kinds: Column, held: Scalar, places: Column, time_us: Column, fields: Column, matched: Column, row: Scalar
) -> tuple[Scalar, Scalar]:
    """Count attempts from `row` on by their local day, packed `fields` (int64, below 2**32) and matched rules (uint64).

    `kinds` (int64, rows x 3) has `held` rows taken; `places` (int64, a power of two and over twice as long) is the
    open-addressed index of them, a kind's row + 1 or 0. Return (rows taken, the attempt reached): it comes back early
    where there is no room for another kind.
    """
    mask = np.uint64(places.shape[0] - 1)
    while row < time_us.shape[0]:
        day = (time_us[row] + LOCAL_OFFSET_US) // DAY_US
        word = day << DAY_AT | fields[row]
        bits = np.int64(matched[row])
        place = mix64(np.uint64(word) ^ mix64(matched[row])) & mask
        while True:
            at = places[place] - 1
            if at < 0:
                if held == kinds.shape[0]:
                    return held, row
                kinds[held, WORD] = word
                kinds[held, MATCHED] = bits
                kinds[held, COUNT] = 0
                held += 1
                places[place] = held
                at = held - 1
                break
            if kinds[at, WORD] == word and kinds[at, MATCHED] == bits:
                break
            place = place + np.uint64(1) & mask
        kinds[at, COUNT] += 1
        row += 1
    return held, row


@kernel
def place_kinds(kinds: Column, places: Column) -> None:
    """Enter all kinds into an empty index."""
    mask = np.uint64(places.shape[0] - 1)
    for at in range(kinds.shape[0]):
        place = mix64(np.uint64(kinds[at, WORD]) ^ mix64(np.uint64(kinds[at, MATCHED]))) & mask
        while places[place] != 0:
            place = place + np.uint64(1) & mask
        places[place] = at + 1
