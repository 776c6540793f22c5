"""Executors: outcomes are the same wherever work is done, failures are told, and dead workers cost only their work."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor

import pytest

from interceptsim.errors import ConfigurationError, ResultsError
from interceptsim.experiments import executors as module
from interceptsim.experiments.executors import Outcome, Task, carry_out, open_pool


def outcomes(pool, function, arguments):
    tasks = [Task(str(n), function, (argument,)) for n, argument in enumerate(arguments)]
    return sorted(carry_out(pool, tasks), key=lambda outcome: int(outcome.name))


def divided(by):
    """A task that fails where it is asked to."""
    return 12 // by


def environment(_):
    """What a worker was told, and whether it could have been in time."""
    return [os.environ.get(name) for name in module._ONE_THREAD], os.getpid(), multiprocessing.get_start_method()


def dies_once(path):
    """Kill the own process, the first time."""
    if not os.path.exists(path):  # noqa: PTH110
        open(path, "w").close()  # noqa: PTH123
        os.kill(os.getpid(), signal.SIGKILL)
    return "lives"


def dies(path):
    if path == "always":
        os.kill(os.getpid(), signal.SIGKILL)
    return path


def sleeps(seconds):
    time.sleep(seconds)


EXPECTED = [
    Outcome("0", 12),
    Outcome("1", 6),
    Outcome("2", None, "ZeroDivisionError: integer division or modulo by zero (in divided)"),
]


def test_an_error_is_the_outcome_of_its_task_alone():
    with ThreadPoolExecutor(2) as executor, open_pool(executor) as pool:
        assert outcomes(pool, divided, [1, 2, 0]) == EXPECTED


def test_processes_give_what_threads_give_and_use_one_thread_each():
    with open_pool("local", 2) as pool:
        assert outcomes(pool, divided, [1, 2, 0]) == EXPECTED
        found = [outcome.value for outcome in outcomes(pool, environment, range(8))]
    assert {tuple(told) for told, _, _ in found} == {("1", "1", "1")}
    assert os.getpid() not in {process for _, process, _ in found}


def test_no_task_is_no_outcome():
    with ThreadPoolExecutor(1) as executor, open_pool(executor) as pool:
        assert list(carry_out(pool, [])) == []


def test_tasks_are_taken_only_as_they_are_needed():
    taken = []

    def tasks():
        for n in range(200):
            taken.append(n)
            yield Task(str(n), divided, (1,))

    with ThreadPoolExecutor(1) as executor, open_pool(executor) as pool:
        ended = carry_out(pool, tasks())
        next(ended)
        assert len(taken) <= pool.window
        assert len(list(ended)) == 199


def test_a_worker_that_dies_costs_only_its_work(tmp_path):
    with open_pool(None, 2) as pool:
        marks = [str(tmp_path / name) for name in "abcdef"]
        assert [outcome.value for outcome in outcomes(pool, dies_once, marks)] == ["lives"] * 6


def test_a_task_whose_worker_always_dies_is_told_and_the_others_are_done():
    with open_pool(None, 2) as pool:
        found = outcomes(pool, dies, ["a", "always", "b", "c", "d", "e"])
    assert [outcome.value for outcome in found] == ["a", None, "b", "c", "d", "e"]
    assert found[1].error == "its worker process died: killed, or out of memory"


def test_workers_end_with_their_pool_even_in_the_middle_of_work():
    started = time.perf_counter()
    with pytest.raises(KeyboardInterrupt), open_pool(None, 2) as pool:  # noqa: PT012  the interrupt is the test
        workers = {outcome.value[1] for outcome in outcomes(pool, environment, range(8))}
        carrying = carry_out(pool, [Task(str(n), sleeps, (0.0 if n == 0 else 600,)) for n in range(4)])
        next(carrying)
        raise KeyboardInterrupt
    assert time.perf_counter() - started < 60
    wait_until_gone(workers)


def wait_until_gone(processes, seconds=20):
    until = time.monotonic() + seconds
    while left := {process for process in processes if is_alive(process)}:
        assert time.monotonic() < until, left
        time.sleep(0.05)


def is_alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Broken(Executor):
    """An executor that breaks after its first task."""

    def __init__(self, error):
        self.error = error
        self.sent = 0

    def submit(self, function, /, *arguments):
        self.sent += 1
        future = Future()
        if self.sent == 1:
            future.set_result(function(*arguments))
        elif self.error is None:
            future.cancel()
            future.set_running_or_notify_cancel()
        else:
            future.set_exception(self.error)
        return future


@pytest.mark.parametrize(
    ("error", "told"),
    [(None, "the executor was lost"), (BrokenExecutor("gone"), r"the executor is broken \(gone\)")],
)
def test_an_executor_that_is_lost_is_told_and_what_is_finished_kept(error, told):
    with open_pool(Broken(error)) as pool, pytest.raises(ResultsError, match=f"{told}.*start again"):
        outcomes(pool, divided, [1])


def test_an_executor_that_was_shut_down_is_told():
    executor = ThreadPoolExecutor(1)
    with open_pool(executor) as pool, pytest.raises(ResultsError, match="takes no more work"):  # noqa: PT012
        executor.shutdown()
        outcomes(pool, divided, [1])


def test_a_worker_with_other_files_of_the_package_is_refused(monkeypatch):
    with ThreadPoolExecutor(1) as executor, open_pool(executor) as pool:
        monkeypatch.setattr(module, "package", iter(["mine", "another"]).__next__)
        with pytest.raises(ResultsError, match="a worker has other files of interceptsim"):
            outcomes(pool, divided, [1])


def test_a_worker_with_another_version_of_a_library_is_refused_at_the_start():
    class Elsewhere(Executor):
        def submit(self, _function, /, *_arguments):
            future = Future()
            future.set_result({**module.described(), "numpy": "1.0"})
            return future

    with (
        pytest.raises(ConfigurationError, match=r"a worker has another version of numpy: 1\.0, here"),
        open_pool(Elsewhere()),
    ):
        pass


@pytest.mark.parametrize(
    ("executor", "workers", "told"),
    [
        ("locl", None, "executor: got 'locl'; wanted 'local'.*did you mean 'local'"),
        (7, None, "executor: got 7; wanted 'local'"),
        (None, 0, "workers: got 0; wanted a whole number from 1 to 1024"),
        ("dask://127.0.0.1:1", 3, "workers: got 3; are for local processes"),
    ],
)
def test_an_executor_that_is_none_is_refused(executor, workers, told):
    with pytest.raises(ConfigurationError, match=told), open_pool(executor, workers):
        pass


def test_a_script_that_does_not_guard_its_own_start_is_told_what_to_do(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import interceptsim as ics
            from interceptsim.experiments.executors import open_pool
            with open_pool("local", 1):
                pass
            """
        )
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "call it under `if __name__ == '__main__':`" in done.stderr.splitlines()[-1]


def test_dask_without_its_library_is_told_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ConfigurationError, match=r"dask://h:1: needs distributed.*'interceptsim\[dask\]'"),
        open_pool("dask://h:1"),
    ):
        pass
