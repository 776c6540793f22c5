"""The compiled traffic generator: each line's attempts in order, from keyed draws alone.

State is two tables of records, one row a line (`LINE`) and one row a group of lines (`GROUP`). Times are
int64 microseconds from the start of the run. A line's next attempt is kept in operational time, integer
weight of the hour x microseconds, so that a slice may be cut anywhere without changing an attempt.

Attempt n of a line is fixed by (group, line index, n): its draw gives the called number, the text's jitter
and the gap to attempt n+1. Whether it is made depends on the number that the line then has.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interceptsim.attempts import SCORE_ONE, SMS, Rows
from interceptsim.compiled import Column, Record, Scalar, Table, kernel
from interceptsim.numbering import neighbour_number, own_number, random_number, subscriber_number
from interceptsim.randomness import (
    DELAY_LOGNORMAL,
    choose,
    delay_us,
    draw,
    draw_all,
    exp_of,
    index_below,
    log_of,
    mix64,
    normal_quantile,
    poisson,
    unit,
)
from interceptsim.units import DAY_US, HOUR_US

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
    "contact_of",
    "empty_draws",
    "end_lines",
    "generate",
    "numbers_of",
    "react",
    "start_lines",
]

NEVER = np.int64(2**62)
"""A time beyond any run."""

CLI_OWN, CLI_RANDOM, CLI_FIXED, CLI_NEIGHBOUR = 0, 1, 2, 3

_DELAY = np.dtype([("kind", "i8"), ("minimum", "i8"), ("scale", "f8"), ("sigma", "f8")])

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
        ("life", _DELAY),
        ("notice", _DELAY),
        ("resupply", _DELAY),
        ("ring", _DELAY),
        ("talk", _DELAY),
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
        ("next_us", "i8"),  # when attempt `ordinal` falls due
        ("operational", "i8"),  # the same in operational time
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
        ("hour", "i4"),  # hour of the run in which next_us lies
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


@kernel
def _time_of(
    operational: Scalar, hour: Scalar, profile: Scalar, tick: Scalar, reached: Column, weight: Column
) -> tuple[Scalar, Scalar]:
    """Return (microsecond, hour) at which a profile has reached an operational time, NEVER past the run.

    The microsecond is rounded down to a whole multiple of `tick`, which divides an hour.
    """
    last = reached.shape[1] - 1
    while hour < last and reached[profile, hour + 1] <= operational:
        hour += 1
    if hour == last:
        return NEVER, hour
    time_us = hour * HOUR_US + (operational - reached[profile, hour]) // weight[profile, hour]
    if tick > 1:
        time_us -= time_us % tick
    return time_us, hour


@kernel
def _write(campaign: Scalar, group: Record, key0: Scalar, key1: Scalar, word: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """Return content, link (0: none) and score of the template of a campaign that a 32-bit draw picks."""
    template = np.int64(np.uint64(word) * np.uint64(group.templates) >> np.uint64(32))
    name, score, carries, link = draw(key0, key1, group.template_stream, campaign, template)
    z = normal_quantile(unit(score))
    text = np.int64((group.text_mean + group.text_deviation * z) * SCORE_ONE)
    content = np.uint32(name) | np.uint32(1)
    return content, np.uint32(link) | np.uint32(1) if np.int64(carries) < group.link_bound else np.uint32(0), text


@kernel
def _begin_number(line: Record, group: Record, key0: Scalar, key1: Scalar) -> None:
    """Give the line the number of its `generation`, active from `born_us`: life, notice, digits, template."""
    w0, _, w2, w3 = draw(key0, key1, group.number_stream, line.index, line.generation)
    life = delay_us(w0, group.life.kind, group.life.minimum, group.life.scale, group.life.sigma)
    line.dies_us = line.born_us + max(life, 1)
    line.notice_us = delay_us(w2, group.notice.kind, group.notice.minimum, group.notice.scale, group.notice.sigma)
    line.fresh = 1
    line.tried = 0
    line.answers = 0
    if group.cli == CLI_FIXED:
        line.a_number = group.presents
    elif group.cli == CLI_OWN:
        serial = group.serial + np.int64(line.index) + line.generation * group.serial_step
        line.a_number = own_number(serial, group.own_kind, group.country_code)
    line.content = 0
    if group.channel == SMS:
        line.content, line.link, line.text = _write(line.campaign, group, key0, key1, w3)


@kernel
def _next_number(line: Record, group: Record, key0: Scalar, key1: Scalar, from_us: Scalar, to_us: Scalar) -> int:
    """Let the line's number die and its replacement begin, after the resupply delay of the dead one.

    Return for how many us between two times the line is silent in between.
    """
    _, w1, _, _ = draw(key0, key1, group.number_stream, line.index, line.generation)
    wait = delay_us(w1, group.resupply.kind, group.resupply.minimum, group.resupply.scale, group.resupply.sigma)
    if line.dies_us >= group.restricted_us:
        wait = np.int64(np.float64(wait) * group.slower)
    silent_from_us = max(line.dies_us, from_us)
    line.born_us = line.dies_us + wait
    if line.away_us <= line.born_us < line.back_us:
        line.born_us = line.back_us
    line.generation += 1
    _begin_number(line, group, key0, key1)
    if line.born_us < line.away_us:
        line.dies_us = min(line.dies_us, line.away_us)
    return max(min(line.born_us, to_us) - silent_from_us, np.int64(0))


@kernel
def end_lines(lines: Table, groups: Table, supply: Supply, idle_us: Column) -> None:
    """Count, of lines that have attempted nothing since, how long they are silent up to the end of the run."""
    key0, key1 = supply.key[0], supply.key[1]
    for i in range(lines.shape[0]):
        line = lines[i]
        group = groups[line.group]
        while line.dies_us < supply.end_us:
            idle_us[line.fold, line.group] += _next_number(line, group, key0, key1, supply.counted_us, supply.end_us)


@kernel
def start_lines(lines: Table, groups: Table, types: Column, key: Column, reached: Column, weight: Column) -> None:
    """Put every line at the start of the run: its rate, fraud type, first attempt and a number in mid-life.

    On entry each line has its `group`, `index`, `fold`, `starts_us`, `ends_us` and what raids do to it. `types` holds,
    for each group's part, cumulative uint64 thresholds in column 0 and campaign ids in column 1. The number's remaining
    life is drawn from the equilibrium law: a life picked in proportion to its length, of which a uniform part is
    over.
    """
    key0, key1 = key[0], key[1]
    for i in range(lines.shape[0]):
        line = lines[i]
        group = groups[line.group]
        w0, _, w2, w3 = draw(key0, key1, group.line_stream, line.index, 0)
        sigma = group.rate_sigma
        where = unit(w0)
        if group.ordinary:  # a sample has all rates in turn
            nth = np.int64(line.index) - group.first_index
            where = group.rate_from + (nth + where) / group.kept * (group.rate_to - group.rate_from)
        factor = exp_of(sigma * normal_quantile(where) - sigma * sigma / 2.0) if sigma > 0.0 else 1.0
        line.gap = group.gap / factor
        kind = choose(w2, types[:, 0], group.first_type, group.last_type)
        line.cell = kind
        line.campaign = types[kind, 1]
        line.reported = -1
        line.counted = 0
        line.known_us = NEVER
        line.entry = group.entry
        line.incoming_day = -1
        line.cut_off_day = -1
        line.generation = 0
        line.born_us = 0
        _begin_number(line, group, key0, key1)
        life = line.dies_us
        x0, _, x2, x3 = draw(key0, key1, group.line_stream, line.index, 1)
        law = group.life
        mean = law.scale * exp_of(law.sigma * law.sigma / 2.0)
        if unit(x0) * (law.minimum + mean) >= law.minimum:  # it is the random part whose length made it be met
            if law.kind == DELAY_LOGNORMAL:  # the length-biased lognormal is one of median * e**(sigma**2)
                life = delay_us(x2, law.kind, law.minimum, law.scale * exp_of(law.sigma * law.sigma), law.sigma)
            elif law.scale > 0.0:  # the length-biased exponential is a sum of two
                life += np.int64(-log_of(unit(x2)) * law.scale)
        line.dies_us = NEVER if group.ordinary else min(max(np.int64(life * unit(x3)), 1), line.away_us)
        line.ordinal = 0
        line.hour = line.starts_us // HOUR_US
        line.operational = reached[group.profile, line.hour] + np.int64(-log_of(unit(w3)) * line.gap)
        due, line.hour = _time_of(line.operational, line.hour, group.profile, group.tick, reached, weight)
        line.next_us = due if due < line.ends_us else NEVER


@kernel
def numbers_of(lines: Table, groups: Table, which: Column, generation: Column) -> Column:
    """Return the numbers (uint64) that lines `which` own in given generations; their groups own what they present."""
    out = np.empty(which.shape[0], np.uint64)
    for k in range(which.shape[0]):
        line = lines[which[k]]
        group = groups[line.group]
        serial = group.serial + np.int64(line.index) + generation[k] * group.serial_step
        out[k] = own_number(serial, group.own_kind, group.country_code)
    return out


class Supply(NamedTuple):
    """What all lines share while a run lasts.

    key          uint64 (2,)                the words of the root key
    reached      int64 (profiles, hours+1)  operational time at the start of each hour
    weight       int64 (profiles, hours)    weight of each hour
    carriers     uint8 (256,)               carrier of each value of a byte of a hashed number
    lost         uint64 (groups,)           threshold of the draw for finding no circuit free, posted
    lag_us       int64 (groups,)            how long a message takes to be delivered, posted
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
    lost: NDArray[np.uint64]
    lag_us: NDArray[np.int64]
    validity_us: NDArray[np.int64]
    epoch_us: int
    end_us: int
    counted_us: int
    subscribers: int
    stride: int
    incoming: bool
    response: bool


