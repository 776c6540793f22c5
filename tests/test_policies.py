"""Policies as they are declared: their parameters, what they refuse, and what they hand to the compiler."""

from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from interceptsim.attempts import CHANNELS, ENTRIES, SCORE_ONE, AttemptBatch
from interceptsim.cli import main
from interceptsim.errors import ColumnError
from interceptsim.filtering.kernels import ARGUMENTS, MAX_COUNT, NO_LIMIT, OP_CHANNELS, OP_ENTRIES
from interceptsim.filtering.plan import compile_filter
from interceptsim.filtering.policies import (
    AllowListedNumbers,
    FilterPolicy,
    LimitAttempts,
    RejectListedNumbers,
    RejectSpoofedOrigin,
    ScoreText,
    Threshold,
)
from interceptsim.randomness import threshold
from interceptsim.registry import AnyPolicy, policy_kinds
from interceptsim.units import HOUR_US, MINUTE_US

LEAST: dict[str, dict[str, Any]] = {
    "allow-listed-numbers": {"numbers": ["12381"]},
    "reject-listed-numbers": {},
    "reject-spoofed-origin": {},
    "reject-number-ranges": {"intercept": ["+95"]},
    "limit-attempts": {"per_day": {"critical": 5}},
    "limit-fan-out": {"distinct": {"critical": 50}},
    "score-text": {"threshold": 0.6},
    "reject-listed-links": {"links": ["a.example"]},
    "score-reputation": {"text_weight": 1.0, "threshold": 0.9},
    "match-expression": {"sql": "entry = 0"},
}
"""The fewest parameters each kind needs."""

ANY_POLICY = TypeAdapter(AnyPolicy)

kinds = pytest.mark.parametrize("kind", LEAST)


def policy(kind, **parameters):
    """Return a policy of a kind, with the parameters it needs and those that are given."""
    return policy_kinds()[kind].model_validate({"kind": kind, **LEAST[kind], **parameters})


def arguments_of(*policies):
    """Return the arguments of the only operation that a chain compiles to."""
    (row,) = compile_filter(policies).ops
    return row[ARGUMENTS:].tolist()


def batch_of(**columns):
    """Return attempts that differ in the given columns and are alike, and dull, in all others."""
    length = max(len(values) for values in columns.values())
    dull = {
        "time_us": np.full(length, 1_735_689_600_000_000),
        "channel": np.zeros(length, np.uint8),
        "a_number": np.arange(8613800000000, 8613800000000 + length).astype(np.uint64),
        "b_number": np.full(length, 8613900000000, np.uint64),
        "a_kind": np.ones(length, np.uint8),
        "entry": np.full(length, 2, np.uint8),
        "b_carrier": np.zeros(length, np.uint8),
        "roaming": np.zeros(length, np.bool_),
        "content": np.zeros(length, np.uint32),
        "text_score": np.zeros(length, np.int32),
    }
    given = {name: np.asarray(values).astype(dull[name].dtype) for name, values in columns.items()}
    return AttemptBatch(**{**dull, **given})


def verdicts_of(batch, *policies):
    return compile_filter(policies).decide(batch).verdict.tolist()


# What all policies share


def test_every_kind_is_registered_under_its_own_name():
    assert set(LEAST) <= set(policy_kinds())
    for kind, declared in policy_kinds().items():
        assert declared.model_json_schema()["properties"]["kind"]["const"] == kind


@kinds
def test_a_policy_is_what_the_compiler_asks_for(kind):
    assert isinstance(policy(kind), FilterPolicy)


@kinds
def test_the_id_of_a_policy_is_its_kind_unless_another_is_given(kind):
    assert policy(kind).id == kind
    assert policy(kind, id="mine").id == "mine"


@kinds
@pytest.mark.parametrize("bad", ["", "Upper", "two words", "a.b", "-a", "a" * 61, None])
def test_an_id_is_a_plain_name(kind, bad):
    with pytest.raises(ValidationError):
        policy(kind, id=bad)


@kinds
def test_a_policy_refuses_what_it_does_not_know(kind):
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        policy(kind, strenght=1)


@kinds
def test_a_policy_cannot_be_changed(kind):
    with pytest.raises(ValidationError, match="frozen"):
        policy(kind).enabled = False


@kinds
def test_a_policy_that_is_off_is_left_out_of_the_plan(kind):
    assert compile_filter([policy(kind)]).rules == (kind,)
    off = compile_filter([policy(kind, enabled=False)])
    assert (off.rules, len(off.ops)) == ((), 0)


