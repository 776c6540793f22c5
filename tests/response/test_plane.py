"""The whole response beside a plain SimPy program of it, and laws that it has to keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from hashlib import blake2b
from random import Random
from typing import Any

import numpy as np
import parts
import pytest
from answers import PEOPLE
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import RESPONSES, Both, Calls, live, own_people, own_policies, people, police, setting

from interceptsim import simulation, world
from interceptsim.response.plane import Response
from interceptsim.response.records import MEASURES
from interceptsim.scenario import Scenario
from interceptsim.units import DAY_US, HOUR_US, MINUTE_US

DAYS = 6  # one of them the warm-up


SEEDS = [seed if seed < 10 else pytest.param(seed, marks=pytest.mark.slow) for seed in range(30)]


def both(seed: int, *, ties: bool = False, slice_us: int = 30 * MINUTE_US, every_us: int = 30 * MINUTE_US) -> None:
    r = Random(f"{seed}/{ties}")
    people, policies = own_people(r, ties=ties), own_policies(r, ties=ties)
    asked = Both(people, police("1h"), policies, setting(scale=r.choice([1, 1, 3])))
    live(asked, Calls(seed, DAYS, ties=ties), DAYS, slice_us=slice_us, every_us=every_us)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_response_is_that_of_a_plain_simpy_program(seed: int) -> None:
    both(seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_so_where_much_happens_at_one_microsecond(seed: int) -> None:
    both(seed, ties=True)


def counted(
    policies: list[Any],
    seed: int = 1,
    *,
    slice_us: int = 30 * MINUTE_US,
    every_us: int = 30 * MINUTE_US,
    of: dict[str, Any] | None = None,
    scale: int = 1,
) -> dict[str, int]:
    """What a small response counts in all, by measure, and who is engaged at the end."""
    response = Response(people(**{"internet": "2e4/year", **(of or {})}), police("1h"), policies, setting(scale=scale))
    tally = live(response, Calls(seed, DAYS), DAYS, slice_us=slice_us, every_us=every_us)
    sums = dict(zip(MEASURES, tally.ledger.tally.sum(axis=(0, 1)).tolist(), strict=True))
    digest = blake2b(b"".join(np.ascontiguousarray(part).tobytes() for part in tally.ledger[2:7])).hexdigest()
    return {**sums, "engaged at the end": tally.engaged_at_end, "digest": int(digest, 16)}


def built(*tables: dict[str, Any]) -> list[Any]:
    return [RESPONSES[table["kind"]].model_validate(table) for table in tables]


@pytest.mark.slow
@settings(max_examples=15)
@given(st.integers(0, 10**6), st.booleans())
def test_nothing_hangs_on_how_often_control_looks_or_where_slices_are_cut(seed: int, ties: bool) -> None:
    found = []
    for slice_us, every_us in ((30, 30), (30, 1), (10, 10), (1, 5)):
        r = Random(seed)
        response = Response(own_people(r, ties=ties), police("1h"), own_policies(r, ties=ties), setting())
        cuts = {"slice_us": slice_us * MINUTE_US, "every_us": every_us * MINUTE_US}
        found.append(live(response, Calls(seed, 3, ties=ties), 3, **cuts).ledger)
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_without_policies_nobody_is_warned_called_or_visited_and_nothing_is_frozen() -> None:
    found = counted([])
    busy = {"met", "engaged", "doubted", "paid", "reported", "transfers", "transferred_fen", "engaged at the end"}
    assert {name for name, n in found.items() if n} == busy | {"digest"}


def test_people_and_money_add_up() -> None:
    every = built({"kind": "warn-12381"}, {"kind": "dispatch-by-tier"}, {"kind": "call-96110"})
    every += built({"kind": "visit-in-person"}, {"kind": "suspend-subscriber"}, {"kind": "freeze-transfers"})
    every += built({"kind": "hold-suspicious-transfers"}, {"kind": "alert-in-app"}, {"kind": "take-down-sites"})
    for seed in range(3):
        found = counted(every, seed)
        assert min(n for name, n in found.items() if name not in {"warned late", "digest"}) > 0
        assert found["returned_fen"] <= found["stopped_fen"] <= found["transferred_fen"]
        stopped = 12 * found["reported"]  # transfers at the most, each rounded down
        assert 0 <= 8 * found["stopped_fen"] - found["frozen_fen"] <= stopped
        assert 0 <= 0.6 * found["stopped_fen"] - found["returned_fen"] <= stopped
        assert found["paid"] <= found["transfers"] <= 12 * found["paid"]
        assert found["reported"] <= found["paid"] <= found["engaged"]
        assert found["unread"] <= found["warned"]
        assert found["calls taken"] <= found["calls tried"]
        assert found["suspended"] <= found["instructed"] <= found["instructions"] == found["dispatch messages"]


@settings(max_examples=8)
@given(st.integers(0, 10**6))
def test_everybody_who_begins_is_averted_stops_doubts_or_pays_to_the_end(seed: int) -> None:
    """Counted from the very start, with one transfer each, so that nobody both pays and stops."""
    once = [{**kind, "transfers": 1} for kind in PEOPLE["types"]]
    policies = own_policies(Random(seed))
    response = Response(people(types=once), police("1h"), policies, setting(warm_up_days=0, days=DAYS))
    tally = live(response, Calls(seed, DAYS), DAYS, slice_us=HOUR_US // 2, every_us=HOUR_US // 2)
    found = dict(zip(MEASURES, tally.ledger.tally.sum(axis=(0, 1)).tolist(), strict=True))
    done = sum(found[name] for name in ("averted", "dissuaded", "doubted", "paid"))
    assert found["engaged"] == done + tally.engaged_at_end
    assert found["transfers"] == found["paid"]


HEEDED = ("warn-12381", "call-96110", "visit-in-person")


@pytest.mark.parametrize("kind", HEEDED)
@pytest.mark.parametrize("seed", range(3))
def test_with_staff_enough_stronger_heeding_never_raises_what_people_lose(kind: str, seed: int) -> None:
    def lost(ratio: float) -> tuple[int, int]:
        chain: list[dict[str, Any]] = [
            {"kind": "warn-12381", "heed_ratio": 0.2},
            {"kind": "dispatch-by-tier", "engaged_high_ratio": 0.9, "engaged_medium_ratio": 0},
            {"kind": "call-96110", "agents": 10**5, "opens": 0, "closes": 24, "heed_ratio": 0.2},
            {"kind": "visit-in-person", "teams": 10**5, "opens": 0, "closes": 24, "heed_ratio": 0.2, "visits": 3},
        ]
        strong = [{**table, "heed_ratio": ratio} if table["kind"] == kind else table for table in chain]
        found = counted(built(*strong), seed, of={"reports_feed_lists": False})
        return found["transferred_fen"], found["paid"]

    losses = [lost(ratio) for ratio in (0.0, 0.1, 0.4, 0.9)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > losses[-1]


def test_reports_are_news_to_police_only_where_they_feed_lists() -> None:
    for feeds in (False, True):
        response = Response(people(reports_feed_lists=feeds), police("1h"), [], setting())
        calls, told = Calls(3, DAYS), 0
        advance = response.advance

        def watched(*given: Any, advance: Any = advance) -> Any:
            nonlocal told
            found = advance(*given)
            told += len(found[0]) if found else 0
            return found

        response.advance = watched  # type: ignore[method-assign]
        live(response, calls, DAYS, slice_us=HOUR_US // 2, every_us=HOUR_US // 2)
        assert (told > 0) == feeds


# Faults put in on purpose: each must show beside the plain program.


def shows(monkeypatch: pytest.MonkeyPatch, put_in: Callable[[Response], None]) -> bool:
    """Whether a fault, put into each response when it is made, shows in any of a few runs."""
    made = parts.Response

    def faulty(*given: Any) -> Response:
        response = made(*given)
        put_in(response)
        return response

    monkeypatch.setattr(parts, "Response", faulty)
    for seed in range(8):
        try:
            both(seed, ties=True)
        except AssertionError:
            return True
    return False


def test_a_hand_over_a_microsecond_late_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(response: Response) -> None:
        response._state.rules["police_delay"]["minimum"] += 1

    assert shows(monkeypatch, late)


def test_a_visit_repeated_a_microsecond_late_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(response: Response) -> None:
        response._state.rules["again_us"] += 1

    assert shows(monkeypatch, late)


def test_tiers_swapped_show(monkeypatch: pytest.MonkeyPatch) -> None:
    def swapped(response: Response) -> None:
        bounds = response._state.rules["tiers"]
        bounds[0, 0, 0], bounds[0, 1, 0] = bounds[0, 1, 0], bounds[0, 0, 0]

    assert shows(monkeypatch, swapped)


def test_an_agent_fewer_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    def fewer(response: Response) -> None:
        calls = response._state.desks[:1]
        calls["first"] = np.minimum(calls["first"] + 1, calls["last"] - 1)

    assert shows(monkeypatch, fewer)


def test_a_counter_that_misses_one_event_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(response: Response) -> None:
        learn, calls = response._learn, Counter[str]()

        def forgets(state: Any, ledger: Any, *given: Any) -> Any:
            found = learn(state, ledger, *given)
            calls["all"] += 1
            if calls["all"] == 100:
                ledger.tally[0, 0, MEASURES.index("engaged")] -= 1
            return found

        monkeypatch.setattr(response, "_learn", forgets)

    assert shows(monkeypatch, forgetful)


def test_desks_served_one_after_another_and_not_in_the_order_of_time_show() -> None:
    """Somebody is visited at ten and called at noon: the visit comes first, though the call desk stands first."""
    chain = built(
        {"kind": "call-96110", "opens": 12, "closes": 24, "heed_ratio": 0, "reach_ratio": 1},
        {"kind": "visit-in-person", "opens": 10, "closes": 24, "heed_ratio": 1, "teams": 10**4},
        {"kind": "dispatch-by-tier", "internet_ratio": 1, "internet_delay": "0s", "engaged_high_ratio": 1}
        | {"engaged_medium_ratio": 0, "engaged_low_ratio": 0, "sms_heed_ratio": 0, "delay": "0s"},
    )
    types = [{**PEOPLE["types"][0], "share": 1, "id": "one", "grooming": "11h", "gap": "1h", "doubt_ratio": 0}]
    response = Response(people(types=types, internet="1/year"), police("1h"), chain, setting(warm_up_days=0))
    found = response.look(DAY_US, Calls(1, 1).reached)
    response.advance(DAY_US, *found)  # one person, met at midnight, would pay at eleven
    found = dict(zip(MEASURES, response._ledger.tally.sum(axis=(0, 1)).tolist(), strict=True))
    assert (found["engaged"], found["visits"], found["calls taken"]) == (1, 1, 1)
    assert (found["dissuaded"], found["paid"]) == (1, 0)


def test_it_is_so_in_a_whole_run(china: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under both engines: every answer to control and every count at the end is that of the plain program."""
    monkeypatch.setattr(world, "Response", Both)
    changes = {"people.internet": "4e9/year", "people.voice_engaged_ratio": 0.2, "period.warm_up": "1d"}
    for options in ({"scale": 50_000, "threads": 1}, {"scale": 1_000_000, "engine": "reference"}):
        run = simulation.run(china.replace({**changes, "people.fatigue": 0.2}), days=2, **options)
        assert run.metrics["response.engaged"] > 10
