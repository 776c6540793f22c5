"""The tables of the response: numbers, people, jobs, desks, what all rules come to, and what is counted.

Times are int64 us from the start of the run, money int64 fen. A place is a row of a table; free places stand in a
stack.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interceptsim.compiled import Record, Scalar, Table, kernel
from interceptsim.randomness import LAW
from interceptsim.units import DAY_US

NEVER = np.int64(2**62)

MEASURES = (
    "met",  # people who meet fraud on the internet
    "engaged",  # people who begin to fall for it
    "averted",  # of whom some see through it at once
    "warned",  # by 12381
    "unread",
    "warned late",  # after they had paid
    "instructed",
    "called",  # who took a call from 96110
    "visited",
    "suspended",
    "dissuaded",  # stopped by a warning before they paid all they would have
    "doubted",  # by themselves before paying
    "paid",
    "reported",
    "transfers",
    "transferred_fen",
    "held_fen",
    "stopped_fen",
    "frozen_fen",
    "returned_fen",
    "12381 messages",
    "instructions",
    "dispatch messages",
    "calls tried",
    "calls taken",
    "visits",
    "false holds",
)
(
    MET,
    ENGAGES,
    AVERTED,
    WARNED,
    UNREAD,
    WARNED_LATE,
    INSTRUCTED,
    CALLED,
    VISITED,
    SUSPENDED,
    DISSUADED,
    DOUBTED,
    PAID,
    REPORTED,
    TRANSFERS,
    TRANSFERRED,
    HELD,
    STOPPED,
    FROZEN,
    RETURNED,
    MESSAGES,
    INSTRUCTIONS,
    TIER_MESSAGES,
    CALLS_TRIED,
    CALLS_TAKEN,
    VISITS,
    FALSE_HOLDS,
) = (np.int64(n) for n in range(len(MEASURES)))  # numbers of one type: a plain constant would compile helpers anew

MOST_TRANSFERS = 12  # transfers of one person

KIND = np.dtype(
    [
        ("grooming", LAW),
        ("gap", LAW),
        ("another_bound", "u8"),
        ("doubt_bound", "u8"),
        ("loss_fen", "f8"),  # median of one transfer
        ("loss_sigma", "f8"),
        ("heeding", "f8"),
    ],
    align=True,
)
"""A fraud type, see `people.FraudType`."""

RULES = np.dtype(
    [
        ("police_delay", LAW),
        ("report_delay", LAW),
        ("warn_delay", LAW),
        ("tier_delay", LAW),
        ("internet_delay", LAW),
        ("suspend_delay", LAW),
        ("report_bound", "u8"),
        ("read_bound", "u8"),
        ("urgent_bound", "u8"),
        ("internet_bound", "u8"),
        ("detect_bound", "u8"),
        ("hold_bound", "u8"),
        ("tiers", "u8", (2, 3)),  # cumulative thresholds of high, medium, low: for people at no risk, and at risk
        ("warn_heed", "f8"),
        ("tier_heed", "f8"),
        ("call_heed", "f8"),
        ("visit_heed", "f8"),
        ("suspend_effect", "f8"),
        ("reach_bound", "u8"),
        ("redial_us", "i8"),
        ("tries", "i8"),
        ("again_us", "i8"),
        ("visits", "i8"),
        ("success", "f8"),
        ("half_life", "f8"),
        ("frozen_per_stopped", "f8"),
        ("return_ratio", "f8"),
        ("false_holds", "f8"),
        ("fatigue", "f8"),
        ("forget", "f8"),  # share of false warnings that is remembered from day to day
        ("read_ratio", "f8"),
        ("step_us", "i8"),
        ("internet_gap", "f8"),  # mean us between two people who meet fraud on the internet
        ("subscribers", "i8"),
        ("internet_stream", "u8"),
        ("dispatch_stream", "u8"),
        ("feeds", "?"),
        ("warns", "?"),
        ("dispatches", "?"),
        ("calls", "?"),
        ("goes", "?"),
        ("suspends", "?"),
        ("freezes", "?"),
    ],
    align=True,
)
"""What all response policies come to, one record."""

NUMBER = np.dtype(
    [
        ("line", "i8"),
        ("generation", "i8"),
        ("stream", "u8"),
        ("index", "u8"),
        ("group", "i4"),
        ("fold", "i4"),
        ("kind", "i4"),
        ("before", "i4"),
        ("total", "i4"),
        ("talked", "i4"),
        ("first", "i4"),  # the first of the people it reached who are still there, -1
        ("older", "i4"),  # the place of the line's number before it, -1
        ("given_up", "u1"),
        ("handed", "u1"),
    ],
    align=True,
)
"""A number that police know, will know, or that somebody falls for."""

PERSON = np.dtype(
    [
        ("stream", "u8"),
        ("entity", "u8"),
        ("ordinal", "i8"),
        ("uid", "u8"),
        ("contact_us", "i8"),
        ("next_us", "i8"),  # the next transfer
        ("stop_us", "i8"),  # when the person stops, by a warning
        ("warned_us", "i8"),
        ("paid_us", "i8", (MOST_TRANSFERS,)),
        ("each_fen", "i8"),
        ("number", "i4"),  # place of the number, -1
        ("next", "i4"),  # the next person whom the number reached, -1
        ("source", "i4"),  # line group, or after the last of them the internet
        ("fold", "i4"),
        ("kind", "i4"),
        ("province", "i4"),
        ("age", "i4"),
        ("made", "i4"),
        ("phase", "u1"),
        ("origin", "u1"),
        ("overseas", "?"),
    ],
    align=True,
)
"""Somebody who falls for a fraud."""

ABSENT, ENGAGED_NOW, REPORTS, WAITS = 0, 1, 2, 3

JOB = np.dtype(
    [
        ("ready_us", "i8"),
        ("until_us", "i8"),
        ("id", "u8"),
        ("uid", "u8"),
        ("person", "i4"),  # place of the person, -1: somebody at no risk
        ("source", "i4"),
        ("fold", "i4"),
        ("kind", "i4"),
        ("province", "i4"),
        ("age", "i4"),
        ("desk", "i4"),
        ("tier", "i4"),  # 0 high, 1 medium, 2 low
        ("tries", "i4"),
        ("next", "i4"),  # what comes after it where it waits, -1
        ("before", "i4"),  # what comes before it in the queue of its desk, -1
    ],
    align=True,
)
"""Something to do for a desk, and its place where it waits."""

DESK = np.dtype(
    [
        ("work", LAW),
        ("stretch", "f8"),  # a job keeps a server this much longer: there is a whole number of servers at any scale
        ("opens_us", "i8"),
        ("closes_us", "i8"),
        ("patience_us", "i8"),
        ("first", "i8"),  # its part of the servers
        ("last", "i8"),
        ("clock_us", "i8"),  # when the last job came
        ("busy_us", "i8"),
        ("head", "i4", (3,)),  # the first and the last job that waits, by tier, -1
        ("tail", "i4", (3,)),
        ("does", "i4"),
    ],
    align=True,
)
"""A desk: its servers are alike, and each does one job at a time."""

CALL_DESK, FREEZE_DESK, VISIT_DESKS = 0, 1, 2
"""Where they stand: the call desk, the freeze desk, then teams by province."""

CALLS, VISIT, FREEZE = 0, 1, 2
DESKS = ("call-96110", "visit-in-person", "freeze-transfers")

WAIT_BINS = 240
"""Waits are counted in eighths of an octave from a second on."""


EVENT = np.dtype([("time_us", "i8"), ("person", "u8"), ("amount", "i8"), ("measure", "i4")], align=True)
"""Something that happened to a person, by its measure, where stories are kept."""

CAST = np.dtype(
    [
        ("person", "u8"),
        ("line", "i8"),  # that reached the person, -1: nobody's, or one whose number is not its own
        ("generation", "i8"),
        ("b_number", "u8"),
        ("kind", "i4"),
        ("province", "i4"),
        ("age", "i4"),
        ("source", "i4"),
    ],
    align=True,
)
"""Who the people of the stories are."""


class Ledger(NamedTuple):
    """What is counted, at the times things happen.

    from_us int64 (1,)                                          the start of counting, a local midnight
    month   int32 (days,)                                       month of each counted day
    tally   int64 (FOLDS, sources, measures)
    daily   int64 (days, types, measures)
    cells   int64 (months, types, provinces, ages, measures)    of people at risk alone
    waits   int64 (3, 3, WAIT_BINS)                             jobs begun by desk and tier, by how long they waited
    served  int64 (days, 3, 3, 4)                               came, begun, given up, us waited
    events, cast                                                stories (EVENT, CAST), as far as there is room
    kept    int64 (3,)                                          events and people kept, and how many folds are kept
    """

    from_us: NDArray[np.int64]
    month: NDArray[np.int32]
    tally: NDArray[np.int64]
    daily: NDArray[np.int64]
    cells: NDArray[np.int64]
    waits: NDArray[np.int64]
    served: NDArray[np.int64]
    events: Table
    cast: Table
    kept: NDArray[np.int64]


class State(NamedTuple):
    """All that the response knows.

    key        uint64 (2,)      the words of the root key
    rules      RULES (1,)
    kinds      KIND (types,)
    kind_of    int64 (cells,)   fraud type of each row of the daily accounts
    police     uint64 (groups,) stream of the draws of a line group's numbers, 0 where it presents none of its own
    falls      uint64 (types, ages)     thresholds of falling for it
    ages, provinces, types   uint64     cumulative thresholds
    numbers    NUMBER           and `known` int64, when each is handed over, NEVER where it is not or has been
    latest     int32 (lines,)   place of each line's latest number, -1
    persons    PERSON           and `due` int64, when something happens to each next
    jobs       JOB
    free       int32 (3, room)  stacks of free places of numbers, persons, jobs
    later      int32 (STEPS,)   first of the jobs that are ready in each of the steps to come, -1
    soon_us    int64 (2, jobs)  heaps of when jobs are ready up to `now[UNTIL]`, and `soon` int32, the places of these
    desks      DESK             the call desk, the freeze desk, then teams by province
    begins     int64 (desks,)   when each begins the first job that waits, NEVER where none does
    servers    int64            when each is free
    reports    int64 (persons, 2)  numbers that victims reported, and when police would have known them, NEVER if not
    now        int64 (11,)      see the constants below
    mean       float64 (1,)     false warnings that a subscriber remembers
    """

    key: NDArray[np.uint64]
    rules: Table
    kinds: Table
    kind_of: NDArray[np.int64]
    police: NDArray[np.uint64]
    falls: NDArray[np.uint64]
    ages: NDArray[np.uint64]
    provinces: NDArray[np.uint64]
    types: NDArray[np.uint64]
    numbers: Table
    known: NDArray[np.int64]
    latest: NDArray[np.int32]
    persons: Table
    due: NDArray[np.int64]
    jobs: Table
    free: NDArray[np.int32]
    later: NDArray[np.int32]
    soon_us: NDArray[np.int64]
    soon: NDArray[np.int32]
    desks: Table
    begins: NDArray[np.int64]
    servers: NDArray[np.int64]
    reports: NDArray[np.int64]
    now: NDArray[np.int64]
    mean: NDArray[np.float64]


NUMBERS, PERSONS, JOBS, ARRIVED, NEXT_ARRIVAL, COMING, FREEZES_COMING = range(7)
FALSE_MESSAGES, FALSE_CALLS, REPORTED_NOW, UNTIL = range(7, 11)
"""What `now` holds: free places of each kind; people met on the internet and when the next is; how many jobs stand in
the heap of calls and visits, and in that of freezes, which are served when all that leads to reports has happened;
false warnings of the day; how many reports there are; up to when jobs that are ready stand in the heaps."""

STEPS = 1024
"""For so many steps ahead jobs are laid down by the step in which they are ready; what is later lies with the last."""


@kernel
def day_of(ledger: Ledger, at_us: Scalar) -> int:
    """Return the counted day of a time, the last one for times beyond the run, -1 for those before counting begins."""
    if at_us < ledger.from_us[0]:
        return -1
    return min((at_us - ledger.from_us[0]) // DAY_US, ledger.daily.shape[0] - 1)


@kernel
def count(
    ledger: Ledger, at_us: Scalar, fold: Scalar, source: Scalar, kind: Scalar, measure: Scalar, amount: Scalar
) -> None:
    """Count so much of a measure at a time, unless that is before counting begins."""
    day = day_of(ledger, at_us)
    if day >= 0:
        ledger.tally[fold, source, measure] += amount
        ledger.daily[day, kind, measure] += amount


@kernel
def count_person(ledger: Ledger, at_us: Scalar, who: Record, measure: Scalar, amount: Scalar) -> None:
    """Count something of a person, or of a job for one; keep it for the person's story."""
    count(ledger, at_us, who.fold, who.source, who.kind, measure, amount)
    if who.fold < ledger.kept[2]:
        event = ledger.events[ledger.kept[0]]
        event.time_us, event.person, event.measure, event.amount = at_us, who.uid, measure, amount
        ledger.kept[0] += 1
    day = day_of(ledger, at_us)
    if day >= 0:
        ledger.cells[ledger.month[day], who.kind, who.province, who.age, measure] += amount
