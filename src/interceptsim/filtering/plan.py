"""Compiles an ordered chain of policies into a plan that the kernels execute, and runs it over batches.

Names become positions, thresholds typed integers, lists open-addressed tables; switched-off policies are
gone. Takes policies, gives a `FilterCore`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interceptsim.attempts import (
    COLUMNS,
    INTERCEPT,
    MAX_RULES,
    OPTIONAL_COLUMNS,
    AttemptBatch,
    Decisions,
    Rows,
    empty_rows,
)
from interceptsim.compiled import cores
from interceptsim.errors import ColumnError, ConfigurationError, nearest_name
from interceptsim.filtering.batch_kernels import decide_part, find_slots, is_sorted, place_slots
from interceptsim.filtering.kernels import (
    ARGUMENTS,
    BUCKETS,
    FINE_BUCKETS,
    LIMIT_ATTEMPTS,
    LIMIT_FAN_OUT,
    NO_LIMIT,
    OP_CHANNELS,
    OP_CODE,
    OP_ENTRIES,
    OP_WIDTH,
    OP_WORD,
    OUTSIDE,
    bucket_of,
    fine_bucket_of,
    list_fill,
)
from interceptsim.filtering.outside import blocking
from interceptsim.filtering.policies import FilterPolicy

if TYPE_CHECKING:
    import polars as pl

__all__ = ["FilterCore", "NumberIndex", "PlanBuilder", "compile_filter"]

Says = Callable[[AttemptBatch], NDArray[np.uint8]]

# Which bit of `reads` in `decide_part` a column belongs to.
_READS = {
    "time_us": 1,
    "b_number": 2,
    "a_kind": 4,
    "roaming": 4,
    "b_carrier": 8,
    "text_score": 16,
    "link": 32,
    "a_incoming": 64,
    "answered": 128,
    "duration_us": 128,
}
_BATCH = 4096
_FEW_BOUNDS = 4  # a bucket with more gets a finer table
_FIRST_NUMBERS = 1 << 17  # room from the start, as far as a batch could need it
_MANY = 100_000  # a batch below this is decided sooner by one thread


@dataclass
class PlanBuilder:
    """Collects what policies add, in the order of the chain.

    `carriers` are the names behind the codes of `b_carrier`. A policy's `compile` calls `add` (or `outside`) once,
    `read` for the columns its rule reads, and the other methods to put lists and tables into the pool.
    """

    carriers: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    ops: list[list[int]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    pools: list[NDArray[np.uint64]] = field(default_factory=list)
    pooled: int = 0
    words: int = 0
    reads: int = 0
    needs: dict[str, str] = field(default_factory=dict)
    earlier: dict[str, str] = field(default_factory=dict)
    first_words: dict[str, int] = field(default_factory=dict)
    says: list[Says] = field(default_factory=list)

    def add(
        self, code: int, channels: int, entries: int, action: int, *, arguments: Sequence[int] = (), words: int = 0
    ) -> None:
        """Add an operation: its kernel's code, place in the network, action, arguments, and state words."""
        row = [code, channels, entries, action, self.words, *map(int, arguments)]
        assert len(row) <= OP_WIDTH
        self.ops.append(row + [0] * (OP_WIDTH - len(row)))
        self.first_words[self.ids[-1]] = self.words
        self.words += words

    def outside(self, says: Says, channels: int = 3, entries: int = 15, action: int = INTERCEPT) -> None:
        """Add an operation whose verdict codes (uint8, one a row) `says` gives for a batch.

        It stands at the channels and entries whose bits are set, at all of them by default.
        """
        self.reads = 255
        self.add(OUTSIDE, channels, entries, action, arguments=[len(self.says)])
        self.says.append(says)

    def read(self, *columns: str) -> None:
        """Record which columns the rule reads."""
        for column in columns:
            self.reads |= _READS.get(column, 0)
            if column in OPTIONAL_COLUMNS:
                self.needs.setdefault(column, self.ids[-1])

    def read_earlier(self, *columns: str) -> None:
        """Record which columns the rule reads of earlier attempts of a number alone, where the attempt is over."""
        for column in columns:
            self.reads |= _READS.get(column, 0)
            self.earlier.setdefault(column, self.ids[-1])

    def position(self, rule: str) -> int | None:
        """Return where an earlier rule stands, None where it is switched off; raise where it is none."""
        if rule in self.ids[:-1]:
            return self.ids.index(rule)
        where = f"policies.{self.ids[-1]}"
        if rule not in self.known:
            raise ConfigurationError(where, f"no rule {rule!r} in the chain", nearest=nearest_name(rule, self.known))
        if self.known.index(rule) >= self.known.index(self.ids[-1]):
            raise ConfigurationError(where, f"rule {rule!r} has to stand before this one")
        return None

    def carrier_bits(self, names: Sequence[str]) -> list[int]:
        """Return the codes of carriers as four words of bits, all set where none is named."""
        if not names:
            return [-1] * 4
        bits = 0
        for name in names:
            if name not in self.carriers:
                raise ConfigurationError(
                    f"policies.{self.ids[-1]}.carriers",
                    f"no carrier {name!r}",
                    nearest=nearest_name(name, self.carriers),
                )
            bits |= 1 << self.carriers.index(name)
        words = [bits >> 64 * k & 2**64 - 1 for k in range(4)]
        return [w - (1 << 64) if w >> 63 else w for w in words]

    def _pool(self, values: NDArray[np.uint64]) -> int:
        """Put values into the pool; return their offset."""
        offset = self.pooled
        self.pools.append(values)
        self.pooled += len(values)
        return offset

    def number_list(self, numbers: Iterable[int] | NDArray[np.uint64]) -> list[int]:
        """Put a list of numbers into the pool; return its five arguments: places, mask, has zero, sieve, mask."""
        held = numbers if isinstance(numbers, np.ndarray) else np.array(list(numbers), np.uint64)
        nonzero = held[held != 0]
        places = np.zeros(1 << (3 * len(nonzero) // 2).bit_length() if len(nonzero) else 1, np.uint64)
        sieve = np.zeros(1 << (len(nonzero) // 10).bit_length(), np.uint64)
        list_fill(places, sieve, held)
        has_zero = int(len(nonzero) < len(held))
        return [self._pool(places), len(places) - 1, has_zero, self._pool(sieve), len(sieve) - 1]

    def range_table(self, by_prefix: Mapping[str, int]) -> list[int]:
        """Put prefixes (strings of digits) and what is said of their numbers into the pool; return four arguments.

        Numbers of each length are cut at every prefix's first and last; of each piece, the longest prefix decides.
        """
        ends = {0}
        for prefix in by_prefix:
            for length in range(len(prefix), 21):
                size = 10 ** (length - len(prefix))
                ends |= {int(prefix) * size, (int(prefix) + 1) * size}
        inside = sorted(end for end in ends if end < 2**64)
        longest = max(map(len, by_prefix))

        def said(number: int) -> int:
            digits = str(number)
            heads = (digits[:k] for k in range(min(longest, len(digits)), 0, -1))
            return next((by_prefix[head] for head in heads if head in by_prefix), 0)

        codes = [said(end) for end in inside]
        kept = [k for k in range(len(inside)) if k == 0 or codes[k] != codes[k - 1]]
        bounds = np.array([inside[k] for k in kept], np.uint64)
        words = np.array([codes[k] for k in kept], np.uint64)

        def cells(first: NDArray[np.int64]) -> NDArray[np.uint64]:
            """Return the cells between whose beginnings the bounds from `first` to the next one's lie."""
            within = np.where(np.diff(first) > 0, first[:-1], 0).astype(np.uint64)
            return within << np.uint64(32) | words[first[:-1] - 1]

        coarse = [bucket_of(b) for b in bounds[1:]]
        first = 1 + np.searchsorted(coarse, np.arange(BUCKETS + 1))
        (cut,) = np.nonzero(np.diff(first))
        whole = cells(first)
        places = whole.copy()  # a bucket without bounds shares the cell of what is said of it: 0, 1 or 2
        places[cut] = 3 + np.arange(len(cut))
        shared = self._pool(np.concatenate([np.arange(3, dtype=np.uint64), whole[cut]]))
        buckets = places + np.uint64(shared) << np.uint64(32)
        for bucket in cut[np.diff(first)[cut] > _FEW_BOUNDS]:
            fine = [fine_bucket_of(b) for b in bounds[first[bucket] : first[bucket + 1]]]
            place = self._pool(cells(first[bucket] + np.searchsorted(fine, np.arange(FINE_BUCKETS + 1))))
            buckets[bucket] = place << 32 | FINE_BUCKETS - 1
        return [self._pool(bounds), len(bounds), self._pool(words), self._pool(buckets)]

    def weight_table(self, weights: Mapping[str, int]) -> list[int]:
        """Put weights of earlier rules into the pool; return offset and count."""
        places = {name: self.position(name) for name in weights}
        pairs = [(at, weights[name]) for name, at in places.items() if at is not None]
        return [self._pool(np.array(pairs, np.int64).reshape(-1).view(np.uint64)), len(pairs)]


def state_table(numbers: int, words: int) -> NDArray[np.int64]:
    """Return state of zero (int64, numbers x words or a few more), each number's beginning on a cache line."""
    wide = max(words, 1) if words <= 4 else -(-words // 8) * 8
    room = np.zeros(numbers * wide + 8, np.int64)
    first = -room.ctypes.data % 64 // 8
    return room[first : first + numbers * wide].reshape(numbers, wide)


class NumberIndex:
    """Gives every presented number a slot of rule state, for traffic whose numbers are not known beforehand.

    `find` fills `rows.slot` and `rows.fresh`, making room as needed; `clear` forgets all numbers.
    """

    def __init__(self, words: int) -> None:
        self.table = np.zeros(1024, np.uint64)
        self._words = words
        self.held = 0
        self.state = state_table(512, words + 1)

    def reserve(self, wanted: int) -> None:
        """Make room for so many numbers."""
        if wanted > len(self.state):
            grown = state_table(max(wanted, 4 * len(self.state)), self._words + 1)
            grown[: self.held] = self.state[: self.held]
            self.state = grown
        if 2 * wanted > len(self.table):
            self.table = np.zeros(1 << (2 * wanted).bit_length(), np.uint64)
            place_slots(self.table, self.held, self.state)

    def find(self, rows: Rows, n: int) -> None:
        """Fill `slot` and `fresh` of the first `n` rows, in their order."""
        self.reserve(self.held + n)
        self.held = find_slots(self.table, self.held, self.state, rows, n)

    def decide(
        self,
        core: FilterCore,
        source: Rows,
        order: NDArray[np.int64],
        cursor: int,
        stop: int,
        part: int,
        parts: int,
        found: Decisions,
    ) -> None:
        """Decide the rows of a batch from `cursor` to `stop` whose numbers fall to a part.

        The kernel comes back to Python only to have room made.
        """
        if core.words:
            self.reserve(min(stop - cursor, _FIRST_NUMBERS))
        rows = empty_rows(min(_BATCH, max(stop - cursor, 1)), len(core.says))
        while cursor < stop:
            if core.words:
                self.reserve(self.held + len(rows.line))
            cursor, self.held = decide_part(
                source,
                core.reads,
                order,
                cursor,
                stop,
                part,
                parts,
                rows,
                core.ops,
                core.pool,
                self.table,
                self.held,
                self.state,
                core.words > 0,
                found.verdict,
                found.reason,
                found.matched,
                found.score,
            )

    def clear(self) -> None:
        """Forget all numbers and their state."""
        self.table.fill(0)
        self.held = 0


@dataclass(frozen=True)
class FilterCore:
    """A compiled chain.

    `rules` are the ids of its rules, `rules[k]` being reason k+1; `ops` and `pool` are what the kernels
    execute; `words` the words of state a number needs, 0 where no rule keeps any; `first_word` the place of each
    rule's state; `needs` the optional columns that rules read, and `earlier` those that they read of earlier attempts
    of a number alone, each with the first such rule; `says` the rules outside the kernels.
    """

    rules: tuple[str, ...]
    ops: NDArray[np.int64]
    pool: NDArray[np.uint64]
    words: int
    first_word: dict[str, int]
    needs: dict[str, str]
    reads: int
    says: tuple[Says, ...]
    earlier: dict[str, str]

    @property
    def hindsight(self) -> NDArray[np.int64]:
        """What has to be told of a call once it is over: a row (int64) for each rule that counts short calls.

        Its columns: bits of the channels and entries at which the rule stands, the word of a number's state that says
        what came of its last attempt (0 not answered, 1 a long call, 2 a short one), and the us from which one is long.
        """
        short = (self.ops[:, OP_CODE] == LIMIT_FAN_OUT) & (self.ops[:, ARGUMENTS + 7] != NO_LIMIT)
        ops = self.ops[short]
        last_word = ops[:, OP_WORD] + 3 + ops[:, ARGUMENTS + 1] // 64 + (ops[:, ARGUMENTS + 5] != NO_LIMIT)
        return np.column_stack([ops[:, OP_CHANNELS], ops[:, OP_ENTRIES], last_word, ops[:, ARGUMENTS + 9]])

    @property
    def forgets(self) -> bool:
        """Whether all state of a number is as new after local midnight, as fixed windows are and buckets are not."""
        leaky = (self.ops[:, OP_CODE] == LIMIT_ATTEMPTS) & (self.ops[:, ARGUMENTS + 6] != 0)
        return not leaky.any()

    def decide(
        self, batch: AttemptBatch, threads: int | None = None, indices: Sequence[NumberIndex] | None = None
    ) -> Decisions:
        """Decide a batch on its own, from empty state; rows may stand in any order.

        Attempts are taken in order of time, those of one time as they stand. `threads` defaults to the cores that
        are there; it changes no decision. `indices`, where given, hold what is known of numbers from earlier batches
        and are one for each thread; `filtering.stream` keeps them. Raise ColumnError where a rule reads a column that
        the batch lacks.
        """
        for column, policy_id in (self.needs | self.earlier).items():
            if getattr(batch, column) is None:
                raise ColumnError(f"policies.{policy_id} reads column {column!r}, which the batch lacks")
        n = len(batch)
        if threads is None:
            threads = cores()
        threads = 1 if n < _MANY else threads
        if indices is None:
            indices = [NumberIndex(self.words) for _ in range(threads)]
        parts = len(indices)  # whatever the batch's length: a number's state stays in its part
        no_order = np.zeros(0, np.int64)
        ordered = self.words == 0 or is_sorted(batch.time_us)
        order = no_order if ordered else np.argsort(batch.time_us, kind="stable").astype(np.int64)
        source = _as_rows(batch, [says(batch) for says in self.says])
        straight = ordered and (parts == 1 or not self.words)
        made = np.empty if straight else np.zeros  # decided in place, or only what matched is put there
        found = Decisions(made(n, np.uint8), made(n, np.uint16), made(n, np.uint64), made(n, np.int32))

        def work(part: int) -> None:
            if self.words:
                indices[part].decide(self, source, order, 0, n, part, parts, found)
            else:
                indices[part].decide(self, source, order, n * part // parts, n * (part + 1) // parts, 0, 1, found)

        if threads == 1:
            for part in range(parts):
                work(part)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(work, range(parts)))
        return found

    def profile(self, batch: AttemptBatch) -> pl.DataFrame:
        """Return what each rule does on a batch, and what it costs.

        Frame (rule, checks, matched, alone, marginal, ns): attempts the rule stood in the way of, those it matched,
        those that no other rule matched, those that are intercepted only because the rule is there, and
        nanoseconds an attempt on one thread.
        """
        import polars as pl  # noqa: PLC0415  the filter itself runs without polars

        whole = self.decide(batch, threads=1)
        intercepted = whole.verdict == INTERCEPT
        rows = []
        for k, rule in enumerate(self.rules):
            bit = np.uint64(1) << np.uint64(k)
            matched = whole.matched & bit != 0
            channels, entries = (int(mask) for mask in self.ops[k, 1:3])
            seen = (channels >> batch.channel.astype(np.int64) & 1) & (entries >> batch.entry.astype(np.int64) & 1)
            without = self._without(k).decide(batch, threads=1)
            started = time.perf_counter_ns()
            self._only(k).decide(batch, threads=1)
            ns = (time.perf_counter_ns() - started) / max(len(batch), 1)
            alone = int((whole.matched == bit).sum())
            marginal = int((intercepted & (without.verdict != INTERCEPT)).sum())
            rows.append((rule, int(seen.sum()), int(matched.sum()), alone, marginal, ns))
        return pl.DataFrame(rows, ["rule", "checks", "matched", "alone", "marginal", "ns"], orient="row")

    def _without(self, k: int) -> FilterCore:
        """Return the chain with rule k still counting but seeing nothing."""
        ops = self.ops.copy()
        ops[k, 1] = 0
        return FilterCore(**{**vars(self), "ops": ops})

    def _only(self, k: int) -> FilterCore:
        """Return the chain of rule k alone."""
        return FilterCore(**{**vars(self), "ops": self.ops[k : k + 1], "rules": self.rules[k : k + 1]})


def _as_rows(batch: AttemptBatch, outside: list[NDArray[np.uint8]]) -> Rows:
    """Return a batch's columns, and what outside rules say, in the shape of a working set, one place for all else."""
    none = empty_rows(1)
    given = {name: getattr(batch, name) for name in COLUMNS}
    absent = {name: _frozen(getattr(none, name)) for name, column in given.items() if column is None}
    return none._replace(
        **{name: column for name, column in given.items() if column is not None},
        **absent,
        outside=np.array(outside, np.uint8).reshape(len(outside), len(batch)),
    )


def _frozen(column: NDArray[Any]) -> NDArray[Any]:
    column.flags.writeable = False
    return column


def compile_filter(policies: Iterable[Any], *, carriers: Sequence[str] = ()) -> FilterCore:
    """Compile policies, in order, into a `FilterCore`; those switched off are left out.

    Functions of a batch stand for a Python policy; `carriers` are the names behind the codes of `b_carrier`. Raise
    ConfigurationError for more than MAX_RULES rules, two with one id, or a reference that leads nowhere.
    """
    chain: list[FilterPolicy] = blocking(policies)
    builder = PlanBuilder(carriers=tuple(carriers), known=tuple(policy.id for policy in chain))
    for policy in chain:
        if not policy.enabled:
            continue
        if policy.id in builder.ids:
            raise ConfigurationError(f"policies.{policy.id}", "two policies share this id; give each its own")
        builder.ids.append(policy.id)
        policy.compile(builder)
        if len(builder.ops) != len(builder.ids):
            raise ConfigurationError(f"policies.{policy.id}", "compile(builder) has to add one operation")
    if len(builder.ids) > MAX_RULES:
        raise ConfigurationError("policies", f"a chain holds at most {MAX_RULES} rules", given=len(builder.ids))
    ops = np.array(builder.ops, np.int64).reshape(len(builder.ops), OP_WIDTH)
    assert ARGUMENTS < OP_WIDTH
    pool = np.concatenate(builder.pools) if builder.pools else np.zeros(1, np.uint64)
    return FilterCore(
        tuple(builder.ids),
        ops,
        pool,
        builder.words,
        builder.first_words,
        builder.needs,
        builder.reads,
        tuple(builder.says),
        builder.earlier,
    )
