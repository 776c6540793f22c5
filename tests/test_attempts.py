"""Attempts in columns: what a batch admits, what it refuses and names, and what no rule can be handed."""

from dataclasses import FrozenInstanceError, fields

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from interceptsim.attempts import (
    CHANNELS,
    COLUMNS,
    DELIVERED,
    ENTRIES,
    INTERCEPTED,
    LOCAL_OFFSET_US,
    NOT_MADE,
    OPTIONAL_COLUMNS,
    OUTCOMES,
    SMS,
    VERDICTS,
    VOICE,
    AttemptBatch,
    Rows,
    Truth,
    empty_rows,
)
from interceptsim.errors import ColumnError

EARLIEST_US = -62_135_596_800_000_000
LATEST_US = 253_402_300_799_999_999
NEEDED_COLUMNS = [name for name in COLUMNS if name not in OPTIONAL_COLUMNS]
CODES = {"channel": len(CHANNELS), "entry": len(ENTRIES), "a_kind": 3, "roaming": 2}


def columns_of(length, seed=1):
    """Return columns of random attempts."""
    random = np.random.default_rng(seed)
    columns = {name: random.integers(0, CODES.get(name, 100), length).astype(dtype) for name, dtype in COLUMNS.items()}
    columns["time_us"] = random.integers(EARLIEST_US, LATEST_US, length, np.int64)
    columns["a_number"] = random.integers(0, 2**64, length, np.uint64)
    columns["text_score"] = random.integers(-5_000_000, 5_000_000, length).astype(np.int32)
    return columns


def test_a_batch_is_as_long_as_its_columns():
    assert [len(AttemptBatch(**columns_of(length))) for length in (0, 1, 17)] == [0, 1, 17]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_another_type_is_refused_by_name(name):
    columns = columns_of(3)
    columns[name] = columns[name].astype(np.float32)
    with pytest.raises(ColumnError, match=f"column '{name}': wanted one dimension of {COLUMNS[name]}, got float32"):
        AttemptBatch(**columns)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_two_dimensions_is_refused(name):
    columns = columns_of(4)
    columns[name] = columns[name].reshape(4, 1)
    with pytest.raises(ColumnError, match=f"column '{name}': wanted one dimension"):
        AttemptBatch(**columns)


@pytest.mark.parametrize("name", [name for name in COLUMNS if name != "time_us"])
def test_a_column_of_another_length_is_refused(name):
    columns = columns_of(3)
    columns[name] = columns[name][:2]
    with pytest.raises(ColumnError, match=f"column '{name}': has 2 rows where time_us has 3"):
        AttemptBatch(**columns)


@pytest.mark.parametrize("time_us", [EARLIEST_US - 1, LATEST_US + 1, -(2**63), 2**63 - 1])
def test_a_time_outside_the_years_1_to_9999_is_refused_with_its_row(time_us):
    columns = columns_of(5)
    columns["time_us"][3] = time_us
    with pytest.raises(ColumnError, match=r"column 'time_us': outside the years 1 to 9999 in rows \[3\]"):
        AttemptBatch(**columns)


def test_the_first_and_the_last_microsecond_of_those_years_are_admitted():
    columns = columns_of(2)
    columns["time_us"][:] = EARLIEST_US, LATEST_US
    assert AttemptBatch(**columns).time_us.tolist() == [EARLIEST_US, LATEST_US]


@pytest.mark.parametrize(("name", "count"), [("channel", 2), ("entry", 4), ("a_kind", 3)])
def test_an_unknown_code_is_refused_with_the_first_bad_rows(name, count):
    columns = columns_of(9)
    columns[name][:] = count - 1
    AttemptBatch(**columns)
    columns[name][2:] = count
    with pytest.raises(ColumnError, match=rf"column '{name}': wanted 0 to {count - 1}, rows \[2, 3, 4, 5, 6\]$"):
        AttemptBatch(**columns)


@pytest.mark.parametrize("name", OPTIONAL_COLUMNS)
def test_an_optional_column_may_be_missing(name):
    columns = columns_of(3)
    del columns[name]
    assert getattr(AttemptBatch(**columns), name) is None


@pytest.mark.parametrize("name", NEEDED_COLUMNS)
def test_no_other_column_may_be_missing(name):
    columns = columns_of(3)
    del columns[name]
    with pytest.raises(TypeError, match=name):
        AttemptBatch(**columns)


def test_scores_are_optional():
    assert "text_score" in OPTIONAL_COLUMNS


