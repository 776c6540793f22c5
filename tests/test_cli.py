"""The command line: what it prints, what it keeps, and that each mistake is told in a line and leaves nothing."""

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

import interceptsim as ics
from interceptsim import ledger
from interceptsim.cli import main
from interceptsim.registry import policy_kinds

JSON_KEYS = {
    *("scenario", "seed", "scale", "slice_s", "threads", "engine", "attempts", "metrics", "targets"),
    *("wall_s", "compile_s", "attempts_per_s", "peak_rss_bytes", "digest"),
}
SMALL = ["--scale", "1:10000"]


def call(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def answer(*arguments):
    """Return what a command that succeeds prints on standard output."""
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def in_a_process(*arguments):
    command = [sys.executable, "-m", "interceptsim", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")


def complaint(exit_code, stdout, stderr):
    """Return the one line in which a mistake is told."""
    assert exit_code == 2
    assert stdout == ""
    lines = stderr.splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith("interceptsim: ")
    return lines[0]


def refused(*arguments):
    """Return the one line in which a mistake is told."""
    result = call(*arguments)
    assert isinstance(result.exception, SystemExit)
    return complaint(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


# Mistakes

IN_OPTIONS = {
    "minimol": ["minimol: no such scenario", "did you mean 'minimal'?"],
    "none.toml": ["none.toml: cannot be read: No such file or directory"],
    "minimal --scale 0": ["--scale", "'0'", "wanted one in N"],
    "minimal --scale x": ["--scale", "'x'", "wanted one in N"],
    "minimal --scale 1:2000000": ["--scale", "'1:2000000'", "1 to 1000000"],
    "minimal --days 0": ["days", "got 0", "1 to 14"],
    "minimal --days 9999": ["days", "got 9999", "1 to 14"],
    "minimal --days two": ["--days", "'two'"],
    "minimal --seed -1": ["seed", "got -1", "0 to 18446744073709551615"],
    "minimal --threads 0": ["threads", "got 0", "1 to 64"],
    "minimal --slice 10": ["--slice", "'10'", "with its unit"],
    "minimal --slice 59s": ["slice", "got '59s'", "1min to 2h"],
    "minimal --slice 3h": ["slice", "got '3h'", "1min to 2h"],
    "minimal --record some": ["--record", "'some'", "'none', 'sample', 'all'"],
    "minimal --set police.delay": ["--set", "'police.delay'", "wanted PATH=VALUE"],
    "minimal --set =5": ["--set", "'=5'", "wanted PATH=VALUE"],
    "minimal --set police.voice_complain_ratio=0.1": [
        "police.voice_complain_ratio",
        "no such key",
        "did you mean 'voice_complaint_ratio'?",
    ],
    "minimal --set policies.score-txt.threshold=0.5": [
        "policies.score-txt.threshold",
        "no 'score-txt' in policies",
        "did you mean 'score-text'?",
    ],
    "minimal --set policies.reject-listed-numbers.delay=-2h": [
        "policies.reject-listed-numbers.delay",
        "got '-2h'",
        "cannot be negative",
    ],
    "minimal --set policies.reject-listed-numbers.delay=30s": [
        "minimal: policies.reject-listed-numbers.delay: got '30s'",
        "at least 1min",
    ],
    "minimal --set fitted=5": ["fitted", "`interceptsim calibrate` writes it"],
    "minimal --set fitted=[]": ["fitted", "`interceptsim calibrate` writes it"],
    "minimal --set hubs.hub.country_code=true": ["hubs.hub.country_code", "wanted a number"],
    "minimal --nonsense": ["No such option"],
    "minimal minimal": ["unexpected extra argument"],
    "minimal --seed one": ["--seed", "'one'"],
    "minimal --set policies.score-text.channels=['voice']": ["policies.score-text.channels", "'voice'"],
    "minimal --set traffic.lines.calls.hub=hob": ["traffic.lines.calls.hub", "'hob'", "did you mean 'hub'?"],
    "minimal --policies none.toml": ["none.toml: cannot be read: No such file or directory"],
}


@pytest.mark.parametrize("arguments", IN_OPTIONS)
def test_a_mistake_in_the_options_of_a_run_is_told_in_one_line_and_nothing_is_written(here, arguments):
    line = refused("run", *arguments.split(), "--out", "deep/er/kept")
    for text in IN_OPTIONS[arguments]:
        assert text in line
    assert contents(here) == {}


@pytest.mark.parametrize(
    "option",
    [
        ("--set", f"population.subscribers={'9' * 5000}"),
        ("--set", f"police.delay={'[' * 3000}"),
        ("--set", "police.delay.median=12h\npolice.delay.sigma=1"),
        ("--set", "police.de\nlay=1"),
        ("--scale", f"1:{'9' * 5000}"),
        ("--seed", "9" * 5000),
        ("--policies", "a" * 5000),
        ("--out", "a" * 5000),
        ("a" * 5000,),
    ],
    ids=lambda option: " ".join(part[:30] for part in option),
)
def test_what_is_too_long_for_anything_is_told_in_one_line_and_nothing_is_written(here, option):
    scenario = () if len(option) == 1 else ("minimal",)
    refused("run", *scenario, "--out", "deep/er/kept", *option)
    assert contents(here) == {}


IN_FILES = {
    "an unknown key": (
        'extends = "minimal"\n[police]\nvoice_complain_ratio = 1\n',
        ["did you mean 'voice_complaint_ratio'?"],
    ),
    "a negative delay": (
        'extends = "minimal"\n[[policies]]\nkind = "reject-listed-numbers"\ndelay = "-1h"\n',
        ["policies.reject-listed-numbers.delay", "got '-1h'", "cannot be negative"],
    ),
    "a delay under the floor": (
        'extends = "minimal"\n[[policies]]\nkind = "reject-listed-numbers"\ndelay = "59s"\n',
        ["policies.reject-listed-numbers.delay: got '59s'", "at least 1min"],
    ),
    "an unknown figure": (
        'extends = "china-2025"\n[[calibration]]\nid = "voice"\nfigure = "calls_intercepted_2052"\n',
        ["calibration.voice.figure: ", "did you mean 'calls_intercepted_2025'?"],
    ),
    "no value to solve for": (
        'extends = "china-2025"\n[[calibration]]\nid = "sms"\nstrength = "policies.score-txt.threshold"\n',
        ["calibration.sms.strength: ", "'policies.score-txt.threshold'"],
    ),
    "an id that is no text": ('extends = "minimal"\n[[hubs]]\nid = 3\n', ["hubs.3.id", "valid string"]),
    "a fitted value without the value": ('extends = "minimal"\n[fitted."x"]\n', ["fitted.x.value: field required"]),
    "no base": ('extends = "minimol"\n', ["extends: minimol: no such scenario", "did you mean 'minimal'?"]),
    "the same base otherwise": ('extends = "./a.toml"\n', ["extends itself"]),
    "an unknown kind of policy": (
        'extends = "minimal"\n[[policies]]\nkind = "score-txt"\n',
        ["policies.score-txt", "did you mean 'score-text'?"],
    ),
    "broken TOML": ('name = "a"\ntitle = = 3\n', ["not TOML", "line 2"]),
    "an empty file": ("", ["name: field required"]),
    "another base": ('extends = "a.toml"\n', ["extends itself"]),
}


@pytest.mark.parametrize("command", [["validate"], ["run", "--out", "kept"]], ids=["validate", "run"])
@pytest.mark.parametrize("case", IN_FILES)
def test_a_mistake_in_a_file_is_told_in_one_line_that_begins_with_the_file(here, command, case):
    text, told = IN_FILES[case]
    (here / "a.toml").write_text(text, encoding="utf-8")
    before = contents(here)
    line = refused(*command, "a.toml")
    assert line.startswith("interceptsim: a.toml: ")
    for part in told:
        assert part in line
    assert contents(here) == before


@pytest.mark.parametrize("command", [["validate"], ["run"], ["run", "minimal", "--policies"]])
def test_an_unreadable_file_is_told(here, command):
    (here / "folder.toml").mkdir()
    (here / "latin.toml").write_bytes("title = 'é'".encode("latin-1"))
    assert refused(*command, "folder.toml") == "interceptsim: folder.toml: cannot be read: Is a directory"
    assert "latin.toml: not UTF-8 text" in refused(*command, "latin.toml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[policies]]\nkind = "score-txt"\n', ["no such policy: 'score-txt'", "did you mean 'score-text'?"]),
        ("[[policies]]\nkind = []\n", ["no such policy: []"]),
        ("", ["wanted [[policies]] entries"]),
        ("policies = 3\n", ["wanted [[policies]] entries"]),
        ("[[policies]\n", ["not TOML", "line 1"]),
    ],
)
def test_a_mistake_in_a_file_of_policies_is_told_with_the_file(here, text, told):
    (here / "p.toml").write_text(text, encoding="utf-8")
    line = refused("run", "minimal", "--policies", "p.toml", "--out", "kept")
    for part in ["p.toml", *told]:
        assert part in line
    assert [path.name for path in here.iterdir()] == ["p.toml"]


@pytest.mark.parametrize(
    ("name", "nearest"), [("ruin", "run"), ("valdate", "validate"), ("figure", "figures"), ("shema", "schema")]
)
def test_an_unknown_command_is_told_with_the_nearest(name, nearest):
    assert refused(name).endswith(f"no command '{name}'; did you mean '{nearest}'?")


def test_a_command_like_no_other_is_told_without_a_guess():
    assert refused("xyzzy").endswith("no command 'xyzzy'")


@pytest.mark.parametrize(
    "arguments", [["--nonsense"], ["calibrate"], ["compare"], ["validate"], ["figures", "all"]], ids=" ".join
)
def test_a_mistake_of_usage_is_told_in_one_line(arguments):
    refused(*arguments)


def test_an_unknown_option_is_told_with_the_nearest():
    line = refused("run", "--polices", "a.toml")
    assert "--polices" in line
    assert "--policies" in line


def test_nothing_is_written_over(here):
    (here / "kept").mkdir()
    (here / "kept" / "mine").write_text("mine")
    before = contents(here)
    line = refused("run", "minimal", *SMALL, "--out", "kept")
    assert line == "interceptsim: kept: something is there already; choose another directory"
    assert contents(here) == before


def test_a_directory_that_cannot_be_made_is_told(here):
    (here / "file").write_text("mine")
    assert "file/kept: cannot be written" in refused("run", "minimal", *SMALL, "--out", "file/kept")
    assert contents(here) == {here / "file": b"mine"}


@pytest.mark.parametrize("record", ["sample", "all"])
def test_a_record_needs_a_place(here, record):
    assert "--record needs --out DIR" in refused("run", "minimal", *SMALL, "--record", record)
    assert contents(here) == {}


def test_a_scenario_without_targets_cannot_be_calibrated(here):
    assert "minimal: has no [[calibration]] entry" in refused("calibrate", "minimal", "--out", "a.toml")
    assert contents(here) == {}


def test_a_mistake_shows_no_traceback_in_a_terminal_either(tmp_path):
    result = in_a_process("run", "minimal", "--set", "police.dealy=1h", "--out", tmp_path / "kept")
    assert "did you mean 'delay'?" in complaint(result.returncode, result.stdout, result.stderr)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a bug")], ids=["interrupt", "bug"])
def test_a_run_that_is_stopped_leaves_nothing(here, monkeypatch, error):
    def stopped(*_arguments, **_options):
        assert [path.name.endswith(".partial") for path in here.iterdir()] == [True]
        raise error

    monkeypatch.setattr("interceptsim.simulation.run", stopped)
    result = call("run", "minimal", *SMALL, "--out", "kept")
    if isinstance(error, KeyboardInterrupt):
        assert (result.exit_code, result.stdout) == (130, "")
        assert result.stderr == "interceptsim: stopped; nothing unfinished was kept\n"
    else:
        assert result.exception is error
    assert contents(here) == {}


# Runs


def test_a_run_prints_one_json_object_and_nothing_else():
    result = in_a_process("run", "minimal", *SMALL, "--seed", 7, "--threads", 1, "--json")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert result.stdout.count("\n") == 1
    found = json.loads(result.stdout)
    assert set(found) >= JSON_KEYS
    assert (found["scenario"], found["seed"], found["scale"]) == ("minimal", 7, 10_000)
    assert (found["slice_s"], found["threads"], found["engine"]) == (7200.0, 1, "columnar")
    assert found["targets"] == []
    assert all(type(count) is int for count in found["metrics"].values())
    assert found["attempts"] >= found["metrics"]["voice.made"] + found["metrics"]["sms.made"] > 0
    assert found["wall_s"] > 0
    assert found["compile_s"] > 0
    assert found["attempts_per_s"] == pytest.approx(found["attempts"] / found["wall_s"], rel=0.01)
    assert found["peak_rss_bytes"] > 10_000_000
    assert len(bytes.fromhex(found["digest"])) == 16


def test_the_command_finds_what_the_function_finds():
    found = json.loads(answer("run", "minimal", *SMALL, "--seed", 3, "--days", 5, "--json"))
    run = ics.run(ics.load("minimal"), seed=3, scale=10_000, days=5)
    assert found["digest"] == run.digest
    assert found["metrics"] == run.metrics


def test_a_seed_fixes_a_run_whatever_its_slice_and_threads():
    first = json.loads(answer("run", "minimal", *SMALL, "--json"))["digest"]
    again = json.loads(answer("run", "minimal", *SMALL, "--slice", "17min", "--threads", 2, "--json"))["digest"]
    other = json.loads(answer("run", "minimal", *SMALL, "--seed", 2, "--json"))["digest"]
    assert first == again != other


def test_targets_are_told_beside_what_was_simulated():
    more = "people.internet=4e9/year"  # so that somebody loses money in two days of a small world
    found = json.loads(answer("run", "china-2025", "--scale", 100_000, "--days", 2, "--set", more, "--json"))
    keys = {"id", "role", "reported", "simulated", "low", "high", "ratio"}
    reported_ones = {
        "calls_intercepted_2025": 3.6e9,
        "sms_blocked_2025": 3.3e9,
        "visits_2025": 6.747e6,
        "funds_frozen_2025": 217.07e9,
    }
    assert [target["id"] for target in found["targets"]] == list(reported_ones)
    for target, reported in zip(found["targets"], reported_ones.values(), strict=True):
        assert keys <= set(target)
        assert target["role"] in {"fitted", "predicted"}
        assert target["reported"] == pytest.approx(reported * 2 / 365)
        assert target["ratio"] == pytest.approx(target["simulated"] / target["reported"])
        assert target["low"] <= target["simulated"] < target["high"]


def test_settings_and_policies_change_a_run(here):
    (here / "p.toml").write_text('[[policies]]\nkind = "score-text"\nthreshold = 5\n', encoding="utf-8")

    def messages(*options):
        metrics = json.loads(answer("run", "minimal", *SMALL, *options, "--json"))["metrics"]
        return metrics["sms.intercepted"] > 0, metrics["sms.delivered"] > 0

    assert messages() == (True, True)
    assert messages("--policies", "p.toml") == (False, True)
    assert messages("--policies", "p.toml", "--set", "policies.score-text.threshold=-5") == (True, False)


def test_a_run_is_kept_whole_and_without_leftovers(here):
    printed = json.loads(answer("run", "minimal", *SMALL, "--out", "kept", "--json"))
    assert [path.name for path in here.iterdir()] == ["kept"]
    assert sorted(path.name for path in (here / "kept").iterdir()) == [
        "daily.parquet",
        "manifest.json",
        "summary.parquet",
    ]
    opened = ics.open_run("kept")
    assert opened.as_json()["metrics"] == printed["metrics"]
    assert opened.digest == printed["digest"]
    assert opened.scenario == ics.load("minimal")


@pytest.mark.parametrize("record", ["all", "sample"])
def test_a_recorded_run_keeps_attempts_and_truth_too(here, record):
    result = call("run", "minimal", *SMALL, "--record", record, "--out", "kept", "--json")
    assert result.exit_code == 0
    assert result.stderr.startswith("recording about ")
    metrics = json.loads(result.stdout)["metrics"]
    assert [path.name for path in here.iterdir()] == ["kept"]
    expected = {
        "changes.parquet",
        "daily.parquet",
        "decisions.parquet",
        "manifest.json",
        "summary.parquet",
        "truth.parquet",
    }
    assert expected == {path.name for path in (here / "kept").iterdir()}
    opened = ics.open_run("kept")
    made = metrics["voice.made"] + metrics["sms.made"]
    assert opened.decisions.height == made if record == "all" else 0 < opened.decisions.height < made
    assert set(opened.decisions["line_id"]) <= set(opened.truth["line_id"])


def test_a_run_is_printed_for_people(here):
    printed = answer("run", "minimal", *SMALL, "--days", 3, "--out", "kept")
    assert "A hub that calls and writes for two weeks" in printed
    assert "scale 1:10000, seed 1, 3 of 14 days from 2025-06-02 after 7 of warm-up" in printed
    assert "What became of the calls" in printed
    assert "What became of the messages" in printed
    assert f"digest {ics.open_run('kept').digest}" in printed
    assert printed.endswith("kept in kept\n")
    assert [path.name for path in here.iterdir()] == ["kept"]


@pytest.mark.parametrize("title", ["[/bold] a title", "[red]a title", "[link=a title", ":smile: a title"])
def test_a_title_is_printed_as_it_is_written(here, title):
    (here / "a.toml").write_text(f'extends = "minimal"\ntitle = "{title}"\n', encoding="utf-8")
    assert answer("run", "a.toml", *SMALL, "--days", 1).splitlines()[0] == title


# Comparisons

TINY = [*SMALL, "--days", 3]
SLOW = ["--variant", "slow list: policies.reject-listed-numbers.delay=9h"]


def test_a_comparison_prints_one_json_object_and_nothing_else(here):
    (here / "texts.toml").write_text('[[policies]]\nkind = "score-text"\nthreshold = -5\n', encoding="utf-8")
    options = [*SLOW, "--policies", "texts.toml", "--replications", 2, "--seed", 4, "--set", "police.delay.median=12h"]
    result = in_a_process("compare", "minimal", *TINY, *options, "--json")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("\n") == 1
    found = json.loads(result.stdout)
    assert (found["scenario"], found["variants"]) == ("minimal", ["slow list", "texts"])
    assert (found["seed"], found["scale"], found["days"], found["replications"]) == (4, 10_000, 3, 2)
    policies = {"policies": [{"kind": "score-text", "threshold": -5}]}
    expected = ics.compare(
        ics.load("minimal").replace({"police.delay.median": "12h"}),
        {"slow list": {"policies.reject-listed-numbers.delay": "9h"}, "texts": policies},
        replications=2,
        seed=4,
        scale=10_000,
        days=3,
    )
    assert found["effects"] == expected.effects.to_dicts()
    assert found["seeds"] == list(expected.seeds)
    assert any(row["difference"] for row in found["effects"])


def test_a_comparison_is_printed_for_people_and_kept(here):
    printed = answer("compare", "minimal", *TINY, *SLOW, "--replications", 2, "--out", "kept")
    assert "scale 1:10000, seed 1, 3 of 14 days from 2025-06-02 after 7 of warm-up" in printed
    assert "in 2 pairs of runs over the same latent traffic" in " ".join(printed.split())
    assert "slow list: calls" in printed
    assert "slow list: messages" in printed
    assert printed.endswith("kept in kept\n")
    assert [path.name for path in here.iterdir()] == ["kept"]
    assert sorted(path.name for path in (here / "kept").iterdir()) == [
        "effects.parquet",
        "manifest.json",
        "values.parquet",
    ]
    assert set(pl.read_parquet(here / "kept" / "effects.parquet")["variant"]) == {"slow list"}


def test_a_comparison_adds_pairs_until_the_wish_is_reached_or_says_how_many_it_takes(here):
    options = ["compare", "minimal", *TINY, *SLOW, "--replications", 2, "--workers", 1]
    printed = answer(*options, "--until", "voice.interception ratio=0.1", "--until", "voice.made=1", "--at-most", 4)
    assert "in 4 pairs of runs" in " ".join(printed.split())
    assert "the wish of ± 0.1 is reached" in printed
    told = " ".join(printed.split())
    assert re.search(r"slow list, voice.made: ± \S+, the wish of ± 1 about \d+ pairs are needed in all", told)
    found = json.loads(answer(*options, "--interval", "bootstrap", "--json"))
    assert {row["method"] for row in found["effects"]} == {"paired bootstrap"}
    assert list(here.iterdir()) == []


def test_a_variant_may_name_python_where_that_is_allowed(here):
    (here / "mine.py").write_text("def calls(batch):\n    return batch.channel == 0\n", encoding="utf-8")
    (here / "p.toml").write_text('[[policies]]\nkind = "python"\nid = "calls"\ncall = "mine:calls"\n', "utf-8")
    options = ["compare", "minimal", *TINY, "--policies", "p.toml", "--replications", 1, "--json"]
    result = in_a_process(*options, "--allow-python")
    assert result.returncode == 0, result.stderr
    effects = {row["metric"]: row["difference"] for row in json.loads(result.stdout)["effects"]}
    assert effects["voice.settled by calls"] > 0
    assert "code named in TOML is not run" in refused(*options)


IN_COMPARISONS = {
    (): ["variants: wanted at least one to set beside 'minimal'"],
    ("--variant", "police.delay=2d"): ["--variant: got 'police.delay=2d'", "wanted 'NAME: PATH=VALUE, ...'"],
    ("--variant", "a: police.delay"): ["--variant: got ' police.delay'", "wanted PATH=VALUE"],
    ("--variant", "a: polce.delay=2d"): ["variant 'a': polce.delay: no 'polce'", "did you mean 'police'?"],
    ("--variant", "a: police.delay=2"): ["variant 'a': minimal: police.delay: got 2"],
    ("--variant", "a: period.warm_up=7d", "--variant", "a: police.delay=2d"): [
        "variant 'a': two variants have this name"
    ],
    ("--variant", "p: period.warm_up=7d", "--policies", "p.toml"): ["variant 'p': two variants have this name"],
    ("--variant", "minimal: police.delay=2d"): ["variant 'minimal': the baseline has this name"],
    (*SLOW, "--policies", "none.toml"): ["none.toml: cannot be read"],
    (*SLOW, "--replications", "0"): ["replications: got 0; wanted a whole number from 1 to 10000"],
    (*SLOW, "--until", "voice.made"): ["--until: got 'voice.made'; wanted METRIC=WIDTH"],
    (*SLOW, "--until", "voice.made=-1"): ["--until: got 'voice.made=-1'"],
    (*SLOW, "--until", "voice.mde=1", "--days", "2"): ["no metric 'voice.mde'; did you mean 'voice.made'"],
    (*SLOW, "--until", "voice.made=1", "--at-most", "3"): ["at-most: got 3"],
    (*SLOW, "--workers", "0"): ["workers: got 0"],
    (*SLOW, "--days", "15"): ["days: got 15"],
    (*SLOW, "--slice", "3h"): ["slice: got '3h'"],
    (*SLOW, "--set", "polce.delay=2d"): ["polce.delay: no 'polce'"],
    (*SLOW, "--record", "all"): ["No such option", "--record"],
}


@pytest.mark.parametrize("options", IN_COMPARISONS, ids=" ".join)
def test_a_mistake_in_the_options_of_a_comparison_is_told_in_one_line_and_nothing_is_written(here, options):
    (here / "p.toml").write_text('[[policies]]\nkind = "reject-spoofed-origin"\n', encoding="utf-8")
    before = contents(here)
    line = refused("compare", "minimal", *SMALL, "--out", "deep/er/kept", *options)
    for text in IN_COMPARISONS[options]:
        assert text in line
    assert contents(here) == before


@pytest.mark.parametrize(
    ("options", "workers"),
    [((), 2), (("--replications", "4"), None), (("--threads", "1"), None), (("--workers", "1"), 1)],
    ids=["by default", "eight runs", "threads", "workers"],
)
def test_a_comparison_of_ten_runs_or_more_uses_all_cores_unless_it_is_told_otherwise(monkeypatch, options, workers):
    def asked(*_arguments, **given):
        assert given["workers"] == workers
        raise KeyboardInterrupt

    monkeypatch.setattr("interceptsim.compiled.cores", lambda: 2)
    monkeypatch.setattr("interceptsim.experiments.compare.compare", asked)
    assert call("compare", "minimal", *TINY, *SLOW, *options).exit_code == 130


def test_a_comparison_that_is_stopped_leaves_nothing(here, monkeypatch):
    def stopped(*_arguments, **_options):
        assert [path.name.endswith(".partial") for path in here.iterdir()] == [True]
        raise KeyboardInterrupt

    monkeypatch.setattr("interceptsim.experiments.compare.run", stopped)
    result = call("compare", "minimal", *TINY, *SLOW, "--replications", "2", "--out", "kept")
    assert (result.exit_code, result.stdout) == (130, "")
    assert contents(here) == {}


# The other commands


def test_validate_says_what_is_in_a_scenario(here):
    assert answer("validate", "minimal") == "minimal: valid; 3 policies, 2 groups of lines, 14 days\n"
    (here / "a.toml").write_text('extends = "minimal"\n[[policies]]\nkind = "reject-spoofed-origin"\n')
    assert answer("validate", "a.toml") == "a.toml: valid; 4 policies, 2 groups of lines, 14 days\n"


def test_schema_prints_json_that_names_every_kind_of_policy():
    offered = json.loads(answer("schema"))["properties"]["policies"]["items"]["oneOf"]
    assert [policy["properties"]["kind"]["const"] for policy in offered] == list(policy_kinds())


def test_figures_prints_every_figure_and_parameter(monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    printed = answer("figures")
    for entry in (*ledger.figures(), *ledger.parameters()):
        assert entry.id in printed
    assert "3,600,000,000 calls" in printed
    assert "217,070,000,000 yuan" in printed
    assert printed.count("[conflicts with ") == sum(f.conflict is not None for f in ledger.figures()) > 0


def test_figures_prints_one_json_object_and_nothing_else():
    printed = answer("figures", "--json")
    assert printed.count("\n") == 1
    found = json.loads(printed)
    assert [f["id"] for f in found["figures"]] == [f.id for f in ledger.figures()]
    assert [p["id"] for p in found["parameters"]] == [p.id for p in ledger.parameters()]
    assert {f["id"]: f["value"] for f in found["figures"]}["funds_frozen_2025"] == 217.07e9


@pytest.mark.parametrize("flags", [["--help"], ["-h"], []], ids=repr)
def test_help_names_every_command(flags):
    printed = answer(*flags)
    for command in ("run", "compare", "validate", "schema", "figures", "calibrate"):
        assert f"\n  {command} " in printed


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_has_help(command):
    printed = answer(command, "--help")
    assert printed.startswith(f"Usage: main {command}")
    assert main.commands[command].help.splitlines()[0] in " ".join(printed.split())


def test_help_tells_the_default_scale():
    assert "[default: 1:1000]" in " ".join(answer("run", "--help").split())


def test_the_version_is_that_of_the_package():
    assert version("interceptsim") in answer("--version")


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["compare", "--help"]], ids=" ".join)
def test_help_loads_no_heavy_library(arguments):
    code = (
        "import sys\n"
        "from interceptsim.cli import main\n"
        f"main({arguments}, standalone_mode=False)\n"
        "print(sorted({'polars', 'numba', 'numpy', 'simpy', 'pydantic'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: ")
    assert done.stdout.splitlines()[-1] == "[]"


# audit

AUDITED = """
name = "audited"
title = "A hub and those who do not defraud"
extends = "minimal"

[[traffic.ordinary]]
id = "persons"
channel = "voice"
lines = 1_000_000
sample = 60
profile = "day"
attempts_per_day = 40
rate_sigma = 1.0
incoming_per_day = 0.5

[[traffic.ordinary]]
id = "texts"
channel = "sms"
lines = 1_000_000
sample = 60
profile = "day"
attempts_per_day = 60
rate_sigma = 1.0
text = { mean = 0.5, deviation = 0.3, jitter = 0.1 }
"""


@pytest.fixture
def audited(here):
    (here / "audited.toml").write_text(AUDITED)
    return "audited.toml"


def test_an_audit_without_a_leak_ends_well_and_prints_each_view_and_the_callers(audited):
    told = answer("audit", audited, "--scale", "1:5000", "--days", 3, "--limit", 1)
    assert "scale 1:5000, seed 1, 3 of 14 days" in told
    for title in ("voice, by attempt", "voice, by number", "sms, by attempt", "sms, by number"):
        assert title in told
    assert told.count("tree over all columns: AUC") == 4
    assert told.endswith("no columns above 1\n")
    assert contents(Path()).keys() == {Path(audited)}


def test_an_audit_that_finds_a_leak_names_it_and_ends_with_exit_code_1(audited):
    leaky = ["--set", "traffic.ordinary.persons.entry=domestic-interconnect", "--scale", "1:5000", "--days", 2]
    found = call("audit", audited, *leaky)
    assert found.exit_code == 1
    assert "interceptsim: voice, by attempt: entry has an AUC of 1.0000, above 0.95\n" in found.stderr
    assert re.search(r"entry +1\.000 +1\.000 +1\.000 +above the limit", found.stdout)
    assert "columns above 0.95" in found.stdout


def test_an_audit_as_json_is_one_object_that_says_the_same(audited):
    found = call("audit", audited, "--json", "--scale", "1:5000", "--days", 2, "--limit", 0.6)
    assert found.exit_code == 1
    told = json.loads(found.stdout)
    keys = {"scenario", "seed", "scale", "days", "attempts", "limit", "views", "callers", "leaks"}
    assert told.keys() == keys
    assert (told["scenario"], told["scale"], told["days"], told["limit"]) == ("audited", 5000, 2, 0.6)
    assert [(v["channel"], v["per"]) for v in told["views"]] == [
        (channel, per) for channel in ("voice", "sms") for per in ("attempt", "number")
    ]
    above = [
        (v["channel"], v["per"], c["column"]) for v in told["views"] for c in v["columns"] if c["auc"] > told["limit"]
    ]
    assert [(leak["channel"], leak["per"], leak["column"]) for leak in told["leaks"]] == above
    assert len(found.stderr.splitlines()) == len(above) > 0
    for v in told["views"]:
        assert v["rules"][0].keys() == {"rule", "score", "positive", "negative"}
    assert {row["callers"] for row in told["callers"]} == {"fraud", "ordinary", "persons", "texts"}


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ("minimal", ["traffic.ordinary", "voice has none"]),
        ("minimol", ["did you mean 'minimal'?"]),
        ("minimal --limit 2", ["limit", "got 2.0", "more than 0.5 and at most 1"]),
        ("minimal --limit x", ["--limit", "'x'"]),
        ("minimal --scale 0", ["--scale", "wanted one in N"]),
        ("minimal --record all", ["No such option", "--record"]),
    ],
)
def test_a_mistake_in_an_audit_is_told_in_a_line(options, parts):
    told = refused("audit", *options.split())
    for part in parts:
        assert part in told
