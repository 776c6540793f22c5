"""The loops that a thread runs without coming back to Python: generate, decide, account, batch after batch.

`advance_lines` serves lines that own what they present; `shared_kernels` serves the others.
"""

from __future__ import annotations

import numpy as np

from interceptsim.attempts import (
    ANSWERED,
    DELIVERED,
    EXPIRED,
    FAILED,
    INTERCEPT,
    INTERCEPTED,
    LOST,
    OPEN,
    OUTCOMES,
    UNANSWERED,
)
from interceptsim.compiled import Column, Record, Scalar, Table, allocating_kernel, kernel
from interceptsim.filtering.kernels import decide
from interceptsim.randomness import draw
from interceptsim.response.police import COMPLAINED, ENGAGED, FOUND, GIVEN_UP, WORD
from interceptsim.traffic.fates import fates_of, interval_of
from interceptsim.traffic.kernels import generate
from interceptsim.traffic.lines import react
from interceptsim.traffic.records import CLI_OWN, NEVER, Work
from interceptsim.units import DAY_US

__all__ = ["account", "advance_lines", "in_order", "list_numbers", "reached_by", "watch_numbers", "words_fit"]

_OUTCOMES = len(OUTCOMES)


@kernel
def _tell(
    words: Table,
    held: Scalar,
    kind: Scalar,
    time_us: Scalar,
    i: Scalar,
    line: Record,
    group: Record,
    generation: Scalar,
    ordinal: Scalar,
) -> int:
    """Write a word to control about an attempt of line `i`; return how many words there are then."""
    word = words[held]
    word.kind = kind
    word.time_us = time_us
    word.channel = group.channel
    word.line = i
    word.generation = generation
    word.stream = group.person_stream if kind == ENGAGED else group.police_stream
    word.index = line.index
    word.ordinal = ordinal
    word.group = line.group
    word.fold = line.fold
    word.cell = line.cell
    word.reached = line.reached
    word.before = line.before
    word.talked = line.talked
    return held + 1


@kernel
def _precedes(one: Record, other: Record) -> bool:
    """Whether control hears one word before another: numbers given up last, after what late messages of them led to."""
    if (one.kind == GIVEN_UP) != (other.kind == GIVEN_UP):
        return bool(other.kind == GIVEN_UP)
    if one.time_us != other.time_us:
        return bool(one.time_us < other.time_us)
    if one.line != other.line:
        return bool(one.line < other.line)
    if one.kind != other.kind:
        return bool(one.kind < other.kind)
    return bool(one.ordinal < other.ordinal)


@allocating_kernel
def in_order(words: Table) -> Table:
    """Return words of a slice in the order in which control hears them, whatever the order of batches and threads."""
    n = words.shape[0]
    order, merged = np.arange(n), np.empty(n, np.int64)
    width = 1
    while width < n:  # runs of so many are in order; each two become one
        for first in range(0, n, 2 * width):
            middle, last = min(first + width, n), min(first + 2 * width, n)
            left, right = first, middle
            for k in range(first, last):
                if left < middle and (right == last or not _precedes(words[order[right]], words[order[left]])):
                    merged[k] = order[left]
                    left += 1
                else:
                    merged[k] = order[right]
                    right += 1
        order, merged = merged, order
        width *= 2
    out = np.empty(n, WORD)
    for k in range(n):
        out[k] = words[order[k]]
    return out


@kernel
def _count_reached(
    words: Table,
    held: Scalar,
    at: Scalar,
    i: Scalar,
    line: Record,
    group: Record,
    generation: Scalar,
    ordinal: Scalar,
    outcome: Scalar,
) -> int:
    """Count whom a number reached; where it is the line's next, tell control of the one before, if that waits for it.

    Return how many words there are then.
    """
    if line.counted != generation:
        if line.watched:
            held = _tell(words, held, GIVEN_UP, at, i, line, group, line.counted, ordinal)
        line.counted = generation
        line.reached, line.before, line.talked, line.watched = 0, 0, 0, 0
        line.known_us = NEVER
    if outcome in (DELIVERED, UNANSWERED, ANSWERED):
        line.reached += 1
        if at < line.known_us:
            line.before += 1
            line.talked += outcome == ANSWERED
    return held


