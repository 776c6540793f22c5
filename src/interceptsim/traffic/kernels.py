"""The compiled traffic generator: each line's attempts in order, from keyed draws alone.

State is two tables of records, one row a line (`LINE`) and one row a group of lines (`GROUP`). Times are
int64 microseconds from the start of the run. A line's next attempt is kept in operational time, integer
weight of the hour x microseconds, so that a slice may be cut anywhere without changing an attempt.

Attempt n of a line is fixed by (group, line index, n): its draw gives the called number, the text's jitter
and the gap to attempt n+1. Whether it is made depends on the number that the line then has.
"""

from __future__ import annotations

import numpy as np

from interceptsim.attempts import SCORE_ONE, SMS, Rows
from interceptsim.compiled import Column, Record, Scalar, Table, kernel
from interceptsim.numbering import neighbour_number, own_number, random_number, subscriber_number
from interceptsim.randomness import (
    DELAY_LOGNORMAL,
    choose,
    delay_us,
    draw,
    exp_of,
    index_below,
    log_of,
    mix64,
    normal_quantile,
    unit,
)
from interceptsim.units import HOUR_US

__all__ = [
    "CLI_FIXED",
    "CLI_NEIGHBOUR",
    "CLI_OWN",
    "CLI_RANDOM",
    "GROUP",
    "LINE",
    "NEVER",
    "generate",
    "numbers_of",
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
        ("complaint_stream", "u8"),
        ("police_stream", "u8"),
        ("template_stream", "u8"),
        ("life", _DELAY),
        ("notice", _DELAY),
        ("resupply", _DELAY),
        ("gap", "f8"),  # mean operational time between attempts of a line of mean rate
        ("rate_sigma", "f8"),
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
def _begin_number(line: Record, group: Record, key: Column) -> None:
    """Give the line the number of its `generation`, active from `born_us`: life, notice, digits, template."""
    w0, _, w2, w3 = draw(key[0], key[1], group.number_stream, line.index, line.generation)
    life = delay_us(w0, group.life.kind, group.life.minimum, group.life.scale, group.life.sigma)
    line.dies_us = line.born_us + max(life, 1)
    line.notice_us = delay_us(w2, group.notice.kind, group.notice.minimum, group.notice.scale, group.notice.sigma)
    line.fresh = 1
    if group.cli == CLI_FIXED:
        line.a_number = group.presents
    elif group.cli == CLI_OWN:
        serial = group.serial + np.int64(line.index) + line.generation * group.serial_step
        line.a_number = own_number(serial, group.own_kind, group.country_code)
    if group.channel == SMS:
        template = np.int64(np.uint64(w3) * np.uint64(group.templates) >> np.uint64(32))
        name, word, carries, link = draw(key[0], key[1], group.template_stream, line.campaign, template)
        line.content = np.uint32(name) | np.uint32(1)
        line.link = np.uint32(link) | np.uint32(1) if np.int64(carries) < group.link_bound else np.uint32(0)
        z = normal_quantile(unit(word))
        line.text = np.int64((group.text_mean + group.text_deviation * z) * SCORE_ONE)


@kernel
def _next_number(line: Record, group: Record, key: Column) -> None:
    """Let the line's number die and its replacement begin, after the resupply delay of the dead one."""
    _, w1, _, _ = draw(key[0], key[1], group.number_stream, line.index, line.generation)
    wait = delay_us(w1, group.resupply.kind, group.resupply.minimum, group.resupply.scale, group.resupply.sigma)
    line.born_us = line.dies_us + wait
    line.generation += 1
    _begin_number(line, group, key)


@kernel
def start_lines(lines: Table, groups: Table, types: Column, key: Column, reached: Column, weight: Column) -> None:
    """Put every line at the start of the run: its rate, fraud type, first attempt and a number in mid-life.

    On entry each line has its `group`, `index` and `fold`. `types` holds, for each group's part, cumulative
    uint64 thresholds in column 0 and campaign ids in column 1. The number's remaining life is drawn from
    the equilibrium law: a life picked in proportion to its length, of which a uniform part is over.
    """
    for i in range(lines.shape[0]):
        line = lines[i]
        group = groups[line.group]
        w0, _, w2, w3 = draw(key[0], key[1], group.line_stream, line.index, 0)
        sigma = group.rate_sigma
        factor = exp_of(sigma * normal_quantile(unit(w0)) - sigma * sigma / 2.0) if sigma > 0.0 else 1.0
        line.gap = group.gap / factor
        kind = choose(w2, types[:, 0], group.first_type, group.last_type)
        line.cell = kind
        line.campaign = types[kind, 1]
        line.reported = -1
        line.generation = 0
        line.born_us = 0
        _begin_number(line, group, key)
        life = line.dies_us
        x0, _, x2, x3 = draw(key[0], key[1], group.line_stream, line.index, 1)
        law = group.life
        mean = law.scale * exp_of(law.sigma * law.sigma / 2.0)
        if unit(x0) * (law.minimum + mean) >= law.minimum:  # it is the random part whose length made it be met
            if law.kind == DELAY_LOGNORMAL:  # the length-biased lognormal is one of median * e**(sigma**2)
                life = delay_us(x2, law.kind, law.minimum, law.scale * exp_of(law.sigma * law.sigma), law.sigma)
            elif law.scale > 0.0:  # the length-biased exponential is a sum of two
                life += np.int64(-log_of(unit(x2)) * law.scale)
        line.dies_us = max(np.int64(life * unit(x3)), 1)
        line.ordinal = 0
        line.operational = np.int64(-log_of(unit(w3)) * line.gap)
        line.next_us, line.hour = _time_of(line.operational, 0, group.profile, group.tick, reached, weight)


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


@kernel
def generate(
    lines: Table,
    groups: Table,
    key: Column,
    reached: Column,
    weight: Column,
    epoch_us: Scalar,
    subscribers: Scalar,
    stride: Scalar,
    carriers: Column,
    until_us: Scalar,
    cursor: Scalar,
    stop: Scalar,
    rows: Rows,
    daily: Column,
    folds: Column,
) -> tuple[int, int]:
    """Emit the attempts before `until_us` of lines `cursor` to `stop` into `rows`, line by line in order.

    Return (rows filled, cursor): the cursor is `stop` when all is done, else the line at which `rows` was
    full, to be called with again. `reached` and `weight` (int64, profiles x hours) are the operational time
    at each hour's start and the weight of each hour; `carriers` (uint8, 256) maps a byte of a hashed number
    to a carrier; attempts that fall in silence are counted in column 0 (NOT_MADE) of the accounts, `daily`
    by the line's cell and `folds` by its fold and group.
    """
    n = 0
    key0, key1 = key[0], key[1]
    room = rows.time_us.shape[0]
    for i in range(cursor, stop):
        line = lines[i]
        due = line.next_us
        if due >= until_us:
            continue
        group = groups[line.group]
        ordinal = line.ordinal
        operational = line.operational
        hour = line.hour
        while due < until_us:
            if n == room:
                break
            while due >= line.dies_us:
                _next_number(line, group, key)
            w0, w1, w2, w3 = draw(key0, key1, group.attempt_stream, line.index, ordinal)
            if due >= line.born_us:
                b_number = subscriber_number(index_below(w1, w2, subscribers), stride)
                rows.time_us[n] = epoch_us + due
                rows.b_number[n] = b_number
                rows.b_carrier[n] = carriers[mix64(b_number) >> np.uint64(56)]
                rows.channel[n] = group.channel
                rows.entry[n] = group.entry
                rows.a_kind[n] = group.a_kind
                rows.roaming[n] = group.roaming
                rows.content[n] = line.content
                if group.channel == SMS:
                    jitter = np.int64(np.uint64(w3) * np.uint64(2 * group.text_jitter + 1) >> np.uint64(32))
                    rows.text_score[n] = line.text + jitter - group.text_jitter
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
                    rows.a_number[n] = neighbour_number(b_number, w3)
                else:
                    rows.a_number[n] = line.a_number
                    line.fresh = 0
                n += 1
            else:
                daily[line.cell, 0] += 1
                folds[line.fold, line.group, 0] += 1
            operational += np.int64(-log_of(unit(w0)) * line.gap)
            ordinal += 1
            due, hour = _time_of(operational, hour, group.profile, group.tick, reached, weight)
        line.next_us = due
        line.operational = operational
        line.ordinal = ordinal
        line.hour = hour
        if n == room and due < until_us:
            return n, i
    return n, stop
