"""The compiled response: what becomes of numbers that are known and of people who fall for fraud.

`learn` takes words of attempts, `arrive` lets people meet fraud on the internet, `advance` lives through the time up
to an edge: numbers are handed over, people warned, jobs served at their desks, transfers made, held, reported, stopped.
"""

from __future__ import annotations

import numpy as np

from interceptsim.compiled import Column, Record, Scalar, Table, allocating_kernel, kernel
from interceptsim.randomness import choose, delay_of, draw, index_below, log_of, mix64, unit
from interceptsim.response.desk_kernels import serve_all
from interceptsim.response.person_kernels import engage, heeds, live, release, stop_at, words_for
from interceptsim.response.police import COMPLAINED, ENGAGED, FOUND, GIVEN_UP, delay_of_number
from interceptsim.response.queue_kernels import for_person, new_job, put_job
from interceptsim.response.records import (
    ARRIVED,
    CALL_DESK,
    CALLS,
    COMING,
    ENGAGED_NOW,
    FALSE_CALLS,
    FALSE_MESSAGES,
    FREEZES_COMING,
    INSTRUCTED,
    INSTRUCTIONS,
    MESSAGES,
    MET,
    NEVER,
    NEXT_ARRIVAL,
    NUMBERS,
    PERSONS,
    SUSPENDED,
    TIER_MESSAGES,
    UNREAD,
    VISIT,
    VISIT_DESKS,
    WARNED,
    Ledger,
    State,
    count,
    count_person,
)

__all__ = ["advance", "arrive", "due_numbers", "finish", "learn", "talked_to"]


@kernel
def _place_of(state: State, word: Record, adds: Scalar) -> int:
    """Return the place of a word's number, -1 where it is not there and is not to be added."""
    at, newer = state.latest[word.line], -1
    while at >= 0 and state.numbers[at].generation > word.generation:
        newer, at = at, state.numbers[at].older
    if at >= 0 and state.numbers[at].generation == word.generation:
        return at
    if not adds:
        return -1
    state.now[NUMBERS] -= 1
    place = state.free[NUMBERS, state.now[NUMBERS]]
    number = state.numbers[place]
    number.line, number.generation = word.line, word.generation
    number.stream, number.index = state.police[word.group], word.index
    number.group, number.fold = word.group, word.fold
    number.kind = state.kind_of[word.cell]
    number.before, number.total, number.talked = 0, 0, 0
    number.first, number.older = -1, at
    number.given_up, number.handed = 0, 0
    state.known[place] = NEVER
    if newer < 0:
        state.latest[word.line] = place
    else:
        state.numbers[newer].older = place
    return place


@kernel
def learn(
    state: State, ledger: Ledger, words: Table, news: Table, known_us: Column, was_us: Column, places: Column
) -> tuple[int, int]:
    """Take words of attempts.

    Into `news` go the words by which a number becomes known, or known sooner, into `known_us` (int64) when that is,
    into `was_us` when it was to be known before, NEVER if it was not; into `places` the places of people who begin to
    fall for fraud. Return how many those people are, and how many the news.
    """
    law = state.rules[0].police_delay
    people = told = 0
    for k in range(words.shape[0]):
        word = words[k]
        if word.kind == GIVEN_UP:
            at = _place_of(state, word, False)
            if at >= 0:
                number = state.numbers[at]
                number.given_up = 1
                number.total, number.before, number.talked = word.reached, word.before, word.talked
                if number.handed:
                    _send(state, ledger, at, word.time_us, number.total - number.before)
                release(state, at)
        elif word.kind == ENGAGED:
            at = _place_of(state, word, True) if state.police[word.group] > 0 else -1
            kind = state.kind_of[word.cell]
            place = engage(
                state,
                ledger,
                word.stream,
                word.index,
                word.ordinal,
                word.time_us,
                word.b_number,
                kind,
                word.group,
                word.fold,
                at,
            )
            if place < 0:
                continue
            places[people] = place
            people += 1
            state.persons[place].overseas = word.entry == 0
            state.persons[place].origin = word.channel
            if at >= 0 and state.numbers[at].handed:
                _warn(state, ledger, place, word.time_us)
                _instruct_person(state, ledger, place, word.time_us, 0)
        elif word.kind in (COMPLAINED, FOUND):
            at = _place_of(state, word, True)
            known = word.time_us + delay_of_number(word, state.key[0], state.key[1], 0, law)
            if not state.numbers[at].handed and known < state.known[at]:
                news[told], known_us[told], was_us[told] = word, known, state.known[at]
                told += 1
                state.known[at] = known
    return people, told


