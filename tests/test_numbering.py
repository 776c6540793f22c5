"""Telephone numbers: how they are read and written, and that no two lines are handed the same one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptsim.numbering import (
    INTERNATIONAL,
    KIND_NAMES,
    NATIONAL,
    RANDOM_SERIALS,
    SHORT_CODE,
    format_number,
    neighbour_number,
    own_number,
    parse_number,
    random_number,
    subscriber_number,
)

SPANS = {NATIONAL: 5 * 10**9, SHORT_CODE: 10**9, INTERNATIONAL: 10**10}
kinds = st.sampled_from([INTERNATIONAL, NATIONAL, SHORT_CODE])
words = st.integers(0, 2**32 - 1)
foreign_codes = st.integers(1, 999).filter(lambda code: code != 8 and not str(code).startswith("86"))


@pytest.mark.parametrize(
    ("text", "number", "kind"),
    [
        ("+8613800138000", 8613800138000, NATIONAL),
        ("008613800138000", 8613800138000, NATIONAL),
        ("13800138000", 8613800138000, NATIONAL),
        ("138-0013-8000", 8613800138000, NATIONAL),
        (" (0755) 1234 5678 ", 8675512345678, NATIONAL),
        ("075512345678", 8675512345678, NATIONAL),
        ("01012345678", 861012345678, NATIONAL),
        ("+95 9 123 456 789", 959123456789, INTERNATIONAL),
        ("0095.9123456789", 959123456789, INTERNATIONAL),
        ("+123456789012345", 123456789012345, INTERNATIONAL),
        ("110", 110, SHORT_CODE),
        ("12381", 12381, SHORT_CODE),
        ("95588", 95588, SHORT_CODE),
        ("12345678", 12345678, SHORT_CODE),
        ("96110", 96110, SHORT_CODE),
        ("1069000000001", 1069000000001, SHORT_CODE),
        ("106900000000123", 106900000000123, SHORT_CODE),
    ],
)
def test_a_number_is_read_as_people_write_it(text, number, kind):
    assert parse_number(text) == (number, kind)


NO_NUMBERS = """
    + ++8613800138000 abc 138O0138000 12 +123456 +1234567890123456 +0123456789 0000123456789 123456789 12345678901
    0123456789012 1069000000000123 12a45 １２３８１ ١٢٣٨١ 12381\x00 1e5 -5
