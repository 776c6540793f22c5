"""Builds the table of lines: how many of each group at a scale, their ids, hours and what they stand for.

At scale 1:N the world is smaller, not sparser: each group keeps one line in N (at least one) and the called
numbers are drawn among one subscriber in N. Which draws a line makes depends on its group's id and its
index in the group alone, so a line is the same line at every scale and whatever other groups there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interceptsim.attempts import CHANNELS, ENTRIES, SCORE_ONE, Truth
from interceptsim.numbering import INTERNATIONAL, NATIONAL, OWN_SERIALS, RANDOM_SERIALS, SHORT_CODE, parse_number
from interceptsim.randomness import stream_id, threshold
from interceptsim.traffic.adaptation import Adaptation, acts_on, messages_of
from interceptsim.traffic.bands import Band, bands_of
from interceptsim.traffic.lines import start_lines
from interceptsim.traffic.model import CallerGroup, Hub, LineGroup, Profile, Traffic
from interceptsim.traffic.raids import SupplyChanges, places_of, raid_lines
from interceptsim.traffic.records import (
    CLI_FIXED,
    CLI_NEIGHBOUR,
    CLI_OWN,
    CLI_RANDOM,
    GROUP,
    LINE,
    NEVER,
)
from interceptsim.units import DAY_US, HOUR_US, YEAR_DAYS

__all__ = [
    "FOLDS",
    "PANEL_STEP",
    "Calendar",
    "Cell",
    "Population",
    "Reactions",
    "build_population",
]

FOLDS = 50
"""Groups of lines that the jackknife leaves out in turn."""

PANEL_STEP = 7919
"""The panel of a class's next line begins so many days later, modulo the days there are."""

_UNCHANGED = SupplyChanges()
_SHARED_CLI = ("fixed", "neighbour")
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


class Reactions(NamedTuple):
    """How people and police react to fraud that reaches somebody.

    complaint  shares of calls and of messages that are complained of
    engaged    shares of answered calls and of delivered messages that somebody may fall for
    found      share of numbers that police find themselves
    """

    complaint: tuple[float, float]
    engaged: tuple[float, float] = (0.0, 0.0)
    found: float = 0.0


class Cell(NamedTuple):
    """What a row of the daily accounts is of: a group of lines, its fraud type, and the hub that it calls from."""

    group: int
    fraud_type: str
    hub: str


@dataclass(frozen=True)
class Population:
    """The lines of a run, at its scale.

    lines, groups    records of `traffic.records.LINE` and `GROUP`; lines that may present the same number as
                     another stand last, from `shared_from` on; a class of ordinary callers is a group for each band of
                     rates, and has all their names
    cells            what each row of the daily accounts is of
    full_lines       float64 (groups,): lines of the full-size world
    kept_lines       int64 (groups,): lines of this run; lines that may move to messages count in both of their groups
    per_day          float64 (groups,): latent attempts on a mean day of the full-size world
    """

    lines: np.ndarray
    groups: np.ndarray
    types: NDArray[np.uint64]
    names: tuple[LineGroup | CallerGroup, ...]
    cells: tuple[Cell, ...]
    hubs: Mapping[str, Hub]
    shared_from: int
    full_lines: NDArray[np.float64]
    kept_lines: NDArray[np.int64]
    per_day: NDArray[np.float64]

    @property
    def ordinary(self) -> NDArray[np.bool_]:
        """Which groups are ordinary callers."""
        return self.groups["ordinary"]

    @property
    def weights(self) -> NDArray[np.float64]:
        """How many lines of the full-size world a line of each group stands for."""
        return self.full_lines / np.maximum(self.kept_lines, 1)

    def truth(self) -> Truth:
        """Return what is true of each line."""
        group = self.lines["group"]
        hub = np.array([g.hub for g in self.names])[group]
        kind = np.array([cell.fraud_type for cell in self.cells])[self.lines["cell"]]
        campaign = np.char.add(np.char.add(hub, "/"), kind)
        line_id = np.arange(len(group), dtype=np.uint32)
        return Truth(line_id, hub, campaign, kind, self.weights[group])