@kernel
def account(work: Work, n: Scalar, held: Scalar) -> int:
    """Find and count what became of the first `n` decided rows; append what control is to know to words.

    Of those there are `held` before; return how many there are then; a row gives three at most. Where rules have
    hindsight, a number has one row in a batch.
    """
    lines, groups, supply, rows = work.lines, work.groups, work.supply, work.rows
    accounts, words, state, hindsight, draws = work.accounts, work.words, work.state, work.hindsight, work.draws
    key0, key1 = supply.key[0], supply.key[1]
    epoch_us, end_us = supply.epoch_us, supply.end_us
    lag_us, validity_us = supply.lag_us, supply.validity_us
    daily, folds, rules = accounts.daily, accounts.folds, accounts.rules
    load, held_us = accounts.load, accounts.held_us
    numbers, complained, cut_off = accounts.numbers, accounts.complaints, accounts.cut_off
    bought = accounts.bought
    which, code, reason, matched_by, outcomes = rows.line, rows.code, rows.reason, rows.matched, rows.outcome
    generation, ordinal, fresh, time_us = rows.generation, rows.ordinal, rows.fresh, rows.time_us
    b_number, channel = rows.b_number, rows.channel
    answered, duration_us = rows.answered, rows.duration_us
    fates_of(lines, groups, supply, rows, n, draws)
    ended, busy_us, drawn = draws.ended, draws.busy_us, draws.drawn
    for r in range(n):
        i = np.uint64(which[r])
        line = lines[i]
        fold, g = np.uint64(line.fold), np.uint64(line.group)
        cell = np.int64(line.cell)
        if channel[r] != groups[g].channel:  # a message of a line that has moved
            cell -= groups[g].first_type
            g = np.uint64(groups[g].messages)
            cell += groups[g].first_type
        group = groups[g]
        at = time_us[r] - epoch_us
        late = np.int64(0)
        told = False
        engaged = False
        if code[r] == INTERCEPT:
            outcome = INTERCEPTED
            spoken = False
            if group.ordinary and line.cut_off_day != at // DAY_US:
                line.cut_off_day = at // DAY_US
                cut_off[fold, g] += 1
        else:
            outcome, busy, word = ended[r], busy_us[r], drawn[r]
            spoken = outcome == ANSWERED
            load[g, 0] += 1
            load[g, 1] += busy
            if outcome == DELIVERED:
                late = lag_us[interval_of(supply, group, time_us[r]), g]
                if late > validity_us[g]:
                    outcome = EXPIRED
                elif at + late > end_us:
                    outcome = OPEN
                told = outcome == DELIVERED and word < group.complaint_bound
                engaged = outcome == DELIVERED and word >= group.engaged_bound
            elif outcome != LOST:
                held_us[fold, g] += busy
                told = outcome != FAILED and word < group.complaint_bound
                if at + busy > end_us:
                    outcome = OPEN
                engaged = outcome == ANSWERED and word >= group.engaged_bound
        outcomes[r] = outcome
        answered[r] = spoken
        if not spoken:
            duration_us[r] = 0
        for k in range(hindsight.shape[0]):
            if hindsight[k, 0] >> rows.channel[r] & hindsight[k, 1] >> rows.entry[r] & 1:
                state[rows.slot[r], hindsight[k, 2]] = (
                    0 if not spoken else 1 if duration_us[r] >= hindsight[k, 3] else 2
                )
        if group.adapts and line.generation == generation[r]:
            lure = draw(key0, key1, group.again_stream, line.index, ordinal[r])[0] if group.again_bound > 0 else word
            react(line, group, at, outcome == INTERCEPTED, outcome == ANSWERED, b_number[r], lure)
        column = np.uint64(reason[r] * _OUTCOMES + outcome)
        daily[np.uint64(cell + line.elsewhere if at >= line.back_us else cell), column] += 1
        folds[fold, g, column] += 1
        matched = matched_by[r]
        if matched != np.uint64(0):
            alone = 1 if matched & (matched - np.uint64(1)) == np.uint64(0) else 0
            rule = 0
            while matched != np.uint64(0):
                if matched & np.uint64(1):
                    rules[rule, g, 0] += 1
                    rules[rule, g, 1] += alone
                matched >>= np.uint64(1)
                rule += 1
        if group.cli == CLI_OWN:
            if supply.response and not group.ordinary:
                held = _count_reached(words, held, at, i, line, group, generation[r], ordinal[r], outcome)
            numbers[fold, g] += fresh[r]
            bought[fold, g] += generation[r] - line.bought
            line.bought = generation[r]
            if fresh[r] and line.reported != generation[r] and group.found_bound > 0:
                if draw(key0, key1, group.police_stream, line.index, generation[r])[1] < group.found_bound:
                    line.reported = generation[r]
                    line.watched = 1
                    held = _tell(words, held, FOUND, at, i, line, group, generation[r], ordinal[r])
            if told and line.reported != generation[r]:
                line.reported = generation[r]
                line.watched = 1
                complained[fold, g] += 1
                held = _tell(words, held, COMPLAINED, at + late, i, line, group, generation[r], ordinal[r])
        if engaged:
            line.watched = 1
            words[held].b_number = b_number[r]
            words[held].entry = rows.entry[r]
            held = _tell(words, held, ENGAGED, at + late, i, line, group, generation[r], ordinal[r])
    return held


