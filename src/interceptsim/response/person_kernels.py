"""People who fall for fraud: they pay, doubt, stop when they heed a warning, report, and leave.

Every draw is keyed by the person, so nothing depends on how time is cut: four words for each of these ordinals.

    0       falls for it, grooming, unused, loss; with the id of a policy as salt: its own draw, whether it is heeded
    1       doubt, report, delay of the report
    2       12381: read, heeded, delay, how many false warnings are remembered
    3       instruction: tier, delay, heeded, how many false warnings are remembered
    4       suspension: urgent, delay, effect; whether somebody met on the internet is found
    5       how late that is
    64 + n  n-th transfer: time to the next, whether there is one, found by a bank, stopped by it
    96 + n  whether the n-th transfer is stopped in the end

At one microsecond somebody first stops by a warning given before, then pays, then is warned anew.
"""

from __future__ import annotations

import numpy as np

from interceptsim.compiled import Column, Record, Scalar, Table, allocating_kernel, kernel
from interceptsim.randomness import choose, delay_of, draw, exp_of, mix64, normal_quantile, poisson, unit
from interceptsim.response.queue_kernels import for_person, new_job
from interceptsim.response.records import (
    ABSENT,
    AVERTED,
    DISSUADED,
    DOUBTED,
    ENGAGED_NOW,
    ENGAGES,
    FALSE_HOLDS,
    FREEZE,
    FREEZE_DESK,
    HELD,
    MOST_TRANSFERS,
    NEVER,
    NUMBERS,
    PAID,
    PERSONS,
    REPORTED,
    REPORTED_NOW,
    REPORTS,
    TRANSFERRED,
    TRANSFERS,
    WAITS,
    WARNED_LATE,
    Ledger,
    State,
    count_person,
)


@kernel
def words_for(state: State, person: Record, which: Scalar) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    """Return four words of a person's own draws."""
    return draw(state.key[0], state.key[1], person.stream, person.entity, (person.ordinal << 8) | which)


@allocating_kernel
def draws_of(persons: Table, key: Column, salt: Scalar) -> Column:
    """Return a draw between 0 and 1 (float64) for each person, keyed by `salt`, a 32-bit id."""
    out = np.empty(persons.shape[0], np.float64)
    for k in range(persons.shape[0]):
        p = persons[k]
        word = draw(key[0], key[1], p.stream ^ np.uint64(salt), p.entity, p.ordinal << 8)[0]
        out[k] = unit(word)
    return out


@kernel
def heeds(state: State, person: Record, word: Scalar, ratio: Scalar, weary: Scalar) -> bool:
    """Whether a person heeds a warning: less often for each false one before (`weary` draws how many).

    How many those are follows from the days before this one alone.
    """
    rules = state.rules[0]
    ratio *= state.kinds[person.kind].heeding
    if rules.fatigue > 0.0:
        for _ in range(poisson(weary, state.mean[0])):
            ratio *= 1.0 - rules.fatigue
    return np.float64(word) < ratio * 4294967296.0


@kernel
def stop_at(state: State, place: Scalar, at_us: Scalar) -> None:
    """Let a person stop at a time, unless that happens sooner."""
    person = state.persons[place]
    if at_us < person.stop_us:
        person.stop_us = at_us
        if person.phase == ENGAGED_NOW:
            state.due[place] = min(state.due[place], at_us)


@kernel
def heed(state: State, places: Column, at_us: Column, ratio: Column, salt: Scalar) -> None:
    """Let people at `places` be warned at times `at_us` (int64); each heeds it with probability `ratio` (float64)."""
    for k in range(places.shape[0]):
        person = state.persons[places[k]]
        word = draw(state.key[0], state.key[1], person.stream ^ np.uint64(salt), person.entity, person.ordinal << 8)[1]
        if np.float64(word) < ratio[k] * 4294967296.0:
            stop_at(state, places[k], max(at_us[k], person.contact_us))


@kernel
def engage(
    state: State,
    ledger: Ledger,
    stream: Scalar,
    entity: Scalar,
    ordinal: Scalar,
    contact_us: Scalar,
    b_number: Scalar,
    kind: Scalar,
    source: Scalar,
    fold: Scalar,
    number: Scalar,
) -> int:
    """Let somebody fall for fraud, if age and type make it so; return the person's place, -1 where not."""
    word = mix64(np.uint64(b_number) ^ np.uint64(0xA5A5_5A5A_0F0F_F0F0))
    age = choose(word >> np.uint64(32), state.ages, 0, state.ages.shape[0])
    w0, w1, _, w3 = draw(state.key[0], state.key[1], stream, entity, ordinal << 8)
    if w0 >= state.falls[kind, age]:
        return -1
    state.now[PERSONS] -= 1
    place = state.free[PERSONS, state.now[PERSONS]]
    person = state.persons[place]
    person.stream, person.entity, person.ordinal = stream, entity, ordinal
    person.uid = mix64(np.uint64(stream) ^ mix64(np.uint64(entity) ^ mix64(np.uint64(ordinal))))
    person.contact_us = contact_us
    person.kind, person.source, person.fold = kind, source, fold
    person.province = choose(word & np.uint64(0xFFFFFFFF), state.provinces, 0, state.provinces.shape[0])
    person.age = age
    person.stop_us, person.warned_us = NEVER, NEVER
    person.made = 0
    person.phase = ENGAGED_NOW
    law = state.kinds[kind]
    person.next_us = contact_us + delay_of(law.grooming, w1)
    person.each_fen = max(np.int64(law.loss_fen * exp_of(law.loss_sigma * normal_quantile(unit(w3)))), 1)
    state.due[place] = person.next_us
    person.number, person.next = number, -1
    if number >= 0:
        person.next = state.numbers[number].first
        state.numbers[number].first = place
    if fold < ledger.kept[2]:
        who = ledger.cast[ledger.kept[1]]
        who.person, who.b_number = person.uid, b_number
        who.line, who.generation = -1, -1
        if number >= 0:
            who.line, who.generation = state.numbers[number].line, state.numbers[number].generation
        who.kind, who.province, who.age, who.source = kind, person.province, age, source
        ledger.kept[1] += 1
    count_person(ledger, contact_us, person, ENGAGES, 1)
    return place