def _group_record(spec: LineGroup | CallerGroup, country_code: int, profile: int, week_us: int) -> np.void:
    """Return what all callers have in common: streams of draws, hours, answering, text."""
    group = np.zeros(1, GROUP)[0]
    for stream in ("attempt", "line", "number", "fate", "incoming", "again", "police", "person"):
        group[f"{stream}_stream"] = stream_id(f"{stream}/{spec.id}")
    group["template_stream"] = stream_id("template")  # campaigns share theirs across groups
    group["engaged_bound"] = threshold(1.0)
    group["restricted_us"], group["slower"] = NEVER, 1.0
    group["messages"] = -1
    group["gap"] = week_us / (7.0 * spec.attempts_per_day)
    group["rate_sigma"] = spec.rate_sigma
    group["profile"] = profile
    group["channel"] = CHANNELS.index(spec.channel)
    group["entry"] = ENTRIES.index(spec.entry)
    group["cli"] = _CLI[spec.cli]
    group["roaming"] = spec.roaming
    group["country_code"] = country_code
    abroad = spec.entry == "international-gateway" and not spec.roaming
    own_kind = SHORT_CODE if spec.entry == "a2p-account" else INTERNATIONAL if abroad else NATIONAL
    group["own_kind"] = own_kind
    group["a_kind"] = own_kind if spec.cli == "own" else NATIONAL
    group["incoming"] = spec.incoming_per_day
    answered, failed = spec.calls.answer_ratio, spec.calls.failed_ratio
    group["failed_bound"] = threshold(failed)
    group["answered_bound"] = threshold(min(failed + answered, 1.0))
    group["labelled_bound"] = threshold(min(failed + answered * (1 - spec.calls.label_effect), 1.0))
    group["ring"] = spec.calls.ring.law
    group["talk"] = spec.calls.talk.law
    _writes(group, spec)
    return group


def _writes(group: np.void, spec: LineGroup | CallerGroup) -> None:
    """Fill in what the group's messages are like, if it sends any."""
    if spec.text is not None:
        group["text_mean"] = spec.text.mean
        group["text_deviation"] = spec.text.deviation
        group["text_jitter"] = round(spec.text.jitter * SCORE_ONE)
        group["templates"] = spec.text.templates
        group["link_bound"] = threshold(spec.text.link_ratio)


def _of_fraud(group: np.void, spec: LineGroup, reactions: Reactions) -> None:
    """Fill in what fraudsters' lines have besides."""
    group["life"] = spec.number_life.law
    group["notice"] = spec.notice.law
    group["resupply"] = spec.resupply.law
    _is_met(group, spec, reactions)
    if spec.presents is not None:
        group["presents"], group["a_kind"] = parse_number(spec.presents)


def _is_met(group: np.void, spec: LineGroup, reactions: Reactions) -> None:
    """Fill in how people and police react to it."""
    channel = CHANNELS.index(spec.channel)
    group["complaint_bound"] = threshold(reactions.complaint[channel])
    group["engaged_bound"] = threshold(1.0 - reactions.engaged[channel])
    group["found_bound"] = threshold(reactions.found)


def _react(group: np.void, spec: LineGroup, adaptations: Iterable[Adaptation]) -> None:
    """Let lines of a group adapt as the scenario says."""
    for adaptation in adaptations:
        if acts_on(adaptation, spec):
            adaptation.compile(group)
            group["adapts"] = True


def _restrict(group: np.void, spec: LineGroup, changes: SupplyChanges) -> None:
    """Make the group's replacements slow where a policy restricts them."""
    for restriction in changes.restrictions:
        if spec.id in (restriction.lines or (spec.id,)):
            group["restricted_us"], group["slower"] = restriction.from_us, restriction.slower


def _of_callers(group: np.void, spec: CallerGroup, band: Band, first_index: int) -> None:
    """Fill in what ordinary callers of a band have besides, the index of whose first line is given."""
    group["ordinary"] = True
    group["rate_from"], group["rate_to"], group["first_index"] = band.rate_from, band.rate_to, first_index
    group["contacts"] = spec.contacts
    group["stranger_bound"] = threshold(spec.stranger_ratio)