@kinds
def test_a_policy_acts_on_all_it_supports_unless_told_otherwise(kind):
    declared = policy(kind)
    assert declared.channels == (("sms",) if kind in ("score-text", "reject-listed-links") else CHANNELS)
    assert declared.entries == ENTRIES


@kinds
def test_a_policy_needs_a_channel_and_an_entry(kind):
    with pytest.raises(ValidationError, match="at least 1 item"):
        policy(kind, channels=[])
    with pytest.raises(ValidationError, match="at least 1 item"):
        policy(kind, entries=[])


@kinds
@pytest.mark.parametrize("bad", [{"channels": ["fax"]}, {"entries": ["satellite"]}, {"channels": "voice"}])
def test_an_unknown_channel_or_entry_is_refused(kind, bad):
    with pytest.raises(ValidationError):
        policy(kind, **bad)


@kinds
@given(st.sets(st.sampled_from(ENTRIES), min_size=1))
def test_channels_and_entries_become_bits(kind, entries):
    (row,) = compile_filter([policy(kind, channels=["sms"], entries=sorted(entries))]).ops
    assert row[OP_CHANNELS] == 2
    assert [name for bit, name in enumerate(ENTRIES) if row[OP_ENTRIES] >> bit & 1] == [
        e for e in ENTRIES if e in entries
    ]


def test_a_rule_decides_on_its_own_channels_and_entries_alone():
    batch = batch_of(channel=[0, 0, 1, 1], entry=[2, 3, 2, 3], a_number=[7] * 4)
    limit = policy("limit-attempts", channels=["sms"], entries=["a2p-account"], per_day={"critical": 0})
    assert verdicts_of(batch, limit) == [0, 0, 0, 2]


# An entry read by its kind


@kinds
def test_an_entry_is_read_by_its_kind(kind):
    found = ANY_POLICY.validate_python({"kind": kind, **LEAST[kind]})
    assert type(found) is policy_kinds()[kind]
    assert ANY_POLICY.validate_python(found) is found


@kinds
def test_a_written_policy_reads_back_equal(kind):
    declared = policy(kind, id="mine", enabled=False, entries=["mobile-access"])
    written = ANY_POLICY.dump_python(declared, mode="json")
    assert None not in written.values()
    assert ANY_POLICY.validate_python(written) == declared


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"kind": "score-txt"}, "no such policy: 'score-txt'; did you mean 'score-text'?"),
        ({"kind": "xyzzy"}, "no such policy: 'xyzzy'"),
        ({"kind": 3}, "no such policy: 3"),
        ({"kind": []}, "no such policy"),
        ({"threshold": 1}, "wanted a table with the 'kind' of a policy"),
        ("score-text", "wanted a table with the 'kind' of a policy"),
        (None, "wanted a table with the 'kind' of a policy"),
    ],
)
def test_an_entry_of_no_known_kind_is_refused_with_the_nearest(given, told):
    with pytest.raises(ValidationError) as caught:
        ANY_POLICY.validate_python(given)
    assert caught.value.errors()[0]["msg"].startswith(told)


def test_an_error_inside_an_entry_keeps_its_place():
    with pytest.raises(ValidationError) as caught:
        ANY_POLICY.validate_python({"kind": "limit-attempts", "per_day": {"warn": -1}})
    assert caught.value.errors()[0]["loc"] == ("per_day", "warn")


# Lists of numbers


@pytest.mark.parametrize("kind", ["allow-listed-numbers", "reject-listed-numbers"])
def test_a_listed_number_must_be_one(kind):
    with pytest.raises(ValidationError, match="wanted a telephone number"):
        policy(kind, numbers=["12381", "call me"])


def test_an_allow_list_is_not_empty():
    with pytest.raises(ValidationError, match="wanted 'numbers' or a 'file' of them"):
        AllowListedNumbers(kind="allow-listed-numbers", numbers=())


def test_numbers_are_listed_as_they_are_dialled():
    allowed = policy("allow-listed-numbers", numbers=["12381", "13800138000", "+95 9 1234 5678"])
    assert set(allowed.listed().tolist()) == {12381, 8613800138000, 95912345678}


