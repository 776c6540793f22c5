"""The control plane: SimPy's clock, and the processes that decide when the data plane changes.

Both engines share it. It receives words of attempts, lets police work on them and people live, publishes lists,
measures the load of the network, and posts what follows through a `Port`. Its clock counts whole microseconds from the
start of the run; what happens at one microsecond happens in the order (kind, rank), never in the order of insertion.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import simpy
from numpy.typing import NDArray

from interceptsim.compiled import joined
from interceptsim.filtering.policies import RejectListedNumbers
from interceptsim.network.load import NetworkLoad
from interceptsim.randomness import DELAY_CONSTANT, LONGEST_US, stream_id, threshold
from interceptsim.response.plane import Reports, Response, ResponseTally
from interceptsim.response.police import WORD, by_edition, delays_of, drawn_below, hand_over_times
from interceptsim.response.records import NEVER
from interceptsim.response.wrongly_listed import WronglyListed
from interceptsim.results import Posting
from interceptsim.scenario import Scenario

__all__ = ["MEASUREMENT", "PUBLICATION", "RESPONSE", "ControlPlane", "Port"]

RESPONSE, PUBLICATION, MEASUREMENT = 1, 2, 3
"""The first kinds of events at one microsecond; SimPy's own go before, an engine's after."""

_RANKS = 96  # bits of an event's rank within its kind


class Port(Protocol):
    """What control may do to the data plane."""

    def post_listing(
        self,
        policy_id: str,
        line: NDArray[np.int64],
        generation: NDArray[np.int64],
        from_us: NDArray[np.int64],
        until_us: NDArray[np.int64],
    ) -> None:
        """List numbers for a rule from given times to others, in us from the start of the run."""
        ...

    def post_known(self, line: NDArray[np.int64], generation: NDArray[np.int64], known_us: NDArray[np.int64]) -> None:
        """Say when police hand over numbers, in us from the start of the run."""
        ...

    def reached(self, line: NDArray[np.int64], generation: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many people numbers in use reached, int64 (n, 3): all, before the hand-over, talked of those."""
        ...

    def take_measured(self) -> NDArray[np.int64]:
        """Return what came to the network since the last call, int64 (groups, 2): attempts, us of circuits wanted."""
        ...

    def post_network(self, lost: NDArray[np.uint64], lag_us: NDArray[np.int64], from_us: int) -> None:
        """Set each group's threshold for finding no circuit free and the us its messages take, from a time on."""
        ...


