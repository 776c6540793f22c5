"""How batches pass through the plan: numbers to slots, rows gathered into a working set, decisions put back.

The rules themselves are in `kernels`. These loops serve traffic whose numbers are not known beforehand: batches of a
user, and simulated lines that may present each other's numbers.
"""

from __future__ import annotations

import numpy as np

from interceptsim.attempts import ALLOW, DELIVER, Rows
from interceptsim.compiled import Column, Scalar, kernel
from interceptsim.filtering.kernels import decide
from interceptsim.randomness import mix64

__all__ = ["decide_part", "find_slots", "is_sorted", "touch"]


@kernel
def find_slots(table: Column, held: Scalar, rows: Rows, n: Scalar) -> int:
    """Find or give each row's presented number its slot; return how many slots are taken then.

    `table` (uint64, places x 2: number, slot + 1 or 0 where free) is open-addressed; its length is a power of two
    and more than the slots needed. `held` slots are taken on entry. The first loop looks only where a number belongs,
    without a branch, so that many places come from memory at once; the second settles the others.
    """
    a_number, slot, fresh = rows.a_number, rows.slot, rows.fresh
    mask = np.uint64(table.shape[0] - 1)
    for r in range(n):
        number = a_number[r]
        place = np.int64(mix64(number) & mask)
        taken = np.int64(table[place, 1])
        slot[r] = taken - 1 if table[place, 0] == number else np.int64(-1)
        fresh[r] = 0
    for r in range(n):
        if slot[r] >= 0:
            continue
        number = a_number[r]
        place = np.int64(mix64(number) & mask)
        while table[place, 1] != np.uint64(0) and table[place, 0] != number:
            place = np.int64(np.uint64(place + 1) & mask)
        if table[place, 1] == np.uint64(0):
            table[place, 0] = number
            held += 1
            table[place, 1] = held
            fresh[r] = 1
        slot[r] = np.int64(table[place, 1]) - 1
    return held


@kernel
def touch(state: Column, rows: Rows, n: Scalar) -> Scalar:
    """Read the first word of each row's state: it is then at hand when the rules come, many at once on the way."""
    slot = rows.slot
    total = np.int64(0)
    for r in range(n):
        total ^= state[slot[r], 0]
    return total


@kernel
def _choose(
    source: Rows, order: Column, cursor: Scalar, stop: Scalar, part: Scalar, parts: Scalar, line: Column
) -> tuple[Scalar, Scalar]:
    """Fill `line` with the places of a part's rows in the batch, from `cursor` on; return (how many, cursor)."""
    a_number = source.a_number
    in_order = order.shape[0] == 0
    room = line.shape[0]
    n = 0
    while cursor < stop and n < room:
        at = cursor if in_order else order[cursor]
        line[n] = at  # and it stays only if the number falls to this part
        n += np.int64((mix64(a_number[at]) >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32)) == part
        cursor += 1
    return n, cursor


@kernel
def _taken(source: Column, into: Column, line: Column, n: Scalar, straight: Scalar, wanted: Scalar) -> Column:
    """Return a column of the working set: seen in place where its rows stand together, else copied."""
    if straight >= 0:
        return source[straight : straight + n]
    if wanted:
        for r in range(n):
            into[r] = source[line[r]]
    return into


@kernel
def _scatter(rows: Rows, line: Column, n: Scalar, verdict: Column, reason: Column, matched: Column, score: Column) -> None:
    """Put the decisions of a working set at their rows' places in the batch."""
    from_code, from_reason, from_matched, from_score = rows.code, rows.reason, rows.matched, rows.score
    for r in range(n):
        at = line[r]
        verdict[at] = from_code[r]
        reason[at] = from_reason[r]
        matched[at] = from_matched[r]
        score[at] = from_score[r]


@kernel
def is_sorted(values: Column) -> bool:
    """Tell whether a column never falls."""
    for k in range(1, values.shape[0]):  # noqa: SIM110  a generator is not compiled
        if values[k] < values[k - 1]:
            return False
    return True


@kernel
def decide_part(
    source: Rows,
    reads: Scalar,
    order: Column,
    cursor: Scalar,
    stop: Scalar,
    part: Scalar,
    parts: Scalar,
    rows: Rows,
    ops: Column,
    pool: Column,
    table: Column,
    held: Scalar,
    state: Column,
    keeps_state: Scalar,
    verdict: Column,
    reason: Column,
    matched: Column,
    score: Column,
) -> tuple[Scalar, Scalar, Scalar]:
    """Gather, decide and scatter a batch's rows from `cursor` to `stop`, a working set at a time.

    Return (cursor, slots taken, a sum that keeps the compiler from leaving `touch` out). Where `keeps_state`, it
    returns early when the index or the state might not have room for another working set.
    """
    room = rows.line.shape[0]
    line = rows.line
    touched = np.int64(0)
    together = order.shape[0] == 0 and parts == 1
    while cursor < stop:
        if keeps_state and (held + room > state.shape[0] or 2 * (held + room) > table.shape[0]):
            break
        straight = cursor if together else np.int64(-1)
        if together:
            n = min(stop - cursor, room)
            cursor += n
        else:
            n, cursor = _choose(source, order, cursor, stop, part, parts, line)
        work = Rows(
            _taken(source.time_us, rows.time_us, line, n, straight, reads & 1),
            _taken(source.channel, rows.channel, line, n, straight, 1),
            _taken(source.a_number, rows.a_number, line, n, straight, 1),
            _taken(source.b_number, rows.b_number, line, n, straight, reads & 2),
            _taken(source.a_kind, rows.a_kind, line, n, straight, reads & 4),
            _taken(source.entry, rows.entry, line, n, straight, 1),
            _taken(source.b_carrier, rows.b_carrier, line, n, straight, reads & 8),
            _taken(source.roaming, rows.roaming, line, n, straight, reads & 4),
            rows.content,
            _taken(source.text_score, rows.text_score, line, n, straight, reads & 16),
            _taken(source.link, rows.link, line, n, straight, reads & 32),
            _taken(source.a_incoming, rows.a_incoming, line, n, straight, reads & 64),
            _taken(source.answered, rows.answered, line, n, straight, reads & 128),
            _taken(source.duration_us, rows.duration_us, line, n, straight, reads & 128),
            rows.slot,
            line,
            rows.ordinal,
            rows.generation,
            rows.fresh,
            verdict[straight : straight + n] if together else rows.code,
            reason[straight : straight + n] if together else rows.reason,
            matched[straight : straight + n] if together else rows.matched,
            score[straight : straight + n] if together else rows.score,
            rows.seen,
            rows.said,
            rows.found,
            rows.outside,
        )
        for k in range(source.outside.shape[0]):
            said = rows.outside[k]
            said[:n] = _taken(source.outside[k], said, line, n, straight, 1)[:n]
        if keeps_state:
            held = find_slots(table, held, work, n)
            touched ^= touch(state, work, n)
        decide(ops, pool, work, n, state)
        code = work.code
        for r in range(n):
            code[r] = DELIVER if code[r] == ALLOW else code[r]
        if not together:
            _scatter(work, line, n, verdict, reason, matched, score)
    return cursor, held, touched
