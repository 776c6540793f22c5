"""A scenario: one frozen model composed of each part's own parameters, read from TOML.

Entries of lists are addressed by their ids, so `policies.reject-listed-numbers.delay` names one value.
`load` reads a file or a shipped name; `Scenario.replace` gives a copy with other values. What is wrong is
told in one ConfigurationError with the path of keys, what was given, what was wanted, the nearest name.
"""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import json
import os
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from interceptsim.errors import ConfigurationError, nearest_name
from interceptsim.filtering.policies import RejectListedNumbers
from interceptsim.filtering.registry import AnyPolicy, as_policies, policy_kinds
from interceptsim.ledger import figure, figures, shipped, shipped_names
from interceptsim.response.police import Police
from interceptsim.traffic.model import Hub, Name, Traffic
from interceptsim.units import DAY_US, HOUR_US, MINUTE_US, Count, Duration, Ratio, format_duration

__all__ = [
    "MIN_SLICE_US",
    "AsWritten",
    "Fitted",
    "Scenario",
    "load",
    "load_policies",
    "parse_setting",
    "schema",
    "validated",
]

MIN_SLICE_US = MINUTE_US
"""The least slice, and so the least lookahead: below it the columns would gain nothing."""

MAX_SLICE_US = 6 * HOUR_US

_DEEPEST = 20  # tables within tables: what a file may hold is not half as deep

