"""Quantities as people write them: what is read, what is refused, and that writing and reading agree."""

import math
import re

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from interceptsim.randomness import DELAY_CONSTANT, DELAY_EXPONENTIAL, DELAY_LOGNORMAL
from interceptsim.units import (
    DAY_US,
    HOUR_US,
    MINUTE_US,
    SECOND_US,
    YEAR_DAYS,
    Count,
    Delay,
    Duration,
    Ratio,
    Volume,
    format_duration,
    parse_duration,
    parse_scale,
    parse_volume,
)

UNITS_US = {"us": 1, "ms": 1_000, "s": SECOND_US, "min": MINUTE_US, "h": HOUR_US, "d": DAY_US, "w": 7 * DAY_US}
LONGEST_US = 200 * YEAR_DAYS * DAY_US

anything = st.one_of(
    st.text(),
    st.from_regex(r"[+-]?[0-9.]{1,6}([eE][+-]?[0-9]{1,4})? ?[a-z/:]{0,6}", fullmatch=True),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.lists(st.text(), max_size=2),
)
durations_us = st.integers(0, LONGEST_US)


@pytest.mark.parametrize(
    ("text", "duration_us"),
    [
        ("0s", 0),
        ("7us", 7),
        ("250ms", 250_000),
        ("1.5s", 1_500_000),
        (".5s", 500_000),
        ("30min", 1_800_000_000),
        ("2h", 7_200_000_000),
        ("45d", 3_888_000_000_000),
        ("1w", 604_800_000_000),
        ("1e3s", 1_000_000_000),
        ("  2 h ", 7_200_000_000),
        ("73000d", LONGEST_US),
    ],
)
def test_a_duration_is_read_as_microseconds(text, duration_us):
    assert parse_duration(text) == duration_us


@pytest.mark.parametrize("bare", [2, 2.0, "2", "2.5", "1e3", "", None, True])
def test_a_bare_number_is_no_duration(bare):
    with pytest.raises(ValueError, match="wanted a duration with its unit"):
        parse_duration(bare)


@pytest.mark.parametrize(
    "text", ["2H", "2hours", "2m", "2 months", "1y", "h", "2h30min", "1,5h", "2h!", "nans", "infs"]
)
def test_an_unknown_unit_is_refused(text):
    with pytest.raises(ValueError, match=re.escape("(us, ms, s, min, h, d, w)")):
        parse_duration(text)


@pytest.mark.parametrize("text", ["-1s", "-0.1us", "-2h", "-1e400d"])
def test_a_duration_is_never_negative(text):
    with pytest.raises(ValueError, match="cannot be negative"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["73001d", "1e9w", "1e400h"])
def test_a_duration_over_two_hundred_years_is_refused(text):
    with pytest.raises(ValueError, match="over 200 years"):
        parse_duration(text)


@given(durations_us)
def test_a_written_duration_reads_back_to_the_same_microsecond(duration_us):
    assert parse_duration(format_duration(duration_us)) == duration_us


@given(st.integers(1, 10**6), st.sampled_from(list(UNITS_US)))
def test_a_duration_is_written_in_the_longest_unit_that_divides_it(count, unit):
    duration_us = count * UNITS_US[unit]
    number, written = re.fullmatch(r"(\d+)([a-z]+)", format_duration(duration_us)).groups()
    assert int(number) * UNITS_US[written] == duration_us
    assert all(duration_us % size for size in UNITS_US.values() if size > UNITS_US[written])


@pytest.mark.parametrize(
    ("duration_us", "text"),
    [
        (0, "0s"),
        (1, "1us"),
        (90 * MINUTE_US, "90min"),
        (14 * DAY_US, "2w"),
        (45 * DAY_US, "45d"),
        (DAY_US + 1, "86400000001us"),
    ],
)
def test_a_duration_is_written_as_people_say_it(duration_us, text):
    assert format_duration(duration_us) == text


