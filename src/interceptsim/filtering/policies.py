"""The compiled blocking policies as users declare them: parameters in units, checked, one class a rule.

A policy has a `kind`, an `id`, `enabled`, and a `compile(builder)` that adds its operation to a plan; nothing else
is asked of one written elsewhere. Rules outside the kernels are in `outside`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, Self, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from interceptsim.attempts import CHANNELS, ENTRIES, INTERCEPT, LABEL, SCORE_ONE, link_id
from interceptsim.filtering import kernels
from interceptsim.numbering import parse_number, parse_prefix, read_numbers
from interceptsim.randomness import stream_id, threshold
from interceptsim.units import HOUR_US, MINUTE_US, Count, Delay, Duration, Ratio

if TYPE_CHECKING:
    from interceptsim.filtering.plan import PlanBuilder

__all__ = [
    "ActingPolicy",
    "AllowListedNumbers",
    "FilterPolicy",
    "LabelSuspected",
    "LimitAttempts",
    "LimitFanOut",
    "RejectListedLinks",
    "RejectListedNumbers",
    "RejectNumberRanges",
    "RejectSpoofedOrigin",
    "ScoreReputation",
    "ScoreText",
    "Threshold",
    "kind_of",
]

Channel = Literal["voice", "sms"]
Entry = Literal["international-gateway", "domestic-interconnect", "mobile-access", "a2p-account"]
Action = Literal["intercept", "label", "observe"]

_ACTIONS = {"intercept": INTERCEPT, "label": LABEL, "observe": kernels.OBSERVE}


@runtime_checkable
class FilterPolicy(Protocol):
    """What the compiler asks of a blocking policy."""

    @property
    def kind(self) -> str:
        """Which rule it is."""
        ...

    @property
    def id(self) -> str:
        """Its name in the chain."""
        ...

    @property
    def enabled(self) -> bool:
        """Whether it takes part."""
        ...

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

    def _place(self) -> tuple[int, int, int]:
        """Return the bit masks of the channels and of the entries, and the action."""
        action = getattr(self, "action", "intercept")
        return (
            sum(1 << CHANNELS.index(c) for c in set(self.channels)),
            sum(1 << ENTRIES.index(e) for e in set(self.entries)),
            _ACTIONS[action],
        )


class ActingPolicy(_Policy):
    """A policy whose interceptions may be turned into labels, or only be noted for other rules to weigh."""

    action: Action = "intercept"


def kind_of(policy: type[BaseModel]) -> str:
    """Return the kind that a class of policies is for."""
    [kind] = get_args(policy.model_fields["kind"].annotation)
    return str(kind)


class _OfNumbers(BaseModel):
    """A list of numbers: `numbers` as dialled, and those of a `file`, one a line, "#" beginning a comment."""

    numbers: tuple[str, ...] = ()
    file: str | None = None
    _array: NDArray[np.uint64] | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, numbers: NDArray[np.uint64], **values: Any) -> Self:
        """Return a policy whose list is an array of digits (uint64), in place of `numbers` and `file`."""
        policy = cls.model_validate({"kind": kind_of(cls), "numbers": ["110"], **values})
        policy._array = np.asarray(numbers, np.uint64)  # noqa: SLF001  its own class
        return policy

    def listed(self) -> NDArray[np.uint64]:
        """Return the numbers on the list from the start (uint64)."""
        if self._array is not None:
            return self._array
        written = np.array([parse_number(text)[0] for text in self.numbers], np.uint64)
        return written if self.file is None else np.concatenate([written, read_numbers(self.file)])

    @field_validator("numbers")
    @classmethod
    def _readable(cls, numbers: tuple[str, ...]) -> tuple[str, ...]:
        for text in numbers:
            parse_number(text)
        return numbers


class AllowListedNumbers(_OfNumbers, _Policy):
    """Let calls and messages from listed numbers pass, whatever other rules say.

    Carriers keep such lists for emergency services, banks and the warning numbers themselves. Restrict
    `entries`: from abroad, anybody can present a bank's number. `numbers` are written as dialled; `file` holds one a
    line. It costs a look-up an attempt.
    """

    kind: Literal["allow-listed-numbers"]

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.numbers and self.file is None:
            raise ValueError("wanted 'numbers' or a 'file' of them")
        return self

    def compile(self, builder: PlanBuilder) -> None:
        """Add one list operation."""
        arguments = builder.number_list(self.listed())
        builder.add(kernels.ALLOW_LISTED, *self._place(), arguments=arguments)


class RejectListedNumbers(_OfNumbers, ActingPolicy):
    """Intercept what comes from numbers on the list of known fraud numbers.

    With `feed = "police"` the list is fed by what police hand over: it is published every `publish_every`, reaches
    the carriers `delay` later, and an entry is taken off `expires_after` that, if given. Who is listed wrongly
    complains at the first call that is intercepted, and is taken off `unblock` later; so is a share `unblocked_ratio`
    of fraudsters' numbers, `unblock` after they were listed, since they complain, too. With `feed = "none"` it holds
    only `numbers` and those of a `file`, from the start. `carriers` names those that use the list (all, where
    empty); `adoption_ratio` is the share of their subscribers that it protects; which, is a fixed function of the
    called number. It costs a look-up an attempt, and a word of state a number, two where numbers are unblocked.
    """

    kind: Literal["reject-listed-numbers"]
    feed: Literal["police", "none"] = "police"
    delay: Delay = Delay.model_validate("2h")
    publish_every: Duration = HOUR_US
    expires_after: Duration | None = None
    unblock: Delay = Delay.model_validate({"minimum": "1d", "mean": "2d"})
    unblocked_ratio: Ratio = 0.0
    carriers: tuple[str, ...] = ()
    adoption_ratio: Ratio = 1.0

    @field_validator("publish_every")
    @classmethod
    def _some_time(cls, every: int) -> int:
        if every < MINUTE_US:
            raise ValueError("a list is published every minute ('1min') at the most")
        return every

    def compile(self, builder: PlanBuilder) -> None:
        """Add one list operation, with words of state for the times from and to which a number is listed."""
        fed = self.feed == "police"
        unblocks = fed and self.unblocked_ratio > 0
        expiry = int(kernels.NO_LIMIT) if self.expires_after is None else self.expires_after
        if fed:
            builder.read("time_us")
        if self.carriers or self.adoption_ratio < 1:
            builder.read("b_number", "b_carrier")
        builder.add(
            kernels.REJECT_LISTED,
            *self._place(),
            arguments=[
                *builder.number_list(self.listed()),
                threshold(self.adoption_ratio),
                stream_id(f"adoption/{self.id}"),
                expiry,
                *builder.carrier_bits(self.carriers),
                int(fed),
                int(unblocks),
            ],
            words=int(fed) + int(unblocks),
        )


class RejectSpoofedOrigin(ActingPolicy):
    """Intercept what enters at an international gateway under a domestic number or short code.

    Subscribers who roam abroad are let through, since their home network vouches for them. It costs a
    look at the signalling and no list.
    """

    kind: Literal["reject-spoofed-origin"]

    def compile(self, builder: PlanBuilder) -> None:
        """Add one stateless operation."""
        builder.read("a_kind")
        builder.add(kernels.REJECT_SPOOFED, *self._place())


class RejectNumberRanges(ActingPolicy):
    """Intercept, label or spare numbers by their leading digits; the longest prefix that fits decides.

    `intercept`, `label` and `spare` hold prefixes in E.164 ("+95", "+86170") or of short codes ("1069"). Carriers
    hold back ranges that were never given out, premium-rate ranges, and number series that rent to fraudsters. It
    costs a few comparisons however many prefixes there are.
    """

    kind: Literal["reject-number-ranges"]
    intercept: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        prefixes = [parse_prefix(text) for text in (*self.intercept, *self.label, *self.spare)]
        if not prefixes:
            raise ValueError("wanted prefixes under 'intercept' or 'label'")
        twice = [p for p in prefixes if prefixes.count(p) > 1] if len(prefixes) != len(set(prefixes)) else []
        if twice:
            raise ValueError(f"prefix {twice[0]!r} is given twice")
        return self

    def by_prefix(self) -> dict[str, int]:
        """Return what is said of the numbers of each prefix (a string of digits)."""
        said = ((self.intercept, INTERCEPT), (self.label, LABEL), (self.spare, 0))
        return {parse_prefix(text): code for texts, code in said for text in texts}

    def compile(self, builder: PlanBuilder) -> None:
        """Add one stateless operation over a table of bounds."""
        builder.add(kernels.REJECT_RANGES, *self._place(), arguments=builder.range_table(self.by_prefix()))


class Threshold(BaseModel):
    """Counts within a window beyond which an attempt is labelled (`warn`) or intercepted (`critical`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    warn: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    critical: Annotated[int, Field(ge=0, le=1_000_000)] | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.warn is None and self.critical is None:
            raise ValueError("wanted 'warn', 'critical' or both")
        return self

    @property
    def bounds(self) -> list[int]:
        """Warn and critical counts, NO_LIMIT where there is none."""
        return [int(kernels.NO_LIMIT) if n is None else n for n in (self.warn, self.critical)]


class LimitAttempts(ActingPolicy):
    """Label or intercept attempts of a number beyond so many in a minute, an hour or a day.

    With `window = "fixed"` counts begin anew at the full minute, hour and local midnight; with "leaky-bucket" each
    attempt fills a bucket that leaks steadily, the critical count (where there is none, the warning count) in each
    window, and the threshold is its level. All attempts of the presented number count, those intercepted by any rule
    too. It costs a word of state a number and window, two for a bucket.
    """

    kind: Literal["limit-attempts"]
    window: Literal["fixed", "leaky-bucket"] = "fixed"
    per_minute: Threshold | None = None
    per_hour: Threshold | None = None
    per_day: Threshold | None = None

    @model_validator(mode="after")
    def _some_window(self) -> Self:
        if not (self.per_minute or self.per_hour or self.per_day):
            raise ValueError("wanted at least one of 'per_minute', 'per_hour', 'per_day'")
        return self

    def compile(self, builder: PlanBuilder) -> None:
        """Add one operation with its words of state."""
        none = [int(kernels.NO_LIMIT)] * 2
        windows = (self.per_minute, self.per_hour, self.per_day)
        arguments = [bound for w in windows for bound in (w.bounds if w else none)]
        leaky = self.window == "leaky-bucket"
        words = sum(w is not None for w in windows) * (2 if leaky else 1)
        builder.read("time_us")
        builder.add(kernels.LIMIT_ATTEMPTS, *self._place(), arguments=[*arguments, int(leaky)], words=words)


class OutgoingShare(BaseModel):
    """Attempts made, over attempts made and received, at or above `critical` once `min_attempts` were made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_attempts: Count
    critical: Ratio


class ShortCalls(BaseModel):
    """Share of earlier answered calls that lasted less than `shorter_than`, at or above `critical`.

    It is judged once `min_answered` calls of the window have been answered and are over; a call counts as over when its
    number makes the next one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shorter_than: Duration
    min_answered: Count
    critical: Ratio


class LimitFanOut(ActingPolicy):
    """Label or intercept numbers that reach out to many, answer few, or talk only briefly, within an hour or a day.

    `distinct` limits how many different numbers are called. They are counted by a sketch that belongs to the rule: each
    called number sets one of `sketch_bits` bits, and a threshold of D is passed when more bits are set than D numbers
    are expected to set, sketch_bits * (1 - exp(-D / sketch_bits)) (linear counting; Whang, Vander-Zanden and Taylor,
    ACM TODS 15, 1990). `outgoing_share` needs the column `a_incoming`, `short_calls` need `answered` and
    `duration_us`. It costs a few words of state a number and one for each 64 bits.
    """

    kind: Literal["limit-fan-out"]
    per: Literal["hour", "day"] = "day"
    distinct: Threshold | None = None
    sketch_bits: Annotated[int, Field(ge=64, le=16384, multiple_of=64)] = 512
    outgoing_share: OutgoingShare | None = None
    short_calls: ShortCalls | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not (self.distinct or self.outgoing_share or self.short_calls):
            raise ValueError("wanted at least one of 'distinct', 'outgoing_share', 'short_calls'")
        for count in (self.distinct.warn, self.distinct.critical) if self.distinct else ():
            if count is not None and count > 2 * self.sketch_bits:
                raise ValueError(f"'sketch_bits' of {self.sketch_bits} tell up to {2 * self.sketch_bits} numbers apart")
        return self

    def bits_bounds(self) -> list[int]:
        """Return how many bits may be set before the rule warns and before it intercepts."""
        bounds = self.distinct.bounds if self.distinct else [int(kernels.NO_LIMIT)] * 2
        m = self.sketch_bits
        return [n if n == kernels.NO_LIMIT else int(m * (1 - np.exp(-n / m))) for n in bounds]

    def compile(self, builder: PlanBuilder) -> None:
        """Add one operation with its sketch and counts."""
        none = int(kernels.NO_LIMIT)
        out, short = self.outgoing_share, self.short_calls
        builder.read("time_us", "b_number")
        if out:
            builder.read("a_incoming")
        if short:
            builder.read_earlier("answered", "duration_us")
        builder.add(
            kernels.LIMIT_FAN_OUT,
            *self._place(),
            arguments=[
                60 if self.per == "hour" else 1440,
                self.sketch_bits if self.distinct else 0,
                stream_id(f"fan-out/{self.id}"),
                *self.bits_bounds(),
                *((out.min_attempts, round(out.critical * SCORE_ONE)) if out else (none, 0)),
                *(
                    (short.min_answered, round(short.critical * SCORE_ONE), short.shorter_than)
                    if short
                    else (none, 0, 0)
                ),
            ],
            words=1 + (self.sketch_bits // 64 if self.distinct else 0) + (out is not None) + 3 * (short is not None),
        )


Score = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]


class _Scoring(ActingPolicy):
    """A policy that compares a score with `threshold`, from which it intercepts, and `label_from`."""

    threshold: Score
    label_from: Score | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.label_from is not None and self.label_from > self.threshold:
            raise ValueError("'label_from' lies at or below 'threshold'")
        return self

    def score_bounds(self) -> list[int]:
        """Return the fixed-point scores from which to label and from which to intercept."""
        label_from = self.threshold if self.label_from is None else self.label_from
        return [round(label_from * SCORE_ONE), round(self.threshold * SCORE_ONE)]


class ScoreText(_Scoring):
    """Intercept messages whose text scores at or above `threshold`; label those at or above `label_from`.

    The score itself, 1.0 being surely fraud, comes from a scorer ahead of the filter. It costs one comparison.
    """

    kind: Literal["score-text"]
    _supports: ClassVar[tuple[str, ...]] = ("sms",)

    def compile(self, builder: PlanBuilder) -> None:
        """Add one stateless operation that reads `text_score`."""
        builder.read("text_score")
        builder.add(kernels.SCORE_TEXT, *self._place(), arguments=self.score_bounds())


class RejectListedLinks(ActingPolicy):
    """Intercept messages that carry a listed link.

    `links` are hosts ("bank-update.example"); a message's link is the id of its host. It costs a look-up.
    """

    kind: Literal["reject-listed-links"]
    _supports: ClassVar[tuple[str, ...]] = ("sms",)
    links: Annotated[tuple[str, ...], Field(min_length=1)]
    _array: NDArray[np.uint64] | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, ids: NDArray[np.uint64], **values: Any) -> Self:
        """Return a policy whose list is an array of link ids (uint64)."""
        policy = cls.model_validate({"kind": "reject-listed-links", "links": ["array.invalid"], **values})
        policy._array = np.asarray(ids, np.uint64)  # noqa: SLF001  its own class
        return policy

    def listed(self) -> NDArray[np.uint64]:
        """Return the ids of the listed links (uint64)."""
        return np.array([link_id(link) for link in self.links], np.uint64) if self._array is None else self._array

    def compile(self, builder: PlanBuilder) -> None:
        """Add one list operation that reads `link`."""
        builder.read("link")
        builder.add(kernels.REJECT_LINKS, *self._place(), arguments=builder.number_list(self.listed()))


