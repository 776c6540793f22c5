"""The parameters of all traffic: fraudsters' hubs and groups of lines, ordinary callers, hours, and volumes.

A line is a place to call from: a dialler port, a SIM slot, an A2P account. Lines of a group are alike but
for their rate. What a line presents is a number; when the number dies the line falls silent until its
replacement is active.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from interceptsim.numbering import parse_number
from interceptsim.units import DAY_US, HOUR_US, Count, Delay, Duration, Ratio, Volume, format_duration

__all__ = [
    "Answering",
    "BusiestLines",
    "CallerGroup",
    "ChannelVolume",
    "CliPolicy",
    "Hub",
    "LineGroup",
    "Profile",
    "TextScores",
    "Traffic",
]

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)]
CliPolicy = Literal["own", "fixed", "random", "neighbour"]
Channel = Literal["voice", "sms"]
Entry = Literal["international-gateway", "domestic-interconnect", "mobile-access", "a2p-account"]
Weight = Annotated[int, Field(ge=0, le=1000)]
Incoming = Annotated[float, Field(ge=0, le=500)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Profile(_Part):
    """Activity over the week: weight of an hour = `hours[hour of day] * days[day of week]`, local time.

    `hours` are 24 whole numbers from midnight, `days` 7 from Monday; only their proportions matter.
    """

    id: Name
    hours: Annotated[tuple[Weight, ...], Field(min_length=24, max_length=24)]
    days: Annotated[tuple[Weight, ...], Field(min_length=7, max_length=7)] = (1, 1, 1, 1, 1, 1, 1)

    @model_validator(mode="after")
    def _not_silent(self) -> Self:
        if not any(self.hours) or not any(self.days):
            raise ValueError("a profile needs an hour and a day that are not silent")
        return self


class Hub(_Part):
    """A place that fraud is run from.

    `place` is its name, `country_code` the prefix of numbers it owns abroad, `fraud_types` the shares of
    its lines by fraud type, which sum to 1.
    """

    id: Name
    place: str
    country_code: Annotated[int, Field(ge=1, le=999)]
    fraud_types: dict[Name, Ratio]

    @field_validator("fraud_types")
    @classmethod
    def _whole(cls, shares: dict[str, float]) -> dict[str, float]:
        if abs(sum(shares.values()) - 1) > 1e-6:
            raise ValueError(f"the shares of fraud types sum to {sum(shares.values()):.6g}, not to 1")
        return shares


class TextScores(_Part):
    """How a text scorer rates a group's messages, 1.0 being surely fraud.

    A template's score is normal with `mean` and `deviation`; each message differs from its template by up
    to `jitter` either way. A fraudster's number uses one of `templates` templates of its campaign for life, an ordinary
    sender another for each message; a share `link_ratio` of templates carries a link of its own.
    """

    mean: Annotated[float, Field(ge=-1, le=2)]
    deviation: Annotated[float, Field(ge=0, le=1)]
    jitter: Annotated[float, Field(ge=0, le=1)]
    templates: Count = 5000
    link_ratio: Ratio = 0.6


class Answering(_Part):
    """What becomes of a call that is not intercepted.

    A share `failed_ratio` meets a busy or absent subscriber, a share `answer_ratio` is answered; the others ring out.
    `ring` is how long it rings, `talk` how long an answered call lasts. An on-screen label takes the share
    `label_effect` of the answers away.
    """

    answer_ratio: Ratio = 0.24
    failed_ratio: Ratio = 0.08
    label_effect: Ratio = 0.43
    ring: Delay = Delay.model_validate({"minimum": "3s", "mean": "12s"})
    talk: Delay = Delay.model_validate({"mean": "29s"})

    @model_validator(mode="after")
    def _at_most_all(self) -> Self:
        if self.answer_ratio + self.failed_ratio > 1:
            raise ValueError("'answer_ratio' and 'failed_ratio' sum to more than 1")
        return self


class LineGroup(_Part):
    """Lines that are alike: where they enter, what they present, how much they try, how long a number lasts.

    `share` is the group's part of its channel's latent volume; `attempts_per_day` a line's mean, around
    which lines differ by a lognormal factor of mean 1 and shape `rate_sigma`. `number_life` is how long a
    number is used if nothing stops it; `notice` how long after its listing the line goes on with it;
    `resupply` how long the line then waits for another number. `incoming_per_day` calls come back to a number.
    """

    id: Name
    hub: Name
    channel: Channel
    entry: Entry
    cli: CliPolicy = "own"
    presents: str | None = None
    roaming: bool = False
    share: Ratio
    profile: Name
    attempts_per_day: Annotated[float, Field(gt=0, le=1e6)]
    rate_sigma: Annotated[float, Field(ge=0, le=3)] = 0.0
    number_life: Delay
    notice: Delay
    resupply: Delay
    text: TextScores | None = None
    calls: Answering = Answering()
    incoming_per_day: Incoming = 0.3

    @field_validator("presents")
    @classmethod
    def _is_number(cls, presents: str | None) -> str | None:
        if presents is not None:
            parse_number(presents)
        return presents

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.cli == "fixed") != (self.presents is not None):
            raise ValueError("'presents' names the number of cli = 'fixed', and only of that")
        if (self.channel == "sms") != (self.text is not None):
            raise ValueError("messages need 'text' scores, calls have none")
        if self.entry == "a2p-account" and (self.channel != "sms" or self.cli != "own"):
            raise ValueError("an A2P account sends messages (channel = 'sms') under its own sender code")
        if self.number_life.mean_us < DAY_US / 24:
            raise ValueError("a number lives at least 1h in the mean")
        return self


class BusiestLines(_Part):
    """The lines of a group with the highest rates: of each of the `shares`, so many `samples` are simulated.

    Each share lies within the one before, and of it no more than its own sample is simulated.
    """

    shares: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(max_length=10)] = ()
    samples: tuple[Count, ...] = ()

    @model_validator(mode="after")
    def _within_each_other(self) -> Self:
        if len(self.shares) != len(self.samples):
            raise ValueError("wanted as many 'samples' as 'shares'")
        if any(later > 0.999 * share for share, later in pairwise(self.shares)):  # no rate can be told of less
            raise ValueError("'shares' fall from one to the next, by a thousandth at least")
        return self


class CallerGroup(_Part):
    """Ordinary callers that are alike, of whom a few are simulated: persons, couriers, call centres, senders.

    `lines` is how many there are in the whole country and `sample` how many are simulated, fewer in worlds coarser than
    1:1000, each for `panel` whole days of the period. The `busiest` are sampled apart, since rules that limit a number
    hit few others. A share `stranger_ratio` of a
    line's attempts goes to people it does not know, the others to its `contacts`, of whom some are called much more
    often than others. `country_code` is that of numbers from abroad. The rest is as in `LineGroup`.
    """

    hub: ClassVar[str] = ""
    cli: ClassVar[CliPolicy] = "own"
    presents: ClassVar[None] = None

    id: Name
    channel: Channel
    entry: Entry = "mobile-access"
    roaming: bool = False
    country_code: Annotated[int, Field(ge=1, le=999)] = 86
    lines: Annotated[int, Field(ge=1, le=2_000_000_000)]
    sample: Count
    busiest: BusiestLines = BusiestLines()
    panel: Duration = 7 * DAY_US
    profile: Name
    attempts_per_day: Annotated[float, Field(gt=0, le=1e6)]
    rate_sigma: Annotated[float, Field(ge=0, le=3)] = 0.0
    contacts: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    stranger_ratio: Ratio = 1.0
    incoming_per_day: Incoming = 0.0
    text: TextScores | None = None
    calls: Answering = Answering()

    @field_validator("panel")
    @classmethod
    def _whole_days(cls, panel: int) -> int:
        if panel % DAY_US or panel == 0:
            raise ValueError("a panel is a whole number of days")
        return panel

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.channel == "sms") != (self.text is not None):
            raise ValueError("messages need 'text' scores, calls have none")
        if self.contacts == 0 and self.stranger_ratio < 1:
            raise ValueError("without 'contacts' every attempt goes to a stranger: 'stranger_ratio' is 1")
        if self.busiest.shares and self.rate_sigma == 0:
            raise ValueError("no lines are the 'busiest' where 'rate_sigma' is 0 and all have one rate")
        return self


class ChannelVolume(_Part):
    """How many attempts fraudsters would make on a channel if no line ever fell silent."""

    latent: Volume


class Traffic(_Part):
    """All traffic: fraud's latent volumes by channel, the groups of lines they come from, ordinary callers, hours.

    `sample_ratio` scales every sample of ordinary callers: a larger one narrows their intervals and costs time.
    Attempts fall on whole multiples of `tick`, which divides an hour: with a coarse one many happen at once.
    """

    voice: ChannelVolume
    sms: ChannelVolume
    tick: Duration = 1
    profiles: Annotated[tuple[Profile, ...], Field(min_length=1, max_length=64)]
    lines: Annotated[tuple[LineGroup, ...], Field(min_length=1, max_length=500)]
    ordinary: Annotated[tuple[CallerGroup, ...], Field(max_length=100)] = ()
    sample_ratio: Annotated[float, Field(ge=0, le=1000)] = 1.0

    @field_validator("tick")
    @classmethod
    def _divides_an_hour(cls, tick: int) -> int:
        if tick < 1 or HOUR_US % tick:
            raise ValueError(f"wanted a part of an hour, such as 1us or 1s, not {format_duration(tick)}")
        return tick

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for what, ids in (
            ("profiles", [p.id for p in self.profiles]),
            ("lines", [g.id for g in self.lines] + [g.id for g in self.ordinary]),
        ):
            twice = [name for name, n in Counter(ids).items() if n > 1]
            if twice:
                raise ValueError(f"{what}: id {twice[0]!r} is used twice")
        for channel in ("voice", "sms"):
            volume = getattr(self, channel).latent
            total = sum(g.share for g in self.lines if g.channel == channel)
            if volume > 0 and abs(total - 1) > 1e-6:
                raise ValueError(f"the shares of the {channel} line groups sum to {total:.6g}, not to 1")
        return self
