"""The columnar data plane: generate, decide and account for all attempts of a slice, on threads.

Takes a population, a compiled filter and a slice; keeps rule state and integer accounts; gives what control is to
know of attempts, and rows where they are recorded. It knows no clock: who calls `advance` says up to when, and posts
changes through `post_listing`, `post_known` and `post_network`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interceptsim.attempts import AttemptBatch, Rows, empty_rows
from interceptsim.compiled import joined, ready
from interceptsim.dataplane_kernels import (
    account,
    advance_lines,
    in_order,
    list_numbers,
    reached_by,
    watch_numbers,
)
from interceptsim.errors import LookaheadError
from interceptsim.filtering.kernels import ARGUMENTS, decide
from interceptsim.filtering.plan import NumberIndex, state_table
from interceptsim.network.load import validity_of
from interceptsim.response.police import WORD
from interceptsim.shared_kernels import (
    PRESENTED,
    advance_shared,
    decide_presented,
    order_part,
    present_lines,
    take_presented,
)
from interceptsim.traffic.agenda import lines_due
from interceptsim.traffic.kernels import generate
from interceptsim.traffic.lines import end_lines
from interceptsim.traffic.records import Supply, Work, empty_draws
from interceptsim.units import DAY_US, HOUR_US
from interceptsim.world import SIMULATED_COLUMNS, Accounts, World

__all__ = ["BATCH_ROWS", "DataPlane"]

BATCH_ROWS = 2048
"""Attempts that are generated, decided and accounted for at a time: their columns stay in the cache."""

_INLINE_ATTEMPTS = 20_000  # a slice of fewer costs less than handing it to a pool of threads


class _Worker:
    """What one thread works with: what is shared, and rows, accounts and words of its own.

    `told` words are there for control, `presented` holds `waiting` attempts of lines that share numbers.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self.told = 0
        self.presented = np.zeros(len(work.rows.time_us), PRESENTED)
        self.waiting = 0
        self.busy_ns = [0, 0]  # time spent on fraudsters' lines and on ordinary ones
        self.advance_lines, self.advance_shared = ready(advance_lines), ready(advance_shared)

    def make_room(self, presented: int = 0) -> None:
        """Make room for the words of another batch, three a row, and of so many attempts beside."""
        words = self.work.words
        wanted = self.told + 3 * (len(self.work.rows.time_us) + presented)
        if wanted > len(words):
            self.work = self.work._replace(words=joined([words, np.zeros(wanted, WORD)]))

    def sharing(self, index: NumberIndex) -> Work:
        """Return the same for lines that share numbers."""
        return self.work._replace(state=index.state)

    def time_fraud(self, work: Callable[..., None], *given: Any) -> None:
        """Do some work on fraudsters' lines."""
        self.busy_ns[0] -= time.perf_counter_ns()
        work(self, *given)
        self.busy_ns[0] += time.perf_counter_ns()


