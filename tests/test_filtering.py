"""Kernels against their row-by-row twins, and what a chain means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptsim.attempts import COLUMNS, AttemptBatch
from interceptsim.errors import ColumnError, ConfigurationError
from interceptsim.filtering.plan import NumberIndex, compile_filter
from interceptsim.filtering.policies import POLICIES
from interceptsim.filtering.rowwise import Attempt, RowFilter

MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
NUMBERS = [0, 1, 12381, 95588, 8613000000000, 8615000000001, 2**64 - 1]


def policy(kind: str, **values: Any) -> Any:
    return POLICIES[kind].model_validate({"kind": kind, **values})


def batch_of(attempts: list[Attempt]) -> AttemptBatch:
    columns = list(zip(*attempts, strict=True)) if attempts else [()] * len(Attempt._fields)
    return AttemptBatch(
        **{name: np.array(values, COLUMNS[name]) for name, values in zip(Attempt._fields, columns, strict=True)}
    )


def by_rows(policies: list[Any], attempts: list[Attempt]) -> list[tuple[int, int, int]]:
    """Decide by the twin in order of time, as ties stand; return in the order of the batch."""
    chain = RowFilter(policies)
    order = sorted(range(len(attempts)), key=lambda i: attempts[i].time_us)
    found = {i: chain.decide(attempts[i]) for i in order}
    return [found[i] for i in range(len(attempts))]


# Few numbers and times that cluster at window edges, so that limits are met and edges are hit.
times = st.builds(
    lambda edge, window, off: edge * window - 8 * HOUR + off,
    st.integers(0, 3),
    st.sampled_from([MINUTE, HOUR, DAY]),
    st.sampled_from([-1, 0, 1, 500]),
) | st.sampled_from([-62_135_596_800_000_000, 253_402_300_799_999_999])
attempts = st.builds(
    Attempt,
    time_us=times,
    channel=st.integers(0, 1),
    a_number=st.sampled_from(NUMBERS),
    b_number=st.integers(0, 2**64 - 1),
    a_kind=st.integers(0, 2),
    entry=st.integers(0, 3),
    b_carrier=st.integers(0, 255),
    roaming=st.booleans(),
    content=st.just(0),
    text_score=st.integers(-2_000_000, 2_000_000),
)
thresholds = st.fixed_dictionaries({"critical": st.integers(0, 4)}, optional={"warn": st.integers(0, 4)})
places = st.lists(
    st.sampled_from(["international-gateway", "domestic-interconnect", "mobile-access", "a2p-account"]),
    min_size=1,
    unique=True,
)
listed = st.lists(st.sampled_from(["12381", "95588", "+8613000000000", "+8615000000001"]), min_size=1, unique=True)
rules = st.one_of(
    st.builds(lambda n, e: policy("allow-listed-numbers", numbers=n, entries=e), listed, places),
    st.builds(
        lambda n, a, e: policy("reject-listed-numbers", numbers=n, adoption_ratio=a, entries=e),
        listed,
        st.floats(0, 1),
        places,
    ),
    st.builds(lambda e: policy("reject-spoofed-origin", entries=e), places),
    st.builds(
        lambda w, e: policy("limit-attempts", entries=e, **w),
        st.dictionaries(st.sampled_from(["per_minute", "per_hour", "per_day"]), thresholds, min_size=1),
        places,
    ),
    st.builds(lambda t, d: policy("score-text", threshold=t, label_from=t - d), st.floats(-1, 1), st.floats(0, 1)),
)
chains = st.lists(rules, max_size=6).map(
    lambda chain: [p.model_copy(update={"id": f"rule-{n}"}) for n, p in enumerate(chain)]
)


@given(chains, st.lists(attempts, max_size=40))
@settings(max_examples=400, deadline=None)
def test_kernels_decide_as_their_row_by_row_twins(chain: list[Any], rows: list[Attempt]) -> None:
    found = compile_filter(chain).decide(batch_of(rows))
    decided = list(zip(found.verdict.tolist(), found.reason.tolist(), found.matched.tolist(), strict=True))
    assert decided == by_rows(chain, rows)


@given(chains, st.lists(attempts, max_size=40), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_order_of_rows_of_different_times_changes_no_decision(chain, rows, random) -> None:
    rows = [row._replace(time_us=1000 * n) for n, row in enumerate(rows)]
    shuffled = list(range(len(rows)))
    random.shuffle(shuffled)
    core = compile_filter(chain)
    straight, mixed = core.decide(batch_of(rows)), core.decide(batch_of([rows[i] for i in shuffled]))
    assert straight.verdict[shuffled].tolist() == mixed.verdict.tolist()
    assert straight.reason[shuffled].tolist() == mixed.reason.tolist()


def one(**changes: Any) -> Attempt:
    plain = Attempt(DAY, 0, 8615000000001, 8613000000000, 1, 2, 0, False, 0, 0)
    return plain._replace(**changes)


def verdicts(chain: list[Any], rows: list[Attempt]) -> list[int]:
    return compile_filter(chain).decide(batch_of(rows)).verdict.tolist()


def test_an_empty_chain_delivers_everything() -> None:
    assert verdicts([], [one(), one(a_kind=0)]) == [0, 0]


def test_allow_beats_intercept_and_intercept_beats_label_whatever_their_order() -> None:
    allow = policy("allow-listed-numbers", numbers=["+8615000000001"])
    limit = policy("limit-attempts", per_day={"critical": 0})
    label = policy("limit-attempts", id="label", per_day={"warn": 0})
    for chain in ([allow, limit, label], [label, limit, allow]):
        found = compile_filter(chain).decide(batch_of([one()]))
        assert found.verdict.tolist() == [0]
        assert compile_filter(chain).rules[found.reason[0] - 1] == "allow-listed-numbers"
        assert found.matched.tolist() == [0b111]
    assert verdicts([label, limit], [one()]) == [2]


def test_among_equals_the_rule_that_stands_first_gives_the_reason() -> None:
    first, second = (policy("limit-attempts", id=name, per_day={"critical": 0}) for name in ("a", "b"))
    assert compile_filter([first, second]).decide(batch_of([one()])).reason.tolist() == [1]


def test_a_limit_counts_attempts_that_other_rules_intercept() -> None:
    chain = [policy("reject-spoofed-origin"), policy("limit-attempts", per_day={"critical": 2})]
    spoofed = [one(time_us=DAY + n, entry=0) for n in range(2)]
    found = compile_filter(chain).decide(batch_of([*spoofed, one(time_us=DAY + 5)]))
    assert found.verdict.tolist() == [2, 2, 2]
    assert found.reason.tolist() == [1, 1, 2]


def test_a_limit_does_not_count_what_passes_elsewhere() -> None:
    chain = [policy("limit-attempts", per_day={"critical": 1}, entries=["mobile-access"])]
    assert verdicts(chain, [one(entry=1), one(time_us=DAY + 1), one(time_us=DAY + 2)]) == [0, 0, 2]


def test_windows_begin_at_local_midnight() -> None:
    midnight = 10 * DAY - 8 * HOUR  # UTC of midnight in Shanghai
    chain = [policy("limit-attempts", per_day={"critical": 1})]
    rows = [one(time_us=midnight + n) for n in (-2, -1, 0, 1)]
    assert verdicts(chain, rows) == [0, 2, 0, 2]


def test_roamers_pass_the_origin_rule() -> None:
    chain = [policy("reject-spoofed-origin")]
    assert verdicts(chain, [one(entry=0), one(entry=0, roaming=True), one(entry=0, a_kind=0)]) == [2, 0, 0]


def test_a_switched_off_rule_is_gone_from_the_plan() -> None:
    core = compile_filter([policy("reject-spoofed-origin", enabled=False), policy("score-text", threshold=1)])
    assert core.rules == ("score-text",)


def test_two_policies_of_one_id_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="two policies share this id"):
        compile_filter([policy("reject-spoofed-origin"), policy("reject-spoofed-origin")])


def test_more_than_64_rules_are_refused() -> None:
    chain = [policy("reject-spoofed-origin", id=f"r{n}") for n in range(65)]
    with pytest.raises(ConfigurationError, match="at most 64"):
        compile_filter(chain)


def test_a_rule_that_reads_an_absent_column_is_refused() -> None:
    batch = batch_of([one()])
    without = AttemptBatch(**{name: getattr(batch, name) for name in COLUMNS if name != "text_score"})
    with pytest.raises(ColumnError, match="score-text reads column 'text_score'"):
        compile_filter([policy("score-text", threshold=0.5)]).decide(without)


@given(st.lists(st.integers(0, 2**64 - 1) | st.sampled_from(NUMBERS), max_size=60), st.integers(1, 7))
@settings(max_examples=100, deadline=None)
def test_the_index_gives_each_number_one_slot_for_ever(numbers: list[int], cut: int) -> None:
    index = NumberIndex(1)
    slots: dict[int, int] = {}
    for at in range(0, len(numbers), cut):
        part = numbers[at : at + cut]
        rows = _rows_of(part)
        index.find(rows, len(part))
        for number, slot, fresh in zip(part, rows.slot.tolist(), rows.fresh.tolist(), strict=True):
            assert fresh == (number not in slots)
            assert slots.setdefault(number, slot) == slot
    assert sorted(slots.values()) == list(range(len(slots)))


def test_the_index_grows_past_its_first_size_and_forgets_when_cleared() -> None:
    index = NumberIndex(2)
    rows = _rows_of(range(5000))
    index.find(rows, 5000)
    index.state[:5000, 0] = rows.slot
    again = _rows_of(range(4999, 9000))
    index.find(again, 4001)
    assert again.slot[0] == 4999
    assert index.state[4999, 0] == 4999
    index.clear()
    index.find(rows, 5000)
    assert rows.fresh.all()


def _rows_of(numbers: Any) -> Any:
    from interceptsim.attempts import empty_rows

    rows = empty_rows(max(len(numbers), 1))
    rows.a_number[: len(numbers)] = np.array(list(numbers), np.uint64)
    return rows._replace(slot=rows.slot[: len(numbers)], fresh=rows.fresh[: len(numbers)])
