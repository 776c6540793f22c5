"""The response as control sees it: words of attempts go in, time passes, numbers become known and people stop.

Takes the parameters of people, police and response policies; keeps the tables of the compiled kernels and gives them
room; asks policies that answer contacts. It knows no clock: who calls `advance` says up to when.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from interceptsim.compiled import ready
from interceptsim.errors import ConfigurationError
from interceptsim.ledger import provinces
from interceptsim.randomness import exp_of, stream_id, threshold
from interceptsim.response.contacts import Contacts, Warnings
from interceptsim.response.kernels import advance, arrive, due_numbers, finish, learn, talked_to
from interceptsim.response.people import (
    People,
    age_bounds,
    kinds_of,
    province_bounds,
    susceptibility,
    type_bounds,
)
from interceptsim.response.person_kernels import heed
from interceptsim.response.police import WORD, Police
from interceptsim.response.policies import (
    Call96110,
    DispatchByTier,
    FreezeTransfers,
    HoldSuspiciousTransfers,
    SuspendSubscriber,
    VisitInPerson,
    Warn12381,
    answers_contacts,
)
from interceptsim.response.records import (
    CAST,
    DESK,
    DESKS,
    EVENT,
    JOB,
    JOBS,
    MEASURES,
    NEVER,
    NEXT_ARRIVAL,
    NUMBER,
    NUMBERS,
    PERSON,
    PERSONS,
    REPORTED_NOW,
    RULES,
    STEPS,
    UNTIL,
    WAIT_BINS,
    Ledger,
    State,
)
from interceptsim.units import DAY_US, HOUR_US, MINUTE_US, YEAR_DAYS, Delay

__all__ = ["COARSE", "Reached", "Reports", "Response", "ResponseTally", "Setting", "step_us"]

_STEPS_US = (HOUR_US, 30 * MINUTE_US, 15 * MINUTE_US, 5 * MINUTE_US, MINUTE_US)


def step_us(police: Police) -> int:
    """Return how often control lets the response live through the time that has passed; it changes no result.

    What police hear in a step they hand over after it: the step is half of their least delay, or less.
    """
    return next((step for step in _STEPS_US if 2 * step <= police.delay.minimum), _STEPS_US[-1])


COARSE = 20
"""A desk with fewer servers than this, at the scale of a run, has waits that a finer scale has not."""

_FIRST_ROOM = 1 << 10
_ARRIVALS_AT_ONCE = 256
_EVENTS_AT_ONCE = 128  # more cannot happen to a person between two looks: twelve transfers give the most

Reached = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]]
"""Tells whom numbers (line, generation) have reached that their lines still present, int64 (n, 3)."""

Reports = tuple[np.ndarray, NDArray[np.int64], NDArray[np.int64]]
"""Words by which police know numbers, when they do (int64, us), and when they would have otherwise (or NEVER)."""

P = TypeVar("P")


@dataclass(frozen=True)
class Setting:
    """Where the response takes place: what it is to know of the world.

    `police_streams` (uint64, line groups) are the streams of their numbers' draws, 0 for groups that present none of
    their own; `cell_types` the fraud type of each row of the daily accounts. Days are local. Stories are kept of people
    in the first `story_folds` folds.
    """

    key: NDArray[np.uint64]
    scale: int
    lines: int
    folds: int
    police_streams: NDArray[np.uint64]
    cell_types: tuple[str, ...]
    start: dt.date
    days: int
    warm_up_days: int
    epoch_us: int
    subscribers: int
    story_folds: int = 0


class ResponseTally(NamedTuple):
    """What the response counted: `records.Ledger`'s arrays, the desks, who is engaged still at the end, and stories.

    Those are events (EVENT) and people (CAST), None where they were not kept.
    """

    ledger: Ledger
    desks: np.ndarray
    engaged_at_end: int
    stories: tuple[np.ndarray, ...] | None


class Response:
    """Numbers that become known, people who fall for fraud, and the desks that answer.

    Takes the scenario's parts and a `Setting`; `policies` are all enabled response policies.
    """

    def __init__(self, people: People, police: Police, policies: Iterable[Any], setting: Setting) -> None:
        self._setting = setting
        self._types = tuple(kind.id for kind in people.types)
        self._age_bands = tuple(band.id for band in people.age_bands)
        self.every_us = step_us(police)
        chain = list(policies)
        self._answering = [policy for policy in chain if answers_contacts(policy)]
        desks, servers = _desks(chain, setting.scale)
        self._state = State(
            key=setting.key,
            rules=_rules(people, police, chain, setting),
            kinds=kinds_of(people),
            kind_of=_kinds_of_cells(people, setting.cell_types),
            police=setting.police_streams,
            falls=susceptibility(people),
            ages=age_bounds(people),
            provinces=province_bounds(),
            types=type_bounds(people),
            numbers=np.zeros(0, NUMBER),
            known=np.zeros(0, np.int64),
            latest=np.full(setting.lines, -1, np.int32),
            persons=np.zeros(0, PERSON),
            due=np.zeros(0, np.int64),
            jobs=np.zeros(0, JOB),
            free=np.zeros((3, 0), np.int32),
            later=np.full(STEPS, -1, np.int32),
            soon_us=np.zeros((2, 0), np.int64),
            soon=np.zeros((2, 0), np.int32),
            desks=desks,
            begins=np.full(len(desks), NEVER, np.int64),
            servers=servers,
            reports=np.zeros((0, 2), np.int64),
            now=np.zeros(11, np.int64),
            mean=np.zeros(1),
        )
        self._state.now[UNTIL] = -1
        self._state.now[NEXT_ARRIVAL] = 0 if people.internet > 0 else NEVER
        self._ledger = _empty_ledger(people, setting)
        self._learn, self._advance = ready(learn), ready(advance)
        self._arrive, self._heed = ready(arrive), ready(heed)
        self._unasked: list[NDArray[np.int64]] = []  # places of people
        self._stories: list[tuple[np.ndarray, np.ndarray]] = []
        for kind in (NUMBERS, PERSONS, JOBS):
            self._make_room(kind, _FIRST_ROOM)

    def learn(self, words: np.ndarray) -> Reports:
        """Take words of attempts (`police.WORD`); return those by which police know a number, or know it sooner."""
        n = len(words)
        news, known_us, was_us, places = np.empty(n, WORD), *np.empty((3, n), np.int64)
        self._make_room(NUMBERS, n)
        self._make_room(PERSONS, n)
        self._make_room(JOBS, 2 * n)
        self._keep_stories(n)
        people, told = self._learn(self._state, self._ledger, words, news, known_us, was_us, places)
        if people:
            self._unasked.append(places[:people])
        return news[:told], known_us[:told], was_us[:told]

    def look(self, now_us: int, reached: Reached) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which numbers police hand over before `now_us`, by their place, and whom those have reached by then.

        That is all that `advance` must know of the traffic.
        """
        over, line, generation = due_numbers(self._state.numbers, self._state.known, now_us)
        return over, reached(line, generation)

    def advance(self, now_us: int, over: NDArray[np.int64], counts: NDArray[np.int64]) -> Reports | None:
        """Let everything happen that is due before `now_us`; what attempts of that microsecond bring is not known yet.

        `over` and `counts` are what `look` has found. Return what victims reported, None where nobody did.
        """
        until_us = now_us - 1
        while self._state.now[NEXT_ARRIVAL] <= until_us:
            places = np.empty(_ARRIVALS_AT_ONCE, np.int64)
            self._make_room(PERSONS, len(places))
            self._make_room(JOBS, 2 * len(places))
            self._keep_stories(len(places))
            self._unasked.append(places[: self._arrive(self._state, self._ledger, until_us, places)])
        self._ask()
        state = self._state
        people = len(state.persons) - int(state.now[PERSONS])
        self._make_room(JOBS, 2 * talked_to(state.numbers, over, counts) + 3 * people)
        self._keep_stories(0)
        state = self._state
        state.now[REPORTED_NOW] = 0
        self._advance(state, self._ledger, over, counts, until_us, now_us % DAY_US == 0)
        if state.now[REPORTED_NOW] == 0:
            return None
        reports = state.reports[: state.now[REPORTED_NOW]]
        return self._words_of(reports[:, 0], reports[:, 1], now_us)

    def finish(self, end_us: int, reached: Reached) -> ResponseTally:
        """Count what is still to be counted at the end of a run, and return all counts."""
        self._ask()
        state = self._state
        there = np.zeros(len(state.numbers), bool)
        there[:] = True
        there[state.free[NUMBERS, : state.now[NUMBERS]]] = False
        places = np.flatnonzero(there & (state.numbers["handed"] == 1) & (state.numbers["given_up"] == 0))
        numbers = state.numbers[places]
        counts = reached(numbers["line"], numbers["generation"])
        engaged = finish(state, self._ledger, places, counts, end_us)
        self._keep_stories(0)
        stories = None
        if self._setting.story_folds:
            stories = tuple(np.concatenate(part) for part in zip(*self._stories, strict=True))
        return ResponseTally(self._ledger, state.desks, engaged, stories)

    def _words_of(self, places: NDArray[np.int64], was_us: NDArray[np.int64], now_us: int) -> Reports:
        places, first = np.unique(places, return_index=True)  # a number may be reported twice within the hour
        numbers = self._state.numbers[places]
        words = np.zeros(len(places), WORD)
        words["time_us"] = now_us
        for name in ("line", "generation", "stream", "index"):
            words[name] = numbers[name]
        return words, self._state.known[places], was_us[first]

    def _ask(self) -> None:
        """Ask the policies that answer contacts about those who began to fall for fraud since they were last asked."""
        if not self._unasked:
            return
        places = np.concatenate(self._unasked)
        self._unasked.clear()
        if len(places) == 0 or not self._answering:
            return
        contacts = Contacts(
            types=self._types,
            age_bands=self._age_bands,
            _persons=self._state.persons[places],
            _key=self._setting.key,
            _epoch_us=self._setting.epoch_us,
            _sources=len(self._state.police),
        )
        for policy in self._answering:
            warnings = policy.respond(contacts)
            if warnings is not None and len(warnings.of):
                _check(policy, warnings, contacts)
                at_us = np.ascontiguousarray(warnings.at_us, np.int64)
                ratio = np.ascontiguousarray(warnings.heed_ratio, np.float64)
                self._heed(self._state, places[warnings.of], at_us, ratio, stream_id(policy.id))

    def _keep_stories(self, more: int) -> None:
        """Set down the stories kept so far, and make room for `more` people beside those who are there."""
        ledger = self._ledger
        if not ledger.kept[2]:
            return
        events, people, _ = ledger.kept
        self._stories.append((ledger.events[:events].copy(), ledger.cast[:people].copy()))
        ledger.kept[:2] = 0
        there = len(self._state.persons) - int(self._state.now[PERSONS]) + more
        jobs = len(self._state.jobs) - int(self._state.now[JOBS])  # some are for people who have left
        wanted = _EVENTS_AT_ONCE * there + jobs
        if len(ledger.events) < wanted or len(ledger.cast) < more:
            empty = np.zeros(2 * wanted, EVENT), np.zeros(2 * more, CAST)
            self._ledger = ledger._replace(events=empty[0], cast=empty[1])

    def _make_room(self, kind: int, wanted: int) -> None:
        """See that there are so many free places for numbers, persons or jobs."""
        state = self._state
        free = int(state.now[kind])
        if free >= wanted:
            return
        held = len((state.numbers, state.persons, state.jobs)[kind])
        more = max(held, wanted - free, _FIRST_ROOM)
        changed: dict[str, Any] = {}
        if kind == NUMBERS:
            changed["numbers"] = _longer(state.numbers, more, 0)
            changed["known"] = _longer(state.known, more, int(NEVER))
        elif kind == PERSONS:
            changed["persons"] = _longer(state.persons, more, 0)
            changed["due"] = _longer(state.due, more, int(NEVER))
            changed["reports"] = np.zeros((held + more, 2), np.int64)
        else:
            changed["jobs"] = _longer(state.jobs, more, 0)
            changed["soon_us"] = np.concatenate([state.soon_us, np.zeros((2, more), np.int64)], axis=1)
            changed["soon"] = np.concatenate([state.soon, np.zeros((2, more), np.int32)], axis=1)
        stacks = state.free
        if stacks.shape[1] < held + more:
            stacks = np.zeros((3, held + more), np.int32)
            stacks[:, : state.free.shape[1]] = state.free
            changed["free"] = stacks
        stacks[kind, free : free + more] = np.arange(held + more - 1, held - 1, -1)
        state.now[kind] = free + more
        self._state = state._replace(**changed)