@given(st.integers(0, 10**6), st.sampled_from(list(UNITS_US)), st.sampled_from(["", " "]))
def test_whole_counts_of_a_unit_are_exact(count, unit, gap):
    duration_us = count * UNITS_US[unit]
    text = f"{count}{gap}{unit}"
    if duration_us > LONGEST_US:
        with pytest.raises(ValueError, match="over 200 years"):
            parse_duration(text)
    else:
        assert parse_duration(text) == duration_us


@given(anything)
def test_whatever_is_given_as_a_duration_is_read_or_refused(given):
    try:
        duration_us = parse_duration(given)
    except ValueError:
        return
    assert isinstance(duration_us, int)
    assert 0 <= duration_us <= LONGEST_US


@pytest.mark.parametrize(
    ("text", "per_year"),
    [
        ("3.6e9/year", 3.6e9),
        ("2000/year", 2000.0),
        ("9.86e6/day", 9.86e6 * 365),
        ("2/hour", 17_520.0),
        ("1/s", 31_536_000.0),
        (" 5 / day ", 1825.0),
        ("0/year", 0.0),
        ("1e15/year", 1e15),
    ],
)
def test_a_volume_is_read_as_attempts_a_year_of_365_days(text, per_year):
    assert parse_volume(text) == per_year


@pytest.mark.parametrize(
    "given", [3.6e9, 5, "3.6e9", "3.6e9/month", "3.6e9/years", "/year", "1:10", "", None, "nan/year"]
)
def test_a_volume_needs_its_period(given):
    with pytest.raises(ValueError, match="wanted a volume with its period"):
        parse_volume(given)


@pytest.mark.parametrize("text", ["-1/year", "1.1e15/year", "1e400/day", "1e8/s"])
def test_a_volume_beyond_reason_is_refused(text):
    with pytest.raises(ValueError, match="between 0 and 1e15"):
        parse_volume(text)


@given(st.floats(0, 1e15))
def test_a_written_volume_reads_back_to_the_same_number(per_year):
    adapter = TypeAdapter(Volume)
    text = adapter.dump_python(per_year)
    assert text.endswith("/year")
    assert adapter.validate_python(text) == per_year


@given(anything)
def test_whatever_is_given_as_a_volume_is_read_or_refused(given):
    try:
        per_year = parse_volume(given)
    except ValueError:
        return
    assert 0 <= per_year <= 1e15


@given(st.integers(1, 1_000_000))
def test_a_scale_means_one_in_n_however_it_is_written(n):
    assert [parse_scale(g) for g in (n, f"{n}", f"1:{n}", f"1:{n:,}", f"1:{n:_}", f" 1:{n} ")] == [n] * 6


@pytest.mark.parametrize(
    "given",
    [
        0,
        -1,
        1.5,
        1e3,
        1_000_001,
        "0",
        "x",
        "",
        "1:",
        "1:0",
        "1:x",
        "1:1:5",
        "1:1000001",
        "2:1000",
        "1/1000",
        "1000.0",
        "1:" + "9" * 5000,
        None,
        True,
    ],
)
def test_a_scale_is_a_whole_number_up_to_a_million(given):
    with pytest.raises(ValueError, match="wanted one in N"):
        parse_scale(given)


@given(anything)
def test_whatever_is_given_as_a_scale_is_read_or_refused(given):
    try:
        n = parse_scale(given)
    except ValueError:
        return
    assert 1 <= n <= 1_000_000


@pytest.mark.parametrize("value", [0, 0.0, 0.3, 1])
def test_a_ratio_lies_from_nought_to_one_with_both_ends(value):
    assert TypeAdapter(Ratio).validate_python(value) == value


@pytest.mark.parametrize("value", [-0.001, 1.001, math.nan, math.inf, "80%", "many"])
def test_a_ratio_outside_nought_to_one_is_refused(value):
    with pytest.raises(ValidationError):
        TypeAdapter(Ratio).validate_python(value)


@pytest.mark.parametrize("value", [0, -1, 1.5, "one"])
def test_a_count_is_a_whole_number_from_one(value):
    assert TypeAdapter(Count).validate_python(1) == 1
    with pytest.raises(ValidationError):
        TypeAdapter(Count).validate_python(value)


