"""The filter's hot loops: a compiled plan decides columns of attempts.

A plan is a table of operations (`ops`, int64, one row a rule) over pooled lists (`pool`, uint64) and a
table of state (`state`, int64, one row a presented number). Rules run in the order of the chain, each over
all rows. Every stateful rule counts every attempt within its channels and entries, whatever other rules
say: a rule writes what it says of each row, and `_combine` alone joins that to the verdicts.
"""

from __future__ import annotations

import numpy as np

from interceptsim.attempts import ALLOW, DELIVER, INTERCEPT, INTERNATIONAL_GATEWAY, LABEL, SCORE_ONE, Rows
from interceptsim.compiled import Column, Record, Scalar, allocating_kernel, kernel
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
    "find_listed",
]

(
    ALLOW_LISTED,
    REJECT_LISTED,
    REJECT_SPOOFED,
    REJECT_RANGES,
    LIMIT_ATTEMPTS,
    LIMIT_FAN_OUT,
    SCORE_TEXT,
    REJECT_LINKS,
    SCORE_REPUTATION,
    LABEL_SUSPECTED,
    OUTSIDE,
) = range(11)

OP_CODE, OP_CHANNELS, OP_ENTRIES, OP_ACTION, OP_WORD, ARGUMENTS, OP_WIDTH = 0, 1, 2, 3, 4, 5, 24
"""Columns of `ops`: which rule, bit masks of channels and entries, what an interception becomes (a verdict code, or
OBSERVE), first state word, then the rule's arguments."""

_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio: near numbers end far apart in the upper bits

OBSERVE = 9
"""An action that changes no verdict: the rule is counted as matched, for others to weigh."""

NO_LIMIT = np.int64(2**62)
COUNT_BITS = 24
MAX_COUNT = np.int64(2**COUNT_BITS - 1)
EMPTY_WINDOW = np.int64(-(2**62))
"""A state word of a window in which nothing has been counted yet; no real time has its index."""

MINUTE_US = 60_000_000
_EAST_OF_ORIGIN_US = 8 * 60 * MINUTE_US + 1_000_000 * 1440 * MINUTE_US  # local time, from a midnight before all others
MAX_SCORE = np.int64(2**31 - 1)


@allocating_kernel
def find_listed(
    pool: Column,
    offset: Scalar,
    mask: Scalar,
    has_zero: Scalar,
    sieve: Scalar,
    sieve_mask: Scalar,
    numbers: Column,
    found: Column,
    n: Scalar,
) -> None:
    """Set `found` (uint8) to 1 where a number is in a list: `mask + 1` open-addressed places of the pool.

    Most numbers are not, and the sieve tells so at the cost of one word that stays in the cache: `sieve_mask + 1`
    words from `sieve`, in one of which each listed number has set three bits. The few that pass are noted without a
    branch and looked up together, so that many places come from memory at once.
    """
    places, words = pool[offset : offset + mask + 1], pool[sieve : sieve + sieve_mask + 1]
    place_mask, word_mask = np.uint64(mask), np.uint64(sieve_mask)
    left = np.empty(n + 1, np.int64)
    many = 0
    for r in range(n):
        spread = np.uint64(numbers[r]) * _SPREAD
        bits = _sieve_bits(spread)
        found[r] = 0
        left[many] = r
        many += words[spread >> np.uint64(20) & word_mask] & bits == bits
    passed, many = many, 0
    for k in range(passed):
        r = left[k]
        number = np.uint64(numbers[r])
        there = places[mix64(number) & place_mask]
        found[r] = there == number and (number != np.uint64(0) or has_zero != 0)
        left[many] = r
        many += there != number and there != np.uint64(0)
    for k in range(many):
        r = left[k]
        number = np.uint64(numbers[r])
        place = mix64(number) + np.uint64(1) & place_mask
        while places[place] != number and places[place] != np.uint64(0):
            place = place + np.uint64(1) & place_mask
        found[r] = places[place] == number


