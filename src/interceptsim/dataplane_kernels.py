"""The loops that a thread runs without coming back to Python: generate, decide, account, batch after batch.

`advance_lines` serves lines that own what they present. Lines that may present each other's numbers are first
generated for the whole slice (`present_lines`), put in order (`order_part`), and then decided
(`decide_presented`).
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
    Rows,
)
from interceptsim.compiled import Column, Record, Scalar, Table, kernel
from interceptsim.filtering.batch_kernels import find_slots
from interceptsim.filtering.kernels import decide
from interceptsim.randomness import draw, mix64
from interceptsim.response.police import COMPLAINED, ENGAGED, FOUND, GIVEN_UP
from interceptsim.traffic.fates import fates_of
from interceptsim.traffic.kernels import CLI_OWN, NEVER, Draws, Supply, generate, react
from interceptsim.units import DAY_US
from interceptsim.world import Accounts

__all__ = [
    "PRESENTED",
    "advance_lines",
    "advance_shared",
    "decide_presented",
    "list_numbers",
    "order_part",
    "present_lines",
    "reached_by",
    "watch_numbers",
]

PRESENTED = np.dtype(
    [
        ("time_us", "i8"),
        ("a_number", "u8"),
        ("b_number", "u8"),
        ("line", "i8"),
        ("ordinal", "i8"),
        ("generation", "i8"),
        ("content", "u4"),
        ("text_score", "i4"),
        ("link", "u4"),
        ("a_incoming", "u4"),
        ("channel", "u1"),
        ("a_kind", "u1"),
        ("entry", "u1"),
        ("b_carrier", "u1"),
        ("roaming", "?"),
    ],
    align=True,
)
"""An attempt that waits until all of its slice are there: what the generator fills of `Rows`, but the slot."""

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
def account(
    lines: Table,
    groups: Table,
    supply: Supply,
    rows: Rows,
    n: Scalar,
    accounts: Accounts,
    words: Table,
    held: Scalar,
    state: Column,
    hindsight: Column,
) -> int:
    """Find and count what became of the first `n` decided rows; append what control is to know to `words`.

    Return how many words there are then; a row gives three at most. `hindsight` says what of it goes into the state of
    rules; a number then has one row in a batch.
    """
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
    ended, busy_us, drawn = fates_of(lines, groups, supply, rows, n)
    for r in range(n):
        i = which[r]
        line = lines[i]
        g = np.int64(line.group)
        cell = line.cell
        if channel[r] != groups[g].channel:  # a message of a line that has moved
            cell += groups[groups[g].messages].first_type - groups[g].first_type
            g = groups[g].messages
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
                cut_off[line.fold, g] += 1
        else:
            outcome, busy, word = ended[r], busy_us[r], drawn[r]
            spoken = outcome == ANSWERED
            load[g, 0] += 1
            load[g, 1] += busy
            if outcome == DELIVERED:
                late = lag_us[g]
                if late > validity_us[g]:
                    outcome = EXPIRED
                elif at + late > end_us:
                    outcome = OPEN
                told = outcome == DELIVERED and word < group.complaint_bound
                engaged = outcome == DELIVERED and word >= group.engaged_bound
            elif outcome != LOST:
                held_us[line.fold, g] += busy
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
        column = reason[r] * _OUTCOMES + outcome
        daily[cell + line.elsewhere if at >= line.back_us else cell, column] += 1
        folds[line.fold, g, column] += 1
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
            numbers[line.fold, g] += fresh[r]
            bought[line.fold, g] += generation[r] - line.bought
            line.bought = generation[r]
            if fresh[r] and line.reported != generation[r] and group.found_bound > 0:
                if draw(key0, key1, group.police_stream, line.index, generation[r])[1] < group.found_bound:
                    line.reported = generation[r]
                    line.watched = 1
                    held = _tell(words, held, FOUND, at, i, line, group, generation[r], ordinal[r])
            if told and line.reported != generation[r]:
                line.reported = generation[r]
                line.watched = 1
                complained[line.fold, g] += 1
                held = _tell(words, held, COMPLAINED, at + late, i, line, group, generation[r], ordinal[r])
        if engaged:
            line.watched = 1
            words[held].b_number = b_number[r]
            words[held].entry = rows.entry[r]
            held = _tell(words, held, ENGAGED, at + late, i, line, group, generation[r], ordinal[r])
    return held


@kernel
def advance_lines(
    lines: Table,
    groups: Table,
    supply: Supply,
    agenda: Column,
    until_us: Scalar,
    cursor: Scalar,
    stop: Scalar,
    pending: Scalar,
    one_batch: Scalar,
    ops: Column,
    pool: Column,
    state: Column,
    hindsight: Column,
    draws: Draws,
    rows: Rows,
    accounts: Accounts,
    words: Table,
) -> tuple[int, int, int, int]:
    """Generate, decide and account for the attempts before `until_us` of lines `cursor` to `stop` of an agenda.

    Return (cursor, lines pending, rows of the last batch, words held). It returns early after one batch
    where `one_batch` is set, or where the words of another batch might not fit.
    """
    held = 0
    while True:
        n, cursor, pending = generate(
            lines,
            groups,
            supply,
            agenda,
            until_us,
            cursor,
            stop,
            pending,
            draws,
            rows,
            accounts.daily,
            accounts.folds,
            accounts.idle_us,
        )
        decide(ops, pool, rows, n, state)
        held = account(lines, groups, supply, rows, n, accounts, words, held, state, hindsight)
        done = cursor == stop and pending == 0
        if one_batch or done or held + 3 * rows.time_us.shape[0] > words.shape[0]:
            return cursor, pending, n, held


@kernel
def present_lines(
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
    accounts: Accounts,
    presented: Table,
    held: Scalar,
) -> tuple[int, int, int]:
    """Append attempts before `until_us` of lines `cursor` to `stop` of an agenda to `presented`, which holds `held`.

    Return (cursor, lines pending, attempts held); it returns early where another batch might not fit.
    """
    while (cursor < stop or pending > 0) and held + rows.time_us.shape[0] <= presented.shape[0]:
        n, cursor, pending = generate(
            lines,
            groups,
            supply,
            agenda,
            until_us,
            cursor,
            stop,
            pending,
            draws,
            rows,
            accounts.daily,
            accounts.folds,
            accounts.idle_us,
        )
        for r in range(n):
            one = presented[held + r]
            one.time_us = rows.time_us[r]
            one.a_number = rows.a_number[r]
            one.b_number = rows.b_number[r]
            one.line = rows.line[r]
            one.ordinal = rows.ordinal[r]
            one.generation = rows.generation[r]
            one.content = rows.content[r]
            one.text_score = rows.text_score[r]
            one.link = rows.link[r]
            one.a_incoming = rows.a_incoming[r]
            one.channel = rows.channel[r]
            one.a_kind = rows.a_kind[r]
            one.entry = rows.entry[r]
            one.b_carrier = rows.b_carrier[r]
            one.roaming = rows.roaming[r]
        held += n
    return cursor, pending, held


@kernel
def order_part(presented: Table, part: Scalar, parts: Scalar) -> Column:
    """Return the places (int64) of one part's attempts by (time, line, ordinal): dealt to times, sorted within.

    Each number falls to one of `parts` parts, so that all of its attempts are in one.
    """
    which = np.empty(presented.shape[0], np.int64)
    n = 0
    for at in range(presented.shape[0]):
        which[n] = at
        n += np.int64((mix64(presented[at].a_number) >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32)) == part
    if n == 0:
        return which[:0]
    first, last = presented[which[0]].time_us, presented[which[0]].time_us
    for k in range(n):
        first = min(first, presented[which[k]].time_us)
        last = max(last, presented[which[k]].time_us)
    shift = 0
    while (last - first) >> shift > n:
        shift += 1
    ends = np.zeros(((last - first) >> shift) + 2, np.int64)
    for k in range(n):
        ends[((presented[which[k]].time_us - first) >> shift) + 1] += 1
    ends = np.cumsum(ends)
    order = np.empty(n, np.int64)
    for k in range(n):
        bucket = (presented[which[k]].time_us - first) >> shift
        order[ends[bucket]] = which[k]
        ends[bucket] += 1
    for k in range(1, n):
        at = order[k]
        one = presented[at]
        place = k
        while place > 0:
            other = presented[order[place - 1]]
            if (other.time_us, other.line, other.ordinal) < (one.time_us, one.line, one.ordinal):
                break
            order[place] = order[place - 1]
            place -= 1
        order[place] = at
    return order


@kernel
def decide_presented(
    lines: Table,
    groups: Table,
    supply: Supply,
    presented: Table,
    order: Column,
    cursor: Scalar,
    one_batch: Scalar,
    ops: Column,
    pool: Column,
    table: Column,
    known: Scalar,
    state: Column,
    hindsight: Column,
    rows: Rows,
    accounts: Accounts,
    words: Table,
) -> tuple[int, int, int, int]:
    """Decide and account for attempts in `order` from `cursor` on, through an index of numbers that has room.

    Return (cursor, numbers known, rows of the last batch, words held), early as `advance_lines` does.
    """
    held = 0
    while True:
        n, cursor = take_presented(presented, order, cursor, hindsight, rows)
        known = find_slots(table, known, state, rows, n)
        decide(ops, pool, rows, n, state)
        held = account(lines, groups, supply, rows, n, accounts, words, held, state, hindsight)
        if one_batch or cursor == order.shape[0] or held + 3 * rows.time_us.shape[0] > words.shape[0]:
            return cursor, known, n, held


@kernel
def advance_shared(
    lines: Table,
    groups: Table,
    supply: Supply,
    agenda: Column,
    until_us: Scalar,
    cursor: Scalar,
    pending: Scalar,
    held: Scalar,
    ops: Column,
    pool: Column,
    table: Column,
    known: Scalar,
    state: Column,
    hindsight: Column,
    draws: Draws,
    rows: Rows,
    accounts: Accounts,
    presented: Table,
    words: Table,
) -> tuple[int, int, int, int, int, bool]:
    """Do for a whole slice and one thread what `present_lines`, `order_part` and `decide_presented` do in turn.

    The index of numbers has room for as many as `presented` holds. Return (cursor, lines pending, attempts held,
    numbers known, words held, whether all is decided); where it is not, nothing is, and more room is needed.
    """
    stop = agenda.shape[0]
    cursor, pending, held = present_lines(
        lines, groups, supply, agenda, until_us, cursor, stop, pending, draws, rows, accounts, presented, held
    )
    if cursor < stop or pending > 0 or 3 * (held + rows.time_us.shape[0]) > words.shape[0]:
        return cursor, pending, held, known, 0, False
    told = 0
    if held > 0:
        order = order_part(presented[:held], 0, 1)
        _, known, _, told = decide_presented(
            lines,
            groups,
            supply,
            presented,
            order,
            0,
            False,
            ops,
            pool,
            table,
            known,
            state,
            hindsight,
            rows,
            accounts,
            words,
        )
    return cursor, pending, 0, known, told, True


@kernel
def take_presented(presented: Table, order: Column, cursor: Scalar, hindsight: Column, rows: Rows) -> tuple[int, int]:
    """Fill `rows` with attempts in `order` from `cursor` on, with one where rules have hindsight.

    Return (rows filled, cursor).
    """
    n = min(rows.time_us.shape[0], order.shape[0] - cursor)
    if hindsight.shape[0] > 0:
        n = min(n, 1)
    for r in range(n):
        one = presented[order[cursor + r]]
        rows.time_us[r] = one.time_us
        rows.a_number[r] = one.a_number
        rows.b_number[r] = one.b_number
        rows.line[r] = one.line
        rows.ordinal[r] = one.ordinal
        rows.generation[r] = one.generation
        rows.content[r] = one.content
        rows.text_score[r] = one.text_score
        rows.link[r] = one.link
        rows.a_incoming[r] = one.a_incoming
        rows.channel[r] = one.channel
        rows.a_kind[r] = one.a_kind
        rows.entry[r] = one.entry
        rows.b_carrier[r] = one.b_carrier
        rows.roaming[r] = one.roaming
    return n, cursor + n


@kernel
def list_numbers(
    lines: Table,
    state: Column,
    word: Scalar,
    ends: Scalar,
    which: Column,
    generation: Column,
    listed_from_us: Column,
    listed_until_us: Column,
    epoch_us: Scalar,
) -> None:
    """Enter listings of numbers that their lines still have: rules from then on, the line by its notice."""
    for k in range(which.shape[0]):
        line = lines[which[k]]
        if line.generation == generation[k]:
            state[which[k], word] = epoch_us + listed_from_us[k]
            if ends:
                state[which[k], word + 1] = epoch_us + listed_until_us[k]
            line.dies_us = min(line.dies_us, listed_from_us[k] + line.notice_us)


@kernel
def watch_numbers(lines: Table, which: Column, generation: Column, known_us: Column) -> None:
    """Tell lines when police hand over numbers that they still present: people are counted up to then."""
    for k in range(which.shape[0]):
        line = lines[which[k]]
        if line.counted == generation[k]:
            line.known_us = known_us[k]


@kernel
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
