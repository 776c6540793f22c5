"""What the naive response draws and writes down: people and numbers, keyed draws, and counts of each measure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from interceptsim.randomness import delay_us, draw, mix64, poisson, threshold
from interceptsim.response.records import DESKS, MEASURES
from interceptsim.units import DAY_US, Delay

LN2 = 0.6931471805599453
LOW = 2**32 - 1
GOLDEN = 0x9E3779B97F4A7C15
CALL, VISIT, FREEZE = range(3)
NEVER = 2**62


def mixed(value: int) -> int:
    return int(mix64(np.uint64(value)))


def drawn(delay: Delay, word: int) -> int:
    return int(delay_us(word, *delay.law))


def choice(word: int, shares: list[float]) -> int:
    """Which of several comes of a draw, each with its share."""
    ends = np.cumsum(shares) / np.sum(shares)
    return next((k for k, end in enumerate(ends[:-1]) if word < threshold(min(float(end), 1.0))), len(shares) - 1)


@dataclass
class Number:
    line: int
    generation: int
    stream: int
    index: int
    group: int
    fold: int
    kind: int
    known_us: int = NEVER
    handed_over: bool = False
    given_up: tuple[int, int, int] | None = None  # whom it reached, before the hand-over, and talked to of those
    people: list[Person] = field(default_factory=list)


@dataclass(eq=False)
class Person:
    stream: int
    entity: int
    ordinal: int
    contact_us: int
    kind: int
    province: int
    age: int
    source: int
    fold: int
    number: Number | None
    each_fen: int
    grooming_us: int
    engaged: bool = True
    warned_us: int = NEVER
    paid_us: list[int] = field(default_factory=list)

    @property
    def uid(self) -> int:
        return mixed(self.stream ^ mixed(self.entity ^ mixed(self.ordinal)))


@dataclass(eq=False)
class Other:
    """Somebody at no risk whom a number talked to."""

    kind: int
    province: int
    source: int
    fold: int


class Books:
    """The draws, and what is counted of what."""

    def __init__(self, people: Any, setting: Any) -> None:
        self.people, self.setting = people, setting
        self.key = tuple(setting.key)
        self.remembered = 0.0
        self.tally: Counter[tuple[int, ...]] = Counter()
        self.daily: Counter[tuple[int, ...]] = Counter()
        self.cells: Counter[tuple[int, ...]] = Counter()
        self.waits: Counter[tuple[int, ...]] = Counter()
        self.served: Counter[tuple[int, ...]] = Counter()

    def draw(self, stream: int, entity: int, ordinal: int) -> tuple[int, ...]:
        return tuple(int(word) for word in draw(*self.key, stream, entity, ordinal))

    def words(self, person: Person, which: int, salt: int = 0) -> tuple[int, ...]:
        return self.draw(person.stream ^ salt, person.entity, person.ordinal << 8 | which)

    def heeds(self, person: Person, word: int, ratio: float, weary: int) -> bool:
        """Whether a warning is heeded: less often for each false one that the person remembers."""
        ratio *= self.people.types[person.kind].heeding
        if self.people.fatigue > 0:
            for _ in range(int(poisson(weary, self.remembered))):
                ratio *= 1.0 - self.people.fatigue
        return word < ratio * 2**32

    def day(self, at_us: int) -> int | None:
        first = self.setting.warm_up_days
        return None if at_us < first * DAY_US else min(at_us // DAY_US - first, self.setting.days - 1)

    def count(self, what: str, at_us: int, of: Any, amount: int = 1, *, at_risk: bool = True) -> None:
        """Count something of a person, of somebody at no risk, or of a number."""
        day, measure = self.day(at_us), MEASURES.index(what)
        if day is None:
            return
        source = of.group if isinstance(of, Number) else of.source
        self.tally[of.fold, source, measure] += amount
        self.daily[day, of.kind, measure] += amount
        if isinstance(of, Person) and at_risk:
            start = self.setting.start
            months = (np.datetime64(start) + day).astype("datetime64[M]") - np.datetime64(start, "M")
            self.cells[months.astype(int), of.kind, of.province, of.age, measure] += amount

    def differences(self, ledger: Any) -> list[str]:
        """Tell in which counts a ledger of the compiled response is another."""
        found = []
        for name in ("tally", "daily", "cells", "served", "waits"):
            counted = getattr(ledger, name)
            own = np.zeros_like(counted)
            for at, amount in getattr(self, name).items():
                own[at] = amount
            for at in np.argwhere(own != counted).tolist():
                what = (
                    MEASURES[at[-1]]
                    if name in {"tally", "daily", "cells"}
                    else (DESKS[at[-2 if name == "waits" else 1]])
                )
                found.append(f"{name} {what} {at}: {counted[tuple(at)]}, wanted {own[tuple(at)]}")
        return found
