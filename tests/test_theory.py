"""The simulator against theory: Poisson streams, renewal and Little's law, conservation, and whom it calls.

Draws are keyed, so every statistic here is one fixed number. Its bound is what a right simulator keeps for 999 seeds
in 1000; for what is estimated, four standard errors as theory gives them. Both engines are held to it, the reference
on a smaller world.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from interceptsim.attempts import CHANNELS, ENTRIES, LOCAL_OFFSET_US, OUTCOMES
from interceptsim.results import RunResult
from interceptsim.scenario import Scenario
from interceptsim.simulation import run
from interceptsim.units import DAY_US, HOUR_US, Delay

ENGINES = ("columnar", "reference")
PER_DAY = 50
DAYS = 14
LINES = {"columnar": 1000, "reference": 40}
FIRST = 500  # attempts of a line to look at: 14 days see 700 of them, and 500 in all but one case in 10**13

NORMAL = 3.29  # |z| of a standard normal for p = 0.001
KOLMOGOROV = 1.95  # the distance times sqrt(n) for p = 0.001


def chi_square(counts: NDArray[Any], expected: Any, freedom: int | None = None) -> float:
    """Return how far counts lie from what is expected, as a standard normal (Wilson and Hilferty, 1931)."""
    n = counts.size - 1 if freedom is None else freedom
    statistic = float(np.sum((counts - expected) ** 2 / expected))
    return ((statistic / n) ** (1 / 3) - (1 - 2 / (9 * n))) / math.sqrt(2 / (9 * n))


def distance_to_exponential(gaps: NDArray[Any], mean: float) -> float:
    """Return the Kolmogorov-Smirnov distance to the exponential law of a mean, times sqrt(n)."""
    law = -np.expm1(-np.sort(gaps, axis=None) / mean)
    steps = np.arange(law.size + 1) / law.size
    return float(max((steps[1:] - law).max(), (law - steps[:-1]).max()) * math.sqrt(law.size))


def decided(found: RunResult) -> pl.DataFrame:
    assert found.decisions is not None
    return found.decisions


def of_lines(minimal: Scenario, lines: int, **settings: Any) -> Scenario:
    """So many lines of calls at scale 1:1, alike, awake day and night, whose numbers outlive the run.

    Met in mid-life, one number in some thousands still dies within it; being replaced at once, it misses no attempt.
    """
    days, per_day = settings.pop("days", DAYS), settings.pop("per_day", PER_DAY)
    plain = {
        "period.end": minimal.period.start + dt.timedelta(days=days - 1),
        "period.warm_up": "0d",
        "policies": [],
        "traffic.sms.latent": "0/day",
        "traffic.voice.latent": f"{lines * per_day}/day",
        "traffic.lines.calls.attempts_per_day": per_day,
        "traffic.profiles.day.hours": [1] * 24,
        "traffic.lines.calls.number_life": "70000d",
        "traffic.lines.calls.resupply": "0s",
    }
    return minimal.replace({**plain, **settings})


@dataclass(frozen=True)
class Stream:
    """The first attempts of some lines.

    times   float64 (lines, FIRST)  us from the start of the run
    called  float64 (lines, FIRST)  place of the called number among the subscribers, 0 to 1
    counts  int64 (lines, DAYS)     attempts of each line and day
    """

    found: RunResult
    times: NDArray[np.float64]
    called: NDArray[np.float64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, scenario: Scenario, engine: str, lines: int) -> Stream:
        found = run(scenario, engine=engine, scale=1, record="all")
        assert found.metrics["voice.not made"] == 0
        start_us = (scenario.period.start - dt.date(1970, 1, 1)).days * DAY_US - LOCAL_OFFSET_US
        attempts = decided(found).sort("line_id", "ordinal").with_columns(pl.col("time_us") - start_us)
        counts = np.zeros((lines, found.days), np.int64)
        np.add.at(counts, (attempts["line_id"].to_numpy(), (attempts["time_us"] // DAY_US).to_numpy()), 1)
        first = attempts.filter(pl.col("ordinal") < FIRST)
        assert (first["ordinal"].to_numpy().reshape(lines, FIRST) == np.arange(FIRST)).all()
        called = (first["b_number"].to_numpy() - 8613000000000) / scenario.population.subscribers
        return cls(found, first["time_us"].to_numpy().reshape(lines, FIRST) / 1.0, called.reshape(lines, FIRST), counts)


@pytest.fixture(scope="module", params=ENGINES)
def flat(request: pytest.FixtureRequest, minimal: Scenario) -> Stream:
    lines = LINES[request.param]
    return Stream.of(of_lines(minimal, lines), request.param, lines)


def gaps_of(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the gaps before each attempt of each line, the first from the start of the run."""
    return np.diff(times, prepend=0.0)


