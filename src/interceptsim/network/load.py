"""The measured kind of state: what was counted in one interval tells the loss and delay of the next.

Plan and measurement are put together here, by vectors with an entry for each element or group of lines. Only
additions in a fixed order, products and quotients of IEEE doubles are used, so that every run finds the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from interceptsim.compiled import Column, Scalar, Table, kernel
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


_PASSES = np.dtype([("group", "i8"), ("place", "i8"), ("weight", "f8")], align=True)
"""A group of lines, the element that it passes, and how much each of its attempts stands for there."""

_TRUNKS = np.dtype(
    [
        ("circuits", "i8"),
        ("measured", "f8"),  # Erlangs of the interval before
        ("loss", "f8"),
        ("planned_s", "i8"),  # Erlang seconds, planned and carried
        ("carried_s", "i8"),
        ("busiest", "i8"),  # milli-Erlangs
    ],
    align=True,
)

_SMSCS = np.dtype(
    [
        ("rate", "f8"),  # messages a second
        ("least_us", "i8"),
        ("validity_us", "i8"),
        ("came", "f8"),
        ("backlog", "f8"),
        ("lag_us", "i8"),
        ("waited_us", "i8"),  # summed over intervals
        ("longest_us", "i8"),
    ],
    align=True,
)


def _passes(
    channel: str, network: Network, specs: Sequence[LineGroup | CallerGroup], weights: NDArray[np.float64]
) -> np.ndarray:
    """Return which groups of a channel pass which elements.

    Ordinary callers are in the plan, and a sample of them would be too few to measure: they weigh nothing.
    """
    there = [(g, network.place_of(spec)) for g, spec in enumerate(specs) if spec.channel == channel]
    weigh = [weights[g] if isinstance(spec, LineGroup) else 0.0 for g, spec in enumerate(specs)]
    return np.array([(g, place, weigh[g]) for g, place in there if place is not None], _PASSES)


def _week(network: Network, plans: Sequence[list[float]]) -> NDArray[np.float64]:
    """Return the plan of each interval of a week for each element, float64 (intervals, elements)."""
    intervals = range(7 * DAY_US // network.measure_every)
    return np.array([[network.planned(plan, k) for plan in plans] for k in intervals])


# An interval has a handful of elements: compiled loops over them cost a tenth of vectors.


@kernel
def _close(
    every_us: Scalar,
    counted: Column,
    calls: Table,
    trunks: Table,
    planned_calls: Column,
    messages: Table,
    smscs: Table,
    planned_messages: Column,
) -> None:
    """Measure an interval's Erlangs by trunk group, and add what was planned and carried.

    Let what came to an SMSC, and was not told to wait for too long, join what waits there.
    """
    seconds = every_us / SECOND_US
    for k in range(trunks.shape[0]):
        trunks[k].measured = 0.0
    for k in range(calls.shape[0]):
        trunks[calls[k].place].measured += counted[calls[k].group, 1] * calls[k].weight
    for k in range(trunks.shape[0]):
        trunk, plan = trunks[k], planned_calls[k]
        trunk.measured /= every_us
        carried = min((plan + trunk.measured) * (1.0 - trunk.loss), np.float64(trunk.circuits))
        trunk.carried_s += np.int64(np.rint(carried * seconds))
        trunk.busiest = max(trunk.busiest, np.int64(np.rint(carried * 1000.0)))
        trunk.planned_s += np.int64(np.rint(plan * seconds))
    for k in range(smscs.shape[0]):
        smscs[k].came = 0.0
    for k in range(messages.shape[0]):
        smscs[messages[k].place].came += counted[messages[k].group, 0] * messages[k].weight
    for k in range(smscs.shape[0]):
        smsc = smscs[k]
        smsc.waited_us += smsc.lag_us
        smsc.longest_us = max(smsc.longest_us, smsc.lag_us)
        joins = planned_messages[k] * seconds + smsc.came if smsc.lag_us <= smsc.validity_us else 0.0
        smsc.backlog = max(smsc.backlog + joins - smsc.rate * seconds, 0.0)


@kernel
def _open(
    calls: Table, trunks: Table, planned_calls: Column, messages: Table, smscs: Table, lost_of: Column, lag_of: Column
) -> None:
    """Find the loss of each trunk group where what is planned and was measured is offered, and each SMSC's delay."""
    for k in range(trunks.shape[0]):
        trunks[k].loss = erlang_b(trunks[k].circuits, planned_calls[k] + trunks[k].measured)
    for k in range(calls.shape[0]):
        lost_of[calls[k].group] = loss_threshold(trunks[calls[k].place].loss)
    for k in range(smscs.shape[0]):
        smsc = smscs[k]
        waits_us = min(smsc.backlog / smsc.rate * SECOND_US, np.float64(LONGEST_US))
        smsc.lag_us = smsc.least_us + np.int64(waits_us)
    for k in range(messages.shape[0]):
        lag_of[messages[k].group] = smscs[messages[k].place].lag_us


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
        self._calls, self._messages = (_passes(channel, network, specs, weights) for channel in ("voice", "sms"))
        self._planned_calls = _week(network, [t.planned_erlangs.week(profiles) for t in trunks])
        self._planned_messages = _week(network, [s.planned_messages_per_s.week(profiles) for s in smscs])
        self._first = first_weekday * DAY_US // self.every_us
        self._interval = -1
        self._trunks, self._smscs = np.zeros(len(trunks), _TRUNKS), np.zeros(len(smscs), _SMSCS)
        self._trunks["circuits"] = [t.circuits for t in trunks]
        self._smscs["rate"] = [s.messages_per_s for s in smscs]
        self._smscs["least_us"] = self._smscs["lag_us"] = [s.least_delay for s in smscs]
        self._smscs["validity_us"] = [s.validity for s in smscs]
        self._lost_of = np.zeros(len(specs), np.uint64)
        self._lag_of = np.zeros(len(specs), np.int64)

    def begin_counting(self) -> None:
        """Forget what the warm-up found; what waits goes on waiting."""
        for name in ("planned_s", "carried_s", "busiest"):
            self._trunks[name] = 0
        for name in ("waited_us", "longest_us"):
            self._smscs[name] = 0

    def _plan(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the plan of the interval at hand, Erlangs by trunk group and messages a second by SMSC, float64."""
        at = (self._first + self._interval) % len(self._planned_calls)
        return self._planned_calls[at], self._planned_messages[at]

    def close(self, counted: NDArray[np.int64]) -> None:
        """Take what was counted in the interval that ends: int64 (groups, 2).

        Column 0 is of attempts that came to the network, column 1 the us for which they held a circuit, or would have
        held one that was not free.
        """
        planned_calls, planned_messages = self._plan()
        of_calls, of_messages = (self._calls, self._trunks, planned_calls), (self._messages, self._smscs)
        _close(self.every_us, counted, *of_calls, *of_messages, planned_messages)

    def open(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Begin the next interval; return for each group of lines what holds in it.

        Return the draws of 32 bits below which a call finds no circuit free (uint64), and how many us a message takes
        (int64), each (groups,). Calls are offered as planned for this interval and measured in the one before.
        """
        self._interval += 1
        of_calls, of_messages = (self._calls, self._trunks, self._plan()[0]), (self._messages, self._smscs)
        _open(*of_calls, *of_messages, self._lost_of, self._lag_of)
        return self._lost_of, self._lag_of

    def counts(self) -> dict[str, int]:
        """Return, by element, its load in Erlang seconds, and its delay in us summed over intervals."""
        found: dict[str, int] = {}
        for k, trunk in enumerate(self._network.trunk_groups):
            found[f"trunk {trunk.id}.planned load (erlang s)"] = int(self._trunks["planned_s"][k])
            found[f"trunk {trunk.id}.carried load (erlang s)"] = int(self._trunks["carried_s"][k])
            found[f"trunk {trunk.id}.busiest load (milli-erlangs)"] = int(self._trunks["busiest"][k])
        for k, smsc in enumerate(self._network.smscs):
            found[f"smsc {smsc.id}.delay over all intervals (us)"] = int(self._smscs["waited_us"][k])
            found[f"smsc {smsc.id}.longest delay (us)"] = int(self._smscs["longest_us"][k])
        return found
