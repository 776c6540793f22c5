"""What the tests of the response share: people, settings, random delays, and a response with jobs alone."""

from __future__ import annotations

import datetime as dt
from random import Random
from typing import Any

import numpy as np
from answers import PEOPLE, answers, fallible
from naive import NaiveResponse

from interceptsim.randomness import root_key
from interceptsim.response.people import People
from interceptsim.response.plane import Response, Setting
from interceptsim.response.police import COMPLAINED, ENGAGED, FOUND, GIVEN_UP, WORD, Police
from interceptsim.response.policies import (
    AlertInApp,
    Call96110,
    DispatchByTier,
    FreezeTransfers,
    HoldSuspiciousTransfers,
    RaiseAwareness,
    RemindOverseasCall,
    SuspendSubscriber,
    TakeDownSites,
    VisitInPerson,
    Warn12381,
)
from interceptsim.response.queue_kernels import new_job, put_job
from interceptsim.response.records import JOBS
from interceptsim.units import DAY_US, HOUR_US, MINUTE_US, Delay

RESPONSES: dict[str, Any] = {
    "warn-12381": Warn12381,
    "dispatch-by-tier": DispatchByTier,
    "call-96110": Call96110,
    "visit-in-person": VisitInPerson,
    "suspend-subscriber": SuspendSubscriber,
    "freeze-transfers": FreezeTransfers,
    "hold-suspicious-transfers": HoldSuspiciousTransfers,
    "alert-in-app": AlertInApp,
    "take-down-sites": TakeDownSites,
    "remind-overseas-call": RemindOverseasCall,
    "raise-awareness": RaiseAwareness,
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
        VisitInPerson.model_validate({"kind": "visit-in-person", "teams": 1, "visit": "1h", "patience": "900d"}),
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


class Calls:
    """Attempts of a few lines, made up: what the data plane would tell of them, in words, and whom numbers reached.

    With `ties` all falls on multiples of ten minutes. `known` is when police hand over each number.
    """

    def __init__(self, seed: int, days: int, *, ties: bool = False, engaged_ratio: float = 0.1) -> None:
        r = Random(seed)
        grid = 10 * MINUTE_US if ties else 1
        self.known: dict[tuple[int, int], int] = {}
        self.decided_us = 0
        self._attempts: dict[tuple[int, int], list[tuple[int, bool]]] = {}
        self._words: list[np.ndarray] = []
        for line in range(8):
            at, generation, ordinal, dies, told = 0, 0, 0, int(r.expovariate(1 / 12) * HOUR_US), False
            group = (0, 0, 0, 0, 1, 1, 1, 2)[line]
            while True:
                at += (int(r.expovariate(1 / 30) * MINUTE_US) // grid + 1) * grid
                if at >= days * DAY_US:
                    break
                word = np.zeros(1, WORD)
                word["time_us"], word["line"], word["index"], word["ordinal"] = at, line, line % 4, ordinal
                word["group"], word["fold"], word["cell"], word["channel"] = group, line % 2, line % 3 % 2, group % 2
                word["b_number"], word["entry"] = 8_613_000_000_000 + r.randrange(10**9), r.randrange(3)
                if at > dies and group != 2:
                    if told:
                        self._words.append(self._as(word, GIVEN_UP, 11 + group, generation))
                    generation, dies, told = generation + 1, at + int(r.expovariate(1 / 12) * HOUR_US), False
                self._attempts.setdefault((line, generation), []).append((at, r.random() < 0.5 and group != 1))
                if r.random() < 0.03 and group != 2:
                    self._words.append(self._as(word, r.choice([COMPLAINED, FOUND]), 11 + group, generation))
                    told = True
                if r.random() < engaged_ratio:
                    self._words.append(self._as(word, ENGAGED, 21 + group, generation))
                    told = True
                ordinal += 1
        self._words.sort(key=lambda word: (word["time_us"][0], word["line"][0], word["kind"][0]))

    @staticmethod
    def _as(word: np.ndarray, kind: int, stream: int, generation: int) -> np.ndarray:
        word = word.copy()
        word["kind"], word["stream"], word["generation"] = kind, stream, generation
        return word

    def advance(self, until_us: int) -> np.ndarray:
        """The words of all attempts before `until_us` that have not been given."""
        found = [np.zeros(0, WORD)]
        while self._words and self._words[0]["time_us"][0] < until_us:
            found.append(word := self._words.pop(0))
            if word["kind"] == GIVEN_UP:
                line, generation = int(word["line"][0]), int(word["generation"][0])
                self.decided_us = max(self.decided_us, int(word["time_us"][0]))
                word["reached"], word["before"], word["talked"] = self._reached(line, generation)
        self.decided_us = until_us
        return np.concatenate(found)

    def _reached(self, line: int, generation: int) -> tuple[int, int, int]:
        made = [(at, talked) for at, talked in self._attempts[line, generation] if at < self.decided_us]
        known_us = self.known.get((line, generation), 2**62)
        before = [talked for at, talked in made if at < known_us]
        return len(made), len(before), sum(before)

    def reached(self, line: Any, generation: Any) -> np.ndarray:
        rows = [self._reached(*of) for of in zip(line.tolist(), generation.tolist(), strict=True)]
        return np.array(rows, np.int64).reshape(-1, 3)


NOTHING = np.zeros(0, WORD), np.zeros(0, np.int64), np.zeros(0, np.int64)
"""What victims reported, where they did not."""


def live(response: Any, calls: Calls, days: int, *, slice_us: int, every_us: int) -> Any:
    """Let a response live through attempts as control does; return what it counted."""
    step_us = every_us
    for edge_us in range(slice_us, days * DAY_US + 1, slice_us):
        words = calls.advance(edge_us)
        words, known_us, _ = response.learn(words)
        for word, known in zip(words, known_us.tolist(), strict=True):
            calls.known[int(word["line"]), int(word["generation"])] = known
        while step_us <= edge_us:
            words, known_us, _ = response.advance(step_us, *response.look(step_us, calls.reached)) or NOTHING
            for word, known in zip(words, known_us.tolist(), strict=True):
                calls.known[int(word["line"]), int(word["generation"])] = known
            step_us += every_us
    return response.finish(days * DAY_US, calls.reached)


class Both:
    """The compiled response and the naive one, which have to agree whenever they are asked."""

    def __init__(self, *given: Any) -> None:
        self.fast, self.slow = Response(*given), NaiveResponse(*given)
        self.every_us = self.fast.every_us

    def learn(self, words: np.ndarray) -> Any:
        found, expected = self.fast.learn(words), self.slow.learn(words)
        assert [part.tolist() for part in found] == [part.tolist() for part in expected]
        return found

    def look(self, now_us: int, reached: Any) -> Any:
        self._reached = reached
        return self.fast.look(now_us, reached)

    def advance(self, now_us: int, over: Any, counts: Any) -> Any:
        expected = self.slow.advance(now_us, self._reached)
        found = self.fast.advance(now_us, over, counts)
        words, known_us, was_us = found or NOTHING
        names = zip(words["line"].tolist(), words["generation"].tolist(), strict=True)
        assert dict(zip(names, zip(known_us.tolist(), was_us.tolist(), strict=True), strict=True)) == expected
        return found

    def finish(self, end_us: int, reached: Any) -> Any:
        tally = self.fast.finish(end_us, reached)
        assert self.slow.finish(end_us, reached) == tally.engaged_at_end
        assert self.slow.differences(tally.ledger) == []
        return tally


def own_policies(r: Random, *, ties: bool = False) -> list[Any]:
    """Some of the response policies, drawn at random, with few staff."""
    return [RESPONSES[table["kind"]].model_validate(table) for table in answers(r, ties=ties)]


def own_people(r: Random, *, ties: bool = False) -> People:
    return People.model_validate(fallible(r, ties=ties))
