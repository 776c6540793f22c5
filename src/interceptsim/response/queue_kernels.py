"""Heaps of what waits, and of the times at which servers are free.

Jobs that wait stand in heaps whose nodes are the jobs themselves (skew heaps): one of those that are not ready, by
(time, id), and one of each desk, by (tier, time, id). A desk's servers stand in a binary heap.
"""

from __future__ import annotations

from interceptsim.compiled import Column, Record, Scalar, Table, kernel
from interceptsim.response.records import COMING, FREEZE, FREEZES_COMING, JOBS, State
from interceptsim.units import DAY_US

__all__ = ["do_again", "drop_job", "for_person", "meld", "new_job", "occupy", "opens_at", "put_job", "take_first"]


@kernel
def new_job(state: State, ready_us: Scalar, uid: Scalar, desk: Scalar, tier: Scalar) -> int:
    """Return the place of a new job."""
    state.now[JOBS] -= 1
    place = state.free[JOBS, state.now[JOBS]]
    job = state.jobs[place]
    job.ready_us = ready_us
    job.until_us = ready_us + state.desks[desk].patience_us
    job.id, job.desk, job.tier = uid, desk, tier
    job.tries, job.left, job.right = 0, -1, -1
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
    heap = FREEZES_COMING if state.desks[state.jobs[place].desk].does == FREEZE else COMING
    state.now[heap] = meld(state.jobs, state.now[heap], place, False)


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
def _before(a: Record, b: Record, by_tier: Scalar) -> bool:
    """Whether job `a` goes before job `b`."""
    if by_tier and a.tier != b.tier:
        return a.tier < b.tier
    if a.ready_us != b.ready_us:
        return a.ready_us < b.ready_us
    return a.id < b.id


@kernel
def meld(jobs: Table, a: Scalar, b: Scalar, by_tier: Scalar) -> int:
    """Return the first job of two heaps put together (Sleator and Tarjan's skew heap, top down)."""
    if a < 0:
        return b
    if b < 0:
        return a
    if _before(jobs[b], jobs[a], by_tier):
        a, b = b, a
    root = a
    while True:
        rest = jobs[a].right
        jobs[a].right = jobs[a].left
        if rest < 0:
            jobs[a].left = b
            return root
        if _before(jobs[b], jobs[rest], by_tier):
            rest, b = b, rest
        jobs[a].left = rest
        a = rest


@kernel
def take_first(jobs: Table, root: Scalar, by_tier: Scalar) -> int:
    """Return the first job of a heap without its present first."""
    left, right = jobs[root].left, jobs[root].right
    jobs[root].left, jobs[root].right = -1, -1
    return meld(jobs, left, right, by_tier)


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