def _longer(table: np.ndarray, more: int, value: int) -> np.ndarray:
    added = np.zeros(more, table.dtype) if value == 0 else np.full(more, value, table.dtype)
    return np.concatenate([table, added])


def _check(policy: Any, warnings: Warnings, contacts: Contacts) -> None:
    """Raise ConfigurationError where what a policy returns does not fit the contacts it was asked about."""
    of = np.asarray(warnings.of)
    if len(of) != len(warnings.at_us) or len(of) != len(warnings.heed_ratio):
        given = f"{len(of)}, {len(warnings.at_us)}, {len(warnings.heed_ratio)}"
        raise ConfigurationError(
            f"policies.{policy.id}", "wanted as many 'at_us' and 'heed_ratio' as 'of'", given=given
        )
    if of.min() < 0 or of.max() >= len(contacts):
        wanted = f"'of' holds positions in the batch of {len(contacts)} contacts"
        raise ConfigurationError(f"policies.{policy.id}", wanted, given=int(of.max()))


def _kinds_of_cells(people: People, cell_types: tuple[str, ...]) -> NDArray[np.int64]:
    kinds = [kind.id for kind in people.types]
    return np.array([kinds.index(name) if name in kinds else -1 for name in cell_types], np.int64)


def _empty_ledger(people: People, setting: Setting) -> Ledger:
    dates = [setting.start + dt.timedelta(days=n) for n in range(setting.days)]
    first = setting.start.year * 12 + setting.start.month
    month = np.array([date.year * 12 + date.month - first for date in dates], np.int32)
    types, measures = len(people.types), len(MEASURES)
    at_risk = int(month[-1]) + 1, types, len(provinces()), len(people.age_bands), measures
    return Ledger(
        from_us=np.array([setting.warm_up_days * DAY_US], np.int64),
        month=month,
        tally=np.zeros((setting.folds, len(setting.police_streams) + 1, measures), np.int64),
        daily=np.zeros((setting.days, types, measures), np.int64),
        cells=np.zeros(at_risk, np.int64),
        waits=np.zeros((len(DESKS), 3, WAIT_BINS), np.int64),
        served=np.zeros((setting.days, len(DESKS), 3, 4), np.int64),
        events=np.zeros(0, EVENT),
        cast=np.zeros(0, CAST),
        kept=np.array([0, 0, setting.story_folds], np.int64),
    )


