"""The compiled part of `wrongly_listed`: each person makes calls until no list has the number any more."""

from __future__ import annotations

import numpy as np

from interceptsim.compiled import Column, Scalar, Table, allocating_kernel
from interceptsim.numbering import subscriber_number
from interceptsim.randomness import (
    LAW,
    delay_of,
    draw,
    exp_of,
    index_below,
    log_of,
    mix64,
    normal_quantile,
    unit,
)
from interceptsim.traffic.kernels import contact_of
from interceptsim.units import DAY_US, HOUR_US, YEAR_DAYS

__all__ = [
    "ATTEMPTS",
    "CALLERS",
    "CUT_OFF",
    "CUT_OFF_US",
    "HOURS",
    "INTERCEPTED",
    "LISTED",
    "LISTS",
    "LONGEST_US",
    "count_people",
    "quarantines",
]

LISTED, CUT_OFF, ATTEMPTS, INTERCEPTED, CUT_OFF_US = range(5)
"""What is counted of people: those listed; those of them cut off, since a call was intercepted; calls made while
listed; calls intercepted; us from a person's first interception until no list has the number any more."""

HOURS = 1000
"""Times cut off are told apart by the hour, up to this many."""

LONGEST_US = round(YEAR_DAYS) * DAY_US

LISTS = np.dtype(
    [
        ("publish_every", "i8"),
        ("delay", LAW),
        ("delay_salt", "u8"),
        ("expiry", "i8"),
        ("unblock", LAW),
        ("unblock_salt", "u8"),
        ("adoption", "u8"),
        ("adoption_salt", "u8"),
        ("entries", "i8"),
        ("carriers", "u1", (256,)),
    ],
    align=True,
)

CALLERS = np.dtype(
    [
        ("bound", "u8"),  # threshold of the draw that picks a class of callers
        ("gap", "f8"),  # mean us between calls
        ("sigma", "f8"),
        ("contacts", "i8"),
        ("stranger_bound", "u8"),
        ("entry", "i8"),
    ],
    align=True,
)


@allocating_kernel
def quarantines(words: Table, key: Column, salt: Scalar, law: Table) -> Column:
    """Return how long (int64, us) each number waits in quarantine."""
    out = np.empty(words.shape[0], np.int64)
    for k in range(words.shape[0]):
        c = words[k]
        _, _, word, _ = draw(key[0], key[1], c.stream ^ np.uint64(salt), c.index, c.generation << 32)
        out[k] = delay_of(law[0], word)
    return out


@allocating_kernel
def count_people(
    words: Table,
    known_us: Column,
    has_us: Column,
    key: Column,
    salt: Scalar,
    callers: Table,
    lists: Table,
    carriers: Column,
    subscribers: Scalar,
    stride: Scalar,
    fold: Column,
    group: Column,
    counted: Column,
    hours: Column,
) -> None:
    """Let each person call from the first moment at which a list has the number that is theirs from `has_us` on.

    Draw 0 of a person (its ordinal is the generation's in the upper half) says who it is, draw n when and whom they
    call for the nth time. At the first interception the person complains, and each list takes the number off.
    """
    many = lists.shape[0]
    begins, ends = np.empty(many, np.int64), np.empty(many, np.int64)
    for k in range(words.shape[0]):
        c = words[k]
        stream = c.stream ^ np.uint64(salt)
        at = ends_us = np.int64(0)
        for place in range(many):
            a_list = lists[place]
            word, _, _, _ = draw(key[0], key[1], c.stream ^ a_list.delay_salt, c.index, c.generation)
            begins[place] = (known_us[k] // a_list.publish_every + 1) * a_list.publish_every
            begins[place] += delay_of(a_list.delay, word)
            ends[place] = begins[place] + a_list.expiry
            begins[place] = max(begins[place], has_us[k])
            if begins[place] < ends[place]:
                at = begins[place] if ends_us == 0 else min(at, begins[place])
                ends_us = max(ends_us, ends[place])
        if ends_us == 0:
            continue
        w0, w1, _, known_by = draw(key[0], key[1], stream, c.index, c.generation << 32)
        pick = 0
        while pick < callers.shape[0] - 1 and w1 >= callers[pick].bound:
            pick += 1
        caller = callers[pick]
        sigma = caller.sigma
        gap = caller.gap / exp_of(sigma * normal_quantile(unit(w0)) - sigma * sigma / 2.0)
        ends_us = min(ends_us, at + LONGEST_US)
        first_us = np.int64(-1)
        made = caught = np.int64(0)
        n = np.int64(0)
        while True:
            n += 1
            w0, w1, w2, w3 = draw(key[0], key[1], stream, c.index, (c.generation << 32) + n)
            at += np.int64(-log_of(unit(w0)) * gap) + 1
            if at >= ends_us:
                break
            b_number = subscriber_number(index_below(w1, w2, subscribers), stride)
            if caller.contacts > 0 and w3 >= caller.stranger_bound:
                b_number = contact_of(known_by, c.index, caller.contacts, w1, subscribers, stride)
            carrier = carriers[mix64(b_number) >> np.uint64(56)]
            listed = protected = False
            for place in range(many):
                a_list = lists[place]
                if begins[place] <= at < ends[place] and a_list.entries >> caller.entry & 1:
                    listed = True
                    adopted = mix64(b_number ^ a_list.adoption_salt) >> np.uint64(32) < a_list.adoption
                    protected = protected or (adopted and a_list.carriers[carrier] != 0)
            made += listed
            caught += protected
            if protected and first_us < 0:
                first_us = at
                ends_us = at
                for place in range(many):
                    a_list = lists[place]
                    word, _, _, _ = draw(key[0], key[1], c.stream ^ a_list.unblock_salt, c.index, c.generation)
                    off_us = at + delay_of(a_list.unblock, word)
                    ends[place] = min(ends[place], off_us)
                    if begins[place] < ends[place]:
                        ends_us = max(ends_us, ends[place])
        counts = counted[fold[k], group[k]]
        counts[LISTED] += 1
        counts[ATTEMPTS] += made
        counts[INTERCEPTED] += caught
        if first_us >= 0:
            counts[CUT_OFF] += 1
            counts[CUT_OFF_US] += ends_us - first_us
            hour: Scalar = (ends_us - first_us) // HOUR_US
            hours[min(hour, HOURS)] += 1