@kernel
def _send(state: State, ledger: Ledger, place: Scalar, at_us: Scalar, many: Scalar) -> None:
    """Send 12381's message to so many people whom a number reached."""
    if state.rules[0].warns:
        number = state.numbers[place]
        count(ledger, at_us, number.fold, number.group, number.kind, MESSAGES, many)
        state.now[FALSE_MESSAGES] += many


@kernel
def _warn(state: State, ledger: Ledger, place: Scalar, from_us: Scalar) -> None:
    """Let 12381 warn a person whom a number reached that is handed over; a message is read or not, heeded or not."""
    rules, person = state.rules[0], state.persons[place]
    if not rules.warns:
        return
    w0, w1, w2, w3 = words_for(state, person, 2)
    at = max(from_us, person.contact_us) + delay_of(rules.warn_delay, w2)
    person.warned_us = min(person.warned_us, at)
    count_person(ledger, at, person, WARNED, 1)
    if w0 >= rules.read_bound:
        count_person(ledger, at, person, UNREAD, 1)
    elif heeds(state, person, w1, rules.warn_heed, w3):
        stop_at(state, place, at)


@kernel
def _hand_over(state: State, ledger: Ledger, place: Scalar) -> None:
    """Let police hand over a number: warn and instruct for all whom it reached before and who still fall for it.

    What is due to somebody at that microsecond happens first; those reached at it or later are reached afterwards.
    """
    rules, number = state.rules[0], state.numbers[place]
    at = state.known[place]
    _send(state, ledger, place, at, number.before)
    at_risk = 0
    who = number.first
    while who >= 0:
        person, following = state.persons[who], state.persons[who].next
        if person.contact_us < at:
            live(state, ledger, who, at)
        if person.phase == ENGAGED_NOW:
            _warn(state, ledger, who, at)
            _instruct_person(state, ledger, who, max(at, person.contact_us), 0)
            at_risk += person.contact_us < at
        who = following
    state.now[FALSE_MESSAGES] -= at_risk if rules.warns else 0
    if rules.dispatches:
        for k in range(number.talked - at_risk):
            _instruct_other(state, ledger, place, at, k)
    number.handed = 1
    state.known[place] = NEVER
    if number.given_up:
        _send(state, ledger, place, at, number.total - number.before)
        release(state, place)


@kernel
def _tier(state: State, word: Scalar, at_risk: Scalar) -> int:
    """Return the tier of an instruction, 0 high, 1 medium, 2 low, 3 where there is none."""
    for tier in range(3):
        if word < state.rules[0].tiers[at_risk, tier]:
            return tier
    return 3


@kernel
def _instruct_other(state: State, ledger: Ledger, place: Scalar, at_us: Scalar, which: Scalar) -> None:
    """Instruct desks about one of those whom a number talked to at no risk."""
    rules, number = state.rules[0], state.numbers[place]
    ordinal = (number.generation << 24) | which
    w0, w1, w2, _ = draw(state.key[0], state.key[1], number.stream ^ rules.dispatch_stream, number.index, ordinal)
    tier = _tier(state, w0, 0)
    if tier == 3:
        return
    ready = at_us + delay_of(rules.tier_delay, w1)
    count(ledger, ready, number.fold, number.group, number.kind, INSTRUCTIONS, 1)
    count(ledger, ready, number.fold, number.group, number.kind, TIER_MESSAGES, 1)
    uid = mix64(number.stream ^ mix64(number.index ^ mix64(np.uint64(ordinal) ^ rules.dispatch_stream)))
    for does in (CALLS, VISIT):
        if (does == CALLS and rules.calls and tier < 2) or (does == VISIT and rules.goes and tier == 0):
            province = choose(w2, state.provinces, 0, state.provinces.shape[0])
            job = new_job(
                state, ready, uid ^ np.uint64(does), CALL_DESK if does == CALLS else VISIT_DESKS + province, tier
            )
            new = state.jobs[job]
            new.person = -1
            new.source, new.fold, new.kind = number.group, number.fold, number.kind
            new.province = province
            put_job(state, job)


@kernel
def _instruct_person(state: State, ledger: Ledger, place: Scalar, from_us: Scalar, late_us: Scalar) -> None:
    """Instruct desks about a person at risk."""
    rules, person = state.rules[0], state.persons[place]
    if not rules.dispatches:
        return
    w0, w1, w2, w3 = words_for(state, person, 3)
    tier = _tier(state, w0, 1)
    if tier == 3:
        return
    ready = from_us + late_us + delay_of(rules.tier_delay, w1)
    count_person(ledger, ready, person, INSTRUCTED, 1)
    count_person(ledger, ready, person, INSTRUCTIONS, 1)
    count_person(ledger, ready, person, TIER_MESSAGES, 1)
    if heeds(state, person, w2, rules.tier_heed, w3):
        stop_at(state, place, ready)
    if tier < 2 and rules.calls:
        for_person(state, new_job(state, ready, person.uid ^ np.uint64(CALLS), CALL_DESK, tier), place)
    if tier == 0 and rules.goes:
        desk = VISIT_DESKS + person.province
        for_person(state, new_job(state, ready, person.uid ^ np.uint64(VISIT), desk, tier), place)
    if tier == 0 and rules.suspends:
        x0, x1, x2, _ = words_for(state, person, 4)
        if x0 < rules.urgent_bound:
            at = ready + delay_of(rules.suspend_delay, x1)
            count_person(ledger, at, person, SUSPENDED, 1)
            if np.float64(x2) < rules.suspend_effect * 4294967296.0:
                stop_at(state, place, at)