@pytest.mark.parametrize(("kind", "texts"), [(Duration, ["2h", "1.5 s", "7us"]), (Volume, ["3.6e9/year", "1 / s"])])
def test_the_schema_of_a_quantity_admits_what_is_read(kind, texts):
    adapter = TypeAdapter(kind)
    schema = adapter.json_schema()
    assert schema["type"] == "string"
    for text in [*texts, *schema["examples"]]:
        assert re.search(schema["pattern"], text)
        adapter.validate_python(text)
    assert not re.search(schema["pattern"], "2")


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ("2h", True),
        ({"minimum": "1h", "mean": "6h"}, True),
        ({"median": "16h", "sigma": 0.9}, True),
        ("two hours", False),
        ({"median": "16h", "sigma": 9}, False),
        ({"meen": "6h"}, False),
        (2, False),
    ],
)
def test_the_schema_of_a_delay_admits_a_duration_or_a_table(given, fits):
    assert jsonschema.Draft202012Validator(Delay.model_json_schema()).is_valid(given) == fits


def test_a_delay_in_a_word_is_constant():
    delay = Delay.model_validate("2h")
    assert delay.law == (DELAY_CONSTANT, 2 * HOUR_US, 0.0, 0.0)
    assert delay.mean_us == 2 * HOUR_US


def test_a_delay_with_a_mean_is_exponential_above_its_minimum():
    delay = Delay.model_validate({"minimum": "1h", "mean": "6h"})
    assert delay.law == (DELAY_EXPONENTIAL, HOUR_US, 6.0 * HOUR_US, 0.0)
    assert delay.mean_us == 7 * HOUR_US


def test_a_delay_with_a_median_is_lognormal_above_its_minimum():
    delay = Delay.model_validate({"minimum": "2h", "median": "16h", "sigma": 0.9})
    assert delay.law == (DELAY_LOGNORMAL, 2 * HOUR_US, 16.0 * HOUR_US, 0.9)
    assert delay.mean_us == pytest.approx((2 + 16 * math.exp(0.405)) * HOUR_US, rel=1e-12)


def test_the_minimum_of_a_delay_is_nought_where_none_is_given():
    assert Delay.model_validate({"mean": "6h"}).minimum == 0


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"mean": "1h", "median": "1h", "sigma": 1}, "not both"),
        ({"mean": "1h", "sigma": 1}, "not both"),
        ({"median": "1h"}, "go together"),
        ({"sigma": 1}, "go together"),
        ({"median": "1h", "sigma": 0}, "greater than 0"),
        ({"median": "1h", "sigma": 4.1}, "less than or equal to 4"),
        ({"minimum": "-1h"}, "cannot be negative"),
        ({"minimum": 3600}, "with its unit"),
        ({"minimum": "1h", "meen": "2h"}, "not permitted"),
        ("-2h", "cannot be negative"),
        ("two hours", "with its unit"),
    ],
)
def test_a_delay_that_makes_no_sense_is_refused(given, wanted):
    with pytest.raises(ValidationError, match=wanted):
        Delay.model_validate(given)


laws = st.one_of(
    st.builds(lambda m: Delay(minimum=format_duration(m)), durations_us),
    st.builds(lambda m, s: Delay(minimum=format_duration(m), mean=format_duration(s)), durations_us, durations_us),
    st.builds(
        lambda m, s, sigma: Delay(minimum=format_duration(m), median=format_duration(s), sigma=sigma),
        durations_us,
        durations_us,
        st.floats(0.001, 4),
    ),
)


@given(laws)
def test_a_written_delay_reads_back_equal(delay):
    written = delay.model_dump()
    assert isinstance(written, str) == (delay.law[0] == DELAY_CONSTANT)
    assert Delay.model_validate(written) == delay


def test_a_delay_cannot_be_changed():
    delay = Delay.model_validate("2h")
    with pytest.raises(ValidationError, match="frozen"):
        delay.minimum = 0
