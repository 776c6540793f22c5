"""A desk as SimPy's textbook has it: agents who do one job at a time, the most urgent first, while the desk is open.

What happens at one microsecond happens in the order of the constants below: people stop, then pay, numbers are handed
over, people are reached, jobs come, desks begin them (the desks in their order).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import simpy

from interceptsim.units import DAY_US

STOPS, PAYS, HANDED_OVER, REACHED, COMES, BEGINS = range(6)

Process = Generator[simpy.Event, None, None]


class Clock(simpy.Environment):
    """SimPy's clock in whole microseconds, on which ties are settled by the kind of what happens."""

    def __init__(self) -> None:
        super().__init__(initial_time=0)

    def at(self, time_us: int, kind: int) -> simpy.Event:
        return self.ring(self.event(), time_us, kind)

    def ring(self, event: simpy.Event, time_us: int, kind: int) -> simpy.Event:
        event._ok, event._value = True, None
        self.schedule(event, priority=kind, delay=time_us - self.now)  # type: ignore[arg-type]
        return event

    def run_up_to(self, until_us: int) -> None:
        """Let all happen up to a time, included."""
        while self.peek() <= until_us:
            self.step()


@dataclass(order=True)
class Job:
    """The first of several is the first by tier, then by when it was ready, then by its id."""

    tier: int
    ready_us: int
    id: int
    patience_us: int = field(compare=False)
    tries: int = field(default=0, compare=False)
    whom: Any = field(default=None, compare=False)


@dataclass
class Desk:
    """`begins(job, now)` tells how long a job keeps the agent; `gives_up(job, now)` that it has waited too long."""

    clock: Clock
    agents: int
    opens_us: int
    closes_us: int
    begins: Callable[[Job, int], int]
    gives_up: Callable[[Job, int], None]
    comes: Callable[[Job, int], None] = lambda job, now: None
    rank: int = 0
    waiting: list[Job] = field(default_factory=list)
    idle: list[simpy.Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        for _ in range(self.agents):
            self.clock.process(self._agent())

    def send(self, job: Job) -> None:
        self.clock.process(self._come(job))

    def _come(self, job: Job) -> Process:
        yield self.clock.at(job.ready_us, COMES)
        heapq.heappush(self.waiting, job)
        self.comes(job, self.clock.now)
        if self.idle:
            self.clock.ring(self.idle.pop(), self.clock.now, BEGINS + self.rank)

    def _agent(self) -> Process:
        while True:
            now = self.clock.now
            midnight = now - now % DAY_US
            if now < midnight + self.opens_us:
                yield self.clock.at(midnight + self.opens_us, BEGINS + self.rank)
            elif now >= midnight + self.closes_us:
                yield self.clock.at(midnight + DAY_US + self.opens_us, BEGINS + self.rank)
            elif not self.waiting:
                self.idle.append(self.clock.event())
                yield self.idle[-1]
            else:
                job = heapq.heappop(self.waiting)
                if job.ready_us + job.patience_us < now:
                    self.gives_up(job, now)
                else:
                    yield self.clock.at(now + max(self.begins(job, now), 1), BEGINS + self.rank)
