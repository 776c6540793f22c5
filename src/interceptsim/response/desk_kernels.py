"""Desks: whenever a server is free, it begins the first job that waits, and what that does to whom.

Whole queues are served by compiled code, since a desk has hundreds of millions of jobs a year. What is drawn for a job
is a hash of its id and of how often it was tried: its length by the low half of the first, then by the second whether
a call is taken (low half) and heeded (high half), by the third how many false warnings are remembered.
"""

from __future__ import annotations

import numpy as np

from interceptsim.compiled import Column, Record, Scalar, kernel
from interceptsim.randomness import delay_of, exp_of, log_of, mix64
from interceptsim.response.person_kernels import heeds, leave, live, stop_at, words_for
from interceptsim.response.queue_kernels import (
    bring,
    do_again,
    drop_job,
    join,
    occupy,
    opens_at,
    take_ready,
    take_waiting,
)
from interceptsim.response.records import (
    ABSENT,
    CALLED,
    CALLS,
    CALLS_TAKEN,
    CALLS_TRIED,
    COMING,
    ENGAGED_NOW,
    FALSE_CALLS,
    FREEZE,
    FREEZE_DESK,
    FREEZES_COMING,
    FROZEN,
    NEVER,
    RETURNED,
    STOPPED,
    VISIT,
    VISITED,
    VISITS,
    WAIT_BINS,
    Ledger,
    State,
    count,
    count_person,
    day_of,
)


@kernel
def serve_all(state: State, ledger: Ledger, until_us: Scalar, coming: Scalar) -> None:
    """Let desks do what they begin up to `until_us`, included: whenever a server is free, the first job that waits.

    `coming` is COMING for calls and visits, FREEZES_COMING for freezes. Desks are served in the order of time, since
    one may call somebody whom another visits; at one microsecond jobs come first, then desks begin them in their order.
    """
    jobs, midnight, begins = state.jobs, ledger.from_us[0], state.begins
    bring(state, until_us)
    first, starts = _soonest(begins, coming)
    while True:
        if state.now[coming] > 0 and state.soon_us[coming - COMING, 0] <= min(starts, until_us):
            top = take_ready(state, coming)
            d, ready = jobs[top].desk, jobs[top].ready_us
            desk = state.desks[d]
            join(jobs, desk, top)
            desk.clock_us = ready
            begins[d] = opens_at(desk, max(state.servers[desk.first], ready), midnight)
            if begins[d] < starts or (begins[d] == starts and d < first):
                first, starts = np.int64(d), begins[d]
            if ready >= midnight:
                ledger.served[day_of(ledger, ready), desk.does, jobs[top].tier, 0] += 1
            continue
        if starts > until_us:
            return
        _serve(state, ledger, first, starts)
        desk = state.desks[first]
        begins[first] = NEVER
        if max(desk.head[0], desk.head[1], desk.head[2]) >= 0:
            begins[first] = opens_at(desk, max(state.servers[desk.first], desk.clock_us), midnight)
        first, starts = _soonest(begins, coming)


@kernel
def _soonest(begins: Column, coming: Scalar) -> tuple[Scalar, Scalar]:
    """Return which desk begins a job next, the first of several, and when."""
    if coming == FREEZES_COMING:
        return np.int64(FREEZE_DESK), begins[FREEZE_DESK]
    first, starts = np.int64(-1), NEVER
    for d in range(begins.shape[0]):
        if begins[d] < starts and d != FREEZE_DESK:
            first, starts = np.int64(d), begins[d]
    return first, starts