@kernel
def _sieve_bits(spread: Scalar) -> Scalar:
    """Return the three bits that a number, spread over 64 bits, sets in its word of the sieve."""
    one, low = np.uint64(1), np.uint64(63)
    return (
        one << (spread >> np.uint64(46) & low)
        | one << (spread >> np.uint64(52) & low)
        | one << (spread >> np.uint64(58))
    )


@kernel
def list_fill(places: Column, sieve: Column, numbers: Column) -> None:
    """Put `numbers` (uint64) into empty places and a sieve, both of a power of two; 0 goes to the sieve alone."""
    mask = np.uint64(places.shape[0] - 1)
    sieve_mask = np.uint64(sieve.shape[0] - 1)
    for k in range(numbers.shape[0]):
        number = numbers[k]
        spread = number * _SPREAD
        sieve[spread >> np.uint64(20) & sieve_mask] |= _sieve_bits(spread)
        place = mix64(number) & mask
        while places[place] != np.uint64(0) and places[place] != number:
            place = place + np.uint64(1) & mask
        places[place] = number


BUCKETS = (64 << 11) + 1
FINE_BUCKETS = 1 << 11


@kernel
def bucket_of(number: Scalar) -> Scalar:
    """Return a bucket (uint64, below BUCKETS) that never falls as the number (uint64) grows: its leading bits."""
    return np.float64(number | np.uint64(1)).view(np.uint64) - np.uint64(1023 << 52) >> np.uint64(41)


@kernel
def fine_bucket_of(number: Scalar) -> Scalar:
    """Return the bucket within a bucket (uint64, below FINE_BUCKETS): the next leading bits of a number."""
    return np.float64(number | np.uint64(1)).view(np.uint64) >> np.uint64(30) & np.uint64(FINE_BUCKETS - 1)


@allocating_kernel
def _combine(rows: Rows, n: Scalar, k: Scalar, action: Scalar) -> None:
    """Add what rule k said to the verdicts: the one place where verdicts are combined.

    Precedence is allow, intercept, label, deliver; among equals the rule that stands first gives the reason. A
    rule whose `action` is to label says no more than that; one that observes is only noted as matched.
    """
    said, code, reason, matched = rows.said, rows.code, rows.reason, rows.matched
    bit = np.uint64(1) << np.uint64(k)
    strongest = DELIVER if action == OBSERVE else action
    position = np.uint16(k + 1)
    hits = np.empty(n + 1, np.int64)
    many = 0
    for r in range(n):
        hits[many] = r
        many += said[r] != DELIVER
    for h in range(many):
        at = np.uint64(hits[h])
        matched[at] |= bit
        verdict = said[at] if said[at] == ALLOW else min(said[at], strongest)
        if verdict > code[at]:
            code[at] = verdict
            reason[at] = position


@kernel
def _mark_seen(op: Record, rows: Rows, n: Scalar) -> None:
    """Mark in `rows.seen` what passes where the rule stands: its channels and entries."""
    channels, entries = op[OP_CHANNELS], op[OP_ENTRIES]
    channel, entry, seen = rows.channel, rows.entry, rows.seen
    if channels == 3 and entries == 15:
        seen[:n] = 1
        return
    for r in range(n):
        seen[r] = (channels >> channel[r]) & (entries >> entry[r]) & 1


@kernel
def _allow_listed(op: Record, pool: Column, rows: Rows, n: Scalar) -> None:
    """Arguments 0 to 4: the list."""
    seen, said, found = rows.seen, rows.said, rows.found
    find_listed(pool, op[5], op[6], op[7], op[8], op[9], rows.a_number, found, n)
    for r in range(n):
        said[r] = ALLOW if seen[r] & found[r] else DELIVER


