"""The blocking policies as users declare them: parameters in units, checked, one class a rule.

A policy is any pydantic model with a `kind`, an `id`, `enabled` and a `compile(builder)` that adds its
operation to a plan. `POLICIES` is the ordered registry of kinds; `AnyPolicy` is the type of an entry in a
scenario, read by its `kind`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, Self, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, field_validator, model_validator
from pydantic_core import PydanticCustomError, core_schema

from interceptsim.attempts import CHANNELS, ENTRIES, SCORE_ONE
from interceptsim.errors import nearest_name
from interceptsim.filtering import kernels
from interceptsim.numbering import parse_number
from interceptsim.randomness import stream_id, threshold
from interceptsim.units import HOUR_US, MINUTE_US, Delay, Duration, Ratio

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

    from interceptsim.filtering.plan import PlanBuilder

__all__ = [
    "POLICIES",
    "AllowListedNumbers",
    "AnyPolicy",
    "FilterPolicy",
    "LimitAttempts",
    "RejectListedNumbers",
    "RejectSpoofedOrigin",
    "ScoreText",
    "Threshold",
]

Channel = Literal["voice", "sms"]
Entry = Literal["international-gateway", "domestic-interconnect", "mobile-access", "a2p-account"]


@runtime_checkable
class FilterPolicy(Protocol):
    """What the compiler asks of a blocking policy."""

    kind: str
    id: str
    enabled: bool

    def compile(self, builder: PlanBuilder) -> None:
        """Add this policy's operation to the plan."""
        ...


