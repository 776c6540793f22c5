"""The measured kind of state: what was counted in one interval tells the loss and delay of the next.

Plan and measurement are put together here, by vectors with an entry for each element or group of lines. Only
additions in a fixed order, products and quotients of IEEE doubles are used, so that every run finds the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from interceptsim.compiled import Column, Scalar, kernel
from interceptsim.network.erlang import erlang_b, loss_threshold
from interceptsim.network.model import Network
from interceptsim.randomness import LONGEST_US
from interceptsim.traffic.model import CallerGroup, LineGroup, Profile
from interceptsim.units import DAY_US, SECOND_US

__all__ = ["NetworkLoad", "validity_of"]

_NEVER_EXPIRES = 2**62


def validity_of(network: Network | None, specs: Sequence[LineGroup | CallerGroup]) -> NDArray[np.int64]:
    """Return after how many us a message of each group expires, int64 (groups,); beyond any run without an SMSC."""
    validity = np.full(len(specs), _NEVER_EXPIRES, np.int64)
    for g, spec in enumerate(specs):
        place = network.place_of(spec) if network and spec.channel == "sms" else None
        if network and place is not None:
            validity[g] = network.smscs[place].validity
    return validity


class _Flow:
    """Which groups pass which elements, how much each of their attempts stands for, and the plan of a week."""

    def __init__(
        self,
        channel: str,
        network: Network,
        specs: Sequence[LineGroup | CallerGroup],
        weights: NDArray[np.float64],
        plans: Sequence[list[float]],
    ) -> None:
        passes = [
            (g, place)
            for g, spec in enumerate(specs)
            if spec.channel == channel and (place := network.place_of(spec)) is not None
        ]
        self.groups = np.array([g for g, _ in passes], np.int64)
        self.place = np.array([place for _, place in passes], np.int64)
        # ordinary callers are in the plan, and a sample of them would be too few to measure
        fraud = np.array([isinstance(specs[g], LineGroup) for g in self.groups], np.bool_)
        self.weight = np.where(fraud, weights[self.groups], 0.0)
        intervals = range(7 * DAY_US // network.measure_every)
        self.week = np.array([[network.planned(plan, k) for plan in plans] for k in intervals])


# An interval has a handful of elements: compiled loops over them cost a tenth of vectors.


@kernel
def _close_calls(
    every_us: Scalar,
    counted: Column,
    groups: Column,
    place: Column,
    weight: Column,
    plan: Column,
    loss: Column,
    circuits: Column,
    measured: Column,
    planned_s: Column,
    carried_s: Column,
    busiest: Column,
) -> None:
    """Measure an interval's Erlangs by element; add what was planned and carried, and keep the most carried."""
    measured[:] = 0.0
    for k in range(groups.shape[0]):
        measured[place[k]] += counted[groups[k], 1] * weight[k]
    seconds = every_us / SECOND_US
    for k in range(plan.shape[0]):
        measured[k] /= every_us
        carried = min((plan[k] + measured[k]) * (1.0 - loss[k]), np.float64(circuits[k]))
        carried_s[k] += np.int64(np.rint(carried * seconds))
        busiest[k] = max(busiest[k], np.int64(np.rint(carried * 1000.0)))
        planned_s[k] += np.int64(np.rint(plan[k] * seconds))


@kernel
def _close_messages(
    every_us: Scalar,
    counted: Column,
    groups: Column,
    place: Column,
    weight: Column,
    plan: Column,
    rate: Column,
    lag: Column,
    validity: Column,
    came: Column,
    backlog: Column,
    waited: Column,
    longest: Column,
) -> None:
    """Let what came in an interval, and was not told to wait for too long, join what waits."""
    came[:] = 0.0
    for k in range(groups.shape[0]):
        came[place[k]] += counted[groups[k], 0] * weight[k]
    seconds = every_us / SECOND_US
    for k in range(plan.shape[0]):
        waited[k] += lag[k]
        longest[k] = max(longest[k], lag[k])
        joins = plan[k] * seconds + came[k] if lag[k] <= validity[k] else 0.0
        backlog[k] = max(backlog[k] + joins - rate[k] * seconds, 0.0)


@kernel
def _open_calls(
    plan: Column, measured: Column, circuits: Column, loss: Column, groups: Column, place: Column, lost_of: Column
) -> None:
    """Find the loss of each element where what is planned and was measured is offered, and what that is for groups."""
    for k in range(plan.shape[0]):
        loss[k] = erlang_b(circuits[k], plan[k] + measured[k])
    for k in range(groups.shape[0]):
        lost_of[groups[k]] = loss_threshold(loss[place[k]])


