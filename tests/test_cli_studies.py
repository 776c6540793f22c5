"""The command line of studies: what it prints and keeps, and that each mistake is told in a line and leaves nothing."""

import json
import re

import pytest
from test_cli import answer, call, in_a_process, refused

from interceptsim.experiments.sweep import sweep

FILE = """
title = "Delays"
scenario = "minimal"
scale = "1:10000"
days = 3
replications = 2
metrics = ["voice.delivered", "voice.interception ratio"]
[variants."no list"]
"policies.reject-listed-numbers.enabled" = false
[design.axes]
"policies.reject-listed-numbers.delay" = ["1h", "1d"]
"police.delay" = ["2h", "5h"]
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in a directory with one study."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "delays.toml").write_text(FILE, encoding="utf-8")
    return tmp_path


def test_a_sweep_prints_its_table_and_keeps_its_runs(here):
    printed = answer("sweep", "delays.toml", "--workers", 2)
    assert printed.startswith("Delays\nscale 1:10000, seed 1, 2 replications; estimates are for the full-size world")
    rows = [line.split() for line in printed.splitlines() if line.startswith(" 1")]
    assert [row[:2] for row in rows] == [["1h", "2h"], ["1h", "5h"], ["1d", "2h"], ["1d", "5h"]] * 2
    assert "no list minus minimal" in printed
    assert len(list((here / "runs" / "store" / "runs").iterdir())) == 16
    assert answer("sweep", "delays.toml") == printed
    assert answer("sweep", "delays.toml", "--so-far") == printed


def test_a_sweep_prints_one_json_object_and_nothing_else(here):
    result = in_a_process("sweep", here / "delays.toml", "--store", here / "kept", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("\n") == 1
    found = json.loads(result.stdout)
    expected = sweep(here / "delays.toml", store=here / "kept")
    assert found == json.loads(json.dumps(expected.as_json()))
    assert (found["wanted"], found["finished"], found["failed"]) == (16, 16, [])
    assert len(found["estimates"]) == 4 * 2 * 2
    assert {row["metric"] for row in found["effects"]} == {"voice.delivered", "voice.interception ratio"}


def test_a_dry_run_says_what_it_would_take_and_makes_nothing(here):
    printed = " ".join(answer("sweep", "delays.toml", "--dry-run", "--replications", 3).split())
    assert "delays: 4 points x 2 variants x 3 replications = 24 different runs at 1:10000, 0 of them there" in printed
    assert "24 to make: about " in printed
    assert "kB on disk, as short trials foretell" in printed
    found = json.loads(answer("sweep", "delays.toml", "--dry-run", "--json"))
    assert (found["runs"], found["to_make"]) == (16, 16)
    assert [path.name for path in here.iterdir()] == ["delays.toml"]


@pytest.mark.usefixtures("here")
def test_options_stand_above_the_file():
    printed = answer(
        *("sweep", "delays.toml", "--scale", "1:20000", "--days", 2, "--replications", 1, "--workers", 1),
        *("--set", "police.voice_complaint_ratio=0.1", "--json"),
    )
    found = json.loads(printed)
    assert (found["scale"], found["replications"], found["wanted"]) == (20_000, 1, 8)


def test_what_failed_is_printed_once_with_how_often(here):
    (here / "delays.toml").write_text(FILE.replace('"1d"', '"1s"'), encoding="utf-8")
    printed = answer("sweep", "delays.toml", "--workers", 1)
    assert printed.count("failed (point 2, minimal, and 3 more): point policies.reject-listed-numbers.delay = 1s") == 1
    assert "at least 1min is wanted" in " ".join(printed.split())


def test_a_metric_that_no_run_has_is_told_with_the_nearest(here):
    (here / "delays.toml").write_text(FILE.replace('"voice.delivered"', '"voice.deliverd"'), encoding="utf-8")
    printed = answer("sweep", "delays.toml", "--workers", 1)
    assert "no run has the metric 'voice.deliverd'; did you mean 'voice.delivered'?" in printed


def test_a_sweep_that_is_not_whole_says_so(here):
    answer("sweep", "delays.toml", "--workers", 1)
    next((here / "runs" / "store" / "runs").iterdir()).unlink()
    assert "15 of 16 runs are there" in answer("sweep", "delays.toml", "--so-far")


IN_SWEEPS = {
    ("none.toml",): ["none.toml: cannot be read"],
    ("fan-out-treshold",): ["no such sweep", "did you mean 'fan-out-threshold'"],
    ("delays.toml", "--set", "polce.delay=2d"): ["delays.toml: polce.delay: no 'polce'"],
    ("delays.toml", "--executor", "dsk"): ["executor: got 'dsk'"],
    ("delays.toml", "--workers", "0"): ["workers: got 0"],
    ("delays.toml", "--replications", "0"): ["replications: got 0"],
    ("delays.toml", "--days", "15"): ["days: got 15"],
    ("delays.toml", "--so-far"): ["runs/store: the sweep 'delays', as it stands, was not begun there"],
    (): ["Missing argument 'FILE'"],
}


@pytest.mark.parametrize("arguments", IN_SWEEPS, ids=" ".join)
def test_a_mistake_in_a_sweep_is_told_in_one_line_and_no_run_made(here, arguments):
    line = refused("sweep", *arguments)
    for text in IN_SWEEPS[arguments]:
        assert text in line
    assert list(here.rglob("*.parquet")) == []


@pytest.mark.usefixtures("here")
def test_a_sweep_that_is_stopped_says_so(monkeypatch):
    def stopped(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("interceptsim.experiments.sweep.carry_out", stopped)
    result = call("sweep", "delays.toml", "--workers", 1)
    assert (result.exit_code, result.stdout) == (130, "")
    assert "stopped; nothing unfinished was kept" in result.stderr


# Sensitivity

SENSITIVE = """
title = "What matters"
scenario = "minimal"
scale = "1:10000"
days = 3
replications = 2
metrics = ["voice.delivered"]
[variants."no list"]
"policies.reject-listed-numbers.enabled" = false
[design]
points = 4
[design.axes]
"police.voice_complaint_ratio" = { low = 0.01, high = 0.2 }
"policies.score-text.threshold" = { low = 0.5, high = 0.9 }
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["morris", "sobol"])
def test_sensitivity_prints_what_matters_what_has_no_effect_and_where_rankings_change(here, method):
    (here / "what.toml").write_text(SENSITIVE, encoding="utf-8")
    printed = answer("sensitivity", "what.toml", "--workers", 2, "--method", method)
    assert printed.startswith("What matters\n")
    assert {"morris": "Morris' screening", "sobol": "Sobol's indices"}[method] in printed
    titles = [line.strip() for line in printed.splitlines() if ": voice.delivered" in line]
    assert titles == ["minimal: voice.delivered", "no list minus minimal: voice.delivered"]
    assert printed.count(" voice_complaint_ratio ") == 3
    assert printed.count(" no effect: threshold") == 2
    assert "Steps at which the order of the variants changes" in printed
    found = json.loads(answer("sensitivity", "what.toml", "--method", method, "--json"))
    assert found["method"] == method
    assert len(found["indices"]) == 3 * 2
    assert len(found["rankings"]) == 2