@kernel
def arrive(state: State, ledger: Ledger, until_us: Scalar, places: Column) -> int:
    """Let people meet fraud on the internet up to `until_us`, included, while there is room in `places` and for them.

    The places of those who fall for it go into `places`; return how many they are.
    """
    rules, now = state.rules[0], state.now
    sources, folds = ledger.tally.shape[1], ledger.tally.shape[0]
    people = 0
    while now[NEXT_ARRIVAL] <= until_us and people < places.shape[0] and now[PERSONS] > 0:
        nth, at = now[ARRIVED], now[NEXT_ARRIVAL]
        w0, w1, w2, w3 = draw(state.key[0], state.key[1], rules.internet_stream, 0, nth)
        now[ARRIVED] = nth + 1
        now[NEXT_ARRIVAL] = at + np.int64(-log_of(unit(w0)) * rules.internet_gap) + 1
        kind = choose(w1, state.types, 0, state.types.shape[0])
        count(ledger, at, nth % folds, sources - 1, kind, MET, 1)
        who = index_below(w2, w3, rules.subscribers)
        place = engage(state, ledger, rules.internet_stream, 1, nth, at, who, kind, sources - 1, nth % folds, -1)
        if place < 0:
            continue
        places[people] = place
        people += 1
        state.persons[place].overseas = False
        _, _, _, found = words_for(state, state.persons[place], 4)
        if found < rules.internet_bound:
            late = delay_of(rules.internet_delay, words_for(state, state.persons[place], 5)[0])
            _instruct_person(state, ledger, place, at, late)
    return people


@allocating_kernel
def due_numbers(numbers: Table, known: Column, now_us: Scalar) -> tuple[Column, Column, Column]:
    """Return the places of the numbers that police hand over before a time, their lines and generations (int64)."""
    n = 0
    for place in range(known.shape[0]):
        n += known[place] < now_us
    over, line, generation = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    at = 0
    for place in range(known.shape[0]):
        if known[place] < now_us:
            over[at], line[at], generation[at] = place, numbers[place].line, numbers[place].generation
            at += 1
    return over, line, generation


@kernel
def talked_to(numbers: Table, over: Column, counts: Table) -> int:
    """Return how many people numbers at places `over` talked to, by `counts` where their lines still present them."""
    talked = 0
    for k in range(over.shape[0]):
        talked += numbers[over[k]].talked if numbers[over[k]].given_up else counts[k, 2]
    return talked


@kernel
def advance(
    state: State,
    ledger: Ledger,
    over: Column,
    counts: Table,
    until_us: Scalar,
    closes_day: Scalar,
) -> None:
    """Live through the time up to `until_us`, included; numbers at places `over` (int64) are handed over in it.

    `counts` (int64, n x 3) is whom those have reached that their lines still present. With `closes_day` the day's false
    warnings are remembered from then on.
    """
    for k in range(over.shape[0]):
        number = state.numbers[over[k]]
        if not number.given_up:
            number.before, number.talked = counts[k, 1], counts[k, 2]
        _hand_over(state, ledger, over[k])
    serve_all(state, ledger, until_us, COMING)
    for place in range(state.due.shape[0]):
        if state.due[place] <= until_us:
            live(state, ledger, place, until_us)
    serve_all(state, ledger, until_us, FREEZES_COMING)
    if closes_day:
        rules, now = state.rules[0], state.now
        false = now[FALSE_MESSAGES] * rules.read_ratio + now[FALSE_CALLS]
        state.mean[0] = state.mean[0] * rules.forget + false / rules.subscribers
        now[FALSE_MESSAGES], now[FALSE_CALLS] = 0, 0


@kernel
def finish(state: State, ledger: Ledger, places: Column, counts: Table, end_us: Scalar) -> int:
    """Count what is still to be sent for numbers at `places` that are handed over and in use; return who is engaged."""
    for k in range(places.shape[0]):
        _send(state, ledger, places[k], end_us, counts[k, 0] - state.numbers[places[k]].before)
    people = 0
    for place in range(state.persons.shape[0]):
        people += state.persons[place].phase == ENGAGED_NOW
    return people
