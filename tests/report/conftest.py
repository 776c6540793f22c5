"""A run with ordinary callers and a network, a comparison, a sweep and a search, small, made once for all tests."""

import dataclasses
import datetime as dt
import itertools

import polars as pl
import pytest

import interceptsim as ics

TYPES = ["brushing-rebate", "fake-investment", "<b>dating & more</b>"]
PROVINCES = ["guangdong", "inner-mongolia", "shaanxi", "tibet"]
MEASURES = {
    "engaged": 900,
    "warned": 500,
    "called": 90,
    "visited": 9,
    "dissuaded": 200,
    "paid": 40,
    "transferred_fen": 160_000_000,
    "held_fen": 30_000_000,
    "frozen_fen": 20_000_000,
    "returned_fen": 5_000_000,
}


def harm_frame():
    """Return a frame as runs with a response have, every measure in every cell."""
    cells = itertools.product(TYPES, PROVINCES, ["18-40", "41-65"], MEASURES.items())
    rows = [
        (dt.date(2025, 1, 1), kind, place, age, measure, count * (1 + n % 5), 1000.0)
        for n, (kind, place, age, (measure, count)) in enumerate(cells)
    ]
    columns = ["date", "fraud_type", "province", "age_band", "measure", "count", "weight"]
    return pl.DataFrame(rows, columns, orient="row")


def desks_frame():
    """Return a frame as runs with desks have."""
    waits = {"wait_mean_s": [90.0, 7200.0], "wait_p50_s": [60.0, 3600.0], "wait_p90_s": [240.0, 20_000.0]}
    jobs = {"jobs": [1000, 50], "served": [980, 40], "given_up": [20, 8], "waiting": [0, 2]}
    rest = {"wait_p99_s": [600.0, 90_000.0], "staff_hours": [100.0, 40.0], "busy_ratio": [0.7, 0.98]}
    return pl.DataFrame({"desk": ["96110", "visits"], "tier": ["medium", "high"], **jobs, **waits, **rest})


def with_response(run):
    """Return the run with frames of harm and desks by hand, and without estimates of what those count."""
    own = run.summary.filter(~pl.col("metric").str.contains(r"^(harm|response|desk)\b"))
    return dataclasses.replace(run, harm=harm_frame(), desks=desks_frame(), summary=own)


@pytest.fixture(scope="session")
def run():
    scenario = ics.load("china-2025").replace({"period.warm_up": "3d"})
    return ics.run(scenario, seed=1, scale=50_000, days=4)


@pytest.fixture(scope="session")
def harmed(run):
    return with_response(run)


@pytest.fixture(scope="session")
def compared(minimal):
    variants = {
        "list <in> 1 h": {"policies.reject-listed-numbers.delay": "1h"},
        "late": {"policies.reject-listed-numbers.delay": "2d"},
    }
    return ics.compare(minimal, variants, replications=3, scale=10_000, days=5)


@pytest.fixture(scope="session")
def swept(minimal, tmp_path_factory):
    """A grid of two axes with a variant."""
    axes = {"police.voice_complaint_ratio": [0.02, 0.1], "policies.reject-listed-numbers.delay": ["1h", "1d", "3d"]}
    return ics.sweep(
        minimal,
        axes,
        variants={"no list": {"policies.reject-listed-numbers.enabled": False}},
        metrics=["voice.interception ratio", "voice.delivered"],
        replications=2,
        scale=20_000,
        days=3,
        store=tmp_path_factory.mktemp("grid"),
        workers=1,
    )


@pytest.fixture(scope="session")
def searched(minimal, tmp_path_factory):
    """A search with two objectives, over three axes, one of them without effect."""
    adoption, complaints = "policies.reject-listed-numbers.adoption_ratio", "police.voice_complaint_ratio"
    return ics.optimise(
        minimal,
        {"axes": {adoption: {"low": 0.0, "high": 1.0}, complaints: {"low": 0.01, "high": 0.3}}, "points": 8},
        objectives=[{"metric": "voice.delivered"}, {"name": "effort", "weights": {adoption: 1.0, complaints: 4.0}}],
        metrics=["voice.delivered"],
        batch=4,
        replications=2,
        scale=20_000,
        days=3,
        store=tmp_path_factory.mktemp("search"),
        workers=1,
    )
