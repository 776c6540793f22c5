"""The parameters of the network: trunk groups, message centres, their planned load, and who passes where.

Attempts pass the element that names their group of lines, else the one that names their entry; calls pass trunk
groups, messages message centres (SMSCs). What no element names passes freely.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from interceptsim.traffic.model import CallerGroup, Entry, LineGroup, Name, Profile
from interceptsim.units import DAY_US, HOUR_US, MINUTE_US, Duration, format_duration

__all__ = ["Element", "Network", "Planned", "Smsc", "TrunkGroup"]

Load = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Planned(_Part):
    """The load of ordinary traffic over the week, by the hour of local time.

    Written as 24 values from midnight, the same on all days, or as {peak = 1200, profile = "day"}: the busiest hour of
    that profile of the traffic carries the peak, the others their share of it.
    """

    hours: Annotated[tuple[Load, ...], Field(min_length=24, max_length=24)] | None = None
    peak: Load | None = None
    profile: Name | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, given: Any) -> Any:
        return {"hours": given} if isinstance(given, list | tuple) else given

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.peak is None) != (self.profile is None) or (self.hours is None) == (self.peak is None):
            raise ValueError("wanted 24 hourly values, or 'peak' and 'profile'")
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> Any:
        return {"peak": self.peak, "profile": self.profile} if self.hours is None else handler(self)["hours"]

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return a JSON Schema that admits both ways of writing: a list, or a table."""
        load = {"type": "number", "minimum": 0}
        hours = {"type": "array", "items": load, "minItems": 24, "maxItems": 24}
        return {"anyOf": [hours, dict(handler.resolve_ref_schema(handler(schema)))]}

    def week(self, profiles: Mapping[str, Profile]) -> list[float]:
        """Return the load of the 168 hours of a week from Monday's midnight."""
        if self.hours is not None:
            return list(self.hours) * 7
        assert self.peak is not None
        assert self.profile is not None
        profile = profiles[self.profile]
        weights = [hour * day for day in profile.days for hour in profile.hours]
        return [self.peak * weight / max(weights) for weight in weights]


class Element(_Part):
    """What passes here: groups of lines by their id, and whatever else of an entry no other element names."""

    id: Name
    entries: tuple[Entry, ...] = ()
    groups: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not self.entries and not self.groups:
            raise ValueError("wanted the 'entries' or the 'groups' of lines that pass here")
        return self


class TrunkGroup(Element):
    """Circuits between two places, one for each call from the moment it rings until it is released.

    `planned_erlangs` is the load of ordinary calls. Fraud comes on top of it, as measured; by Erlang's formula a share
    of all calls then finds no circuit free.
    """

    circuits: Annotated[int, Field(ge=1, le=100_000_000)]
    planned_erlangs: Planned


class Smsc(Element):
    """A message centre: it hands on `messages_per_s` at the most, and others wait.

    A message is delivered `least_delay` after it was sent where nothing waits. One that would come later than
    `validity` after it was sent expires, and is not in the way of others.
    """

    messages_per_s: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
    planned_messages_per_s: Planned
    validity: Duration = 2 * DAY_US
    least_delay: Duration = 0


class Network(_Part):
    """Trunk groups and message centres, and over which interval their load is measured.

    What is counted in one interval tells the loss and the delay of the next one. Intervals are parts of a local day.
    """

    measure_every: Duration = 15 * MINUTE_US
    trunk_groups: Annotated[tuple[TrunkGroup, ...], Field(max_length=200)] = ()
    smscs: Annotated[tuple[Smsc, ...], Field(max_length=200)] = ()

    @field_validator("measure_every")
    @classmethod
    def _divides_a_day(cls, every: int) -> int:
        if every < MINUTE_US or DAY_US % every:
            raise ValueError(f"wanted a part of a day, a minute or more, such as 15min, not {format_duration(every)}")
        return every

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for what, elements in (("trunk_groups", self.trunk_groups), ("smscs", self.smscs)):
            for of, names in (
                ("id", [e.id for e in elements]),
                ("entry", [entry for e in elements for entry in e.entries]),
                ("group", [group for e in elements for group in e.groups]),
            ):
                twice = [name for name, n in Counter(names).items() if n > 1]
                if twice:
                    raise ValueError(f"{what}: {of} {twice[0]!r} is named twice")
        return self

    def place_of(self, spec: LineGroup | CallerGroup) -> int | None:
        """Return the position of the trunk group (of calls) or SMSC (of messages) that a group of lines passes."""
        elements: Iterable[Element] = self.trunk_groups if spec.channel == "voice" else self.smscs
        named = [n for n, element in enumerate(elements) if spec.id in element.groups]
        return next(iter(named + [n for n, element in enumerate(elements) if spec.entry in element.entries]), None)

    def planned(self, week: list[float], interval: int) -> float:
        """Return the mean load over an interval, counted from a Monday's midnight, of loads by the hour of the week."""
        start, end = interval * self.measure_every, (interval + 1) * self.measure_every
        hours = range(start // HOUR_US, (end - 1) // HOUR_US + 1)
        parts = [(min(end, (h + 1) * HOUR_US) - max(start, h * HOUR_US)) * week[h % 168] for h in hours]
        return sum(parts) / self.measure_every
