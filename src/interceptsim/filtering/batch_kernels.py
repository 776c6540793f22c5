"""How batches pass through the plan: numbers to slots, rows seen in place or gathered, decisions put back.

The rules themselves are in `kernels`. These loops serve traffic whose numbers are not known beforehand: batches of a
user, and simulated lines that may present each other's numbers.
"""

from __future__ import annotations

import numpy as np

from interceptsim.attempts import ALLOW, DELIVER, Rows
from interceptsim.compiled import Column, Scalar, allocating_kernel, kernel
from interceptsim.filtering.kernels import decide
from interceptsim.randomness import mix64

__all__ = ["decide_part", "find_slots", "is_sorted", "part_among", "part_of", "place_slots"]

_LOW = np.uint64(2**32 - 1)
_BLOCK = 512  # rows hashed at a time, several at once


@allocating_kernel
def find_slots(table: Column, held: Scalar, state: Column, rows: Rows, n: Scalar) -> int:
    """Find or give each row's presented number its slot; return how many slots are taken then.

    `table` (uint64) is open-addressed: the upper half of a number's hash and, in the lower half, its slot + 1, or 0
    where the place is free. Its length is a power of two and more than the slots needed. The number itself is the last
    word of its state. `held` slots are taken on entry. The first two loops look only where a number belongs, without
    a branch, so that many places come from memory at once, the state that rules need next among them; the last loop
    settles the others.
    """
    a_number, slot, fresh = rows.a_number, rows.slot, rows.fresh
    mask, last = np.uint64(table.shape[0] - 1), state.shape[1] - 1
    for r in range(n):
        mixed = mix64(a_number[r])
        entry = table[mixed & mask]
        slot[r] = np.int64(entry & _LOW) - 1 if (entry ^ mixed) & ~_LOW == np.uint64(0) else np.int64(-1)
        fresh[r] = 0
    left = np.empty(n + 1, np.int64)
    many = 0
    for r in range(n):
        at = max(slot[r], 0)
        left[many] = r
        many += (slot[r] < 0) | (np.uint64(state[at, last]) != a_number[r])
    for k in range(many):
        r = left[k]
        number = a_number[r]
        mixed = mix64(number)
        place = mixed & mask
        while True:
            entry = table[place]
            at = np.int64(entry & _LOW) - 1
            if at < 0:
                at = held
                held += 1
                table[place] = mixed & ~_LOW | np.uint64(held)
                state[at, last] = np.int64(number)
                fresh[r] = 1
                break
            if (entry ^ mixed) & ~_LOW == np.uint64(0) and np.uint64(state[at, last]) == number:
                break
            place = place + np.uint64(1) & mask
        slot[r] = at
    return held


@kernel
def place_slots(table: Column, held: Scalar, state: Column) -> None:
    """Enter the numbers of the first `held` slots into an empty table."""
    mask, last = np.uint64(table.shape[0] - 1), state.shape[1] - 1
    for at in range(held):
        mixed = mix64(np.uint64(state[at, last]))
        place = mixed & mask
        while table[place] != np.uint64(0):
            place = place + np.uint64(1) & mask
        table[place] = mixed & ~_LOW | np.uint64(at + 1)


@kernel
def part_among(mixed: Scalar, parts: Scalar) -> Scalar:
    """Return the part to which a number falls whose hash is given."""
    return (mixed >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32)


@allocating_kernel
def part_of(numbers: Column, parts: Scalar) -> Column:
    """Return the part (int64, below `parts`) to which each number (uint64) falls."""
    found = np.empty(numbers.shape[0], np.int64)
    for k in range(numbers.shape[0]):
        found[k] = part_among(mix64(numbers[k]), parts)
    return found


@allocating_kernel
def _choose(
    source: Rows, order: Column, cursor: Scalar, stop: Scalar, part: Scalar, parts: Scalar, line: Column
) -> tuple[Scalar, Scalar]:
    """Fill `line` with the places of a part's rows in the batch, from `cursor` on; return (how many, cursor)."""
    a_number = source.a_number
    in_order = order.shape[0] == 0
    room = line.shape[0]
    hashes = np.empty(_BLOCK, np.uint64)
    n = 0
    while cursor < stop and n < room:
        many = min(stop - cursor, room - n, _BLOCK)
        if in_order:
            block = a_number[cursor : cursor + many]
            for k in range(many):
                hashes[k] = mix64(block[k])
        else:
            for k in range(many):
                hashes[k] = mix64(a_number[order[cursor + k]])
        for k in range(many):
            line[n] = cursor + k if in_order else order[cursor + k]  # and it stays only if it falls to this part
            n += part_among(hashes[k], parts) == part
        cursor += many
    return n, cursor


@allocating_kernel
def _taken(source: Column, into: Column, line: Column, n: Scalar, straight: Scalar, wanted: Scalar) -> Column:
    """Return a column of the working set: seen in place where its rows stand together, else copied."""
    if straight >= 0:
        return source[straight : straight + n]
    if wanted:
        for r in range(n):
            into[r] = source[line[r]]
    return into


@allocating_kernel
def _scatter(rows: Rows, n: Scalar, verdict: Column, reason: Column, matched: Column, score: Column) -> None:
    """Put what matched in a working set at its place in the batch, whose decisions are zero before."""
    line, from_code, from_reason = rows.line, rows.code, rows.reason
    from_matched, from_score = rows.matched, rows.score
    hits = np.empty(n + 1, np.int64)
    many = 0
    for r in range(n):
        hits[many] = r
        many += (from_matched[r] != np.uint64(0)) | (from_score[r] != 0)
    for h in range(many):
        r = hits[h]
        at = line[r]
        verdict[at] = from_code[r]
        reason[at] = from_reason[r]
        matched[at] = from_matched[r]
        score[at] = from_score[r]


@kernel
def is_sorted(values: Column) -> bool:
    """Tell whether a column never falls; read to its end, several values at once."""
    falls = False
    for k in range(1, values.shape[0]):
        falls |= values[k] < values[k - 1]
    return not falls


@allocating_kernel
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
) -> tuple[Scalar, Scalar]:
    """Decide a batch's rows from `cursor` to `stop` whose numbers fall to `part`, a working set at a time.

    Rows that stand together are decided where they are; where an `order` (int64, may be empty) or several `parts` pick
    them, columns whose bit is set in `reads` are copied, and only what matched is written to the decisions, which have
    to be zero before. Return (cursor, slots taken). Where `keeps_state`, it returns early when the index or the state
    might not have room for another working set.
    """
    room = rows.line.shape[0]
    line = rows.line
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
            rows.outcome,
            rows.seen,
            rows.said,
            rows.found,
            rows.outside,
        )
        for k in range(source.outside.shape[0]):
            said = rows.outside[k]
            said[:n] = _taken(source.outside[k], said, line, n, straight, 1)[:n]
        if keeps_state:
            held = find_slots(table, held, state, work, n)
        decide(ops, pool, work, n, state)
        code = work.code
        for r in range(n):
            code[r] = DELIVER if code[r] == ALLOW else code[r]
        if not together:
            _scatter(work, n, verdict, reason, matched, score)
    return cursor, held