@kernel
def _reject_listed(op: Record, pool: Column, rows: Rows, n: Scalar, state: Column) -> None:
    """Arguments 0 to 4: the list; 5 adoption threshold, 6 salt, 7 expiry in us, 8 to 11 bits of carriers, 12 fed.

    Argument 13 says whether listings end. A word where the list is fed: the number is listed from (UTC us), and where
    listings end one more: to.
    """
    time_us, b_number, b_carrier = rows.time_us, rows.b_number, rows.b_carrier
    slot, fresh, seen, said, found = rows.slot, rows.fresh, rows.seen, rows.said, rows.found
    word = op[OP_WORD]
    adoption, salt, expiry, fed = np.uint64(op[10]), np.uint64(op[11]), op[12], op[17] != 0
    if op[6] != 0 or op[7] != 0:
        find_listed(pool, op[5], op[6], op[7], op[8], op[9], rows.a_number, found, n)
    else:
        found[:n] = 0
    if fed and op[18] != 0:
        for r in range(n):
            at = np.uint64(slot[r])
            if fresh[r]:
                state[at, word] = state[at, word + 1] = NO_LIMIT
            since = time_us[r] - state[at, word]
            found[r] |= 0 <= since < expiry and time_us[r] < state[at, word + 1]
    elif fed:
        for r in range(n):
            at = np.uint64(slot[r])
            if fresh[r]:
                state[at, word] = NO_LIMIT
            since = time_us[r] - state[at, word]
            found[r] |= 0 <= since < expiry
    everyone = adoption == np.uint64(2**32) and op[13] == -1 and op[14] == -1 and op[15] == -1 and op[16] == -1
    if everyone:
        for r in range(n):
            said[r] = INTERCEPT if found[r] & seen[r] else DELIVER
        return
    for r in range(n):
        if found[r] & seen[r]:
            carrier = np.int64(b_carrier[r])
            adopted = mix64(b_number[r] ^ salt) >> np.uint64(32) < adoption
            if adopted and op[13 + (carrier >> 6)] >> (carrier & 63) & 1 != 0:
                said[r] = INTERCEPT


@kernel
def _reject_spoofed(rows: Rows, n: Scalar) -> None:
    entry, a_kind, roaming, seen, said = rows.entry, rows.a_kind, rows.roaming, rows.seen, rows.said
    for r in range(n):
        if entry[r] == INTERNATIONAL_GATEWAY and a_kind[r] != INTERNATIONAL and not roaming[r] and seen[r]:
            said[r] = INTERCEPT


@allocating_kernel
def _reject_ranges(op: Record, pool: Column, rows: Rows, n: Scalar) -> None:
    """Arguments: 0 offset and 1 count of bounds, 2 offset of what begins at each, 3 offset of the buckets.

    Bounds are uint64 in order, the first 0; a number belongs to the last bound not above it. A bucket holds the place
    of its cells (upper half of the word) and a mask of the number's finer bits, which tells the cell apart where there
    are several. A cell holds what is said of the numbers at its beginning, and in its upper half, where bounds lie
    within it, the first of them: such numbers are noted without a branch and compared afterwards.
    """
    a_number, seen, said = rows.a_number, rows.seen, rows.said
    count = op[6]
    bounds, codes, buckets = pool[op[5] : op[5] + count], pool[op[7] : op[7] + count], pool[op[8] : op[8] + BUCKETS]
    left = np.empty(n + 1, np.int64)
    many = 0
    for r in range(n):
        number = a_number[r]
        bucket = buckets[bucket_of(number)]
        cell = pool[(bucket >> np.uint64(32)) + (fine_bucket_of(number) & bucket)]
        said[r] = cell if seen[r] else DELIVER
        left[many] = r
        many += (cell >> np.uint64(32) != np.uint64(0)) & (seen[r] != 0)
    for k in range(many):
        r = left[k]
        number = a_number[r]
        bucket = buckets[bucket_of(number)]
        at = pool[(bucket >> np.uint64(32)) + (fine_bucket_of(number) & bucket)] >> np.uint64(32)
        while at < count and bounds[at] <= number:
            at += np.uint64(1)
        said[r] = codes[at - np.uint64(1)]


