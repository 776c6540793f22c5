"""The command `replay`: what it prints, what it refuses in one line, and that a killed one leaves nothing finished."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from test_cli import answer, refused

from interceptsim.bench import make

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.mark.usefixtures("here")
def test_it_prints_tables_or_one_json_object():
    given = ("replay", EXAMPLES / "attempts.parquet", "--policies", EXAMPLES / "policies.toml")
    printed = answer(*given, "--challenger", EXAMPLES / "challenger.toml", "--cut-off", "numbers.csv")
    for title in ("What became of them", "What each rule matched", "Against the labels", "Champion and challenger"):
        assert title in printed
    found = json.loads(answer(*given, "--json"))
    assert found["read"] == found["decided"] == sum(found["verdicts"].values())
    assert pl.read_csv("numbers.csv")["attempts"].sum() == found["verdicts"]["intercept"]


@pytest.mark.usefixtures("here")
def test_policies_may_be_those_of_a_scenario():
    found = json.loads(answer("replay", EXAMPLES / "attempts.parquet", "--policies", "china-2025", "--json"))
    assert "reject-spoofed-origin" in {row["rule"] for row in found["rules"]}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("none.csv",), "wanted a chain of policies"),
        (("none.csv", "--policies", "minimal"), "no such file or folder"),
        (("*.csv", "--policies", "minimal"), "matches no file"),
        ((".", "--policies", "minimal"), "holds no files of records"),
        (("x.doc", "--policies", "minimal"), "wanted a name that ends in one of"),
        (("-", "--policies", "minimal"), "standard input is read with --follow alone"),
        (("-", "--follow"), "--follow needs --policies FILE"),
        (("-", "--follow", "--out", "x.csv"), "--out does not go with --follow"),
        (("r.parquet", "--policies", "minimal"), "damaged, or not of the format"),
        (("r.csv", "--policies", "minimal"), "no column for 'time'"),
    ],
)
def test_mistakes_are_told_in_a_line(here, arguments, told):
    (here / "x.doc").write_text("") if "x.doc" in arguments else None
    (here / "r.parquet").write_bytes(b"PAR1xxxx") if "r.parquet" in arguments else None
    (here / "r.csv").write_text("a,b\n1,2\n") if "r.csv" in arguments else None
    assert told in refused("replay", *arguments)


@pytest.mark.slow
def test_killed_at_random_a_replay_leaves_nothing_that_looks_finished(here):
    work = make("text scores", 400_000)
    frame = work.batch.to_frame().with_columns(b_number=pl.when(pl.col("b_number") % 3 > 0).then("b_number"))
    frame.write_parquet("r.parquet", row_group_size=20_000)
    (here / "p.toml").write_text('[[policies]]\nkind = "score-text"\nthreshold = 0.9\n')
    names = ("d.parquet", "r.csv", "n.jsonl")
    command = [sys.executable, "-m", "interceptsim", "replay", "r.parquet", "--policies", "p.toml", "--out", names[0]]
    command += ["--rejects", names[1], "--cut-off", names[2]]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    whole_s = time.perf_counter() - started
    sizes = {name: (here / name).stat().st_size for name in names}
    dice = random.Random(8)
    killed = 0
    for _ in range(8):
        for name in names:
            (here / name).unlink(missing_ok=True)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.4, 1.0) * whole_s)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        for name in names:
            if (here / name).exists():
                assert (here / name).stat().st_size == sizes[name]
    assert killed > 2
