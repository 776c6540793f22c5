"""A scenario: one frozen model composed of each part's own parameters.

`Scenario.replace` gives a copy with other values at paths of keys, `Scenario.with_policies` one with another chain.
`scenario_files` reads scenarios from TOML.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from interceptsim.errors import ConfigurationError, nearest_name
from interceptsim.filtering.outside import as_policies
from interceptsim.filtering.policies import RejectListedNumbers
from interceptsim.ledger import figure, figures
from interceptsim.network.model import Network
from interceptsim.registry import AnyPolicy, policy_kinds
from interceptsim.response.people import People
from interceptsim.response.plane import step_us
from interceptsim.response.police import Police
from interceptsim.response.supply import RaidHubs, RestrictSimSupply
from interceptsim.tables import put, unchanged, validated
from interceptsim.traffic.adaptation import Adaptation, messages_of
from interceptsim.traffic.model import CallerGroup, Hub, LineGroup, Name, Traffic
from interceptsim.units import DAY_US, HOUR_US, MINUTE_US, Count, Duration, Ratio, format_duration

__all__ = [
    "MIN_SLICE_US",
    "AsWritten",
    "Fitted",
    "Scenario",
    "StrengthTarget",
    "schema",
]

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


def _days_of(figure_id: str, window_days: int | None) -> int:
    """Return over how many days a figure was counted, unless that is said."""
    reported = figure(figure_id)
    assert reported.start is not None
    assert reported.end is not None
    return window_days or (reported.end - reported.start).days + 1


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
        return _days_of(self.figure, self.window_days)


class StrengthTarget(_Part):
    """A strength that calibration solves for a reported figure.

    `figure` names the figure in the ledger, `quantity` the metric of runs that it counts; the value at the path
    `strength` is sought between `low` and `high`. `window_days` is as in `CalibrationTarget`.
    """

    id: Name
    figure: str
    quantity: str
    strength: str
    low: float
    high: float
    window_days: Count | None = None

    @property
    def days(self) -> int:
        """Over how many days the figure was counted."""
        return _days_of(self.figure, self.window_days)


class Fitted(_Part):
    """A value that `interceptsim calibrate` wrote: the `figure` it was fitted to, and under what assumption."""

    value: str | float
    figure: str
    under: str


class Scenario(_Part):
    """Everything a run depends on but the seed and the scale."""

    name: Name
    title: str
    extends: str | tuple[str, ...] | None = None
    period: Period
    population: Population
    hubs: Annotated[tuple[Hub, ...], Field(min_length=1)]
    traffic: Traffic
    police: Police
    people: People | None = None
    adaptations: tuple[Adaptation, ...] = ()
    policies: tuple[AnyPolicy, ...] = ()
    network: Network | None = None
    calibration: tuple[CalibrationTarget, ...] = ()
    strengths: tuple[StrengthTarget, ...] = ()
    fitted: dict[str, Fitted] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        with_ids = {
            "policies": self.policies,
            "adaptations": self.adaptations,
            "hubs": self.hubs,
            "population.carriers": self.population.carriers,
            "calibration": self.calibration,
            "strengths": self.strengths,
        }
        for where, entries in with_ids.items():
            twice = [name for name, n in Counter(entry.id for entry in entries).items() if n > 1]
            if twice:
                raise ConfigurationError(where, f"id {twice[0]!r} is used twice; give each its own 'id'")
        hubs, profiles = [h.id for h in self.hubs], [p.id for p in self.traffic.profiles]
        for group in self.traffic.lines:
            _check_named(f"traffic.lines.{group.id}.hub", "hub", group.hub, hubs)
            _check_named(f"traffic.lines.{group.id}.profile", "profile", group.profile, profiles)
        for callers in self.traffic.ordinary:
            _check_named(f"traffic.ordinary.{callers.id}.profile", "profile", callers.profile, profiles)
        for adaptation in self.adaptations:
            moves = adaptation.kind == "move-to-messages"
            own = [g.id for g in self.traffic.lines if g.cli == "own" and (g.channel == "voice" or not moves)]
            what = f"group of {'calls' if moves else 'lines'} with own numbers"
            for name in adaptation.lines:
                _check_named(f"adaptations.{adaptation.id}.lines", what, name, own)
        ids = {*(group.id for group in self.traffic.lines), *(callers.id for callers in self.traffic.ordinary)}
        for group in self.traffic.lines:
            messages = messages_of(group, self.adaptations)
            if messages and messages.id in ids:
                where = f"traffic.lines.{messages.id}"
                raise ConfigurationError(where, f"is how the messages of {group.id!r} are named; give it another 'id'")
        self._check_network(profiles)
        self._check_response()
        self._check_supply(hubs)
        dated = [f.id for f in figures() if f.start and f.end]
        for target in self.calibration:
            _check_named(f"calibration.{target.id}.figure", "dated figure", target.figure, dated)
        for wanted in self.strengths:
            _check_named(f"strengths.{wanted.id}.figure", "dated figure", wanted.figure, dated)
        for policy in self.lists:
            if policy.delay.minimum < MIN_SLICE_US:
                raise ConfigurationError(
                    f"policies.{policy.id}.delay",
                    f"at least {format_duration(MIN_SLICE_US)} is wanted, since a listing cannot reach into the slice "
                    "that is being decided",
                    given=format_duration(policy.delay.minimum),
                )
        return self

    def _check_response(self) -> None:
        """Raise ConfigurationError where response policies or people do not fit."""
        kinds = Counter(policy.kind for policy in self.responses if getattr(policy, "single", False))
        for kind, n in kinds.items():
            if n > 1:
                raise ConfigurationError(f"policies.{kind}", "there can be one of this kind; switch the others off")
        if self.people is None:
            return
        types = [kind.id for kind in self.people.types]
        for hub in self.hubs:
            for name in hub.fraud_types:
                _check_named(f"hubs.{hub.id}.fraud_types", "fraud type in people.types", name, types)
        for channel in ("voice", "sms"):
            both = getattr(self.people, f"{channel}_engaged_ratio") + getattr(self.police, f"{channel}_complaint_ratio")
            if both > 1:
                where = f"people.{channel}_engaged_ratio"
                raise ConfigurationError(where, "is more than 1 with the share that is complained of", given=both)
        least = 2 * MIN_SLICE_US
        if self.police.delay.minimum < least:
            raise ConfigurationError(
                "police.delay",
                f"at least {format_duration(least)} is wanted, since people are counted up to a hand-over",
                given=format_duration(self.police.delay.minimum),
            )

    def _check_supply(self, hubs: list[str]) -> None:
        """Raise ConfigurationError where a policy against supply names what is not there, or strikes twice at once."""
        struck: set[tuple[str, dt.date]] = set()
        groups = [g.id for g in self.traffic.lines]
        restricted: set[str] = set()
        for policy in self.policies:
            where = f"policies.{policy.id}"
            if isinstance(policy, RaidHubs):
                for name in policy.returns_to:
                    _check_named(f"{where}.returns_to", "hub", name, hubs)
                for raid in policy.raids:
                    _check_named(f"{where}.raids.{raid.id}.hub", "hub", raid.hub, hubs)
                    if policy.enabled and (raid.hub, raid.day) in struck:
                        wanted = f"hub {raid.hub!r} is raided twice on {raid.day}"
                        raise ConfigurationError(f"{where}.raids.{raid.id}", wanted)
                    struck |= {(raid.hub, raid.day)} if policy.enabled else set()
            elif isinstance(policy, RestrictSimSupply):
                for name in policy.lines:
                    _check_named(f"{where}.lines", "group of lines", name, groups)
                both = restricted & set(policy.lines or groups) if policy.enabled else set()
                if both:
                    raise ConfigurationError(f"{where}.lines", f"lines {min(both)!r} are restricted by two policies")
                restricted |= set(policy.lines or groups) if policy.enabled else set()

    def _check_network(self, profiles: list[str]) -> None:
        """Raise ConfigurationError where the network names what is not there."""
        if self.network is None:
            return
        callers: tuple[LineGroup | CallerGroup, ...] = (*self.traffic.lines, *self.traffic.ordinary)
        for kind, elements, channel in (
            ("trunk_groups", self.network.trunk_groups, "voice"),
            ("smscs", self.network.smscs, "sms"),
        ):
            groups = [g.id for g in callers if g.channel == channel]
            for element in elements:
                where = f"network.{kind}.{element.id}"
                for name in element.groups:
                    _check_named(f"{where}.groups", f"{channel} line group", name, groups)
        for trunk in self.network.trunk_groups:
            where = f"network.trunk_groups.{trunk.id}.planned_erlangs.profile"
            _check_named(where, "profile", trunk.planned_erlangs.profile, profiles)
        for smsc in self.network.smscs:
            where = f"network.smscs.{smsc.id}.planned_messages_per_s.profile"
            _check_named(where, "profile", smsc.planned_messages_per_s.profile, profiles)

    @property
    def lists(self) -> tuple[RejectListedNumbers, ...]:
        """The enabled policies that live on what police hand over."""
        lists = (p for p in self.policies if p.enabled and isinstance(p, RejectListedNumbers))
        return tuple(p for p in lists if p.feed == "police")

    @property
    def responses(self) -> tuple[Any, ...]:
        """The enabled policies that answer those whom attempts reach."""
        return tuple(p for p in self.policies if p.enabled and callable(getattr(p, "respond", None)))

    @property
    def lookahead_us(self) -> int | None:
        """The least delay of anything posted into the data plane; None where nothing is."""
        delays = [p.delay.minimum for p in self.lists]
        if self.people is not None:
            delays.append(self.police.delay.minimum - step_us(self.police))
        return min(delays, default=None)

    @property
    def slice_us(self) -> int:
        """The slice to run with: the lookahead, at most 6 hours or the interval over which load is measured."""
        longest = MAX_SLICE_US if self.network is None else min(MAX_SLICE_US, self.network.measure_every)
        return min(self.lookahead_us or longest, longest)

    def __repr__(self) -> str:
        """Return which scenario it is: all of its values would fill pages."""
        return f"Scenario({self.name!r})"

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
            put(tables, path, value)
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
        fitted = unchanged(self.fitted, self.as_dict(), read.as_dict())
        alive = tuple(self._alive(policy) for policy in read.policies)
        return read.model_copy(update={"fitted": fitted, "policies": alive})

    def fit(self, found: Mapping[str, Fitted]) -> Scenario:
        """Return a copy with fitted values at their paths, told as fitted.

        Raise ConfigurationError as `replace` does.
        """
        changed = self.replace({path: entry.value for path, entry in found.items()})
        return changed.model_copy(update={"fitted": {**changed.fitted, **found}})


def _check_named(where: str, what: str, name: str | None, names: Iterable[str]) -> None:
    """Raise ConfigurationError with the nearest name where `name` is given and is not one of `names`."""
    offered = list(names)
    if name is not None and name not in offered:
        raise ConfigurationError(where, f"no {what} {name!r}", nearest=nearest_name(name, offered))


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
    """Return the JSON Schema of scenario files: one may extend others, and a group of callers be `like` another."""
    found = Scenario.model_json_schema(schema_generator=AsWritten)
    for name in ("LineGroup", "CallerGroup"):
        group = found["$defs"][name]
        group["properties"]["like"] = {"type": "string"}
        group["anyOf"] = [{"required": group.pop("required")}, {"required": ["id", "like"]}]
    found["anyOf"] = [{"required": found.pop("required")}, {"required": ["extends"]}]
    return json.dumps(found, indent=2, ensure_ascii=False)