def test_sensitivity_says_what_it_would_take(here):
    (here / "what.toml").write_text(SENSITIVE, encoding="utf-8")
    printed = " ".join(answer("sensitivity", "what.toml", "--dry-run").split())
    assert "what: 12 points x 2 variants x 2 replications" in printed
    assert [path.name for path in here.glob("*") if path.is_dir()] == []


def test_a_mistake_in_a_sensitivity_study_is_told_in_one_line(here):
    (here / "what.toml").write_text(SENSITIVE.replace("points = 4", "points = 6"), encoding="utf-8")
    assert "design.points: got 6; Sobol's method wants a power of two" in refused(
        "sensitivity", "what.toml", "--method", "sobol"
    )
    (here / "what.toml").write_text(SENSITIVE + '[sensitivity]\nmethod = "moris"\n', encoding="utf-8")
    assert "what.toml: sensitivity.method: got 'moris'" in refused("sensitivity", "what.toml")


# Optimise


@pytest.mark.slow
def test_a_search_prints_its_front(here):
    aims = """
[optimise]
batch = 4
objectives = [{ metric = "voice.delivered" }, { name = "cost", weights = { "police.voice_complaint_ratio" = 1.0 } }]
"""
    (here / "best.toml").write_text(SENSITIVE.replace("points = 4", "points = 8") + aims, encoding="utf-8")
    printed = answer("optimise", "best.toml", "--workers", 2)
    assert "wanted: least voice.delivered, least cost" in printed
    assert "The front, and what noise may hide of it" in printed
    assert re.search(r"\n[4-8] different points: \d", printed)
    found = json.loads(answer("optimise", "best.toml", "--workers", 1, "--json"))
    assert 4 <= len(found["points"]) <= 8
    (here / "none.toml").write_text(SENSITIVE, encoding="utf-8")
    assert "optimise: objectives: field required" in refused("optimise", "none.toml")