class ScoreReputation(_Scoring):
    """Add up symptoms: weights of earlier rules that matched and of the text's score; label or intercept by the sum.

    `weights` name rules that stand before this one by their ids; give those `action = "observe"` to have them only
    weighed. A rule that is switched off weighs nothing. The sum is the attempt's score. It costs a test a weight.
    """

    kind: Literal["score-reputation"]
    weights: dict[str, Score] = {}
    text_weight: Score = 0.0

    @model_validator(mode="after")
    def _weighs(self) -> Self:
        if not self.weights and not self.text_weight:
            raise ValueError("wanted 'weights' of earlier rules, or a 'text_weight'")
        return self

    def compile(self, builder: PlanBuilder) -> None:
        """Add one operation that reads what earlier rules said."""
        if self.text_weight:
            builder.read("text_score")
        weights = builder.weight_table({name: round(w * SCORE_ONE) for name, w in self.weights.items()})
        bounds = [round(self.text_weight * SCORE_ONE), *self.score_bounds()]
        builder.add(kernels.SCORE_REPUTATION, *self._place(), arguments=[*weights, *bounds])


class LabelSuspected(_Policy):
    """Label what at least so many of some earlier rules matched, for the screen of the called party.

    `when` names rules that stand before this one. It costs a test.
    """

    kind: Literal["label-suspected"]
    when: Annotated[tuple[str, ...], Field(min_length=1)]
    at_least: Count = 1

    def compile(self, builder: PlanBuilder) -> None:
        """Add one operation that reads what earlier rules said."""
        positions = (builder.position(name) for name in self.when)
        bits = sum(1 << p for p in positions if p is not None)
        signed = bits - (1 << 64) if bits >> 63 else bits
        builder.add(kernels.LABEL_SUSPECTED, *self._place(), arguments=[signed, self.at_least])