def test_listed_numbers_pass_or_are_intercepted():
    batch = batch_of(a_number=[12381, 95588, 8613800138000])
    listed = policy("reject-listed-numbers", numbers=["95588", "12381"])
    assert verdicts_of(batch, listed) == [2, 2, 0]
    assert verdicts_of(batch, listed, policy("allow-listed-numbers")) == [0, 2, 0]


def test_a_reject_list_is_published_hourly_and_used_by_all_after_two_hours_unless_told_otherwise():
    declared = RejectListedNumbers(kind="reject-listed-numbers")
    assert (declared.numbers, declared.adoption_ratio) == ((), 1.0)
    assert declared.publish_every == HOUR_US
    assert declared.delay.law == (0, 2 * HOUR_US, 0.0, 0.0)


def test_a_reject_list_is_published_every_minute_at_the_most():
    assert policy("reject-listed-numbers", publish_every="1min").publish_every == MINUTE_US
    with pytest.raises(ValidationError, match="every minute"):
        policy("reject-listed-numbers", publish_every="59s")


@pytest.mark.parametrize("bad", [-0.1, 1.1, "most"])
def test_adoption_is_a_share(bad):
    with pytest.raises(ValidationError):
        policy("reject-listed-numbers", adoption_ratio=bad)


def test_adoption_becomes_a_threshold_and_each_list_has_its_own_subscribers():
    one = arguments_of(policy("reject-listed-numbers", adoption_ratio=0.25))
    other = arguments_of(policy("reject-listed-numbers", adoption_ratio=0.25, id="other"))
    assert one[5] == other[5] == threshold(0.25) == 2**30
    assert one[6] != other[6]


def test_a_list_that_a_quarter_adopts_stops_a_quarter():
    random = np.random.default_rng(1)
    subscribers = random.choice(10**9, 20_000, replace=False) + 86_130_0000_0000
    batch = batch_of(a_number=np.full(20_000, 95588), b_number=subscribers)
    quarter = verdicts_of(batch, policy("reject-listed-numbers", numbers=["95588"], adoption_ratio=0.25))
    assert abs(quarter.count(2) - 5000) < 4 * 61
    half = verdicts_of(batch, policy("reject-listed-numbers", numbers=["95588"], adoption_ratio=0.5))
    assert all(h == 2 for q, h in zip(quarter, half, strict=True) if q == 2)


# Spoofed origin


def test_a_domestic_number_from_abroad_is_intercepted_unless_it_roams():
    batch = batch_of(entry=[0, 0, 0, 0, 2], a_kind=[1, 2, 0, 1, 1], roaming=[0, 0, 0, 1, 0])
    assert verdicts_of(batch, RejectSpoofedOrigin(kind="reject-spoofed-origin")) == [2, 2, 0, 0, 0]


# Limits


def test_a_threshold_needs_one_of_its_counts():
    with pytest.raises(ValidationError, match="wanted 'warn', 'critical' or both"):
        Threshold()


@pytest.mark.parametrize("bad", [-1, 1_000_001, 1.5, "many"])
def test_a_count_fits_its_word(bad):
    assert Threshold(warn=1_000_000).warn == 1_000_000 < MAX_COUNT // 16
    with pytest.raises(ValidationError):
        Threshold(warn=bad)


@pytest.mark.parametrize(
    ("given", "bounds"),
    [
        ({"warn": 3}, [3, int(NO_LIMIT)]),
        ({"critical": 9}, [int(NO_LIMIT), 9]),
        ({"warn": 0, "critical": 0}, [0, 0]),
    ],
)
def test_a_bound_that_is_not_given_is_never_reached(given, bounds):
    assert Threshold.model_validate(given).bounds == bounds


def test_a_limit_needs_a_window():
    with pytest.raises(ValidationError, match="at least one of 'per_minute', 'per_hour', 'per_day'"):
        LimitAttempts(kind="limit-attempts")


def test_the_windows_of_a_limit_stand_in_their_order():
    none = int(NO_LIMIT)
    declared = policy("limit-attempts", per_minute={"warn": 2}, per_day={"warn": 4, "critical": 6})
    assert arguments_of(declared)[:6] == [2, none, none, none, 4, 6]
    assert compile_filter([declared]).words == 2  # one for each window that is limited


def test_attempts_beyond_a_count_are_labelled_and_then_intercepted():
    batch = batch_of(a_number=[7] * 6)
    assert verdicts_of(batch, policy("limit-attempts", per_day={"warn": 2, "critical": 4})) == [0, 0, 1, 1, 2, 2]