Model = TypeVar("Model", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Period(_Part):
    """The days that are counted, in local time (UTC+8), both included, and the warm-up that runs before."""

    start: dt.date
    end: dt.date
    warm_up: Duration = 45 * DAY_US

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end < self.start:
            raise ValueError("'end' lies before 'start'")
        if self.days > 3660:
            raise ValueError("a period has at most ten years")
        if self.warm_up % DAY_US or self.warm_up > 400 * DAY_US:
            raise ValueError("'warm_up' is a whole number of days, 400 at the most")
        return self

    @property
    def days(self) -> int:
        """How many days are counted."""
        return (self.end - self.start).days + 1

    @property
    def warm_up_days(self) -> int:
        """How many days run before."""
        return self.warm_up // DAY_US


class Carrier(_Part):
    """A carrier of called subscribers and its share of them."""

    id: Name
    share: Ratio


class Population(_Part):
    """Who can be called: how many subscribers, and their carriers, whose shares sum to 1."""

    subscribers: Annotated[int, Field(ge=1000, le=1_990_000_000)]
    carriers: Annotated[tuple[Carrier, ...], Field(min_length=1, max_length=200)]

    @field_validator("subscribers", mode="before")
    @classmethod
    def _whole(cls, given: Any) -> Any:
        return int(given) if isinstance(given, float) and given.is_integer() else given

    @field_validator("carriers")
    @classmethod
    def _all(cls, carriers: tuple[Carrier, ...]) -> tuple[Carrier, ...]:
        total = sum(c.share for c in carriers)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the carriers' shares sum to {total:.6g}, not to 1")
        return carriers


class CalibrationTarget(_Part):
    """A pair that calibration solves: the reported figure and the assumed interception ratio.

    `figure` names the figure in the ledger, which has a known period, `channel` what is counted; `volume` and
    `strength` are the two paths that are solved for, the strength between `low` and `high`. `window_days`, where given,
    is over how many days the figure was counted, in place of the ledger's period.
    """

    id: Name
    figure: str
    channel: Literal["voice", "sms"]
    interception_ratio: Annotated[float, Field(gt=0, lt=1)]
    volume: str
    strength: str
    low: float
    high: float
    window_days: Count | None = None

    @property
    def days(self) -> int:
        """Over how many days the figure was counted."""
        reported = figure(self.figure)
        assert reported.start is not None
        assert reported.end is not None
        return self.window_days or (reported.end - reported.start).days + 1


class Fitted(_Part):
    """A value that `interceptsim calibrate` wrote: the `figure` it was fitted to, and under what assumption."""

    value: str | float
    figure: str
    under: str


class Scenario(_Part):
    """Everything a run depends on but the seed and the scale."""

    name: Name
    title: str
    extends: str | None = None
    period: Period
    population: Population
    hubs: Annotated[tuple[Hub, ...], Field(min_length=1)]
    traffic: Traffic
    police: Police
    policies: tuple[AnyPolicy, ...] = ()
    calibration: tuple[CalibrationTarget, ...] = ()
    fitted: dict[str, Fitted] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        with_ids = {
            "policies": self.policies,
            "hubs": self.hubs,
            "population.carriers": self.population.carriers,
            "calibration": self.calibration,
        }
        for where, entries in with_ids.items():
            twice = [name for name, n in Counter(entry.id for entry in entries).items() if n > 1]
            if twice:
                raise ConfigurationError(where, f"id {twice[0]!r} is used twice; give each its own 'id'")
        hubs, profiles = [h.id for h in self.hubs], [p.id for p in self.traffic.profiles]
        for group in self.traffic.lines:
            _check_named(f"traffic.lines.{group.id}.hub", "hub", group.hub, hubs)
            _check_named(f"traffic.lines.{group.id}.profile", "profile", group.profile, profiles)
        dated = [f.id for f in figures() if f.start and f.end]
        for target in self.calibration:
            _check_named(f"calibration.{target.id}.figure", "dated figure", target.figure, dated)
        for policy in self.lists:
            if policy.delay.minimum < MIN_SLICE_US:
                raise ConfigurationError(
                    f"policies.{policy.id}.delay",
                    f"at least {format_duration(MIN_SLICE_US)} is wanted, since a listing cannot reach into the slice "
                    "that is being decided",
                    given=format_duration(policy.delay.minimum),
                )
        return self

    @property
    def lists(self) -> tuple[RejectListedNumbers, ...]:
        """The enabled policies that live on what police hand over."""
        lists = (p for p in self.policies if p.enabled and isinstance(p, RejectListedNumbers))
        return tuple(p for p in lists if p.feed == "police")

    @property
    def lookahead_us(self) -> int | None:
        """The least delay of anything posted into the data plane; None where nothing is."""
        return min((p.delay.minimum for p in self.lists), default=None)

    @property
    def slice_us(self) -> int:
        """The slice to run with: the lookahead, at most 6 hours."""
        return min(self.lookahead_us or MAX_SLICE_US, MAX_SLICE_US)

    def as_dict(self) -> dict[str, Any]:
        """Return the scenario as plain tables that read back to an equal one."""
        return self.model_dump(mode="json", exclude_none=True)

    def with_policies(self, policies: Iterable[Any]) -> Scenario:
        """Return a copy with another chain: policies of any origin, or functions of a batch.

        Raise ConfigurationError for what is neither, or a chain that does not fit.
        """
        chain = tuple(as_policies(policies))
        return self._changed({**self.as_dict(), "policies": chain}).model_copy(update={"policies": chain})

    def replace(self, changes: Mapping[str, Any]) -> Scenario:
        """Return a copy with other values at paths of keys, entries of lists being named by their ids.

        Raise ConfigurationError for a path that leads nowhere or a value that does not fit.
        """
        tables = self.as_dict()
        for path, value in changes.items():
            if path.partition(".")[0] == "fitted":
                raise ConfigurationError(path, "`interceptsim calibrate` writes it; change the fitted value itself")
            _put(tables, path, value)
        if isinstance(tables["policies"], list):
            tables["policies"] = [self._unregistered(entry) for entry in tables["policies"]]
        return self._changed(tables)

    def _unregistered(self, entry: Any) -> Any:
        """Return the policy of a plain table whose kind no registry knows, since it was given as an object."""
        if not isinstance(entry, dict) or entry.get("kind") in policy_kinds():
            return entry
        old = next((p for p in self.policies if (p.kind, p.id) == (entry.get("kind"), entry.get("id"))), None)
        if isinstance(old, BaseModel):
            return validated(type(old), entry, f"{self.name}: policies.{entry['id']}")
        return entry if old is None else old

    def _alive(self, policy: Any) -> Any:
        """Return a policy read from a table with what no table can hold: a function, an array of numbers."""
        old = next((p for p in self.policies if p.id == policy.id and type(p) is type(policy)), None)
        if old is None or not isinstance(policy, BaseModel):
            return policy
        return old.model_copy(update={name: getattr(policy, name) for name in type(policy).model_fields})

    def _changed(self, tables: dict[str, Any]) -> Scenario:
        """Read changed tables of this scenario; values that are not the same any more are no longer fitted."""
        read = validated(Scenario, tables, self.name)
        fitted = _unchanged(self.fitted, self.as_dict(), read.as_dict())
        alive = tuple(self._alive(policy) for policy in read.policies)
        return read.model_copy(update={"fitted": fitted, "policies": alive})

    def fit(self, found: Mapping[str, Fitted]) -> Scenario:
        """Return a copy with fitted values at their paths, told as fitted.

        Raise ConfigurationError as `replace` does.
        """
        changed = self.replace({path: entry.value for path, entry in found.items()})
        return changed.model_copy(update={"fitted": {**changed.fitted, **found}})


class _FittedTable(_Part):
    """The table [fitted] of a file, which is read ahead of the rest."""

    fitted: dict[str, Fitted] = {}


class _PolicyFile(_Part):
    """What a file of policies holds."""

    policies: tuple[AnyPolicy, ...]


def _check_named(where: str, what: str, name: str, names: Iterable[str]) -> None:
    """Raise ConfigurationError with the nearest name where `name` is not one of `names`."""
    offered = list(names)
    if name not in offered:
        raise ConfigurationError(where, f"no {what} {name!r}", nearest=nearest_name(name, offered))


def _put(tables: dict[str, Any], path: str, value: Any) -> None:
    """Set one value inside plain tables; raise ConfigurationError where the path leads nowhere."""
    at: Any = tables
    keys = path.split(".")
    for depth, key in enumerate(keys):
        names = _names_in(at)
        last = depth == len(keys) - 1
        if names is None:
            raise ConfigurationError(path, f"{'.'.join(keys[:depth])!r} is a value, not a table")
        if last and isinstance(at, dict):
            at[key] = _plain(value)
        elif key not in names:
            where = ".".join(keys[:depth]) or "a scenario"
            raise ConfigurationError(path, f"no {key!r} in {where}", nearest=nearest_name(key, names))
        elif last:
            raise ConfigurationError(path, "wanted the path of a value, such as 'policies.ID.enabled'")
        else:
            at = at[key] if isinstance(at, dict) else at[names.index(key)]


def _at(tables: dict[str, Any], path: str) -> Any:
    """Return what stands at a path of keys in plain tables, None where it leads nowhere."""
    at: Any = tables
    for key in path.split("."):
        names = _names_in(at)
        if names is None or key not in names:
            return None
        at = at[key] if isinstance(at, dict) else at[names.index(key)]
    return at


Entry = TypeVar("Entry")


def _unchanged(fitted: Mapping[str, Entry], before: dict[str, Any], after: dict[str, Any]) -> dict[str, Entry]:
    """Return the fitted entries whose values are after a change what they were before."""
    return {path: entry for path, entry in fitted.items() if _at(before, path) == _at(after, path)}


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_none=True) if isinstance(value, BaseModel) else value


