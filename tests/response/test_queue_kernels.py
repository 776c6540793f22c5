"""Queues: what waits comes out in its order, and the server that is free first begins."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import add_job, only_desks

from interceptsim.response.queue_kernels import bring, join, occupy, opens_at, take_ready, take_waiting
from interceptsim.response.records import COMING, DESK, JOBS
from interceptsim.units import DAY_US, HOUR_US, Delay

TIMES = st.one_of(st.integers(0, 5), st.integers(0, 90 * DAY_US))
JOBS_OF = st.lists(st.tuples(st.integers(0, 2), TIMES, st.integers(0, 2**64 - 1)), max_size=40)


def job_at(state: Any, place: int) -> tuple[int, int, int]:
    job = state.jobs[place]
    return int(job["tier"]), int(job["ready_us"]), int(job["id"])


def ready_in(response: Any) -> list[tuple[int, int]]:
    found = []
    while response._state.now[COMING] > 0:
        tier, ready_us, _ = job_at(response._state, int(take_ready(response._state, COMING)))
        found.append((ready_us, tier))
    return found


@settings(max_examples=60)
@given(JOBS_OF, JOBS_OF, st.lists(TIMES, max_size=6).map(sorted))
def test_jobs_come_out_by_the_time_at_which_they_are_ready_however_time_is_cut(
    first: list[tuple[int, int, int]], second: list[tuple[int, int, int]], steps: list[int]
) -> None:
    response = only_desks(1, Delay.model_validate("1h"))
    waiting: list[tuple[int, int]] = []
    for step, until in enumerate([*steps, 2**61, 2**62]):
        for tier, ready, uid in {0: first, 1: second}.get(step, []):  # the second when others' time has come
            add_job(response, ready, uid, 0, tier)
            waiting.append((ready, tier))
        bring(response._state, until)
        found = ready_in(response)
        assert [ready for ready, _ in found] == sorted(ready for ready, _ in found)
        assert sorted(found) == sorted(job for job in waiting if job[0] <= until)
        waiting = [job for job in waiting if job[0] > until]


@settings(max_examples=60)
@given(JOBS_OF, st.lists(st.booleans(), max_size=80))
def test_jobs_that_wait_come_out_by_tier_then_time_then_id(jobs: list[tuple[int, int, int]], takes: list[bool]) -> None:
    response = only_desks(1, Delay.model_validate("1h"))
    places = [add_job(response, ready, uid, 0, tier) for tier, ready, uid in jobs]
    state = response._state
    waiting: list[tuple[int, int, int]] = []
    for place, take in itertools.zip_longest(places, takes[: 2 * len(places)], fillvalue=None):
        if place is not None:
            join(state.jobs, state.desks[0], place)
            waiting.append(job_at(state, place))
        if take and waiting:
            waiting.sort()
            assert job_at(state, int(take_waiting(state.jobs, state.desks[0]))) == waiting.pop(0)
    for job in sorted(waiting):
        assert job_at(state, int(take_waiting(state.jobs, state.desks[0]))) == job
    assert take_waiting(state.jobs, state.desks[0]) == -1


@settings(max_examples=60)
@given(st.integers(1, 9), st.lists(st.integers(1, 100), max_size=40), st.integers(0, 3))
def test_the_server_free_first_is_always_at_the_top(many: int, jobs: list[int], before: int) -> None:
    servers = np.zeros(before + many + 1, np.int64)
    servers[:before] = servers[-1] = -7
    free = [0] * many
    for job in jobs:
        assert servers[before] == min(free)
        free[free.index(min(free))] = int(servers[before]) + job
        occupy(servers, before, before + many, int(servers[before]) + job)
        assert sorted(servers[before : before + many].tolist()) == sorted(free)
    assert servers[:before].tolist() == [-7] * before
    assert servers[-1] == -7


@settings(max_examples=60)
@given(st.integers(0, 23), st.integers(1, 24), st.integers(0, 10 * DAY_US), st.integers(0, 3))
def test_a_desk_opens_at_the_first_time_within_its_hours(opens: int, hours: int, at: int, days: int) -> None:
    closes = min(opens + hours, 24)
    desk = np.zeros(1, DESK)
    desk["opens_us"], desk["closes_us"] = opens * HOUR_US, closes * HOUR_US
    found = int(opens_at(desk[0], at, days * DAY_US))
    assert found >= at
    assert opens * HOUR_US <= found % DAY_US < closes * HOUR_US
    assert found == at or (found % DAY_US == opens * HOUR_US and found - at < DAY_US)


def test_places_of_jobs_are_given_back() -> None:
    response = only_desks(1, Delay.model_validate("1h"))
    free = int(response._state.now[JOBS])
    places = [add_job(response, n, n, 0, 1) for n in range(50)]
    assert len(set(places)) == 50
    assert response._state.now[JOBS] == free - 50