class Draws(NamedTuple):
    """Scratch of the generator: draws made ahead for the lines at hand, one column an attempt that may follow.

    Columns of one capacity: `stream`, `entity` (uint32) and `ordinal` (int64) name the draw, `w0` to `w3`
    (uint32) are its words, `gap` (float64) the standard exponential of `w0`, `b_number` (uint64) and
    `b_carrier` (uint8) who is called. `line` and `first` (int64) tell whose they are; `pending` (int64, twice
    as long) are lines whose draws did not reach the end of the slice.
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
    )


_MOST_AHEAD = 1024


@kernel
def _look_ahead(
    lines: Table,
    groups: Table,
    supply: Supply,
    agenda: Column,
    until_us: Scalar,
    cursor: Scalar,
    stop: Scalar,
    pending: Scalar,
    draws: Draws,
) -> tuple[int, int, int]:
    """Choose lines and how many draws to make for each: about as many as attempts are due before `until_us`.

    Return (lines chosen, cursor, lines still pending); the names of the draws are written into `draws`.
    """
    room = draws.ordinal.shape[0]
    stream, entity, ordinal = draws.stream, draws.entity, draws.ordinal
    chosen, first, waiting, weight = draws.line, draws.first, draws.pending, supply.weight
    taken = 0
    filled = 0
    n = 0
    while filled < room:
        if taken < pending:
            i = waiting[taken]
            taken += 1
        elif cursor < stop:
            i = agenda[cursor]
            cursor += 1
        else:
            break
        line = lines[i]
        if line.next_us >= until_us:
            continue
        group = groups[line.group]
        due = np.float64((until_us - line.next_us) * weight[group.profile, line.hour]) / line.gap
        ahead = np.float64(0) if group.adapts else np.float64(_MOST_AHEAD)  # what becomes of it may decide on the next
        spare = 2.0 * np.sqrt(due) + 1.0 if cursor == stop else 0.0  # no others are left to fill a batch with
        count = min(np.int64(min(due + spare, ahead)) + 1, room - filled)
        chosen[n] = i
        first[n] = filled
        n += 1
        for k in range(count):
            stream[filled + k] = group.attempt_stream
            entity[filled + k] = line.index
            ordinal[filled + k] = line.ordinal + k
        filled += count
    first[n] = filled
    for k in range(pending - taken):
        waiting[k] = waiting[taken + k]
    return n, cursor, pending - taken


@kernel
def _again(w1: Scalar, w2: Scalar) -> Scalar:
    """Return another 32 bits of an attempt's draw, by scrambling the two words that chose whom it calls."""
    return mix64(np.uint64(w1) << np.uint64(32) | np.uint64(w2)) >> np.uint64(32)


