"""Records decided as they come: each line in gives a line out at once, as a replay would decide it."""

import io
import json
import subprocess
import sys
import threading
import time

import pytest

import interceptsim as ics
from interceptsim.backtest.follow import follow
from interceptsim.bench import make

MAPPING = {"time": {"format": "us"}, "numbers": {"form": "digits"}, "text": {"score_unit": "millionth"}}
POLICY = """[[policies]]
kind = "limit-attempts"
per_hour = { warn = 1, critical = 2 }
"""
MAPPING_FILE = '[time]\nformat = "s"\n'


def record(second, number="13800138000"):
    return json.dumps({"time_us": second, "a_number": number, "b_number": "95588"})


def test_a_followed_file_is_decided_as_a_replayed_one(tmp_path):
    work = make("chain of ten", 3000)
    frame = work.batch.to_frame()
    frame.write_csv(tmp_path / "r.csv")
    to = io.StringIO()
    counts = follow(tmp_path / "r.csv", work.chain, to=to, mapping=MAPPING, stop=lambda: True)
    assert counts.decided == counts.read == 3000
    found = ics.replay(tmp_path / "r.csv", work.chain, mapping=MAPPING, keep=True)
    told = [json.loads(line) for line in to.getvalue().splitlines()]
    for name in ("line", "time_us", "a_number", "verdict", "reason", "score"):
        assert [row[name] for row in told] == found.decisions[name].to_list()


def test_lines_are_decided_when_they_are_whole_and_not_before(tmp_path):
    (tmp_path / "p.toml").write_text(POLICY)
    path = tmp_path / "r.jsonl"
    path.write_text("")
    to, ended = io.StringIO(), threading.Event()
    given = {"to": to, "mapping": {"time": {"format": "s"}}, "stop": ended.is_set}
    worker = threading.Thread(target=follow, args=(path, tmp_path / "p.toml"), kwargs=given)
    worker.start()

    def wait_for(lines):
        for _ in range(400):
            if to.getvalue().count("\n") >= lines:
                return
            time.sleep(0.02)
        raise AssertionError(to.getvalue())

    with path.open("a") as file:
        file.write(record(1_700_000_000) + "\n" + record(1_700_000_001)[:10])
        file.flush()
        wait_for(1)
        assert to.getvalue().count("\n") == 1
        file.write(record(1_700_000_001)[10:] + "\n{bad\n" + record(1_600_000_000) + "\n")
        file.flush()
        wait_for(4)
    ended.set()
    worker.join()
    told = [json.loads(line) for line in to.getvalue().splitlines()]
    assert {row["line"]: row.get("verdict", row.get("rejected")) for row in told} == {
        1: "deliver",
        2: "label",
        3: "malformed",
        4: "late",
    }


def test_with_a_lateness_records_are_put_in_order(tmp_path):
    (tmp_path / "r.jsonl").write_text("".join(record(1_700_000_000 + s) + "\n" for s in (5, 3, 9, 4, 20)))
    to = io.StringIO()
    policy = {"kind": "limit-attempts", "per_hour": {"warn": 9}}
    chain = ics.load("minimal").replace({"policies": [policy]}).policies
    given = {"mapping": {"time": {"format": "s"}}, "stop": lambda: True, "lateness_us": 5_000_000}
    assert follow(tmp_path / "r.jsonl", chain, to=to, **given).decided == 5
    assert [json.loads(line)["line"] for line in to.getvalue().splitlines()] == [2, 4, 1, 3, 5]


def test_a_stream_tool_gets_each_decision_at_once_from_the_command(tmp_path):
    (tmp_path / "p.toml").write_text(POLICY)
    (tmp_path / "m.toml").write_text(MAPPING_FILE)
    command = [
        sys.executable,
        "-m",
        "interceptsim",
        "replay",
        "-",
        "--follow",
        "--policies",
        "p.toml",
        "--mapping",
        "m.toml",
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as process:
        verdicts = []
        for second in range(3):
            process.stdin.write(record(1_700_000_000 + second) + "\n")
            process.stdin.flush()
            verdicts.append(json.loads(process.stdout.readline())["verdict"])
        process.stdin.close()
        left = process.stdout.read(), process.stderr.read()
    assert verdicts == ["deliver", "label", "intercept"]
    assert left[0] == ""
    assert json.loads(left[1]) == {"read": 3, "decided": 3, "late": 0, "duplicate": 0, "malformed": 0}
    assert process.returncode == 0


def test_what_cannot_be_followed_is_refused(tmp_path):
    for name in ("r.parquet", "none.csv"):
        with pytest.raises(ics.ConfigurationError):
            follow(tmp_path / name, [], to=io.StringIO())
