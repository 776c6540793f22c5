"""Calibration finds what was put in, says where it came from, and refuses what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from interceptsim import calibration, simulation
from interceptsim.errors import ConfigurationError
from interceptsim.scenario import Scenario
from interceptsim.scenario_files import load


@pytest.fixture(scope="module")
def target(minimal: Scenario) -> Scenario:
    """A scenario of four weeks whose one target is the reported figure of 2025, prorated."""
    entry = {
        "id": "voice",
        "figure": "calls_intercepted_2025",
        "channel": "voice",
        "interception_ratio": 0.25,
        "volume": "traffic.voice.latent",
        "strength": "policies.reject-listed-numbers.adoption_ratio",
        "low": 0.0,
        "high": 1.0,
    }
    return minimal.replace({"calibration": [entry]})


def test_the_solved_scenario_reaches_ratio_and_figure_with_other_seeds(target: Scenario) -> None:
    solved, [found] = calibration.calibrate(target, scale=200, seeds=2)
    assert abs(found.reached_ratio - 0.25) < 0.001
    assert solved.fitted == found.fitted()
    assert solved.lists[0].adoption_ratio == found.strength
    run = simulation.run(solved, seed=77, scale=200)
    assert abs(run.estimate("voice.interception ratio").value - 0.25) < 0.02
    assert abs(run.targets[0].ratio - 1) < 0.03


def test_a_ratio_out_of_reach_is_refused_with_what_can_be_reached(target: Scenario) -> None:
    out_of_reach = target.replace({"calibration.voice.interception_ratio": 0.99})
    with pytest.raises(ConfigurationError, match=r"calibration.voice: got 0.99; no strength from 0 to 1"):
        calibration.calibrate(out_of_reach, scale=1000, seeds=1)


def test_a_scenario_without_targets_is_refused(minimal: Scenario) -> None:
    with pytest.raises(ConfigurationError, match=r"no \[\[calibration\]\] entry"):
        calibration.calibrate(minimal)


FOUND = calibration.CalibrationResult(
    figure="calls_intercepted_2025",
    reported=3.6e9,
    interception_ratio=0.8,
    reached_ratio=0.8001,
    strength_path="policies.reject-listed-numbers.adoption_ratio",
    strength=0.5,
    volume_path="traffic.voice.latent",
    volume="1.5e+09/year",
)


@pytest.mark.parametrize("place", ["", "folder", "none/a.toml", "a" * 5000])
def test_fitted_values_that_cannot_be_written_leave_nothing(tmp_path: Path, monkeypatch, place: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        calibration.write_fitted("minimal", [FOUND], Path(place))
    assert list(tmp_path.rglob("*")) == [tmp_path / "folder"]


def test_fitted_values_are_written_at_the_end_and_read_back(tmp_path: Path) -> None:
    out = tmp_path / "fitted.toml"
    calibration.write_fitted("minimal", [FOUND], out)
    calibration.write_fitted(out, [FOUND], out)  # again: the old table goes
    scenario = load(out)
    assert scenario.traffic.voice.latent == 1.5e9
    assert scenario.lists[0].adoption_ratio == 0.5
    assert scenario.fitted["traffic.voice.latent"].figure == "calls_intercepted_2025"
    assert out.read_text("utf-8").count("[fitted.") == 2
    assert list(tmp_path.iterdir()) == [out]


def test_the_other_reading_of_the_window_of_2023_is_a_setting() -> None:
    china = load("china-2023")
    twelve = {"period.end": "2023-11-30", "calibration.voice.window_days": 365}
    run = simulation.run(china.replace(twelve), scale=100_000)
    calls, messages = run.targets
    assert (calls.reported, calls.prorated) == (2.75e9, False)
    assert (messages.reported, messages.prorated) == (2.28e9 * 365 / 396, True)