# Text scores


@pytest.mark.parametrize("channels", [["voice"], ["sms", "voice"]])
def test_a_call_has_no_text(channels):
    with pytest.raises(ValidationError, match="this rule works on sms, not on 'voice'"):
        policy("score-text", channels=channels)


def test_labels_begin_at_or_below_the_threshold():
    assert policy("score-text", label_from=0.6).label_from == 0.6
    with pytest.raises(ValidationError, match="'label_from' lies at or below 'threshold'"):
        policy("score-text", label_from=0.61)


@pytest.mark.parametrize("bad", [100.1, -100.1, float("nan"), "high", None])
def test_a_score_has_bounds(bad):
    with pytest.raises(ValidationError):
        policy("score-text", threshold=bad)


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_scores_become_fixed_point(one, other):
    low, high = sorted([one, other])
    bounds = arguments_of(policy("score-text", threshold=high, label_from=low))[:2]
    assert np.allclose(np.array(bounds) / SCORE_ONE, [low, high], rtol=0, atol=0.5 / SCORE_ONE)


def test_messages_are_labelled_and_intercepted_from_their_scores_on():
    batch = batch_of(channel=[1] * 5, text_score=[399_999, 400_000, 599_999, 600_000, 2_000_000])
    assert verdicts_of(batch, policy("score-text", label_from=0.4)) == [0, 1, 1, 2, 2]
    assert verdicts_of(batch, policy("score-text")) == [0, 0, 0, 2, 2]


def test_a_batch_without_scores_is_refused_by_the_rule_that_reads_them():
    batch = AttemptBatch(**{**vars(batch_of(channel=[1])), "text_score": None})
    with pytest.raises(ColumnError, match=r"policies\.mine reads column 'text_score', which the batch lacks"):
        compile_filter([ScoreText(kind="score-text", id="mine", threshold=0.5)]).decide(batch)


# Mistakes, as the command tells them


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ('kind = "score-txt"', "did you mean 'score-text'"),
        (
            'kind = "score-text"\nthreshhold = 1',
            "policies.score-text.threshhold: no such key; did you mean 'threshold'",
        ),
        ('kind = "limit-attempts"\nper_day = { critical = "many" }', "per_day.critical: got 'many'"),
        ('kind = "score-text"\nthreshold = 0.5\nchannels = ["voice"]', "works on sms, not on 'voice'"),
        ('kind = "match-expression"\nsql = "entri = 0"', "no column 'entri'; did you mean 'entry'"),
        ('kind = "match-expression"\nsql = "entry = = 0"', "not an SQL expression"),
        ('kind = "match-expression"\nsql = "SUM(entry) > 0"', "no aggregate, window or sub-query"),
        ('kind = "match-expression"\nsql = "entry > LAG(entry) OVER (ORDER BY time_us)"', "no aggregate, window"),
        ('kind = "match-expression"\nsql = "RANK() OVER (ORDER BY entry) > 1"', "no aggregate, window or sub-query"),
        ('kind = "match-expression"\nsql = "read_csv(1)"', "not an SQL expression"),
        ('kind = "match-expression"\nsql = "entry"', "true or false, this one is"),
        ('kind = "match-expression"\nsql = "duration_us > 5"', "reads column 'duration_us'"),
        ('kind = "reject-listed-numbers"\nfile = "nowhere.txt"', "nowhere.txt: cannot be read"),
        ('kind = "reject-listed-numbers"\nfile = "list.txt"', "list.txt, line 3: got '12x45'"),
        ('kind = "reject-listed-numbers"\ncarriers = ["onne"]', "no carrier 'onne'; did you mean 'one'"),
        ('kind = "label-suspected"\nwhen = ["scoretext"]', "no rule 'scoretext' in the chain"),
        ('kind = "reject-number-ranges"\nintercept = ["+0x"]', "'+0x' is no prefix"),
        ('kind = "limit-fan-out"\nsketch_bits = 64\ndistinct = { critical = 500 }', "tell up to 128 numbers apart"),
    ],
)
def test_a_mistake_in_a_policy_is_told_in_one_line(entry, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("+8613800138000\n# a comment\n12x45\n", "utf-8")
    (tmp_path / "chain.toml").write_text(f"[[policies]]\n{entry}\n", "utf-8")
    done = CliRunner().invoke(main, ["run", "minimal", "--scale", "100000", "--policies", "chain.toml"])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert told in done.stderr