def squares(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many pairs of numbers in [0, 1) fall into each of ten by ten squares."""
    return np.histogram2d(one.ravel(), other.ravel(), bins=10, range=((0, 1), (0, 1)))[0]


# Poisson streams.


def test_attempts_of_a_line_and_day_are_poisson(flat: Stream) -> None:
    counts = flat.counts.ravel()
    edges = [0, 41, 45, 48, 50, 52, 55, 59, 200]
    log_law = np.arange(200) * math.log(PER_DAY) - PER_DAY - np.array([math.lgamma(k + 1) for k in range(200)])
    expected = np.add.reduceat(np.exp(log_law), edges[:-1]) * counts.size
    assert abs(chi_square(np.histogram(counts, edges)[0], expected)) < NORMAL
    assert abs(chi_square(counts, PER_DAY, freedom=counts.size)) < NORMAL


def test_days_of_a_line_add_up_to_a_poisson_number(flat: Stream) -> None:
    whole = flat.counts.sum(axis=1)
    expected = whole.size * DAYS * PER_DAY
    assert abs(whole.sum() - expected) < NORMAL * math.sqrt(expected)
    assert abs(chi_square(whole, DAYS * PER_DAY, freedom=whole.size)) < NORMAL


def test_gaps_between_attempts_are_exponential_from_the_start_of_the_run_on(flat: Stream) -> None:
    assert distance_to_exponential(gaps_of(flat.times), DAY_US / PER_DAY) < KOLMOGOROV
    assert distance_to_exponential(flat.times[:, 0], DAY_US / PER_DAY) < KOLMOGOROV


@pytest.mark.parametrize("pair", ["a gap and the next", "a line and the next", "whom it calls and the gap behind"])
def test_attempts_are_independent(flat: Stream, pair: str) -> None:
    even = -np.expm1(-gaps_of(flat.times) * PER_DAY / DAY_US)  # uniform where gaps are exponential
    one, other = {
        "a gap and the next": (even[:, ::2], even[:, 1::2]),
        "a line and the next": (even[::2], even[1::2]),
        "whom it calls and the gap behind": (flat.called[:, :-1], even[:, 1:]),
    }[pair]
    assert abs(chi_square(squares(one, other), one.size / 100)) < NORMAL


@pytest.mark.parametrize("engine", ENGINES)
def test_gaps_are_exponential_in_the_operational_time_of_a_profile(minimal: Scenario, engine: str) -> None:
    lines = LINES[engine]
    hours, days = [0, 0, 0, 0, 0, 0, 0, 1, 4, 9, 7, 5, 1, 3, 3, 3, 2, 2, 1, 1, 0, 0, 3, 1], [5, 5, 4, 5, 6, 2, 0]
    changes = {"traffic.profiles.day.hours": hours, "traffic.profiles.day.days": days}
    stream = Stream.of(of_lines(minimal, lines, **changes), engine, lines)
    assert minimal.period.start.weekday() == 0
    weights = np.tile(np.outer(days, hours).ravel(), DAYS // 7)
    reached = np.concatenate([[0], np.cumsum(weights)]) * (DAYS / weights.sum())  # in mean days
    operational = np.interp(stream.times, np.arange(len(reached)) * HOUR_US, reached)
    assert distance_to_exponential(gaps_of(operational), 1 / PER_DAY) < KOLMOGOROV
    by_weekday = stream.counts.reshape(lines, -1, 7).sum(axis=(0, 1))
    awake = np.array(days) > 0
    assert (by_weekday[~awake] == 0).all()
    expected = lines * DAYS * PER_DAY * np.array(days) / sum(days)
    assert abs(chi_square(by_weekday[awake], expected[awake], freedom=int(awake.sum()))) < NORMAL


def test_attempts_follow_the_hours_of_the_profile(minimal: Scenario) -> None:
    found = decided(run(minimal.replace({"policies": []}), scale=500, record="all"))
    hour = ((found["time_us"] + LOCAL_OFFSET_US) // HOUR_US % 24).to_numpy()
    counts = np.bincount(hour, minlength=24)
    weights = np.array(minimal.traffic.profiles[0].hours)
    there = weights > 0
    assert (counts[~there] == 0).all()
    assert abs(chi_square(counts[there], counts.sum() * weights[there] / weights.sum())) < NORMAL


def test_lines_of_unlike_rates_make_as_many_attempts_as_alike_ones(minimal: Scenario) -> None:
    scenario = of_lines(minimal, 5000, days=1, **{"traffic.lines.calls.rate_sigma": 0.8})
    counts = decided(run(scenario, scale=1, record="all")).group_by("line_id").len()["len"].to_numpy()
    assert len(counts) > 4900
    of_mean = math.sqrt((PER_DAY + PER_DAY**2 * math.expm1(0.8**2)) / 5000)  # a mixture of Poisson laws
    assert abs(counts.sum() / 5000 - PER_DAY) < 4 * of_mean
    assert abs(np.log(np.maximum(counts, 1)).std() / math.sqrt(0.8**2 + 1 / PER_DAY) - 1) < 0.05


# Renewal of numbers, and Little's law.


def variance(law: Delay) -> float:
    """The variance of a delay in us squared."""
    if law.mean is not None:
        return float(law.mean) ** 2
    if law.median is not None and law.sigma is not None:
        return math.expm1(law.sigma**2) * math.exp(law.sigma**2) * float(law.median) ** 2
    return 0.0


LAWS: list[tuple[Any, Any]] = [
    ({"minimum": "12h", "mean": "12h"}, {"mean": "8h"}),
    ({"minimum": "6h", "median": "12h", "sigma": 0.8}, {"minimum": "1h", "median": "4h", "sigma": 1.0}),
    ("18h", "6h"),
]
"""How long numbers live and lines wait for the next; none so short that it passes without an attempt."""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("life", "resupply"), LAWS)
def test_numbers_die_and_come_as_the_alternating_renewal_of_life_and_resupply(
    minimal: Scenario, engine: str, life: Any, resupply: Any
) -> None:
    lines, days, per_day = {"columnar": (600, 40, 200), "reference": (20, 12, 100)}[engine]
    changes = {
        "period.warm_up": "8d",
        "traffic.lines.calls.number_life": life,
        "traffic.lines.calls.resupply": resupply,
    }
    scenario = of_lines(minimal, lines, days=days, per_day=per_day, **changes)
    metrics = run(scenario, engine=engine, scale=1).metrics
    group = scenario.traffic.lines[0]
    a, b = group.number_life.mean_us, group.resupply.mean_us
    var_a, var_b = variance(group.number_life), variance(group.resupply)
    span, per_us = days * DAY_US, per_day / DAY_US

    silent = metrics["voice.not made"] / metrics["voice.latent"]
    share = b / (a + b)
    of_share = (a * a * var_b + b * b * var_a) / ((a + b) ** 3 * span) + share * (1 - share) / (per_us * span)
    assert abs(silent - share) < 4 * math.sqrt(of_share / lines)

    # Little: lines awaiting resupply in the mean = numbers that begin in a time x mean resupply, attempts seeing both
    awaiting = metrics["voice.not made"] / per_us / span
    begun = metrics["voice.numbers"] / span
    of_awaiting = metrics["voice.numbers"] * var_b + metrics["voice.not made"] / per_us**2
    assert abs(awaiting - begun * b) < 4 * math.sqrt(of_awaiting) / span


@pytest.mark.parametrize("engine", ENGINES)
def test_as_many_numbers_are_listed_and_still_presented_as_little_says(minimal: Scenario, engine: str) -> None:
    lines, days, per_day = {"columnar": (400, 40, 200), "reference": (60, 20, 40)}[engine]
    changes = {
        "period.warm_up": "5d",
        "police.delay": "1h",
        "policies": [{"kind": "reject-listed-numbers", "delay": "1h"}],
        "traffic.lines.calls.notice": {"minimum": "2h", "mean": "10h"},
        "traffic.lines.calls.resupply": "1h",
    }
    scenario = of_lines(minimal, lines, days=days, per_day=per_day, **changes)
    metrics = run(scenario, engine=engine, scale=1).metrics
    notice = scenario.traffic.lines[0].notice
    span, per_us = days * DAY_US, per_day / DAY_US
    presented = metrics["voice.settled by reject-listed-numbers"] / per_us / span
    listings = metrics["police.listed by reject-listed-numbers"]
    of_presented = listings * variance(notice) + metrics["voice.intercepted"] / per_us**2
    assert metrics["voice.intercepted"] == metrics["voice.settled by reject-listed-numbers"] > 1000
    assert abs(presented - listings / span * notice.mean_us) < 4 * math.sqrt(of_presented) / span


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("life", [*({"mean": "1d"}, {"median": "16h", "sigma": 1.0}), *(life for life, _ in LAWS)])
def test_numbers_are_replaced_at_an_even_rate_from_the_first_day_on(minimal: Scenario, engine: str, life: Any) -> None:
    """A renewal process that starts in equilibrium renews, in the mean, once in a mean life from the beginning."""
    lines, days, per_day = {"columnar": (2000, 4, 100), "reference": (40, 2, 100)}[engine]
    scenario = of_lines(minimal, lines, days=days, per_day=per_day, **{"traffic.lines.calls.number_life": life})
    found = run(scenario, engine=engine, scale=1, record="all")
    attempts = decided(found).sort("line_id", "ordinal")
    before = pl.col("a_number").shift(1).over("line_id")
    fresh = attempts.filter(pl.col("a_number") != before).with_columns(date=local_date())
    begun = np.zeros((lines, days))
    day = (fresh["date"] - scenario.period.start).dt.total_days().to_numpy()
    np.add.at(begun, (fresh["line_id"].to_numpy(), day), 1)
    expected = DAY_US / scenario.traffic.lines[0].number_life.mean_us
    of_mean = begun.std(axis=0, ddof=1) / math.sqrt(lines)
    assert (abs(begun.mean(axis=0) - expected) < 4 * np.maximum(of_mean, 0.01)).all()


# Conservation.

KEYS = ("date", "channel", "entry", "hub")


def local_date() -> pl.Expr:
    return pl.from_epoch((pl.col("time_us") + LOCAL_OFFSET_US) // DAY_US, "d")


def by_place(found: RunResult, *outcomes: str) -> dict[tuple[Any, ...], int]:
    """Count the recorded attempts of some outcomes by day, channel, entry and hub."""
    assert found.truth is not None
    named = decided(found).filter(pl.col("outcome").is_in(outcomes)).join(found.truth, on="line_id")
    named = named.with_columns(
        date=local_date(),
        channel=pl.col("channel").replace_strict(dict(enumerate(CHANNELS))),
        entry=pl.col("entry").replace_strict(dict(enumerate(ENTRIES))),
    )
    return {tuple(row[:-1]): row[-1] for row in named.group_by(KEYS).len().iter_rows()}


def by_day(found: RunResult, *outcomes: str) -> dict[tuple[Any, ...], int]:
    """Sum the daily frame in the same way."""
    kept = found.daily.filter(pl.col("outcome").is_in(outcomes)).group_by(KEYS).agg(pl.col("count").sum())
    return {tuple(row[:-1]): row[-1] for row in kept.iter_rows()}


@pytest.mark.parametrize("engine", ENGINES)
def test_no_attempt_is_lost_or_made_up_between_latent_and_delivered(busy: Scenario, engine: str) -> None:
    """By day, channel, entry and hub; the latent attempts are those of lines that never wait for a number."""
    at_once = {f"traffic.lines.{group.id}.resupply": "0s" for group in busy.traffic.lines}
    whole, always = (
        run(scenario, engine=engine, scale=20_000, record="all") for scenario in (busy, busy.replace(at_once))
    )
    ends = OUTCOMES[2:]
    latent = by_place(always, "intercepted", *ends)
    assert len({key[1:] for key in latent}) > 10
    assert by_day(whole, *OUTCOMES) == latent
    assert by_day(whole, "intercepted") == by_place(whole, "intercepted")
    for outcome in ends:
        assert by_day(whole, outcome) == by_place(whole, outcome)
    made = by_place(whole, "intercepted", *ends)
    silent = {key: n - made.get(key, 0) for key, n in latent.items()}
    assert by_day(whole, "not made") == {key: n for key, n in silent.items() if n}
    for channel in CHANNELS:
        m = {k.removeprefix(f"{channel}."): v for k, v in whole.metrics.items() if k.startswith(channel)}
        assert m["latent"] == sum(n for key, n in latent.items() if key[1] == channel)
        assert m["made"] == sum(n for key, n in made.items() if key[1] == channel)
        assert m["latent"] == m["made"] + m["not made"]
        ended = {"voice": ("failed", "unanswered", "answered"), "sms": ("delivered", "expired")}[channel]
        ended = ("intercepted", "lost", "open", *ended)
        assert m["made"] == sum(m[outcome] for outcome in ended)
        for outcome in ended:
            assert m[outcome] == sum(n for key, n in by_place(whole, outcome).items() if key[1] == channel)
        settled = sum(v for k, v in m.items() if k.startswith("settled by "))
        assert settled == m["intercepted"] + m["labelled"] + m["settled by allow-listed-numbers"]


# Whom it calls.


def test_every_part_of_the_subscribers_is_called_alike(flat: Stream) -> None:
    index = decided(flat.found)["b_number"].to_numpy() - 8613000000000
    for parts in (np.floor(flat.called * 100), index % 97):
        counts = np.bincount(parts.astype(np.int64).ravel())
        assert len(counts) in (100, 97)
        assert abs(chi_square(counts, counts.sum() / len(counts))) < NORMAL


@pytest.mark.parametrize("engine", ENGINES)
def test_each_of_a_thousand_subscribers_is_called_as_often_as_another(minimal: Scenario, engine: str) -> None:
    lines = LINES[engine]
    scenario = of_lines(minimal, lines, **{"population.subscribers": 1000})
    found = decided(run(scenario, engine=engine, scale=1, record="all"))
    counts = np.bincount((found["b_number"] - 8613000000000).to_numpy())
    assert len(counts) == 1000
    assert abs(chi_square(counts, counts.sum() / 1000)) < NORMAL


@pytest.mark.parametrize("engine", ENGINES)
def test_carriers_are_called_by_their_shares(minimal: Scenario, engine: str) -> None:
    """Shares are kept to a 256th: carriers hang on a byte of the called number's hash."""
    shares = {"a": 0.5, "b": 0.25, "c": 0.1875, "d": 0.0625}
    carriers = [{"id": name, "share": share} for name, share in shares.items()]
    lines = LINES[engine]
    scenario = of_lines(minimal, lines, **{"population.carriers": carriers})
    found = decided(run(scenario, engine=engine, scale=1, record="all"))
    counts = np.bincount(found["b_carrier"].to_numpy())
    assert abs(chi_square(counts, counts.sum() * np.array(list(shares.values())))) < NORMAL
