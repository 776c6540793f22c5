"""How fraudsters react: which attempts a reaction changes, and that what they would try stays the same."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import interceptsim as ics
from interceptsim.errors import ConfigurationError
from interceptsim.scenario import Scenario
from interceptsim.units import HOUR_US
from interceptsim.world import World

MOVE = {
    "kind": "move-to-messages",
    "after": 2,
    "lasts": "8h",
    "text": {"mean": 0.5, "deviation": 0.1, "jitter": 0.05},
}
KEY = ["line_id", "ordinal"]


@pytest.fixture(scope="module")
def scenario(minimal: Scenario) -> Scenario:
    return minimal.replace(
        {"adaptations": [MOVE], "policies.limit-attempts.channels": ["voice"], "traffic.lines.calls.rate_sigma": 0.5}
    )


def decided(scenario: Scenario) -> pl.DataFrame:
    found = ics.run(scenario, scale=5000, days=10, record="all").decisions
    assert found is not None
    return found.filter(pl.col("line_id").is_in(calling(scenario).tolist()))


def calling(scenario: Scenario) -> np.ndarray:
    """The lines of calls."""
    return np.flatnonzero(World(scenario, 1, 5000, 10).population.lines["group"] == 0)


def test_an_attempt_is_a_call_or_a_message_at_the_same_time_to_the_same_person(scenario):
    moved, stayed = decided(scenario), decided(scenario.replace({"adaptations.move-to-messages.enabled": False}))
    assert set(stayed["channel"]) == {0}
    assert set(moved["channel"]) == {0, 1}
    assert moved.select(KEY).is_unique().all()
    both = moved.join(stayed, on=KEY, suffix="_stayed")
    assert both.height > 0.8 * stayed.height
    for name in ("time_us", "b_number", "entry", "b_carrier"):
        assert both[name].equals(both[f"{name}_stayed"], check_names=False)
    told = moved.with_columns(text=pl.col("text_score") != 0, content=pl.col("content") != 0)
    assert told.select((pl.col("content") == (pl.col("channel") == 1)).all()).item()


def test_a_line_sends_messages_from_the_second_intercepted_call_in_a_row_as_long_as_it_lasts(scenario):
    messages = 0
    for _, line in decided(scenario.replace({"period.warm_up": "0d"})).sort("ordinal").group_by("line_id"):
        in_a_row, until_us = 0, 0
        for time_us, channel, verdict in line.select("time_us", "channel", "verdict").iter_rows():
            assert (channel == 1) == (time_us < until_us)
            messages += channel
            if channel == 0:
                in_a_row = in_a_row + 1 if verdict == "intercept" else 0
                if in_a_row == 2:
                    in_a_row, until_us = 0, time_us + 8 * HOUR_US
    assert messages > 100


def test_latent_attempts_are_the_same_under_every_policy_and_each_is_made_at_most_once(scenario):
    lists = {"policies.reject-listed-numbers.enabled": False, "policies.limit-attempts.enabled": False}
    runs = [ics.run(one, scale=1000) for one in (scenario, scenario.replace(lists))]
    latent = [{name: n for name, n in run.metrics.items() if name.endswith("latent")} for run in runs]
    assert latent[0] == latent[1]
    assert runs[0].metrics["sms.made"] > runs[1].metrics["sms.made"]
    alone = ics.run(scenario.replace({"adaptations.move-to-messages.enabled": False}), scale=1000)
    assert latent[0]["voice.latent"] == alone.metrics["voice.latent"]
    assert latent[0]["sms.latent"] == alone.metrics["sms.latent"] + alone.metrics["voice.latent"]
    by_group = runs[0].daily.filter(pl.col("outcome") != "not made").group_by("line_group").agg(pl.col("count").sum())
    made = dict(by_group.iter_rows())
    assert made["calls"] + made["calls-messages"] <= latent[0]["voice.latent"]
    assert made["calls"] == runs[0].metrics["voice.made"]


def test_messages_of_lines_that_call_are_estimated_beside_those_of_other_lines(scenario):
    run = ics.run(scenario, scale=1000)
    weights = World(scenario, 1, 1000, 14).population.weights
    by_group = run.daily.filter(pl.col("outcome") == "intercepted").group_by("line_group").agg(pl.col("count").sum())
    counts = dict(by_group.iter_rows())
    expected = counts["messages"] * weights[1] + counts["calls-messages"] * weights[0]
    assert run.estimate("sms.intercepted").value == pytest.approx(expected, rel=0.1)
    assert run.estimate("sms.latent").value == pytest.approx(4e9 / 365 * 14, rel=1e-6)


def test_only_lines_that_call_under_numbers_of_their_own_can_move(minimal):
    with pytest.raises(ConfigurationError, match="no group of calls with own numbers 'messages'"):
        minimal.replace({"adaptations": [{**MOVE, "lines": ["messages"]}]})
    tables = minimal.as_dict()
    tables["traffic"]["lines"][1]["id"] = "calls-messages"
    with pytest.raises(ConfigurationError, match="is how the messages of 'calls' are named"):
        Scenario.model_validate({**tables, "adaptations": [MOVE]})
    assert Scenario.model_validate({**tables, "adaptations": [{**MOVE, "enabled": False}]})
