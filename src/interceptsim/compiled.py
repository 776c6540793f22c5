"""How kernels are compiled, in one place, and the words in which their arguments are typed.

Two habits keep kernels fast: a helper that runs once a row takes scalars, never a tuple of arrays (handing one
over counts references on every array), and a loop takes the columns it reads out of the tuple beforehand.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit

__all__ = ["Column", "Record", "Scalar", "Table", "cores", "kernel"]

Function = TypeVar("Function", bound=Callable[..., Any])

Scalar = Any
"""A NumPy or Python number; kernels are explicit about its width where that matters."""

Column = np.ndarray[Any, Any]
"""A NumPy array, its type and shape told in the docstring."""

Table = Any
"""A NumPy array of records, whose fields are seen as attributes in compiled code."""

Record = Any
"""One record of a table, seen through."""


def cores() -> int:
    """Return how many cores this process may use, where the system tells, else how many there are."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def kernel(function: Function) -> Function:
    """Compile a function when it is first called; keep the result on disk; run without the interpreter's lock.

    Arithmetic is IEEE's: no reordering, no fused multiply and add; a division by zero gives what NumPy gives, since
    a loop that may raise is not vectorised. The plain function is `.py_func`.
    """
    compiled: Any = njit(cache=True, nogil=True, error_model="numpy")(function)
    return compiled
