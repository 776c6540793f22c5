"""Kernels against their row-by-row twins, and what a chain means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptsim.attempts import COLUMNS, AttemptBatch, empty_rows, link_id
from interceptsim.errors import ColumnError, ConfigurationError
from interceptsim.filtering.kernels import find_listed
from interceptsim.filtering.plan import NumberIndex, PlanBuilder, compile_filter
from interceptsim.filtering.rowwise import Attempt, RowFilter
from interceptsim.registry import policy_kinds

MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
NUMBERS = [0, 1, 12381, 95588, 8613000000000, 8615000000001, 2**64 - 1]


def policy(kind: str, **values: Any) -> Any:
    return policy_kinds()[kind].model_validate({"kind": kind, **values})


def batch_of(attempts: list[Attempt]) -> AttemptBatch:
    columns = list(zip(*attempts, strict=True)) if attempts else [()] * len(Attempt._fields)
    return AttemptBatch(
        **{name: np.array(values, COLUMNS[name]) for name, values in zip(Attempt._fields, columns, strict=True)}
    )


CARRIERS = tuple(f"carrier-{n}" for n in range(200))


def by_rows(policies: list[Any], attempts: list[Attempt]) -> list[tuple[int, ...]]:
    """Decide by the twin in order of time, as ties stand; return in the order of the batch."""
    chain = RowFilter(policies, carriers=CARRIERS)
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
    b_number=st.integers(0, 2**64 - 1) | st.integers(8613000000000, 8613000000003),
    a_kind=st.integers(0, 2),
    entry=st.integers(0, 3),
    b_carrier=st.integers(0, 255),
    roaming=st.booleans(),
    content=st.just(0),
    text_score=st.integers(-2_000_000, 2_000_000),
    link=st.sampled_from([0, link_id("a.example"), link_id("b.example"), 7]),
    a_incoming=st.integers(0, 5),
    answered=st.booleans(),
    duration_us=st.sampled_from([0, 9_999_999, 10_000_000, 60_000_000]),
)
thresholds = st.fixed_dictionaries({"critical": st.integers(0, 4)}, optional={"warn": st.integers(0, 4)})
places = st.lists(
    st.sampled_from(["international-gateway", "domestic-interconnect", "mobile-access", "a2p-account"]),
    min_size=1,
    unique=True,
)
listed = st.lists(st.sampled_from(["12381", "95588", "+8613000000000", "+8615000000001"]), min_size=1, unique=True)
actions = st.sampled_from(["intercept", "label", "observe"])
shares = st.sampled_from([0.0, 0.5, 1.0])
prefixes = st.lists(st.sampled_from(["1", "12", "123", "95", "955", "+86", "+861", "+8613", "+8615", "9"]), unique=True)
limits = st.dictionaries(st.sampled_from(["per_minute", "per_hour", "per_day"]), thresholds, min_size=1)


def ranges(split: list[str], first: int, second: int, **values: Any) -> Any:
    first, second = sorted((first, second))
    parts = {"intercept": split[:first], "label": split[first:second], "spare": split[second:]}
    return policy("reject-number-ranges", **parts, **values)


def fan_out(distinct: Any, bits: int, out: Any, short: Any, **values: Any) -> Any:
    parts = {"distinct": distinct, "outgoing_share": out, "short_calls": short}
    given = {name: part for name, part in parts.items() if part is not None} or {"distinct": {"warn": 2}}
    return policy("limit-fan-out", sketch_bits=bits, **given, **values)


common = {"entries": places, "action": actions}
rules = st.one_of(
    st.builds(lambda n, e: policy("allow-listed-numbers", numbers=n, entries=e), listed, places),
    st.fixed_dictionaries(
        {
            "numbers": listed,
            "adoption_ratio": st.sampled_from([0.0, 0.5, 1.0]),
            "feed": st.sampled_from(["police", "none"]),
            "carriers": st.lists(st.sampled_from(CARRIERS), max_size=100, unique=True),
            **common,
        }
    ).map(lambda v: policy("reject-listed-numbers", **v)),
    st.fixed_dictionaries(common).map(lambda v: policy("reject-spoofed-origin", **v)),
    st.builds(
        lambda p, a, b, v: ranges(p, a, b, **v),
        prefixes.filter(len),
        st.integers(0, 10),
        st.integers(0, 10),
        st.fixed_dictionaries(common),
    ),
    st.builds(
        lambda w, kind, v: policy("limit-attempts", window=kind, **w, **v),
        limits,
        st.sampled_from(["fixed", "leaky-bucket"]),
        st.fixed_dictionaries(common),
    ),
    st.builds(
        lambda d, bits, out, short, per, v: fan_out(d, bits, out, short, per=per, **v),
        st.none() | thresholds,
        st.sampled_from([64, 128, 512]),
        st.none() | st.fixed_dictionaries({"min_attempts": st.integers(1, 3), "critical": shares}),
        st.none()
        | st.fixed_dictionaries(
            {"min_answered": st.integers(1, 3), "critical": shares, "shorter_than": st.sampled_from(["10s", "1min"])}
        ),
        st.sampled_from(["hour", "day"]),
        st.fixed_dictionaries(common),
    ),
    st.builds(
        lambda t, d, v: policy("score-text", threshold=t, label_from=t - d, **v),
        st.floats(-1, 1),
        st.floats(0, 1),
        st.fixed_dictionaries(common),
    ),
    st.fixed_dictionaries({"links": st.lists(st.sampled_from(["a.example", "c.example"]), min_size=1), **common}).map(
        lambda v: policy("reject-listed-links", **v)
    ),
    st.sampled_from(["a_kind = 1 AND NOT roaming", "text_score > 500000 OR b_carrier < 100"]).map(
        lambda sql: policy("match-expression", sql=sql)
    ),
)
late = st.one_of(
    st.builds(
        lambda w, t, x, v: ("score-reputation", {"weights": w, "text_weight": x, "threshold": t, **v}),
        st.dictionaries(st.integers(0, 5), st.floats(-2, 2), min_size=1),
        st.floats(-2, 2),
        st.sampled_from([0.0, -0.7, 1.3]),
        st.fixed_dictionaries({"entries": places, "action": actions}),
    ),
    st.builds(
        lambda when, k: ("label-suspected", {"when": when, "at_least": k}),
        st.lists(st.integers(0, 5), min_size=1, unique=True),
        st.integers(1, 3),
    ),
)


def chain_of(early: list[Any], later: list[tuple[str, dict[str, Any]]], off: set[int]) -> list[Any]:
    """Give each rule an id, later ones references to earlier ones, and switch some off."""
    chain = [p.model_copy(update={"id": f"rule-{n}", "enabled": n not in off}) for n, p in enumerate(early)]
    for n, (kind, values) in enumerate(later):
        given = dict(values, id=f"late-{n}")
        if "weights" in given:
            given["weights"] = {f"rule-{k % len(early)}": w for k, w in given["weights"].items()}
        else:
            given["when"] = sorted({f"rule-{k % len(early)}" for k in given["when"]})
        chain.append(policy(kind, **given))
    return chain


chains = st.builds(
    chain_of,
    st.lists(rules, min_size=1, max_size=6),
    st.lists(late, max_size=2),
    st.sets(st.integers(0, 5), max_size=2),
)


@given(chains, st.lists(attempts, max_size=40))
@settings(max_examples=600)
def test_kernels_decide_as_their_row_by_row_twins(chain: list[Any], rows: list[Attempt]) -> None:
    found = compile_filter(chain, carriers=CARRIERS).decide(batch_of(rows))
    columns = (found.verdict, found.reason, found.matched, found.score)
    assert list(zip(*(c.tolist() for c in columns), strict=True)) == by_rows(chain, rows)


@given(chains, st.lists(attempts, max_size=40), st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_the_order_of_rows_of_different_times_changes_no_decision(chain, rows, random) -> None:
    rows = [row._replace(time_us=1000 * n) for n, row in enumerate(rows)]
    shuffled = list(range(len(rows)))
    random.shuffle(shuffled)
    core = compile_filter(chain, carriers=CARRIERS)
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
@settings(max_examples=100)
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
    rows = empty_rows(max(len(numbers), 1))
    rows.a_number[: len(numbers)] = np.array(list(numbers), np.uint64)
    return rows._replace(slot=rows.slot[: len(numbers)], fresh=rows.fresh[: len(numbers)])


DENSE = {
    "carriers": [policy("reject-listed-numbers", numbers=["12381", "95588"], carriers=CARRIERS[::3])],
    "adoption": [policy("reject-listed-numbers", numbers=["12381"], adoption_ratio=0.37)],
    "ranges": [policy("reject-number-ranges", intercept=["1", "+861"], label=["12", "+8615"], spare=["123", "+8613"])],
    "fixed windows": [
        policy(
            "limit-attempts", per_minute={"warn": 1}, per_hour={"critical": 9}, per_day={"warn": 99, "critical": 199}
        )
    ],
    "buckets": [
        policy("limit-attempts", window="leaky-bucket", per_minute={"warn": 1, "critical": 3}, per_hour={"critical": 7})
    ],
    "warning bucket": [policy("limit-attempts", window="leaky-bucket", per_day={"warn": 77})],
    "sketch": [policy("limit-fan-out", distinct={"warn": 40, "critical": 100}, sketch_bits=128)],
    "sketch by the hour": [policy("limit-fan-out", distinct={"critical": 9}, per="hour", sketch_bits=64)],
    "outgoing": [policy("limit-fan-out", outgoing_share={"min_attempts": 3, "critical": 0.75})],
    "short calls": [
        policy("limit-fan-out", short_calls={"shorter_than": "10s", "min_answered": 4, "critical": 0.5}, per="hour")
    ],
    "links": [policy("reject-listed-links", links=["a.example"], action="label")],
    "symptoms": [
        policy("reject-spoofed-origin", action="observe"),
        policy("limit-attempts", per_hour={"critical": 5}, action="observe"),
        policy("score-text", threshold=0.5, action="observe"),
        policy(
            "score-reputation",
            weights={"reject-spoofed-origin": 0.4, "limit-attempts": 0.35, "score-text": -0.2},
            text_weight=0.3,
            threshold=0.7,
            label_from=0.35,
        ),
        policy("label-suspected", when=["limit-attempts", "reject-spoofed-origin"], at_least=2),
    ],
    "scores beyond 32 bits": [
        policy("reject-spoofed-origin", action="observe"),
        *(
            policy(
                "score-reputation",
                id=f"s{n}",
                weights={"reject-spoofed-origin": 100 * sign},
                text_weight=100 * sign,
                threshold=50,
            )
            for n, sign in enumerate([1] * 20 + [-1] * 3)
        ),
    ],
}


@pytest.mark.parametrize("name", DENSE)
def test_kernels_decide_as_their_twins_where_much_happens(name: str) -> None:
    rng = np.random.default_rng(7)
    n = 4000
    clusters = rng.integers(0, 3 * DAY, 60) // MINUTE * MINUTE
    times_us = clusters[rng.integers(0, 60, n)] + rng.integers(-3, 3 * MINUTE, n) // 10**6 * 10**6
    columns = {
        "time_us": times_us,
        "channel": rng.integers(0, 2, n) if name != "links" else np.ones(n),
        "a_number": np.array(NUMBERS, np.uint64)[rng.integers(0, len(NUMBERS), n)],
        "b_number": rng.integers(0, 300, n),
        "a_kind": rng.integers(0, 3, n),
        "entry": rng.integers(0, 4, n),
        "b_carrier": rng.integers(0, 256, n),
        "roaming": rng.random(n) < 0.2,
        "content": np.zeros(n),
        "text_score": rng.integers(-(10**6), 10**6, n) * (2000 if "32 bits" in name else 1),
        "link": np.array([0, link_id("a.example"), 5])[rng.integers(0, 3, n)],
        "a_incoming": rng.integers(0, 4, n),
        "answered": rng.random(n) < 0.6,
        "duration_us": rng.integers(8, 13, n) * 10**6,
    }
    batch = AttemptBatch(**{key: values.astype(COLUMNS[key]) for key, values in columns.items()})
    rows = [Attempt(*row) for row in batch.to_frame().iter_rows()]
    found = compile_filter(DENSE[name], carriers=CARRIERS).decide(batch)
    decided = list(zip(*(c.tolist() for c in (found.verdict, found.reason, found.matched, found.score)), strict=True))
    assert decided == by_rows(DENSE[name], rows)
    assert (found.matched > 0).sum() > 20
    assert len(np.unique(found.verdict)) > 1


@pytest.mark.parametrize("name", DENSE)
def test_threads_and_the_order_of_rows_change_no_decision(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interceptsim.filtering.plan._MANY", 0)
    rng = np.random.default_rng(3)
    n = 30_000
    numbers = 8615000000000 + rng.integers(0, 40, n)
    batch = AttemptBatch(
        **{
            key: values.astype(COLUMNS[key])
            for key, values in {
                "time_us": rng.permutation(n) * 10**6,
                "channel": rng.integers(0, 2, n),
                "a_number": numbers,
                "b_number": rng.integers(0, 10**4, n),
                "a_kind": rng.integers(0, 3, n),
                "entry": rng.integers(0, 4, n),
                "b_carrier": rng.integers(0, 256, n),
                "roaming": rng.random(n) < 0.2,
                "content": np.zeros(n),
                "text_score": rng.integers(0, 10**6, n),
                "link": rng.integers(0, 5, n),
                "a_incoming": rng.integers(0, 4, n),
                "answered": rng.random(n) < 0.6,
                "duration_us": rng.integers(8, 13, n) * 10**6,
            }.items()
        }
    )
    core = compile_filter(DENSE[name], carriers=CARRIERS)
    one = core.decide(batch, threads=1)
    order = np.argsort(batch.time_us)
    straight = AttemptBatch(**{key: getattr(batch, key)[order] for key in COLUMNS})
    for threads in (2, 3):
        for mixed, back in ((batch, slice(None)), (straight, np.argsort(order))):
            many = core.decide(mixed, threads=threads)
            for column in ("verdict", "reason", "matched", "score"):
                assert (getattr(many, column)[back] == getattr(one, column)).all()


@pytest.mark.parametrize(("bits", "distinct"), [(64, 30), (512, 300), (512, 900), (4096, 2000)])
def test_the_sketch_tells_distinct_numbers_within_its_stated_error(bits: int, distinct: int) -> None:
    """The count at which the rule first intercepts, over 300 numbers: its mean within 4 %, its spread as theory says.

    The standard error of linear counting is sqrt(m (e**t - t - 1)) / (t m) with t = D / m.
    """
    rng = np.random.default_rng(1)
    n, senders = 2 * distinct, 300
    called = rng.integers(0, 2**63, n * senders)

    columns = {name: np.zeros(n * senders, dtype) for name, dtype in COLUMNS.items()}
    columns |= {"b_number": called.astype(np.uint64), "a_number": np.repeat(np.arange(senders, dtype=np.uint64), n)}
    batch = AttemptBatch(**columns)
    core = compile_filter([policy("limit-fan-out", distinct={"critical": distinct}, sketch_bits=bits)])
    hits = core.decide(batch).verdict.reshape(senders, n) == 2
    first = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, n)
    load = distinct / bits
    error = np.sqrt(bits * (np.exp(load) - load - 1)) / (load * bits)
    assert abs(first.mean() / distinct - 1) < 0.04
    assert 0.6 * error < first.std() / distinct < 1.5 * error


@given(st.lists(st.integers(0, 2**64 - 1), max_size=300), st.lists(st.integers(0, 2**64 - 1), max_size=50))
@settings(max_examples=60)
def test_a_list_holds_its_numbers_and_no_other(numbers: list[int], others: list[int]) -> None:
    builder = PlanBuilder()
    arguments = builder.number_list(numbers)
    pool = np.concatenate(builder.pools)
    asked = np.array(numbers + others, np.uint64)
    found = np.zeros(len(asked), np.uint8)
    find_listed(pool, *arguments, asked, found, len(asked))
    assert found.tolist() == [number in set(numbers) for number in numbers + others]


@pytest.mark.slow
def test_a_list_of_ten_million_numbers_takes_at_most_200_megabytes() -> None:
    numbers = np.arange(10**7, dtype=np.uint64) * np.uint64(7919) + np.uint64(8630000000000)
    listed = policy_kinds()["reject-listed-numbers"].of(numbers, feed="none")
    core = compile_filter([listed])
    assert core.pool.nbytes <= 200e6
    batch = batch_of([one(a_number=int(n)) for n in (*numbers[:3], *(numbers[:3] + np.uint64(1)))])
    assert core.decide(batch).verdict.tolist() == [2, 2, 2, 0, 0, 0]


def test_a_thousand_prefixes_decide_as_the_longest_that_fits() -> None:
    """Numbers of every length, at and beside each prefix's first and last, and drawn among them."""
    rng = np.random.default_rng(4)
    heads = {str(head) for head in rng.integers(86_130_000, 86_137_000, 900)}
    heads |= {str(int(head)) for head in 10 ** rng.uniform(0, 15, 100)}
    split = sorted(heads)
    codes = {head: (2, 1, 0)[k % 3] for k, head in enumerate(split)}
    edges = [int(head) * 10**more + end for head in split for more in (0, 1, 5) for end in (-1, 0, 10**more - 1)]
    drawn = [*rng.integers(8_613_000_000_000, 8_613_700_000_000, 20_000), *(10 ** rng.uniform(0, 19, 5000))]
    numbers = [number for number in (*edges, *map(int, drawn), 0, 2**64 - 1) if 0 <= number < 2**64]
    columns = {name: np.zeros(len(numbers), dtype) for name, dtype in COLUMNS.items()}
    batch = AttemptBatch(**{**columns, "a_number": np.array(numbers, np.uint64)})
    rule = policy("reject-number-ranges", **{key: split[k::3] for k, key in enumerate(("intercept", "label", "spare"))})
    wanted = []
    for number in map(str, numbers):
        fits = [number[:k] for k in range(len(number), 0, -1) if number[:k] in codes]
        wanted.append(codes[fits[0]] if fits else 0)
    assert compile_filter([rule]).decide(batch).verdict.tolist() == wanted
    assert len(set(wanted)) == 3


@pytest.mark.parametrize("limited", [False, True])
def test_rules_outside_the_kernels_say_the_same_on_threads(limited: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interceptsim.filtering.plan._MANY", 0)
    rng = np.random.default_rng(5)
    n = 30_000
    columns = {name: np.zeros(n, dtype) for name, dtype in COLUMNS.items()}
    columns |= {"a_number": rng.integers(0, 999, n).astype(np.uint64), "time_us": rng.permutation(n) * 1000}
    columns |= {"text_score": rng.integers(0, 10**6, n).astype(np.int32)}
    batch = AttemptBatch(**columns)
    chain = [policy("match-expression", sql="text_score > 900000"), policy("limit-attempts", per_day={"critical": 20})]
    beyond = np.maximum(np.bincount(batch.a_number.astype(np.int64)) - 20, 0).sum()
    core = compile_filter(chain[: 1 + limited])
    for threads in (1, 2, 3):
        found = core.decide(batch, threads=threads)
        assert ((found.matched & np.uint64(1)) == (batch.text_score > 900_000)).all()
        assert (found.matched > 1).sum() == (beyond if limited else 0)
