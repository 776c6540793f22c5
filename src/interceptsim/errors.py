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
from typing import Any

__all__ = [
    "ColumnError",
    "ConfigurationError",
    "InterceptSimError",
    "LookaheadError",
    "ResultsError",
    "nearest_name",
]

_LONGEST = 200


def nearest_name(given: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` most like `given`, or None where none is like it."""
    found = difflib.get_close_matches(given, list(names), n=1, cutoff=0.5)
    return found[0] if found else None


class InterceptSimError(Exception):
    """The root of all errors that interceptsim raises on purpose; they pass whole between processes."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Tell `pickle` how to make the error again: from its message and facts, not by its constructor."""
        return _again, (type(self), self.args, vars(self))


def _again(kind: type[InterceptSimError], args: tuple[Any, ...], facts: dict[str, Any]) -> InterceptSimError:
    error = kind.__new__(kind, *args)
    vars(error).update(facts)
    return error


def _shown(given: object) -> str:
    """Write a value in so many letters that the message stays readable."""
    try:
        text = repr(given)
    except ValueError:  # Python does not write integers of over 4300 digits
        return "a number of very many digits"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


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
        shown = "" if given is None else f" got {_shown(given)};"
        hint = "" if nearest is None else f"; did you mean {nearest!r}?"
        super().__init__(f"{where}:{shown} {wanted}{hint}")

    def within(self, place: str) -> ConfigurationError:
        """Return the same error told of a place within `place`."""
        return ConfigurationError(f"{place}: {self.where}", self.wanted, given=self.given, nearest=self.nearest)


class LookaheadError(InterceptSimError):
    """A posted change would take effect before `decided_us`, up to which traffic is already decided.

    Times are microseconds from the start of the run.
    """

    def __init__(self, what: str, effect_us: int, decided_us: int) -> None:
        self.what = what
        self.effect_us = effect_us
        self.decided_us = decided_us
        super().__init__(what, effect_us, decided_us)  # SimPy makes errors of processes again from their arguments

    def __str__(self) -> str:
        """Tell what would take effect when."""
        return (
            f"{self.what}: would take effect at {self.effect_us} us, but traffic is decided up to "
            f"{self.decided_us} us; a posting delay is shorter than the slice"
        )


class ColumnError(InterceptSimError):
    """A batch of attempts does not have the columns, types or lengths that are needed."""


class ResultsError(InterceptSimError):
    """A run directory cannot be written, or what is read is not one."""
