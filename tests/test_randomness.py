"""Keyed draws: published vectors, the plain twin of each compiled function, and what the numbers promise."""

import math
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from statistics import NormalDist
from types import FunctionType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptsim import randomness
from interceptsim.randomness import (
    DELAY_CONSTANT,
    DELAY_EXPONENTIAL,
    DELAY_LOGNORMAL,
    LONGEST_US,
    choose,
    delay_us,
    draw,
    draw_all,
    exp_of,
    exponentials,
    index_below,
    log_of,
    lognormals,
    mix64,
    normal_quantile,
    philox,
    replication_seed,
    root_key,
    spread,
    stream_id,
    threshold,
    unit,
)

HOUR_US = 3_600_000_000
MASK = 2**32 - 1

words = st.integers(0, MASK)
longs = st.integers(0, 2**64 - 1)
positive = st.floats(2.0**-1022, allow_infinity=False, allow_nan=False)
probabilities = st.one_of(
    words.map(lambda w: float(unit.py_func(w))), st.floats(1e-300, 1, exclude_max=True), st.floats(1e-12, 1e-3)
)


def plain_functions():
    """Return every compiled function of the module as plain Python that calls plain Python alone."""
    namespace = dict(vars(randomness))
    found = {name: value.py_func for name, value in namespace.items() if hasattr(value, "py_func")}
    plain = {name: FunctionType(function.__code__, namespace, name) for name, function in found.items()}
    namespace.update(plain)
    return plain


PLAIN = plain_functions()


def plainly(name, *arguments):
    with np.errstate(over="ignore"):  # integers of 64 bits are meant to wrap
        return PLAIN[name](*arguments)


def bits_of(value):
    return np.float64(value).view(np.int64)


def u64(*values):
    return tuple(np.uint64(v) for v in values)


