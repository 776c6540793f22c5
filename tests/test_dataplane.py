"""The data plane: what is posted must lie ahead, and takes effect at its microsecond."""

from __future__ import annotations

import numpy as np
import pytest

from interceptsim.attempts import Rows
from interceptsim.dataplane import DataPlane
from interceptsim.dataplane_kernels import in_order
from interceptsim.errors import LookaheadError
from interceptsim.response.police import GIVEN_UP, WORD
from interceptsim.scenario import Scenario
from interceptsim.traffic.agenda import lines_due
from interceptsim.units import DAY_US, HOUR_US
from interceptsim.world import World

CALLS_ALONE = {
    "period.warm_up": "0d",
    "policies.limit-attempts.enabled": False,
    "traffic.sms.latent": "0/year",
    "police.voice_complaint_ratio": 0.0,
    "traffic.lines.calls.number_life": "3000d",
}
"""Settings under which lines of calls do nothing but call."""


@pytest.fixture
def world(minimal: Scenario) -> World:
    changes = {
        **CALLS_ALONE,
    }
    return World(minimal.replace(changes), 1, 10_000, 2)


def post(plane: DataPlane, line: int, generation: int, from_us: int) -> None:
    plane.post_listing(
        "reject-listed-numbers", np.array([line]), np.array([generation]), *np.array([[from_us], [2**62]])
    )


def decided(world: World, posts: dict[int, int], edges: list[int], generation: int = 0) -> dict[int, list[bool]]:
    """Run to the edges, posting {line: from_us} after the first; return by line whether each was intercepted."""
    found: dict[int, list[tuple[int, bool]]] = {}

    def record(rows: Rows, n: int) -> None:
        for r in range(n):
            found.setdefault(int(rows.line[r]), []).append((int(rows.time_us[r]) - world.epoch_us, rows.code[r] == 2))

    plane = DataPlane(world, record=record)
    for n, edge in enumerate(edges):
        plane.advance(edge)
        if n == 0:
            for line, from_us in posts.items():
                post(plane, line, generation, from_us)
    return {line: [bool(hit) for _, hit in sorted(rows)] for line, rows in found.items()} | {
        -1 - line: [t for t, _ in sorted(rows)] for line, rows in found.items()
    }


def test_a_listing_before_the_decided_edge_is_refused_and_at_the_edge_is_not(world: World) -> None:
    plane = DataPlane(world)
    plane.advance(HOUR_US)
    post(plane, 0, 0, HOUR_US)
    with pytest.raises(LookaheadError) as refused:
        post(plane, 0, 0, HOUR_US - 1)
    assert (refused.value.effect_us, refused.value.decided_us) == (HOUR_US - 1, HOUR_US)


def test_a_listing_holds_from_its_very_microsecond(world: World) -> None:
    times = decided(world, {}, [DAY_US])[-1]
    at = times[5]
    assert decided(world, {0: at}, [at - 1, DAY_US])[0] == [t >= at for t in times]
    assert decided(world, {0: at + 1}, [at - 1, DAY_US])[0] == [t > at for t in times]


def test_a_listing_of_a_number_that_the_line_has_no_longer_is_ignored(world: World) -> None:
    hits = decided(world, {0: 10 * HOUR_US}, [10 * HOUR_US, DAY_US], generation=1)[0]
    assert len(hits) > 10
    assert not any(hits)


def test_a_listed_number_is_given_up_after_the_notice(minimal: Scenario) -> None:
    changes = {
        **CALLS_ALONE,
        "traffic.lines.calls.notice": "2h",
        "traffic.lines.calls.resupply": "1h",
    }
    world = World(minimal.replace(changes), 1, 10_000, 2)
    listed = 10 * HOUR_US
    found = decided(world, {0: listed}, [listed - 1, DAY_US])
    for hit, t in zip(found[0], found[-1], strict=True):
        assert hit == (listed <= t < listed + 2 * HOUR_US)
        assert not listed + 2 * HOUR_US <= t < listed + 3 * HOUR_US


def test_only_the_first_complaint_of_a_number_is_given(minimal: Scenario) -> None:
    changes = {"period.warm_up": "0d", "police.voice_complaint_ratio": 1.0, "police.sms_complaint_ratio": 1.0}
    world = World(minimal.replace(changes), 1, 10_000, 2)
    plane = DataPlane(world, batch_rows=8)
    complaints = np.concatenate([plane.advance(edge) for edge in range(HOUR_US, 2 * DAY_US, HOUR_US)])
    keys = list(zip(complaints["line"].tolist(), complaints["generation"].tolist(), strict=True))
    assert len(keys) == len(set(keys)) > 10
    assert (np.diff(complaints["time_us"]) > 0).all()


def test_threads_are_used_where_a_slice_is_worth_sharing_out(minimal: Scenario) -> None:
    world = World(minimal, 1, 1000, 2)
    small, large = DataPlane(world, 2, slice_us=HOUR_US), DataPlane(World(minimal, 1, 10, 2), 2)
    assert [len(plane._workers) for plane in (small, large)] == [1, 2]
    large.close()


def test_an_agenda_holds_the_lines_that_are_due(world: World) -> None:
    due_us = world.population.lines["first_us"].copy()
    due_us[::3] = DAY_US
    due = lines_due(due_us, 1, len(due_us), DAY_US)
    assert due.tolist() == [i for i in range(1, len(due_us)) if due_us[i] < DAY_US]
    assert lines_due(due_us, 0, 0, DAY_US).tolist() == []


@pytest.mark.parametrize("many", [0, 1, 2, 3, 7, 64, 1000])
def test_words_are_heard_by_time_line_kind_and_ordinal_and_numbers_given_up_last(many: int) -> None:
    r = np.random.default_rng(many)
    words = np.zeros(many, WORD)
    for name, values in (("time_us", 9), ("line", 4), ("kind", 4), ("ordinal", 3)):
        words[name] = r.integers(0, values, many)
    words["index"] = np.arange(many)  # words alike in all of these stay as they came
    names = "time_us", "line", "kind", "ordinal", "index"
    keys = [(int(word["kind"] == GIVEN_UP), *(int(word[name]) for name in names)) for word in words]
    expected = [words[k].item() for _, k in sorted((key, k) for k, key in enumerate(keys))]
    assert in_order(words).tolist() == expected