def _one(chain: list[Any], kind: type[P]) -> P | None:
    """Return the policy of a kind of which there is one at the most."""
    return next((policy for policy in chain if isinstance(policy, kind)), None)


def _desks(chain: list[Any], scale: int) -> tuple[np.ndarray, NDArray[np.int64]]:
    """Return the desks (`DESK`) and when their servers are free: calls, freezes, visits by province.

    At 1:N a desk has one server in N, rounded, and jobs that keep a server so much longer or shorter that its capacity
    is exactly one in N.
    """
    people = [province.population_millions for province in provinces()]
    call, freeze, visit = _one(chain, Call96110), _one(chain, FreezeTransfers), _one(chain, VisitInPerson)
    plans: list[tuple[int, float, Any, Delay | None]] = [
        (0, float(call.agents) if call else 0.0, call, call.talk if call else None),
        (2, float(freeze.clerks) if freeze else 0.0, freeze, freeze.work if freeze else None),
    ]
    for inhabitants in people:
        teams = visit.teams * inhabitants / sum(people) if visit else 0.0
        plans.append((1, teams, visit, visit.visit if visit else None))
    desks = np.zeros(len(plans), DESK)
    last = 0
    for desk, (does, staff, policy, work) in zip(desks, plans, strict=True):
        servers = max(round(staff / scale), 1)
        desk["does"], desk["head"], desk["tail"] = does, -1, -1
        desk["first"], desk["last"] = last, last + servers
        last += servers
        if policy is not None and work is not None:
            desk["work"] = work.law
            desk["stretch"] = servers * scale / staff
            desk["opens_us"], desk["closes_us"] = policy.opens * HOUR_US, policy.closes * HOUR_US
            desk["patience_us"] = policy.patience
    return desks, np.zeros(last, np.int64)


