"""The compiled traffic generator: each line's attempts in order, from keyed draws alone.

Attempt n of a line is fixed by (group, line index, n): its draw gives the called number, the text's jitter
and the gap to attempt n+1. Whether it is made depends on the number that the line then has.
"""

from __future__ import annotations

import numpy as np

from interceptsim.attempts import SMS
from interceptsim.compiled import Column, Record, Scalar, fetch, kernel
from interceptsim.numbering import neighbour_number, random_number, subscriber_number
from interceptsim.randomness import draw, draw_all, index_below, log_of, mix64, poisson, unit
from interceptsim.traffic.lines import next_number, write_template
from interceptsim.traffic.records import CLI_NEIGHBOUR, CLI_RANDOM, NEVER, Draws, Supply, Work
from interceptsim.traffic.texts import note_text, write_texts
from interceptsim.units import DAY_US, HOUR_US

__all__ = ["contact_of", "generate"]

_MOST_AHEAD = 1024
_FETCHED_AHEAD = 8  # lines; a look at one takes about a tenth of the time that memory does


@kernel
def _look_ahead(
    work: Work, agenda: Column, until_us: Scalar, cursor: Scalar, stop: Scalar, pending: Scalar
) -> tuple[int, int, int]:
    """Choose lines and how many draws to make for each: about as many as attempts are due before `until_us`.

    Return (lines chosen, cursor, lines still pending); the names of the draws are written into `draws`.
    """
    lines, groups, supply, draws = work.lines, work.groups, work.supply, work.draws
    room = draws.ordinal.shape[0]
    stream, entity, ordinal = draws.stream, draws.entity, draws.ordinal
    chosen, first, waiting, weight, due_us = draws.line, draws.first, draws.pending, supply.weight, supply.due_us
    taken = 0
    filled = 0
    n = 0
    while filled < room:
        if taken < pending:
            i = np.uint64(waiting[taken])
            taken += 1
        elif cursor < stop:
            i = np.uint64(agenda[cursor])
            cursor += 1
            if cursor + _FETCHED_AHEAD < stop and due_us[agenda[cursor + _FETCHED_AHEAD]] < until_us:
                fetch(lines, agenda[cursor + _FETCHED_AHEAD])
        else:
            break
        if due_us[i] >= until_us:
            continue
        line = lines[i]
        group = groups[np.uint64(line.group)]
        due = np.float64((until_us - due_us[i]) * weight[group.profile, line.hour]) / line.gap
        ahead = np.float64(0) if group.adapts else np.float64(_MOST_AHEAD)  # what becomes of it may decide on the next
        spare = 2.0 * np.sqrt(due) + 1.0 if cursor == stop else 0.0  # no others are left to fill a batch with
        count = min(np.int64(min(due + spare, ahead)) + 1, room - filled)
        chosen[n] = i
        first[n] = filled
        n += 1
        for k in range(count):
            at = np.uint64(filled + k)
            stream[at] = group.attempt_stream
            entity[at] = line.index
            ordinal[at] = line.ordinal + k
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
    work: Work, agenda: Column, until_us: Scalar, cursor: Scalar, stop: Scalar, pending: Scalar
) -> tuple[int, int, int]:
    """Emit attempts before `until_us` of lines `cursor` to `stop` of an agenda into rows, each line's in order.

    Return (rows filled, cursor, pending), to be called with again until the cursor is `stop` and nothing is
    pending; begin with 0 pending. Attempts that fall in silence are counted in column 0 (NOT_MADE) of the
    accounts, `daily` by the line's cell and `folds` by its fold and group; how long lines have no number, in `idle_us`.
    """
    lines, groups, supply, draws, rows = work.lines, work.groups, work.supply, work.draws, work.rows
    daily, folds, idle_us = work.accounts.daily, work.accounts.folds, work.accounts.idle_us
    chosen, cursor, pending = _look_ahead(work, agenda, until_us, cursor, stop, pending)
    _prepare(supply, draws, draws.first[chosen])
    key0, key1, epoch_us = supply.key[0], supply.key[1], supply.epoch_us
    reached, weight, counted_us, end_us = supply.reached, supply.weight, supply.counted_us, supply.end_us
    which, first, waiting, gap, words = draws.line, draws.first, draws.pending, draws.gap, draws.w3
    callee, callee_carrier, whom, rest = draws.b_number, draws.b_carrier, draws.w1, draws.w2
    last_hour, due_us = weight.shape[1], supply.due_us
    n = texts = 0
    for j in range(chosen):
        i = np.uint64(which[j])
        line = lines[i]
        group = groups[np.uint64(line.group)]
        due = due_us[i]
        ordinal = line.ordinal
        operational = line.operational
        hour = np.int64(line.hour)
        ends_us, profile, tick = line.ends_us, np.uint64(group.profile), group.tick
        for k in range(np.uint64(first[j]), np.uint64(first[j + 1])):
            if due >= until_us:
                break
            while due >= line.dies_us:
                idle_us[line.fold, line.group] += next_number(line, group, key0, key1, counted_us, end_us)
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
                at = np.uint64(n)
                rows.time_us[at] = epoch_us + due
                rows.b_number[at] = b_number
                rows.b_carrier[at] = carrier
                rows.channel[at] = writer.channel if writes else group.channel
                rows.entry[at] = line.entry
                rows.a_kind[at] = group.a_kind
                rows.roaming[at] = group.roaming
                rows.content[at] = 0
                if writes:
                    if line.content == 0:
                        pick = draw(key0, key1, group.number_stream, line.index, line.generation)[3]
                        line.content, line.link, line.text = write_template(line.campaign, writer, key0, key1, pick)
                    rows.content[at] = line.content
                    jitter = np.int64(np.uint64(words[k]) * np.uint64(2 * writer.text_jitter + 1) >> np.uint64(32))
                    rows.text_score[at] = jitter - writer.text_jitter
                    if group.ordinary:
                        note_text(draws, texts, n, line, group, words[k])
                        texts += 1
                    else:
                        rows.text_score[at] += line.text
                        rows.link[at] = line.link
                else:
                    rows.text_score[at] = 0
                    rows.link[at] = 0
                rows.slot[at] = i
                rows.line[at] = i
                rows.ordinal[at] = ordinal
                rows.generation[at] = line.generation
                rows.fresh[at] = line.fresh
                if group.cli == CLI_RANDOM:
                    serial = (group.serial + np.int64(line.index)) * group.serial_step
                    rows.a_number[at] = random_number(serial + ordinal % group.serial_step)
                elif group.cli == CLI_NEIGHBOUR:
                    rows.a_number[at] = neighbour_number(b_number, words[k])
                else:
                    rows.a_number[at] = line.a_number
                    line.fresh = 0
                n += 1
            else:
                daily[cell, 0] += 1
                folds[line.fold, line.group, 0] += 1
            operational += np.int64(gap[k] * line.gap)
            ordinal += 1
            # as `_time_of` does, without a call
            while hour < last_hour and reached[profile, np.uint64(hour + 1)] <= operational:
                hour += 1
            due = NEVER
            if hour < last_hour:
                at = np.uint64(hour)
                due = hour * HOUR_US + (operational - reached[profile, at]) // weight[profile, at]
                if tick > 1:
                    due -= due % tick
                if due >= ends_us:
                    due = NEVER
        due_us[i] = due
        line.operational = operational
        line.ordinal = ordinal
        line.hour = hour
        if due < until_us:
            waiting[pending] = i
            pending += 1
    write_texts(lines, groups, supply, rows, texts, draws)
    return n, cursor, pending
