"""Compiled desks: wait for wait those of SimPy's textbook, and Erlang's formula in the mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from parts import add_job, only_desks
from textbook import Clock, Desk, Job

from interceptsim.randomness import delay_us, mix64, threshold
from interceptsim.response import desk_kernels
from interceptsim.response.desk_kernels import serve_all
from interceptsim.response.plane import Response
from interceptsim.response.records import CALLS, COMING, VISITS, WAIT_BINS
from interceptsim.units import DAY_US, HOUR_US, MINUTE_US, Delay

FOREVER = 400 * DAY_US
GOLDEN = 0x9E3779B97F4A7C15
LOW = 2**32 - 1

Log = list[tuple[int, int, int, bool]]
"""(time, id, try, whether the job was begun and not given up) of all that a desk did."""


def textbook_log(jobs: list[tuple[int, int, int]], agents: int, call: dict[str, Any]) -> Log:
    """Serve jobs (ready, id, tier) for 96110 as the docstrings of `Call96110` and of the kernels tell."""
    clock, log = Clock(), []
    work, redial = Delay.model_validate(call["talk"]).law, call["redial_us"]

    def begins(job: Job, now: int) -> int:
        log.append((now, job.id, job.tries, True))
        drawn = int(mix64(np.uint64((job.id + job.tries * GOLDEN) % 2**64)))
        taken = int(mix64(np.uint64(drawn))) & LOW < threshold(call["reach_ratio"])
        talk = int(delay_us(drawn & LOW, *work))
        if not taken and job.tries + 1 < call["tries"]:
            desk.send(Job(job.tier, now + redial, job.id, job.patience_us, job.tries + 1))
        return talk if taken else talk // 3

    def gives_up(job: Job, now: int) -> None:
        log.append((now, job.id, job.tries, False))

    desk = Desk(clock, agents, call["opens"] * HOUR_US, call["closes"] * HOUR_US, begins, gives_up)
    for ready, uid, tier in jobs:
        desk.send(Job(tier, ready, uid, call["patience_us"]))
    clock.run_up_to(FOREVER)
    return log


def response_with(jobs: list[tuple[int, int, int]], agents: int, call: dict[str, Any]) -> Response:
    options = {name: call[name] for name in ("opens", "closes", "reach_ratio", "tries")}
    options |= {"redial": f"{call['redial_us']}us", "patience": f"{call['patience_us']}us"}
    response = only_desks(agents, call["talk"], **options)
    for ready, uid, tier in jobs:
        add_job(response, ready, uid, 0, tier)
    return response


def compiled_log(
    response: Response, monkeypatch: pytest.MonkeyPatch, steps: list[int], serve: Callable[..., Any] | None = None
) -> Log:
    """Serve with the source of the kernel, run by Python, so that each job can be noted when it is begun."""
    log: Log = []
    one = serve or desk_kernels._serve

    def noting(state: Any, ledger: Any, d: int, at_us: int) -> None:
        first = next(int(place) for place in state.desks[d].head if place >= 0)
        job = state.jobs[first]
        log.append((int(at_us), int(job["id"]), int(job["tries"]), bool(job["until_us"] >= at_us)))
        one(state, ledger, d, at_us)

    monkeypatch.setattr(desk_kernels, "_serve", noting)
    state = response._state._replace(jobs=response._state.jobs.view(np.recarray))
    state = state._replace(desks=state.desks.view(np.recarray))
    for until in [*steps, FOREVER]:
        serve_all.py_func(state, response._ledger, until, COMING)
    monkeypatch.undo()
    return log


@st.composite
def cases(draw: Any) -> tuple[list[tuple[int, int, int]], int, dict[str, Any]]:
    """Jobs on a coarse grid of times, so that many come and end at one microsecond, and a small desk."""
    grid = draw(st.sampled_from([1, 7 * MINUTE_US, HOUR_US]))
    most = draw(st.sampled_from([3, 30, 72])) * HOUR_US // grid
    times = st.integers(0, most).map(lambda n: n * grid)
    jobs = draw(st.lists(st.tuples(times, st.integers(0, 2)), max_size=25))
    opens = draw(st.sampled_from([0, 8]))
    call = {
        "talk": draw(st.sampled_from([{"minimum": "1h"}, {"minimum": "3us"}, {"mean": "2h"}, "0s"])),
        "opens": opens,
        "closes": draw(st.sampled_from([opens + 1, 22, 24])),
        "reach_ratio": draw(st.sampled_from([0.0, 0.4, 1.0])),
        "tries": draw(st.sampled_from([1, 3])),
        "redial_us": draw(st.sampled_from([0, 1, HOUR_US, 5 * HOUR_US])),
        "patience_us": draw(st.sampled_from([0, HOUR_US, 30 * HOUR_US])),
    }
    named = [(ready, int(mix64(np.uint64(n))), tier) for n, (ready, tier) in enumerate(jobs)]
    return named, draw(st.sampled_from([1, 1, 2, 5])), call


@settings(max_examples=80)
@given(cases())
def test_a_compiled_desk_begins_and_gives_up_each_job_when_simpys_textbook_does(case: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        compiled = compiled_log(response_with(*case), patch, [])
    assert compiled == textbook_log(*case)


@settings(max_examples=25)
@given(cases(), st.lists(st.integers(0, 80 * HOUR_US), max_size=6).map(sorted))
def test_a_desk_serves_the_same_however_time_is_cut(case: Any, steps: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        compiled = compiled_log(response_with(*case), patch, steps)
    assert compiled == textbook_log(*case)


@settings(max_examples=25)
@given(cases())
def test_the_compiled_kernel_counts_what_the_textbook_does(case: Any) -> None:
    response = response_with(*case)
    serve_all(response._state, response._ledger, FOREVER, COMING)
    begun = [(now, uid) for now, uid, _, is_begun in textbook_log(*case) if is_begun and now >= DAY_US]
    served = response._ledger.served[:, CALLS].sum(axis=(0, 1))
    assert served[1] == len(begun) == response._ledger.waits[CALLS].sum()
    assert served[2] == sum(now >= DAY_US and not is_begun for now, _, _, is_begun in textbook_log(*case))


def test_a_job_swapped_in_the_order_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [(9 * HOUR_US + n % 2, int(mix64(np.uint64(n))), n % 3) for n in range(12)]
    call = {"talk": "1h", "opens": 8, "closes": 22, "reach_ratio": 1.0, "tries": 1, "redial_us": 0}
    call["patience_us"] = 30 * HOUR_US
    response = response_with(jobs, 2, call)
    assert compiled_log(response, monkeypatch, []) == textbook_log(jobs, 2, call)
    for job in (response := response_with(jobs, 2, call))._state.jobs[:12]:
        job["tier"] = {0: 1, 1: 0}.get(int(job["tier"]), 2)
    assert compiled_log(response, monkeypatch, []) != textbook_log(jobs, 2, call)


# Erlang's formula


def erlang_c(agents: int, load: float) -> float:
    """With what probability a call waits where calls of `load` Erlangs come to so many agents and none gives up."""
    terms = [load**k / math.factorial(k) for k in range(agents)]
    last = load**agents / math.factorial(agents) * agents / (agents - load)
    return last / (sum(terms) + last)


def served(agents: int, busy: float, seed: int, jobs: int = 6_000) -> tuple[float, float]:
    """Return the mean wait in minutes and the share that waits a second or more; jobs take a minute in the mean."""
    r = Random(seed)
    response = only_desks(agents, Delay.model_validate({"mean": "1min"}), reach_ratio=1.0, patience="900d")
    now = float(DAY_US - HOUR_US)  # an hour before counting begins, the desk is empty
    for _ in range(jobs):
        now += r.expovariate(agents * busy) * MINUTE_US
        add_job(response, int(now), r.getrandbits(64), 0, 1)
    serve_all(response._state, response._ledger, FOREVER, COMING)
    _, begun, given_up, waited = response._ledger.served[:, CALLS].sum(axis=(0, 1)).tolist()
    assert given_up == 0
    return waited / begun / MINUTE_US, 1 - response._ledger.waits[CALLS, 1, 0] / begun


@pytest.mark.parametrize(("agents", "busy"), [(1, 0.5), (4, 0.7), (4, 0.85), (20, 0.9)])
def test_waits_agree_with_erlang_c(agents: int, busy: float) -> None:
    found = np.array([served(agents, busy, seed) for seed in range(10)])
    waits = erlang_c(agents, agents * busy)
    spare = agents * (1 - busy)  # jobs a minute that the desk could do more
    expected = np.array([waits / spare, waits * math.exp(-spare / 60)])
    # Student's t of ten independent runs: beyond 5.7 lie 3 in 10,000.
    assert (abs(found.mean(axis=0) - expected) < 5.7 * found.std(axis=0, ddof=1) / math.sqrt(10)).all()
    assert (found.std(axis=0, ddof=1) / math.sqrt(10) < 0.12 * expected).all()


@given(st.lists(st.integers(0, 3 * DAY_US), min_size=1, max_size=30), st.integers(0, 2))
@settings(max_examples=20)
@example([DAY_US] * 30, 0)
def test_with_an_agent_for_each_job_nobody_waits(times: list[int], tier: int) -> None:
    response = only_desks(30, Delay.model_validate("2h"), reach_ratio=1.0)
    for n, ready in enumerate(times):
        add_job(response, ready, int(mix64(np.uint64(n))), 0, tier)
    serve_all(response._state, response._ledger, FOREVER, COMING)
    came, begun, given_up, waited = response._ledger.served[:, CALLS, tier].sum(axis=0).tolist()
    assert (begun, given_up, waited) == (came, 0, 0)
    assert came == sum(ready >= DAY_US for ready in times)


def test_each_province_has_teams_of_its_own() -> None:
    response = only_desks(1, Delay.model_validate("1h"))
    for province in range(31):
        for n in range(2):
            add_job(response, DAY_US + 9 * HOUR_US, 100 * province + n, 2 + province, 0)
    serve_all(response._state, response._ledger, FOREVER, COMING)
    waits = response._ledger.waits[desk_kernels.VISIT, 0]
    assert waits[0] == 31
    assert waits.sum() == 62
    assert response._ledger.tally[0, 0, VISITS] == 62
    assert waits.nonzero()[0].max() < WAIT_BINS
