"""Checks that anyone's policy can be put to: does it keep state it must not keep, does it obey the laws of filters.

`check_policy` cuts and permutes batches; `check_laws` compares what chains intercept on one batch. Both raise
`PolicyFaultError` with the first rows that tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interceptsim.attempts import COLUMNS, INTERCEPT, AttemptBatch
from interceptsim.errors import InterceptSimError
from interceptsim.filtering.outside import blocking
from interceptsim.filtering.plan import compile_filter

__all__ = ["PolicyFaultError", "check_laws", "check_policy", "sample_batch"]


class PolicyFaultError(InterceptSimError):
    """A policy does not decide as policies have to."""


def sample_batch(n: int = 2000, seed: int = 1) -> AttemptBatch:
    """Return n attempts of a few hundred numbers over two days, every column present, in order of time."""
    rng = np.random.default_rng(seed)
    start = 20_000 * 86_400_000_000
    columns = {
        "time_us": start + np.sort(rng.integers(0, 2 * 86_400_000_000, n)),
        "channel": rng.integers(0, 2, n),
        "a_number": rng.choice([12381, 95588, *range(8615000000000, 8615000000200), *range(95123456, 95123496)], n),
        "b_number": 8613000000000 + rng.integers(0, 10**6, n),
        "a_kind": rng.integers(0, 3, n),
        "entry": rng.integers(0, 4, n),
        "b_carrier": rng.integers(0, 4, n),
        "roaming": rng.random(n) < 0.1,
        "content": rng.integers(0, 100, n),
        "text_score": rng.integers(0, 1_000_000, n),
        "link": rng.integers(0, 50, n),
        "a_incoming": rng.integers(0, 20, n),
        "answered": rng.random(n) < 0.4,
        "duration_us": rng.integers(0, 120_000_000, n),
    }
    return AttemptBatch(**{name: values.astype(COLUMNS[name]) for name, values in columns.items()})


def _taken(batch: AttemptBatch, rows: NDArray[np.intp]) -> AttemptBatch:
    given = {name: getattr(batch, name) for name in COLUMNS}
    return AttemptBatch(**{name: column[rows] for name, column in given.items() if column is not None})


def _decided(policies: list[Any], batch: AttemptBatch) -> NDArray[np.int64]:
    found = compile_filter(policies).decide(batch)
    return np.stack([found.verdict, found.reason, found.score], axis=1).astype(np.int64)


def _same(what: str, wanted: NDArray[np.int64], found: NDArray[np.int64]) -> None:
    rows = np.flatnonzero((wanted != found).any(axis=1))
    if len(rows):
        raise PolicyFaultError(f"{what}: {len(rows)} rows are decided otherwise, the first {rows[:5].tolist()}")


def check_policy(policy: Any, batch: AttemptBatch | None = None, *, seed: int = 1) -> None:
    """Check that a policy decides each number's attempts alike, however batches are cut and rows stand.

    `policy` is a policy or a function of a batch. Twice the same batch, its rows permuted (times differ, so the order
    of each number's attempts is known), and every number in a batch of its own have to give the same decisions. Raise
    PolicyFaultError where they do not: the policy keeps state of its own, or looks at other rows.
    """
    batch = sample_batch() if batch is None else batch
    policies = list(blocking([policy]))
    wanted = _decided(policies, batch)
    _same("the same batch a second time", wanted, _decided(policies, batch))
    order = np.random.default_rng(seed).permutation(len(batch))
    _same("the rows in another order", wanted[order], _decided(policies, _taken(batch, order)))
    by_number = np.empty_like(wanted)
    for number in np.unique(batch.a_number):
        rows = np.flatnonzero(batch.a_number == number)
        by_number[rows] = _decided(policies, _taken(batch, rows))
    _same("each number by itself", wanted, by_number)


def check_laws(
    policies: Iterable[Any], batch: AttemptBatch | None = None, *, stricter: Iterable[Any] | None = None
) -> None:
    """Check the laws that chains of intercepting rules obey on one batch.

    An empty chain intercepts nothing; a chain intercepts at least what each of its rules does alone; and `stricter`,
    the same rules with stricter thresholds or longer lists, at least what `policies` do. Chains that hold allow lists
    or rules that weigh others are not bound by these laws. Raise PolicyFaultError naming the law.
    """
    batch = sample_batch() if batch is None else batch
    chain = list(blocking(policies))

    def caught(some: list[Any]) -> NDArray[np.bool_]:
        return compile_filter(some).decide(batch).verdict == INTERCEPT

    if caught([]).any():
        raise PolicyFaultError("an empty chain intercepts something")
    together = caught(chain)
    for policy in chain:
        lost = np.flatnonzero(caught([policy]) & ~together)
        if len(lost):
            raise PolicyFaultError(f"{policy.id} alone catches rows that the chain lets pass: {lost[:5].tolist()}")
    if stricter is not None:
        lost = np.flatnonzero(together & ~caught(list(blocking(stricter))))
        if len(lost):
            raise PolicyFaultError(f"the stricter chain lets pass what the milder catches: {lost[:5].tolist()}")
