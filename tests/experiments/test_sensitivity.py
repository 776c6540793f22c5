"""Sensitivity: functions whose indices are known, noise that is told as noise, and runs made as in a sweep."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import interceptsim as ics
from interceptsim.errors import ConfigurationError, ResultsError
from interceptsim.experiments.design import Design
from interceptsim.experiments.sensitivity import (
    _morris,
    _morris_steps,
    _noise_variance,
    _rankings,
    _share,
    _sobol,
    sensitivity,
    steps_of,
)
from interceptsim.experiments.study import Sensitivity, Study

UNIT = {"low": 0.0, "high": 1.0}
REPORTS = "police.voice_complaint_ratio"
THRESHOLD = "policies.score-text.threshold"
AXES = {REPORTS: {"low": 0.005, "high": 0.6}, THRESHOLD: {"low": 0.5, "high": 0.9}}
SMALL = {
    "scale": 2_000,
    "days": 4,
    "replications": 3,
    "metrics": ["voice.interception ratio", "sms.interception ratio"],
}


def steps(method, axes, points, minimal):
    design = Design.of({"points": points, "axes": dict.fromkeys("abcdefgh"[:axes], UNIT)})
    return steps_of(Study(scenario=minimal, design=design, sensitivity=Sensitivity(method=method)))


# Morris


@given(st.integers(1, 6), st.integers(1, 12), st.sampled_from([4, 6, 8]), st.integers(0, 99))
def test_every_path_steps_once_along_every_axis_by_half_of_the_levels(axes, paths, levels, seed):
    found = _morris_steps(axes, paths, levels, seed)
    assert found.fractions.shape == (paths * (axes + 1), axes)
    assert found.fractions.min() >= 0
    assert found.fractions.max() <= 1
    for axis in range(axes):
        moved = found.fractions[found.after[:, axis]] - found.fractions[found.before[:, axis]]
        assert np.allclose(np.abs(moved[:, axis]), levels / 2 / (levels - 1))
        assert np.allclose(np.delete(moved, axis, axis=1), 0)


def test_the_importance_of_an_axis_of_a_linear_function_is_its_factor(minimal):
    walk = steps("morris", 3, 10, minimal)
    y = (walk.fractions @ [3.0, -0.5, 0.0])[:, None]
    for found, factor in zip(_morris(walk, y), (3.0, -0.5, 0.0), strict=True):
        importance, low, high, effect, spread, noise = found
        assert (importance, low, high) == pytest.approx((abs(factor),) * 3)
        assert effect == pytest.approx(factor)
        assert spread == pytest.approx(0, abs=1e-9)
        assert noise is None


def test_an_axis_that_turns_around_is_important_though_its_effects_cancel(minimal):
    walk = steps("morris", 2, 400, minimal)
    y = ((walk.fractions[:, 0] - 0.5) * np.sign(walk.fractions[:, 1] - 0.5))[:, None]
    importance, low, high, effect, spread, _ = _morris(walk, y)[0]
    assert importance == pytest.approx(1)
    assert abs(effect) < 0.15
    assert spread == pytest.approx(1, abs=0.05)
    assert low <= importance <= high


def test_noise_alone_comes_out_at_the_noise_floor(minimal):
    walk = steps("morris", 2, 300, minimal)
    rng = np.random.default_rng(1)
    y = rng.normal(0, 1, (len(walk.fractions), 4)) + 100 * rng.normal(
        0, 1, 4
    )  # each replication has a level of its own
    for importance, low, high, _, _, noise in _morris(walk, y):
        assert low < noise * 1.05
        assert noise * 0.95 < high
        assert noise == pytest.approx(importance, rel=0.12)


# Sobol


def test_sobol_indices_are_those_that_are_known_of_ishigamis_function(minimal):
    walk = steps("sobol", 3, 1024, minimal)
    x = (walk.fractions * 2 - 1) * math.pi
    y = (np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0]))[:, None]
    found = _sobol(walk, y, 1)
    known = ((0.3139, 0.5576), (0.4424, 0.4424), (0.0, 0.2437))
    for (first, first_low, first_high, total, total_low, total_high, noise), (s, t) in zip(found, known, strict=True):
        assert (first, total) == (pytest.approx(s, abs=0.03), pytest.approx(t, abs=0.03))
        assert first_low - 0.02 <= s <= first_high + 0.02
        assert total_low - 0.02 <= t <= total_high + 0.02
        assert noise is None
    assert found == _sobol(walk, y, 1)


def test_an_outcome_that_nothing_moves_has_indices_of_zero(minimal):
    walk = steps("sobol", 2, 8, minimal)
    assert _sobol(walk, np.full((len(walk.fractions), 2), 3.0), 1) == [(0.0,) * 7] * 2


def test_the_noise_of_means_is_what_replications_tell():
    rng = np.random.default_rng(2)
    y = rng.normal(0, 3, (2000, 5)) + rng.normal(0, 50, (2000, 1)) + rng.normal(0, 50, 5)
    assert _noise_variance(y) == pytest.approx(9 / 5, rel=0.05)


def test_a_sobol_study_wants_a_power_of_two(minimal):
    with pytest.raises(ConfigurationError, match=r"design.points: got 12; Sobol's method wants a power of two"):
        steps("sobol", 2, 12, minimal)


# Rankings


def test_rankings_change_where_the_order_of_variants_does(minimal):
    variants = {"one": {}, "two": {}}
    design = Design.of({"points": 50, "axes": {"a": UNIT, "b": UNIT}})
    study = Study(scenario=minimal, design=design, variants=variants, metrics=("m",))
    walk = steps_of(study)
    a, b = walk.fractions.T[:, :, None]
    crossing = {("minimal", "m"): 0 * a, ("one", "m"): a - 0.5, ("two", "m"): 5 + b}
    rows = {row["axis"]: row for row in _rankings(study, walk, crossing).to_dicts()}
    assert (rows["a"]["steps"], rows["a"]["changes"], rows["a"]["share"]) == (50, 50, 1.0)
    assert (rows["b"]["changes"], rows["b"]["low"]) == (0, pytest.approx(0))
    assert 0 < rows["b"]["high"] < 0.1
    assert _rankings(replace(study, variants={}), walk, crossing).is_empty()


def test_the_interval_of_a_share_is_wilsons():
    # Of 0 of 10: z^2 / (10 + z^2) = 0.2775; of 5 of 10 by the formula: 0.2366 to 0.7634.
    assert _share(0, 10) == pytest.approx((0, 0, 0.27753), abs=1e-5)
    assert _share(5, 10) == pytest.approx((0.5, 0.23659, 0.76341), abs=1e-5)


# Whole


def test_what_moves_calls_is_told_from_what_moves_messages_alone(minimal, tmp_path):
    with ThreadPoolExecutor(2) as threads:
        found = sensitivity(minimal, {"points": 6, "axes": AXES}, store=tmp_path, executor=threads, **SMALL)
        again = sensitivity(minimal, {"points": 6, "axes": AXES}, store=tmp_path, executor=threads, **SMALL)
    assert found.indices.equals(again.indices)
    rows = {(row["metric"], row["axis"]): row for row in found.indices.to_dicts()}
    assert len(rows) == 4
    calls = rows["voice.interception ratio", REPORTS]
    assert calls["low"] > calls["noise"] > 0
    assert calls["effect"] > 0
    nothing = rows["voice.interception ratio", THRESHOLD]
    assert (nothing["importance"], nothing["noise"]) == (0.0, 0.0)
    texts = rows["sms.interception ratio", THRESHOLD]
    assert texts["high"] > texts["low"] > 3 * texts["noise"]
    assert texts["effect"] < 0
    assert found.rankings.is_empty()
    assert found.as_json()["indices"] == found.indices.to_dicts()


@pytest.mark.slow
def test_sobols_shares_and_the_rankings_of_policies_come_from_the_same_runs(minimal, tmp_path):
    variants = {
        "no list": {"policies.reject-listed-numbers.enabled": False},
        "no text": {"policies.score-text.enabled": False},
    }
    with ThreadPoolExecutor(2) as threads:
        found = sensitivity(
            minimal,
            {"points": 8, "axes": AXES},
            method="sobol",
            variants=variants,
            store=tmp_path,
            executor=threads,
            **{**SMALL, "metrics": ["sms.delivered"]},
        )
    assert found.method == "sobol"
    assert set(found.indices["outcome"]) == {
        *("minimal", "no list", "no text", "no list minus minimal", "no text minus minimal")
    }
    [threshold] = found.indices.filter(outcome="no list", axis=THRESHOLD).to_dicts()
    assert threshold["total"] == pytest.approx(1, abs=0.35)
    assert threshold["total_low"] <= threshold["total"] <= threshold["total_high"]
    [reports] = found.indices.filter(outcome="no list", axis=REPORTS).to_dicts()
    assert (reports["first"], reports["total"]) == (0.0, 0.0)
    assert set(found.rankings["axis"]) == set(AXES)
    assert set(found.rankings["steps"]) == {8}


def test_a_run_that_failed_is_told_since_all_are_needed(minimal, tmp_path):
    def failing(batch):
        raise ValueError(f"no {len(batch) and 'more'}")

    scenario = minimal.with_policies([*minimal.policies, failing])
    with (
        ThreadPoolExecutor(1) as threads,
        pytest.raises(ResultsError, match="failed, and all are needed; the first: ValueError"),
    ):
        sensitivity(scenario, {"points": 2, "axes": {REPORTS: UNIT}}, store=tmp_path, executor=threads, **SMALL)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"method": "moris"}, "sensitivity: method: got 'moris'"),
        ({"levels": 5}, "sensitivity: levels: got 5"),
        ({"metrics": ["voice.deliverd"]}, "no metric 'voice.deliverd'; did you mean 'voice.delivered'"),
    ],
)
def test_what_does_not_fit_is_refused(minimal, tmp_path, options, told):
    small = {**SMALL, "replications": 1, **options}
    with ThreadPoolExecutor(1) as threads, pytest.raises(ConfigurationError, match=told):
        ics.sensitivity(minimal, {"points": 2, "axes": {REPORTS: UNIT}}, store=tmp_path, executor=threads, **small)


def test_more_runs_than_anybody_wants_are_refused(minimal):
    with pytest.raises(ConfigurationError, match="would take 1,200,000 runs"):
        steps("morris", 2, 100_000, minimal)
