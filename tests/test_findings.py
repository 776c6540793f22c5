"""What a run found: metrics, estimates and frames of one tally say the same."""

from __future__ import annotations

import numpy as np
import polars as pl

from interceptsim.findings import Findings
from interceptsim.scenario import Scenario
from interceptsim.simulation import run
from interceptsim.world import Accounts, Tally, World


def nothing_of(scenario: Scenario, scale: int) -> Findings:
    world = World(scenario, 1, scale, 1)
    totals = Accounts.empty(len(world.population.cells), len(world.population.groups), len(world.core.rules))
    daily = np.zeros((1, *totals.daily.shape), np.int64)
    return Findings(world, Tally(totals, daily, 0, 0, {}, [], {}, None, None))


def test_the_daily_frame_adds_up_to_the_metrics(minimal: Scenario) -> None:
    found = run(minimal, scale=1000, days=3)
    assert found.daily["date"].n_unique() == 3
    for channel in ("voice", "sms"):
        there = found.daily.filter(pl.col("channel") == channel)
        assert there["count"].sum() == found.metrics[f"{channel}.latent"]
        for outcome in ("not made", "intercepted", "delivered" if channel == "sms" else "answered"):
            of = there.filter(pl.col("outcome") == outcome)["count"].sum()
            assert of == found.metrics[f"{channel}.{outcome}"]


def test_each_metric_of_rules_is_a_part_of_what_was_intercepted(minimal: Scenario) -> None:
    found = run(minimal, scale=1000, days=3)
    for channel in ("voice", "sms"):
        by_rule = [n for name, n in found.metrics.items() if name.startswith(f"{channel}.intercepted by ")]
        assert sum(by_rule) == found.metrics[f"{channel}.intercepted"] > 0


def test_where_nothing_happened_every_count_is_zero_and_every_interval_has_room(minimal: Scenario) -> None:
    nothing = nothing_of(minimal, 1000)
    assert set(nothing.metrics().values()) == {0}
    assert nothing.daily().height == 0
    assert nothing.changes().height == 0
    assert nothing.harm is None
    told = nothing.summary().filter(pl.col("metric").str.ends_with(".intercepted"))
    assert told.height == 2
    assert (told["value"] == 0).all()
    assert (told["high"] > 0).all()


def test_groups_of_few_lines_share_a_stratum_and_others_have_their_own(china: Scenario) -> None:
    fine, coarse = (nothing_of(china, scale) for scale in (1000, 1_000_000))
    assert coarse.strata.shape[1] < fine.strata.shape[1]
    for findings in (fine, coarse):
        assert (np.count_nonzero(findings.strata, axis=1) == 1).all()
        assert findings.strata.sum(axis=1).tolist() == findings.population.weights.tolist()
