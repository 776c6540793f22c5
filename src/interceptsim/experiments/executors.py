"""Where work is done: processes of this machine, the workers of a Dask cluster, or any executor that is given.

`open_pool` gives a pool, `carry_out` sends tasks through it and yields what came of each, in whatever order they end.
An exception that a task raises is the task's outcome. A worker that dies costs what it was doing: that is done again,
by itself, and only a task whose worker dies twice when it is alone is told as failed.

Worker processes are started by `spawn`, never forked (Polars and numba do not survive it), and use one thread each.
This module imports nothing heavy, since workers set the number of threads before they load Polars and numba.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import queue
import signal
import sys
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interceptsim.errors import ConfigurationError, ResultsError, nearest_name
from interceptsim.experiments.extras import extra

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["Outcome", "Pool", "RunProgress", "Task", "carry_out", "open_pool"]

RunProgress = Callable[[int, int, str], None]
"""Called as tasks end, with how many are done, of how many, and what they are: "runs" or "calibrations"."""

_ONE_THREAD = ("POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS")
_PATIENCE_S = 15
_DEATHS = 2
_KEPT = "what is finished is kept: start again to go on"


@dataclass(frozen=True)
class Task:
    """Work to be done: a function that workers can import, and its arguments; `name` tells it from others."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of a task: a value, or the `error` that it ended with."""

    name: str
    value: Any = None
    error: str | None = None


@dataclass
class Pool:
    """An executor, how many tasks are sent to it at a time, and how to get another where it breaks."""

    executor: Executor
    window: int
    renew: Callable[[], Executor] | None = None
    suspects: deque[Task] = field(default_factory=deque)


@contextlib.contextmanager
def open_pool(executor: Executor | str | None = None, workers: int | None = None) -> Iterator[Pool]:
    """Give a pool: "local" processes (the default), "dask://HOST:PORT", or any `concurrent.futures.Executor`.

    `workers` is for local processes alone, by default one a core. Raise ConfigurationError for what is none of these,
    or where workers cannot be reached or run another version of the package.
    """
    if isinstance(executor, str) and executor.startswith("dask://"):
        opened: contextlib.AbstractContextManager[Pool] = _dask(executor)
    elif executor is None or executor == "local":
        opened = _local(_count(workers))
    elif isinstance(executor, Executor):
        opened = contextlib.nullcontext(_checked(Pool(executor, window=64)))
    else:
        wanted = "wanted 'local', 'dask://HOST:PORT' or a concurrent.futures.Executor"
        near = nearest_name(executor, ["local"]) if isinstance(executor, str) else None
        raise ConfigurationError("executor", wanted, given=executor, nearest=near)
    if workers is not None and executor is not None and executor != "local":
        raise ConfigurationError("workers", "are for local processes; a given executor has its own", given=workers)
    with opened as pool:
        yield pool


def carry_out(pool: Pool, tasks: Iterable[Task]) -> Iterator[Outcome]:
    """Yield the outcome of each task as it ends.

    Raise ResultsError where the executor itself is lost, or a worker has another version of the package.
    """
    waiting = iter(tasks)
    ended: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
    sent: dict[Future[Any], Task] = {}
    deaths: Counter[str] = Counter()
    try:
        while True:
            alone = bool(pool.suspects)
            more = iter([pool.suspects.popleft()]) if alone else waiting
            for task in itertools.islice(more, pool.window - len(sent)):
                _send(pool, task, sent, ended)
            if not sent:
                return
            future = ended.get()
            task = sent.pop(future)
            outcome = _outcome(future, task, pool)
            if outcome is not None:
                yield outcome
            elif alone:
                pool.executor = _renewed(pool)
                deaths[task.name] += 1
                if deaths[task.name] < _DEATHS:
                    pool.suspects.appendleft(task)
                else:
                    yield Outcome(task.name, error="its worker process died: killed, or out of memory")
            else:  # it broke, and with it what was sent: any of that may be what broke it
                pool.suspects.append(task)
                for other, lost in sent.items():
                    if other.done() and not other.cancelled() and other.exception() is None:
                        yield Outcome(lost.name, *other.result())
                    else:
                        pool.suspects.append(lost)
                sent.clear()
                ended = queue.SimpleQueue()
                pool.executor = _renewed(pool)
    finally:
        for future in sent:
            future.cancel()


def _send(pool: Pool, task: Task, sent: dict[Future[Any], Task], ended: queue.SimpleQueue[Future[Any]]) -> None:
    try:
        future = pool.executor.submit(_attempt, package(), task.function, task.arguments)
    except BrokenExecutor as error:  # it broke after the last task had ended
        future = Future()
        future.set_exception(error)
    except RuntimeError as error:
        raise ResultsError(f"the executor takes no more work ({error}); {_KEPT}") from None
    sent[future] = task
    future.add_done_callback(ended.put)