def many_words(count, stream):
    """Return `count` words of a fixed stream, a different one for each test."""
    key = root_key(20_250_101)
    blocks = [draw(key[0], key[1], stream_id(stream), 7, n) for n in range(count // 4)]
    return [int(word) for block in blocks for word in block]


@pytest.mark.parametrize("function", [philox, lambda *a: plainly("philox", *a)], ids=["compiled", "plain"])
@pytest.mark.parametrize(
    ("counter", "key", "block"),
    [
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((MASK, MASK, MASK, MASK), (MASK, MASK), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_gives_the_published_vectors(function, counter, key, block):
    assert " ".join(f"{int(word):08x}" for word in function(*u64(*counter, *key))) == block


@given(st.tuples(words, words, words, words, words, words))
def test_compiled_philox_equals_the_plain_one(arguments):
    block = philox(*u64(*arguments))
    assert block == plainly("philox", *u64(*arguments))
    assert all(0 <= word <= MASK for word in block)


@given(words, words, words, words, longs)
def test_a_draw_is_the_block_of_its_ordinal_entity_and_stream(key0, key1, stream, entity, ordinal):
    found = draw(*u64(key0, key1, stream, entity, ordinal))
    assert found == philox(*u64(ordinal & MASK, ordinal >> 32, entity, stream, key0, key1))
    assert found == plainly("draw", *u64(key0, key1, stream, entity, ordinal))


@given(st.lists(st.tuples(words, words, st.integers(0, 2**63 - 1)), max_size=40), words, words)
def test_draws_made_together_are_the_draws_made_one_by_one(names, key0, key1):
    stream, entity = (np.array([name[k] for name in names], np.uint32) for k in (0, 1))
    ordinal = np.array([name[2] for name in names], np.int64)
    found = [np.zeros(len(names), np.uint32) for _ in range(4)]
    draw_all(np.uint64(key0), np.uint64(key1), stream, entity, ordinal, len(names), *found)
    one_by_one = [tuple(draw(*u64(key0, key1, *name))) for name in names]
    assert list(zip(*(column.tolist() for column in found), strict=True)) == one_by_one


def test_each_part_of_a_name_changes_the_draw():
    names = [(1, 2, 3, 4, 5), (9, 2, 3, 4, 5), (1, 9, 3, 4, 5), (1, 2, 9, 4, 5), (1, 2, 3, 9, 5), (1, 2, 3, 4, 9)]
    names.append((1, 2, 3, 4, 5 + 2**32))
    assert len({draw(*u64(*name)) for name in names}) == len(names)


PLASTIC = Fraction("1.3247179572447460259609088544780973407344")  # the real root of p**3 = p + 1


@given(words, words, st.integers(0, 2**32 - 1))
def test_spread_words_are_the_fractions_of_multiples_of_the_plastic_number(word0, word1, nth):
    for found, shift, power in zip(spread(word0, word1, nth), (word0, word1), (1, 2), strict=True):
        apart = abs(Fraction(int(found), 2**32) - (Fraction(shift, 2**32) + nth / PLASTIC**power) % 1)
        assert min(apart, 1 - apart) < 1e-9


@pytest.mark.parametrize("many", [10, 100, 1000, 12345])
def test_however_many_words_are_spread_they_fill_the_square_evenly(many):
    most = 1 + math.log(many)  # draws of their own would be off by as much as the square root of their number
    pairs = np.array([spread(1234567, 7654321, n) for n in range(many)], float) / 2.0**32
    for part in pairs.T:
        counts = np.histogram(part, 10, (0, 1))[0]
        assert abs(counts - many / 10).max() <= most
    cells = np.histogram2d(*pairs.T, bins=4, range=((0, 1), (0, 1)))[0]
    assert abs(cells - many / 16).max() <= 2 * most


@given(words)
def test_a_unit_lies_strictly_between_nought_and_one(word):
    value = unit(np.uint64(word))
    assert 0.0 < value < 1.0
    assert value == (2 * word + 1) / 2**33
    assert bits_of(value) == bits_of(plainly("unit", np.uint64(word)))


@given(words, words, st.integers(1, MASK))
def test_an_index_uses_all_64_bits_of_the_draw(high, low, n):
    index = index_below(*u64(high, low), n)
    assert index == ((high << 32 | low) * n) >> 64
    assert 0 <= index < n
    assert index == plainly("index_below", *u64(high, low), n)


@pytest.mark.parametrize("n", [3, 10, 97])
def test_indices_are_uniform(n):
    drawn = many_words(80_000, f"indices below {n}")
    counts = np.bincount([int(index_below(*u64(a, b), n)) for a, b in zip(drawn[::2], drawn[1::2], strict=True)])
    expected = 40_000 / n
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    assert len(counts) == n
    assert chi_squared < (n - 1) + 4 * math.sqrt(2 * (n - 1))


@given(st.integers(0, 1_829_999_999))
def test_no_subscriber_is_called_more_often_than_another(index):
    n = 1_830_000_000
    first, after = -(-(index << 64) // n), -(-((index + 1) << 64) // n)
    assert after - first in (2**64 // n, 2**64 // n + 1)
    for draw64, found in ((first, index), (after - 1, index), (after, index + 1)):
        if draw64 < 2**64:
            assert index_below(*u64(draw64 >> 32, draw64 & MASK), n) == found


@given(words, st.lists(st.integers(0, 2**32), min_size=1, max_size=8), st.data())
def test_the_first_threshold_above_the_word_is_chosen_and_else_the_last(word, bounds, data):
    first = data.draw(st.integers(0, len(bounds) - 1))
    last = data.draw(st.integers(first + 1, len(bounds)))
    cumulative = np.array(sorted(bounds), np.uint64)
    expected = next((i for i in range(first, last) if word < cumulative[i]), last - 1)
    assert choose(np.uint64(word), cumulative, first, last) == expected
    assert plainly("choose", np.uint64(word), cumulative, first, last) == expected


@pytest.mark.parametrize(("ratio", "bound"), [(0.0, 0), (0.25, 2**30), (0.5, 2**31), (1.0, 2**32), (2**-32, 1)])
def test_a_threshold_is_the_probability_in_words(ratio, bound):
    assert threshold(ratio) == bound


@given(st.floats(0, 1))
def test_a_threshold_is_nearest_to_its_probability(ratio):
    assert abs(threshold(ratio) / 2**32 - ratio) <= 2.0**-33


@pytest.mark.parametrize("ratio", [0.01, 0.2, 0.85])
def test_words_fall_below_a_threshold_as_often_as_its_probability_says(ratio):
    drawn = many_words(40_000, f"below {ratio}")
    met = sum(word < threshold(ratio) for word in drawn)
    assert abs(met - 40_000 * ratio) < 4 * math.sqrt(40_000 * ratio * (1 - ratio))


@pytest.mark.parametrize(
    ("state", "output"),
    [(0x9E3779B97F4A7C15, 0xE220A8397B1DCDAF), (1_234_567 + 0x9E3779B97F4A7C15, 6457827717110365317), (0, 0)],
)
def test_mix64_finishes_as_splitmix64_does(state, output):
    assert int(mix64(np.uint64(state))) == output


@given(longs)
def test_mix64_can_be_undone(value):
    mixed = int(mix64(np.uint64(value)))
    assert mixed == int(plainly("mix64", np.uint64(value)))
    z = mixed ^ (mixed >> 31) ^ (mixed >> 62)
    z = z * pow(0x94D049BB133111EB, -1, 2**64) % 2**64
    z = z ^ (z >> 27) ^ (z >> 54)
    z = z * pow(0xBF58476D1CE4E5B9, -1, 2**64) % 2**64
    assert z ^ (z >> 30) ^ (z >> 60) == value


@given(positive)
def test_the_logarithm_is_right_to_two_units_in_the_last_place(x):
    found, expected = log_of(x), math.log(x)
    assert abs(found - expected) <= 2 * math.ulp(expected)
    assert bits_of(found) == bits_of(plainly("log_of", np.float64(x)))


def test_the_logarithm_of_one_is_nought():
    assert log_of(1.0) == 0.0


@given(st.floats(-700, 700))
def test_the_exponential_is_right_to_the_last_places(x):
    found, expected = exp_of(x), math.exp(x)
    assert abs(found - expected) <= 4.5e-16 * expected
    assert bits_of(found) == bits_of(plainly("exp_of", np.float64(x)))


def test_the_exponential_of_nought_is_one():
    assert exp_of(0.0) == 1.0


@given(probabilities)
def test_the_normal_quantile_is_right_to_fourteen_places(p):
    found, expected = normal_quantile(p), NormalDist().inv_cdf(p)
    assert abs(found - expected) <= 1e-14 * max(abs(expected), 1.0)
    assert bits_of(found) == bits_of(plainly("normal_quantile", np.float64(p)))


@pytest.mark.parametrize(("p", "z"), [(0.5, 0.0), (0.975, 1.959963984540054), (0.001, -3.090232306167813)])
def test_well_known_normal_quantiles(p, z):
    assert normal_quantile(p) == pytest.approx(z, abs=1e-14)


@given(
    words,
    st.sampled_from([DELAY_CONSTANT, DELAY_EXPONENTIAL, DELAY_LOGNORMAL]),
    st.integers(0, 10**15),
    st.floats(0, 2.6e15),
    st.floats(0.001, 1),
)
def test_a_delay_is_never_under_its_minimum(word, kind, minimum_us, scale_us, sigma):
    found = delay_us(np.uint64(word), kind, minimum_us, scale_us, sigma)
    assert found >= minimum_us
    assert found == plainly("delay_us", np.uint64(word), kind, np.int64(minimum_us), scale_us, sigma)
    if kind == DELAY_CONSTANT:
        assert found == minimum_us


@pytest.mark.parametrize("word", [0, 1, 2**31, MASK])
def test_the_extremes_of_a_draw_give_finite_delays(word):
    exponential = delay_us(np.uint64(word), DELAY_EXPONENTIAL, HOUR_US, 6.0 * HOUR_US, 0.0)
    lognormal = delay_us(np.uint64(word), DELAY_LOGNORMAL, HOUR_US, 6.0 * HOUR_US, 1.0)
    assert HOUR_US <= exponential <= HOUR_US + 24 * 6 * HOUR_US
    assert HOUR_US <= lognormal <= HOUR_US + 600 * 6 * HOUR_US


@given(
    words,
    st.sampled_from([DELAY_EXPONENTIAL, DELAY_LOGNORMAL]),
    st.integers(0, LONGEST_US),
    st.floats(1e12, 1e23),
    st.floats(0.001, 4),
)
def test_no_delay_overflows(word, kind, minimum_us, scale_us, sigma):
    found = delay_us(np.uint64(word), kind, minimum_us, scale_us, sigma)
    assert minimum_us <= found <= minimum_us + LONGEST_US
    assert found == plainly("delay_us", np.uint64(word), kind, np.int64(minimum_us), scale_us, sigma)


@given(
    st.lists(st.integers(0, MASK), min_size=0, max_size=40),
    st.floats(0.0, 1e15),
    st.floats(0.0, 3.0),
)
def test_many_delays_are_those_found_one_by_one(words, scale_us, sigma):
    n = len(words)
    word, scale, shape, found = (
        np.array(words, np.uint32),
        np.full(n, scale_us),
        np.full(n, sigma),
        np.zeros(n, np.int64),
    )
    exponentials(word, scale, n, found)
    assert found.tolist() == [delay_us(w, DELAY_EXPONENTIAL, 0, scale_us, sigma) for w in words]
    lognormals(word, scale, shape, n, found)
    assert found.tolist() == [delay_us(w, DELAY_LOGNORMAL, 0, scale_us, sigma) for w in words]


def test_the_longest_random_part_of_a_delay_is_two_hundred_years():
    century = 100.0 * 365 * 24 * HOUR_US
    for kind in (DELAY_EXPONENTIAL, DELAY_LOGNORMAL):
        drawn = {delay_us(np.uint64(word), kind, HOUR_US, century, 4.0) for word in (0, MASK)}
        assert HOUR_US + 2 * 100 * 365 * 24 * HOUR_US == HOUR_US + LONGEST_US == max(drawn)


def test_exponential_delays_have_their_mean_and_median():
    drawn = sorted(
        delay_us(np.uint64(w), DELAY_EXPONENTIAL, HOUR_US, 5.0 * HOUR_US, 0.0) for w in many_words(20_000, "a")
    )
    assert np.mean(drawn) / HOUR_US == pytest.approx(1 + 5, rel=0.02)
    assert drawn[10_000] / HOUR_US == pytest.approx(1 + 5 * math.log(2), rel=0.02)


def test_lognormal_delays_have_their_mean_and_median():
    drawn = sorted(
        delay_us(np.uint64(w), DELAY_LOGNORMAL, HOUR_US, 5.0 * HOUR_US, 0.9) for w in many_words(20_000, "b")
    )
    assert np.mean(drawn) / HOUR_US == pytest.approx(1 + 5 * math.exp(0.405), rel=0.03)
    assert drawn[10_000] / HOUR_US == pytest.approx(1 + 5, rel=0.03)


@given(st.integers(0, 2**64 - 1))
def test_a_root_key_is_two_words(seed):
    key = root_key(seed)
    assert key.dtype == np.uint64
    assert key.shape == (2,)
    assert key.max() <= MASK


def test_different_seeds_have_different_keys():
    seeds = [*range(2000), *(2**k for k in range(11, 64))]
    assert len({tuple(root_key(seed).tolist()) for seed in seeds}) == len(seeds)


@given(st.integers(0, 2**64 - 1), st.integers(0, 10**9))
def test_a_replication_seed_is_a_seed_and_no_neighbour_of_the_root(seed, replication):
    found = replication_seed(seed, replication)
    assert 0 <= found < 2**64
    assert found not in {seed, seed + replication}
    assert found == replication_seed(seed, replication)


def test_no_two_replications_share_a_seed():
    found = [replication_seed(seed, n) for seed in range(100) for n in range(100)]
    assert max(Counter(found).values()) == 1
    assert replication_seed(1, 12) != replication_seed(11, 2)


def test_replication_seeds_do_not_count_up():
    steps = {b - a for a, b in pairwise(replication_seed(1, n) for n in range(50))}
    assert len(steps) == 49


def test_streams_have_ids_of_32_bits_that_differ():
    names = [f"{what}/{n}" for what in ("attempt", "line", "number", "complaint") for n in range(200)]
    ids = [stream_id(name) for name in names]
    assert len(set(ids)) == len(names)
    assert all(0 <= i <= MASK for i in ids)


def test_a_seed_names_the_same_draws_for_ever():
    key = root_key(1)
    assert [f"{int(word):08x}" for word in key] == ["5a74a4c5", "65fde160"]
    assert f"{stream_id('attempt/calls'):08x}" == "c7c32757"
    assert f"{replication_seed(1, 0):016x}" == "465749f74117cf41"
    block = draw(key[0], key[1], stream_id("attempt/calls"), 3, 2**33)
    assert [f"{int(word):08x}" for word in block] == ["1958a061", "444d0c64", "78656da3", "cb3500d7"]
