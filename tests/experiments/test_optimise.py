"""Optimise: a front that is right, told with its noise, and the same for any number of workers."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import interceptsim as ics
from interceptsim.errors import ConfigurationError, ResultsError
from interceptsim.experiments.design import Design
from interceptsim.experiments.optimise import _beyond, _outcomes, _Search, _statuses
from interceptsim.experiments.study import Limit, Optimise

ADOPTION = "policies.reject-listed-numbers.adoption_ratio"
THRESHOLD = "policies.score-text.threshold"
AXES = {ADOPTION: {"low": 0.0, "high": 1.0}, THRESHOLD: [0.6, 0.8]}
AIMS = [{"metric": "voice.delivered"}, {"name": "cost", "weights": {ADOPTION: 2.0}}]
SMALL = {"scale": 10_000, "days": 4, "replications": 3, "batch": 6}


def aims(objectives, constraints=()):
    return Optimise.model_validate({"objectives": objectives, "constraints": constraints})


def search(minimal, store, executor, points=12, **options):
    design = {"points": points, "axes": AXES}
    return ics.optimise(minimal, design, store=store, executor=executor, **{"objectives": AIMS, **SMALL, **options})


@pytest.fixture(scope="module")
def found(minimal, tmp_path_factory):
    with ThreadPoolExecutor(1) as threads:
        return search(minimal, tmp_path_factory.mktemp("store"), threads)


# Whole


def test_the_front_is_of_points_that_no_other_is_better_than(found):
    rows = found.points.to_dicts()
    assert {"front"} <= {row["status"] for row in rows} <= {"front", "within noise", "beaten"}
    for row in rows:
        better = [
            other
            for other in rows
            if other["voice.delivered"] <= row["voice.delivered"]
            and other["cost"] <= row["cost"]
            and (other["voice.delivered"], other["cost"]) != (row["voice.delivered"], row["cost"])
        ]
        assert (row["status"] == "front") == (not better)
    assert found.front.height >= 3
    by_cost = found.front.sort("cost")
    assert by_cost["voice.delivered"].is_sorted(descending=True)


def test_objectives_have_intervals_over_replications_and_costs_that_are_certain_have_none(found):
    for row in found.points.to_dicts():
        assert row["cost"] == row["cost low"] == row["cost high"] == pytest.approx(2 * row[ADOPTION])
        assert row["voice.delivered low"] < row["voice.delivered"] < row["voice.delivered high"]
        values = found.sweep.estimates.filter(point=row["point"], metric="voice.delivered")
        assert row["voice.delivered"] == pytest.approx(values["value"][0])
        assert row["voice.delivered high"] == pytest.approx(values["high"][0])


def test_a_search_is_the_same_for_any_number_of_workers_and_makes_nothing_twice(found, minimal, tmp_path):
    with ThreadPoolExecutor(3) as threads:
        other = search(minimal, tmp_path, threads)
        assert other.points.equals(found.points)
        runs = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
        again = search(minimal, tmp_path, threads)
        assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()} == runs
        assert again.points.equals(found.points)
        elsewhere = ics.optimise(
            minimal,
            {"points": 12, "seed": 2, "axes": AXES},
            store=tmp_path,
            executor=threads,
            **{"objectives": AIMS, **SMALL},
        )
        assert not elsewhere.points.equals(found.points)


def test_a_search_comes_nearer_to_the_best_than_its_first_batch(minimal, tmp_path):
    aim = [{"name": "off", "weights": {"police.voice_complaint_ratio": 1.0}, "goal": "greatest"}]
    axes = {"police.voice_complaint_ratio": {"low": 0.0, "high": 1.0}}
    for sampler in ("nsga2", "tpe"):
        with ThreadPoolExecutor(2) as threads:
            tried = ics.optimise(
                *(minimal, {"points": 40, "axes": axes}),
                **{**SMALL, "replications": 1, "days": 1, "objectives": aim, "batch": 8, "sampler": sampler},
                store=tmp_path,
                executor=threads,
            )
        best = tried.points.sort("off", descending=True)
        assert best["status"][0] == "front"
        first = tried.points.filter(tried.points["point"] < 8)
        assert best["off"][0] > first["off"].max()


def test_points_beyond_a_constraint_are_not_admitted(minimal, tmp_path):
    with ThreadPoolExecutor(2) as threads:
        limited = search(minimal, tmp_path, threads, constraints=[{"axis": THRESHOLD, "at_most": 0.7}])
    assert set(limited.points.filter(status="not admitted")[THRESHOLD]) == {0.8}
    assert set(limited.front[THRESHOLD]) == {0.6}


def test_a_point_whose_runs_fail_is_told_and_the_search_goes_on(minimal, tmp_path):
    axes = {"policies.reject-listed-numbers.delay": ["1s", "2h"], ADOPTION: {"low": 0.0, "high": 1.0}}
    with ThreadPoolExecutor(1) as threads:
        partly = ics.optimise(
            minimal, {"points": 8, "axes": axes}, objectives=AIMS, store=tmp_path, executor=threads, **SMALL
        )
    assert set(partly.points.filter(status="failed")["policies.reject-listed-numbers.delay"]) == {"1s"}
    assert set(partly.front["policies.reject-listed-numbers.delay"]) == {"2h"}


# Parts


@given(st.integers(1, 3), st.integers(1, 9), st.integers(2, 4), st.randoms(use_true_random=False))
def test_statuses_are_those_that_a_loop_over_pairs_finds(objectives, points, replications, chance):
    outcomes = np.array(
        [
            [[chance.choice([0.0, 1.0, 2.0]) for _ in range(replications)] for _ in range(objectives)]
            for _ in range(points)
        ]
    )
    goals = [{"metric": f"m{n}", "goal": chance.choice(["least", "greatest"])} for n in range(objectives)]
    statuses = _statuses(aims(goals), outcomes)
    for place, status in enumerate(statuses):
        beaten = False
        for other in range(points):
            gains = []
            for n, goal in enumerate(goals):
                gap = outcomes[other, n].mean() - outcomes[place, n].mean()
                gains.append(-gap if goal["goal"] == "least" else gap)
            beaten |= min(gains) >= 0 and max(gains) > 0
        assert (status == "front") == (not beaten)


def test_a_point_is_beaten_only_where_every_difference_is_beyond_its_interval():
    two = aims([{"metric": "a"}, {"metric": "b"}])
    best = [[1.0, 1.1, 0.9], [1.0, 1.1, 0.9]]
    doubtful = [[2.0, 2.1, 1.9], [1.0, 1.4, 0.9]]
    clear = [[2.0, 2.1, 1.9], [3.0, 3.1, 2.9]]
    assert _statuses(two, np.array([best, doubtful, clear])) == ["front", "within noise", "beaten"]
    alone = np.array([best, doubtful, clear])[:, :, :1]
    assert _statuses(two, alone) == ["front", "beaten", "beaten"]


def test_failed_and_forbidden_points_beat_nobody():
    limited = aims([{"metric": "a"}], [{"metric": "b", "at_most": 5.0}])
    outcomes = np.array([[[1.0, 1.0], [9.0, 9.0]], [[np.nan, 1.0], [1.0, 1.0]], [[3.0, 3.0], [1.0, 1.0]]])
    assert _statuses(limited, outcomes) == ["not admitted", "failed", "front"]


@pytest.mark.parametrize(
    ("limits", "value", "beyond"),
    [({"at_most": 5}, 7, 2), ({"at_most": 5}, 4, -1), ({"at_least": 5}, 4, 1), ({"at_least": 1, "at_most": 2}, 3, 1)],
)
def test_how_far_a_value_lies_beyond_its_limits(limits, value, beyond):
    assert _beyond(Limit(metric="a", **limits), value) == beyond


def test_a_search_asks_for_values_of_its_axes():
    searching = _Search(Design.of({"points": 8, "axes": {**AXES, "b": {"x": {"p": 1}, "y": {"p": 2}}}}), aims(AIMS))
    for point in searching.ask(6):
        assert 0 <= point[ADOPTION] <= 1
        assert point[THRESHOLD] in {0.6, 0.8}
        assert point["b"] in {"x", "y"}


# What does not fit


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"objectives": []}, "optimise: objectives"),
        ({"objectives": [{}]}, "wanted one of 'metric', 'axis' and 'weights'"),
        ({"objectives": [{"metric": "a", "axis": "b"}]}, "wanted one of 'metric', 'axis' and 'weights'"),
        ({"objectives": [{"metric": "voice.made"}] * 2}, "two outcomes are called 'voice.made'"),
        ({"objectives": [{"metric": "voice.mde"}]}, "no metric or axis 'voice.mde'; did you mean 'voice.made'"),
        ({"objectives": [{"axis": ADOPTION[:-1]}]}, f"no axis '{ADOPTION[:-1]}'; did you mean '{ADOPTION}'"),
        ({"constraints": [{"metric": "sms.made"}]}, "a constraint wants 'at_most' or 'at_least'"),
        ({"sampler": "nsga3"}, "optimise: sampler: got 'nsga3'"),
    ],
)
def test_a_mistake_in_what_is_wanted_is_told(minimal, tmp_path, options, told):
    with ThreadPoolExecutor(1) as threads, pytest.raises(ConfigurationError, match=told):
        search(minimal, tmp_path, threads, points=2, **options)


def test_an_axis_of_words_is_no_objective(minimal):
    axes = {"police.delay": ["2h", "1d"]}
    with (
        ThreadPoolExecutor(1) as threads,
        pytest.raises(ConfigurationError, match="got '2h'; wanted an axis of numbers"),
    ):
        ics.optimise(minimal, {"points": 2, "axes": axes}, objectives=[{"axis": "police.delay"}], executor=threads)


def test_a_search_of_which_no_point_gives_a_result_is_told(minimal, tmp_path):
    def failing(batch):
        return {}[len(batch)]

    with (
        ThreadPoolExecutor(1) as threads,
        pytest.raises(ResultsError, match="no point gave a result; the first error: KeyError"),
    ):
        search(minimal.with_policies([*minimal.policies, failing]), tmp_path, threads, points=2)


def test_a_search_without_optuna_is_told_with_the_extra(minimal, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with (
        ThreadPoolExecutor(1) as threads,
        pytest.raises(ConfigurationError, match=r"needs optuna.*'interceptsim\[optimise\]'"),
    ):
        search(minimal, tmp_path, threads)


def test_outcomes_of_points_that_lack_a_run_are_not_there(found, minimal):
    study = ics.Study(scenario=minimal, design=Design.of({"axes": AXES}), replications=4)
    outcomes = _outcomes(study, aims(AIMS), [{ADOPTION: 0.5, THRESHOLD: 0.6}] * 12, found.sweep)
    assert np.isnan(outcomes).all()
