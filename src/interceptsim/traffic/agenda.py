"""Which lines a day concerns: most ordinary callers are seen on a few days of a run, and need no look on the others.

An agenda changes nothing but the speed: a line whose next attempt lies beyond it has none within it.
"""

from __future__ import annotations

import numpy as np

from interceptsim.compiled import Column, Scalar, Table, kernel
from interceptsim.units import HOUR_US

__all__ = ["lines_due"]


@kernel
def lines_due(
    lines: Table, groups: Table, reached: Column, first: Scalar, last: Scalar, until_us: Scalar
) -> tuple[Column, float]:
    """Return those of the lines `first` to `last` (int64, rising) with attempts due before `until_us`, an hour's start.

    Also return about how many attempts that will be.
    """
    due = np.empty(last - first, np.int64)
    n = 0
    attempts = 0.0
    for i in range(first, last):
        line = lines[i]
        if line.next_us < until_us:
            due[n] = i
            n += 1
            ahead = reached[groups[line.group].profile, min(until_us, line.ends_us) // HOUR_US] - line.operational
            attempts += 1.0 + max(ahead, 0) / line.gap
    return due[:n].copy(), attempts
