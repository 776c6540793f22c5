"""The filter's hot loops: a compiled plan decides columns of attempts.

A plan is a table of operations (`ops`, int64, one row a rule) over pooled lists (`pool`, uint64) and a
table of state (`state`, int64, one row a presented number). Rules run in the order of the chain, each over
all rows. Every stateful rule counts every attempt within its channels and entries, whatever other rules
say: a rule writes what it says of each row, and `_combine` alone joins that to the verdicts.
"""

from __future__ import annotations

import numpy as np

from interceptsim.attempts import ALLOW, DELIVER, INTERCEPT, INTERNATIONAL_GATEWAY, LABEL, Rows
from interceptsim.compiled import Column, Record, Scalar, kernel
from interceptsim.numbering import INTERNATIONAL
from interceptsim.randomness import mix64

__all__ = [
    "ARGUMENTS",
    "EMPTY_WINDOW",
    "MAX_COUNT",
    "NO_LIMIT",
    "OP_CHANNELS",
    "OP_CODE",
    "OP_ENTRIES",
    "OP_WIDTH",
    "OP_WORD",
    "decide",
    "find_slots",
    "list_contains",
]

ALLOW_LISTED, REJECT_LISTED, REJECT_SPOOFED, LIMIT_ATTEMPTS, SCORE_TEXT = 0, 1, 2, 3, 4

OP_CODE, OP_CHANNELS, OP_ENTRIES, OP_WORD, ARGUMENTS, OP_WIDTH = 0, 1, 2, 3, 4, 16
"""Columns of `ops`: which rule, bit masks of channels and entries, first state word, then 12 arguments."""

NO_LIMIT = np.int64(2**62)
COUNT_BITS = 24
MAX_COUNT = np.int64(2**COUNT_BITS - 1)
EMPTY_WINDOW = np.int64(-(2**62))
"""A state word of a window in which nothing has been counted yet; no real time has its index."""

MINUTES_EAST = 8 * 60  # local time is UTC and 8 hours
MINUTE_US = 60_000_000


@kernel
def list_contains(pool: Column, offset: Scalar, mask: Scalar, has_zero: Scalar, number: Scalar) -> bool:
    """Tell whether `number` is in an open-addressed list: `mask + 1` places of the pool from `offset`."""
    if number == np.uint64(0):
        return has_zero != 0
    place = np.int64(mix64(number) & np.uint64(mask))
    while True:
        found = pool[offset + place]
        if found == number:
            return True
        if found == np.uint64(0):
            return False
        place = (place + 1) & mask


@kernel
def list_fill(pool: Column, numbers: Column) -> int:
    """Put `numbers` (uint64, without 0) into an empty pool whose length is a power of two; return how many."""
    mask = pool.shape[0] - 1
    held = 0
    for k in range(numbers.shape[0]):
        place = np.int64(mix64(numbers[k]) & np.uint64(mask))
        while pool[place] != np.uint64(0) and pool[place] != numbers[k]:
            place = (place + 1) & mask
        if pool[place] == np.uint64(0):
            pool[place] = numbers[k]
            held += 1
    return held


@kernel
def _combine(rows: Rows, n: Scalar, k: Scalar) -> None:
    """Add what rule k said to the verdicts: the one place where verdicts are combined.

    Precedence is allow, intercept, label, deliver; among equals the rule that stands first gives the reason.
    """
    said, code, reason, matched = rows.said, rows.code, rows.reason, rows.matched
    bit = np.uint64(1) << np.uint64(k)
    for r in range(n):
        if said[r] != DELIVER:
            matched[r] |= bit
            if said[r] > code[r]:
                code[r] = said[r]
                reason[r] = k + 1


@kernel
def _mark_seen(op: Record, rows: Rows, n: Scalar) -> None:
    """Mark in `rows.seen` what passes where the rule stands: its channels and entries."""
    channels, entries = op[OP_CHANNELS], op[OP_ENTRIES]
    channel, entry, seen = rows.channel, rows.entry, rows.seen
    for r in range(n):
        seen[r] = (channels >> channel[r]) & (entries >> entry[r]) & 1


@kernel
def _allow_listed(op: Record, pool: Column, rows: Rows, n: Scalar) -> None:
    a_number, seen, said = rows.a_number, rows.seen, rows.said
    offset, mask, has_zero = op[4], op[5], op[6]
    for r in range(n):
        if seen[r] and list_contains(pool, offset, mask, has_zero, a_number[r]):
            said[r] = ALLOW


@kernel
def _reject_listed(op: Record, pool: Column, rows: Rows, n: Scalar, state: Column) -> None:
    """Arguments: list offset, mask, has zero; adoption threshold; salt. One word: listed from (UTC us)."""
    time_us, a_number, b_number = rows.time_us, rows.a_number, rows.b_number
    slot, fresh, seen, said = rows.slot, rows.fresh, rows.seen, rows.said
    word, offset, mask, has_zero = op[OP_WORD], op[4], op[5], op[6]
    adoption, salt = np.uint64(op[7]), np.uint64(op[8])
    has_list = mask != 0 or has_zero != 0
    for r in range(n):
        if fresh[r]:
            state[slot[r], word] = NO_LIMIT
        listed = time_us[r] >= state[slot[r], word]
        if has_list and not listed:
            listed = list_contains(pool, offset, mask, has_zero, a_number[r])
        if listed and seen[r] and mix64(b_number[r] ^ salt) >> np.uint64(32) < adoption:
            said[r] = INTERCEPT