@kernel
def leave(state: State, place: Scalar) -> None:
    """Let a person's story end."""
    person = state.persons[place]
    person.phase = ABSENT
    state.due[place] = NEVER
    if person.number >= 0:
        number = state.numbers[person.number]
        if number.first == place:
            number.first = person.next
        else:
            at = number.first
            while state.persons[at].next != place:
                at = state.persons[at].next
            state.persons[at].next = person.next
        release(state, person.number)
    state.free[PERSONS, state.now[PERSONS]] = place
    state.now[PERSONS] += 1


@kernel
def release(state: State, place: Scalar) -> None:
    """Forget a number that is given up, if nobody falls for it any more and police have done with it."""
    number = state.numbers[place]
    if not number.given_up or number.first >= 0 or (state.known[place] != NEVER and not number.handed):
        return
    at, newer = state.latest[number.line], -1
    while at != place:
        newer, at = at, state.numbers[at].older
    if newer < 0:
        state.latest[number.line] = number.older
    else:
        state.numbers[newer].older = number.older
    state.known[place] = NEVER
    state.free[NUMBERS, state.now[NUMBERS]] = place
    state.now[NUMBERS] += 1


@kernel
def live(state: State, ledger: Ledger, place: Scalar, until_us: Scalar) -> None:
    """Let everything happen to a person that is due up to `until_us`, included."""
    person, rules = state.persons[place], state.rules[0]
    law = state.kinds[person.kind]
    while state.due[place] <= until_us:
        if person.phase == REPORTS:
            _report(state, ledger, place)
            return
        at = state.due[place]
        if person.stop_us <= at:
            at = person.stop_us
            if at <= person.contact_us:
                count_person(ledger, at, person, AVERTED, 1)
            else:
                count_person(ledger, at, person, DISSUADED, 1)
            _end(state, ledger, place, at)
            continue
        if person.made == 0 and words_for(state, person, 1)[0] < law.doubt_bound:
            count_person(ledger, at, person, DOUBTED, 1)
            _end(state, ledger, place, at)
            continue
        w0, w1, w2, w3 = words_for(state, person, 64 + person.made)
        if w2 < rules.detect_bound:
            count_person(
                ledger,
                at,
                person,
                FALSE_HOLDS,
                np.int64(rules.false_holds + unit(mix64(w2 << np.uint64(32) | w3) >> np.uint64(32))),
            )
            if w3 < rules.hold_bound:
                count_person(ledger, at, person, HELD, person.each_fen)
                count_person(ledger, at, person, DISSUADED, 1)
                _end(state, ledger, place, at)
                continue
        if person.made == 0:
            count_person(ledger, at, person, PAID, 1)
        person.paid_us[person.made] = at
        person.made += 1
        count_person(ledger, at, person, TRANSFERS, 1)
        count_person(ledger, at, person, TRANSFERRED, person.each_fen)
        if person.made < MOST_TRANSFERS and w1 < law.another_bound:
            person.next_us = at + max(delay_of(law.gap, w0), 1)
            state.due[place] = min(person.next_us, person.stop_us)
        else:
            _end(state, ledger, place, at)


@kernel
def _end(state: State, ledger: Ledger, place: Scalar, at_us: Scalar) -> None:
    """Let a person be done with the fraudster; who has lost money may report it."""
    person, rules = state.persons[place], state.rules[0]
    if person.warned_us != NEVER and person.made > 0 and person.paid_us[0] <= person.warned_us:
        count_person(ledger, at_us, person, WARNED_LATE, 1)
    _, w1, w2, _ = words_for(state, person, 1)
    if person.made > 0 and w1 < rules.report_bound:
        person.phase = REPORTS
        state.due[place] = at_us + max(delay_of(rules.report_delay, w2), 1)
    else:
        leave(state, place)


@kernel
def _report(state: State, ledger: Ledger, place: Scalar) -> None:
    """Let a victim report: a job for those who freeze transfers, and news of a number for police."""
    person, rules = state.persons[place], state.rules[0]
    at = state.due[place]
    count_person(ledger, at, person, REPORTED, 1)
    if rules.feeds and person.number >= 0:
        number = state.numbers[person.number]
        word = draw(state.key[0], state.key[1], person.stream ^ np.uint64(0x5EED), person.entity, person.ordinal << 8)[
            0
        ]
        known = at + delay_of(rules.police_delay, word)
        if not number.handed and known < state.known[person.number]:
            told = state.now[REPORTED_NOW]
            state.reports[told, 0] = person.number
            state.reports[told, 1] = state.known[person.number]
            state.now[REPORTED_NOW] = told + 1
            state.known[person.number] = known
    state.due[place] = NEVER
    person.phase = WAITS
    if not rules.freezes:
        leave(state, place)
        return
    job = new_job(state, at, person.uid ^ np.uint64(FREEZE), FREEZE_DESK, 0)
    for_person(state, job, place)
