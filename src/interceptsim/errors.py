"""The tree of errors: every failure a user can cause is one of these, with its facts as attributes.

InterceptSimError
|-- ConfigurationError   a scenario, policy, figure or option is wrong: where, given, wanted, nearest
|-- LookaheadError       a posted change would reach into what is already decided
|-- ColumnError          a batch lacks a column, or one has the wrong type or length
`-- ResultsError         a run directory cannot be written or read
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ColumnError",
    "ConfigurationError",
    "InterceptSimError",
    "LookaheadError",
    "ResultsError",
    "nearest_name",
]


def nearest_name(given: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` most like `given`, or None where none is like it."""
    found = difflib.get_close_matches(given, list(names), n=1, cutoff=0.5)
    return found[0] if found else None


class InterceptSimError(Exception):
    """The root of all errors that interceptsim raises on purpose."""


class ConfigurationError(InterceptSimError):
    """Something written by a user is wrong.

    `where` is a file, a line or a path of keys; `given` the offending value; `wanted` what would have
    been right; `nearest` the closest valid name, if the mistake is a name.
    """

    def __init__(self, where: str, wanted: str, *, given: object = None, nearest: str | None = None) -> None:
        self.where = where
        self.wanted = wanted
        self.given = given
        self.nearest = nearest
        shown = "" if given is None else f" got {given!r};"
        hint = "" if nearest is None else f"; did you mean {nearest!r}?"
        super().__init__(f"{where}:{shown} {wanted}{hint}")


class LookaheadError(InterceptSimError):
    """A posted change would take effect before `decided_us`, up to which traffic is already decided.

    Times are microseconds from the start of the run.
    """

    def __init__(self, what: str, effect_us: int, decided_us: int) -> None:
        self.what = what
        self.effect_us = effect_us
        self.decided_us = decided_us
        super().__init__(
            f"{what}: would take effect at {effect_us} us, but traffic is decided up to {decided_us} us; "
            "a posting delay is shorter than the slice"
        )


class ColumnError(InterceptSimError):
    """A batch of attempts does not have the columns, types or lengths that are needed."""


class ResultsError(InterceptSimError):
    """A run directory cannot be written, or what is read is not one."""
