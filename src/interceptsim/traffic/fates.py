"""What becomes of attempts that no policy intercepts: whether somebody answers, and for how long a circuit is held.

An attempt's fate is fixed by its line and ordinal, whatever came before. Draws and delays are made for a whole batch,
in loops that a processor runs on many at once.
"""

from __future__ import annotations

import numpy as np

from interceptsim.attempts import ANSWERED, DELIVERED, FAILED, INTERCEPT, LABEL, LOST, SMS, UNANSWERED, Rows
from interceptsim.compiled import Column, Scalar, Table, kernel
from interceptsim.randomness import (
    DELAY_CONSTANT,
    DELAY_EXPONENTIAL,
    draw_all,
    exponentials,
    lognormals,
    mix64,
)
from interceptsim.traffic.records import Supply

__all__ = ["fates_of"]


@kernel
def _draw_all(
    lines: Table, groups: Table, supply: Supply, rows: Rows, n: Scalar
) -> tuple[Column, int, Column, Column, Column, Column]:
    """Return the rows that are not intercepted, how many they are, and the words of their draws."""
    which, code, ordinal = rows.line, rows.code, rows.ordinal
    chosen = np.empty(n + 1, np.int64)
    stream, entity, nth = np.empty(n + 1, np.uint32), np.empty(n + 1, np.uint32), np.empty(n + 1, np.int64)
    m = 0
    for r in range(n):
        line = lines[which[r]]
        chosen[m] = r
        stream[m] = groups[line.group].fate_stream
        entity[m] = line.index
        nth[m] = ordinal[r]
        m += code[r] != INTERCEPT
    w0, w1, w2, w3 = np.empty(m, np.uint32), np.empty(m, np.uint32), np.empty(m, np.uint32), np.empty(m, np.uint32)
    draw_all(supply.key[0], supply.key[1], stream, entity, nth, m, w0, w1, w2, w3)
    return chosen, m, w0, w1, w2, w3


@kernel
def fates_of(lines: Table, groups: Table, supply: Supply, rows: Rows, n: Scalar) -> tuple[Column, Column, Column]:
    """Return the fates of the first `n` decided rows, where they are not intercepted.

    Return outcomes (uint8; of a message: DELIVERED), us for which a circuit is wanted (int64), and 32-bit draws for
    what people then do (uint32); write us of talk into `rows.duration_us`, of calls that are not lost.
    """
    which, code, channel = rows.line, rows.code, rows.channel
    chosen, m, w0, w1, w2, w3 = _draw_all(lines, groups, supply, rows, n)
    outcome, busy_us, word = np.empty(n, np.uint8), np.zeros(n, np.int64), np.empty(n, np.uint32)
    # the row of each delay, by its law; below 0, by -1 - row, where it is of talk
    of_exp, of_log = np.empty(2 * m, np.int64), np.empty(2 * m, np.int64)
    word_exp, word_log = np.empty(2 * m, np.uint32), np.empty(2 * m, np.uint32)
    scale_exp, scale_log, sigma = np.empty(2 * m), np.empty(2 * m), np.empty(2 * m)
    lost, talk_us = supply.lost, rows.duration_us
    talk_us[:n] = 0
    e = 0
    g = 0
    for k in range(m):
        r = chosen[k]
        line = lines[which[r]]
        group = groups[line.group]
        word[r] = w3[k]
        if channel[r] == SMS:
            outcome[r] = DELIVERED
            continue
        end = w1[k]
        ended = FAILED
        if end >= group.failed_bound:
            ring, talk = group.ring, group.talk
            ended = UNANSWERED
            busy_us[r] = ring.minimum
            drawn = mix64(np.uint64(end) << np.uint64(32) | np.uint64(w2[k])) >> np.uint64(32)
            if ring.kind == DELAY_EXPONENTIAL:
                of_exp[e], word_exp[e], scale_exp[e] = r, drawn, ring.scale
                e += 1
            elif ring.kind != DELAY_CONSTANT:
                of_log[g], word_log[g], scale_log[g], sigma[g] = r, drawn, ring.scale, ring.sigma
                g += 1
            if end < (group.labelled_bound if code[r] == LABEL else group.answered_bound):
                ended = ANSWERED
                busy_us[r] += talk.minimum
                talk_us[r] = talk.minimum
                if talk.kind == DELAY_EXPONENTIAL:
                    of_exp[e], word_exp[e], scale_exp[e] = -1 - r, w2[k], talk.scale
                    e += 1
                elif talk.kind != DELAY_CONSTANT:
                    of_log[g], word_log[g], scale_log[g], sigma[g] = -1 - r, w2[k], talk.scale, talk.sigma
                    g += 1
        outcome[r] = LOST if w0[k] < lost[line.group] else ended
    _add_delays(of_exp, word_exp, scale_exp, sigma, e, busy_us, talk_us, False)
    _add_delays(of_log, word_log, scale_log, sigma, g, busy_us, talk_us, True)
    return outcome, busy_us, word


@kernel
def _add_delays(
    row: Column,
    word: Column,
    scale_us: Column,
    sigma: Column,
    n: Scalar,
    busy_us: Column,
    talk_us: Column,
    lognormal: Scalar,
) -> None:
    """Add the random parts of `n` delays to the rows that they belong to."""
    part = np.empty(n, np.int64)
    if lognormal:
        lognormals(word, scale_us, sigma, n, part)
    else:
        exponentials(word, scale_us, n, part)
    for k in range(n):
        r = row[k] if row[k] >= 0 else -1 - row[k]
        busy_us[r] += part[k]
        if row[k] < 0:
            talk_us[r] += part[k]
