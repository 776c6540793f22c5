"""What the kernels of traffic work on: a record for each line and each group of lines, and what all share.

Times are int64 microseconds from the start of the run. A line's next attempt is kept in operational time, integer
weight of the hour x microseconds, so that a slice may be cut anywhere without changing an attempt.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from interceptsim.attempts import Rows
from interceptsim.compiled import Table
from interceptsim.randomness import LAW

__all__ = [
    "CLI_FIXED",
    "CLI_NEIGHBOUR",
    "CLI_OWN",
    "CLI_RANDOM",
    "GROUP",
    "LINE",
    "NEVER",
    "Draws",
    "Supply",
    "Work",
    "empty_draws",
]

NEVER = np.int64(2**62)
"""A time beyond any run."""

CLI_OWN, CLI_RANDOM, CLI_FIXED, CLI_NEIGHBOUR = 0, 1, 2, 3

GROUP = np.dtype(
    [
        ("attempt_stream", "u8"),
        ("line_stream", "u8"),
        ("number_stream", "u8"),
        ("fate_stream", "u8"),
        ("incoming_stream", "u8"),
        ("again_stream", "u8"),
        ("police_stream", "u8"),
        ("person_stream", "u8"),
        ("template_stream", "u8"),
        ("life", LAW),
        ("notice", LAW),
        ("resupply", LAW),
        ("ring", LAW),
        ("talk", LAW),
        ("failed_bound", "u8"),  # thresholds of one draw: failed below the first, answered below the second,
        ("answered_bound", "u8"),
        ("labelled_bound", "u8"),  # or, where the call is labelled, the third
        ("complaint_bound", "u8"),  # of another draw: complained of below the first, somebody falls for it from the
        ("engaged_bound", "u8"),  # second on
        ("found_bound", "u8"),  # of a number's draw: police find it themselves
        ("stranger_bound", "u8"),  # below: the attempt goes to a stranger, else to one of so many contacts
        ("contacts", "i8"),
        ("incoming", "f8"),  # mean calls to a number a day
        ("rotate_window", "i8"),  # attempts of a number looked back on, 0: never
        ("rotate_least", "i8"),  # answers among them below which it is thrown away
        ("slow_us", "i8"),  # how long a line is slow after an interception
        ("keep_bound", "u8"),  # threshold of the draw for an attempt that it still makes
        ("again_bound", "u8"),  # and for one that is tried again from a fresh number
        ("entries", "i8"),  # how many entries it changes among
        ("move_after", "i8"),  # after so many intercepted calls in a row it sends messages, 0: never,
        ("move_us", "i8"),  # for so long;
        ("messages", "i8"),  # the group as which these are counted, -1: none
        ("restricted_us", "i8"),  # replacements of numbers that die from here on
        ("slower", "f8"),  # take so many times as long
        ("gap", "f8"),  # mean operational time between attempts of a line of mean rate
        ("rate_sigma", "f8"),
        ("kept", "f8"),  # lines of this run
        ("first_index", "i8"),  # of ordinary callers: that of its first line, since bands of rates share a class's
        ("rate_from", "f8"),  # and its part of the law of rates, from one quantile to another
        ("rate_to", "f8"),
        ("text_mean", "f8"),
        ("text_deviation", "f8"),
        ("link_bound", "i8"),  # threshold of the draw for a link in a template
        ("text_jitter", "i8"),  # in units of 1 / SCORE_ONE
        ("templates", "i8"),
        ("presents", "u8"),  # the number of a fixed CLI
        ("serial", "i8"),  # the first serial of the group's numbers at full size
        ("serial_step", "i8"),  # serials between two generations of a line, or lines between two ordinals
        ("country_code", "i8"),
        ("first_type", "i8"),  # the group's part of the table of fraud types
        ("last_type", "i8"),
        ("profile", "i8"),
        ("tick", "i8"),  # attempts fall on its multiples, in microseconds
        ("channel", "u1"),
        ("entry", "u1"),
        ("own_kind", "u1"),  # kind of the numbers that the line owns
        ("a_kind", "u1"),  # kind of the number that it presents
        ("cli", "u1"),
        ("roaming", "?"),
        ("ordinary", "?"),
        ("adapts", "?"),
        ("entry_list", "u1", (4,)),
    ],
    align=True,
)

LINE = np.dtype(
    [
        ("first_us", "i8"),  # when its first attempt falls due; of later ones `Supply.due_us` tells
        ("operational", "i8"),  # when attempt `ordinal` falls due, in operational time
        ("ordinal", "i8"),
        ("generation", "i8"),  # which number the line has, from 0
        ("born_us", "i8"),  # the number is active from here
        ("dies_us", "i8"),  # to here, excluded
        ("notice_us", "i8"),  # how long after a listing the line goes on with it
        ("reported", "i8"),  # the last generation complained of, -1 at first
        ("starts_us", "i8"),  # the line makes attempts from here, a start of an hour,
        ("ends_us", "i8"),  # to here, excluded
        ("slow_until_us", "i8"),  # the line holds attempts back up to here
        ("moved_until_us", "i8"),  # the line sends messages up to here
        ("in_a_row", "i4"),  # calls intercepted one after the other
        ("away_us", "i8"),  # a raid takes the line away here,
        ("back_us", "i8"),  # and it is at work again from here on,
        ("elsewhere", "i4"),  # its rows of the daily accounts being so much further on
        ("bought", "i4"),  # the generation up to which numbers have been counted as bought
        ("again", "u8"),  # whom it tries again next, 0: nobody
        ("answers", "u8"),  # which of the number's last attempts were answered, a bit each
        ("gap", "f8"),
        ("a_number", "u8"),
        ("hour", "i4"),  # hour of the run in which that lies
        ("group", "i4"),
        ("index", "u4"),  # the line within its group
        ("cell", "i4"),  # row of the daily accounts
        ("fold", "i4"),  # group of the jackknife
        ("campaign", "u4"),
        ("content", "u4"),
        ("link", "u4"),
        ("text", "i4"),  # score of the number's template
        ("incoming", "u4"),  # calls to the number on the day before `incoming_day`
        ("incoming_day", "i4"),
        ("counted", "i8"),  # the last generation that was accounted for, and of it:
        ("known_us", "i8"),  # when police hand it over
        ("reached", "i4"),  # how many people it reached,
        ("before", "i4"),  # before that,
        ("talked", "i4"),  # and how many of those took the call
        ("watched", "i4"),  # whether control waits for these counts
        ("cut_off_day", "i4"),  # the last day on which an attempt of the line was intercepted
        ("tried", "i4"),  # attempts of the number
        ("turn", "i4"),  # interceptions of the line, which say by which entry it comes in
        ("entry", "u1"),
        ("fresh", "u1"),  # the number has not presented itself yet
    ],
    align=True,
)


class Supply(NamedTuple):
    """What all lines share while a run lasts.

    key          uint64 (2,)                the words of the root key
    reached      int64 (profiles, hours+1)  operational time at the start of each hour
    weight       int64 (profiles, hours)    weight of each hour
    carriers     uint8 (256,)               carrier of each value of a byte of a hashed number
    due_us       int64 (lines,)             when the next attempt of each line falls due; apart from the lines, since in
                                            most slices that is all that is read of most of them
    lost         uint64 (intervals, groups) threshold of the draw for finding no circuit free, posted for each interval
                                            of the day at hand
    lag_us       int64 (intervals, groups)  how long a message takes to be delivered, posted likewise
    now          int64 (2,)                 the interval at hand, and the start of its day, UTC us
    every_us     how long an interval is
    validity_us  int64 (groups,)            one that takes longer expires
    epoch_us     the start of the run, UTC us
    end_us       the end of the run, us from its start
    counted_us   the end of the warm-up, us from the start
    subscribers  how many can be called, below 2**32
    stride       serials between two of them
    incoming     whether a rule reads how many calls came in
    response     whether control wants to know whom numbers reached
    """

    key: NDArray[np.uint64]
    reached: NDArray[np.int64]
    weight: NDArray[np.int64]
    carriers: NDArray[np.uint8]
    due_us: NDArray[np.int64]
    lost: NDArray[np.uint64]
    lag_us: NDArray[np.int64]
    now: NDArray[np.int64]
    every_us: int
    validity_us: NDArray[np.int64]
    epoch_us: int
    end_us: int
    counted_us: int
    subscribers: int
    stride: int
    incoming: bool
    response: bool


class Draws(NamedTuple):
    """Scratch: draws made ahead for the lines at hand, one an attempt that may follow; later those of their fates.

    Columns of one capacity: `stream`, `entity` (uint32) and `ordinal` (int64) name the draw, `w0` to `w3`
    (uint32) are its words, `gap` (float64) the standard exponential of `w0`, `b_number` (uint64) and
    `b_carrier` (uint8) who is called. `line` and `first` (int64) tell whose they are; `pending` (int64, twice
    as long) are lines whose draws did not reach the end of the slice. `ended` (uint8), `busy_us` (int64) and `drawn`
    (uint32) are fates, by row; `delayed` (int64), `delay_word` (uint32), `delay_scale`, `delay_sigma` (float64) and
    `delay_us` (int64), twice as long, their delays, two a row at the most.
    """

    stream: NDArray[np.uint32]
    entity: NDArray[np.uint32]
    ordinal: NDArray[np.int64]
    w0: NDArray[np.uint32]
    w1: NDArray[np.uint32]
    w2: NDArray[np.uint32]
    w3: NDArray[np.uint32]
    gap: NDArray[np.float64]
    b_number: NDArray[np.uint64]
    b_carrier: NDArray[np.uint8]
    line: NDArray[np.int64]
    first: NDArray[np.int64]
    pending: NDArray[np.int64]
    ended: NDArray[np.uint8]
    busy_us: NDArray[np.int64]
    drawn: NDArray[np.uint32]
    delayed: NDArray[np.int64]
    delay_word: NDArray[np.uint32]
    delay_scale: NDArray[np.float64]
    delay_sigma: NDArray[np.float64]
    delay_us: NDArray[np.int64]


class Work(NamedTuple):
    """What one thread works on and writes to, in one piece for the kernels.

    lines      LINE (lines,)            those of all threads; a thread touches only the ones that it is given
    groups     GROUP (groups,)
    supply     what all lines share
    ops, pool  int64                    the compiled filter, as `filtering.plan` lays it out
    state      int64 (slots, words)     what rules remember of each number, by `rows.slot`
    hindsight  int64 (rules, 4)         what of an attempt's fate goes into it
    draws      scratch
    rows       a batch of attempts
    accounts   `world.Accounts`
    words      WORD                     what control is to know
    """

    lines: Table
    groups: Table
    supply: Supply
    ops: NDArray[np.int64]
    pool: NDArray[Any]
    state: NDArray[np.int64]
    hindsight: NDArray[np.int64]
    draws: Draws
    rows: Rows
    accounts: Any
    words: Table


def empty_draws(capacity: int) -> Draws:
    """Return scratch for so many draws ahead."""
    return Draws(
        stream=np.zeros(capacity, np.uint32),
        entity=np.zeros(capacity, np.uint32),
        ordinal=np.zeros(capacity, np.int64),
        w0=np.zeros(capacity, np.uint32),
        w1=np.zeros(capacity, np.uint32),
        w2=np.zeros(capacity, np.uint32),
        w3=np.zeros(capacity, np.uint32),
        gap=np.zeros(capacity),
        b_number=np.zeros(capacity, np.uint64),
        b_carrier=np.zeros(capacity, np.uint8),
        line=np.zeros(capacity, np.int64),
        first=np.zeros(capacity + 1, np.int64),
        pending=np.zeros(2 * capacity, np.int64),
        ended=np.zeros(capacity, np.uint8),
        busy_us=np.zeros(capacity, np.int64),
        drawn=np.zeros(capacity, np.uint32),
        delayed=np.zeros(2 * capacity, np.int64),
        delay_word=np.zeros(2 * capacity, np.uint32),
        delay_scale=np.zeros(2 * capacity),
        delay_sigma=np.zeros(2 * capacity),
        delay_us=np.zeros(2 * capacity, np.int64),
    )
