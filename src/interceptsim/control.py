"""The control plane: SimPy's clock, and the processes that decide when the data plane changes.

Both engines share it. It receives words of attempts, lets police work on them and people live, publishes lists,
measures the load of the network, and posts what follows through a `Port`. Its clock counts whole microseconds from the
start of the run; what happens at one microsecond happens in the order (kind, rank), never in the order of insertion.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Generator
from typing import Protocol

import numpy as np
import simpy
from numpy.typing import NDArray

from interceptsim.filtering.policies import RejectListedNumbers
from interceptsim.network.load import NetworkLoad
from interceptsim.response.plane import Reports, Response, ResponseTally
from interceptsim.response.police import hand_over_times
from interceptsim.response.publication import Publication
from interceptsim.response.records import NEVER
from interceptsim.response.wrongly_listed import WronglyListed
from interceptsim.scenario import Scenario
from interceptsim.world import Posting

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
        self._lists = [(policy, Publication(policy, key)) for policy in scenario.lists]
        self.handed_over = 0
        self.listed = {policy.id: 0 for policy in scenario.lists}
        for position, (policy, waiting) in enumerate(self._lists):
            self.env.process(self._publish(policy, waiting, position))
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
        else:
            self._await(*self._response.learn(words))

    def _await(self, words: np.ndarray, known_us: NDArray[np.int64], was_us: NDArray[np.int64]) -> None:
        """Let numbers wait until police know them, which was to be at `was_us` before, NEVER if it was not."""
        if len(words) == 0:
            return
        self.handed_over += int(np.count_nonzero(was_us == NEVER))
        for _, waiting in self._lists:
            waiting.wait(words, known_us, was_us)
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

    def _publish(
        self, policy: RejectListedNumbers, waiting: Publication, position: int
    ) -> Generator[simpy.Event, None, None]:
        """Publish a list at its interval: what police knew before then reaches the carriers after `delay`."""
        for edition in itertools.count(1):
            yield self.at(edition * policy.publish_every, PUBLICATION, position)
            now = int(self.env.now)
            found, known_us, from_us, until_us = waiting.publish(now)
            if len(found) == 0:
                continue
            if position == 0 and self.wrongly_listed is not None:
                self.wrongly_listed.hand_over(found, known_us)
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