@kernel
def _open_messages(
    backlog: Column, rate: Column, least: Column, lag: Column, groups: Column, place: Column, lag_of: Column
) -> None:
    """Find how long a message takes by each element, and what that is for groups."""
    for k in range(lag.shape[0]):
        lag[k] = least[k] + np.int64(min(backlog[k] / rate[k] * SECOND_US, np.float64(LONGEST_US)))
    for k in range(groups.shape[0]):
        lag_of[groups[k]] = lag[place[k]]


class NetworkLoad:
    """Load, loss and delay of every element, interval after interval.

    `close` takes what was counted in the interval that ends, `open` gives what holds in the one that begins. `counts`
    tells, by element, what was found since `begin_counting`: integers at the full size of the network.
    """

    def __init__(
        self,
        network: Network,
        specs: Sequence[LineGroup | CallerGroup],
        weights: NDArray[np.float64],
        profiles: Mapping[str, Profile],
        first_weekday: int,
    ) -> None:
        trunks, smscs = network.trunk_groups, network.smscs
        self.every_us = network.measure_every
        self._network = network
        self._calls = _Flow("voice", network, specs, weights, [t.planned_erlangs.week(profiles) for t in trunks])
        self._messages = _Flow("sms", network, specs, weights, [s.planned_messages_per_s.week(profiles) for s in smscs])
        self._first = first_weekday * DAY_US // self.every_us
        self._interval = -1
        self._circuits = np.array([t.circuits for t in trunks], np.int64)
        self._rate = np.array([s.messages_per_s for s in smscs])
        self._least = np.array([s.least_delay for s in smscs], np.int64)
        self._validity = np.array([s.validity for s in smscs], np.int64)
        self._measured = np.zeros(len(trunks))
        self._loss = np.zeros(len(trunks))
        self._came = np.zeros(len(smscs))
        self._backlog = np.zeros(len(smscs))
        self._lag = self._least.copy()
        self._lost_of = np.zeros(len(specs), np.uint64)
        self._lag_of = np.zeros(len(specs), np.int64)
        self.begin_counting()

    def begin_counting(self) -> None:
        """Forget what the warm-up found; what waits goes on waiting."""
        self._planned = np.zeros(len(self._circuits), np.int64)
        self._carried = np.zeros(len(self._circuits), np.int64)
        self._busiest = np.zeros(len(self._circuits), np.int64)
        self._waited = np.zeros(len(self._rate), np.int64)
        self._longest = np.zeros(len(self._rate), np.int64)

    def _plan(self, flow: _Flow) -> NDArray[np.float64]:
        """Return the planned load of the interval at hand, float64 (elements,)."""
        return flow.week[(self._first + self._interval) % len(flow.week)]

    def close(self, counted: NDArray[np.int64]) -> None:
        """Take what was counted in the interval that ends: int64 (groups, 2).

        Column 0 is of attempts that came to the network, column 1 the us for which they held a circuit, or would have
        held one that was not free.
        """
        calls, messages, every_us = self._calls, self._messages, self.every_us
        _close_calls(
            every_us,
            counted,
            calls.groups,
            calls.place,
            calls.weight,
            self._plan(calls),
            self._loss,
            self._circuits,
            self._measured,
            self._planned,
            self._carried,
            self._busiest,
        )
        _close_messages(
            every_us,
            counted,
            messages.groups,
            messages.place,
            messages.weight,
            self._plan(messages),
            self._rate,
            self._lag,
            self._validity,
            self._came,
            self._backlog,
            self._waited,
            self._longest,
        )

    def open(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Begin the next interval; return for each group of lines what holds in it.

        Return the draws of 32 bits below which a call finds no circuit free (uint64), and how many us a message takes
        (int64), each (groups,). Calls are offered as planned for this interval and measured in the one before.
        """
        self._interval += 1
        calls, messages = self._calls, self._messages
        of_calls = self._plan(calls), self._measured, self._circuits, self._loss
        _open_calls(*of_calls, calls.groups, calls.place, self._lost_of)
        of_messages = self._backlog, self._rate, self._least, self._lag
        _open_messages(*of_messages, messages.groups, messages.place, self._lag_of)
        return self._lost_of, self._lag_of

    def counts(self) -> dict[str, int]:
        """Return, by element, its load in Erlang seconds, and its delay in us summed over intervals."""
        found: dict[str, int] = {}
        for k, trunk in enumerate(self._network.trunk_groups):
            found[f"trunk {trunk.id}.planned load (erlang s)"] = int(self._planned[k])
            found[f"trunk {trunk.id}.carried load (erlang s)"] = int(self._carried[k])
            found[f"trunk {trunk.id}.busiest load (milli-erlangs)"] = int(self._busiest[k])
        for k, smsc in enumerate(self._network.smscs):
            found[f"smsc {smsc.id}.delay over all intervals (us)"] = int(self._waited[k])
            found[f"smsc {smsc.id}.longest delay (us)"] = int(self._longest[k])
        return found
