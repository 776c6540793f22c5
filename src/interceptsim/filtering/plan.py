"""Compiles an ordered chain of policies into a plan that the kernels execute.

Names become positions, thresholds typed integers, lists open-addressed tables; switched-off policies are
gone. Takes policies, gives a `FilterCore`; decides nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from interceptsim.attempts import ALLOW, DELIVER, MAX_RULES, AttemptBatch, Decisions, Rows, empty_rows
from interceptsim.errors import ColumnError, ConfigurationError
from interceptsim.filtering.kernels import ARGUMENTS, OP_WIDTH, decide, find_slots, list_fill
from interceptsim.filtering.policies import FilterPolicy

__all__ = ["FilterCore", "NumberIndex", "PlanBuilder", "compile_filter"]


@dataclass
class PlanBuilder:
    """Collects what policies add, in the order of the chain."""

    ops: list[list[int]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    pools: list[NDArray[np.uint64]] = field(default_factory=list)
    words: int = 0
    needs: dict[str, str] = field(default_factory=dict)
    first_words: dict[str, int] = field(default_factory=dict)

    def add(self, code: int, channels: int, entries: int, *, arguments: Sequence[int] = (), words: int = 0) -> None:
        """Add an operation: its kernel's code, place in the network, arguments, and how many state words."""
        row = [code, channels, entries, self.words, *map(int, arguments)]
        self.ops.append(row + [0] * (OP_WIDTH - len(row)))
        self.first_words[self.ids[-1]] = self.words
        self.words += words

    def need(self, column: str, policy_id: str) -> None:
        """Record that a rule reads an optional column."""
        self.needs.setdefault(column, policy_id)

    def number_list(self, numbers: Iterable[int]) -> list[int]:
        """Put a list of numbers into the pool; return its three arguments: offset, mask, has zero."""
        held = np.unique(np.asarray(list(numbers), np.uint64))
        nonzero = held[held != 0]
        size = max(1, 1 << int(2 * len(nonzero)).bit_length()) if len(nonzero) else 1
        pool = np.zeros(size, np.uint64)
        list_fill(pool, nonzero)
        offset = sum(map(len, self.pools))
        self.pools.append(pool)
        return [offset, size - 1, int(len(nonzero) < len(held))]


class NumberIndex:
    """Gives every presented number a slot of rule state, for traffic whose numbers are not known beforehand.

    `reserve` makes room, `find` fills `rows.slot` and `rows.fresh`, `clear` forgets all numbers.
    """

    def __init__(self, words: int) -> None:
        self._keys = np.zeros(1024, np.uint64)
        self._slots = np.full(1024, -1, np.int64)
        self.held = 0
        self.state = np.zeros((512, max(words, 1)), np.int64)

    def reserve(self, more: int) -> None:
        """Make room for `more` new numbers."""
        wanted = self.held + more
        if wanted > len(self.state):
            grown = np.zeros((max(wanted, 2 * len(self.state)), self.state.shape[1]), np.int64)
            grown[: self.held] = self.state[: self.held]
            self.state = grown
        if 2 * wanted > len(self._keys):
            size = 1 << (2 * wanted).bit_length()
            taken = self._slots >= 0
            old, at = self._keys[taken], self._slots[taken]
            self._keys, self._slots = np.zeros(size, np.uint64), np.full(size, -1, np.int64)
            again = empty_rows(max(len(old), 1))
            order = np.argsort(at)
            again.a_number[: len(old)] = old[order]
            find_slots(self._keys, self._slots, 0, again, len(old))

    def find(self, rows: Rows, n: int) -> None:
        """Fill `slot` and `fresh` of the first `n` rows, in their order."""
        self.reserve(n)
        self.held = find_slots(self._keys, self._slots, self.held, rows, n)

    def clear(self) -> None:
        """Forget all numbers and their state."""
        self._slots.fill(-1)
        self.held = 0


@dataclass(frozen=True)
class FilterCore:
    """A compiled chain.

    `rules` are the ids of its rules, `rules[k]` being reason k+1; `ops` and `pool` are what the kernels
    execute; `words` the words of state a number needs; `first_word` the place of each rule's state.
    """

    rules: tuple[str, ...]
    ops: NDArray[np.int64]
    pool: NDArray[np.uint64]
    words: int
    first_word: dict[str, int]
    needs: dict[str, str]

    def decide(self, batch: AttemptBatch) -> Decisions:
        """Decide a batch on its own, from empty state; rows may stand in any order of time.

        Raise ColumnError where a rule reads a column that the batch lacks.
        """
        for column, policy_id in self.needs.items():
            if getattr(batch, column) is None:
                raise ColumnError(f"policies.{policy_id} reads column {column!r}, which the batch lacks")
        n = len(batch)
        order = np.argsort(batch.time_us, kind="stable")
        rows = empty_rows(max(n, 1))
        for name in AttemptBatch.__dataclass_fields__:
            column = getattr(batch, name)
            if column is not None:
                np.take(column, order, out=getattr(rows, name)[:n])
        index = NumberIndex(self.words)
        index.find(rows, n)
        decide(self.ops, self.pool, rows, n, index.state)
        found = Decisions(np.empty(n, np.uint8), np.empty(n, np.uint16), np.empty(n, np.uint64))
        found.verdict[order] = np.where(rows.code[:n] == ALLOW, DELIVER, rows.code[:n])
        found.reason[order] = rows.reason[:n]
        found.matched[order] = rows.matched[:n]
        return found


def compile_filter(policies: Iterable[FilterPolicy]) -> FilterCore:
    """Compile policies, in order, into a `FilterCore`; those switched off are left out.

    Raise ConfigurationError for more than MAX_RULES rules or two with one id.
    """
    builder = PlanBuilder()
    for policy in policies:
        if not policy.enabled:
            continue
        if policy.id in builder.ids:
            raise ConfigurationError(f"policies.{policy.id}", "two policies share this id; give each its own")
        builder.ids.append(policy.id)
        policy.compile(builder)
    if len(builder.ids) > MAX_RULES:
        raise ConfigurationError("policies", f"a chain holds at most {MAX_RULES} rules", given=len(builder.ids))
    ops = np.array(builder.ops, np.int64).reshape(len(builder.ops), OP_WIDTH)
    assert ARGUMENTS < OP_WIDTH
    pool = np.concatenate(builder.pools) if builder.pools else np.zeros(1, np.uint64)
    return FilterCore(tuple(builder.ids), ops, pool, max(builder.words, 1), builder.first_words, dict(builder.needs))
