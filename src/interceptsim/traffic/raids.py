"""What is done to fraudsters' supply, as lines feel it: raids take them away, rules make replacements slow.

A raid strikes a hub at a local midnight and takes a share of its lines. Some of these return after weeks, and then call
from another hub. Which do, when and where is drawn for each line and day, so that it is known from the start of a run
and adding a raid changes no other.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interceptsim.compiled import Column, Scalar, Table, kernel
from interceptsim.randomness import delay_us, draw, stream_id, threshold
from interceptsim.traffic.records import NEVER
from interceptsim.units import Delay

__all__ = ["Raid", "Restriction", "SupplyChanges", "places_of", "raid_lines"]


class Raid(NamedTuple):
    """A raid on a hub, `at_us` from the start of the run, the local midnight of `date`.

    A share `taken_ratio` of the lines that are there is taken away, of these a share `returning_ratio` returns to one
    of the hubs `elsewhere`, after `away`. A line is taken once at the most.
    """

    hub: str
    date: dt.date
    at_us: int
    taken_ratio: float
    returning_ratio: float
    elsewhere: tuple[str, ...]
    away: Delay


class Restriction(NamedTuple):
    """Numbers that die from `from_us` on, of the groups `lines` (all, if empty), take `slower` times to be replaced."""

    from_us: int
    slower: float
    lines: tuple[str, ...]


class SupplyChanges(NamedTuple):
    """What is done to supply in a run: raids in order of time, and restrictions."""

    raids: tuple[Raid, ...] = ()
    restrictions: tuple[Restriction, ...] = ()

    def raids_on(self, hub: str) -> tuple[Raid, ...]:
        """Return the raids on a hub, in order of time."""
        return tuple(raid for raid in self.raids if raid.hub == hub)


def places_of(hub: str, raids: Iterable[Raid]) -> tuple[str, ...]:
    """Return from where a hub's lines may call: the hub, then those to which raids on it make lines go."""
    return tuple(dict.fromkeys((hub, *(place for raid in raids for place in raid.elsewhere))))


def raid_lines(
    lines: np.ndarray, group_id: str, hub: str, raids: Iterable[Raid], types: int, key: NDArray[np.uint64]
) -> None:
    """Let raids take away lines of a group (records of `LINE`), and tell when and from where they are back.

    The group's rows of the daily accounts are `types` for each of its places.
    """
    on_it = list(raids)
    places = places_of(hub, on_it)
    for raid in on_it:
        steps = np.array([places.index(place) * types for place in raid.elsewhere], np.int64)
        returning = threshold(raid.returning_ratio) if len(steps) else 0
        name = stream_id(f"raid/{group_id}"), raid.date.toordinal()
        _take(lines, key, *name, raid.at_us, threshold(raid.taken_ratio), returning, *raid.away.law, steps)


@kernel
def _take(
    lines: Table,
    key: Column,
    stream: Scalar,
    day: Scalar,
    at_us: Scalar,
    taken_bound: Scalar,
    returning_bound: Scalar,
    kind: Scalar,
    minimum_us: Scalar,
    scale_us: Scalar,
    sigma: Scalar,
    steps: Column,
) -> None:
    """Take lines away at a time, and return some of them to places so many rows further on."""
    for i in range(lines.shape[0]):
        line = lines[i]
        taken, returns, where, how_long = draw(key[0], key[1], stream, line.index, day)
        if line.away_us != NEVER or taken >= taken_bound:
            continue
        line.away_us = at_us
        if returns < returning_bound:
            line.back_us = at_us + max(delay_us(how_long, kind, minimum_us, scale_us, sigma), 1)
            line.elsewhere = steps[np.int64(where * np.uint64(steps.shape[0]) >> np.uint64(32))]