@pytest.mark.parametrize("name", COLUMNS)
def test_the_columns_of_a_batch_are_read_only(name):
    batch = AttemptBatch(**columns_of(3))
    with pytest.raises(ValueError, match="read-only"):
        getattr(batch, name)[0] = 0
    with pytest.raises(FrozenInstanceError):
        setattr(batch, name, None)


@given(st.integers(0, 40), st.integers(0, 1000), st.sets(st.sampled_from(OPTIONAL_COLUMNS)))
def test_a_batch_comes_back_from_its_frame_unchanged(length, seed, missing):
    columns = {name: column for name, column in columns_of(length, seed).items() if name not in missing}
    frame = AttemptBatch(**columns).to_frame()
    assert frame.columns == [name for name in COLUMNS if name not in missing]
    again = AttemptBatch.from_frame(frame)
    assert_frame_equal(again.to_frame(), frame)
    for name, column in columns.items():
        assert getattr(again, name).dtype == COLUMNS[name]
        assert np.array_equal(getattr(again, name), column)


def test_a_batch_shares_the_memory_of_its_frame():
    frame = AttemptBatch(**columns_of(100)).to_frame()
    batch = AttemptBatch.from_frame(frame)
    assert np.shares_memory(batch.a_number, frame["a_number"].to_numpy())


def test_what_else_a_frame_holds_is_not_taken_over():
    frame = AttemptBatch(**columns_of(3)).to_frame().with_columns(line_id=pl.lit(1), fraud_type=pl.lit("dating"))
    assert {f.name for f in fields(AttemptBatch.from_frame(frame))} == set(COLUMNS)


@pytest.mark.parametrize("name", NEEDED_COLUMNS)
def test_a_missing_column_is_named(name):
    frame = AttemptBatch(**columns_of(3)).to_frame().drop(name)
    with pytest.raises(ColumnError, match=f"column '{name}' is missing"):
        AttemptBatch.from_frame(frame)


def test_the_nearest_column_is_named_for_a_missing_one():
    frame = AttemptBatch(**columns_of(3)).to_frame().rename({"roaming": "roams"})
    with pytest.raises(ColumnError, match=r"column 'roaming' is missing; is it 'roams'\?"):
        AttemptBatch.from_frame(frame)


def test_a_null_is_told_with_its_first_row():
    frame = AttemptBatch(**columns_of(5)).to_frame()
    holes = pl.Series([1, 2, None, 3, None], dtype=pl.UInt64)
    with pytest.raises(ColumnError, match="column 'b_number': 2 nulls, the first in row 2"):
        AttemptBatch.from_frame(frame.with_columns(b_number=holes))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("a_number", pl.Series(["+95912345678"])),
        ("time_us", pl.Series([0]).cast(pl.Datetime("us"))),
        ("channel", pl.Series(["voice"])),
        ("roaming", pl.Series([1], dtype=pl.UInt8)),
    ],
)
def test_a_frame_column_of_another_type_is_refused(name, wrong):
    frame = AttemptBatch(**columns_of(1)).to_frame().with_columns(wrong.alias(name))
    with pytest.raises(ColumnError, match=f"column '{name}': wanted {COLUMNS[name]}, got "):
        AttemptBatch.from_frame(frame)


def test_the_truth_shares_no_column_with_what_rules_may_see():
    hidden = {f.name for f in fields(Truth)}
    assert hidden == {"line_id", "hub", "campaign", "fraud_type", "weight"}
    assert hidden.isdisjoint({f.name for f in fields(AttemptBatch)})
    assert hidden.isdisjoint(Rows._fields)


def test_the_fields_of_a_batch_are_the_visible_columns_in_order():
    assert [f.name for f in fields(AttemptBatch)] == list(COLUMNS)
    assert Rows._fields[: len(COLUMNS)] == tuple(COLUMNS)


@pytest.mark.parametrize("capacity", [1, 1000])
def test_a_working_set_is_empty_and_has_the_types_of_a_batch(capacity):
    rows = empty_rows(capacity)
    assert {name: getattr(rows, name).dtype for name in COLUMNS} == COLUMNS
    for column in rows:
        assert column.shape[-1] == capacity
        assert not column.any()


def test_codes_stand_for_their_names():
    assert (CHANNELS[VOICE], CHANNELS[SMS]) == ("voice", "sms")
    assert VERDICTS == ("deliver", "label", "intercept")
    assert (OUTCOMES[NOT_MADE], OUTCOMES[INTERCEPTED], OUTCOMES[DELIVERED]) == ("not made", "intercepted", "delivered")
    assert ENTRIES == ("international-gateway", "domestic-interconnect", "mobile-access", "a2p-account")


def test_local_time_is_eight_hours_east():
    assert LOCAL_OFFSET_US == 8 * 60 * 60 * 10**6
