"""What lines go through, compiled: how they begin, the numbers they have one after another, how they react.

A number dies where its life ends, a list is noticed, a raid strikes or its line throws it away; its replacement is
active after the resupply delay, and what falls in between is not made.
"""

from __future__ import annotations

import numpy as np

from interceptsim.attempts import SCORE_ONE, SMS
from interceptsim.compiled import Column, Record, Scalar, Table, allocating_kernel, kernel
from interceptsim.numbering import own_number
from interceptsim.randomness import (
    DELAY_LOGNORMAL,
    choose,
    delay_of,
    delay_us,
    draw,
    exp_of,
    log_of,
    normal_quantile,
    spread,
    unit,
)
from interceptsim.traffic.records import CLI_FIXED, CLI_OWN, NEVER, Supply
from interceptsim.units import HOUR_US

__all__ = [
    "end_lines",
    "next_number",
    "numbers_of",
    "react",
    "start_lines",
    "template_of",
    "template_says",
    "write_template",
]


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
def template_of(group: Record, word: Scalar) -> Scalar:
    """Return which of its templates a group's 32-bit draw picks."""
    return np.int64(np.uint64(word) * np.uint64(group.templates) >> np.uint64(32))


@kernel
def template_says(
    group: Record, name: Scalar, carries: Scalar, link: Scalar, z: Scalar
) -> tuple[Scalar, Scalar, Scalar]:
    """Return content, link (0: none) and score of a template by its draws, `z` being a standard normal one."""
    text = np.int64((group.text_mean + group.text_deviation * z) * SCORE_ONE)
    content = np.uint32(name) | np.uint32(1)
    return content, np.uint32(link) | np.uint32(1) if np.int64(carries) < group.link_bound else np.uint32(0), text


@kernel
def write_template(
    campaign: Scalar, group: Record, key0: Scalar, key1: Scalar, word: Scalar
) -> tuple[Scalar, Scalar, Scalar]:
    """Return content, link (0: none) and score of the template of a campaign that a 32-bit draw picks."""
    name, score, carries, link = draw(key0, key1, group.template_stream, campaign, template_of(group, word))
    return template_says(group, name, carries, link, normal_quantile(unit(score)))


@kernel
def _begin_number(line: Record, group: Record, key0: Scalar, key1: Scalar) -> None:
    """Give the line the number of its `generation`, active from `born_us`: life, notice, digits, template."""
    w0, _, w2, w3 = draw(key0, key1, group.number_stream, line.index, line.generation)
    life = delay_of(group.life, w0)
    line.dies_us = line.born_us + max(life, 1)
    line.notice_us = delay_of(group.notice, w2)
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
        line.content, line.link, line.text = write_template(line.campaign, group, key0, key1, w3)


@kernel
def next_number(line: Record, group: Record, key0: Scalar, key1: Scalar, from_us: Scalar, to_us: Scalar) -> int:
    """Let the line's number die and its replacement begin, after the resupply delay of the dead one.

    Return for how many us between two times the line is silent in between.
    """
    _, w1, _, _ = draw(key0, key1, group.number_stream, line.index, line.generation)
    wait = delay_of(group.resupply, w1)
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
            idle_us[line.fold, line.group] += next_number(line, group, key0, key1, supply.counted_us, supply.end_us)


@kernel
def start_lines(lines: Table, groups: Table, types: Column, key: Column, reached: Column, weight: Column) -> None:
    """Put every line at the start of the run: its rate, fraud type, first attempt and a number in mid-life.

    On entry each line has its `group`, `index`, `fold`, `starts_us`, `ends_us` and what raids do to it. `types` holds,
    for each group's part, cumulative uint64 thresholds in column 0 and campaign ids in column 1. The number's remaining
    life is drawn from the equilibrium law: a life picked in proportion to its length, of which a uniform part is
    over. Rates and fraud types are spread evenly over the lines of a group, and so over the first so many of them,
    which are all that there are at a coarser scale.
    """
    key0, key1 = key[0], key[1]
    for i in range(lines.shape[0]):
        line = lines[i]
        group = groups[line.group]
        w0, _, _, w3 = draw(key0, key1, group.line_stream, line.index, 0)
        shift0, shift1, _, _ = draw(key0, key1, group.line_stream, 0, 2)
        v0, v1 = spread(shift0, shift1, line.index)
        sigma = group.rate_sigma
        where = unit(v0)
        if group.ordinary:  # a sample has all rates in turn
            nth = np.int64(line.index) - group.first_index
            where = group.rate_from + (nth + unit(w0)) / group.kept * (group.rate_to - group.rate_from)
        factor = exp_of(sigma * normal_quantile(where) - sigma * sigma / 2.0) if sigma > 0.0 else 1.0
        line.gap = group.gap / factor
        kind = choose(v1, types[:, 0], group.first_type, group.last_type)
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
        line.first_us = due if due < line.ends_us else NEVER


@allocating_kernel
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
