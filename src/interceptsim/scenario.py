"""A scenario: one frozen model composed of each part's own parameters, read from TOML.

Entries of lists are addressed by their ids, so `policies.reject-listed-numbers.delay` names one value.
`load` reads a file or a shipped name; `Scenario.replace` gives a copy with other values. What is wrong is
told in one ConfigurationError with the path of keys, what was given, what was wanted, the nearest name.
"""

from __future__ import annotations

import copy
import datetime as dt
import json
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from interceptsim.errors import ConfigurationError, nearest_name
from interceptsim.filtering.policies import POLICIES, AnyPolicy, RejectListedNumbers
from interceptsim.ledger import figure, shipped, shipped_names
from interceptsim.response.police import Police
from interceptsim.traffic.model import Hub, Name, Traffic
from interceptsim.units import DAY_US, HOUR_US, MINUTE_US, Duration, Ratio, format_duration

__all__ = ["MIN_SLICE_US", "Scenario", "load", "load_policies", "parse_setting"]

MIN_SLICE_US = MINUTE_US
"""The least slice, and so the least lookahead: below it the columns would gain nothing."""

MAX_SLICE_US = 6 * HOUR_US


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

    `figure` names the figure in the ledger, `channel` what is counted; `volume` and `strength` are the two
    paths that are solved for, the strength between `low` and `high`.
    """

    id: Name
    figure: str
    channel: Literal["voice", "sms"]
    interception_ratio: Annotated[float, Field(gt=0, lt=1)]
    volume: str
    strength: str
    low: float
    high: float


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
        ids = [p.id for p in self.policies]
        twice = [name for name, n in Counter(ids).items() if n > 1]
        if twice:
            raise ValueError(f"policies: id {twice[0]!r} is used twice; give each its own 'id'")
        for target in self.calibration:
            figure(target.figure)
        hubs, profiles = [h.id for h in self.hubs], [p.id for p in self.traffic.profiles]
        if len(set(hubs)) < len(hubs):
            raise ValueError("hubs: an id is used twice")
        for group in self.traffic.lines:
            for what, name, names in (("hub", group.hub, hubs), ("profile", group.profile, profiles)):
                if name not in names:
                    near = nearest_name(name, names)
                    hint = f"; did you mean {near!r}?" if near else ""
                    raise ValueError(f"traffic.lines.{group.id}.{what}: no {what} {name!r}{hint}")
        lookahead = self.lookahead_us
        if lookahead is not None and lookahead < MIN_SLICE_US:
            raise ValueError(
                f"the least 'delay' of an enabled list is {format_duration(lookahead)}; at least "
                f"{format_duration(MIN_SLICE_US)} is wanted, since a listing cannot reach into the slice "
                "that is being decided"
            )
        return self

    @property
    def lists(self) -> tuple[RejectListedNumbers, ...]:
        """The enabled policies that live on what police hand over."""
        return tuple(p for p in self.policies if p.enabled and isinstance(p, RejectListedNumbers))

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

    def replace(self, changes: Mapping[str, Any]) -> Scenario:
        """Return a copy with other values at paths of keys, entries of lists being named by their ids.

        Raise ConfigurationError for a path that leads nowhere or a value that does not fit.
        """
        tables = self.as_dict()
        for path, value in changes.items():
            _put(tables, path, value)
            tables["fitted"].pop(path, None)
        return _validate(tables, self.name)


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


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_none=True) if isinstance(value, BaseModel) else value


def _names_in(at: Any) -> list[str] | None:
    if isinstance(at, dict):
        return list(at)
    if isinstance(at, list) and all(isinstance(entry, dict) for entry in at):
        return [entry.get("id", entry.get("kind", "")) for entry in at]
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


def _validate(tables: dict[str, Any], source: str) -> Scenario:
    try:
        return Scenario.model_validate(tables)
    except ValidationError as error:
        first = error.errors()[0]
        path = _path_of(first["loc"], tables)
        where = f"{source}: {path}" if path else source
        given = first["input"] if isinstance(first["input"], str | int | float | bool) else None
        if first["type"] == "extra_forbidden":
            key = str(first["loc"][-1])
            raise ConfigurationError(where, "no such key", nearest=nearest_name(key, _field_names())) from None
        text = first["msg"].removeprefix("Value error, ")
        wanted = text[0].lower() + text[1:]
        raise ConfigurationError(where, wanted, given=given) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(str(path), f"not TOML: {error}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(path), f"not UTF-8 text: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise ConfigurationError(str(path), f"cannot be read: {error.strerror}") from None


def find_scenario(name: str | Path) -> Path:
    """Return the file of a scenario given by path or by the name of a shipped one."""
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return path
    names = shipped_names("configs")
    if str(name) not in names:
        raise ConfigurationError(
            str(name),
            f"no such scenario; shipped are {', '.join(names)}, or give a file ending in .toml",
            nearest=nearest_name(str(name), names),
        )
    return shipped("configs", f"{name}.toml")


def _tables(name: str | Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    path = find_scenario(name)
    if path in seen:
        raise ConfigurationError(str(path), "extends itself")
    tables = _read(path)
    base = tables.get("extends")
    if base is None:
        return tables
    if not isinstance(base, str):
        raise ConfigurationError(f"{path}: extends", "wanted the name or the file of a scenario", given=base)
    beside = path.parent / base
    return _merged(_tables(beside if beside.suffix == ".toml" else base, (*seen, path)), tables)


def load(name: str | Path) -> Scenario:
    """Return the scenario in a TOML file, or a shipped one by its name, such as "china-2025".

    Values in its table `fitted` take the place of those that stand above it. Raise ConfigurationError
    for what cannot be read or does not fit.
    """
    tables = _tables(name)
    fitted = tables.get("fitted", {})
    if isinstance(fitted, dict):
        scenario = _validate({**tables, "fitted": {}}, str(name))
        changes = {path: entry["value"] for path, entry in fitted.items() if isinstance(entry, dict)}
        tables = scenario.replace(changes).as_dict() if changes else scenario.as_dict()
    return _validate({**tables, "fitted": fitted}, str(name))


def load_policies(path: Path) -> list[Any]:
    """Return the `policies` entries of a TOML file as plain tables, to take the place of a scenario's."""
    entries = _read(path).get("policies")
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise ConfigurationError(str(path), "wanted [[policies]] entries, each with the 'kind' of a policy")
    for entry in entries:
        kind = entry.get("kind")
        if kind not in POLICIES:
            raise ConfigurationError(
                f"{path}: policies", f"no such policy {kind!r}", nearest=nearest_name(str(kind), POLICIES)
            )
    return entries


def parse_setting(text: str) -> tuple[str, Any]:
    """Read one PATH=VALUE, the value as TOML where it is that, else as bare text."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise ConfigurationError(
            "--set", "wanted PATH=VALUE, such as policies.limit-attempts.enabled=false", given=text
        )
    try:
        parsed = tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    if isinstance(parsed, dt.date):
        parsed = parsed.isoformat()
    return path.strip(), parsed


def schema() -> str:
    """Return the JSON Schema of scenario files."""
    return json.dumps(Scenario.model_json_schema(), indent=2, ensure_ascii=False)