@dataclass
class _Desk:
    """What waits for the editions of one list: words of numbers, and when police know each.

    `edition` is the next to be published, `gone` what is to be left out of each, since police know it sooner.
    """

    policy: RejectListedNumbers
    edition: int = 1
    waiting: dict[int, list[tuple[np.ndarray, NDArray[np.int64]]]] = field(default_factory=dict)
    gone: dict[int, set[tuple[int, int, int]]] = field(default_factory=dict)

    def edition_of(self, known_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the edition that publishes what police know at given times: the first after them that is to come."""
        return np.maximum(known_us // self.policy.publish_every + 1, self.edition)

    def put(self, words: np.ndarray, known_us: NDArray[np.int64]) -> None:
        """Let words wait for their editions."""
        words, known_us, editions, ends = by_edition(words, known_us, self.edition_of(known_us))
        for edition, (first, end) in zip(editions.tolist(), itertools.pairwise([0, *ends.tolist()]), strict=True):
            part = words[first:end].copy(), known_us[first:end].copy()  # no other edition's words stay with them
            self.waiting.setdefault(edition, []).append(part)

    def drop(self, words: np.ndarray, known_us: NDArray[np.int64]) -> None:
        """Forget words that were to be known at given times."""
        entries = zip(words["line"].tolist(), words["generation"].tolist(), known_us.tolist(), strict=True)
        for edition, entry in zip(self.edition_of(known_us).tolist(), entries, strict=True):
            self.gone.setdefault(edition, set()).add(entry)

    def take(self) -> tuple[np.ndarray, NDArray[np.int64]]:
        """Take what waits for the next edition."""
        waiting, gone = self.waiting.pop(self.edition, []), self.gone.pop(self.edition, set())
        if not waiting:
            return np.zeros(0, WORD), np.zeros(0, np.int64)
        words, known_us = joined([part for part, _ in waiting]), np.concatenate([known for _, known in waiting])
        for line, generation, at_us in gone:
            stays = (words["line"] != line) | (words["generation"] != generation) | (known_us != at_us)
            words, known_us = words[stays], known_us[stays]
        return words, known_us


class ControlPlane:
    """Police, feeds and people on a SimPy clock.

    `receive` takes words of attempts as the data plane finds them, `run_until` moves the clock. `handed_over` and
    `listed` count numbers since `begin_counting`; `posted` is every posting, if `keep_posted` is set.
    """

    def __init__(
        self,
        scenario: Scenario,
        key: NDArray[np.uint64],
        port: Port,
        *,
        network: NetworkLoad | None = None,
        wrongly_listed: WronglyListed | None = None,
        response: Response | None = None,
        keep_posted: bool = False,
    ) -> None:
        self.env = simpy.Environment(initial_time=0)
        self.posted: list[Posting] = []
        self._keep_posted = keep_posted
        self._police = scenario.police
        self._key = key
        self._port = port
        self._desks = [_Desk(policy) for policy in scenario.lists]
        self.handed_over = 0
        self.listed = {policy.id: 0 for policy in scenario.lists}
        for position, desk in enumerate(self._desks):
            self.env.process(self._publish(desk, position))
        self.wrongly_listed = wrongly_listed
        self._response = response
        self._unserved: Callable[[], Reports | None] | None = None
        self._reports: Reports | None = None
        if response is not None:
            self.env.process(self._live(response))
        self._network = network
        if network is not None:
            self.env.process(self._measure(network))

    def receive(self, words: np.ndarray) -> None:
        """Give police and people words of attempts (`WORD` records); each starts its delay at once."""
        self._hear()
        if len(words) == 0:
            return
        if self._response is None:
            known_us = hand_over_times(self._police, words, self._key)
            self._await(words, known_us, np.full(len(words), NEVER))
            return
        known_us, was_us = self._response.learn(words)
        (new,) = (was_us >= 0).nonzero()
        if len(new):
            self._await(words[new], known_us[new], was_us[new])

    def _await(self, words: np.ndarray, known_us: NDArray[np.int64], was_us: NDArray[np.int64]) -> None:
        """Let numbers wait until police know them, which was to be at `was_us` before, NEVER if it was not."""
        (sooner,) = (was_us < NEVER).nonzero()
        self.handed_over += len(words) - len(sooner)
        for desk in self._desks:
            desk.put(words, known_us)
            if len(sooner):
                desk.drop(words[sooner], was_us[sooner])
        if self._response is not None:
            self._port.post_known(words["line"], words["generation"], known_us)

    def _live(self, response: Response) -> Generator[simpy.Event, None, None]:
        """Let people and desks live through one step after another, each when `serve` is called or has to be."""
        for step in itertools.count(1):
            yield self.at(step * response.every_us, RESPONSE)
            self._hear()
            now = int(self.env.now)
            over, counts = response.look(now, self._port.reached)
            self._unserved = functools.partial(response.advance, now, over, counts)

    def serve(self) -> None:
        """Let people and desks live through the step that has ended, if they have not yet.

        That reads nothing of the traffic, and what police hear of it holds later than a slice from now. So the data
        plane may decide the next slice meanwhile; whatever else is called here sees to it first.
        """
        if self._unserved is not None:
            self._reports = self._unserved()
            self._unserved = None

    def _hear(self) -> None:
        """Let police hear what victims reported in the step that has ended."""
        self.serve()
        if self._reports is not None:
            self._await(*self._reports)
            self._reports = None

    def finish(self) -> ResponseTally | None:
        """Return what was counted of people and desks when the run is over; None where there are none."""
        self._hear()
        return self._response.finish(int(self.env.now), self._port.reached) if self._response is not None else None

    def run_until(self, edge_us: int) -> None:
        """Let everything happen that is due up to `edge_us`, included."""
        while self.env.peek() <= edge_us:
            self.env.step()

    def begin_counting(self) -> None:
        """Forget what the warm-up counted."""
        self._hear()
        self.handed_over = 0
        self.listed = dict.fromkeys(self.listed, 0)
        if self.wrongly_listed is not None:
            self.wrongly_listed.begin_counting()
        if self._network is not None:
            self._network.begin_counting()

    def network_counts(self) -> dict[str, int]:
        """Return what was found of each element of the network, by metric."""
        return self._network.counts() if self._network is not None else {}

    def at(self, time_us: int, kind: int, rank: int = 0) -> simpy.Event:
        """Return an event at a time, after those of that microsecond that are less by (kind, rank)."""
        event = self.env.event()
        event._ok, event._value = True, None  # noqa: SLF001  triggered, as SimPy's own Timeout is
        priority = simpy.events.EventPriority(kind << _RANKS | rank)
        self.env.schedule(event, priority=priority, delay=time_us - self.env.now)
        return event

    def _publish(self, desk: _Desk, position: int) -> Generator[simpy.Event, None, None]:
        """Publish a list at its interval: what police knew before then reaches the carriers after `delay`."""
        policy = desk.policy
        salt = stream_id(f"delay/{policy.id}")
        for edition in itertools.count(1):
            desk.edition = edition
            yield self.at(edition * policy.publish_every, PUBLICATION, position)
            now = int(self.env.now)
            found, known_us = desk.take()
            if len(found) == 0:
                continue
            if position == 0 and self.wrongly_listed is not None:
                self.wrongly_listed.hand_over(found, known_us)
            delay = policy.delay
            if delay.law[0] == DELAY_CONSTANT:
                from_us = np.full(len(found), now + delay.minimum, np.int64)
            else:
                from_us = now + delays_of(found, self._key, salt, *delay.law)
            until_us = np.full(len(found), LONGEST_US, np.int64)
            if policy.unblocked_ratio > 0:
                bound = threshold(policy.unblocked_ratio)
                lets_go = drawn_below(found, self._key, stream_id(f"unblocked/{policy.id}"), bound)
                off_us = from_us + delays_of(found, self._key, stream_id(f"unblock/{policy.id}"), *policy.unblock.law)
                until_us = np.where(lets_go, off_us, until_us)
            self.listed[policy.id] += len(found)
            if self._keep_posted:
                self.posted.append(Posting(now, policy.id, found["line"], found["generation"], from_us))
            self._port.post_listing(policy.id, found["line"], found["generation"], from_us, until_us)

    def _measure(self, network: NetworkLoad) -> Generator[simpy.Event, None, None]:
        """Read at the end of each interval what was counted in it, and post what holds in the next."""
        for interval in itertools.count():
            yield self.at(interval * network.every_us, MEASUREMENT)
            if interval > 0:
                network.close(self._port.take_measured())
            self._port.post_network(*network.open(), int(self.env.now))
