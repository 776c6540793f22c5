"""What becomes of attempts that no policy intercepts: whether somebody answers, and for how long a circuit is held.

An attempt's fate is fixed by its line and ordinal, whatever came before. Draws and delays are made for a whole batch,
in loops that a processor runs on many at once.
"""

from __future__ import annotations

import numpy as np

from interceptsim.attempts import ANSWERED, DELIVERED, FAILED, INTERCEPT, LABEL, LOST, SMS, UNANSWERED, Rows
from interceptsim.compiled import Column, Record, Scalar, Table, kernel
from interceptsim.randomness import (
    DELAY_CONSTANT,
    DELAY_EXPONENTIAL,
    draw_all,
    exponentials,
    lognormals,
    mix64,
)
from interceptsim.traffic.records import Draws, Supply

__all__ = ["fates_of", "interval_of"]


@kernel
def interval_of(supply: Supply, group: Record, time_us: Scalar) -> Scalar:
    """Return whose interval's network an attempt meets: the one at hand, but ordinary callers come for a whole day."""
    if group.ordinary:
        return np.uint64((time_us - supply.now[1]) // supply.every_us)
    return np.uint64(supply.now[0])


@kernel
def _draw_all(lines: Table, groups: Table, supply: Supply, rows: Rows, n: Scalar, draws: Draws) -> int:
    """Note in `draws.line` the rows that need it, and draw the words of each; return how many they are.

    Those are rows that are not intercepted, but for ordinary messages: they are delivered, and nobody falls for them.
    """
    which, code, nth, channel = rows.line, rows.code, rows.ordinal, rows.channel
    ended, busy_us, drawn = draws.ended, draws.busy_us, draws.drawn
    chosen, stream, entity, ordinal = draws.line, draws.stream, draws.entity, draws.ordinal
    m = 0
    for r in range(n):
        line = lines[np.uint64(which[r])]
        at = np.uint64(m)
        chosen[at] = r
        group = groups[np.uint64(line.group)]
        stream[at] = group.fate_stream
        entity[at] = line.index
        ordinal[at] = nth[r]
        ended[r], busy_us[r], drawn[r] = DELIVERED, 0, 0
        m += code[r] != INTERCEPT and not (group.ordinary and channel[r] == SMS)
    draw_all(supply.key[0], supply.key[1], stream, entity, ordinal, m, draws.w0, draws.w1, draws.w2, draws.w3)
    return m


@kernel
def fates_of(lines: Table, groups: Table, supply: Supply, rows: Rows, n: Scalar, draws: Draws) -> None:
    """Find the fates of the first `n` decided rows, where they are not intercepted.

    Write into `draws`, whose columns it uses as it likes, outcomes (`ended`; of a message: DELIVERED), us for which a
    circuit is wanted (`busy_us`), and 32-bit draws for what people then do (`drawn`); and us of talk into
    `rows.duration_us`, of calls that are not lost.
    """
    which, code, channel, times = rows.line, rows.code, rows.channel, rows.time_us
    m = _draw_all(lines, groups, supply, rows, n, draws)
    chosen, w0, w1, w2, w3 = draws.line, draws.w0, draws.w1, draws.w2, draws.w3
    outcome, busy_us, word = draws.ended, draws.busy_us, draws.drawn
    # the row of each delay; below 0, by -1 - row, where it is of talk; exponential ones from the left, others from the
    # right
    of, of_word, scale, sigma = draws.delayed, draws.delay_word, draws.delay_scale, draws.delay_sigma
    lost, talk_us = supply.lost, rows.duration_us
    talk_us[:n] = 0
    e = 0
    g = of.shape[0]
    for k in range(m):
        r = chosen[k]
        at = np.uint64(r)
        line = lines[np.uint64(which[at])]
        group = groups[np.uint64(line.group)]
        word[at] = w3[k]
        if channel[at] == SMS:
            continue
        end = w1[k]
        ended = FAILED
        if end >= group.failed_bound:
            ring, talk = group.ring, group.talk
            ended = UNANSWERED
            busy_us[at] = ring.minimum
            drawn = mix64(np.uint64(end) << np.uint64(32) | np.uint64(w2[k])) >> np.uint64(32)
            if ring.kind == DELAY_EXPONENTIAL:
                of[e], of_word[e], scale[e] = r, drawn, ring.scale
                e += 1
            elif ring.kind != DELAY_CONSTANT:
                g -= 1
                of[g], of_word[g], scale[g], sigma[g] = r, drawn, ring.scale, ring.sigma
            if end < (group.labelled_bound if code[at] == LABEL else group.answered_bound):
                ended = ANSWERED
                busy_us[at] += talk.minimum
                talk_us[at] = talk.minimum
                if talk.kind == DELAY_EXPONENTIAL:
                    of[e], of_word[e], scale[e] = -1 - r, w2[k], talk.scale
                    e += 1
                elif talk.kind != DELAY_CONSTANT:
                    g -= 1
                    of[g], of_word[g], scale[g], sigma[g] = -1 - r, w2[k], talk.scale, talk.sigma
        outcome[at] = LOST if w0[k] < lost[interval_of(supply, group, times[at]), np.uint64(line.group)] else ended
    exponentials(of_word, scale, e, draws.delay_us)
    _add_delays(of, draws.delay_us, e, busy_us, talk_us)
    lognormals(of_word[g:], scale[g:], sigma[g:], of.shape[0] - g, draws.delay_us)
    _add_delays(of[g:], draws.delay_us, of.shape[0] - g, busy_us, talk_us)


@kernel
def _add_delays(row: Column, part_us: Column, n: Scalar, busy_us: Column, talk_us: Column) -> None:
    """Add the random parts of `n` delays to the rows that they belong to."""
    for k in range(n):
        r = row[k] if row[k] >= 0 else -1 - row[k]
        busy_us[r] += part_us[k]
        if row[k] < 0:
            talk_us[r] += part_us[k]
