"""The reference engine by itself; that it finds what the columns find is in test_exactness.py."""

from __future__ import annotations

import numpy as np

from interceptsim.reference import Hours
from interceptsim.scenario import Scenario
from interceptsim.simulation import run
from interceptsim.traffic.model import Profile
from interceptsim.traffic.population import Calendar
from interceptsim.units import HOUR_US


def test_operational_time_passes_by_the_weight_of_the_hour() -> None:
    hours = Hours(Profile(id="p", hours=(0, 2, *[1] * 22)), first_weekday=0, hours=3, tick_us=1)
    assert hours.when(0) == HOUR_US
    assert hours.when(HOUR_US) == HOUR_US + HOUR_US // 2
    assert hours.when(2 * HOUR_US) == 2 * HOUR_US
    assert hours.when(3 * HOUR_US - 1) == 3 * HOUR_US - 1
    assert hours.when(3 * HOUR_US) is None


def test_hours_reach_what_the_calendar_of_the_columns_reaches(china: Scenario) -> None:
    for profile in china.traffic.profiles:
        calendar = Calendar.build([profile], 3, 24 * 9)
        hours = Hours(profile, first_weekday=3, hours=24 * 9, tick_us=1)
        assert np.array_equal(calendar.reached[0], hours._reached)
        assert calendar.week[0] == hours.week


def test_attempts_fall_on_multiples_of_the_tick(minimal: Scenario) -> None:
    coarse = minimal.replace({"traffic.tick": "1min", "period.warm_up": "0d"})
    found = run(coarse, scale=100_000, days=2, engine="reference", record="all").decisions
    assert found is not None
    assert found.height > 50
    assert (found["time_us"] % 60_000_000 == 0).all()


def test_a_reference_run_of_china_has_the_digest_of_the_columns(busy: Scenario) -> None:
    told: list[tuple[int, int, int]] = []
    slow = run(busy, scale=20_000, engine="reference", progress=lambda *at: told.append(at))
    fast = run(busy, scale=20_000)
    assert slow.engine == "reference"
    assert slow.digest == fast.digest
    assert slow.summary.equals(fast.summary)
    assert slow.daily.equals(fast.daily)
    assert slow.decisions is None
    assert told[-1] == (10, 10, slow.attempts)
