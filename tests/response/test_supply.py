"""Policies against supply: which lines a raid takes, when and where they are back, and what numbers cost."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import polars as pl
import pytest

import interceptsim as ics
from interceptsim.errors import ConfigurationError
from interceptsim.response.supply import changes_of
from interceptsim.scenario import Scenario
from interceptsim.traffic.raids import places_of
from interceptsim.traffic.records import NEVER
from interceptsim.units import DAY_US, HOUR_US
from interceptsim.world import World

RAID = {"id": "raid", "hub": "hub", "date": "2025-06-05", "taken_ratio": 0.4}
RAIDS = {"kind": "raid-hubs", "raids": [RAID], "returns_to": ["other"], "away": {"minimum": "2d", "mean": "1d"}}


@pytest.fixture
def raided(minimal: Scenario) -> Scenario:
    return with_raids(minimal)


def with_raids(scenario: Scenario, **changes: Any) -> Scenario:
    """A scenario with a second hub, whose first is raided."""
    tables = scenario.as_dict()
    other = {"id": "other", "place": "elsewhere", "country_code": 855, "fraud_types": {"dating": 1.0}}
    return Scenario.model_validate(
        {**tables, "hubs": [*tables["hubs"], other], "policies": [*tables["policies"], {**RAIDS, **changes}]}
    )


def lines_of(scenario: Scenario, scale: int = 100) -> np.ndarray:
    return World(scenario, 1, scale, 14).population.lines


def test_a_raid_takes_its_share_of_the_lines_and_part_of_them_are_back_after_a_time(raided):
    lines = lines_of(raided)
    taken = lines["away_us"] != NEVER
    back = lines["back_us"] != NEVER
    assert abs(taken.mean() - 0.4) < 4 * math.sqrt(0.24 / len(lines))
    assert abs(back[taken].mean() - 0.5) < 4 * math.sqrt(0.25 / taken.sum())
    assert not back[~taken].any()
    assert set(lines["away_us"][taken]) == {10 * DAY_US}  # 5 June is the eleventh day of the run
    away = (lines["back_us"] - lines["away_us"])[back] / DAY_US
    assert away.min() > 2
    assert abs(away.mean() - 3) < 4 / math.sqrt(back.sum())


def test_a_second_raid_takes_its_share_of_those_that_are_left(minimal):
    again = {**RAID, "id": "again", "date": "2025-06-09", "taken_ratio": 0.5}
    lines = lines_of(with_raids(minimal, raids=[RAID, again]))
    at = {day: float((lines["away_us"] == day * DAY_US).mean()) for day in (10, 14)}
    assert at[10] == (lines_of(with_raids(minimal))["away_us"] != NEVER).mean()
    assert abs(at[14] - 0.6 * 0.5) < 4 * math.sqrt(0.25 / len(lines))


def test_what_a_raid_takes_is_not_made_and_what_returns_is_made_elsewhere(raided):
    run = ics.run(raided, scale=1000)
    off = ics.run(raided.replace({"policies.raid-hubs.enabled": False}), scale=1000)
    latent = [name for name in run.metrics if name.endswith(".latent")]
    assert all(run.metrics[name] == off.metrics[name] > 0 for name in latent)
    made = run.daily.filter(pl.col("outcome") != "not made").group_by("hub", "date").agg(pl.col("count").sum())
    by_day = {(hub, date): count for hub, date, count in made.iter_rows()}
    before = by_day["hub", dt.date(2025, 6, 4)]
    assert by_day["hub", dt.date(2025, 6, 6)] < 0.75 * before
    assert ("other", dt.date(2025, 6, 6)) not in by_day
    assert by_day["other", dt.date(2025, 6, 14)] > 0.1 * before
    assert set(off.daily["hub"]) == {"hub"}


def test_a_raid_leaves_every_other_line_as_it_is(raided):
    changed = {"policies.raid-hubs.enabled": False}
    runs = [ics.run(one, scale=5000, record="all", days=10) for one in (raided, raided.replace(changed))]
    taken = np.flatnonzero(World(raided, 1, 5000, 10).population.lines["away_us"] != NEVER)
    kept = [run.decisions.filter(~pl.col("line_id").is_in(taken.tolist())) for run in runs]
    assert kept[0].equals(kept[1])
    raid_us = World(raided, 1, 5000, 10).epoch_us + 10 * DAY_US
    before = [run.decisions.filter(pl.col("time_us") < raid_us) for run in runs]
    assert before[0].equals(before[1])
    assert runs[0].decisions.height < runs[1].decisions.height


def test_a_line_that_is_away_makes_nothing_until_it_is_back(raided):
    world = World(raided, 1, 1000, 14)
    lines = world.population.lines
    found = ics.run(raided, scale=1000, record="all").decisions
    at = found["time_us"].to_numpy() - world.epoch_us
    line = lines[found["line_id"].to_numpy()]
    assert not ((line["away_us"] <= at) & (at < line["back_us"])).any()
    assert (at >= line["back_us"]).any()


def test_the_first_day_of_a_figure_is_the_day_of_a_raid(minimal):
    figure = {"id": "raid", "hub": "hub", "figure": "myawaddy_repatriated_dec_2025", "taken_ratio": 0.4}
    [raid] = changes_of(with_raids(minimal, raids=[figure]).policies, dt.date(2025, 12, 1)).raids
    assert (raid.date, raid.at_us) == (dt.date(2025, 12, 15), 14 * DAY_US)


def test_raids_before_the_run_are_part_of_its_volume(raided):
    assert changes_of(raided.policies, dt.date(2025, 6, 5)).raids == ()
    assert len(changes_of(raided.policies, dt.date(2025, 6, 4)).raids) == 1


def test_the_places_of_a_hub_are_itself_and_where_raids_on_it_make_lines_go(minimal):
    again = {**RAID, "id": "again", "date": "2025-06-09"}
    changes = changes_of(with_raids(minimal, raids=[RAID, again]).policies, dt.date(2025, 6, 1))
    assert places_of("hub", changes.raids_on("hub")) == ("hub", "other")
    assert places_of("other", changes.raids_on("other")) == ("other",)


CALM = {
    "policies.reject-listed-numbers.enabled": False,
    "traffic.sms.latent": "0/year",
    "traffic.lines.calls.attempts_per_day": 400,
    "traffic.lines.calls.number_life": {"mean": "2d"},
    "traffic.lines.calls.resupply": {"mean": "12h"},
    "period.warm_up": "20d",
}
"""Numbers that only wear out, on lines that call so often that hardly one comes and goes unseen."""


def cost(scenario: Scenario, scale: int = 50) -> tuple[float, float]:
    """Return numbers bought a line-day and the share of line-time without a number."""
    run = ics.run(scenario, scale=scale)
    lines = len(World(scenario, 1, scale, 14).population.lines) * 14
    return run.metrics["voice.numbers bought"] / lines, run.metrics["voice.idle (us)"] / lines / DAY_US


def test_numbers_bought_and_idle_lines_are_those_of_a_renewal_process(minimal):
    bought, idle = cost(minimal.replace(CALM))
    assert bought == pytest.approx(1 / 2.5, rel=0.06)
    assert idle == pytest.approx(0.5 / 2.5, rel=0.06)


def test_slow_replacements_cost_lines_their_time(minimal):
    tables = minimal.replace(CALM).as_dict()
    restrict = {"kind": "restrict-sim-supply", "since": "2025-05-10", "slower": 4, "lines": ["calls"]}
    slow = Scenario.model_validate({**tables, "policies": [*tables["policies"], restrict]})
    bought, idle = cost(slow)
    assert bought == pytest.approx(1 / 4, rel=0.08)
    assert idle == pytest.approx(2 / 4, rel=0.08)
    assert cost(slow.replace({"policies.restrict-sim-supply.since": "2026-01-01"})) == cost(minimal.replace(CALM))
    assert cost(slow.replace({"policies.restrict-sim-supply.lines": ["messages"]})) == cost(minimal.replace(CALM))


def test_only_numbers_that_die_from_the_day_on_are_slow_to_be_replaced(minimal):
    tables = minimal.replace({**CALM, "period.warm_up": "0d", "traffic.lines.calls.resupply": "1h"}).as_dict()
    restrict = {"kind": "restrict-sim-supply", "since": "2025-06-09", "slower": 5}
    scenario = Scenario.model_validate({**tables, "policies": [*tables["policies"], restrict]})
    found = ics.run(scenario, scale=2000, record="all").decisions
    # a line's silence is no shorter than its resupply, and 1 h or 5 h long where it calls all day
    gaps = found.sort("line_id", "ordinal").with_columns(
        gap=pl.col("time_us").diff().over("line_id"),
        new=pl.col("a_number") != pl.col("a_number").shift().over("line_id"),
    )
    last = World(scenario, 1, 2000, 14).epoch_us + 7 * DAY_US
    silent = gaps.filter("new").with_columns(slow=pl.col("time_us") - pl.col("gap") >= last)
    assert silent.filter("slow")["gap"].min() >= 5 * HOUR_US
    assert HOUR_US <= silent.filter(~pl.col("slow"))["gap"].min() < 2 * HOUR_US


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"raids": [{**RAID, "hub": "hubb"}]}, ["policies.raid-hubs.raids.raid.hub", "hubb", "'hub'"]),
        ({"returns_to": ["othr"]}, ["policies.raid-hubs.returns_to", "othr", "'other'"]),
        ({"returns_to": []}, ["returns_to", "returning_ratio"]),
        ({"raids": []}, ["raids"]),
        ({"raids": [RAID, {**RAID, "id": "again"}]}, ["raids.again", "raided twice on 2025-06-05"]),
        ({"raids": [RAID, {**RAID, "date": "2025-06-06"}]}, ["id 'raid' is used twice"]),
        ({"raids": [{**RAID, "figure": "myawaddy_repatriated_dec_2025"}]}, ["either 'date' or 'figure'"]),
        ({"raids": [{"id": "raid", "hub": "hub", "taken_ratio": 0.1}]}, ["either 'date' or 'figure'"]),
        ({"raids": [{"id": "raid", "hub": "hub", "figure": "nothing", "taken_ratio": 0.1}]}, ["no figure 'nothing'"]),
        ({"raids": [{**RAID, "taken_ratio": 1.4}]}, ["taken_ratio"]),
        ({"kind": "restrict-sim-supply", "since": "2025-06-05", "raids": None}, ["raids"]),
    ],
)
def test_raids_that_do_not_fit_are_refused_by_name(minimal, changes, words):
    with pytest.raises((ConfigurationError, ValueError)) as refused:
        with_raids(minimal, **changes)
    assert all(word in str(refused.value) for word in words), str(refused.value)


def test_lines_are_restricted_once_at_most(minimal):
    tables = minimal.as_dict()
    two = [{"kind": "restrict-sim-supply", "id": name, "since": "2025-06-05"} for name in ("one", "two")]
    with pytest.raises(ConfigurationError, match="restricted by two policies"):
        Scenario.model_validate({**tables, "policies": [*tables["policies"], *two]})
    two[0]["lines"] = ["callz"]  # type: ignore[assignment]
    with pytest.raises(ConfigurationError, match="no group of lines 'callz'"):
        Scenario.model_validate({**tables, "policies": [*tables["policies"], two[0]]})
