"""The editions of a list: who stands in which, and from when."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptsim.filtering.policies import RejectListedNumbers
from interceptsim.randomness import LONGEST_US, root_key
from interceptsim.response.police import WORD
from interceptsim.response.publication import Publication
from interceptsim.response.records import NEVER
from interceptsim.units import HOUR_US


def publication(**terms: object) -> Publication:
    policy = {"kind": "reject-listed-numbers", "delay": "1h", **terms}
    return Publication(RejectListedNumbers.model_validate(policy), root_key(1))


def words_of(lines: list[int]) -> np.ndarray:
    words = np.zeros(len(lines), WORD)
    words["line"] = words["index"] = lines
    words["stream"] = 7
    return words


@settings(max_examples=60)
@given(st.data())
def test_an_edition_holds_what_police_knew_before_it_and_each_number_at_its_soonest_time(data: st.DataObject) -> None:
    waiting = publication()
    known: dict[int, int] = {}
    order: list[int] = []  # of the words that hold
    published: list[int] = []
    for edition in range(1, 8):
        now = edition * HOUR_US
        for line in data.draw(st.lists(st.integers(0, 5), max_size=4, unique=True)):
            at = data.draw(st.integers(now - HOUR_US, 7 * HOUR_US - 1))
            was = known.get(line, NEVER)
            if line in published or at >= was:
                continue
            waiting.wait(words_of([line]), np.array([at]), np.array([was]))
            known[line] = at
            order = [other for other in order if other != line] + [line]
        found = waiting.publish(now)
        due = [line for line in order if known[line] < now and line not in published]
        assert found.words["line"].tolist() == due
        assert found.known_us.tolist() == [known[line] for line in due]
        assert (found.from_us == now + HOUR_US).all()
        assert (found.until_us == LONGEST_US).all()
        published += due
    assert sorted(published) == sorted(known)


def test_many_words_wait_in_the_order_in_which_they_came_and_gaps_are_used_again() -> None:
    waiting = publication()
    rng = np.random.default_rng(3)
    due: dict[int, list[int]] = {}
    for edition in range(1, 120):
        now = edition * HOUR_US
        lines = list(range(1000 * edition, 1000 * edition + int(rng.integers(0, 400))))
        known = now + rng.integers(-HOUR_US, 10 * HOUR_US, len(lines))
        waiting.wait(words_of(lines), known, np.full(len(lines), NEVER))
        for line, at in zip(lines, known.tolist(), strict=True):
            due.setdefault(max(at // HOUR_US + 1, edition), []).append(line)
        assert waiting.publish(now).words["line"].tolist() == due.pop(edition, [])
    assert len(waiting._words) < 6000  # 24,000 passed through, some 1,000 wait at a time


def test_a_number_that_police_know_sooner_within_one_edition_is_published_once() -> None:
    waiting = publication()
    waiting.wait(words_of([4, 5]), np.array([50, 60]), np.array([NEVER, NEVER]))
    waiting.wait(words_of([4]), np.array([20]), np.array([50]))
    found = waiting.publish(HOUR_US)
    assert (found.words["line"].tolist(), found.known_us.tolist()) == ([5, 4], [60, 20])
    assert len(waiting.publish(2 * HOUR_US).words) == 0


def test_some_numbers_are_taken_off_after_a_delay_of_their_own() -> None:
    terms = {"unblocked_ratio": 0.25, "unblock": {"minimum": "1h", "mean": "1d"}}
    waiting = publication(delay={"minimum": "1h", "mean": "2h"}, **terms)
    waiting.wait(words_of(list(range(4000))), np.zeros(4000, np.int64), np.full(4000, NEVER))
    found = waiting.publish(HOUR_US)
    off = found.until_us < LONGEST_US
    assert 0.22 < off.mean() < 0.28
    assert (found.from_us >= 2 * HOUR_US).all()
    stood = (found.until_us - found.from_us)[off] / HOUR_US
    assert stood.min() >= 1
    assert 21 < stood.mean() < 27