@kernel
def _reject_spoofed(rows: Rows, n: Scalar) -> None:
    entry, a_kind, roaming, seen, said = rows.entry, rows.a_kind, rows.roaming, rows.seen, rows.said
    for r in range(n):
        if entry[r] == INTERNATIONAL_GATEWAY and a_kind[r] != INTERNATIONAL and not roaming[r] and seen[r]:
            said[r] = INTERCEPT


@kernel
def _limit_window(
    rows: Rows, n: Scalar, state: Column, word: Scalar, minutes: Scalar, warn: Scalar, critical: Scalar
) -> None:
    """Count the seen attempts of each number in its current window of so many minutes of local time.

    A state word is a window's index and, in its low bits, the count so far.
    """
    time_us, slot, fresh, seen, said = rows.time_us, rows.slot, rows.fresh, rows.seen, rows.said
    length = minutes * MINUTE_US
    offset = MINUTES_EAST * MINUTE_US % length
    for r in range(n):
        at = slot[r]
        held = EMPTY_WINDOW if fresh[r] else state[at, word]
        if seen[r]:
            window = (time_us[r] + offset) // length
            count = np.int64(1)
            if held >> COUNT_BITS == window:
                count = min((held & MAX_COUNT) + 1, MAX_COUNT)
            held = window << COUNT_BITS | count
            if count > critical:
                said[r] = INTERCEPT
            elif count > warn and said[r] == DELIVER:
                said[r] = LABEL
        state[at, word] = held


@kernel
def _limit_attempts(op: Record, rows: Rows, n: Scalar, state: Column) -> None:
    """Arguments: for minute, hour and day a warn and a critical count. Three words, one a window."""
    word = op[OP_WORD]
    if op[4] != NO_LIMIT or op[5] != NO_LIMIT:
        _limit_window(rows, n, state, word, 1, op[4], op[5])
    if op[6] != NO_LIMIT or op[7] != NO_LIMIT:
        _limit_window(rows, n, state, word + 1, 60, op[6], op[7])
    if op[8] != NO_LIMIT or op[9] != NO_LIMIT:
        _limit_window(rows, n, state, word + 2, 1440, op[8], op[9])


@kernel
def _score_text(op: Record, rows: Rows, n: Scalar) -> None:
    text_score, seen, said = rows.text_score, rows.seen, rows.said
    label_from, intercept_from = op[4], op[5]
    for r in range(n):
        if seen[r] and text_score[r] >= label_from:
            said[r] = INTERCEPT if text_score[r] >= intercept_from else LABEL


@kernel
def decide(ops: Column, pool: Column, rows: Rows, n: Scalar, state: Column) -> None:
    """Decide the first `n` rows: fill `code`, `reason` and `matched`, and bring `state` up to date.

    Rows of one presented number must stand in the order (time, line, ordinal); rows of different numbers may
    stand in any. `rows.slot` is each number's row of `state`, and `rows.fresh` marks a number new to it.
    """
    rows.code[:n] = DELIVER
    rows.reason[:n] = 0
    rows.matched[:n] = 0
    for k in range(ops.shape[0]):
        op = ops[k]
        rows.said[:n] = DELIVER
        _mark_seen(op, rows, n)
        if op[OP_CODE] == ALLOW_LISTED:
            _allow_listed(op, pool, rows, n)
        elif op[OP_CODE] == REJECT_LISTED:
            _reject_listed(op, pool, rows, n, state)
        elif op[OP_CODE] == REJECT_SPOOFED:
            _reject_spoofed(rows, n)
        elif op[OP_CODE] == LIMIT_ATTEMPTS:
            _limit_attempts(op, rows, n, state)
        elif op[OP_CODE] == SCORE_TEXT:
            _score_text(op, rows, n)
        _combine(rows, n, k)


@kernel
def find_slots(index_keys: Column, index_slots: Column, held: Scalar, rows: Rows, n: Scalar) -> int:
    """Find or give each row's presented number its slot; return how many slots are taken then.

    `index_keys` (uint64) and `index_slots` (int64, -1 where free) are an open-addressed table whose length
    is a power of two and more than the slots needed; `held` slots are taken on entry.
    """
    mask = index_keys.shape[0] - 1
    for r in range(n):
        number = rows.a_number[r]
        place = np.int64(mix64(number) & np.uint64(mask))
        while index_slots[place] >= 0 and index_keys[place] != number:
            place = (place + 1) & mask
        if index_slots[place] < 0:
            index_keys[place] = number
            index_slots[place] = held
            held += 1
            rows.fresh[r] = 1
        else:
            rows.fresh[r] = 0
        rows.slot[r] = index_slots[place]
    return held
