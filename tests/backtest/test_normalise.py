"""Columns as recorded become columns of attempts: numbers as one is read, times as Python reads them."""

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptsim.attempts import SCORE_ONE, link_id
from interceptsim.backtest.mapping import Mapping, TextList, Time, as_mapping
from interceptsim.backtest.normalise import Normaliser, batch_of
from interceptsim.backtest.numbers import numbers_of
from interceptsim.backtest.texts import first_links, link_ids, scores_of
from interceptsim.backtest.times import times_of
from interceptsim.errors import ConfigurationError
from interceptsim.numbering import NATIONAL, SHORT_CODE, parse_number

PIECES = [
    "+",
    "00",
    "0",
    "86",
    "138",
    "106",
    "13800138000",
    "755",
    "12345678",
    " ",
    "-",
    "(",
    ")",
    ".",
    "a",
    "１",
    "\n",
    "9" * 9,
]


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=5).map("".join), min_size=1, max_size=20))
@settings(max_examples=150)
def test_a_column_of_numbers_is_read_as_each_of_them_is(written):
    digits, kinds, wrong = numbers_of(pl.Series(written), None)
    for text, number, kind, bad in zip(written, digits.tolist(), kinds.tolist(), wrong.tolist(), strict=True):
        try:
            expected = parse_number(text)
        except ValueError:
            expected = None
        assert (None if bad else (number, kind)) == expected, text


def test_bare_digits_are_e164_or_short_codes():
    given_digits = [8613800138000, 95588, 1069012345678, 441632960000, 99, 10**15, 12345678]
    for column in (pl.Series(given_digits), pl.Series(map(str, given_digits))):
        digits, kinds, wrong = numbers_of(column, "digits")
        assert digits[~wrong].tolist() == [8613800138000, 95588, 1069012345678, 441632960000, 12345678]
        assert kinds[~wrong].tolist() == [NATIONAL, SHORT_CODE, SHORT_CODE, 0, SHORT_CODE]
    assert numbers_of(pl.Series([-5, None, 110]), None)[2].tolist() == [True, True, False]


@given(
    st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2090, 1, 1)),  # noqa: DTZ001  local times
    st.sampled_from(["Asia/Shanghai", "UTC", "America/New_York", "Europe/Berlin"]),
)
@settings(max_examples=100)
def test_local_times_are_those_of_their_zone(local, zone):
    moment = local.replace(tzinfo=ZoneInfo(zone))
    whole = moment.astimezone(dt.UTC)
    there = whole.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local  # else the clock left that hour out
    expected = (whole - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
    for column, how in (
        (pl.Series([local]), Time(zone=zone)),
        (pl.Series([local.isoformat(" ")]), Time(zone=zone)),
        (pl.Series([local.isoformat()]), Time(zone=zone, format="iso")),
        (pl.Series([local.strftime("%d.%m.%Y %H-%M-%S.%f")]), Time(zone=zone, format="%d.%m.%Y %H-%M-%S%.f")),
    ):
        times, wrong = times_of(column, how)
        assert wrong.tolist() == [not there]
        if there:
            assert times.tolist() == [expected]
    for text in (whole.isoformat(), whole.isoformat().replace("+00:00", "Z"), moment.isoformat()):
        if there and len(moment.isoformat()) < 33:
            assert times_of(pl.Series([text]), Time(zone="Asia/Tokyo"))[0].tolist() == [expected]


def test_counts_of_each_unit_and_bounds():
    second = 1_700_000_000
    for unit, per_second in (("s", 1), ("ms", 1000), ("us", 10**6), ("ns", 10**9)):
        for column in (pl.Series([second * per_second]), pl.Series([str(second * per_second)])):
            assert times_of(column, Time(format=unit))[0].tolist() == [second * 10**6]
    assert times_of(pl.Series([1_700_000_000.25]), Time(format="s"))[0].tolist() == [1_700_000_000_250_000]
    edge = [
        "0001-01-01 00:00:00",
        "9999-12-31 23:59:59",
        "1979-12-31 23:59:59",
        "2025-02-30 00:00:00",
        "",
        None,
        "1980-01-01 00:00",
    ]
    assert times_of(pl.Series(edge), Time(zone="UTC"))[1].tolist() == [True] * 6 + [False]
    huge = pl.Series([2**63 - 1, -(2**63), 0, None])
    assert times_of(huge, Time(format="s"))[1].tolist() == [True] * 4
    with pytest.raises(ConfigurationError, match="holds Int64"):
        times_of(pl.Series([1]), Time(format="%Y"))


def test_texts_are_scored_by_their_words_and_links_are_found():
    lists = [
        TextList(score=0.5, words=["安全账户", "Prize"]),
        TextList(score=0.25, words=["link"]),
        TextList(score=-1, words=["zz"]),
    ]
    text = pl.Series(["转到安全账户 PRIZE", "a prize link", "zz link", "", None])
    assert (scores_of(text, lists) / SCORE_ONE).tolist() == [0.5, 0.75, -0.75, 0.0, 0.0]
    seen = first_links(
        pl.Series(["see https://A.bad.example/x?y", "go to parcel.top/1 now", "v1.2 at 3.5", "点www.x.cn。", None])
    )
    assert [s and s.lower() for s in seen] == ["a.bad.example", "parcel.top", None, "x.cn", None]
    assert link_ids(pl.Series(["WWW.x.cn", None, "77"])).tolist() == [link_id("x.cn"), 0, 77]


def test_a_batch_has_defaults_where_records_say_nothing():
    raw = pl.DataFrame(
        {"time_us": [10**15] * 3, "a_number": ["95588"] * 3, "b_number": ["110"] * 3, "channel": ["SMS", None, "fax"]}
    )
    mapping = as_mapping({"defaults": {"entry": "international-gateway"}})
    frame, wrong = Normaliser(mapping, raw.columns, "here").read(raw)
    batch = batch_of(frame, mapping)
    assert batch.channel.tolist() == [1, 0]
    assert batch.entry.tolist() == [0, 0]
    assert batch.a_kind.tolist() == [SHORT_CODE] * 2
    assert (wrong.rows.tolist(), wrong.values) == ([2], ["fax"])
    assert batch.link is None


@pytest.mark.parametrize(
    "nested",
    [pl.Series([[1]]), pl.Series([{"a": 1}]), pl.Series([object()], dtype=pl.Object)],
    ids=["list", "struct", "object"],
)
def test_a_column_of_nested_values_is_refused(nested):
    raw = pl.DataFrame({"time_us": [1], "a_number": nested, "b_number": [110]})
    with pytest.raises(ConfigurationError, match="wanted single values"):
        Normaliser(Mapping(), raw.columns, "here").read(raw)


@pytest.mark.parametrize(
    "values",
    [pl.Series([b"95588", b"\xff"]), pl.Series(["95588", "x"], dtype=pl.Categorical), pl.Series([95588.0, 1.5])],
)
def test_numbers_in_other_types_are_read_where_they_can_be(values):
    raw = pl.DataFrame({"time_us": [10**15] * 2, "a_number": values, "b_number": [110] * 2})
    frame, wrong = Normaliser(Mapping(), raw.columns, "here").read(raw)
    assert frame["a_number"].to_list() == [95588]
    assert len(wrong.rows) == 1
    assert np.all(wrong.rows == [1])
