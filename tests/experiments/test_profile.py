"""Profiles: what is met under any ratio cannot tell the ratios apart, and leaves a band."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from interceptsim.errors import ConfigurationError
from interceptsim.experiments.profile import _is_met, profile

ENTRY = {
    "id": "voice",
    "figure": "calls_intercepted_2025",
    "channel": "voice",
    "interception_ratio": 0.25,
    "volume": "traffic.voice.latent",
    "strength": "policies.reject-listed-numbers.adoption_ratio",
    "low": 0.0,
    "high": 1.0,
}


@pytest.fixture(scope="module")
def found(minimal, tmp_path_factory):
    scenario = minimal.replace({"calibration": [ENTRY]})
    store = tmp_path_factory.mktemp("store")
    with ThreadPoolExecutor(2) as threads:
        return profile(scenario, [0.15, 0.31, 0.99], scale=500, replications=4, store=store, executor=threads)


def test_every_ratio_within_reach_meets_the_figure(found):
    rows = found.fits.to_dicts()
    assert [row["interception_ratio"] for row in rows] == [0.15, 0.25, 0.31, 0.99]
    assert [row["met"] for row in rows] == [True, True, True, False]
    assert all(row["low"] < row["ratio"] < row["high"] for row in rows[:3])
    assert "no strength from 0 to 1 gives the ratio" in rows[3]["error"]
    assert [row["ratio"] for row in rows[3:]] == [None]


def test_under_greater_ratios_the_strength_is_greater_and_the_volume_less(found):
    rows = found.fits.to_dicts()[:3]
    strengths = [row["strength"] for row in rows]
    volumes = [float(row["volume"].removesuffix("/year")) for row in rows]
    assert strengths == sorted(strengths)
    assert volumes == sorted(volumes, reverse=True)


def test_what_cannot_be_told_apart_is_named(found):
    [open_question] = found.not_told_apart()
    assert (open_question["low"], open_question["high"]) == (0.15, 0.31)
    assert open_question["paths"] == [
        *(
            "calibration.voice.interception_ratio",
            "policies.reject-listed-numbers.adoption_ratio",
            "traffic.voice.latent",
        )
    ]


def test_the_band_is_wide_where_the_ratio_matters_and_narrow_where_the_figure_stands(found):
    band = {row["metric"]: row for row in found.band.to_dicts()}
    ratio = band["voice.interception ratio"]
    assert ratio["low"] < 0.17 < ratio["value"] < 0.3 < ratio["high"]
    delivered, intercepted = band["voice.delivered"], band["voice.intercepted"]
    assert delivered["high"] > 2 * delivered["low"]
    assert intercepted["high"] < 1.35 * intercepted["low"]


@pytest.mark.parametrize(
    ("numbers", "met"),
    [((1.5, 0.9, 2.1), True), ((1.015, 1.01, 1.02), True), ((1.05, 1.04, 1.06), False), ((None, None, None), False)],
)
def test_a_figure_is_met_within_its_interval_or_two_per_cent(numbers, met):
    assert _is_met(*numbers) == met


def test_a_profile_needs_calibration_and_ratios(minimal, china):
    with pytest.raises(ConfigurationError, match=r"has no \[\[calibration\]\] entry to profile"):
        profile(minimal, [0.5])
    with pytest.raises(ConfigurationError, match=r"profile: got 1\.0; wanted interception ratios between 0 and 1"):
        profile(china, [0.5, 1.0])