@kernel
def _window_of(time_us: Scalar, minutes: Scalar) -> Scalar:
    """Return which minute, hour or day of local time (int64), above 0; dividing by what is known beforehand is fast."""
    minute = np.uint64(time_us + _EAST_OF_ORIGIN_US) // np.uint64(MINUTE_US)
    if minutes == 1:
        return np.int64(minute)
    return np.int64(minute // np.uint64(60) if minutes == 60 else minute // np.uint64(1440))


@kernel
def _counted(held: Scalar, begun: Scalar, old: Scalar) -> Scalar:
    """Return the count (int64) of a window with one attempt more, given its state word and the word of none in it.

    The word of an earlier window is smaller than any of this one, so that the difference tells without a branch;
    `old` is -1, or 0 for a number that is new to its slot.
    """
    count = (max(held - begun, np.int64(0)) & old) + 1
    return count - (count >> COUNT_BITS)


@kernel
def _limit_windows(op: Record, rows: Rows, n: Scalar, state: Column) -> None:
    """Count the seen attempts of each number in its current minute, hour and day of local time.

    A state word for each limited window: its index and, in its low bits, the count so far.
    """
    time_us, slot, fresh, seen, said = rows.time_us, rows.slot, rows.fresh, rows.seen, rows.said
    word = op[OP_WORD]
    minute_warn, minute_most, hour_warn, hour_most, day_warn, day_most = op[5], op[6], op[7], op[8], op[9], op[10]
    by_minute = minute_warn != NO_LIMIT or minute_most != NO_LIMIT
    by_hour = hour_warn != NO_LIMIT or hour_most != NO_LIMIT
    by_day = day_warn != NO_LIMIT or day_most != NO_LIMIT
    hour_word = word + by_minute
    day_word = hour_word + by_hour
    for r in range(n):
        at = np.uint64(slot[r])
        if not seen[r]:
            if fresh[r]:
                for k in range(word, day_word + by_day):
                    state[at, k] = EMPTY_WINDOW
            continue
        minute = np.uint64(time_us[r] + _EAST_OF_ORIGIN_US) // np.uint64(MINUTE_US)
        old = np.int64(fresh[r]) - 1
        warned = critical = np.int64(0)  # below 0 where a count is above its bound
        if by_minute:
            begun = np.int64(minute) << COUNT_BITS
            count = _counted(state[at, word], begun, old)
            state[at, word] = begun | count
            warned |= minute_warn - count
            critical |= minute_most - count
        if by_hour:
            begun = np.int64(minute // np.uint64(60)) << COUNT_BITS
            count = _counted(state[at, hour_word], begun, old)
            state[at, hour_word] = begun | count
            warned |= hour_warn - count
            critical |= hour_most - count
        if by_day:
            begun = np.int64(minute // np.uint64(1440)) << COUNT_BITS
            count = _counted(state[at, day_word], begun, old)
            state[at, day_word] = begun | count
            warned |= day_warn - count
            critical |= day_most - count
        said[r] = ((warned | critical) >> 63 & 1) + (critical >> 63 & 1)  # DELIVER, LABEL, INTERCEPT


@kernel
def _limit_bucket(
    rows: Rows, n: Scalar, state: Column, word: Scalar, minutes: Scalar, warn: Scalar, critical: Scalar
) -> None:
    """Fill a leaky bucket a number with its seen attempts; it leaks what is allowed in so many minutes.

    The level is kept in attempts x microseconds of the window (state word 0), as of the last attempt (word 1); it
    leaks at the critical count, or where there is none the warning count, each window.
    """
    time_us, slot, fresh, seen, said = rows.time_us, rows.slot, rows.fresh, rows.seen, rows.said
    length = minutes * MINUTE_US
    leak = max(critical if critical != NO_LIMIT else warn, 1)
    most = MAX_COUNT * length // 16
    for r in range(n):
        at = slot[r]
        if fresh[r]:
            state[at, word] = 0
            state[at, word + 1] = time_us[r]
        if not seen[r]:
            continue
        level = state[at, word]
        since = time_us[r] - state[at, word + 1]
        level = 0 if since > level // leak else level - since * leak
        level = min(level + length, most)
        state[at, word] = level
        state[at, word + 1] = time_us[r]
        if critical != NO_LIMIT and level > critical * length:
            said[r] = INTERCEPT
        elif warn != NO_LIMIT and level > warn * length and said[r] == DELIVER:
            said[r] = LABEL


@kernel
def _limit_attempts(op: Record, rows: Rows, n: Scalar, state: Column) -> None:
    """Arguments: for minute, hour and day a warn and a critical count; 6 whether they are leaky buckets.

    A state word for each window, two for a bucket.
    """
    if op[11] == 0:
        _limit_windows(op, rows, n, state)
        return
    word = op[OP_WORD]
    for k, minutes in enumerate((1, 60, 1440)):
        warn, critical = op[5 + 2 * k], op[6 + 2 * k]
        if warn != NO_LIMIT or critical != NO_LIMIT:
            _limit_bucket(rows, n, state, word, minutes, warn, critical)
            word += 2


@kernel
def _limit_fan_out(op: Record, rows: Rows, n: Scalar, state: Column) -> None:
    """Count distinct called numbers, outgoing attempts and short calls of each number in a window.

    Arguments: 0 minutes of the window, 1 bits of the sketch, 2 salt, 3 and 4 bits set beyond which to warn and to
    intercept, 5 least attempts and 6 least share (of SCORE_ONE) of outgoing, 7 least answered calls, 8 least
    share of short ones, 9 us below which a call is short. State words: the window and, in its low bits, how many bits
    are set; the sketch; attempts, where the outgoing share is limited; and where short calls are, answered calls, short
    ones, and of the last attempt 0 if it was not answered, 1 if it was long and 2 if it was short.
    """
    time_us, b_number, slot, fresh = rows.time_us, rows.b_number, rows.slot, rows.fresh
    seen, said = rows.seen, rows.said
    word, minutes, bits, salt = op[OP_WORD], op[5], op[6], np.uint64(op[7])
    warn, critical, least_out, out_share = op[8], op[9], op[10], op[11]
    least_answered, short_share, short_us = op[12], op[13], op[14]
    out_word = word + 1 + bits // 64
    short_word = out_word + 1 if least_out != NO_LIMIT else out_word
    end = short_word + 3 if least_answered != NO_LIMIT else short_word
    for r in range(n):
        at = np.uint64(slot[r])
        held = EMPTY_WINDOW if fresh[r] else state[at, word]
        if not seen[r]:
            state[at, word] = held
            continue
        window = _window_of(time_us[r], minutes)
        if held >> COUNT_BITS != window:
            held = window << COUNT_BITS
            for k in range(word + 1, end):
                state[at, k] = 0
        if bits != 0:
            bit = np.int64((mix64(b_number[r] ^ salt) >> np.uint64(32)) * np.uint64(bits) >> np.uint64(32))
            cell = word + 1 + (bit >> 6)
            sketch = state[at, cell]
            held += 1 - (sketch >> (bit & 63) & 1)
            state[at, cell] = sketch | np.int64(1) << (bit & 63)
            over = critical - (held & MAX_COUNT)  # below 0 where too many are set
            said[r] = ((over | warn - (held & MAX_COUNT)) >> 63 & 1) + (over >> 63 & 1)  # DELIVER, LABEL, INTERCEPT
        state[at, word] = held
        if least_out != NO_LIMIT:
            out = state[at, out_word] + 1
            state[at, out_word] = out
            if out >= least_out and out * SCORE_ONE >= out_share * (out + np.int64(rows.a_incoming[r])):
                said[r] = INTERCEPT
        if least_answered != NO_LIMIT:
            last = state[at, short_word + 2]  # the call before this one is over: it counts now
            answered = state[at, short_word] + (last != 0)
            short = state[at, short_word + 1] + (last == 2)
            if answered >= least_answered and short * SCORE_ONE >= short_share * answered:
                said[r] = INTERCEPT
            state[at, short_word] = answered
            state[at, short_word + 1] = short
            state[at, short_word + 2] = (2 if rows.duration_us[r] < short_us else 1) if rows.answered[r] else 0


@kernel
def _score_text(op: Record, rows: Rows, n: Scalar) -> None:
    """Arguments: the scores from which to label and from which to intercept."""
    text_score, seen, said = rows.text_score, rows.seen, rows.said
    label_from, intercept_from = op[5], op[6]
    for r in range(n):
        if seen[r] and text_score[r] >= label_from:
            said[r] = INTERCEPT if text_score[r] >= intercept_from else LABEL


@kernel
def _reject_links(op: Record, pool: Column, rows: Rows, n: Scalar) -> None:
    """Arguments 0 to 4: the list of link ids."""
    seen, said, found = rows.seen, rows.said, rows.found
    find_listed(pool, op[5], op[6], op[7], op[8], op[9], rows.link, found, n)
    for r in range(n):
        said[r] = INTERCEPT if seen[r] & found[r] else DELIVER


@kernel
def _score_reputation(op: Record, pool: Column, rows: Rows, n: Scalar) -> None:
    """Arguments: 0 offset and 1 count of weights, 2 weight of the text's score, 3 label from, 4 intercept from.

    A weight is two words of the pool: position of an earlier rule, weight as int64. The sum goes to `rows.score`.
    """
    matched, text_score, score, seen, said = rows.matched, rows.text_score, rows.score, rows.seen, rows.said
    offset, count, text_weight, label_from, intercept_from = op[5], op[6], op[7], op[8], op[9]
    for r in range(n):
        if not seen[r]:
            continue
        total = np.int64(0)
        if text_weight != 0:
            total = np.int64(text_score[r]) * text_weight // SCORE_ONE
        for k in range(count):
            if matched[r] >> pool[offset + 2 * k] & np.uint64(1):
                total += np.int64(pool[offset + 2 * k + 1])
        total = min(max(total, -MAX_SCORE), MAX_SCORE)
        score[r] = min(max(score[r] + total, -MAX_SCORE), MAX_SCORE)
        if total >= intercept_from:
            said[r] = INTERCEPT
        elif total >= label_from:
            said[r] = LABEL


@kernel
def _label_suspected(op: Record, rows: Rows, n: Scalar) -> None:
    """Arguments: 0 bits of earlier rules, 1 how many of them have to match."""
    matched, seen, said = rows.matched, rows.seen, rows.said
    which, at_least = np.uint64(op[5]), op[6]
    for r in range(n):
        if seen[r]:
            left = matched[r] & which
            found = 0
            while left != np.uint64(0):
                left &= left - np.uint64(1)
                found += 1
            if found >= at_least:
                said[r] = LABEL


@kernel
def _outside(op: Record, rows: Rows, n: Scalar) -> None:
    """Argument: which row of `rows.outside` holds what the rule says."""
    outside, seen, said = rows.outside[op[5]], rows.seen, rows.said
    for r in range(n):
        if seen[r]:
            said[r] = outside[r]


@kernel
def decide(ops: Column, pool: Column, rows: Rows, n: Scalar, state: Column) -> None:
    """Decide the first `n` rows: fill `code`, `reason`, `matched` and `score`, and bring `state` up to date.

    Rows of one presented number must stand in the order (time, line, ordinal); rows of different numbers may
    stand in any. `rows.slot` is each number's row of `state`, and `rows.fresh` marks a number new to it.
    """
    rows.code[:n] = DELIVER
    rows.reason[:n] = 0
    rows.matched[:n] = 0
    rows.score[:n] = 0
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
        elif op[OP_CODE] == REJECT_RANGES:
            _reject_ranges(op, pool, rows, n)
        elif op[OP_CODE] == LIMIT_ATTEMPTS:
            _limit_attempts(op, rows, n, state)
        elif op[OP_CODE] == LIMIT_FAN_OUT:
            _limit_fan_out(op, rows, n, state)
        elif op[OP_CODE] == SCORE_TEXT:
            _score_text(op, rows, n)
        elif op[OP_CODE] == REJECT_LINKS:
            _reject_links(op, pool, rows, n)
        elif op[OP_CODE] == SCORE_REPUTATION:
            _score_reputation(op, pool, rows, n)
        elif op[OP_CODE] == LABEL_SUSPECTED:
            _label_suspected(op, rows, n)
        elif op[OP_CODE] == OUTSIDE:
            _outside(op, rows, n)
        _combine(rows, n, k, op[OP_ACTION])
