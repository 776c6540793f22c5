"""The control plane: what happens when, and in which order."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from interceptsim.control import ControlPlane
from interceptsim.randomness import root_key
from interceptsim.response.plane import Reports, Response
from interceptsim.response.police import WORD, hand_over_times
from interceptsim.response.records import NEVER
from interceptsim.scenario import Scenario
from interceptsim.units import HOUR_US


class Notebook:
    """A port that writes down what is posted."""

    def __init__(self) -> None:
        self.posts: list[tuple[int, str, list[int], list[int]]] = []
        self.clock = lambda: 0

    def post_listing(
        self,
        policy_id: str,
        line: NDArray[np.int64],
        generation: NDArray[np.int64],
        from_us: NDArray[np.int64],
        _until_us: NDArray[np.int64],
    ) -> None:
        assert len(line) == len(generation)
        self.posts.append((self.clock(), policy_id, line.tolist(), from_us.tolist()))

    def post_known(self, line: NDArray[np.int64], generation: NDArray[np.int64], _known_us: NDArray[np.int64]) -> None:
        assert len(line) == len(generation)

    def reached(self, line: NDArray[np.int64], _generation: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.zeros((len(line), 3), np.int64)


def plane_of(scenario: Scenario) -> tuple[ControlPlane, Notebook]:
    notebook = Notebook()
    control = ControlPlane(scenario, root_key(1), notebook)
    notebook.clock = lambda: int(control.env.now)
    return control, notebook


def complaint(time_us: int, line: int = 0) -> np.ndarray:
    word = np.zeros(1, WORD)
    word["time_us"], word["line"], word["stream"], word["index"] = time_us, line, 7, line
    return word


def quick(minimal: Scenario, **changes: object) -> Scenario:
    return minimal.replace({"police.delay": "1h", "policies.reject-listed-numbers.delay": "2h", **changes})


def test_a_number_is_listed_at_the_first_publication_after_police_know_it(minimal: Scenario) -> None:
    control, notebook = plane_of(quick(minimal))
    control.receive(complaint(30 * 60_000_000))
    control.run_until(5 * HOUR_US)
    assert notebook.posts == [(2 * HOUR_US, "reject-listed-numbers", [0], [4 * HOUR_US])]
    assert control.handed_over == 1
    assert control.listed == {"reject-listed-numbers": 1}


def test_what_police_learn_at_a_publication_waits_for_the_next(minimal: Scenario) -> None:
    control, notebook = plane_of(quick(minimal))
    control.receive(np.concatenate([complaint(HOUR_US - 1, 1), complaint(HOUR_US, 2)]))
    control.run_until(9 * HOUR_US)
    assert [(now, line) for now, _, line, _ in notebook.posts] == [(2 * HOUR_US, [1]), (3 * HOUR_US, [2])]


def test_the_clock_runs_up_to_the_edge_included(minimal: Scenario) -> None:
    control, notebook = plane_of(quick(minimal))
    control.receive(complaint(1))
    control.run_until(2 * HOUR_US - 1)
    assert notebook.posts == []
    control.run_until(2 * HOUR_US)
    assert len(notebook.posts) == 1


def test_two_lists_of_one_microsecond_are_published_in_the_order_of_the_chain(minimal: Scenario) -> None:
    for names in (("b", "a"), ("a", "b")):
        lists = [{"kind": "reject-listed-numbers", "id": name, "delay": "2h"} for name in names]
        control, notebook = plane_of(minimal.replace({"policies": lists, "police.delay": "1h"}))
        control.receive(complaint(1))
        control.run_until(3 * HOUR_US)
        assert [policy for _, policy, _, _ in notebook.posts] == list(names)


def test_a_delay_is_its_minimum_and_a_part_that_belongs_to_the_number(minimal: Scenario) -> None:
    many = np.concatenate([complaint(0, line) for line in range(2000)])
    police = minimal.police
    known = hand_over_times(police, many, root_key(1))
    assert (known >= 2 * HOUR_US).all()
    median = np.median(known) / HOUR_US
    assert 16.5 < median < 19.5  # 2h and a lognormal of median 16h
    mixed = np.random.default_rng(0).permutation(2000)
    assert (hand_over_times(police, many[mixed], root_key(1)) == known[mixed]).all()


def test_a_list_with_a_random_delay_posts_one_time_for_each_number(minimal: Scenario) -> None:
    scenario = quick(minimal, **{"policies.reject-listed-numbers.delay": {"minimum": "1h", "mean": "3h"}})
    control, notebook = plane_of(scenario)
    control.receive(np.concatenate([complaint(1, line) for line in range(50)]))
    control.run_until(3 * HOUR_US)
    [(now, _, lines, from_us)] = notebook.posts
    assert lines == list(range(50))
    assert min(from_us) >= now + HOUR_US
    assert len(set(from_us)) == 50


class Diary:
    """People who write down which steps they live through, and report a number in each."""

    every_us = HOUR_US

    def __init__(self) -> None:
        self.looked: list[int] = []
        self.lived: list[int] = []

    def look(self, now_us: int, _reached: object) -> tuple[list[int], list[int]]:
        self.looked.append(now_us)
        return [], []

    def advance(self, now_us: int, _over: list[int], _counts: list[int]) -> Reports:
        self.lived.append(now_us)
        return complaint(now_us, len(self.lived)), np.array([now_us + 2 * HOUR_US]), np.array([NEVER])

    def learn(self, words: np.ndarray) -> Reports:
        return words[:0], np.zeros(0, np.int64), np.zeros(0, np.int64)


def living(minimal: Scenario) -> tuple[ControlPlane, Diary]:
    diary = Diary()
    control = ControlPlane(quick(minimal), root_key(1), Notebook(), response=cast("Response", diary))
    return control, diary


def test_people_live_through_a_step_when_they_are_served_and_police_hear_of_it_later(minimal: Scenario) -> None:
    control, diary = living(minimal)
    control.run_until(HOUR_US)
    assert (diary.looked, diary.lived) == ([HOUR_US], [])
    control.serve()
    control.serve()
    assert (diary.lived, control.handed_over) == ([HOUR_US], 0)
    control.receive(np.zeros(0, WORD))
    assert control.handed_over == 1


def test_people_who_are_not_served_live_through_a_step_before_anything_else_happens(minimal: Scenario) -> None:
    control, diary = living(minimal)
    control.run_until(3 * HOUR_US)
    assert diary.lived == [HOUR_US, 2 * HOUR_US]
    control.receive(complaint(3 * HOUR_US))
    assert diary.lived == diary.looked == [HOUR_US, 2 * HOUR_US, 3 * HOUR_US]
    control.run_until(4 * HOUR_US)
    control.begin_counting()
    assert diary.lived == diary.looked
    assert control.handed_over == 0
