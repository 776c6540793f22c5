"""How to make it again: the snippet, run as it stands, gives the same digest, wherever the scenario came from."""

import json
import subprocess
import sys

import pytest

import interceptsim as ics
from interceptsim.report import reproduce
from interceptsim.report.page import page_of


def made_again(run, tmp_path):
    """Run the snippet of a run's page in a directory of its own; it asserts the digest itself."""
    page = page_of(run)
    [section] = [section for section in page.sections if section.id == "again"]
    [(_, program)] = section.code
    assert run.digest in program
    if page.scenario:
        (tmp_path / reproduce.SCENARIO_FILE).write_text(page.scenario, "utf-8")
    (tmp_path / "again.py").write_text(program, "utf-8")
    done = subprocess.run([sys.executable, "again.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


def test_a_shipped_scenario_is_made_again_by_its_name(minimal, tmp_path):
    program = made_again(ics.run(minimal, seed=7, scale=20_000, days=2), tmp_path)
    assert "ics.load('minimal')\n" in program
    assert "seed=7, scale=20000, days=2" in program


def test_a_changed_scenario_is_made_again_by_its_changes(minimal, tmp_path):
    changes = {
        "policies.reject-listed-numbers.delay": "2h",
        "police.delay.median": "5h",
        "policies.score-text.enabled": False,
    }
    program = made_again(ics.run(minimal.replace(changes), scale=20_000, days=2), tmp_path)
    assert "ics.load('minimal').replace({" in program
    assert "'policies.score-text.enabled': False" in program


def test_a_scenario_of_ones_own_is_made_again_from_its_file(minimal, tmp_path):
    own = minimal.model_copy(update={"name": "mine"})
    program = made_again(ics.run(own, scale=20_000, days=2), tmp_path)
    assert reproduce.SCENARIO_FILE in program


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"police.voice_complaint_ratio": 0.3},
        {"traffic.ordinary": []},
        {"policies.limit-calls.per_day": {"critical": 80}},
        {"traffic.lines.domestic-modem-pool.attempts_per_day": 99, "period.warm_up": "3d"},
        {"network.measure_every": "30min"},
    ],
)
def test_changes_lead_from_the_shipped_scenario_to_the_changed_one(changes):
    changed = ics.load("china-2025").replace(changes)
    found = reproduce.changes_from(changed)
    assert found is not None
    assert ics.load("china-2025").replace(found) == changed
    json.dumps(found)
    assert len(found) >= len(changes)


def test_policies_of_ones_own_are_named(minimal):
    def mine(batch):
        return batch.channel == 0

    run = ics.run(minimal.with_policies([*minimal.policies, mine]), scale=20_000, days=1)
    [section] = [section for section in page_of(run).sections if section.id == "again"]
    assert "mine" in section.lead
