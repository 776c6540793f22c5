"""A sweep that is killed, at random and often, ends with the files of one that never was; nothing of it goes on."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest

SCRIPT = """
import os, sys, time
import interceptsim as ics

def slow(batch):
    open(os.path.join(os.environ["PIDS"], str(os.getpid())), "w").close()
    time.sleep(0.002)
    return batch.channel == 9

if __name__ == "__main__":
    minimal = ics.load("minimal")
    scenario = minimal.with_policies([*minimal.policies, slow])
    axes = {"police.voice_complaint_ratio": [n / 100 for n in range(1, 13)]}
    found = ics.sweep(scenario, axes, workers=2, store=sys.argv[1], scale=20_000, days=2, replications=5)
    print(found.finished, found.wanted, found.failed.height)
"""


@pytest.fixture
def start(tmp_path):
    """Return how a sweep is started in a process of its own."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    (tmp_path / "pids").mkdir()

    def start(store):
        environment = {**os.environ, "PIDS": str(tmp_path / "pids")}
        return subprocess.Popen([sys.executable, script, store], stdout=subprocess.PIPE, env=environment, text=True)

    return start


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def runs_in(store):
    return len(list((store / "runs").glob("*.parquet"))) if store.exists() else 0


def is_alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_twenty_kills_at_random_end_with_the_same_files(start, tmp_path):
    whole = start(tmp_path / "whole")
    assert whole.communicate()[0] == "60 60 0\n"
    killed, amid = tmp_path / "killed", 0
    chance = random.Random(7)
    for _ in range(20):
        before = runs_in(killed)
        sweep = start(killed)
        wanted = before + chance.choice([0, 0, 1, 1, 2, 3, 5])
        while runs_in(killed) < wanted and sweep.poll() is None:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 1.0 if wanted == before else 0.05))
        sweep.send_signal(signal.SIGKILL)
        sweep.communicate()
        amid += before < runs_in(killed) < 60
    assert amid >= 5, "the kills fell before or after the runs, and prove nothing"
    assert start(killed).communicate()[0] == "60 60 0\n"
    assert contents(killed) == contents(tmp_path / "whole")
    until = time.monotonic() + 20
    while left := [path.name for path in (tmp_path / "pids").iterdir() if is_alive(int(path.name))]:
        assert time.monotonic() < until, f"workers outlived their sweep: {left}"
        time.sleep(0.1)