@kernel
def react(
    line: Record, group: Record, at_us: Scalar, intercepted: Scalar, answered: Scalar, b_number: Scalar, word: Scalar
) -> None:
    """Let a line that adapts react to what became of its attempt, a call or message of `group`; `word` is a draw."""
    if group.move_after > 0 and group.channel != SMS:
        line.in_a_row = line.in_a_row + 1 if intercepted else 0
        if line.in_a_row >= group.move_after:
            line.in_a_row = 0
            line.moved_until_us = at_us + group.move_us
    line.tried += 1
    line.answers = line.answers << np.uint64(1) | np.uint64(answered)
    gone = False
    if intercepted:
        line.turn += 1
        if group.slow_us > 0:
            line.slow_until_us = at_us + group.slow_us
        if group.entries > 0:
            line.entry = group.entry_list[line.turn % group.entries]
        if word < group.again_bound:
            line.again = b_number
            gone = True
    if group.rotate_window > 0 and line.tried >= group.rotate_window:
        answered_of_late = 0
        for place in range(group.rotate_window):
            answered_of_late += int(line.answers >> np.uint64(place) & np.uint64(1))
        gone = gone or answered_of_late < group.rotate_least
    if gone:
        line.dies_us = min(line.dies_us, at_us + 1)


@kernel
def contact_of(
    stream: Scalar, index: Scalar, contacts: Scalar, word: Scalar, subscribers: Scalar, stride: Scalar
) -> Scalar:
    """Return the number of one of a line's contacts: which, falls with the square of a 32-bit draw, so few are many."""
    which = (np.uint64(word) * np.uint64(word) >> np.uint64(32)) * np.uint64(contacts) >> np.uint64(32)
    who = mix64(mix64(np.uint64(stream) << np.uint64(32) | np.uint64(index)) + which)
    return subscriber_number(index_below(who >> np.uint64(32), who & np.uint64(0xFFFFFFFF), subscribers), stride)


