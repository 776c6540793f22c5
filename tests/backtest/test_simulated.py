"""A simulated run's attempts are decided anew as they were: simulation and replay decide alike, row for row."""

import json
import shutil

import polars as pl
import pytest

import interceptsim as ics
from interceptsim.backtest.simulated import is_run

BUCKET = {
    "kind": "limit-attempts",
    "window": "leaky-bucket",
    "per_hour": {"warn": 2, "critical": 5},
    "per_day": {"critical": 30},
}


@pytest.fixture(scope="module")
def short(minimal):
    return minimal.replace({"period.end": "2025-06-05", "period.warm_up": "3d", "police.delay": "3h"})


def kept(scenario, folder, **options):
    run = ics.run(scenario, record="all", **options)
    run.save(folder)
    return run


def assert_same(folder, run, **options):
    found = ics.replay(folder, keep=True, **options)
    assert found.decisions is not None
    assert found.same == found.counts.decided == found.counts.read == run.decisions.height
    told = found.decisions.with_columns(pl.col("verdict", "reason").cast(pl.String))
    assert told.select("time_us", "a_number", "b_number", "verdict", "reason").equals(
        run.decisions.select("time_us", "a_number", "b_number", "verdict", "reason")
    )
    return found


@pytest.mark.parametrize("engine", ["columnar", "reference"])
def test_a_run_with_lists_and_windows_is_replayed_row_for_row(tmp_path, short, engine):
    run = kept(short, tmp_path / "run", scale=20_000, engine=engine)
    assert (run.warm_up, run.changes.height > 10) == (None, True)
    found = assert_same(tmp_path / "run", run, threads=2)
    matched = dict(found.rules.select("rule", "matched").rows())
    assert min(matched.values()) > 0
    assert found.rules["alone"].sum() > 0


def test_spoofed_numbers_ordinary_callers_and_carriers_are_replayed_row_for_row(tmp_path, busy):
    run = kept(busy.replace({"period.warm_up": "1d", "period.end": "2025-01-02"}), tmp_path / "run", scale=20_000)
    assert run.decisions["reason"].n_unique() > 3
    assert_same(tmp_path / "run", run)


@pytest.mark.parametrize("engine", ["columnar", "reference"])
def test_buckets_that_fill_in_the_warm_up_are_replayed_row_for_row(tmp_path, short, engine):
    policies = [BUCKET, {"kind": "reject-listed-numbers", "expires_after": "1d"}]
    run = kept(short.replace({"policies": policies}), tmp_path / "run", scale=20_000, engine=engine)
    assert run.warm_up.height > 100
    assert ics.open_run(tmp_path / "run").warm_up.equals(run.warm_up)
    assert_same(tmp_path / "run", run)
    (tmp_path / "run" / "warm_up.parquet").unlink()
    without = ics.replay(tmp_path / "run")
    assert without.same < without.counts.decided


def test_a_run_recorded_to_disk_is_the_same(tmp_path, short):
    scenario = short.replace({"policies": [BUCKET]})
    (tmp_path / "parts").mkdir()
    run = kept(scenario, tmp_path / "run", scale=20_000)
    ics.run(scenario, scale=20_000, record="all", record_folder=tmp_path / "parts")
    for name in ("warm_up", "decisions"):
        assert pl.read_parquet(tmp_path / "parts" / f"{name}.parquet").equals(getattr(run, name))


def test_another_chain_over_a_run_is_a_backtest_of_it(tmp_path, short):
    run = kept(short, tmp_path / "run", scale=20_000)
    found = ics.replay(tmp_path / "run", short.policies[1:], challenger=short.policies)
    assert found.fates is not None
    moved = found.fates.filter(pl.col("verdict") != pl.col("challenger"))["count"].sum()
    assert 0 < moved <= (run.decisions["reason"] == "reject-listed-numbers").sum()


def test_a_directory_without_attempts_or_a_damaged_one_is_told(tmp_path, short):
    ics.run(short, scale=100_000, days=1).save(tmp_path / "bare")
    assert is_run(tmp_path / "bare")
    with pytest.raises(ics.ResultsError, match="holds no attempts"):
        ics.replay(tmp_path / "bare")
    kept(short, tmp_path / "run", scale=100_000, days=1)
    shutil.copytree(tmp_path / "run", tmp_path / "cut")
    whole = (tmp_path / "cut" / "decisions.parquet").read_bytes()
    (tmp_path / "cut" / "decisions.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ics.ConfigurationError, match="damaged"):
        ics.replay(tmp_path / "cut")
    (tmp_path / "run" / "manifest.json").write_text(json.dumps({}))
    with pytest.raises(ics.ResultsError, match="damaged run"):
        ics.replay(tmp_path / "run")
