"""Builds the table of lines: how many of each group at a scale, their ids, hours and what they stand for.

At scale 1:N the world is smaller, not sparser: each group keeps one line in N (at least one) and the called
numbers are drawn among one subscriber in N. Which draws a line makes depends on its group's id and its
index in the group alone, so a line is the same line at every scale and whatever other groups there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interceptsim.attempts import CHANNELS, ENTRIES, SCORE_ONE, Truth
from interceptsim.numbering import INTERNATIONAL, NATIONAL, RANDOM_SERIALS, SHORT_CODE, parse_number
from interceptsim.randomness import stream_id, threshold
from interceptsim.traffic.kernels import (
    CLI_FIXED,
    CLI_NEIGHBOUR,
    CLI_OWN,
    CLI_RANDOM,
    GROUP,
    LINE,
    start_lines,
)
from interceptsim.traffic.model import Hub, LineGroup, Profile, Traffic
from interceptsim.units import HOUR_US, YEAR_DAYS

__all__ = ["FOLDS", "Calendar", "Population", "build_population"]

FOLDS = 50
"""Groups of lines that the jackknife leaves out in turn."""

_CLI = {"own": CLI_OWN, "random": CLI_RANDOM, "fixed": CLI_FIXED, "neighbour": CLI_NEIGHBOUR}


@dataclass(frozen=True)
class Calendar:
    """Operational time of each profile over a run.

    reached  int64 (profiles, hours + 1)  operational time at the start of each hour of the run
    weight   int64 (profiles, hours)      operational time per microsecond within each hour
    week     int64 (profiles,)            operational time of a whole week
    """

    reached: NDArray[np.int64]
    weight: NDArray[np.int64]
    week: NDArray[np.int64]

    @classmethod
    def build(cls, profiles: Iterable[Profile], first_weekday: int, hours: int) -> Calendar:
        """Lay out the profiles over `hours` hours from a local midnight of weekday 0 (Monday) to 6."""
        weeks = np.array([np.outer(p.days, p.hours).ravel() for p in profiles], np.int64)
        weight = np.ascontiguousarray(weeks[:, (first_weekday * 24 + np.arange(hours)) % 168])
        reached = np.zeros((len(weeks), hours + 1), np.int64)
        np.cumsum(weight * HOUR_US, axis=1, out=reached[:, 1:])
        return cls(reached, weight, weeks.sum(axis=1) * HOUR_US)

    def mean_days(self, profile: int, from_hour: int, to_hour: int) -> float:
        """Return the operational time between two hours of the run in mean days of the profile."""
        passed = int(self.reached[profile, to_hour] - self.reached[profile, from_hour])
        return 7.0 * passed / int(self.week[profile])


@dataclass(frozen=True)
class Population:
    """The lines of a run, at its scale.

    lines, groups    records of `traffic.kernels.LINE` and `GROUP`; lines that may present the same number as
                     another stand last, from `shared_from` on
    cells            (line group, fraud type) of each row of the daily accounts
    full_lines       float64 (groups,): lines of the full-size world
    kept_lines       int64 (groups,): lines of this run
    per_day          float64 (groups,): latent attempts on a mean day of the full-size world
    """

    lines: np.ndarray
    groups: np.ndarray
    types: NDArray[np.uint64]
    names: tuple[LineGroup, ...]
    cells: tuple[tuple[int, str], ...]
    hubs: Mapping[str, Hub]
    shared_from: int
    full_lines: NDArray[np.float64]
    kept_lines: NDArray[np.int64]
    per_day: NDArray[np.float64]

    @property
    def weights(self) -> NDArray[np.float64]:
        """How many lines of the full-size world a line of each group stands for."""
        return self.full_lines / np.maximum(self.kept_lines, 1)

    def truth(self) -> Truth:
        """Return what is true of each line."""
        group = self.lines["group"]
        hub = np.array([g.hub for g in self.names])[group]
        kind = np.array([name for _, name in self.cells])[self.lines["cell"]]
        campaign = np.char.add(np.char.add(hub, "/"), kind)
        line_id = np.arange(len(group), dtype=np.uint32)
        return Truth(line_id, hub, campaign, kind, self.weights[group])


def _group_record(spec: LineGroup, hub: Hub, profile: int, week_us: int) -> np.void:
    group = np.zeros(1, GROUP)[0]
    for stream in ("attempt", "line", "number", "complaint", "police"):
        group[f"{stream}_stream"] = stream_id(f"{stream}/{spec.id}")
    group["template_stream"] = stream_id("template")  # campaigns share theirs across groups
    group["life"] = spec.number_life.law
    group["notice"] = spec.notice.law
    group["resupply"] = spec.resupply.law
    group["gap"] = week_us / (7.0 * spec.attempts_per_day)
    group["rate_sigma"] = spec.rate_sigma
    group["profile"] = profile
    group["channel"] = CHANNELS.index(spec.channel)
    group["entry"] = ENTRIES.index(spec.entry)
    group["cli"] = _CLI[spec.cli]
    group["roaming"] = spec.roaming
    group["country_code"] = hub.country_code
    abroad = spec.entry == "international-gateway" and not spec.roaming
    own_kind = SHORT_CODE if spec.entry == "a2p-account" else INTERNATIONAL if abroad else NATIONAL
    group["own_kind"] = own_kind
    group["a_kind"] = own_kind if spec.cli == "own" else NATIONAL
    if spec.presents is not None:
        group["presents"], group["a_kind"] = parse_number(spec.presents)
    if spec.text is not None:
        group["text_mean"] = spec.text.mean
        group["text_deviation"] = spec.text.deviation
        group["text_jitter"] = round(spec.text.jitter * SCORE_ONE)
        group["templates"] = spec.text.templates
        group["link_bound"] = threshold(spec.text.link_ratio)
    return group


def _give_serials(groups: np.ndarray, full_lines: NDArray[np.float64]) -> None:
    """Give groups that draw numbers from the same range serials that do not meet."""
    pools: dict[tuple[int, ...], list[int]] = {}
    for g, group in enumerate(groups):
        if group["cli"] == CLI_RANDOM:
            pools.setdefault((-1,), []).append(g)
        elif group["cli"] == CLI_OWN:
            country = int(group["country_code"]) if group["own_kind"] == INTERNATIONAL else 0
            pools.setdefault((int(group["own_kind"]), country), []).append(g)
    for pool, members in pools.items():
        sizes = np.ceil(full_lines[members]).astype(np.int64) + 1
        groups["serial"][members] = np.cumsum(sizes) - sizes
        groups["serial_step"][members] = RANDOM_SERIALS // sizes.sum() if pool == (-1,) else sizes.sum()


def build_population(
    traffic: Traffic, hubs: Iterable[Hub], scale: int, key: NDArray[np.uint64], calendar: Calendar
) -> Population:
    """Lay out all lines at the start of the run; every group with a volume has at least one."""
    by_id = {hub.id: hub for hub in hubs}
    profiles = [p.id for p in traffic.profiles]
    names = tuple(
        sorted(traffic.lines, key=lambda g: g.cli in ("fixed", "neighbour"))  # stable: shared ones last
    )
    campaigns = {
        (hub, kind): n for n, (hub, kind) in enumerate((h.id, k) for h in by_id.values() for k in h.fraud_types)
    }
    groups = np.zeros(len(names), GROUP)
    cells: list[tuple[int, str]] = []
    types: list[tuple[int, int]] = []
    per_day = np.zeros(len(names))
    for g, spec in enumerate(names):
        hub = by_id[spec.hub]
        profile = profiles.index(spec.profile)
        groups[g] = _group_record(spec, hub, profile, int(calendar.week[profile]))
        groups[g]["first_type"] = len(cells)
        total = 0.0
        for kind, share in hub.fraud_types.items():
            total += share
            cells.append((g, kind))
            types.append((threshold(min(total, 1.0)), campaigns[hub.id, kind]))
        groups[g]["last_type"] = len(cells)
        volume = traffic.voice.latent if spec.channel == "voice" else traffic.sms.latent
        groups[g]["tick"] = traffic.tick
        per_day[g] = volume * spec.share / YEAR_DAYS
    full_lines = per_day / np.array([spec.attempts_per_day for spec in names])
    kept = np.where(full_lines > 0, np.maximum(np.rint(full_lines / scale), 1), 0).astype(np.int64)
    _give_serials(groups, full_lines)
    lines = np.zeros(int(kept.sum()), LINE)
    lines["group"] = np.repeat(np.arange(len(names)), kept)
    lines["index"] = np.arange(len(lines)) - np.repeat(np.cumsum(kept) - kept, kept)
    lines["fold"] = np.arange(len(lines)) % FOLDS
    table = np.array(types, np.uint64)
    start_lines(lines, groups, table, key, calendar.reached, calendar.weight)
    shared = [g for g, spec in enumerate(names) if spec.cli in ("fixed", "neighbour")]
    shared_from = int(kept[: shared[0]].sum()) if shared else len(lines)
    return Population(lines, groups, table, names, tuple(cells), by_id, shared_from, full_lines, kept, per_day)
