"""Jobs that wait, and the times at which servers are free.

A job lies first with those that are ready in the same step of time, in no order; when that step comes it stands in a
binary heap, by time; when it is ready, in the queue of its desk for its tier, by (time, id). It nearly always joins at
the end, since jobs leave the heap in order of time. So none of them costs more than the heap of one step does, however
many wait. A desk's servers stand in a binary heap too.
"""

from __future__ import annotations

from interceptsim.compiled import Column, Record, Scalar, Table, kernel
from interceptsim.response.records import COMING, FREEZE, FREEZES_COMING, JOBS, STEPS, UNTIL, State
from interceptsim.units import DAY_US

__all__ = [
    "bring",
    "do_again",
    "drop_job",
    "for_person",
    "join",
    "new_job",
    "occupy",
    "opens_at",
    "put_job",
    "take_ready",
    "take_waiting",
]


@kernel
def new_job(state: State, ready_us: Scalar, uid: Scalar, desk: Scalar, tier: Scalar) -> int:
    """Return the place of a new job."""
    state.now[JOBS] -= 1
    place = state.free[JOBS, state.now[JOBS]]
    job = state.jobs[place]
    job.ready_us = ready_us
    job.until_us = ready_us + state.desks[desk].patience_us
    job.id, job.desk, job.tier = uid, desk, tier
    job.tries = 0
    return place


@kernel
def for_person(state: State, place: Scalar, whom: Scalar) -> None:
    """Let a job be for a person, and wait for it to be ready."""
    job, person = state.jobs[place], state.persons[whom]
    job.person, job.uid = whom, person.uid
    job.source, job.fold, job.kind = person.source, person.fold, person.kind
    job.province, job.age = person.province, person.age
    put_job(state, place)


@kernel
def put_job(state: State, place: Scalar) -> None:
    """Let a job wait for its time."""
    job = state.jobs[place]
    if job.ready_us > state.now[UNTIL]:
        step_us = state.rules[0].step_us
        step = min(job.ready_us // step_us, (state.now[UNTIL] + 1) // step_us + STEPS - 1) % STEPS
        job.next = state.later[step]
        state.later[step] = place
        return
    heap = FREEZES_COMING if state.desks[job.desk].does == FREEZE else COMING
    ready_us, places = state.soon_us[heap - COMING], state.soon[heap - COMING]
    k = state.now[heap]
    state.now[heap] += 1
    while k > 0 and ready_us[(k - 1) // 2] > job.ready_us:
        ready_us[k], places[k] = ready_us[(k - 1) // 2], places[(k - 1) // 2]
        k = (k - 1) // 2
    ready_us[k], places[k] = job.ready_us, place


@kernel
def bring(state: State, until_us: Scalar) -> None:
    """Put the jobs that are ready up to a time, included, into the heaps."""
    if until_us <= state.now[UNTIL]:
        return
    step_us = state.rules[0].step_us
    first, last = (state.now[UNTIL] + 1) // step_us, until_us // step_us
    state.now[UNTIL] = until_us
    for step in range(first, min(last, first + STEPS - 1) + 1):
        at = state.later[step % STEPS]
        state.later[step % STEPS] = -1
        while at >= 0:
            following = state.jobs[at].next
            put_job(state, at)
            at = following


@kernel
def take_ready(state: State, heap: Scalar) -> int:
    """Take the job that is ready first out of a heap, and return its place."""
    ready_us, places = state.soon_us[heap - COMING], state.soon[heap - COMING]
    first = places[0]
    n = state.now[heap] - 1
    state.now[heap] = n
    last_us, last = ready_us[n], places[n]
    k = 0
    while True:
        child = 2 * k + 1
        if child >= n:
            break
        if child + 1 < n and ready_us[child + 1] < ready_us[child]:
            child += 1
        if ready_us[child] >= last_us:
            break
        ready_us[k], places[k] = ready_us[child], places[child]
        k = child
    ready_us[k], places[k] = last_us, last
    return first


@kernel
def do_again(state: State, place: Scalar, ready_us: Scalar) -> None:
    """Let a job be done once more, later."""
    job = state.jobs[place]
    job.tries += 1
    job.ready_us = ready_us
    job.until_us = ready_us + state.desks[job.desk].patience_us
    put_job(state, place)


@kernel
def drop_job(state: State, place: Scalar) -> None:
    """Forget a job."""
    state.free[JOBS, state.now[JOBS]] = place
    state.now[JOBS] += 1


@kernel
def join(jobs: Table, desk: Record, place: Scalar) -> None:
    """Let a job that is ready wait at its desk, behind those of its tier that go before it by (time, id)."""
    job = jobs[place]
    after, following = desk.tail[job.tier], -1
    while after >= 0 and (
        jobs[after].ready_us > job.ready_us or (jobs[after].ready_us == job.ready_us and jobs[after].id > job.id)
    ):
        after, following = jobs[after].before, after
    job.before, job.next = after, following
    if after < 0:
        desk.head[job.tier] = place
    else:
        jobs[after].next = place
    if following < 0:
        desk.tail[job.tier] = place
    else:
        jobs[following].before = place


@kernel
def take_waiting(jobs: Table, desk: Record) -> int:
    """Take the first job of the highest tier from those that wait at a desk; return its place, -1 if none does."""
    for tier in range(3):
        place = desk.head[tier]
        if place >= 0:
            following = jobs[place].next
            desk.head[tier] = following
            if following < 0:
                desk.tail[tier] = -1
            else:
                jobs[following].before = -1
            return place
    return -1


@kernel
def opens_at(desk: Record, at_us: Scalar, midnight_us: Scalar) -> int:
    """Return the first time from `at_us` on at which a desk is open."""
    of_day = (at_us - midnight_us) % DAY_US
    if of_day < desk.opens_us:
        return at_us + desk.opens_us - of_day
    if of_day >= desk.closes_us:
        return at_us + DAY_US + desk.opens_us - of_day
    return at_us


@kernel
def occupy(servers: Column, first: Scalar, last: Scalar, until_us: Scalar) -> None:
    """Let the server that is free first be busy up to a time: sift it down its heap."""
    n = last - first
    k = 0
    while True:
        child = 2 * k + 1
        if child >= n:
            break
        if child + 1 < n and servers[first + child + 1] < servers[first + child]:
            child += 1
        if servers[first + child] >= until_us:
            break
        servers[first + k] = servers[first + child]
        k = child
    servers[first + k] = until_us