def _names_in(at: Any) -> list[str] | None:
    if isinstance(at, dict):
        return list(at)
    if isinstance(at, list) and all(isinstance(entry, dict) for entry in at):
        return [str(entry.get("id", entry.get("kind", ""))) for entry in at]
    return None


def _merged(base: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay one file's tables over another's: tables key by key, lists of tables entry by entry of one id."""
    out = copy.deepcopy(base)
    for key, value in above.items():
        under = out.get(key)
        if isinstance(under, dict) and isinstance(value, dict):
            out[key] = _merged(under, value)
        elif isinstance(under, list) and isinstance(value, list) and _names_in(under) and _names_in(value):
            names = _names_in(under) or []
            for entry, name in zip(value, _names_in(value) or [], strict=True):
                if name in names:
                    under[names.index(name)] = _merged(under[names.index(name)], entry)
                else:
                    under.append(entry)
        else:
            out[key] = value
    return out


def _field_names() -> set[str]:
    """Return every key that may stand in a scenario file, for hints."""

    def walk(schema: Any) -> Iterator[str]:
        if isinstance(schema, dict):
            yield from schema.get("properties", {})
            for value in schema.values():
                yield from walk(value)
        elif isinstance(schema, list):
            for value in schema:
                yield from walk(value)

    return set(walk(Scenario.model_json_schema()))


def _path_of(location: tuple[int | str, ...], tables: Any) -> str:
    """Write pydantic's location as a path of keys, ids in place of positions."""
    keys, at = [], tables
    for part in location:
        if isinstance(part, int) and isinstance(at, list) and part < len(at):
            names = _names_in(at)
            at = at[part]
            keys.append((names[part] if names else "") or str(part))
        elif isinstance(at, dict) and part in at:
            at = at[part]
            keys.append(str(part))
        elif isinstance(part, str) and isinstance(at, dict):
            keys.append(part)
            at = None
    return ".".join(keys)


def _booleans(given: Any, read: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the paths at which true or false was given and was read as a number."""
    if isinstance(given, bool) and not isinstance(read, bool):
        yield ".".join(path)
    elif isinstance(given, dict) and isinstance(read, dict):
        for key, value in given.items():
            yield from _booleans(value, read.get(key), (*path, str(key)))
    elif isinstance(given, list) and isinstance(read, list):
        names = _names_in(read) or map(str, range(len(read)))
        for name, value, entry in zip(names, given, read, strict=False):
            yield from _booleans(value, entry, (*path, name))


def validated(kind: type[Model], tables: Any, source: str) -> Model:
    """Read plain tables as a model.

    Raise ConfigurationError that names `source`, the path of keys, what was given and what was wanted.
    """
    try:
        with _told_within(source):
            read = kind.model_validate(tables)
    except ValidationError as error:
        raise _first_mistake(error, tables, source) from None
    for path in _booleans(tables, read.model_dump(mode="json")):
        raise ConfigurationError(f"{source}: {path}", "wanted a number, not true or false")
    return read


def _first_mistake(error: ValidationError, tables: Any, source: str) -> ConfigurationError:
    first = min(error.errors(), key=lambda mistake: mistake["type"] != "extra_forbidden")  # the cause of "required"
    path = _path_of(first["loc"], tables)
    where = f"{source}: {path}" if path else source
    given = first["input"] if isinstance(first["input"], str | int | float | bool) else None
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        return ConfigurationError(where, "no such key", nearest=nearest_name(key, _field_names()))
    text = first["msg"].removeprefix("Value error, ")
    return ConfigurationError(where, text[0].lower() + text[1:], given=given)


@contextlib.contextmanager
def _told_within(place: str) -> Iterator[None]:
    """Let errors of the block name `place` first."""
    try:
        yield
    except ConfigurationError as error:
        raise error.within(place) from None


def _parsed(text: str, where: str) -> dict[str, Any]:
    """Read TOML; raise ConfigurationError where it holds what no scenario can, TOMLDecodeError where it is none."""
    too_deep = ConfigurationError(where, f"tables or lists nested more than {_DEEPEST} deep")
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:
        raise ConfigurationError(where, "holds an integer of thousands of digits") from None
    except RecursionError:
        raise too_deep from None
    level: list[Any] = [tables]
    for _ in range(_DEEPEST):
        level = [v for t in level if isinstance(t, dict | list) for v in (t.values() if isinstance(t, dict) else t)]
    if level:
        raise too_deep
    return tables


def _read(path: Path) -> dict[str, Any]:
    try:
        return _parsed(path.read_bytes().decode("utf-8"), str(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(str(path), f"not TOML: {error}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(path), f"not UTF-8 text: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise ConfigurationError(str(path), f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigurationError(repr(str(path)), "cannot be read: no file has such a name") from None


def find_scenario(name: str | Path) -> Path:
    """Return the file of a scenario given by path or by the name of a shipped one."""
    path = Path(name)
    if path.suffix == ".toml" or os.path.isfile(path):  # noqa: PTH113  unlike Path.is_file, never raises
        return path
    names = shipped_names("configs")
    if str(name) not in names:
        raise ConfigurationError(
            str(name),
            f"no such scenario; shipped are {', '.join(names)}, or give a file ending in .toml",
            nearest=nearest_name(str(name), names),
        )
    return shipped("configs", f"{name}.toml")


def _tables(name: str | Path, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a file's tables laid over those of the file it extends, fitted values in their places.

    What the extended file was fitted to still is, where the value is still the same.
    """
    path = find_scenario(name)
    own = _read(path)
    real = os.path.realpath(path)
    if real in seen:
        raise ConfigurationError(str(path), "extends itself")
    base: dict[str, Any] = {}
    if "extends" in own:
        given = own["extends"]
        if not isinstance(given, str):
            raise ConfigurationError(f"{path}: extends", "wanted the name or the file of a scenario", given=given)
        beside = path.parent / given
        with _told_within(f"{path}: extends"):
            base = _tables(beside if beside.suffix == ".toml" else given, (*seen, real))
    fitted = validated(_FittedTable, {"fitted": own.pop("fitted", {})}, str(path)).fitted
    tables = _merged(base, own)
    inherited = _unchanged(base.get("fitted", {}), base, tables)
    with _told_within(f"{path}: fitted"):
        for at, entry in fitted.items():
            _put(tables, at, entry.value)
    return {**tables, "fitted": {**inherited, **fitted}}


def load(name: str | Path) -> Scenario:
    """Return the scenario in a TOML file, or a shipped one by its name, such as "china-2025".

    Values in its table `fitted` take the place of those that stand above it. Raise ConfigurationError
    for what cannot be read or does not fit.
    """
    scenario = validated(Scenario, _tables(name), str(name))
    tables = scenario.as_dict()
    for target in scenario.calibration:
        for key, path in (("volume", target.volume), ("strength", target.strength)):
            if not isinstance(_at(tables, path), str | int | float):
                where = f"{name}: calibration.{target.id}.{key}"
                raise ConfigurationError(where, "wanted the path of a value of the scenario", given=path)
    return scenario


def load_policies(path: Path) -> list[Any]:
    """Return the `policies` entries of a TOML file as plain tables, to take the place of a scenario's.

    Raise ConfigurationError for what cannot be read or is no policy.
    """
    entries = _read(path).get("policies")
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise ConfigurationError(str(path), "wanted [[policies]] entries, each with the 'kind' of a policy")
    validated(_PolicyFile, {"policies": entries}, str(path))
    return entries


def parse_setting(text: str) -> tuple[str, Any]:
    """Read one PATH=VALUE, the value as TOML where it is that, else as bare text."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise ConfigurationError(
            "--set", "wanted PATH=VALUE, such as policies.limit-attempts.enabled=false", given=text
        )
    try:
        tables = _parsed(f"value = {value.strip()}", f"--set {path.strip()}")
    except tomllib.TOMLDecodeError:
        tables = {"value": value.strip()}
    if len(tables) > 1:
        raise ConfigurationError("--set", "wanted one PATH=VALUE; repeat --set for another", given=text)
    parsed = tables["value"]
    return path.strip(), parsed.isoformat() if isinstance(parsed, dt.date) else parsed


class AsWritten(GenerateJsonSchema):
    """A JSON Schema whose defaults stand as they would in a file: "45d", not microseconds."""

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        """Return a default as its field would be written."""
        default = super().get_default_value(schema)
        field: Any = schema["schema"]
        while field["type"].startswith("function-") and "serialization" not in field:  # a validator around the field
            field = field["schema"]
        written = field.get("serialization", {})
        return written["function"](default) if written.get("type") == "function-plain" else default


def schema() -> str:
    """Return the JSON Schema of scenario files."""
    return json.dumps(Scenario.model_json_schema(schema_generator=AsWritten), indent=2, ensure_ascii=False)
