"""A study: a scenario, the variants and points at which it is looked at, and how often each is run.

It is what a file of configs/sweeps holds, and what `sweep`, `sensitivity` and `optimise` start from. `cells` makes its
points concrete: a scenario for each point and variant, or the mistake that stands in its way.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from interceptsim.calibration import is_solved
from interceptsim.errors import ConfigurationError, nearest_name
from interceptsim.experiments.design import Design, Point
from interceptsim.experiments.intervals import Method
from interceptsim.experiments.runs import Prepared
from interceptsim.ledger import shipped
from interceptsim.randomness import replication_seed
from interceptsim.scenario import Fitted, Scenario
from interceptsim.scenario_files import load, load_within, read_tables
from interceptsim.tables import told_within, validated
from interceptsim.units import Count, parse_scale

__all__ = ["Cell", "Fit", "Limit", "Objective", "Optimise", "Sensitivity", "Study", "load_study"]

DEFAULT_METRICS = ("voice.interception ratio", "voice.delivered", "sms.interception ratio", "sms.delivered")

_CALIBRATION = "calibration."

_FILE_NAME = re.compile(r"(?!\.)[^/\\\x00-\x1f]{0,100}")

Scale = Annotated[int, BeforeValidator(parse_scale)]
Changes = dict[str, Any]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fit(_Part):
    """How a point is calibrated anew, where an axis changes what calibration starts from."""

    scale: Scale | None = None
    seeds: Annotated[int, Field(ge=1, le=100)] = 2


class Sensitivity(_Part):
    """How sensitivity is looked for: `morris` screens many axes, `sobol` gives the shares of variance of a few.

    The design's `points` are Morris' paths, or Sobol's base samples; `levels` are Morris' places on an axis.
    """

    method: Literal["morris", "sobol"] = "morris"
    levels: Annotated[int, Field(ge=4, le=64, multiple_of=2)] = 4


class _Outcome(_Part):
    """A number that comes of a point: a `metric`, an `axis` of numbers, or a sum of such by `weights`, as a cost is."""

    name: str = ""
    metric: str | None = None
    axis: str | None = None
    weights: dict[str, float] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(given is not None for given in (self.metric, self.axis, self.weights)) != 1:
            raise ValueError("wanted one of 'metric', 'axis' and 'weights'")
        return self

    @property
    def parts(self) -> dict[str, float]:
        """The metrics and axes that it is a sum of, with their weights."""
        return self.weights or {self.metric or self.axis or "": 1.0}

    @property
    def title(self) -> str:
        """How tables call it."""
        return self.name or self.metric or self.axis or "sum"


class Objective(_Outcome):
    """One aim: the least or the greatest of an outcome."""

    goal: Literal["least", "greatest"] = "least"


class Limit(_Outcome):
    """What an outcome may come to at a point that is admitted."""

    at_most: float | None = None
    at_least: float | None = None


class Optimise(_Part):
    """What is wanted of a point, and how it is searched for: the design's `points`, in batches of one size."""

    objectives: Annotated[tuple[Objective, ...], Field(min_length=1, max_length=4)]
    constraints: tuple[Limit, ...] = ()
    batch: Annotated[int, Field(ge=2, le=1000)] = 16
    sampler: Literal["nsga2", "tpe"] = "nsga2"

    @model_validator(mode="after")
    def _one_name_each(self) -> Self:
        titles = [one.title for one in (*self.objectives, *self.constraints)]
        twice = [title for title, n in Counter(titles).items() if n > 1]
        if twice:
            raise ValueError(f"two outcomes are called {twice[0]!r}; give each its own 'name'")
        return self


class _StudyFile(_Part):
    """What a file of a study holds."""

    title: str = ""
    scenario: str | dict[str, Any]
    set: Changes = {}
    scale: Scale = 1000
    days: Count | None = None
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 1
    replications: Annotated[int, Field(ge=1, le=10_000)] = 4
    interval: Method = "t"
    metrics: tuple[str, ...] = DEFAULT_METRICS
    variants: dict[str, Changes] = {}
    fit: Fit = Fit()
    design: Design
    sensitivity: Sensitivity = Sensitivity()
    optimise: Optimise | None = None


@dataclass(frozen=True)
class Cell:
    """A point under one variant: a scenario ready to run, or the `error` that there is none."""

    point: int
    variant: str
    prepared: Prepared | None
    error: str | None = None


