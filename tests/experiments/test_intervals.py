"""Intervals: worked by hand, held against SciPy, and covering what they promise."""

import statistics
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from interceptsim.errors import ConfigurationError
from interceptsim.experiments.intervals import by, by_bootstrap, replications_for
from interceptsim.results import by_t

numbers = st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=30)


def test_a_t_interval_worked_by_hand():
    # Mean 3, standard deviation sqrt(2.5), t(0.975; 4) = 2.776445: 2.776445 * sqrt(2.5) / sqrt(5) = 1.963243.
    found = by_t([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.value, found.low, found.high) == pytest.approx((3.0, 1.036757, 4.963243), abs=1e-6)


def test_two_values_give_the_widest_interval():
    # t(0.975; 1) = 12.706205, standard deviation of 0 and 2 is sqrt(2): 12.706205 * sqrt(2) / sqrt(2).
    assert by_t([0.0, 2.0]).high == pytest.approx(1 + 12.706205, abs=1e-6)


@given(numbers, st.floats(-1e9, 1e9))
def test_a_t_interval_holds_the_mean_in_its_middle_and_moves_with_the_values(values, by_how_much):
    one, other = by_t(values), by_t([-v for v in values])
    assert one.low <= one.value <= one.high
    assert one.value == pytest.approx(statistics.mean(values), rel=1e-9, abs=1e-3)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), rel=1e-9, abs=1e-3)
    moved = by_t([v + by_how_much for v in values])
    assert moved.high - moved.low == pytest.approx(one.high - one.low, rel=1e-6, abs=1.0)


def test_a_t_interval_is_that_of_scipy():
    values = np.random.default_rng(1).normal(5, 2, 9)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = by_t(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-7)


@pytest.mark.parametrize(("method", "n", "tries"), [("t", 4, 2000), ("bootstrap", 30, 300)])
def test_an_interval_covers_what_is_true_about_nineteen_times_in_twenty(method, n, tries):
    normal = statistics.NormalDist(5, 2)
    samples = [normal.samples(n, seed=k) for k in range(tries)]
    covered = sum(e.low <= 5 <= e.high for e in (by(method, sample) for sample in samples)) / tries
    assert covered == pytest.approx(0.95, abs=0.015 if method == "t" else 0.035)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8))
def test_a_bootstrap_interval_holds_the_mean_and_is_the_same_again(values):
    found = by_bootstrap(values)
    assert found.low <= found.value <= found.high
    assert found == by_bootstrap(values)


def test_a_bootstrap_interval_of_skewed_values_reaches_farther_to_their_long_side():
    values = np.random.default_rng(3).lognormal(0, 1, 40)
    found = by_bootstrap(values)
    assert found.high - found.value > 1.15 * (found.value - found.low)


@pytest.mark.parametrize("method", ["t", "bootstrap"])
def test_values_that_are_all_the_same_give_an_interval_of_no_width(method):
    found = by(method, [2.5] * 4)
    assert (found.value, found.low, found.high) == (2.5, 2.5, 2.5)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=10), st.floats(0.5, 50))
def test_so_many_replications_are_enough_and_one_less_is_not(values, half_width):
    n = replications_for(values, half_width)
    spread = float(np.std(values, ddof=1))

    def reach(n):
        return stats.t.ppf(0.975, n - 1) * spread / n**0.5

    assert n >= 2
    assert reach(n) <= half_width * (1 + 1e-6)
    if n > 2:
        assert reach(n - 1) > half_width * (1 - 1e-6)


def test_a_million_replications_stand_for_more():
    assert replications_for([0.0, 1.0], 1e-9) == 1_000_000


def test_so_many_replications_do_give_the_wished_interval():
    normal = statistics.NormalDist(0, 1)
    wished = 0.2
    n = replications_for(normal.samples(200, seed=1), wished)
    found = [by_t(normal.samples(n, seed=k)) for k in range(20, 60)]
    assert statistics.mean((e.high - e.low) / 2 for e in found) == pytest.approx(wished, rel=0.12)


@pytest.mark.parametrize("half_width", [0, -1.0, float("nan")])
def test_a_half_width_lies_above_zero(half_width):
    with pytest.raises(ConfigurationError, match=r"half-width: got .*wanted a number above 0"):
        replications_for([1.0, 2.0], half_width)


def test_an_unknown_method_is_refused():
    with pytest.raises(ConfigurationError, match="interval: got 'z'; wanted 't' or 'bootstrap'"):
        by("z", [1.0, 2.0])


def test_the_bootstrap_without_scipy_is_told_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(ConfigurationError, match=r"the bootstrap: needs scipy.*'interceptsim\[stats\]'"):
        by_bootstrap([1.0, 2.0])
