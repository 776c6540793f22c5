"""Lines of ordinary callers: their rates, in bands of which the busiest are sampled densely."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from interceptsim.errors import ConfigurationError
from interceptsim.scenario import Scenario
from interceptsim.simulation import run
from interceptsim.traffic.bands import bands_of
from interceptsim.traffic.model import CallerGroup
from interceptsim.world import World

COURIERS: dict[str, Any] = {
    "id": "couriers",
    "channel": "voice",
    "lines": 1_000_000,
    "sample": 4000,
    "panel": "2d",
    "profile": "day",
    "attempts_per_day": 60,
    "rate_sigma": 0.5,
}
BUSIEST = {"shares": [0.05, 0.005], "samples": [400, 400]}
LIMIT = {"kind": "limit-attempts", "per_day": {"warn": 120, "critical": 200}}


def couriers_alone(minimal: Scenario, **changes: Any) -> Scenario:
    quiet = {"traffic.voice.latent": "1e5/year", "traffic.sms.latent": "0/day", "policies": [LIMIT]}
    return minimal.replace({**quiet, "traffic.ordinary": [{**COURIERS, **changes}]})


@given(
    sigma=st.floats(0.05, 2.5),
    shares=st.lists(st.floats(1e-6, 0.999), min_size=1, max_size=5, unique=True),
    scale=st.sampled_from([1, 1000, 50_000]),
)
@settings(max_examples=50)
def test_bands_make_up_all_lines_and_all_attempts(sigma: float, shares: list[float], scale: int) -> None:
    shares.sort(reverse=True)
    assume(all(later <= 0.999 * share for share, later in pairwise(shares)))
    busiest = {"shares": shares, "samples": [10] * len(shares)}
    spec = CallerGroup.model_validate({**COURIERS, "rate_sigma": sigma, "busiest": busiest})
    bands = bands_of(spec, 1.0, scale)
    assert sum(band.lines for band in bands) == pytest.approx(1_000_000)
    assert sum(band.lines * band.attempts_per_day for band in bands) == pytest.approx(60_000_000)
    assert [band.attempts_per_day for band in bands] == sorted(band.attempts_per_day for band in bands)
    assert all(0 < band.kept <= band.lines + 1 for band in bands)


def test_lines_have_the_rates_of_their_band(minimal: Scenario) -> None:
    world = World(couriers_alone(minimal, busiest=BUSIEST), 1, 1000, 4)
    lines, groups = world.population.lines, world.population.groups
    per_day = world.calendar.week[0] / 7 / lines["gap"]
    whole = 0.0
    bands = bands_of(world.scenario.traffic.ordinary[0], 1.0, 1000)
    ordinary = np.flatnonzero(groups["ordinary"])
    assert [int(world.population.kept_lines[g]) for g in ordinary] == [4000, 400, 400]
    for g, band in zip(ordinary, bands, strict=True):
        mean = per_day[lines["group"] == g].mean()
        assert mean == pytest.approx(band.attempts_per_day, rel=0.03)
        whole += band.lines * mean
    assert whole == pytest.approx(60e6, rel=0.01)
    numbers = lines["a_number"][np.isin(lines["group"], ordinary)]
    assert len(np.unique(numbers)) == 4800


def test_dense_and_even_samples_estimate_the_same_and_the_dense_one_closer(minimal: Scenario) -> None:
    even = run(couriers_alone(minimal, sample=6000), days=4)
    dense = run(couriers_alone(minimal, sample=1000, busiest=BUSIEST), days=4)
    assert dense.metrics["couriers.made"] < even.metrics["couriers.made"]
    for metric in ("couriers.intercepted", "couriers.labelled", "couriers.numbers cut off on a day"):
        wide, narrow = even.estimate(metric), dense.estimate(metric)
        assert max(wide.low, narrow.low) <= min(wide.high, narrow.high), metric
    wide, narrow = even.estimate("couriers.intercepted"), dense.estimate("couriers.intercepted")
    assert narrow.high - narrow.value < 0.5 * (wide.high - wide.value)
    assert dense.estimate("couriers.latent").value == pytest.approx(even.estimate("couriers.latent").value)


def test_where_nobody_is_hit_the_bound_is_that_of_the_lines_that_stand_for_most(minimal: Scenario) -> None:
    found = run(couriers_alone(minimal, sample=100, busiest=BUSIEST).replace({"policies": []}), days=4)
    bands = bands_of(found.scenario.traffic.ordinary[0], 1.0, 1000)
    widest = max(band.lines * band.attempts_per_day / band.kept for band in bands)
    assert found.estimate("couriers.intercepted").high == pytest.approx(3 * 4 * widest, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"busiest": {"shares": [0.1, 0.2], "samples": [5, 5]}}, "fall from one to the next"),
        ({"busiest": {"shares": [1.0], "samples": [5]}}, "less than 1"),
        ({"busiest": BUSIEST, "rate_sigma": 0}, "'rate_sigma' is 0"),
    ],
)
def test_busiest_lines_that_cannot_be_are_refused(minimal: Scenario, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        couriers_alone(minimal, **changes)