"""


@pytest.mark.parametrize("text", ["", "  ", *NO_NUMBERS.split()])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match=r"telephone number|E\.164"):
        parse_number(text)


@given(st.one_of(st.text(), st.text("+0123456789 -().", max_size=20)))
def test_any_text_is_read_or_refused(text):
    try:
        number, kind = parse_number(text)
    except ValueError:
        return
    assert 0 < number < 10**15
    assert kind in {INTERNATIONAL, NATIONAL, SHORT_CODE}
    assert parse_number(format_number(number, kind)) == (number, kind)


def test_a_short_code_is_written_as_it_is_dialled_and_other_numbers_with_a_plus():
    assert format_number(12381, SHORT_CODE) == "12381"
    assert format_number(8613800138000, NATIONAL) == "+8613800138000"
    assert format_number(959123456789, INTERNATIONAL) == "+959123456789"


def test_kinds_are_named_in_the_order_of_their_codes():
    assert (KIND_NAMES[INTERNATIONAL], KIND_NAMES[NATIONAL], KIND_NAMES[SHORT_CODE]) == (
        "international",
        "national",
        "short-code",
    )


@given(kinds, foreign_codes, st.data())
def test_different_serials_give_different_own_numbers(kind, country_code, data):
    serials = data.draw(st.lists(st.integers(0, SPANS[kind] - 1), unique=True, min_size=2, max_size=50))
    numbers = {int(own_number(np.int64(s), kind, country_code)) for s in serials}
    assert len(numbers) == len(serials)


@pytest.mark.parametrize("kind", SPANS)
@pytest.mark.parametrize("prime", [2, 5])
def test_no_two_serials_meet_in_a_whole_span(kind, prime):
    # serial * step mod span repeats within the span only if step shares a prime with it, and then at span / prime
    apart = SPANS[kind] // prime
    assert apart * prime == SPANS[kind]
    assert own_number(0, kind, 95) != own_number(apart, kind, 95)


@pytest.mark.parametrize("prime", [2, 5, 7])
def test_no_two_serials_of_random_numbers_meet(prime):
    assert RANDOM_SERIALS == 2**10 * 5**10 * 7
    assert random_number(0) != random_number(RANDOM_SERIALS // prime)


@pytest.mark.parametrize("kind", SPANS)
def test_a_long_run_of_serials_gives_no_number_twice(kind):
    serials = np.arange(500_000, dtype=np.uint64)
    assert len(np.unique(own_number.py_func(serials, kind, 95))) == len(serials)


@given(kinds, st.integers(0, 10**9 - 1))
def test_the_serials_of_own_numbers_begin_again_beyond_their_span(kind, serial):
    assert own_number(serial + SPANS[kind], kind, 95) == own_number(serial, kind, 95)


@given(kinds, foreign_codes, st.integers(0, 2**40))
def test_an_own_number_lies_in_the_range_of_its_kind_and_reads_back(kind, country_code, serial):
    number = int(own_number(serial, kind, country_code))
    if kind == NATIONAL:
        assert 86_150_0000_0000 <= number < 86_200_0000_0000
    elif kind == SHORT_CODE:
        assert 1069_000_000_000 <= number < 1070_000_000_000
    else:
        assert number // 10**10 == country_code
    assert parse_number(format_number(number, kind)) == (number, kind)


@given(st.lists(st.integers(0, RANDOM_SERIALS - 1), unique=True, min_size=2, max_size=50))
def test_different_serials_give_different_random_numbers(serials):
    assert len({int(random_number(s)) for s in serials}) == len(serials)


def test_a_long_run_of_random_numbers_has_no_number_twice():
    serials = np.arange(500_000, dtype=np.uint64) * np.uint64(RANDOM_SERIALS // 500_000)
    assert len(np.unique(random_number.py_func(serials))) == len(serials)


@given(st.integers(0, 2**40))
def test_a_random_number_is_a_landline(serial):
    number = int(random_number(serial))
    assert 86_300_0000_0000 <= number <= 86_999_9999_9999
    assert parse_number(f"0{number - 86 * 10**11}") == (number, NATIONAL)
    assert random_number(serial + RANDOM_SERIALS) == number


def test_subscribers_fill_their_range_without_reaching_the_next():
    assert int(subscriber_number(0, 1)) == 86_130_0000_0000
    assert int(subscriber_number(1_989_999_999, 1)) == 86_149_8999_9999
    assert int(subscriber_number(1_829_999, 1000)) == 86_148_2999_9000


@given(st.integers(10**9, 10**15), words)
def test_a_neighbour_number_shares_all_but_the_last_four_digits(b_number, word):
    assert int(neighbour_number(b_number, word)) // 10_000 == b_number // 10_000


def test_a_neighbour_number_may_have_any_four_last_digits():
    b_number = 86_138_0013_8000
    ends = [int(neighbour_number(b_number, word)) % 10_000 for word in (0, 2**31, 2**32 - 1)]
    assert ends == [0, 5000, 9999]
    every = np.arange(0, 2**32, 2**18, dtype=np.uint64)
    assert np.bincount((neighbour_number.py_func(b_number, every) % np.uint64(10_000)).astype(int)).min() >= 1


@given(st.integers(0, 2**40), kinds, st.integers(1, 999), st.integers(1, 10**6), words)
def test_compiled_numbers_equal_the_plain_ones(serial, kind, country_code, stride, word):
    number = 86_130_0000_0000 + serial
    for function, arguments in (
        (own_number, (serial, kind, country_code)),
        (random_number, (serial,)),
        (neighbour_number, (number, word)),
        (subscriber_number, (serial % 10**6, stride)),
    ):
        assert int(function(*arguments)) == int(function.py_func(*arguments))