def _outcome(future: Future[Any], task: Task, pool: Pool) -> Outcome | None:
    """Return what came of a task; None where the pool broke and can be renewed."""
    if future.cancelled():
        raise ResultsError(f"the executor was lost; {_KEPT}")
    error = future.exception()
    if isinstance(error, BrokenExecutor):
        if pool.renew is None:
            raise ResultsError(f"the executor is broken ({error}); {_KEPT}") from None
        return None
    if isinstance(error, ResultsError):
        raise error
    if error is not None:
        if type(error).__name__ in {"CommClosedError", "FutureCancelledError", "CancelledError"}:
            raise ResultsError(f"the cluster was lost ({error}); {_KEPT}") from None
        return Outcome(task.name, error=_told(error))
    value, failed = future.result()
    return Outcome(task.name, value=value, error=failed)


def _renewed(pool: Pool) -> Executor:
    assert pool.renew is not None
    return pool.renew()


def _attempt(expected: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any | None, str | None]:
    """Call a function in a worker; return its value, or the error it raised as text."""
    if package() != expected:
        raise ResultsError(
            "a worker has other files of interceptsim than this process: restart whichever is older (in a notebook, "
            "the kernel)"
        )
    try:
        return function(*arguments), None
    except Exception as error:  # noqa: BLE001  whatever a model or a user's policy raises is the run's own failure
        return None, _told(error)


def _told(error: BaseException) -> str:
    """Write an error and the function it came from, in one line that is the same on every machine."""
    text = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    where = f" (in {frames[-1].name})" if frames and not isinstance(error, ConfigurationError) else ""
    return f"{type(error).__name__}: {text[:500]}{where}"


def package() -> str:
    """Return the digest of the package's files and the versions of its libraries, as this process has them."""
    from interceptsim.experiments.fingerprint import package_fingerprint  # noqa: PLC0415  heavy, see the top

    return package_fingerprint()


def described() -> dict[str, str]:
    """Return what has to be the same in all workers."""
    from importlib.metadata import version  # noqa: PLC0415  of the worker

    names = ("interceptsim", "simpy", "numpy", "polars", "numba", "pydantic")
    python = ".".join(map(str, sys.version_info[:2]))
    return {"python": python, **{name: version(name) for name in names}, "package": package()}


def _described_alone() -> dict[str, str]:
    """Describe a worker that is new, having told Polars and numba to use one thread."""
    for name in _ONE_THREAD:
        os.environ.setdefault(name, "1")
    return described()


# Processes of this machine


def _count(workers: int | None) -> int:
    if workers is None:
        allowed = getattr(os, "sched_getaffinity", None)
        return len(allowed(0)) if allowed else os.cpu_count() or 1
    if not 1 <= workers <= 1024:
        raise ConfigurationError("workers", "wanted a whole number from 1 to 1024", given=workers)
    return workers


@contextlib.contextmanager
def _local(workers: int) -> Iterator[Pool]:
    """Give a pool of processes that end with the block, or with this process, however that ends."""
    spawn = multiprocessing.get_context("spawn")
    alive, held = spawn.Pipe(duplex=False)
    made: list[ProcessPoolExecutor] = []

    def renew() -> Executor:
        for old in made:
            old.shutdown(wait=False, cancel_futures=True)
        made.append(ProcessPoolExecutor(workers, spawn, initializer=_begin, initargs=(alive,)))
        return made[-1]

    try:
        yield _checked(Pool(renew(), window=2 * workers, renew=renew))
        made[-1].shutdown()
    finally:
        held.close()  # whatever still runs ends here
        made[-1].shutdown(wait=False, cancel_futures=True)
        alive.close()


def _begin(alive: Connection) -> None:
    """Prepare a worker process: one thread for each library, deaf to Ctrl-C, gone when its parent is."""
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            alive.recv()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _checked(pool: Pool) -> Pool:
    """Return a pool whose first worker answers and has this version of the package."""
    try:
        found = pool.executor.submit(described).result()
    except BrokenExecutor:
        wanted = (
            "no worker process could start; in a script, call it under `if __name__ == '__main__':`, since each worker "
            "reads the script"
        )
        raise ConfigurationError("executor", wanted) from None
    _compare("a worker", found)
    return pool


def _compare(who: str, found: dict[str, str]) -> None:
    own = described()
    for name, here in own.items():
        there = found.get(name)
        if there != here:
            what = "files of interceptsim" if name == "package" else name
            raise ConfigurationError("executor", f"{who} has another version of {what}: {there}, here {here}")


# A Dask cluster


@contextlib.contextmanager
def _dask(address: str) -> Iterator[Pool]:
    """Give a pool of a Dask cluster's workers, all of which have this version of the package."""
    distributed = extra("distributed", f"the executor {address}")
    try:
        client = distributed.Client(
            f"tcp://{address.removeprefix('dask://')}", timeout=_PATIENCE_S, set_as_default=False
        )
    except (OSError, ValueError) as error:
        told = str(error).splitlines()[0]
        raise ConfigurationError("executor", f"no Dask scheduler answers there: {told}", given=address) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE_S)
            threads = sum(client.nthreads().values())
            found = client.run(_described_alone)
        except TimeoutError:
            raise ConfigurationError("executor", "its scheduler has no workers", given=address) from None
        except (ImportError, AttributeError) as error:
            wanted = f"its workers cannot load interceptsim ({error}): install the same version there"
            raise ConfigurationError("executor", wanted, given=address) from None
        for worker, what in found.items():
            _compare(f"worker {worker}", what)
        yield Pool(client.get_executor(pure=False), window=2 * threads + 8)