class _Policy(BaseModel):
    """What all blocking policies share.

    `id` names the entry (its kind unless two share it); a policy with `enabled = false` is left out of the
    plan; it acts on attempts of its `channels` that come in by its `entries`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    _supports: ClassVar[tuple[str, ...]] = CHANNELS

    kind: str
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)] = ""
    enabled: bool = True
    channels: Annotated[tuple[Channel, ...], Field(min_length=1)] = ("voice", "sms")
    entries: Annotated[tuple[Entry, ...], Field(min_length=1)] = (
        "international-gateway",
        "domestic-interconnect",
        "mobile-access",
        "a2p-account",
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {"id": given.get("kind"), "channels": list(cls._supports), **given}

    @field_validator("channels")
    @classmethod
    def _supported(cls, channels: tuple[str, ...]) -> tuple[str, ...]:
        for channel in channels:
            if channel not in cls._supports:
                raise ValueError(f"this rule works on {' and '.join(cls._supports)}, not on {channel!r}")
        return channels

    def _place(self) -> tuple[int, int]:
        """Return the bit masks of the channels and of the entries."""
        return (
            sum(1 << CHANNELS.index(c) for c in set(self.channels)),
            sum(1 << ENTRIES.index(e) for e in set(self.entries)),
        )


def _numbers(texts: tuple[str, ...]) -> list[int]:
    return [parse_number(text)[0] for text in texts]


class AllowListedNumbers(_Policy):
    """Let calls and messages from listed numbers pass, whatever other rules say.

    Carriers keep such lists for emergency services, banks and the warning numbers themselves. Restrict
    `entries`: from abroad, anybody can present a bank's number. `numbers` are written as dialled.
    """

    kind: Literal["allow-listed-numbers"]
    numbers: Annotated[tuple[str, ...], Field(min_length=1)]

    @field_validator("numbers")
    @classmethod
    def _readable(cls, numbers: tuple[str, ...]) -> tuple[str, ...]:
        _numbers(numbers)
        return numbers

    def compile(self, builder: PlanBuilder) -> None:
        """Add one list operation."""
        builder.add(kernels.ALLOW_LISTED, *self._place(), arguments=builder.number_list(_numbers(self.numbers)))


class RejectListedNumbers(_Policy):
    """Intercept what comes from numbers on the list of known fraud numbers.

    Police hand numbers over; the list is published every `publish_every` and reaches the carriers `delay`
    later. `adoption_ratio` is the share of subscribers whose carrier consults the list; whose, is a fixed
    function of the called number. `numbers` are listed from the start.
    """

    kind: Literal["reject-listed-numbers"]
    numbers: tuple[str, ...] = ()
    delay: Delay = Delay.model_validate("2h")
    publish_every: Duration = HOUR_US
    adoption_ratio: Ratio = 1.0

    @field_validator("numbers")
    @classmethod
    def _readable(cls, numbers: tuple[str, ...]) -> tuple[str, ...]:
        _numbers(numbers)
        return numbers

    @field_validator("publish_every")
    @classmethod
    def _some_time(cls, every: int) -> int:
        if every < MINUTE_US:
            raise ValueError("a list is published every minute ('1min') at the most")
        return every

    def compile(self, builder: PlanBuilder) -> None:
        """Add one list operation, with a word of state for the time from which a number is listed."""
        arguments = builder.number_list(_numbers(self.numbers))
        arguments += [threshold(self.adoption_ratio), stream_id(f"adoption/{self.id}")]
        builder.add(kernels.REJECT_LISTED, *self._place(), arguments=arguments, words=1)


class RejectSpoofedOrigin(_Policy):
    """Intercept what enters at an international gateway under a domestic number or short code.

    Subscribers who roam abroad are let through, since their home network vouches for them. It costs a
    look at the signalling and no list.
    """

    kind: Literal["reject-spoofed-origin"]

    def compile(self, builder: PlanBuilder) -> None:
        """Add one stateless operation."""
        builder.add(kernels.REJECT_SPOOFED, *self._place())


class Threshold(BaseModel):
    """Counts within a window beyond which an attempt is labelled (`warn`) or intercepted (`critical`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    warn: Annotated[int, Field(ge=0, lt=int(kernels.MAX_COUNT))] | None = None
    critical: Annotated[int, Field(ge=0, lt=int(kernels.MAX_COUNT))] | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.warn is None and self.critical is None:
            raise ValueError("wanted 'warn', 'critical' or both")
        return self

    @property
    def bounds(self) -> list[int]:
        """Warn and critical counts, NO_LIMIT where there is none."""
        return [int(kernels.NO_LIMIT) if n is None else n for n in (self.warn, self.critical)]


class LimitAttempts(_Policy):
    """Label or intercept attempts of a number beyond so many in a minute, an hour or a day.

    Windows are fixed ones of local time: they begin at the full minute, hour and midnight. All attempts of
    the presented number count, those intercepted by any rule too.
    """

    kind: Literal["limit-attempts"]
    per_minute: Threshold | None = None
    per_hour: Threshold | None = None
    per_day: Threshold | None = None

    @model_validator(mode="after")
    def _some_window(self) -> Self:
        if not (self.per_minute or self.per_hour or self.per_day):
            raise ValueError("wanted at least one of 'per_minute', 'per_hour', 'per_day'")
        return self

    def compile(self, builder: PlanBuilder) -> None:
        """Add one operation with a word of state a window."""
        none = [int(kernels.NO_LIMIT)] * 2
        windows = (self.per_minute, self.per_hour, self.per_day)
        arguments = [bound for w in windows for bound in (w.bounds if w else none)]
        builder.add(kernels.LIMIT_ATTEMPTS, *self._place(), arguments=arguments, words=3)


class ScoreText(_Policy):
    """Intercept messages whose text scores at or above `threshold`; label those at or above `label_from`.

    The score itself, 1.0 being surely fraud, comes from a scorer ahead of the filter.
    """

    kind: Literal["score-text"]
    _supports: ClassVar[tuple[str, ...]] = ("sms",)
    threshold: Annotated[float, Field(ge=-5, le=5)]
    label_from: Annotated[float, Field(ge=-5, le=5)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.label_from is not None and self.label_from > self.threshold:
            raise ValueError("'label_from' lies at or below 'threshold'")
        return self

    def compile(self, builder: PlanBuilder) -> None:
        """Add one stateless operation that reads `text_score`."""
        bounds = [self.threshold if self.label_from is None else self.label_from, self.threshold]
        builder.need("text_score", self.id)
        builder.add(kernels.SCORE_TEXT, *self._place(), arguments=[round(b * SCORE_ONE) for b in bounds])


POLICIES: dict[str, type[_Policy]] = {
    "allow-listed-numbers": AllowListedNumbers,
    "reject-listed-numbers": RejectListedNumbers,
    "reject-spoofed-origin": RejectSpoofedOrigin,
    "limit-attempts": LimitAttempts,
    "score-text": ScoreText,
}
"""Kind to class, in the order in which `interceptsim policies` lists them."""


class _ByKind:
    """Reads an entry by its `kind`; its JSON Schema offers every registered kind."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._read, serialization=core_schema.plain_serializer_function_ser_schema(cls._write)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        offered = (handler(policy.__pydantic_core_schema__) for policy in POLICIES.values())
        return {"oneOf": [handler.resolve_ref_schema(schema) for schema in offered]}

    @staticmethod
    def _read(given: Any) -> Any:
        if isinstance(given, tuple(POLICIES.values())):
            return given
        kind = given.get("kind") if isinstance(given, dict) else None
        if not isinstance(kind, str) or kind not in POLICIES:
            near = nearest_name(str(kind), POLICIES)
            wanted = "wanted a table with the 'kind' of a policy" if kind is None else "no such policy"
            hint = f"; did you mean {near!r}?" if near else ""
            raise PydanticCustomError("policy_kind", "{text}", {"text": f"{wanted}: {kind!r}{hint}"})
        return POLICIES[kind].model_validate(given)

    @staticmethod
    def _write(policy: BaseModel) -> Any:
        return policy.model_dump(mode="json", exclude_none=True)


AnyPolicy = Annotated[Any, _ByKind]
"""One entry of a chain, read by its `kind`."""