def _rules(people: People, police: Police, chain: list[Any], setting: Setting) -> np.ndarray:
    """Return what all parameters come to, one record (`RULES`)."""
    table = np.zeros(1, RULES)
    rules = table[0]
    rules["police_delay"], rules["report_delay"] = police.delay.law, people.report_delay.law
    rules["report_bound"] = threshold(people.report_ratio)
    rules["step_us"] = step_us(police)
    rules["feeds"] = people.reports_feed_lists
    rules["fatigue"] = people.fatigue
    rules["forget"] = exp_of(-DAY_US / people.memory)
    rules["internet_stream"], rules["dispatch_stream"] = stream_id("internet"), stream_id("dispatch")
    rules["internet_gap"] = YEAR_DAYS * DAY_US / people.internet * setting.scale if people.internet else 1.0
    rules["subscribers"] = setting.subscribers
    if warn := _one(chain, Warn12381):
        rules["warns"] = True
        rules["warn_delay"], rules["warn_heed"] = warn.delay.law, warn.heed_ratio
        rules["read_bound"], rules["read_ratio"] = threshold(warn.read_ratio), warn.read_ratio
    if tiers := _one(chain, DispatchByTier):
        rules["dispatches"] = True
        rules["tier_delay"], rules["internet_delay"] = tiers.delay.law, tiers.internet_delay.law
        rules["internet_bound"], rules["tier_heed"] = threshold(tiers.internet_ratio), tiers.sms_heed_ratio
        shares = (
            (tiers.high_ratio, tiers.medium_ratio, tiers.low_ratio),
            (tiers.engaged_high_ratio, tiers.engaged_medium_ratio, tiers.engaged_low_ratio),
        )
        rules["tiers"] = [[threshold(min(float(end), 1.0)) for end in np.cumsum(row)] for row in shares]
    if call := _one(chain, Call96110):
        rules["calls"] = True
        rules["reach_bound"], rules["call_heed"] = threshold(call.reach_ratio), call.heed_ratio
        rules["redial_us"], rules["tries"] = call.redial, call.tries
    if visit := _one(chain, VisitInPerson):
        rules["goes"] = True
        rules["visit_heed"], rules["again_us"], rules["visits"] = visit.heed_ratio, visit.again, visit.visits
    if suspend := _one(chain, SuspendSubscriber):
        rules["suspends"] = True
        rules["urgent_bound"], rules["suspend_effect"] = threshold(suspend.urgent_ratio), suspend.effect_ratio
        rules["suspend_delay"] = suspend.delay.law
    if hold := _one(chain, HoldSuspiciousTransfers):
        rules["detect_bound"], rules["hold_bound"] = threshold(hold.detect_ratio), threshold(hold.heed_ratio)
        rules["false_holds"] = hold.false_holds
    if freeze := _one(chain, FreezeTransfers):
        rules["freezes"] = True
        rules["success"], rules["half_life"] = freeze.success_ratio, float(freeze.half_life)
        rules["frozen_per_stopped"] = freeze.frozen_per_traced_transfer_ratio
        rules["return_ratio"] = freeze.return_ratio
    return table
