"""People listed though they are no fraudsters: found from the hand-over side, the same as one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from interceptsim.numbering import subscriber_number
from interceptsim.people import wrongly_listed_estimates
from interceptsim.printing import print_run
from interceptsim.randomness import (
    draw,
    exp_of,
    index_below,
    log_of,
    mix64,
    normal_quantile,
    stream_id,
    threshold,
    unit,
)
from interceptsim.reference import _delay
from interceptsim.response.police import WORD, falsely_handed_over, recycled
from interceptsim.response.wrongly_listed import KINDS, WronglyListed
from interceptsim.response.wrongly_listed_kernels import CUT_OFF, HOURS, INTERCEPTED, LISTED
from interceptsim.scenario import Scenario
from interceptsim.simulation import run
from interceptsim.traffic.kernels import contact_of
from interceptsim.units import DAY_US, HOUR_US
from interceptsim.world import World

CALLERS = [
    {
        "id": name,
        "channel": "voice",
        "entry": entry,
        "lines": lines,
        "sample": 1,
        "profile": "day",
        "attempts_per_day": rate,
        "rate_sigma": 0.7,
        "contacts": contacts,
        "stranger_ratio": 0.4 if contacts else 1.0,
    }
    for name, entry, lines, rate, contacts in (
        ("persons", "mobile-access", 900_000, 4, 10),
        ("firms", "domestic-interconnect", 100_000, 60, 0),
    )
]


def erring(minimal: Scenario, **changes: Any) -> Scenario:
    """A scenario of two lists, one of them late and of few, in which police err and numbers are recycled."""
    base = {
        "traffic.ordinary": CALLERS,
        "population.carriers": [{"id": "a", "share": 0.6}, {"id": "b", "share": 0.4}],
        "police.false_hand_over_ratio": 0.3,
        "police.recycled_ratio": 0.5,
        "police.quarantine": {"minimum": "1d", "mean": "2d"},
        "policies": [
            {
                "kind": "reject-listed-numbers",
                "delay": {"minimum": "1h", "mean": "2h"},
                "carriers": ["a"],
                "adoption_ratio": 0.8,
                "expires_after": "3d",
                "unblock": {"minimum": "2h", "mean": "5h"},
            },
            {
                "kind": "reject-listed-numbers",
                "id": "late",
                "delay": "1d",
                "adoption_ratio": 0.4,
                "entries": ["mobile-access"],
                "expires_after": "8d",
                "unblock": {"minimum": "1h", "mean": "1d"},
            },
            {"kind": "reject-listed-numbers", "id": "labels", "action": "label"},
            {"kind": "reject-listed-numbers", "id": "messages", "channels": ["sms"]},
        ],
    }
    return minimal.replace({**base, **changes})


def one_by_one(world: World, word_of: Any, known: int, kind: int) -> list[int] | None:
    """Return what is counted of one person, in plain Python from the description; None where none is listed."""
    scenario, key, salt = world.scenario, world.key, stream_id(KINDS[kind])
    stream, index, generation = (int(word_of[name]) for name in ("stream", "index", "generation"))
    lists = [p for p in scenario.lists if p.action == "intercept" and "voice" in p.channels]
    who, which, wait, known_by = draw(*key, stream ^ salt, index, generation << 32)
    has = known + (_delay(scenario.police.quarantine, wait) if kind else 0)
    held = {}
    for policy in lists:
        word = draw(*key, stream ^ stream_id(f"delay/{policy.id}"), index, generation)[0]
        begins = (known // policy.publish_every + 1) * policy.publish_every + _delay(policy.delay, word)
        ends = begins + min(policy.expires_after or 365 * DAY_US, 365 * DAY_US)
        if max(begins, has) < ends:
            held[policy.id] = (max(begins, has), ends)
    if not held:
        return None
    caller = scenario.traffic.ordinary[0 if which < threshold(0.9) else 1]
    sigma = caller.rate_sigma
    gap = DAY_US / caller.attempts_per_day / exp_of(sigma * normal_quantile(unit(who)) - sigma * sigma / 2)
    begin = at = min(begins for begins, _ in held.values())
    subscribers, names = scenario.population.subscribers // world.scale, [c.id for c in scenario.population.carriers]
    made = caught = n = 0
    first = None
    while True:
        n += 1
        words = draw(*key, stream ^ salt, index, (generation << 32) + n)
        at += int(-log_of(unit(words[0])) * gap) + 1
        if at >= min(max(ends for _, ends in held.values()), begin + 365 * DAY_US):
            break
        b_number = subscriber_number(index_below(words[1], words[2], subscribers), world.scale)
        if caller.contacts and words[3] >= threshold(caller.stranger_ratio):
            b_number = contact_of(known_by, index, caller.contacts, words[1], subscribers, world.scale)
        carrier = names[int(world.carriers()[int(mix64(np.uint64(b_number))) >> 56])]
        there = [p for p in lists if p.id in held and held[p.id][0] <= at < held[p.id][1] and caller.entry in p.entries]
        made += bool(there)
        hit = any(
            (not p.carriers or carrier in p.carriers)
            and int(mix64(np.uint64(int(b_number) ^ stream_id(f"adoption/{p.id}")))) >> 32 < threshold(p.adoption_ratio)
            for p in there
        )
        caught += hit
        if hit and first is None:
            first = at
            for p in [p for p in lists if p.id in held]:
                begins, ends = held[p.id]
                word = draw(*key, stream ^ stream_id(f"unblock/{p.id}"), index, generation)[0]
                held[p.id] = (begins, min(ends, at + _delay(p.unblock, word)))
            held = {name: (begins, ends) for name, (begins, ends) in held.items() if begins < ends and ends >= at}
            if not held:
                break
    until = max((ends for _, ends in held.values()), default=first)
    return [1, int(first is not None), made, caught, 0 if first is None else until - first]


def found_of(world: World, n: int = 600) -> tuple[WronglyListed, np.ndarray, np.ndarray]:
    """Hand over some numbers of many lines."""
    words = np.zeros(n, WORD)
    lines = world.population.lines
    words["line"] = np.arange(n) % int((~world.population.ordinary[lines["group"]]).sum())
    words["generation"] = np.arange(n) // 7
    words["stream"] = world.population.groups["police_stream"][lines["group"][words["line"]]]
    words["index"] = lines["index"][words["line"]]
    known = np.arange(n) * 977_000_000
    found = world.wrongly_listed()
    assert found is not None
    found.hand_over(words, known)
    return found, words, known


def test_columns_find_the_same_people_as_one_by_one(minimal: Scenario) -> None:
    world = World(erring(minimal), 3, 1_000_000, 3)
    found, words, known = found_of(world)
    police, key = world.scenario.police, world.key
    for kind, there in enumerate((falsely_handed_over(police, words, key), recycled(police, words, key))):
        wanted = [one_by_one(world, words[k], int(known[k]), kind) for k in np.flatnonzero(there)]
        people = [one for one in wanted if one is not None]
        assert 50 < len(people) <= there.sum()
        assert found.counted[:, :, kind].sum(axis=(0, 1)).tolist() == np.sum(people, axis=0).tolist()
        hours = [one[4] // HOUR_US for one in people if one[1]]
        assert found.hours[kind].tolist() == np.bincount(hours, minlength=HOURS + 1).tolist()


def test_a_person_is_the_same_whatever_else_is_handed_over(minimal: Scenario) -> None:
    world = World(erring(minimal), 3, 1_000_000, 3)
    whole, words, known = found_of(world)
    parts = world.wrongly_listed()
    assert parts is not None
    for part in np.array_split(np.arange(len(words))[::-1], 13):
        parts.hand_over(words[part], known[part])
    assert (parts.counted == whole.counted).all()
    assert (parts.hours == whole.hours).all()


def test_who_never_reaches_a_protected_subscriber_is_not_cut_off(minimal: Scenario) -> None:
    changes = {f"policies.{p}.adoption_ratio": 0.0 for p in ("reject-listed-numbers", "late")}
    found, _, _ = found_of(World(erring(minimal, **changes), 3, 1_000_000, 3), 60)
    total = found.counted.sum(axis=(0, 1))
    assert total[:, LISTED].min() > 0
    assert total[:, CUT_OFF].tolist() == total[:, INTERCEPTED].tolist() == [0, 0]


def test_expiry_before_the_end_of_quarantine_spares_those_who_are_given_the_number(minimal: Scenario) -> None:
    found, _, _ = found_of(World(erring(minimal, **{"police.quarantine": "10d"}), 3, 1_000_000, 3))
    assert found.counted.sum(axis=(0, 1))[1, LISTED] == 0
    assert found.counted.sum(axis=(0, 1))[0, LISTED] > 0


def test_numbers_from_abroad_are_not_given_to_ordinary_people(minimal: Scenario) -> None:
    abroad = {f"traffic.lines.{name}.entry": "international-gateway" for name in ("calls", "messages")}
    found, _, _ = found_of(World(erring(minimal, **abroad), 3, 1_000_000, 3))
    assert found.counted.sum(axis=(0, 1))[:, LISTED].tolist()[1] == 0


def test_both_engines_count_the_same_people_and_tell_of_them(
    minimal: Scenario, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = erring(minimal, **{"police.voice_complaint_ratio": 0.5})
    fast = run(scenario, scale=2000, days=3)
    assert run(scenario, scale=2000, days=3, engine="reference").digest == fast.digest
    assert fast.metrics["recycled numbers.people cut off"] > 10
    people = fast.estimate("recycled numbers.people cut off")
    assert people.low < people.value < people.high
    hours = fast.estimate("recycled numbers.hours until unblocked, median")
    assert hours.low < hours.value < fast.estimate("recycled numbers.hours until unblocked, 95 %").value
    print_run(fast)
    printed = capsys.readouterr().out
    assert "Listed though they are no fraudsters" in printed
    assert "\n recycled" in printed


def test_switching_them_on_changes_nothing_else(minimal: Scenario) -> None:
    scenario = erring(minimal)
    without = scenario.replace({"police.false_hand_over_ratio": 0.0, "police.recycled_ratio": 0.0})
    on, off = (run(s, scale=200_000, days=2) for s in (scenario, without))
    assert {k: v for k, v in on.metrics.items() if k.partition(".")[0] not in KINDS} == off.metrics
    assert not any(metric.partition(".")[0] in KINDS for metric in off.summary["metric"])


def test_where_nobody_is_met_the_estimate_is_a_bound(minimal: Scenario) -> None:
    world = World(erring(minimal), 3, 1_000_000, 3)
    found = world.wrongly_listed()
    assert found is not None
    lines, full = np.ones((50, len(world.population.groups)), np.int64), world.population.full_lines
    strata = np.diag(world.population.weights)
    told = {name: e for name, e, _, _ in wrongly_listed_estimates(found, lines, full, strata, 300, 1000)}
    assert (told["recycled numbers.people cut off"].value, told["recycled numbers.people cut off"].high) == (0, 3000)


def test_where_there_are_no_ordinary_callers_nobody_is_listed_wrongly(minimal: Scenario) -> None:
    assert World(minimal.replace({"police.recycled_ratio": 0.1}), 1, 100_000, 1).wrongly_listed() is None
