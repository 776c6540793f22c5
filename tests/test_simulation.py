"""What a run must be: the same however it is computed, latent traffic the same under every policy."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptsim import simulation
from interceptsim.attempts import INTERCEPT, AttemptBatch
from interceptsim.errors import ConfigurationError
from interceptsim.filtering.outside import blocking
from interceptsim.filtering.plan import compile_filter
from interceptsim.filtering.rowwise import Attempt, RowFilter
from interceptsim.results import RunResult
from interceptsim.scenario import Scenario
from interceptsim.units import MINUTE_US
from interceptsim.world import World

SCALE = 20_000


def digest(scenario: Scenario, **options: Any) -> str:
    return simulation.run(scenario, **{"scale": SCALE, **options}).digest


@pytest.fixture(scope="module")
def whole(busy: Scenario) -> RunResult:
    return simulation.run(busy, scale=SCALE, record="all")


def test_a_second_run_and_recording_change_nothing(busy: Scenario, whole: RunResult) -> None:
    assert digest(busy) == whole.digest
    assert digest(busy, record="sample") == whole.digest


def test_threads_change_nothing(china: Scenario) -> None:
    short = china.replace({"period.warm_up": "2d"})
    assert len({digest(short, scale=200, days=1, threads=n) for n in (1, 2, 3)}) == 1


@given(st.integers(1, 29), st.integers(1, 300))
@settings(max_examples=15)
def test_no_admitted_slice_and_no_batch_changes_anything(busy, whole, minutes: int, batch_rows: int) -> None:
    assert digest(busy, slice_us=minutes * MINUTE_US + 7, batch_rows=batch_rows) == whole.digest


def test_batches_of_one_row_change_nothing(busy: Scenario, whole: RunResult) -> None:
    assert digest(busy, batch_rows=1) == whole.digest


def test_another_seed_gives_another_digest(busy: Scenario, whole: RunResult) -> None:
    assert digest(busy, seed=2) != whole.digest


def test_a_slice_beyond_the_least_delay_is_refused(busy: Scenario) -> None:
    with pytest.raises(ConfigurationError, match="slice: got '61min'"):
        simulation.run(busy, scale=SCALE, slice_us=61 * MINUTE_US)


@pytest.mark.parametrize(
    "option", [{"seed": -1}, {"seed": 2**64}, {"scale": 0}, {"days": 0}, {"days": 6}, {"threads": 0}]
)
def test_an_option_out_of_range_is_refused_by_name(busy: Scenario, option: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match=f"^{next(iter(option))}: got "):
        simulation.run(busy, **{"scale": SCALE, **option})


def latent(run: RunResult) -> pl.DataFrame:
    """Return the draws of every attempt made: whose, which, when, to whom, with what text."""
    assert run.decisions is not None
    return run.decisions.select("line_id", "ordinal", "time_us", "b_number", "text_score").sort("line_id", "ordinal")


def test_turning_a_policy_off_changes_no_latent_attempt(busy: Scenario, whole: RunResult) -> None:
    without = simulation.run(busy.replace({"policies.reject-listed-numbers.enabled": False}), scale=SCALE, record="all")
    assert without.metrics["voice.latent"] == whole.metrics["voice.latent"]
    assert without.metrics["sms.latent"] == whole.metrics["sms.latent"]
    assert without.digest != whole.digest
    both = latent(without).join(latent(whole), on=["line_id", "ordinal"])
    assert len(both) > 1000
    for column in ("time_us", "b_number"):
        assert (both[column] == both[f"{column}_right"]).all()


def test_adding_a_policy_that_draws_changes_no_other_draw(busy: Scenario, whole: RunResult) -> None:
    second = {
        "kind": "reject-listed-numbers",
        "id": "second-list",
        "adoption_ratio": 0.0,
        "delay": {"minimum": "100d", "mean": "1h"},
    }
    with_it = simulation.run(
        busy.replace({"policies": [*busy.as_dict()["policies"], second]}), scale=SCALE, record="all"
    )
    assert with_it.metrics["police.listed by second-list"] > 0
    assert latent(with_it).equals(latent(whole))
    assert whole.decisions is not None
    assert with_it.decisions is not None
    assert with_it.decisions["verdict"].equals(whole.decisions["verdict"])


def test_the_ratio_comes_out_of_the_rules_and_falls_with_the_delay_of_the_list(china: Scenario) -> None:
    short = china.replace({"period.end": "2025-01-20", "period.warm_up": "20d"})
    ratios = [
        simulation.run(short.replace({"policies.reject-listed-numbers.delay": delay}), scale=5000)
        .estimate("voice.interception ratio")
        .value
        for delay in ("1h", "1d", "3d", "10d")
    ]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] - ratios[-1] > 0.2


def test_recorded_attempts_stand_in_order_and_truth_apart(whole: RunResult) -> None:
    assert whole.decisions is not None
    assert whole.truth is not None
    assert whole.decisions.equals(whole.decisions.sort("time_us", "line_id", "ordinal"))
    assert not {"fraud_type", "hub", "campaign", "weight"} & set(whole.decisions.columns)
    assert set(whole.decisions["line_id"]) <= set(whole.truth["line_id"])
    assert whole.truth["fraud_type"].n_unique() > 5


def test_a_sample_holds_a_fiftieth_of_the_lines_whole(busy: Scenario) -> None:
    everything = simulation.run(busy, scale=5000, record="all").decisions
    sample = simulation.run(busy, scale=5000, record="sample").decisions
    assert everything is not None
    assert sample is not None
    first = np.flatnonzero(World(busy, 1, 5000, 5).population.lines["fold"] == 0)
    kept = everything.filter(pl.col("line_id").is_in(first))
    assert 0 < len(sample) < len(everything)
    assert sample.equals(kept)


@pytest.mark.slow
def test_a_run_decides_as_the_row_by_row_twin_where_no_list_is_posted(busy: Scenario) -> None:
    """Attempts of the whole run, warm-up left out, decided again one by one from what was recorded."""
    more = [
        {"kind": "reject-number-ranges", "intercept": ["+95"], "label": ["+8617"]},
        {"kind": "limit-fan-out", "per": "hour", "distinct": {"critical": 5}, "action": "observe"},
        {"kind": "limit-attempts", "id": "bucket", "window": "leaky-bucket", "per_hour": {"warn": 4}},
        {"kind": "reject-listed-links", "links": ["a.example"]},
        {"kind": "score-reputation", "weights": {"limit-fan-out": 0.5}, "text_weight": 0.5, "threshold": 0.7},
        {"kind": "label-suspected", "when": ["limit-fan-out", "score-text"]},
        {"kind": "match-expression", "sql": "roaming AND b_carrier = 1", "action": "label"},
    ]
    listed = {"policies": [*busy.as_dict()["policies"], *more], "period.warm_up": "0d"}
    changed = busy.replace(listed).replace({"policies.reject-listed-numbers.enabled": False})
    run = simulation.run(changed, scale=SCALE, record="all")
    assert run.decisions is not None
    assert set(run.decisions["reason"]) >= {"reject-number-ranges", "bucket", "score-reputation", "label-suspected"}
    chain = RowFilter(changed.policies)
    names = ["", *(p.id for p in blocking(changed.policies) if p.enabled)]
    verdicts = ("deliver", "label", "intercept")
    columns = [*(name for name in Attempt._fields if name in run.decisions.columns), "verdict", "reason"]
    for row in run.decisions.select(columns).iter_rows():
        verdict, reason, *_ = chain.decide(Attempt(*row[:-2]))
        assert (verdicts[verdict], names[reason]) == row[-2:]


def test_lines_that_present_one_number_share_what_is_counted_of_it(busy: Scenario) -> None:
    changed = busy.replace({"policies": [{"kind": "limit-attempts", "per_day": {"critical": 10}}]})
    run = simulation.run(changed, scale=500, days=1, record="all")
    assert run.decisions is not None
    calls = run.decisions.filter(pl.col("a_number") == 95588)
    assert calls[:10]["line_id"].n_unique() > 1
    assert (calls["verdict"][:10] == "deliver").all()
    assert (calls["verdict"][10:] == "intercept").all()


def test_every_random_number_presented_is_fresh(busy: Scenario) -> None:
    run = simulation.run(busy, scale=2000, days=2, record="all")
    assert run.decisions is not None
    assert run.truth is not None
    spoofed = run.decisions.filter(
        (pl.col("entry") == 0) & (pl.col("a_kind") == 1) & ~pl.col("roaming") & (pl.col("a_number") > 8630000000000)
    )
    assert len(spoofed) > 1000
    assert spoofed["a_number"].n_unique() == len(spoofed)


def test_numbers_are_used_by_one_line_from_birth_to_death(busy: Scenario) -> None:
    run = simulation.run(busy, scale=5000, record="all")
    assert run.decisions is not None
    owned = run.decisions.filter(pl.col("entry") == 2)
    by_number = owned.group_by("a_number").agg(pl.col("line_id").n_unique())
    assert by_number["line_id"].max() == 1
    spans = (
        owned.group_by("line_id", "a_number")
        .agg(first=pl.col("time_us").min(), last=pl.col("time_us").max())
        .sort("line_id", "first")
    )
    overlap = spans.filter(pl.col("line_id") == pl.col("line_id").shift(1)).height
    assert overlap > 100
    ordered = spans.with_columns(before=pl.col("last").shift(1).over("line_id")).drop_nulls()
    assert (ordered["first"] > ordered["before"]).all()


def test_numbers_that_outlive_any_run_never_die(minimal: Scenario) -> None:
    law = {"minimum": "70000d", "median": "70000d", "sigma": 4.0}
    changes = {"traffic.lines.calls.number_life": law, "traffic.lines.calls.resupply": "5d", "policies": []}
    run = simulation.run(minimal.replace({**changes, "period.warm_up": "0d"}), scale=SCALE)
    assert run.metrics["voice.not made"] == 0 < run.metrics["voice.made"]


def test_estimates_at_days_are_prorated_and_say_so(china: Scenario) -> None:
    run = simulation.run(china.replace({"period.warm_up": "1d"}), scale=50_000, days=73)
    assert [t.prorated for t in run.targets] == [True] * 4
    assert run.targets[0].reported == 3.6e9 * 73 / 365
    assert [t.prorated for t in simulation.run(china, scale=100_000).targets] == [False] * 4


def test_a_record_decided_again_by_its_chain_finds_the_same_short_calls(minimal: Scenario) -> None:
    short = {"shorter_than": "20s", "min_answered": 3, "critical": 0.6}
    rule = {"kind": "limit-fan-out", "short_calls": short}
    scenario = minimal.replace({"policies": [rule], "period.warm_up": "0d", "traffic.sms.latent": "0/day"})
    found = simulation.run(scenario, scale=2000, days=3, record="all")
    assert found.decisions is not None
    batch = AttemptBatch.from_frame(found.decisions)
    verdicts = found.decisions["verdict"].to_numpy() == "intercept"
    assert 0.05 < verdicts.mean() < 0.9
    assert not found.decisions.filter(verdict="intercept")["answered"].any()
    assert ((compile_filter(scenario.policies).decide(batch).verdict == INTERCEPT) == verdicts).all()
