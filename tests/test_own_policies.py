"""Policies written outside the package, as docs/policies.md says: in columns, in a run, and in TOML."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from interceptsim import simulation
from interceptsim.errors import ConfigurationError
from interceptsim.filtering.outside import PythonPolicy
from interceptsim.filtering.plan import compile_filter
from interceptsim.filtering.policies import RejectListedNumbers
from interceptsim.scenario import Scenario
from interceptsim.testing import check_policy, sample_batch

DOCS = (Path(__file__).parents[1] / "docs/policies.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", DOCS, re.DOTALL)


def documented(holding: str) -> str:
    [text] = [text for _, text in BLOCKS if holding in text]
    return text


def night_calls():
    space: dict[str, object] = {}
    exec(compile(documented("class NightCalls"), "night_calls.py", "exec", dont_inherit=True), space)
    return space["NightCalls"]


def ring_the_family():
    space: dict[str, object] = {}
    exec(compile(documented("class RingTheFamily"), "ring_family.py", "exec", dont_inherit=True), space)
    return space["RingTheFamily"]


def unknown_at_night(batch):
    hour = (batch.time_us // 3_600_000_000 + 8) % 24
    return (hour < 6) & (batch.a_kind == 0)


def test_the_documented_class_has_ten_lines_and_decides_columns() -> None:
    lines = [line for line in documented("class NightCalls").splitlines() if line]
    assert len(lines) <= 10
    batch = sample_batch()
    found = compile_filter([night_calls()()]).decide(batch)
    assert (found.verdict == 2).tolist() == ((batch.time_us // 3_600_000_000 + 8) % 24 < 6).tolist()
    check_policy(night_calls()())


def test_a_function_and_a_class_take_part_in_a_run(minimal: Scenario) -> None:
    chain = [*minimal.policies, unknown_at_night, night_calls()(until_hour=10)]
    run = simulation.run(minimal, policies=chain, scale=5000)
    assert run.metrics["voice.matched by night-calls"] > 0
    assert run.metrics["voice.matched by unknown_at_night"] == 0
    plain = simulation.run(minimal, scale=5000)
    assert run.metrics["voice.latent"] == plain.metrics["voice.latent"]
    assert run.metrics["voice.delivered"] < plain.metrics["voice.delivered"]


def test_the_documented_response_policy_has_20_lines_and_stops_the_old_in_a_run(china: Scenario) -> None:
    lines = [line for line in documented("class RingTheFamily").splitlines() if line]
    assert len(lines) <= 20
    few = china.replace({"period.end": "2025-01-10", "period.warm_up": "2d", "traffic.ordinary": []})
    of_lists = [policy for policy in few.policies if policy.kind == "reject-listed-numbers"]
    rings = ring_the_family()(registered_ratio=1.0, heed_ratio=1.0)
    plain = simulation.run(few, policies=of_lists, scale=1000)
    found = simulation.run(few, policies=[*of_lists, rings], scale=1000)
    assert plain.metrics["response.dissuaded"] == 0
    assert found.metrics["response.engaged"] == plain.metrics["response.engaged"]
    assert 0 < found.metrics["response.dissuaded"] < 0.1 * found.metrics["response.engaged"]
    assert found.metrics["response.transferred_fen"] <= plain.metrics["response.transferred_fen"]


def test_changing_a_scenario_keeps_functions_and_arrays(minimal: Scenario) -> None:
    listed = RejectListedNumbers.of(np.array([8615000000000], np.uint64), id="mine", feed="none")
    scenario = minimal.with_policies([unknown_at_night, listed, night_calls()()])
    simulation.run(scenario, scale=20_000)
    changed = scenario.replace({"policies.unknown_at_night.enabled": False, "policies.mine.adoption_ratio": 0.5})
    function, numbers, own = changed.policies
    assert not function.enabled
    assert isinstance(function, PythonPolicy)
    assert len(function.says(sample_batch(10))) == 10
    assert numbers.listed().tolist() == [8615000000000]
    assert numbers.adoption_ratio == 0.5
    assert own.until_hour == 6
    compile_filter(changed.policies)


@pytest.mark.slow
def test_an_entry_point_makes_a_policy_known_to_toml(tmp_path: Path) -> None:
    (tmp_path / "night_calls.py").write_text(documented("class NightCalls"), "utf-8")
    info = tmp_path / "night_calls-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: night-calls\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(
        documented("entry-points")
        .replace('[project.entry-points."interceptsim.policies"]', "[interceptsim.policies]")
        .replace('"', ""),
        "utf-8",
    )
    policies = tmp_path / "chain.toml"
    policies.write_text('[[policies]]\nkind = "night-calls"\nuntil_hour = 10\n', "utf-8")
    command = [sys.executable, "-m", "interceptsim", "run", "minimal", "--scale", "5000", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([*command, "--policies", policies], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["voice.settled by night-calls"] > 0
    listed = subprocess.run(
        [sys.executable, "-m", "interceptsim", "policies"], capture_output=True, text=True, env=environment, check=True
    )
    assert "night-calls" in listed.stdout


@pytest.mark.slow
def test_code_named_in_toml_runs_only_where_python_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def everything(batch):\n    return batch.time_us > 0\n", "utf-8")
    (tmp_path / "chain.toml").write_text(
        '[[policies]]\nkind = "python"\nid = "all"\ncall = "mine:everything"\n', "utf-8"
    )
    command = [
        sys.executable,
        "-m",
        "interceptsim",
        "run",
        "minimal",
        "--scale",
        "5000",
        "--json",
        "--policies",
        "chain.toml",
    ]
    refused = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert refused.returncode == 2
    assert "policies.all" in refused.stderr
    assert "Traceback" not in refused.stderr
    allowed = subprocess.run([*command, "--allow-python"], capture_output=True, text=True, cwd=tmp_path)
    metrics = json.loads(allowed.stdout)["metrics"]
    assert metrics["voice.intercepted"] == metrics["voice.made"] > 0
    (tmp_path / "chain.toml").write_text('[[policies]]\nkind = "python"\nid = "all"\ncall = "mine:nothing"\n', "utf-8")
    missing = subprocess.run([*command, "--allow-python"], capture_output=True, text=True, cwd=tmp_path)
    assert missing.returncode == 2
    assert "mine:nothing" in missing.stderr


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda batch: [True], "wanted one value a row"),
        (lambda batch: batch.time_us * 0.5, "wanted truth values, or codes"),
        (lambda batch: np.full(len(batch), 3), "wanted truth values, or codes"),
    ],
)
def test_a_function_that_gives_the_wrong_thing_is_told_so(function, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        compile_filter([function]).decide(sample_batch(10))


def test_what_is_no_policy_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="wanted policies"):
        compile_filter([{"kind": "score-text"}])
