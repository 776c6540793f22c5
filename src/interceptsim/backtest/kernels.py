"""Hot loops of a replay: what is summed of each number that a rule cuts off."""

from __future__ import annotations

from interceptsim.compiled import Column, Scalar, kernel

__all__ = ["ATTEMPTS", "FIRST", "LAST", "ORDINARY", "count_cut_off"]

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
