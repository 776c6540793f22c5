"""Calibration finds what was put in, says where it came from, and refuses what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from interceptsim import calibration, simulation
from interceptsim.errors import ConfigurationError
from interceptsim.randomness import replication_seed
from interceptsim.scenario import Scenario
from interceptsim.scenario_files import load
from interceptsim.targets import Reported, parse_period


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
    calls, messages, *_ = run.targets
    assert (calls.reported, calls.prorated) == (2.75e9, False)
    assert (messages.reported, messages.prorated) == (2.28e9 * 365 / 396, True)


# Targets of one's own, residuals and predictions

MINE = Reported(id="mine", quantity="voice.intercepted", value=2e8, period="2025-06-02/2025-06-15")


def test_targets_of_ones_own_take_the_place_of_the_ledgers(target: Scenario) -> None:
    solved, [found] = calibration.calibrate(target, targets=[MINE], scale=1000, seeds=2)
    assert (found.figure, found.reported) == ("mine", 2e8)
    assert solved.fitted["traffic.voice.latent"].figure == "mine"
    frame = calibration.residuals(solved, [MINE], fitted=[found], scale=1000, seeds=8)
    [row] = frame.to_dicts()
    assert (row["role"], row["reported"], row["prorated"]) == ("fitted", 2e8, False)
    assert row["low"] < row["simulated"] < row["high"]
    assert row["residual"] == row["simulated"] - 2e8
    assert abs(row["ratio"] - 1) < 0.1


def test_an_entry_without_a_target_keeps_its_values(target: Scenario) -> None:
    messages = MINE.model_copy(update={"quantity": "sms.intercepted"})
    with pytest.raises(ConfigurationError, match=r"targets: none to fit to; wanted the quantity voice\.intercepted"):
        calibration.calibrate(target, targets=[messages], scale=10_000, seeds=1)


def test_residuals_are_of_seeds_that_no_fit_has_seen(minimal: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    run = simulation.run

    def noted(scenario: Scenario, **options: Any) -> Any:
        used.append(options["seed"])
        return run(scenario, **options)

    monkeypatch.setattr(calibration, "run", noted)
    calibration.residuals(minimal, [MINE], scale=10_000, seeds=3)
    fit = {replication_seed(calibration._ROOT, n) for n in range(100)}
    assert len(set(used)) == 3
    assert not fit & set(used)


def test_residuals_are_prorated_and_say_so(minimal: Scenario) -> None:
    year = MINE.model_copy(update={"period": parse_period(2025)})
    [row] = calibration.residuals(minimal, [year], scale=10_000, seeds=1).to_dicts()
    assert (row["reported"], row["prorated"]) == (pytest.approx(2e8 * 14 / 365), True)
    assert row["low"] < row["simulated"] < row["high"]


def test_a_quantity_that_runs_do_not_have_is_told_with_the_nearest(minimal: Scenario) -> None:
    wrong = MINE.model_copy(update={"quantity": "voice.interceptd"})
    with pytest.raises(
        ConfigurationError, match=r"no quantity 'voice.interceptd' in runs; did you mean 'voice.intercepted'"
    ):
        calibration.residuals(minimal, [wrong], scale=10_000, seeds=1)


def test_a_prediction_changes_volumes_alone_by_one_factor_and_meets_what_sets_it() -> None:
    china = load("china-2025").replace({"period.warm_up": "10d"})
    span = "2025-03-01/2025-03-14"
    calls = Reported(id="calls", quantity="voice.intercepted", value=5e7, period=span)
    messages = Reported(id="messages", quantity="sms.intercepted", value=7e7, period=span)
    there, factor, found = calibration.predict(china, [messages, calls], "calls", scale=2000, seeds=2)
    assert (there.period.start.isoformat(), there.period.days) == ("2025-03-01", 14)
    assert there.traffic.voice.latent == pytest.approx(china.traffic.voice.latent * factor, rel=1e-5)
    assert there.traffic.sms.latent == pytest.approx(china.traffic.sms.latent * factor, rel=1e-5)
    untouched = ("policies", "police", "hubs", "population")
    assert all(getattr(there, part) == getattr(china, part) for part in untouched)
    rows = {row["id"]: row for row in found.to_dicts()}
    assert (rows["calls"]["role"], rows["messages"]["role"]) == ("sets the volume", "predicted")
    assert rows["calls"]["ratio"] == pytest.approx(1, abs=0.05)
    assert not rows["calls"]["prorated"]


@pytest.mark.parametrize(
    ("targets", "by", "told"),
    [
        ([MINE], "mien", "predict: no target 'mien'; did you mean 'mine'"),
        ([MINE, MINE.model_copy(update={"id": "b", "period": parse_period(2025)})], "b", "targets of one period"),
    ],
)
def test_a_prediction_that_does_not_fit_is_refused(target: Scenario, targets: Any, by: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        calibration.predict(target, targets, by, scale=10_000, seeds=1)


def test_a_prediction_needs_volumes_and_something_to_count(minimal: Scenario, target: Scenario) -> None:
    with pytest.raises(ConfigurationError, match=r"has no \[\[calibration\]\] entry that names its volumes"):
        calibration.predict(minimal, [MINE], "mine", scale=10_000, seeds=1)
    nothing = target.replace(
        {"policies.reject-listed-numbers.enabled": False, "policies.limit-attempts.enabled": False}
    )
    with pytest.raises(ConfigurationError, match=r"nothing is counted of voice\.intercepted"):
        calibration.predict(nothing, [MINE], "mine", scale=10_000, seeds=1)


def test_an_entry_is_solved_where_its_values_were_fitted_under_its_ratio() -> None:
    china = load("china-2025")
    assert [calibration.is_solved(china, entry) for entry in china.calibration] == [True, True]
    other = china.replace({"calibration.voice.interception_ratio": 0.7})
    assert [calibration.is_solved(other, entry) for entry in other.calibration] == [False, True]
    wider = china.replace({"policies.reject-listed-numbers.adoption_ratio": 0.5})
    assert [calibration.is_solved(wider, entry) for entry in wider.calibration] == [False, True]