class _Agenda:
    """Lines that may attempt something on the day at hand, cut into blocks of which threads take one after another."""

    def __init__(self, due: NDArray[np.int64], pieces: int) -> None:
        self.due = due
        size = max(256, -(-len(due) // pieces))
        self.blocks = [(at, min(at + size, len(due))) for at in range(0, len(due), size)]


def _attempts_in(slice_us: int, world: World) -> float:
    """Return about how many attempts fall into a slice."""
    population, end_us = world.population, world.to_hour * HOUR_US
    lines, full_lines = population.lines, np.maximum(population.full_lines, 1e-9)
    seen_us = np.minimum(lines["ends_us"], end_us) - lines["starts_us"]
    a_day = float(((population.per_day / full_lines)[lines["group"]] * seen_us).sum()) / end_us
    return a_day * slice_us / DAY_US


class DataPlane:
    """All lines of a run and the rules' state; decides slice after slice.

    `decided_us` is the time, from the start of the run, up to which everything is decided, but for ordinary callers:
    nothing that control does reaches them but the network's state, so they are decided a day at a time, at its end.
    `record` is called with a batch of decided rows and their number, under no particular order of batches.
    `slice_us` is about how far it is advanced at a time: threads are used where that much is worth sharing out.
    """

    def __init__(
        self,
        world: World,
        threads: int = 1,
        batch_rows: int = BATCH_ROWS,
        record: Callable[[Rows, int], None] | None = None,
        slice_us: int = DAY_US,
    ) -> None:
        self._population = population = world.population
        if _attempts_in(slice_us, world) < _INLINE_ATTEMPTS:
            threads = 1
        self._lines = population.lines.copy()  # they live; the world may start another run
        self._core = core = world.core
        self._epoch_us = world.epoch_us
        every_us = world.scenario.network.measure_every if world.scenario.network else DAY_US
        self._supply = Supply(
            key=world.key,
            reached=world.calendar.reached,
            weight=world.calendar.weight,
            carriers=world.carriers(),
            due_us=population.lines["first_us"].copy(),
            lost=np.zeros((DAY_US // every_us, len(population.groups)), np.uint64),
            lag_us=np.zeros((DAY_US // every_us, len(population.groups)), np.int64),
            now=np.zeros(2, np.int64),
            every_us=every_us,
            validity_us=validity_of(world.scenario.network, population.names),
            epoch_us=world.epoch_us,
            end_us=world.to_hour * HOUR_US,
            counted_us=world.from_hour * HOUR_US,
            subscribers=max(world.scenario.population.subscribers // world.scale, 1),
            stride=world.scale,
            incoming="a_incoming" in core.needs,
            response=world.scenario.people is not None,
        )
        self._record = record
        self._state = state_table(max(len(population.lines), 1), core.words)
        self._indices = [NumberIndex(core.words) for _ in range(threads)]
        self._index_day = -1
        shape = len(population.cells), len(population.groups), len(core.rules)
        self._workers = [
            _Worker(
                Work(
                    lines=self._lines,
                    groups=population.groups,
                    supply=self._supply,
                    ops=core.ops,
                    pool=core.pool,
                    state=self._state,
                    hindsight=core.hindsight,
                    draws=empty_draws(batch_rows),
                    rows=empty_rows(batch_rows, len(core.says)),
                    accounts=Accounts.empty(*shape),
                    words=np.zeros(6 * batch_rows, WORD),
                )
            )
            for _ in range(threads)
        ]
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self._agenda_until_us = 0
        ordinary = np.flatnonzero(population.ordinary[population.lines["group"]])
        self._first_ordinary = int(ordinary[0]) if len(ordinary) else population.shared_from
        self._own = self._shared = self._ordinary = _Agenda(np.zeros(0, np.int64), 1)
        self.decided_us = 0

    def close(self) -> None:
        """Release the threads."""
        if self._pool:
            self._pool.shutdown()

    def advance(self, until_us: int, meanwhile: Callable[[], None] | None = None) -> np.ndarray:
        """Decide everything before `until_us`; return what control is to know (`WORD`), in order of time.

        Ordinary callers' lines follow when a day is over. Where there are threads they begin at once, while this one
        first does what is to be done `meanwhile`.
        """
        if until_us > self._agenda_until_us:
            self._look_ahead(until_us)
        self._decide_own(self._own, until_us, meanwhile)
        if self._shared.blocks:
            self._decide_shared(until_us)
        if until_us == self._agenda_until_us:
            self._decide_own(self._ordinary, until_us)
        self.decided_us = until_us
        words = [worker.work.words[: worker.told] for worker in self._workers if worker.told]
        if not words:
            return np.zeros(0, WORD)
        for worker in self._workers:
            worker.told = 0
        return in_order(joined(words))

    def _look_ahead(self, until_us: int) -> None:
        """Lay out what is due up to the end of the day in which a slice ends."""
        day_ends_us = -(-until_us // DAY_US) * DAY_US
        shared_from, last, due_us = self._population.shared_from, len(self._lines), self._supply.due_us
        pieces = 8 * len(self._workers) if self._pool else 1
        parts = (0, self._first_ordinary), (self._first_ordinary, shared_from), (shared_from, last)
        agendas = (_Agenda(lines_due(due_us, *part, day_ends_us), pieces) for part in parts)
        self._own, self._ordinary, self._shared = agendas
        self._agenda_until_us = day_ends_us
        self._supply.now[1] = self._epoch_us + day_ends_us - DAY_US

    def _in_threads(self, work: Callable[[_Worker], None], meanwhile: Callable[[], None] | None = None) -> None:
        """Let every thread do a part of some work, this one too, if something else `meanwhile` then after that."""
        jobs = [self._pool.submit(work, worker) for worker in self._workers[1:]] if self._pool else []
        if meanwhile is not None:
            meanwhile()
        work(self._workers[0])
        for job in jobs:
            job.result()

    def _decide_own(self, agenda: _Agenda, until_us: int, meanwhile: Callable[[], None] | None = None) -> None:
        """Decide lines that own what they present, and do something `meanwhile`."""
        blocks = itertools.count()
        self._in_threads(lambda worker: self._decide_blocks(worker, agenda, until_us, blocks), meanwhile)

    def _decide_blocks(self, worker: _Worker, agenda: _Agenda, until_us: int, blocks: itertools.count[int]) -> None:
        """Decide blocks of such lines, one after another, until none is left."""
        one_batch, of_ordinary = self._record is not None, agenda is self._ordinary
        while (block := next(blocks)) < len(agenda.blocks):
            cursor, stop = agenda.blocks[block]
            pending = 0
            worker.busy_ns[of_ordinary] -= time.perf_counter_ns()
            while cursor < stop or pending:
                if self._core.says:
                    n, cursor, pending = generate(worker.work, agenda.due, until_us, cursor, stop, pending)
                    self._settle(worker, worker.work, n)
                    continue
                to = until_us, cursor, stop, pending, worker.told, one_batch
                cursor, pending, n, worker.told = worker.advance_lines(worker.work, agenda.due, *to)
                self._keep(worker, n)
                worker.make_room()
            worker.busy_ns[of_ordinary] += time.perf_counter_ns()

    def _settle(self, worker: _Worker, work: Work, n: int) -> None:
        """Decide and account for the rows of a worker, asking the rules outside the kernels first."""
        core, rows = self._core, work.rows
        batch = AttemptBatch(**{name: getattr(rows, name)[:n].copy() for name in SIMULATED_COLUMNS})
        for k, says in enumerate(core.says):
            rows.outside[k, :n] = says(batch)
        decide(core.ops, core.pool, rows, n, work.state)
        worker.told = account(work, n, worker.told)
        self._keep(worker, n)
        worker.make_room()

    def _keep(self, worker: _Worker, n: int) -> None:
        """Record a batch where that is wanted."""
        if self._record is not None and n:
            self._record(worker.work.rows, n)

    def _decide_shared(self, until_us: int) -> None:
        """Decide the lines that may present each other's numbers, in the order (time, line, ordinal).

        Each number falls to one part, and the parts are decided side by side.
        """
        day = (until_us - 1) // DAY_US
        if day != self._index_day and self._core.forgets:  # windows are of one local day at most: nothing is lost
            for index in self._indices:
                index.clear()
            self._index_day = day
        if not self._pool and not self._core.says and self._record is None:
            self._workers[0].time_fraud(self._decide_shared_at_once, until_us)
            return
        blocks, parts = itertools.count(), itertools.count()
        self._in_threads(lambda worker: worker.time_fraud(self._present, until_us, blocks))
        found = [worker.presented[: worker.waiting] for worker in self._workers if worker.waiting]
        for worker in self._workers:
            worker.waiting = 0
        if found:
            presented = joined(found)
            self._in_threads(lambda worker: worker.time_fraud(self._decide_parts, presented, parts))

    def _decide_shared_at_once(self, worker: _Worker, until_us: int) -> None:
        """Do the same in one call, by which a small slice gains much; make room and go on where there is too little."""
        index = self._indices[0]
        cursor = pending = waiting = 0
        decided = False
        while not decided:
            index.reserve(index.held + len(worker.presented))
            cursor, pending, waiting, index.held, worker.told, decided = worker.advance_shared(
                worker.sharing(index),
                self._shared.due,
                worker.presented,
                index.table,
                index.held,
                until_us,
                cursor,
                pending,
                waiting,
                worker.told,
            )
            if not decided:
                worker.presented = joined([worker.presented, np.zeros_like(worker.presented)])
                worker.make_room(len(worker.presented))

    def _present(self, worker: _Worker, until_us: int, blocks: itertools.count[int]) -> None:
        """Generate blocks of lines that share numbers, one after another, until none is left."""
        agenda = self._shared
        while (block := next(blocks)) < len(agenda.blocks):
            cursor, stop = agenda.blocks[block]
            pending = 0
            while cursor < stop or pending:
                to = until_us, cursor, stop, pending, worker.waiting
                cursor, pending, worker.waiting = present_lines(worker.work, agenda.due, worker.presented, *to)
                if cursor < stop or pending:
                    worker.presented = joined([worker.presented, np.zeros_like(worker.presented)])

    def _decide_parts(self, worker: _Worker, presented: np.ndarray, parts: itertools.count[int]) -> None:
        """Decide the attempts of one part of the numbers after another, until none is left."""
        one_batch = self._record is not None
        while (part := next(parts)) < len(self._indices):
            index = self._indices[part]
            order = order_part(presented, part, len(self._indices))
            cursor = 0
            index.reserve(index.held + len(order))
            while cursor < len(order):
                work = worker.sharing(index)
                if self._core.says:
                    n, cursor = take_presented(presented, order, cursor, work.hindsight, work.rows)
                    index.find(work.rows, n)
                    self._settle(worker, work, n)
                    continue
                to = index.table, index.held, worker.told, one_batch
                cursor, index.held, n, worker.told = decide_presented(work, presented, order, cursor, *to)
                self._keep(worker, n)
                worker.make_room()

    def post_listing(
        self,
        policy_id: str,
        line: NDArray[np.int64],
        generation: NDArray[np.int64],
        from_us: NDArray[np.int64],
        until_us: NDArray[np.int64],
    ) -> None:
        """List the numbers (line, generation) for a rule from given times to others, in us from the start of the run.

        They are numbers that have presented themselves, since nobody knows of others; one that its line has
        given up meanwhile is passed over.

        Raise LookaheadError where a time lies before `decided_us`.
        """
        word = self._core.first_word[policy_id]
        ends = self._core.ops[self._core.rules.index(policy_id), ARGUMENTS + 13] != 0
        to = self._lines, self._state, word, ends, self._epoch_us
        first_us = list_numbers(*to, line, generation, from_us, until_us)
        if first_us < self.decided_us:
            raise LookaheadError(f"policies.{policy_id}", first_us, self.decided_us)

    def post_known(self, line: NDArray[np.int64], generation: NDArray[np.int64], known_us: NDArray[np.int64]) -> None:
        """Say when police hand over numbers (line, generation): us from the start of the run.

        Raise LookaheadError where a time lies before `decided_us`.
        """
        first_us = watch_numbers(self._lines, line, generation, known_us)
        if first_us < self.decided_us:
            raise LookaheadError("police.delay", first_us, self.decided_us)

    def reached(self, line: NDArray[np.int64], generation: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return whom numbers that their lines still present have reached, int64 (n, 3), as `reached_by` does."""
        return reached_by(self._lines, line, generation)

    def take_measured(self) -> NDArray[np.int64]:
        """Return what came to the network since the last call, int64 (groups, 2), and begin again from zero."""
        total = self._workers[0].work.accounts.load.copy()
        for worker in self._workers[1:]:
            total += worker.work.accounts.load
        for worker in self._workers:
            worker.work.accounts.load.fill(0)
        return total

    def post_network(self, lost: NDArray[np.uint64], lag_us: NDArray[np.int64], from_us: int) -> None:
        """Let calls of each group be lost by draws below `lost`, and messages take `lag_us`, from `from_us` on.

        Raise LookaheadError unless that is `decided_us`: slices are cut where the load is measured.
        """
        if from_us != self.decided_us:
            raise LookaheadError("network.measure_every", from_us, self.decided_us)
        supply = self._supply
        supply.now[0] = interval = from_us % DAY_US // supply.every_us
        supply.lost[interval], supply.lag_us[interval] = lost, lag_us

    @property
    def ordinary_time_ratio(self) -> float:
        """Which part of the time that lines took went to ordinary callers' lines."""
        fraud, ordinary = (sum(worker.busy_ns[k] for worker in self._workers) for k in (0, 1))
        return ordinary / max(fraud + ordinary, 1)

    def end(self) -> None:
        """Count what is left to be counted once all is decided."""
        end_lines(self._lines, self._population.groups, self._supply, self._workers[0].work.accounts.idle_us)

    def take_day(self) -> NDArray[np.int64]:
        """Return the counts since the last call, int64 (cells, columns), and begin again from zero."""
        total: NDArray[np.int64] = np.sum([w.work.accounts.daily for w in self._workers], axis=0)
        for worker in self._workers:
            worker.work.accounts.daily.fill(0)
        return total

    def totals(self) -> Accounts:
        """Return the accounts summed over threads."""
        parts = zip(*(worker.work.accounts for worker in self._workers), strict=True)
        return Accounts(*(np.sum(part, axis=0) for part in parts))

    def begin_counting(self) -> None:
        """Forget what the warm-up counted."""
        for worker in self._workers:
            worker.work.accounts.clear()
