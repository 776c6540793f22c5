"""Which lines a day concerns: most ordinary callers are seen on a few days of a run, and need no look on the others.

An agenda changes nothing but the speed: a line whose next attempt lies beyond it has none within it.
"""

from __future__ import annotations

import numpy as np

from interceptsim.compiled import Column, Scalar, allocating_kernel

__all__ = ["lines_due"]


@allocating_kernel
def lines_due(due_us: Column, first: Scalar, last: Scalar, until_us: Scalar) -> Column:
    """Return those of the lines `first` to `last` (int64, rising) whose next attempt is due before `until_us`."""
    due = np.empty(last - first + 1, np.int64)
    n = 0
    for i in range(first, last):
        due[n] = i
        n += due_us[i] < until_us
    return due[:n].copy()