@kernel
def _serve(state: State, ledger: Ledger, d: Scalar, at_us: Scalar) -> None:
    """Let a desk begin its first job at a time, or give it up if it has waited too long."""
    desk, jobs = state.desks[d], state.jobs
    place = take_waiting(jobs, desk)
    job = jobs[place]
    day = day_of(ledger, at_us)
    if job.until_us < at_us:
        if day >= 0:
            ledger.served[day, desk.does, job.tier, 2] += 1
        if desk.does == FREEZE:
            leave(state, job.person)
        drop_job(state, place)
        return
    waited = at_us - job.ready_us
    if day >= 0:
        served = ledger.served[day, desk.does, job.tier]
        served[1] += 1
        served[3] += waited
        seconds = waited / 1e6
        bin_ = np.int64(0)
        if seconds >= 1.0:
            bin_ = np.int64(1.0 + min(8.0 * log_of(seconds) / 0.6931471805599453, WAIT_BINS - 2.0))
        ledger.waits[desk.does, job.tier, bin_] += 1
    word = mix64(job.id + np.uint64(job.tries) * np.uint64(0x9E3779B97F4A7C15))
    worked = delay_of(desk.work, word & np.uint64(0xFFFFFFFF))
    word = mix64(word)
    if _is_there(state, job):
        live(state, ledger, job.person, at_us)
    if desk.does == CALLS:
        _call(state, ledger, place, at_us, word)
        if not np.float64(word & np.uint64(0xFFFFFFFF)) < np.float64(state.rules[0].reach_bound):
            worked //= 3
    elif desk.does == VISIT:
        _visit(state, ledger, place, at_us, word)
    else:
        _freeze(state, ledger, place, at_us)
    kept = np.int64(worked * desk.stretch)
    desk.busy_us += kept if day >= 0 else 0
    occupy(state.servers, desk.first, desk.last, at_us + max(kept, 1))


@kernel
def _is_there(state: State, job: Record) -> bool:
    """Whether the person of a job has not left."""
    return job.person >= 0 and state.persons[job.person].phase != ABSENT and state.persons[job.person].uid == job.uid


@kernel
def _call(state: State, ledger: Ledger, place: Scalar, at_us: Scalar, word: Scalar) -> None:
    """Call somebody from 96110; who does not take the call is called again."""
    rules, job = state.rules[0], state.jobs[place]
    count(ledger, at_us, job.fold, job.source, job.kind, CALLS_TRIED, 1)
    if word & np.uint64(0xFFFFFFFF) >= rules.reach_bound:
        if job.tries + 1 < rules.tries:
            do_again(state, place, at_us + rules.redial_us)
        else:
            drop_job(state, place)
        return
    count(ledger, at_us, job.fold, job.source, job.kind, CALLS_TAKEN, 1)
    if job.person < 0:
        state.now[FALSE_CALLS] += 1
    else:
        count_person(ledger, at_us, job, CALLED, 1)
        if _is_there(state, job) and heeds(
            state, state.persons[job.person], word >> np.uint64(32), rules.call_heed, mix64(word) >> np.uint64(32)
        ):
            stop_at(state, job.person, at_us)
    drop_job(state, place)


@kernel
def _visit(state: State, ledger: Ledger, place: Scalar, at_us: Scalar, word: Scalar) -> None:
    """Visit somebody at home; who falls for fraud and does not heed it is visited again."""
    rules, job = state.rules[0], state.jobs[place]
    count(ledger, at_us, job.fold, job.source, job.kind, VISITS, 1)
    if job.person >= 0:
        if job.tries == 0:
            count_person(ledger, at_us, job, VISITED, 1)
        if _is_there(state, job) and state.persons[job.person].phase == ENGAGED_NOW:
            weary = mix64(word) >> np.uint64(32)
            if heeds(state, state.persons[job.person], word >> np.uint64(32), rules.visit_heed, weary):
                stop_at(state, job.person, at_us)
            elif job.tries + 1 < rules.visits:
                do_again(state, place, at_us + rules.again_us)
                return
    drop_job(state, place)


@kernel
def _freeze(state: State, ledger: Ledger, place: Scalar, at_us: Scalar) -> None:
    """Stop what is left of a victim's transfers along the accounts they went through."""
    rules, job = state.rules[0], state.jobs[place]
    person = state.persons[job.person]
    for k in range(person.made):
        chance = rules.success * exp_of(-0.6931471805599453 * min((at_us - person.paid_us[k]) / rules.half_life, 60.0))
        if np.float64(words_for(state, person, 96 + k)[0]) < chance * 4294967296.0:
            stopped = person.each_fen
            count_person(ledger, at_us, person, STOPPED, stopped)
            count_person(ledger, at_us, person, FROZEN, np.int64(stopped * rules.frozen_per_stopped))
            count_person(ledger, at_us, person, RETURNED, np.int64(stopped * rules.return_ratio))
    leave(state, job.person)
    drop_job(state, place)