@kernel
def words_fit(work: Work, held: Scalar) -> bool:
    """Whether there is room for the words of another batch, three a row, beside those that are held."""
    return bool(held + 3 * work.rows.time_us.shape[0] <= work.words.shape[0])


@kernel
def advance_lines(
    work: Work,
    agenda: Column,
    until_us: Scalar,
    cursor: Scalar,
    stop: Scalar,
    pending: Scalar,
    held: Scalar,
    one_batch: Scalar,
) -> tuple[int, int, int, int]:
    """Generate, decide and account for the attempts before `until_us` of lines `cursor` to `stop` of an agenda.

    Words of `held` have been found before. Return (cursor, lines pending, rows of the last batch, words held). It
    returns early after one batch where `one_batch` is set, or where the words of another batch might not fit.
    """
    n = 0
    while (cursor < stop or pending > 0) and words_fit(work, held):
        n, cursor, pending = generate(work, agenda, until_us, cursor, stop, pending)
        decide(work.ops, work.pool, work.rows, n, work.state)
        held = account(work, n, held)
        if one_batch:
            break
    return cursor, pending, n, held


@kernel
def list_numbers(
    lines: Table,
    state: Column,
    word: Scalar,
    ends: Scalar,
    epoch_us: Scalar,
    which: Column,
    generation: Column,
    listed_from_us: Column,
    listed_until_us: Column,
) -> int:
    """Enter listings of numbers that their lines still have: rules from then on, the line by its notice.

    Return the first time from which one of all holds.
    """
    first_us = NEVER
    for k in range(which.shape[0]):
        first_us = min(first_us, listed_from_us[k])
        line = lines[which[k]]
        if line.generation == generation[k]:
            state[which[k], word] = epoch_us + listed_from_us[k]
            if ends:
                state[which[k], word + 1] = epoch_us + listed_until_us[k]
            line.dies_us = min(line.dies_us, listed_from_us[k] + line.notice_us)
    return int(first_us)


@kernel
def watch_numbers(lines: Table, which: Column, generation: Column, known_us: Column) -> int:
    """Tell lines when police hand over numbers that they still present: people are counted up to then.

    Return the first time of all.
    """
    first_us = NEVER
    for k in range(which.shape[0]):
        first_us = min(first_us, known_us[k])
        line = lines[which[k]]
        if line.counted == generation[k]:
            line.known_us = known_us[k]
    return int(first_us)


@allocating_kernel
def reached_by(lines: Table, which: Column, generation: Column) -> Table:
    """Return how many people numbers reached, before they are handed over, and talked to of those, int64 (n, 3).

    Numbers that their lines do not present any more have zeros.
    """
    out = np.zeros((which.shape[0], 3), np.int64)
    for k in range(which.shape[0]):
        line = lines[which[k]]
        if line.counted == generation[k]:
            out[k, 0], out[k, 1], out[k, 2] = line.reached, line.before, line.talked
    return out