# Calibration

CALIBRATED = """
extends = "minimal"
name = "mine"
[[calibration]]
id = "voice"
figure = "calls_intercepted_2025"
channel = "voice"
interception_ratio = 0.25
volume = "traffic.voice.latent"
strength = "policies.reject-listed-numbers.adoption_ratio"
low = 0.0
high = 1.0
"""
TARGETS = """id,quantity,value,period
calls,voice.intercepted,2e8,2025-06-02/2025-06-15
messages,sms.intercepted,3e8,2025-06-02/2025-06-15
"""
QUICK = ["--scale", "1:2000", "--seeds", 2]


@pytest.fixture
def mine(here):
    (here / "mine.toml").write_text(CALIBRATED, encoding="utf-8")
    (here / "targets.csv").write_text(TARGETS, encoding="utf-8")
    return here


def test_calibration_to_a_file_of_targets_tells_what_is_fitted_and_what_predicted(mine):
    printed = answer("calibrate", "mine.toml", *QUICK, "--targets", "targets.csv", "--out", "fitted.toml")
    assert re.search(r"^calls: ratio 0\.2\d+ \(assumed 0.25\) with policies\.", printed)
    rows = {
        line.split()[0]: line.split()[-1] for line in printed.splitlines() if line.startswith((" calls", " messages"))
    }
    assert rows == {"calls": "fitted", "messages": "predicted"}
    assert "written to fitted.toml" in printed
    assert 'figure = "calls"' in (mine / "fitted.toml").read_text("utf-8")
    found = json.loads(answer("calibrate", "mine.toml", *QUICK, "--targets", "targets.csv", "--json"))
    assert [row["role"] for row in found["targets"]] == ["fitted", "predicted"]
    assert found["fitted"][0]["figure"] == "calls"


@pytest.mark.usefixtures("mine")
def test_a_prediction_is_told_as_one():
    options = ["calibrate", "mine.toml", *QUICK, "--targets", "targets.csv", "--predict", "calls"]
    printed = answer(*options)
    assert printed.startswith("A prediction: mine over 2025-06-02 to 2025-06-15, its volumes alone changed, all times ")
    assert "sets the volume" in printed
    assert "predicted" in printed
    assert json.loads(answer(*options, "--json"))["factor"] > 0


@pytest.mark.slow
@pytest.mark.usefixtures("mine")
def test_a_profile_says_what_cannot_be_told_apart_and_the_band_that_leaves():
    options = ["calibrate", "mine.toml", "--scale", "1:500", "--seeds", 4, "--profile", "0.15,0.99", "--workers", 2]
    printed = " ".join(answer(*options).split())
    assert "fitted under each interception ratio" in printed
    assert "out of reach" in printed
    assert (
        "is met under every ratio tried from 0.15 to 0.25: it cannot tell calibration.voice.interception_ratio"
        in printed
    )
    assert "The band this leaves" in printed
    found = json.loads(answer(*options, "--json"))
    assert len(found["fits"]) == 3
    assert {row["metric"] for row in found["band"]} >= {"voice.delivered", "sms.delivered"}


IN_CALIBRATION = {
    ("--targets", "none.csv"): ["none.csv: cannot be read"],
    ("--predict", "calls"): ["--predict needs --targets FILE"],
    ("--predict", "cals", "--targets", "targets.csv"): ["predict: no target 'cals'; did you mean 'calls'"],
    ("--profile", "half"): ["--profile: 'half': wanted ratios"],
    ("--profile", "1.5"): ["profile: got 1.5"],
    ("--profile", "0.5", "--predict", "calls", "--targets", "targets.csv"): ["give one of them"],
}


@pytest.mark.parametrize("options", IN_CALIBRATION, ids=" ".join)
@pytest.mark.usefixtures("mine")
def test_a_mistake_in_calibration_is_told_in_one_line(options):
    line = refused("calibrate", "mine.toml", *QUICK, *options)
    for text in IN_CALIBRATION[options]:
        assert text in line
