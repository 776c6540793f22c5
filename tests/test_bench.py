"""InterceptMark and the year suite: pinned, with a witness, and refusing results that differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from interceptsim import bench, bench_year
from interceptsim.cli import main
from interceptsim.errors import ConfigurationError
from interceptsim.randomness import philox, root_key, stream_id
from interceptsim.results import RunResult
from interceptsim.scenario_files import load
from interceptsim.simulation import run

SMALL = 20_000
TINY = {"scale": 20_000, "reference_scale": 50_000, "rounds": 1, "slice_days": 1}


@pytest.mark.parametrize("name", ["exact list of 100 k, 5 % matched", "1,000 prefix ranges", "text scores"])
def test_every_engine_decides_alike_and_bears_a_witness(name: str) -> None:
    rows = list(bench.interceptmark([name], n=SMALL, rounds=1))
    assert [row.engine for row in rows][:3] == ["interceptsim compile", "interceptsim", "interceptsim"]
    assert {"numpy", "polars", "duckdb", "row by row"} <= {row.engine for row in rows}
    assert len({row.witness for row in rows if row.n == SMALL}) == 1
    assert all(row.ns > 0 for row in rows)
    assert rows[1].ratio == 1


def test_the_stateless_mix_is_decided_alike_by_all_and_read_at_the_floor() -> None:
    rows = {row.engine: row for row in bench.interceptmark(["stateless mix"], n=SMALL, rounds=1)}
    assert {"numpy", "polars", "duckdb", "python loop", "memory floor"} <= set(rows)
    assert rows["numpy"].witness == rows["duckdb"].witness == rows["interceptsim"].witness > SMALL * 0.05


@pytest.mark.slow
def test_stateful_workloads_agree_with_the_twin_row_by_row() -> None:
    for name in ("stateful mix", "chain of ten"):
        rows = list(bench.interceptmark([name], n=SMALL, rounds=1))
        assert {"interceptsim", "row by row"} <= {row.engine for row in rows}


def test_an_engine_that_decides_otherwise_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_numpy", lambda work: np.zeros(len(work.batch), bool))
    with pytest.raises(ConfigurationError, match=r"numpy decides [0-9]+ attempts otherwise"):
        list(bench.interceptmark(["text scores"], n=SMALL, rounds=1))


def test_another_witness_than_the_pinned_one_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bench.WITNESSES, ("text scores", SMALL), 1)
    with pytest.raises(ConfigurationError, match="wanted 1 intercepted attempts"):
        list(bench.interceptmark(["text scores"], n=SMALL, rounds=1))


@pytest.mark.parametrize(("name", "digest"), bench.CHECKSUMS.items())
def test_batches_are_pinned(name: str, digest: str) -> None:
    assert bench.checksum(bench.make(name, SMALL).batch) == digest


def test_the_command_gives_rows_and_the_machine_as_one_json_object() -> None:
    arguments = ["bench", "--json", "--rows", "5000", "--only", "text scores", "--only", "prefix"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    given = json.loads(done.stdout)
    assert set(given) == {"rows", "machine"}
    assert {row["workload"] for row in given["rows"]} == {"text scores", "1,000 prefix ranges"}
    assert set(given["rows"][0]) == {"workload", "engine", "threads", "n", "ns", "witness", "ratio"}


def test_an_unknown_workload_is_refused_with_the_nearest() -> None:
    done = CliRunner().invoke(main, ["bench", "--only", "stateles mixx"])
    assert done.exit_code == 2
    assert "did you mean 'stateless mix'" in done.stderr


# The year suite.


@pytest.mark.slow
def test_the_year_suite_sets_columns_beside_the_reference_bare_simpy_and_draws() -> None:
    rows = list(bench_year.year(**TINY))
    assert [(row.engine, row.threads) for row in rows] == [
        ("columnar", 2),
        ("columnar", 1),
        ("columnar", 1),
        ("reference", 1),
        ("bare SimPy", 1),
        ("compiled", 2),
        ("compiled", 1),
        ("columnar, inline", 1),
        ("columnar, inline", 1),
    ]
    two, one, small, slow, bare, drawn, alone, *slices = rows
    assert (two.n, two.witness) == (one.n, one.witness)
    assert (small.n, small.witness) == (slow.n, slow.witness)
    assert two.n > small.n > small.witness > 0
    assert bare.n == bare.witness == slow.n
    assert drawn.n == alone.n == two.n
    # slices of a minute, less those of two hours, or of the one over which china-2025 measures load
    assert [row.n for row in slices] == [24 * 60 - 24 // 2, 24 * 60 - 24]
    assert all(row.ns > 0 for row in (two, one, small, slow, bare, drawn, alone))
    assert two.ratio == 1
    for row in rows:
        assert row.ratio == pytest.approx(row.ns / two.ns)


@pytest.mark.slow
def test_what_both_engines_made_of_the_same_days_is_the_witness() -> None:
    [row] = [row for row in bench_year.year(**TINY) if row.engine == "reference"]
    scenario = load("china-2025").replace({"period.warm_up": "1d", "traffic.sample_ratio": 1 / 50_000})
    found = run(scenario, scale=50_000, days=1)
    assert row.n == found.attempts
    assert row.witness == found.metrics["voice.intercepted"] + found.metrics["sms.intercepted"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "changed"), [("reference", {"digest": "another"}), ("reference", {"attempts": 1}), ("columnar", {})]
)
def test_an_engine_that_finds_something_else_stops_the_year_suite(
    monkeypatch: pytest.MonkeyPatch, engine: str, changed: dict[str, Any]
) -> None:
    def other(*args: Any, **options: Any) -> RunResult:
        found = run(*args, **options)
        faulty = found.engine == engine and (engine == "reference" or options["threads"] == 1)
        return replace(found, **(changed or {"digest": "another"})) if faulty else found

    monkeypatch.setattr(bench_year, "run", other)
    with pytest.raises(ConfigurationError, match=f"{engine}.* finds something else"):
        list(bench_year.year(**TINY))


def test_slices_that_change_what_is_found_stop_the_year_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_year, "run", lambda *a, **o: replace(run(*a, **o), attempts=o["slice_us"]))
    with pytest.raises(ConfigurationError, match="in slices of a minute finds something else"):
        bench_year.slices("minimal", 1, 1)


def test_draws_are_made_one_for_each_attempt_on_any_number_of_threads() -> None:
    key, stream = root_key(2025), np.uint64(stream_id("bench/draws"))
    together = np.uint64(0)
    for ordinal in range(200):
        with np.errstate(over="ignore"):
            block = philox.py_func(np.uint64(ordinal), np.uint64(0), np.uint64(0), stream, *key)
        together ^= np.bitwise_xor.reduce(np.array(block))
    assert {bench_year.draws(200, threads) for threads in (1, 2, 7)} == {int(together)}


def test_bare_simpy_ends_every_call() -> None:
    assert bench_year.calls(500) == 500


@pytest.mark.slow
def test_the_command_gives_the_year_suite_in_the_same_form(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def year(**options: Any) -> Iterator[bench.Row]:
        asked.update(options)
        return tiny(**{**TINY, **options})

    tiny = bench_year.year
    monkeypatch.setattr(bench_year, "year", year)
    arguments = ["bench", "--suite", "year", "--scale", "1:20000", "--days", "2", "--threads", "1"]
    done = CliRunner().invoke(main, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    assert asked == {"scale": 20_000, "days": 2, "threads": 1}
    given = json.loads(done.stdout)
    assert set(given) == {"rows", "machine"}
    assert given["rows"][0]["workload"] == "china-2025, 3 days at 1:20000"
    assert set(given["rows"][0]) == {"workload", "engine", "threads", "n", "ns", "witness", "ratio"}
    shown = CliRunner().invoke(main, arguments).stdout.splitlines()
    assert len(shown) == 1 + len(given["rows"])
    assert shown[0].startswith("year: ")
    assert "reference" in shown[3]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--suite", "year", "--rows", "5000"], "--rows is for --suite interceptmark, not for year"),
        (["--suite", "year", "--only", "text"], "--only is for --suite interceptmark, not for year"),
        (["--scale", "1:10"], "--scale is for --suite year, not for interceptmark"),
        (["--days", "2"], "--days is for --suite year, not for interceptmark"),
    ],
)
def test_an_option_of_the_other_suite_is_refused(arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(main, ["bench", *arguments])
    assert done.exit_code == 2
    assert told in done.stderr