@kernel
def _count_incoming(line: Record, group: Record, key0: Scalar, key1: Scalar, day: Scalar) -> None:
    """Draw how many calls came to the line's number on the day before."""
    if line.incoming_day != day:
        word, _, _, _ = draw(key0, key1, group.incoming_stream, line.index, day)
        line.incoming = poisson(word, group.incoming)
        line.incoming_day = day


# Small loops apart from each other, so that each is compiled for many draws at a time.


@kernel
def _gaps(w0: Column, n: Scalar, gap: Column) -> None:
    for k in range(n):
        gap[k] = -log_of(unit(w0[k]))


@kernel
def _callees(w1: Column, w2: Column, n: Scalar, subscribers: Scalar, stride: Scalar, b_number: Column) -> None:
    for k in range(n):
        b_number[k] = subscriber_number(index_below(w1[k], w2[k], subscribers), stride)


@kernel
def _carriers_of(b_number: Column, n: Scalar, carriers: Column, b_carrier: Column) -> None:
    for k in range(n):
        b_carrier[k] = carriers[mix64(b_number[k]) >> np.uint64(56)]


@kernel
def _prepare(supply: Supply, draws: Draws, n: Scalar) -> None:
    """Make the first `n` draws, and what follows from them alone."""
    key = supply.key
    words = draws.w0, draws.w1, draws.w2, draws.w3
    draw_all(key[0], key[1], draws.stream, draws.entity, draws.ordinal, n, words[0], words[1], words[2], words[3])
    _gaps(words[0], n, draws.gap)
    _callees(words[1], words[2], n, supply.subscribers, supply.stride, draws.b_number)
    _carriers_of(draws.b_number, n, supply.carriers, draws.b_carrier)


