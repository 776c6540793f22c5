"""How fraudsters react to what becomes of their own attempts: small plug-ins with parameters.

Each acts on lines that own their numbers, and sees nothing but what its own line sees: whether its attempts were
intercepted (the call fails at once) or answered. What a line would try is the same under every policy and every
adaptation; they change which number it shows, where it comes in, whom it calls next, which attempts it makes, and
whether as calls or as messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Discriminator, Field, model_validator

from interceptsim.attempts import ENTRIES
from interceptsim.randomness import threshold
from interceptsim.traffic.model import Entry, LineGroup, Name, TextScores
from interceptsim.units import Duration, Ratio

__all__ = [
    "Adaptation",
    "CallAgain",
    "MoveToMessages",
    "RotateNumbers",
    "SlowDown",
    "SpreadEntries",
    "acts_on",
    "messages_of",
]


class _Adaptation(BaseModel):
    """What all have: an `id` (their kind, unless given), whether they are `enabled`, and `lines` (all, if empty)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    id: Name = ""
    enabled: bool = True
    lines: tuple[Name, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: object) -> object:
        return {"id": given.get("kind"), **given} if isinstance(given, dict) else given


class RotateNumbers(_Adaptation):
    """A line throws a number away when fewer than `least_answered` of its last `window` attempts were answered."""

    kind: Literal["rotate-numbers"]
    window: Annotated[int, Field(ge=1, le=64)] = 12
    least_answered: Annotated[int, Field(ge=1, le=64)] = 1

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.least_answered > self.window:
            raise ValueError("'least_answered' is more than the attempts in 'window'")
        return self

    def compile(self, group: np.void) -> None:
        """Write the parameters into a group of lines."""
        group["rotate_window"], group["rotate_least"] = self.window, self.least_answered


class SlowDown(_Adaptation):
    """After an interception a line makes only the share `keep_ratio` of its attempts, as long as it `lasts`."""

    kind: Literal["slow-down"]
    keep_ratio: Ratio = 0.33
    lasts: Duration

    def compile(self, group: np.void) -> None:
        """Write the parameters into a group of lines."""
        group["slow_us"], group["keep_bound"] = self.lasts, threshold(self.keep_ratio)


class SpreadEntries(_Adaptation):
    """After an interception a line comes in by the next of `entries`, in turn."""

    kind: Literal["spread-entries"]
    entries: Annotated[tuple[Entry, ...], Field(min_length=1, max_length=4)]

    def compile(self, group: np.void) -> None:
        """Write the parameters into a group of lines."""
        group["entries"] = len(self.entries)
        for place, entry in enumerate(self.entries):
            group["entry_list"][place] = ENTRIES.index(entry)


class CallAgain(_Adaptation):
    """After a share `ratio` of interceptions a line takes a fresh number and tries the same person again."""

    kind: Literal["call-again"]
    ratio: Ratio = 0.3

    def compile(self, group: np.void) -> None:
        """Write the parameters into a group of lines."""
        group["again_bound"] = threshold(self.ratio)


class MoveToMessages(_Adaptation):
    """After `after` intercepted calls in a row a line sends messages to those it would call, as long as it `lasts`.

    Each latent attempt of such a line may be a call or a message, and at most one of the two is made. Messages say what
    `text` tells, and are counted as those of a group of their own, whose id ends in "-messages".
    """

    kind: Literal["move-to-messages"]
    after: Annotated[int, Field(ge=1, le=1000)] = 3
    lasts: Duration
    text: TextScores

    def compile(self, group: np.void) -> None:
        """Write the parameters into a group of lines."""
        group["move_after"], group["move_us"] = self.after, self.lasts


Adaptation = Annotated[RotateNumbers | SlowDown | SpreadEntries | CallAgain | MoveToMessages, Discriminator("kind")]


def messages_of(spec: LineGroup, adaptations: Iterable[Adaptation]) -> LineGroup | None:
    """Return as which group the messages of a group of calls are counted, None where its lines only call."""
    for adaptation in adaptations:
        if isinstance(adaptation, MoveToMessages) and acts_on(adaptation, spec):
            changes = {"id": f"{spec.id}-messages", "channel": "sms", "text": adaptation.text}
            return spec.model_copy(update=changes)
    return None


def acts_on(adaptation: Adaptation, spec: LineGroup) -> bool:
    """Whether lines of a group adapt so: lines that own their numbers, and move to messages only from calls."""
    able = spec.cli == "own" and (spec.channel == "voice" or not isinstance(adaptation, MoveToMessages))
    return able and adaptation.enabled and spec.id in (adaptation.lines or (spec.id,))
