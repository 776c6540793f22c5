"""What the tests of the response share: people, settings, random delays, and a response with jobs alone."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np

from interceptsim.randomness import root_key
from interceptsim.response.people import People
from interceptsim.response.plane import Response, Setting
from interceptsim.response.police import Police
from interceptsim.response.policies import Call96110, FreezeTransfers, VisitInPerson
from interceptsim.response.queue_kernels import new_job, put_job
from interceptsim.response.records import JOBS
from interceptsim.units import DAY_US, Delay

PEOPLE: dict[str, Any] = {
    "voice_engaged_ratio": 0.1,
    "sms_engaged_ratio": 0.1,
    "internet": "0/year",
    "report_ratio": 0.6,
    "report_delay": {"minimum": "1min", "mean": "5h"},
    "fatigue": 0.0,
    "age_bands": [{"id": "young", "share": 0.6}, {"id": "old", "share": 0.4, "susceptibility": 0.5}],
    "types": [
        {
            "id": "one",
            "share": 0.7,
            "grooming": {"minimum": "10min", "mean": "10h"},
            "gap": {"mean": "8h"},
            "transfers": 3,
            "doubt_ratio": 0.3,
            "mean_loss_yuan": 10_000,
        },
        {
            "id": "two",
            "share": 0.3,
            "susceptibility": 0.8,
            "grooming": {"minimum": "1h", "median": "1d", "sigma": 0.8},
            "gap": {"minimum": "1h"},
            "transfers": 1.5,
            "doubt_ratio": 0.2,
            "mean_loss_yuan": 50_000,
            "heeding": 0.7,
        },
    ],
}


def people(**changes: Any) -> People:
    return People.model_validate({**PEOPLE, **changes})


def police(delay: str = "1h") -> Police:
    return Police.model_validate({"voice_complaint_ratio": 0.1, "sms_complaint_ratio": 0.1, "delay": delay})


def setting(**changes: Any) -> Setting:
    same: dict[str, Any] = {
        "key": root_key(1),
        "scale": 1,
        "lines": 8,
        "folds": 2,
        "police_streams": np.array([11, 12, 0], np.uint64),
        "cell_types": ("one", "two"),
        "start": dt.date(2025, 1, 30),
        "days": 5,
        "warm_up_days": 1,
        "epoch_us": 1_738_000_000_000_000 // DAY_US * DAY_US,
        "subscribers": 5_000,
    }
    return Setting(**{**same, **changes})


def only_desks(agents: int, work: Delay, **changes: Any) -> Response:
    """A response whose call desk has so many agents; visit teams are one a province."""
    call = {"kind": "call-96110", "agents": agents, "talk": work, "opens": 0, "closes": 24, **changes}
    policies = (
        Call96110.model_validate(call),
        VisitInPerson.model_validate({"kind": "visit-in-person", "teams": 1, "visit": "1h"}),
        FreezeTransfers.model_validate({"kind": "freeze-transfers", "clerks": 1}),
    )
    return Response(people(), police(), policies, setting())


def add_job(response: Response, ready_us: int, uid: int, desk: int, tier: int) -> int:
    """Let a job for somebody at no risk wait for its time; return its place."""
    response._make_room(JOBS, 1)
    state = response._state
    place = int(new_job(state, ready_us, np.uint64(uid), desk, tier))
    job = state.jobs[place : place + 1]
    job["person"] = -1
    for name in ("source", "fold", "kind", "province", "age"):
        job[name] = 0
    put_job(state, place)
    return place