def _give_serials(groups: np.ndarray, full_lines: NDArray[np.float64], kept: NDArray[np.int64]) -> None:
    """Give groups that draw numbers from one range serials that do not meet: ordinary callers' come from its end."""
    pools: dict[tuple[int, ...], list[int]] = {}
    for g, group in enumerate(groups):
        country = int(group["country_code"]) if group["own_kind"] == INTERNATIONAL else 0
        if group["ordinary"]:
            same = groups["ordinary"][:g] & (groups["own_kind"][:g] == group["own_kind"])
            first = OWN_SERIALS[int(group["own_kind"])] - kept[:g][same].sum() - kept[g]
            group["serial"] = first - group["first_index"]
        elif group["cli"] == CLI_RANDOM:
            pools.setdefault((-1,), []).append(g)
        elif group["cli"] == CLI_OWN:
            pools.setdefault((int(group["own_kind"]), country), []).append(g)
    for pool, members in pools.items():
        sizes = np.ceil(full_lines[members]).astype(np.int64) + 1
        groups["serial"][members] = np.cumsum(sizes) - sizes
        groups["serial_step"][members] = RANDOM_SERIALS // sizes.sum() if pool == (-1,) else sizes.sum()


def _panel(lines: np.ndarray, spec: CallerGroup, warm_up_days: int, days: int) -> None:
    """Spread the days on which ordinary lines are seen over the counted days, in no order; each fold has all rates."""
    length = min(spec.panel // DAY_US, days)
    first = warm_up_days + lines["index"].astype(np.int64) * PANEL_STEP % (days - length + 1)
    lines["fold"] = lines["index"] % FOLDS
    lines["starts_us"] = first * DAY_US
    lines["ends_us"] = (first + length) * DAY_US


def _lay_out(
    first_index: NDArray[np.int64],
    names: Iterable[LineGroup | CallerGroup],
    kept: NDArray[np.int64],
    hubs: Mapping[str, Hub],
    changes: SupplyChanges,
    key: NDArray[np.uint64],
    warm_up_days: int,
    days: int,
) -> np.ndarray:
    """Return the lines of all groups, with all that they have before the run begins."""
    lines = np.zeros(int(kept.sum()), LINE)
    lines["group"] = np.repeat(np.arange(len(kept)), kept)
    lines["index"] = np.arange(len(lines)) - np.repeat(np.cumsum(kept) - kept - first_index, kept)
    lines["fold"] = lines["index"].astype(np.int64) * FOLDS // np.maximum(np.repeat(kept, kept), 1)
    for never in ("ends_us", "away_us", "back_us"):
        lines[never] = NEVER
    for g, spec in enumerate(names):
        first = int(kept[:g].sum())
        own_lines = lines[first : first + kept[g]]
        if isinstance(spec, CallerGroup):
            _panel(own_lines, spec, warm_up_days, days)
        else:
            kinds = len(hubs[spec.hub].fraud_types)
            raid_lines(own_lines, spec.id, spec.hub, changes.raids_on(spec.hub), kinds, key)
    return lines


def build_population(
    traffic: Traffic,
    hubs: Iterable[Hub],
    reactions: Reactions,
    scale: int,
    key: NDArray[np.uint64],
    calendar: Calendar,
    warm_up_days: int,
    days: int,
    adaptations: Iterable[Adaptation] = (),
    changes: SupplyChanges = _UNCHANGED,
) -> Population:
    """Lay out all lines at the start of the run; every group with a volume has at least one."""
    by_id = {hub.id: hub for hub in hubs}
    profiles = [p.id for p in traffic.profiles]
    own = [g for g in traffic.lines if g.cli not in _SHARED_CLI]
    names: tuple[LineGroup | CallerGroup, ...] = (
        *own,
        *(spec for spec in traffic.ordinary for _ in range(1 + len(spec.busiest.shares))),
        *(g for g in traffic.lines if g.cli in _SHARED_CLI),
    )
    campaigns = {
        (hub, kind): n for n, (hub, kind) in enumerate((h.id, k) for h in by_id.values() for k in h.fraud_types)
    }
    groups = np.zeros(len(names), GROUP)
    cells: list[Cell] = []
    types: list[tuple[int, int]] = []
    bands = [band for spec in traffic.ordinary for band in bands_of(spec, traffic.sample_ratio, scale)]
    full_lines = np.zeros(len(names))
    per_line = np.array([spec.attempts_per_day for spec in names])
    kept = np.zeros(len(names), np.int64)
    for g, spec in enumerate(names):
        profile = profiles.index(spec.profile)
        country_code = spec.country_code if isinstance(spec, CallerGroup) else by_id[spec.hub].country_code
        groups[g] = _group_record(spec, country_code, profile, int(calendar.week[profile]))
        groups[g]["tick"] = traffic.tick
        groups[g]["first_type"] = len(cells)
        if isinstance(spec, CallerGroup):
            band = bands[g - len(own)]
            full_lines[g], kept[g], per_line[g] = band.lines, band.kept, band.attempts_per_day
            _of_callers(groups[g], spec, band, sum(int(kept[k]) for k in range(len(own), g) if names[k] is spec))
            cells.append(Cell(g, "ordinary", ""))
            types.append((threshold(1.0), len(campaigns) + g))
        else:
            _of_fraud(groups[g], spec, reactions)
            _react(groups[g], spec, adaptations)
            volume = traffic.voice.latent if spec.channel == "voice" else traffic.sms.latent
            full_lines[g] = volume * spec.share / YEAR_DAYS / spec.attempts_per_day
            kept[g] = max(round(full_lines[g] / scale), 1) if full_lines[g] > 0 else 0
            _restrict(groups[g], spec, changes)
            for place in places_of(spec.hub, changes.raids_on(spec.hub)):
                shares = np.cumsum(list(by_id[spec.hub].fraud_types.values()))
                for kind, total in zip(by_id[spec.hub].fraud_types, shares.tolist(), strict=True):
                    cells.append(Cell(g, kind, place))
                    types.append((threshold(min(total, 1.0)), campaigns[spec.hub, kind]))
        groups[g]["last_type"] = groups[g]["first_type"] + (len(by_id[spec.hub].fraud_types) if spec.hub else 1)
        groups[g]["kept"] = kept[g]
    _give_serials(groups, full_lines, kept)
    lines = _lay_out(groups["first_index"], names, kept, by_id, changes, key, warm_up_days, days)
    table = np.array(types, np.uint64)
    start_lines(lines, groups, table, key, calendar.reached, calendar.weight)
    shared_from = int(kept[: len(own) + len(bands)].sum())
    per_day = full_lines * per_line
    found = Population(lines, groups, table, names, tuple(cells), by_id, shared_from, full_lines, kept, per_day)
    return _with_messages(found, adaptations, reactions)


def _with_messages(found: Population, adaptations: Iterable[Adaptation], reactions: Reactions) -> Population:
    """Add a group for the messages of each group whose lines may move from calls to messages.

    It is of the same lines, and has a row of the daily accounts for each of theirs.
    """
    moving = [
        (g, moved)
        for g, spec in enumerate(found.names)
        if isinstance(spec, LineGroup) and (moved := messages_of(spec, adaptations)) is not None
    ]
    if not moving:
        return found
    groups, types, cells = found.groups, found.types, list(found.cells)
    of = [g for g, _ in moving]
    for g, spec in moving:
        calls = [row for row, cell in enumerate(found.cells) if cell.group == g]
        group = groups[g : g + 1].copy()
        group["first_type"] += len(cells) - calls[0]
        group["last_type"] += len(cells) - calls[0]
        group["channel"] = CHANNELS.index(spec.channel)
        _writes(group[0], spec)
        _is_met(group[0], spec, reactions)
        groups["messages"][g] = len(groups)
        cells += [found.cells[row]._replace(group=len(groups)) for row in calls]
        types = np.concatenate([types, types[calls]])
        groups = np.concatenate([groups, group])
    return replace(
        found,
        groups=groups,
        types=types,
        names=(*found.names, *(spec for _, spec in moving)),
        cells=tuple(cells),
        full_lines=np.append(found.full_lines, found.full_lines[of]),
        kept_lines=np.append(found.kept_lines, found.kept_lines[of]),
        per_day=np.append(found.per_day, found.per_day[of]),
    )
