"""The page on backtests does what it says, and says what it does."""

import re
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

import interceptsim as ics
from interceptsim.bench import make
from interceptsim.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "backtest.md"
EXAMPLES = Path(__file__).parents[2] / "examples"


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """An analyst's folder: the files that the page shows, each under the name in its first line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for kind in ("csv", "toml"):
        for block in blocks(kind):
            first, text = block.split("\n", 1)
            (tmp_path / first.removeprefix("# ")).write_text(text, encoding="utf-8")
    return tmp_path


def ran(command):
    name, *arguments = command.split()
    if name == "cat":
        return Path(arguments[0]).read_text("utf-8")
    assert name == "interceptsim"
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def said(text):
    return [line.rstrip() for line in text.strip().splitlines()]


@pytest.mark.usefixtures("desk")
def test_the_page_takes_an_analyst_from_a_csv_file_to_a_first_table():
    commands = blocks("console")
    assert len(commands) == 3
    for block in commands:
        command, told = block.removeprefix("$ ").split("\n", 1)
        assert said(ran(command)) == said(told)
    given: dict[str, object] = {}
    exec(blocks("python")[0], given)
    assert given["found"].decisions.height == pl.read_csv("decisions.csv").height


@pytest.mark.parametrize(
    ("records", "mapping"),
    [
        ("calls.csv", "calls.toml"),
        ("attempts.jsonl", "attempts.toml"),
        ("attempts.parquet", None),
        ("attempts.arrow", None),
    ],
)
def test_each_example_replays(records, mapping):
    how = None if mapping is None else EXAMPLES / mapping
    assert (EXAMPLES / records).stat().st_size < 100_000
    found = ics.replay(
        EXAMPLES / records, EXAMPLES / "policies.toml", mapping=how, challenger=EXAMPLES / "challenger.toml"
    )
    assert found.counts.decided == found.counts.read > 200
    same = ics.replay(EXAMPLES / "attempts.parquet", EXAMPLES / "policies.toml")
    assert found.verdicts == same.verdicts
    assert found.rules.equals(same.rules)
    assert found.verdicts["intercept"] > 10
    assert found.fates is not None


@pytest.mark.parametrize("parts", [1, 3])
def test_partitions_by_a_number_on_a_cluster_are_decided_as_one(parts):
    distributed = pytest.importorskip("distributed")
    given: dict[str, object] = {}
    exec(blocks("python")[1], given)
    work = make("stateful mix", 20_000)
    frame = work.batch.to_frame()
    whole = ics.compile_filter(work.chain).decide(work.batch)
    expected = frame.select("time_us", "a_number").with_columns(verdict=whole.verdict, reason=whole.reason)
    with distributed.Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None) as client:
        found = pl.concat(given["in_parts"](client, frame, work.chain, parts))
    order = ("time_us", "a_number")
    assert found.sort(order).equals(expected.sort(order))
    assert expected["verdict"].n_unique() == 3
