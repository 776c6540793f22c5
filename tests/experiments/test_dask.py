"""Sweeps on a Dask cluster, started by its own command lines: the tables are those of this machine."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

import interceptsim as ics
from interceptsim.errors import ConfigurationError, ResultsError
from interceptsim.experiments import executors
from interceptsim.ledger import shipped

pytestmark = pytest.mark.slow

AXES = {"police.voice_complaint_ratio": [n / 100 for n in range(1, 11)]}
SMALL = {"scale": 20_000, "days": 2, "replications": 3}


def slow(batch):
    """A policy that takes its time, so that there is a middle in which to kill a worker."""
    time.sleep(0.001)
    return batch.channel == 9


@contextlib.contextmanager
def cluster(folder, workers=2, environment=None):
    """Give the address of a scheduler and the processes of its workers."""
    file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file]
    scheduler = subprocess.Popen([*dask, "scheduler", *options], **quiet)
    started = []
    try:
        until = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        for _ in range(workers):
            command = [*dask, "worker", "--scheduler-file", file, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
            place = ["--host", "127.0.0.1", "--local-directory", folder]
            started.append(subprocess.Popen([*command, *place], env=environment, **quiet))
        address = json.loads(file.read_text())["address"]
        yield address.replace("tcp://", "dask://"), started, scheduler
    finally:
        for process in (*started, scheduler):
            process.kill()
            process.wait()


def files(store):
    return {path.name: path.read_bytes() for path in (store / "runs").iterdir()}


@pytest.fixture(scope="module")
def scenario(minimal):
    return minimal.with_policies([*minimal.policies, slow])


@pytest.fixture(scope="module")
def local(scenario, tmp_path_factory):
    return ics.sweep(scenario, AXES, store=tmp_path_factory.mktemp("local"), workers=2, **SMALL)


def test_a_cluster_that_loses_a_worker_in_the_middle_gives_the_same_table(scenario, local, tmp_path):
    ended = []
    with cluster(tmp_path) as (address, workers, _):

        def kill_one(done, _of, _what):
            ended.append(done)
            if len(ended) == 6:
                workers[0].kill()

        found = ics.sweep(scenario, AXES, store=tmp_path / "store", executor=address, progress=kill_one, **SMALL)
        assert workers[0].wait() != 0
    assert ended[-1] == 30
    assert found.failed.is_empty()
    assert files(tmp_path / "store") == files(local.store.folder)
    assert found.estimates.equals(local.estimates)


def test_a_cluster_that_is_lost_is_told_and_what_is_finished_kept(scenario, local, tmp_path):
    ended = []
    with cluster(tmp_path) as (address, workers, scheduler):

        def kill_all(done, _of, _what):
            ended.append(done)
            if len(ended) == 5:
                for process in (scheduler, *workers):
                    process.kill()

        with pytest.raises(ResultsError, match=r"lost.*start again to go on"):
            ics.sweep(scenario, AXES, store=tmp_path / "store", executor=address, progress=kill_all, **SMALL)
    kept = files(tmp_path / "store")
    assert 4 <= len(kept) < 30
    assert kept.items() <= files(local.store.folder).items()


def test_a_worker_with_other_files_of_the_package_is_refused(tmp_path):
    other = tmp_path / "other"
    shutil.copytree(next(iter(ics.__path__)), other / "interceptsim")
    shutil.copytree(shipped("seeds", ""), other / "interceptsim" / "seeds", dirs_exist_ok=True)
    (other / "interceptsim" / "added.py").write_text('"""Edited."""\n')
    environment = {**os.environ, "PYTHONPATH": str(other)}
    with (
        cluster(tmp_path, 1, environment) as (address, _, _),
        pytest.raises(ConfigurationError, match="has another version of files of interceptsim"),
        executors.open_pool(address),
    ):
        pass


def test_a_cluster_without_workers_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "_PATIENCE_S", 1)
    with (
        cluster(tmp_path, 0) as (address, _, _),
        pytest.raises(ConfigurationError, match="its scheduler has no workers"),
        executors.open_pool(address),
    ):
        pass


def test_where_no_scheduler_answers_is_told(monkeypatch):
    monkeypatch.setattr(executors, "_PATIENCE_S", 1)
    with (
        pytest.raises(ConfigurationError, match=r"got 'dask://127.0.0.1:9'; no Dask scheduler answers there"),
        executors.open_pool("dask://127.0.0.1:9"),
    ):
        pass
