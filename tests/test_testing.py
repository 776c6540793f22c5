"""Checks for users' policies find what they are for, and all built-in rules pass them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from interceptsim.registry import policy_kinds
from interceptsim.testing import PolicyFaultError, check_laws, check_policy, sample_batch

RULES: dict[str, dict[str, Any]] = {
    "allow-listed-numbers": {"numbers": ["95588"]},
    "reject-listed-numbers": {"numbers": ["+8615000000001", "12381"]},
    "reject-spoofed-origin": {},
    "reject-number-ranges": {"intercept": ["+95"], "spare": ["+951234567"]},
    "limit-attempts": {"per_day": {"warn": 2, "critical": 4}},
    "limit-fan-out": {
        "distinct": {"critical": 5},
        "short_calls": {"shorter_than": "1min", "min_answered": 2, "critical": 0.5},
    },
    "score-text": {"threshold": 0.7},
    "reject-listed-links": {"links": ["a.example"]},
    "score-reputation": {"text_weight": 1.0, "threshold": 0.8, "label_from": 0.5},
    "match-expression": {"sql": "entry = 0 AND text_score > 300000"},
}


def policy(kind: str, **values: Any) -> Any:
    return policy_kinds()[kind].model_validate({"kind": kind, **RULES[kind], **values})


@pytest.mark.parametrize("kind", RULES)
def test_built_in_rules_keep_no_hidden_state(kind: str) -> None:
    check_policy(policy(kind))


def test_a_policy_that_counts_rows_of_its_own_is_found_out() -> None:
    seen = []

    def third(batch):
        seen.append(len(batch))
        return np.full(len(batch), len(seen) % 3 == 0)

    with pytest.raises(PolicyFaultError, match="rows are decided otherwise"):
        check_policy(third)


def test_a_policy_that_looks_at_the_row_before_is_found_out() -> None:
    with pytest.raises(PolicyFaultError, match="in another order"):
        check_policy(lambda batch: np.concatenate([[False], batch.entry[1:] == batch.entry[:-1]]))


def test_a_policy_that_compares_with_the_batch_is_found_out() -> None:
    with pytest.raises(PolicyFaultError, match="each number by itself"):
        check_policy(lambda batch: batch.text_score > batch.text_score.mean())


def test_a_pure_function_of_each_row_passes() -> None:
    check_policy(lambda batch: (batch.entry == 0) & (batch.a_kind == 1))


STRICTER: dict[str, dict[str, Any]] = {
    "reject-listed-numbers": {"numbers": ["+8615000000001", "12381", "95588"]},
    "reject-number-ranges": {"intercept": ["+95", "+861500"]},
    "limit-attempts": {"per_day": {"warn": 1, "critical": 2}},
    "limit-fan-out": {"distinct": {"critical": 3}},
    "score-text": {"threshold": 0.5},
}


@pytest.mark.parametrize("kind", STRICTER)
def test_a_longer_list_or_a_stricter_threshold_never_catches_less(kind: str) -> None:
    milder = policy(kind) if kind != "limit-fan-out" else policy(kind, short_calls=None)
    check_laws([milder], stricter=[policy_kinds()[kind].model_validate({"kind": kind, **STRICTER[kind]})])
    with pytest.raises(PolicyFaultError, match="stricter chain lets pass"):
        check_laws([policy_kinds()[kind].model_validate({"kind": kind, **STRICTER[kind]})], stricter=[milder])


def test_a_chain_catches_at_least_what_each_rule_does() -> None:
    intercepting = [k for k in RULES if k not in ("allow-listed-numbers", "score-reputation", "match-expression")]
    check_laws([policy(kind) for kind in intercepting])
    with pytest.raises(PolicyFaultError, match="alone catches rows that the chain lets pass"):
        check_laws(
            [policy("allow-listed-numbers", numbers=["+8615000000001", "12381"]), policy("reject-listed-numbers")]
        )


def test_the_sample_has_every_column_and_is_the_same_each_time() -> None:
    first, second = sample_batch(100), sample_batch(100)
    assert (first.a_number == second.a_number).all()
    assert first.duration_us is not None
