"""Which points of a scenario's parameters are looked at: the table [design] that all experiments share.

An axis is the path of a value with a list of values or a range, or a name with bundles of values that change together:

    [design]
    kind = "latin-hypercube"
    points = 16

    [design.axes]
    "policies.reject-listed-numbers.delay" = ["1h", "6h", "1d"]
    "police.delay.median" = { low = "4h", high = "2d", spacing = "log" }
    "complaints" = { few = { "police.voice_complaint_ratio" = 0.02 }, many = { "police.voice_complaint_ratio" = 0.2 } }

Places on an axis are told as fractions from 0 to 1; whatever chooses them (a grid, SciPy's `qmc`, Morris' paths,
Optuna) chooses fractions, and the axis turns them into values.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from interceptsim.experiments.extras import extra
from interceptsim.tables import validated
from interceptsim.units import MINUTE_US, SECOND_US, format_duration, parse_duration, parse_volume

__all__ = ["Axis", "Bundles", "Design", "Levels", "Point", "Range"]

Point = dict[str, Any]
"""A value, or the name of a bundle, for every axis by its name."""

_TAKEN = {
    *("point", "variant", "baseline", "replication", "replications", "seed", "run", "error", "metric", "value", "low"),
    *("high", "count", "unit", "status", "scenario", "scale", "days", "attempts", "digest", "difference", "method"),
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Levels(_Part):
    """An axis of some values, in any order; they may be of any kind that the path takes."""

    values: Annotated[tuple[Any, ...], Field(min_length=1)]

    def at(self, fraction: float) -> Any:
        """Return the value at a fraction from 0 to 1; each value has an equal share."""
        return self.values[min(int(fraction * len(self.values)), len(self.values) - 1)]

    def grid(self) -> tuple[Any, ...]:
        """Return the values that a grid takes: all."""
        return self.values

    def changes(self, name: str, value: Any) -> dict[str, Any]:
        """Return what a value changes: the value at the path that the axis is named by."""
        return {name: value}


class Bundles(_Part):
    """An axis of bundles of values that change together, each with its name."""

    bundles: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]

    def at(self, fraction: float) -> str:
        """Return the name of the bundle at a fraction from 0 to 1; each has an equal share."""
        return Levels(values=self.grid()).at(fraction)

    def grid(self) -> tuple[str, ...]:
        """Return the names of all bundles."""
        return tuple(self.bundles)

    def changes(self, _name: str, value: Any) -> dict[str, Any]:
        """Return the values of a bundle, by its name, with their paths."""
        return self.bundles[value]


class Range(_Part):
    """An axis from `low` to `high`, both included: two numbers, durations or volumes.

    Two whole numbers give whole numbers. `spacing` says where the middle is, `levels` how many values a grid takes.
    """

    low: int | float | str
    high: int | float | str
    spacing: Literal["even", "log"] = "even"
    levels: Annotated[int, Field(ge=2, le=1000)] = 5

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        low, high = self._ends()
        if not low < high:
            raise ValueError("'low' has to lie below 'high'")
        if self.spacing == "log" and low <= 0:
            raise ValueError("spacing 'log' wants 'low' above 0")
        return self

    def at(self, fraction: float) -> int | float | str:
        """Return the value at a fraction from 0 to 1, as it would be written in a file."""
        low, high = self._ends()
        if self._unit() == "count" and self.spacing == "even":
            return int(min(low + math.floor(fraction * (high - low + 1)), high))
        return self._written(self._between(fraction))

    def grid(self) -> tuple[int | float | str, ...]:
        """Return `levels` values from `low` to `high`, none twice."""
        fractions = (n / (self.levels - 1) for n in range(self.levels))
        return tuple(dict.fromkeys(self._written(self._between(fraction)) for fraction in fractions))

    def changes(self, name: str, value: Any) -> dict[str, Any]:
        """Return what a value changes: the value at the path that the axis is named by."""
        return {name: value}

    def _unit(self) -> Literal["count", "number", "duration", "volume"]:
        if isinstance(self.low, str) and isinstance(self.high, str):
            return "volume" if "/" in self.low else "duration"
        if isinstance(self.low, str) or isinstance(self.high, str):
            raise ValueError("'low' and 'high' have to be two numbers, two durations or two volumes")  # noqa: TRY004
        return "count" if isinstance(self.low, int) and isinstance(self.high, int) else "number"

    def _ends(self) -> tuple[float, float]:
        read = {"duration": parse_duration, "volume": parse_volume}.get(self._unit(), float)
        return read(self.low), read(self.high)

    def _between(self, fraction: float) -> float:
        low, high = self._ends()
        if self.spacing == "log":
            low, high = math.log(low), math.log(high)
        value = low + fraction * (high - low)
        value = math.exp(value) if self.spacing == "log" else value
        return min(max(value, self._ends()[0]), self._ends()[1])

    def _written(self, value: float) -> int | float | str:
        unit = self._unit()
        if unit == "count":
            return round(value)
        if unit == "duration":
            step = next((s for s in (MINUTE_US, SECOND_US) if value >= 60 * s), 1)
            return format_duration(round(value / step) * step)
        shown = float(f"{value:.6g}")
        return f"{shown:.6g}/year" if unit == "volume" else shown


Axis = Levels | Bundles | Range


class Design(_Part):
    """Axes, and how points are chosen among them.

    A `grid` takes every combination. `latin-hypercube` and `sobol` choose `points` of them by SciPy's `qmc` with a
    `seed`; Sobol's sequence wants a power of two.
    """

    kind: Literal["grid", "latin-hypercube", "sobol"] = "grid"
    points: Annotated[int, Field(ge=2, le=1_000_000)] = 64
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    axes: Annotated[dict[str, Axis], Field(min_length=1)]

    @field_validator("axes", mode="before")
    @classmethod
    def _as_written(cls, given: Any) -> Any:
        return {str(name): _axis(axis) for name, axis in given.items()} if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _one_path_one_axis(self) -> Self:
        if taken := sorted(_TAKEN & self.axes.keys()):
            raise ValueError(f"no axis can be called {taken[0]!r}: the tables have a column of that name")
        seen: dict[str, str] = {}
        for name, axis in self.axes.items():
            bundles = axis.bundles.values() if isinstance(axis, Bundles) else ({name: None},)
            for path in {path for bundle in bundles for path in bundle}:
                if path in seen:
                    raise ValueError(f"the axes {seen[path]!r} and {name!r} both change {path}")
                seen[path] = name
        if self.kind == "sobol" and self.points.bit_count() != 1:
            near = 1 << (self.points - 1).bit_length()
            raise ValueError(f"a Sobol design wants a power of two points, such as {near}, not {self.points}")
        return self

    @classmethod
    def of(cls, given: Mapping[str, Any] | Design) -> Design:
        """Return the design in a table [design], or the grid over axes by their names.

        Raise ConfigurationError for what is neither.
        """
        if isinstance(given, Design):
            return given
        return validated(cls, dict(given) if "axes" in given else {"axes": dict(given)}, "design")

    def chosen(self) -> list[Point]:
        """Return the points of the design, in order.

        Raise ConfigurationError where SciPy is needed and is not there.
        """
        if self.kind == "grid":
            combinations = itertools.product(*(axis.grid() for axis in self.axes.values()))
            return [dict(zip(self.axes, values, strict=True)) for values in combinations]
        qmc = extra("scipy.stats.qmc", f"a design of kind {self.kind!r}")
        sampler = qmc.LatinHypercube if self.kind == "latin-hypercube" else qmc.Sobol
        return self.at(sampler(len(self.axes), rng=self.seed).random(self.points))

    def at(self, fractions: NDArray[np.float64]) -> list[Point]:
        """Return the points at fractions from 0 to 1 (float64, points x axes)."""
        return [self.point(row) for row in fractions.tolist()]

    def point(self, fractions: Sequence[float]) -> Point:
        """Return the point at one fraction an axis."""
        placed = zip(self.axes.items(), fractions, strict=True)
        return {name: axis.at(fraction) for (name, axis), fraction in placed}

    def changes(self, point: Point, names: Iterable[str] | None = None) -> dict[str, Any]:
        """Return what a point changes, by path; with `names`, what those axes do."""
        changed: dict[str, Any] = {}
        for name in self.axes if names is None else names:
            changed |= self.axes[name].changes(name, point[name])
        return changed


def _axis(given: Any) -> Any:
    """Read an axis as it is written: a list of values, a table with 'low' and 'high', or a table of bundles."""
    if isinstance(given, Levels | Bundles | Range):
        return given
    if isinstance(given, Mapping):
        if {"low", "high"} & given.keys():
            return Range.model_validate(given)
        if given and all(isinstance(bundle, Mapping) for bundle in given.values()):
            return Bundles(bundles={str(name): dict(bundle) for name, bundle in given.items()})
    elif isinstance(given, Iterable) and not isinstance(given, str | bytes):
        return Levels(values=tuple(given))
    raise ValueError("wanted a list of values, {low = ..., high = ...}, or {NAME = {PATH = VALUE, ...}, ...}")
