"""The loops over lines that may present each other's numbers.

Their attempts are generated for a whole slice (`present_lines`), put in order (`order_part`), and then decided
(`decide_presented`), since rules count by the number that is shown.
"""

from __future__ import annotations

import numpy as np

from interceptsim.attempts import Rows
from interceptsim.compiled import Column, Scalar, Table, allocating_kernel, kernel
from interceptsim.dataplane_kernels import account, words_fit
from interceptsim.filtering.batch_kernels import find_slots, part_among
from interceptsim.filtering.kernels import decide
from interceptsim.randomness import mix64
from interceptsim.traffic.kernels import generate
from interceptsim.traffic.records import Work

__all__ = ["PRESENTED", "advance_shared", "decide_presented", "order_part", "present_lines", "take_presented"]

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


@kernel
def present_lines(
    work: Work,
    agenda: Column,
    presented: Table,
    until_us: Scalar,
    cursor: Scalar,
    stop: Scalar,
    pending: Scalar,
    held: Scalar,
) -> tuple[int, int, int]:
    """Append attempts before `until_us` of lines `cursor` to `stop` of an agenda to `presented`, which holds `held`.

    Return (cursor, lines pending, attempts held); it returns early where another batch might not fit.
    """
    rows = work.rows
    while (cursor < stop or pending > 0) and held + rows.time_us.shape[0] <= presented.shape[0]:
        n, cursor, pending = generate(work, agenda, until_us, cursor, stop, pending)
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


@allocating_kernel
def order_part(presented: Table, part: Scalar, parts: Scalar) -> Column:
    """Return the places (int64) of one part's attempts by (time, line, ordinal): dealt to times, sorted within.

    Each number falls to one of `parts` parts, so that all of its attempts are in one.
    """
    which = np.empty(presented.shape[0], np.int64)
    n = 0
    for at in range(presented.shape[0]):
        which[n] = at
        n += part_among(mix64(presented[at].a_number), parts) == part
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
    work: Work,
    presented: Table,
    order: Column,
    cursor: Scalar,
    table: Column,
    known: Scalar,
    held: Scalar,
    one_batch: Scalar,
) -> tuple[int, int, int, int]:
    """Decide and account for attempts in `order` from `cursor` on.

    `table` is an index of numbers that has room, `work.state` what rules remember of them. Return (cursor, numbers
    known, rows of the last batch, words held), early as `advance_lines` does.
    """
    n = 0
    while cursor < order.shape[0] and words_fit(work, held):
        n, cursor = take_presented(presented, order, cursor, work.hindsight, work.rows)
        known = find_slots(table, known, work.state, work.rows, n)
        decide(work.ops, work.pool, work.rows, n, work.state)
        held = account(work, n, held)
        if one_batch:
            break
    return cursor, known, n, held


@allocating_kernel
def advance_shared(
    work: Work,
    agenda: Column,
    presented: Table,
    table: Column,
    known: Scalar,
    until_us: Scalar,
    cursor: Scalar,
    pending: Scalar,
    waiting: Scalar,
    held: Scalar,
) -> tuple[int, int, int, int, int, bool]:
    """Do for a whole slice and one thread what `present_lines`, `order_part` and `decide_presented` do in turn.

    `presented` holds `waiting` attempts before. The index of numbers has room for as many as it can hold. Return
    (cursor, lines pending, attempts waiting, numbers known, words held, whether all is decided); where it is not,
    nothing is, and more room is needed.
    """
    stop = agenda.shape[0]
    cursor, pending, waiting = present_lines(work, agenda, presented, until_us, cursor, stop, pending, waiting)
    if cursor < stop or pending > 0 or not words_fit(work, held + 3 * waiting):
        return cursor, pending, waiting, known, held, False
    if waiting > 0:
        order = order_part(presented[:waiting], 0, 1)
        _, known, _, held = decide_presented(work, presented, order, 0, table, known, held, False)
    return cursor, pending, 0, known, held, True


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
