"""A scenario made concrete for a seed and a scale: lines, filter, calendar, and what a run counts into.

Both engines start from a `World` and count into `Accounts`; what these tell is for `findings` to say.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interceptsim.attempts import (
    COLUMNS,
    LOCAL_OFFSET_US,
    NOT_MADE,
    OPTIONAL_COLUMNS,
    OUTCOMES,
)
from interceptsim.errors import ConfigurationError
from interceptsim.filtering.plan import FilterCore, compile_filter
from interceptsim.network.load import NetworkLoad
from interceptsim.randomness import root_key
from interceptsim.response.plane import Response, ResponseTally, Setting
from interceptsim.response.supply import changes_of
from interceptsim.response.wrongly_listed import WronglyListed
from interceptsim.scenario import Scenario
from interceptsim.traffic.population import FOLDS, Calendar, Population, Reactions, build_population
from interceptsim.traffic.records import CLI_OWN
from interceptsim.units import DAY_US

__all__ = ["SIMULATED_COLUMNS", "Accounts", "Posting", "Progress", "Tally", "World", "column_of"]

EPOCH = dt.date(1970, 1, 1)

SIMULATED_COLUMNS = (*(name for name in COLUMNS if name not in OPTIONAL_COLUMNS), "text_score", "link", "a_incoming")
"""The visible columns of simulated attempts; records may have more."""


def column_of(reason: int, outcome: int) -> int:
    """Return the column of the accounts for a reason (0 none, else position of the rule) and an outcome."""
    return reason * len(OUTCOMES) + outcome


class Accounts(NamedTuple):
    """Integer counts of attempts.

    daily    (cells, columns)           since `clear_daily`; a cell is a line group, fraud type and hub
    folds    (FOLDS, groups, columns)   since the accounts began, for the jackknife
    rules    (rules, groups, 2)         attempts matched by each rule, and by it alone
    numbers  (FOLDS, groups)            numbers that presented themselves for the first time
    complaints (FOLDS, groups)          numbers complained of
    cut_off  (FOLDS, groups)            days on which an ordinary number had an attempt intercepted, summed over numbers
    held_us  (FOLDS, groups)            for how many us calls held a circuit
    bought   (FOLDS, groups)            numbers that replaced others, counted when the line next makes an attempt
    idle_us  (FOLDS, groups)            for how many us of the counted days lines had no number
    load     (groups, 2)                attempts that came to the network and for how many us they wanted a circuit,
                                        since the load was last measured
    """

    daily: NDArray[np.int64]
    folds: NDArray[np.int64]
    rules: NDArray[np.int64]
    numbers: NDArray[np.int64]
    complaints: NDArray[np.int64]
    cut_off: NDArray[np.int64]
    held_us: NDArray[np.int64]
    bought: NDArray[np.int64]
    idle_us: NDArray[np.int64]
    load: NDArray[np.int64]

    @classmethod
    def empty(cls, cells: int, groups: int, rules: int) -> Accounts:
        """Return accounts of zero."""
        columns = (rules + 1) * len(OUTCOMES)
        return cls(
            np.zeros((cells, columns), np.int64),
            np.zeros((FOLDS, groups, columns), np.int64),
            np.zeros((max(rules, 1), groups, 2), np.int64),
            np.zeros((FOLDS, groups), np.int64),
            np.zeros((FOLDS, groups), np.int64),
            np.zeros((FOLDS, groups), np.int64),
            np.zeros((FOLDS, groups), np.int64),
            np.zeros((FOLDS, groups), np.int64),
            np.zeros((FOLDS, groups), np.int64),
            np.zeros((groups, 2), np.int64),
        )

    def made(self) -> int:
        """Return how many attempts were made."""
        return int(self.folds.sum() - self.folds[:, :, column_of(0, NOT_MADE)].sum())

    def clear(self) -> None:
        """Set every count to zero but `idle_us`, which is of the counted days alone whenever it is found."""
        for counts in self:
            if counts is not self.idle_us:
                counts.fill(0)


Progress = Callable[[int, int, int], None]
"""Called after each simulated day with days done, days in all, and attempts made so far."""


class Posting(NamedTuple):
    """Numbers (line, generation) listed for a policy at `time_us`, each effective from its `from_us`.

    Times are us from the start of the run.
    """

    time_us: int
    policy: str
    line: NDArray[np.int64]
    generation: NDArray[np.int64]
    from_us: NDArray[np.int64]


class Tally(NamedTuple):
    """What an engine found: accounts of the counted days, and what control did.

    daily     int64 (days, cells, columns)
    attempts  made, those of the warm-up included
    """

    totals: Accounts
    daily: NDArray[np.int64]
    attempts: int
    handed_over: int
    listed: dict[str, int]
    posted: list[Posting]
    network: dict[str, int]
    response: ResponseTally | None
    wrongly_listed: WronglyListed | None


class World:
    """A scenario made concrete for a seed and a scale: its lines, filter and calendar."""

    def __init__(self, scenario: Scenario, seed: int, scale: int, days: int) -> None:
        period = scenario.period
        self.scenario = scenario
        self.scale = scale
        self.days = days
        self.key = root_key(seed)
        self.first_day = period.start - dt.timedelta(days=period.warm_up_days)
        self.epoch_us = (self.first_day - EPOCH).days * DAY_US - LOCAL_OFFSET_US
        self.from_hour = period.warm_up_days * 24
        self.to_hour = (period.warm_up_days + days) * 24
        self.calendar = Calendar.build(scenario.traffic.profiles, self.first_day.weekday(), self.to_hour)
        police, people = scenario.police, scenario.people
        self.changes = changes_of(scenario.policies, self.first_day)
        self.population: Population = build_population(
            scenario.traffic,
            scenario.hubs,
            Reactions(
                (police.voice_complaint_ratio, police.sms_complaint_ratio),
                (people.voice_engaged_ratio, people.sms_engaged_ratio) if people else (0.0, 0.0),
                police.own_work_ratio,
            ),
            scale,
            self.key,
            self.calendar,
            period.warm_up_days,
            days,
            scenario.adaptations,
            self.changes,
        )
        self.core = _compiled(scenario)
        if len(self.core.hindsight):  # what comes of an attempt bears on the next, as where lines adapt
            self.population.groups["adapts"] = True

    def carriers(self) -> NDArray[np.uint8]:
        """Return the carrier code of each value of a byte of a called number's hash (uint8, 256)."""
        ends = np.cumsum([c.share for c in self.scenario.population.carriers])
        codes = np.searchsorted(ends, (np.arange(256) + 0.5) / 256)
        return np.minimum(codes, len(ends) - 1).astype(np.uint8)

    def network_load(self) -> NetworkLoad | None:
        """Return the load of the network as it is before the run begins, None where the scenario has no network."""
        scenario, population = self.scenario, self.population
        if scenario.network is None:
            return None
        profiles = {profile.id: profile for profile in scenario.traffic.profiles}
        weekday = self.first_day.weekday()
        return NetworkLoad(scenario.network, population.names, population.weights, profiles, weekday)

    def wrongly_listed(self) -> WronglyListed | None:
        """Return what counts the people who are listed wrongly.

        None where police do not err and no number is recycled, or where there are no ordinary callers of calls.
        """
        scenario, population = self.scenario, self.population
        police = scenario.police
        callers = [group for group in scenario.traffic.ordinary if group.channel == "voice"]
        if not scenario.lists or not callers or not (police.false_hand_over_ratio or police.recycled_ratio):
            return None
        return WronglyListed(
            police,
            scenario.lists,
            callers,
            population.lines,
            population.groups,
            self.key,
            ([carrier.id for carrier in scenario.population.carriers], self.carriers()),
            (max(scenario.population.subscribers // self.scale, 1), self.scale),
        )

    def response(self, story_folds: int = 0) -> Response | None:
        """Return people and desks as they are before the run begins, None where the scenario has no people.

        Stories are kept of people in the first `story_folds` folds.
        """
        scenario, population = self.scenario, self.population
        if scenario.people is None:
            return None
        own = (population.groups["cli"] == CLI_OWN) & ~population.ordinary
        setting = Setting(
            key=self.key,
            scale=self.scale,
            lines=len(population.lines),
            folds=FOLDS,
            police_streams=np.where(own, population.groups["police_stream"], 0).astype(np.uint64),
            cell_types=tuple(cell.fraud_type for cell in population.cells),
            start=scenario.period.start,
            days=self.days,
            warm_up_days=scenario.period.warm_up_days,
            epoch_us=self.epoch_us,
            subscribers=max(scenario.population.subscribers // self.scale, 1),
            story_folds=story_folds,
        )
        return Response(scenario.people, scenario.police, scenario.responses, setting)


def _compiled(scenario: Scenario) -> FilterCore:
    """Compile a scenario's chain; refuse rules that read what the simulation does not make."""
    core = compile_filter(scenario.policies, carriers=[c.id for c in scenario.population.carriers])
    for column, policy_id in core.needs.items():
        if column not in SIMULATED_COLUMNS:
            raise ConfigurationError(
                f"policies.{policy_id}",
                f"reads column {column!r}, which records may have but simulated traffic has not",
            )
    return core
