"""Heaps: what waits comes out in its order, and the server that is free first begins."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import add_job, only_desks

from interceptsim.response.queue_kernels import meld, occupy, opens_at, take_first
from interceptsim.response.records import COMING, DESK, JOBS
from interceptsim.units import DAY_US, HOUR_US, Delay

JOBS_OF = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 2**64 - 1)), max_size=40)


def emptied(state: Any, root: int, by_tier: bool) -> list[tuple[int, int, int]]:
    found = []
    while root >= 0:
        job = state.jobs[root]
        found.append((int(job["tier"]), int(job["ready_us"]), int(job["id"])))
        root = take_first(state.jobs, root, by_tier)
    return found


@settings(max_examples=60, deadline=None)
@given(JOBS_OF)
def test_jobs_that_are_not_ready_come_out_by_time_and_id(jobs: list[tuple[int, int, int]]) -> None:
    response = only_desks(1, Delay.model_validate("1h"))
    for tier, ready, uid in jobs:
        add_job(response, ready, uid, 0, tier)
    found = emptied(response._state, int(response._state.now[COMING]), by_tier=False)
    assert [job[1:] for job in found] == sorted(job[1:] for job in jobs)


@settings(max_examples=60, deadline=None)
@given(JOBS_OF, st.integers(0, 40))
def test_jobs_that_wait_come_out_by_tier_then_time_then_id(jobs: list[tuple[int, int, int]], cut: int) -> None:
    response = only_desks(1, Delay.model_validate("1h"))
    places = [add_job(response, ready, uid, 0, tier) for tier, ready, uid in jobs]
    state = response._state
    state.jobs["left"] = state.jobs["right"] = -1
    roots = [-1, -1]
    for n, place in enumerate(places):
        roots[n < cut] = meld(state.jobs, roots[n < cut], place, True)
    assert emptied(state, meld(state.jobs, *roots, True), by_tier=True) == sorted(jobs)


@settings(max_examples=60, deadline=None)
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


@settings(max_examples=60, deadline=None)
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
