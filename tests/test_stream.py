"""A stream of batches is decided as one batch, wherever it is cut, and lists hold from their time on."""

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptsim.attempts import INTERCEPT, AttemptBatch
from interceptsim.bench import make
from interceptsim.errors import ColumnError, ConfigurationError
from interceptsim.filtering.plan import compile_filter
from interceptsim.filtering.policies import LimitAttempts, RejectListedNumbers
from interceptsim.filtering.stream import FilterStream
from interceptsim.units import DAY_US, HOUR_US

START = 20_000 * DAY_US


def attempts(times, numbers):
    n = len(times)
    plain = {name: np.zeros(n, np.uint8) for name in ("channel", "a_kind", "entry", "b_carrier")}
    return AttemptBatch(
        time_us=START + np.array(times, np.int64) * HOUR_US,
        a_number=np.array(numbers, np.uint64),
        b_number=np.full(n, 8613800000000, np.uint64),
        roaming=np.zeros(n, np.bool_),
        content=np.zeros(n, np.uint32),
        **plain,
    )


def cut(batch, cuts):
    frame = batch.to_frame()
    edges = [0, *cuts, len(frame)]
    return [AttemptBatch.from_frame(frame[a:b]) for a, b in itertools.pairwise(edges)]


@pytest.mark.slow
@given(st.lists(st.integers(0, 3000), max_size=6).map(sorted), st.integers(1, 3))
@settings(max_examples=25)
def test_where_batches_are_cut_changes_no_decision(cuts, threads):
    work = make("chain of ten", 3000)
    core = compile_filter(work.chain)
    stream = FilterStream(core, threads)
    found = [stream.decide(batch) for batch in cut(work.batch, cuts)]
    whole = core.decide(work.batch, 1)
    for name, values in vars(whole).items():
        assert (np.concatenate([getattr(f, name) for f in found]) == values).all()


def test_windows_begin_anew_at_midnight_and_buckets_do_not():
    batch = attempts([10, 11, 15.5, 15.9, 16.1, 16.2], [1380013800] * 6)  # midnight in Shanghai is 16:00 UTC
    for window, expected in (("fixed", [0, 0, 2, 2, 0, 0]), ("leaky-bucket", [0, 0, 2, 2, 2, 2])):
        policy = LimitAttempts(kind="limit-attempts", window=window, per_day={"critical": 2})
        core = compile_filter([policy])
        assert core.forgets == (window == "fixed")
        for cuts in ([], [1, 2, 3, 4, 5]):
            stream = FilterStream(core, 1)
            found = np.concatenate([stream.decide(b).verdict for b in cut(batch, cuts)])
            assert found.tolist() == expected


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(1, 4)), min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(0, 90), st.integers(1, 5)), max_size=12),
    st.lists(st.integers(0, 40), max_size=4).map(sorted),
    st.sampled_from([None, "1d"]),
)
@settings(max_examples=60)
def test_a_number_is_listed_from_its_time_until_it_expires(made, listed, cuts, expires):
    made.sort(key=lambda attempt: attempt[0])
    batch = attempts([t for t, _ in made], [1380013800 + k for _, k in made])
    rows = [("list", 1380013800 + k, START + t * HOUR_US) for t, k in listed]
    listings = pl.DataFrame(rows, {"policy": pl.String, "a_number": pl.UInt64, "from_us": pl.Int64}, orient="row")
    policies = [
        RejectListedNumbers(kind="reject-listed-numbers", id="list", expires_after=expires),
        LimitAttempts(kind="limit-attempts", per_hour={"warn": 1}),
    ]
    stream = FilterStream(compile_filter(policies), 2, listings)
    found = [v for b in cut(batch, [min(c, len(made)) for c in cuts]) for v in stream.decide(b).verdict.tolist()]
    hours = {}
    for (time, k), verdict in zip(made, found, strict=True):
        hours[k, time] = hours.get((k, time), 0) + 1
        last = max((t for t, number in listed if number == k and t <= time), default=None)
        on_list = last is not None and (expires is None or time - last < 24)
        assert verdict == (INTERCEPT if on_list else int(hours[k, time] > 1))


def test_batches_out_of_order_are_refused():
    core = compile_filter([LimitAttempts(kind="limit-attempts", per_hour={"warn": 1})])
    stream = FilterStream(core, 1)
    with pytest.raises(ColumnError, match="follow one another"):
        stream.decide(attempts([2, 1], [110, 110]))
    stream.decide(attempts([5], [110]))
    with pytest.raises(ColumnError, match="follow one another"):
        stream.decide(attempts([4], [110]))
    assert len(stream.decide(attempts([], [])).verdict) == 0


def test_a_frame_of_listings_without_its_columns_is_refused():
    core = compile_filter([RejectListedNumbers(kind="reject-listed-numbers")])
    with pytest.raises(ConfigurationError, match="wanted a column 'a_number' of UInt64"):
        FilterStream(core, 1, pl.DataFrame({"policy": ["x"]}))