@dataclass(frozen=True)
class Study:
    """A scenario, its variants, the points at which it is looked at, and how often.

    Each replication has one seed, the same at every point and for every variant: whatever they are compared in, they
    are compared over the same latent traffic.
    """

    scenario: Scenario
    design: Design
    name: str = ""
    title: str = ""
    variants: Mapping[str, Mapping[str, Any] | Scenario] = field(default_factory=dict)
    replications: int = 4
    seed: int = 1
    scale: int = 1000
    days: int | None = None
    interval: Method = "t"
    metrics: tuple[str, ...] = DEFAULT_METRICS
    fit: Fit = field(default_factory=Fit)
    sensitivity: Sensitivity = field(default_factory=Sensitivity)
    optimise: Optimise | None = None

    def __post_init__(self) -> None:
        """Raise ConfigurationError for what is out of range."""
        for option, given, least, most in (
            ("replications", self.replications, 1, 10_000),
            ("seed", self.seed, 0, 2**64 - 1),
            ("scale", self.scale, 1, 1_000_000),
            ("days", 1 if self.days is None else self.days, 1, 3660),
        ):
            if not least <= given <= most:
                raise ConfigurationError(option, f"wanted a whole number from {least} to {most}", given=given)
        if not _FILE_NAME.fullmatch(self.name):
            raise ConfigurationError("name", "wanted up to 100 letters that a file's name may have", given=self.name)
        for name, change in self.variants.items():
            if name == self.scenario.name:
                raise ConfigurationError(f"variant {name!r}", "the baseline has this name; give it another")
            for path in () if isinstance(change, Scenario) else change:
                if path.startswith(_CALIBRATION):
                    wanted = "a variant is compared under one calibration; make it an axis of the design"
                    raise ConfigurationError(f"variant {name!r}: {path}", wanted)

    @property
    def seeds(self) -> list[int]:
        """The seed of each replication."""
        return [replication_seed(self.seed, n) for n in range(self.replications)]

    @property
    def variant_names(self) -> list[str]:
        """The scenario's own name, for the scenario as it stands, and those of its variants."""
        return [self.scenario.name, *self.variants]

    @property
    def calibrating(self) -> list[str]:
        """The axes that change what calibration starts from."""
        changed = ((name, self.design.axes[name].grid()[0]) for name in self.design.axes)
        return [
            name
            for name, value in changed
            if any(path.startswith(_CALIBRATION) for path in self.design.axes[name].changes(name, value))
        ]

    def days_of(self, scenario: Scenario) -> int:
        """Return how many days of a scenario are counted."""
        return scenario.period.days if self.days is None else self.days

    def to_fit(self, point: Point) -> tuple[Scenario, tuple[str, ...]] | None:
        """Return the scenario to calibrate for a point and the ids of entries to solve; None where all are."""
        changes = self.design.changes(point, self.calibrating)
        if not changes:
            return None
        changed = self.scenario.replace(changes)
        named = {path.split(".")[1] for path in changes if path.startswith(_CALIBRATION)}
        ids = [entry.id for entry in changed.calibration if entry.id in named and not is_solved(changed, entry)]
        return (changed, tuple(ids)) if ids else None

    def cells(
        self, points: Sequence[Point], fits: Mapping[int, Mapping[str, Fitted] | str] | None = None
    ) -> Iterator[Cell]:
        """Yield the cells of points, variants within points.

        `fits` gives, by the point's place, what calibration found for it, or its error. Raise ConfigurationError where
        not one point fits.
        """
        first: ConfigurationError | None = None
        fitting = False
        held: list[Cell] = []
        for place, point in enumerate(points):
            try:
                with told_within(_named(point)):
                    scenarios = self._scenarios(point, (fits or {}).get(place, {}))
            except ConfigurationError as error:
                first = first or error
                held += [Cell(place, name, None, str(error)) for name in self.variant_names]
            else:
                fitting = True
                held += [Cell(place, name, Prepared.of(scenario)) for name, scenario in scenarios]
            if fitting:
                yield from held
                held = []
        if first is not None and not fitting:
            raise first

    def _scenarios(self, point: Point, fit: Mapping[str, Fitted] | str) -> list[tuple[str, Scenario]]:
        if isinstance(fit, str):
            raise ConfigurationError("calibration", fit)
        calibrating = self.calibrating
        rest = [name for name in self.design.axes if name not in calibrating]
        scenario = self.scenario.replace(self.design.changes(point, calibrating)).fit(fit)
        scenario = scenario.replace(self.design.changes(point, rest))
        self._check_days(scenario)
        found = [(self.scenario.name, scenario)]
        for name, change in self.variants.items():
            with told_within(f"variant {name!r}"):
                if isinstance(change, Scenario):
                    own = change.replace(self.design.changes(point, calibrating)).fit(fit)
                    found.append((name, own.replace(self.design.changes(point, rest))))
                else:
                    found.append((name, scenario.replace(change)))
        return found

    def _check_days(self, scenario: Scenario) -> None:
        if self.days is not None and self.days > scenario.period.days:
            raise ConfigurationError(
                "days", f"wanted at most the {scenario.period.days} of the period", given=self.days
            )


def _named(point: Point) -> str:
    return f"point {', '.join(f'{name} = {value}' for name, value in point.items())}"


def load_study(name: str | Path, **options: Any) -> Study:
    """Return the study in a TOML file, or a shipped one by its name; `options` that are not None override its values.

    Raise ConfigurationError for what cannot be read or does not fit.
    """
    path = _find(name)
    file = validated(_StudyFile, read_tables(path), str(path))
    given = {key: value for key, value in options.items() if value is not None}
    changes = {**file.set, **dict(given.pop("set", {}))}
    with told_within(str(path)):
        scenario = _scenario(file.scenario, path)
        scenario = scenario.replace(changes) if changes else scenario
        held = {key: getattr(file, key) for key in type(file).model_fields if key not in {"scenario", "set"}}
        return Study(scenario=scenario, name=path.stem, **{**held, **given})


def _scenario(given: str | dict[str, Any], path: Path) -> Scenario:
    """Return the scenario that a study's file at `path` names, or holds as a table that extends another."""
    if isinstance(given, dict):
        return load_within({"name": path.stem, **given}, path)
    beside = path.parent / given
    return load(beside if beside.suffix == ".toml" else given)


def _find(name: str | Path) -> Path:
    path = Path(name)
    if path.suffix == ".toml" or os.path.isfile(path):  # noqa: PTH113  unlike Path.is_file, never raises
        return path
    folder = shipped("configs", "sweeps")
    names = sorted(file.stem for file in folder.glob("*.toml"))
    if str(name) not in names:
        wanted = f"no such sweep; shipped are {', '.join(names)}, or give a file ending in .toml"
        raise ConfigurationError(str(name), wanted, nearest=nearest_name(str(name), names))
    return folder / f"{name}.toml"
