"""The columnar data plane: generate, decide and account for all attempts of a slice, on threads.

Takes a population, a compiled filter and a slice; keeps rule state and integer accounts; gives the first
complaints about numbers, and rows where they are recorded. It knows no clock: who calls `advance` says up to
when, and posts changes through `post_listing`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from interceptsim.attempts import DELIVERED, INTERCEPT, INTERCEPTED, AttemptBatch, Rows, empty_rows
from interceptsim.compiled import Column, Scalar, Table, kernel
from interceptsim.errors import LookaheadError
from interceptsim.filtering.kernels import decide
from interceptsim.filtering.plan import NumberIndex, state_table
from interceptsim.randomness import draw
from interceptsim.response.police import COMPLAINT
from interceptsim.traffic.kernels import CLI_OWN, generate
from interceptsim.units import DAY_US
from interceptsim.world import SIMULATED_COLUMNS, Accounts, World

__all__ = ["BATCH_ROWS", "DataPlane"]

BATCH_ROWS = 4096
"""Attempts that are generated, decided and accounted for at a time: their columns stay in the cache."""

_INLINE_LINES = 1000  # with fewer lines a slice costs less than handing it to a pool of threads
_SHARED_ROWS = 1 << 16
_OUTSIDE = Rows._fields.index("outside")


@kernel
def account(
    lines: Table,
    groups: Table,
    key: Column,
    epoch_us: Scalar,
    complaint_bounds: Column,
    rows: Rows,
    n: Scalar,
    daily: Column,
    folds: Column,
    rules: Column,
    numbers: Column,
    complained: Column,
    complaints: Table,
    held: Scalar,
) -> int:
    """Count the first `n` decided rows; append first complaints to `complaints`; return how many it holds.

    `complaint_bounds` (uint64, by channel) are thresholds of the draw for a complaint.
    """
    for r in range(n):
        i = rows.line[r]
        line = lines[i]
        group = groups[line.group]
        outcome = INTERCEPTED if rows.code[r] == INTERCEPT else DELIVERED
        column = rows.reason[r] * 3 + outcome
        daily[line.cell, column] += 1
        folds[line.fold, line.group, column] += 1
        matched = rows.matched[r]
        if matched != np.uint64(0):
            alone = 1 if matched & (matched - np.uint64(1)) == np.uint64(0) else 0
            rule = 0
            while matched != np.uint64(0):
                if matched & np.uint64(1):
                    rules[rule, line.group, 0] += 1
                    rules[rule, line.group, 1] += alone
                matched >>= np.uint64(1)
                rule += 1
        if group.cli != CLI_OWN:
            continue
        numbers[line.fold, line.group] += rows.fresh[r]
        if outcome == DELIVERED and line.reported != rows.generation[r]:
            word, _, _, _ = draw(key[0], key[1], group.complaint_stream, line.index, rows.ordinal[r])
            if word < complaint_bounds[group.channel]:
                line.reported = rows.generation[r]
                complained[line.fold, line.group] += 1
                c = complaints[held]
                c.time_us = rows.time_us[r] - epoch_us
                c.line = i
                c.generation = rows.generation[r]
                c.stream = group.police_stream
                c.index = line.index
                held += 1
    return held


@kernel
def advance_lines(
    lines: Table,
    groups: Table,
    key: Column,
    reached: Column,
    weight: Column,
    epoch_us: Scalar,
    subscribers: Scalar,
    stride: Scalar,
    carriers: Column,
    until_us: Scalar,
    cursor: Scalar,
    stop: Scalar,
    one_batch: Scalar,
    ops: Column,
    pool: Column,
    state: Column,
    complaint_bounds: Column,
    rows: Rows,
    daily: Column,
    folds: Column,
    rules: Column,
    numbers: Column,
    complained: Column,
    complaints: Table,
) -> tuple[int, int, int]:
    """Generate, decide and account for the attempts of lines `cursor` to `stop` before `until_us`.

    Return (cursor, rows of the last batch, complaints held). It returns early after one batch where
    `one_batch` is set, or where another batch of complaints might not fit.
    """
    held = 0
    while True:
        n, cursor = generate(
            lines,
            groups,
            key,
            reached,
            weight,
            epoch_us,
            subscribers,
            stride,
            carriers,
            until_us,
            cursor,
            stop,
            rows,
            daily,
            folds,
        )
        decide(ops, pool, rows, n, state)
        held = account(
            lines,
            groups,
            key,
            epoch_us,
            complaint_bounds,
            rows,
            n,
            daily,
            folds,
            rules,
            numbers,
            complained,
            complaints,
            held,
        )
        if one_batch or cursor == stop or held + rows.time_us.shape[0] > complaints.shape[0]:
            return cursor, n, held


@kernel
def _list_numbers(
    lines: Table,
    state: Column,
    word: Scalar,
    which: Column,
    generation: Column,
    listed_from_us: Column,
    epoch_us: Scalar,
) -> None:
    """Enter listings of numbers that their lines still have: rules from then on, the line by its notice."""
    for k in range(which.shape[0]):
        line = lines[which[k]]
        if line.generation == generation[k]:
            state[which[k], word] = epoch_us + listed_from_us[k]
            line.dies_us = min(line.dies_us, listed_from_us[k] + line.notice_us)


class _Worker:
    """What one thread writes to: a batch of rows, accounts, complaints."""

    def __init__(self, batch_rows: int, outside: int, cells: int, groups: int, rules: int) -> None:
        self.rows = empty_rows(batch_rows, outside)
        self.accounts = Accounts.empty(cells, groups, rules)
        self.complaints = np.zeros(4 * batch_rows, COMPLAINT)


class DataPlane:
    """All lines of a run and the rules' state; decides slice after slice.

    `decided_us` is the time, from the start of the run, up to which everything is decided.
    `record` is called with a batch of decided rows and their number, under no particular order of batches.
    """

    def __init__(
        self,
        world: World,
        threads: int = 1,
        batch_rows: int = BATCH_ROWS,
        record: Callable[[Rows, int], None] | None = None,
    ) -> None:
        self._population = population = world.population
        self._lines = population.lines.copy()  # they live; the world may start another run
        self._core = core = world.core
        self._key = world.key
        self._epoch_us = world.epoch_us
        self._supply = (
            self._lines,
            population.groups,
            world.key,
            world.calendar.reached,
            world.calendar.weight,
            world.epoch_us,
            max(world.scenario.population.subscribers // world.scale, 1),
            world.scale,
            world.carriers(),
        )
        self._bounds = world.complaint_bounds()
        self._record = record
        self._state = state_table(max(len(population.lines), 1), core.words)
        self._index = NumberIndex(core.words)
        self._index_day = -1
        outside = len(core.says)
        self._shared_rows = empty_rows(_SHARED_ROWS if population.shared_from < len(population.lines) else 1, outside)
        shape = len(population.cells), len(population.groups), len(core.rules)
        self._workers = [_Worker(batch_rows, outside, *shape) for _ in range(threads)]
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        own = population.shared_from
        size = max(256, own // (8 * threads) + 1)
        self._blocks = [(at, min(at + size, own)) for at in range(0, own, size)]
        self.decided_us = 0

    def close(self) -> None:
        """Release the threads."""
        if self._pool:
            self._pool.shutdown()

    def advance(self, until_us: int) -> np.ndarray:
        """Decide everything before `until_us`; return the first complaints, by (time, line)."""
        if self._pool and self._population.shared_from >= _INLINE_LINES:
            take = itertools.count()
            jobs = [self._pool.submit(self._work, worker, until_us, take) for worker in self._workers]
            complaints = [batch for job in jobs for batch in job.result()]
        else:
            complaints = self._work(self._workers[0], until_us, itertools.count())
        if self._population.shared_from < len(self._lines):
            self._advance_shared(until_us)
        self.decided_us = until_us
        found = np.concatenate(complaints) if complaints else np.zeros(0, COMPLAINT)
        return found[np.lexsort((found["line"], found["time_us"]))]

    def _work(self, worker: _Worker, until_us: int, take: itertools.count[int]) -> list[np.ndarray]:
        """Decide blocks of lines that own what they present, one after another, until none is left."""
        core, found = self._core, []
        a = worker.accounts
        while (block := next(take)) < len(self._blocks):
            cursor, stop = self._blocks[block]
            while cursor < stop:
                if core.says:
                    n, cursor = generate(*self._supply, until_us, cursor, stop, worker.rows, a.daily, a.folds)
                    self._decide(worker.rows, n, self._state)
                    held = self._account(worker.rows, n, a, worker.complaints)
                else:
                    cursor, n, held = self._advance_compiled(worker, until_us, cursor, stop)
                if self._record is not None:
                    self._record(worker.rows, n)
                if held:
                    found.append(worker.complaints[:held].copy())
        return found

    def _advance_compiled(self, worker: _Worker, until_us: int, cursor: int, stop: int) -> tuple[int, int, int]:
        """Advance lines without coming back to Python until all is done or something has to be taken away."""
        core, a = self._core, worker.accounts
        return advance_lines(
            *self._supply,
            until_us,
            cursor,
            stop,
            self._record is not None,
            core.ops,
            core.pool,
            self._state,
            self._bounds,
            worker.rows,
            a.daily,
            a.folds,
            a.rules,
            a.numbers,
            a.complaints,
            worker.complaints,
        )

    def _decide(self, rows: Rows, n: int, state: NDArray[np.int64]) -> None:
        """Decide a batch, asking the rules outside the kernels first."""
        core = self._core
        if core.says:
            batch = AttemptBatch(**{name: getattr(rows, name)[:n].copy() for name in SIMULATED_COLUMNS})
            for k, says in enumerate(core.says):
                rows.outside[k, :n] = says(batch)
        decide(core.ops, core.pool, rows, n, state)

    def _account(self, rows: Rows, n: int, accounts: Accounts, complaints: np.ndarray) -> int:
        """Count a decided batch; return how many complaints it holds."""
        a = accounts
        return account(
            self._lines,
            self._population.groups,
            self._key,
            self._epoch_us,
            self._bounds,
            rows,
            n,
            a.daily,
            a.folds,
            a.rules,
            a.numbers,
            a.complaints,
            complaints,
            0,
        )

    def _advance_shared(self, until_us: int) -> None:
        """Decide the lines that may present each other's numbers, in the order (time, line, ordinal)."""
        day = (until_us - 1) // DAY_US
        if day != self._index_day and self._core.forgets:  # windows are of one local day at most: nothing is lost
            self._index.clear()
            self._index_day = day
        rows, a = self._shared_rows, self._workers[0].accounts
        cursor, stop = self._population.shared_from, len(self._lines)
        before = self._lines[cursor:].copy()
        daily, folds = a.daily[:, 0].copy(), a.folds[:, :, 0].copy()
        n, cursor = generate(*self._supply, until_us, cursor, stop, rows, a.daily, a.folds)
        while cursor < stop:  # all of the slice must be in hand to be put in order: start over with more room
            self._lines[self._population.shared_from :] = before
            a.daily[:, 0], a.folds[:, :, 0] = daily, folds
            rows = self._shared_rows = empty_rows(2 * len(rows.time_us), len(self._core.says))
            n, cursor = generate(*self._supply, until_us, self._population.shared_from, stop, rows, a.daily, a.folds)
        if n == 0:
            return
        order = np.argsort(rows.time_us[:n], kind="stable")  # generated by (line, ordinal): ties stand so
        for column in rows[:_OUTSIDE]:
            column[:n] = column[:n][order]
        self._index.find(rows, n)
        self._decide(rows, n, self._index.state)
        self._account(rows, n, a, np.zeros(0, COMPLAINT))
        if self._record is not None:
            self._record(rows, n)

    def post_listing(
        self,
        policy_id: str,
        line: NDArray[np.int64],
        generation: NDArray[np.int64],
        from_us: NDArray[np.int64],
    ) -> None:
        """List the numbers (line, generation) for a rule from given times on, in us from the start of the run.

        They are numbers that have presented themselves, since nobody knows of others; one that its line has
        given up meanwhile is passed over.

        Raise LookaheadError where a time lies before `decided_us`.
        """
        if len(line) == 0:
            return
        if from_us.min() < self.decided_us:
            raise LookaheadError(f"policies.{policy_id}", int(from_us.min()), self.decided_us)
        word = self._core.first_word[policy_id]
        _list_numbers(self._lines, self._state, word, line, generation, from_us, self._epoch_us)

    def take_day(self) -> NDArray[np.int64]:
        """Return the counts since the last call, int64 (cells, columns), and begin again from zero."""
        total: NDArray[np.int64] = np.sum([w.accounts.daily for w in self._workers], axis=0)
        for worker in self._workers:
            worker.accounts.daily.fill(0)
        return total

    def totals(self) -> Accounts:
        """Return the accounts summed over threads."""
        parts = [vars(w.accounts) for w in self._workers]
        return Accounts(**{name: np.sum([p[name] for p in parts], axis=0) for name in parts[0]})

    def begin_counting(self) -> None:
        """Forget what the warm-up counted."""
        for worker in self._workers:
            worker.accounts.clear()