@kernel
def generate(
    lines: Table,
    groups: Table,
    supply: Supply,
    agenda: Column,
    until_us: Scalar,
    cursor: Scalar,
    stop: Scalar,
    pending: Scalar,
    draws: Draws,
    rows: Rows,
    daily: Column,
    folds: Column,
    idle_us: Column,
) -> tuple[int, int, int]:
    """Emit attempts before `until_us` of lines `cursor` to `stop` of an agenda into `rows`, each line's in order.

    Return (rows filled, cursor, pending), to be called with again until the cursor is `stop` and nothing is
    pending; begin with 0 pending. Attempts that fall in silence are counted in column 0 (NOT_MADE) of the
    accounts, `daily` by the line's cell and `folds` by its fold and group; how long lines have no number, in `idle_us`.
    """
    chosen, cursor, pending = _look_ahead(lines, groups, supply, agenda, until_us, cursor, stop, pending, draws)
    _prepare(supply, draws, draws.first[chosen])
    key0, key1, epoch_us = supply.key[0], supply.key[1], supply.epoch_us
    reached, weight, counted_us, end_us = supply.reached, supply.weight, supply.counted_us, supply.end_us
    which, first, waiting, gap, words = draws.line, draws.first, draws.pending, draws.gap, draws.w3
    callee, callee_carrier, whom, rest = draws.b_number, draws.b_carrier, draws.w1, draws.w2
    last_hour = weight.shape[1]
    n = 0
    for j in range(chosen):
        i = which[j]
        line = lines[i]
        group = groups[line.group]
        due = line.next_us
        ordinal = line.ordinal
        operational = line.operational
        hour = np.int64(line.hour)
        ends_us, profile, tick = line.ends_us, group.profile, group.tick
        for k in range(first[j], first[j + 1]):
            if due >= until_us:
                break
            while due >= line.dies_us:
                idle_us[line.fold, line.group] += _next_number(line, group, key0, key1, counted_us, end_us)
            held_back = False
            if group.adapts and due < line.slow_until_us:
                held_back = _again(whom[k], rest[k]) >= group.keep_bound
            made = due >= line.born_us and not held_back
            cell = line.cell + line.elsewhere if due >= line.back_us else line.cell
            writes = group.channel == SMS
            writer = group
            if group.messages >= 0:  # of call and message one at the most is made
                writer = groups[group.messages]
                writes = due < line.moved_until_us
                if made and writes:
                    daily[cell, 0] += 1
                    folds[line.fold, line.group, 0] += 1
                else:
                    daily[cell + writer.first_type - group.first_type, 0] += 1
                    folds[line.fold, group.messages, 0] += 1
            if made:
                b_number = callee[k]
                carrier = callee_carrier[k]
                if group.contacts > 0 and words[k] >= group.stranger_bound:
                    b_number = contact_of(
                        group.line_stream, line.index, group.contacts, whom[k], supply.subscribers, supply.stride
                    )
                    carrier = supply.carriers[mix64(b_number) >> np.uint64(56)]
                if line.again != np.uint64(0):
                    b_number = line.again
                    carrier = supply.carriers[mix64(b_number) >> np.uint64(56)]
                    line.again = 0
                if supply.incoming:
                    _count_incoming(line, group, key0, key1, due // DAY_US)
                    rows.a_incoming[n] = line.incoming
                rows.time_us[n] = epoch_us + due
                rows.b_number[n] = b_number
                rows.b_carrier[n] = carrier
                rows.channel[n] = writer.channel if writes else group.channel
                rows.entry[n] = line.entry
                rows.a_kind[n] = group.a_kind
                rows.roaming[n] = group.roaming
                rows.content[n] = 0
                if writes:
                    if line.content == 0:
                        pick = draw(key0, key1, group.number_stream, line.index, line.generation)[3]
                        line.content, line.link, line.text = _write(line.campaign, writer, key0, key1, pick)
                    rows.content[n] = line.content
                    if group.ordinary:  # every message of theirs is another
                        line.content, line.link, line.text = _write(line.campaign, group, key0, key1, words[k])
                        rows.content[n] = line.content
                    jitter = np.int64(np.uint64(words[k]) * np.uint64(2 * writer.text_jitter + 1) >> np.uint64(32))
                    rows.text_score[n] = line.text + jitter - writer.text_jitter
                    rows.link[n] = line.link
                else:
                    rows.text_score[n] = 0
                    rows.link[n] = 0
                rows.slot[n] = i
                rows.line[n] = i
                rows.ordinal[n] = ordinal
                rows.generation[n] = line.generation
                rows.fresh[n] = line.fresh
                if group.cli == CLI_RANDOM:
                    serial = (group.serial + np.int64(line.index)) * group.serial_step
                    rows.a_number[n] = random_number(serial + ordinal % group.serial_step)
                elif group.cli == CLI_NEIGHBOUR:
                    rows.a_number[n] = neighbour_number(b_number, words[k])
                else:
                    rows.a_number[n] = line.a_number
                    line.fresh = 0
                n += 1
            else:
                daily[cell, 0] += 1
                folds[line.fold, line.group, 0] += 1
            operational += np.int64(gap[k] * line.gap)
            ordinal += 1
            while hour < last_hour and reached[profile, hour + 1] <= operational:  # as `_time_of` does, without a call
                hour += 1
            due = NEVER
            if hour < last_hour:
                due = hour * HOUR_US + (operational - reached[profile, hour]) // weight[profile, hour]
                if tick > 1:
                    due -= due % tick
                if due >= ends_us:
                    due = NEVER
        line.next_us = due
        line.operational = operational
        line.ordinal = ordinal
        line.hour = hour
        if due < until_us:
            waiting[pending] = i
            pending += 1
    return n, cursor, pending
