"""InterceptMark: pinned, with a witness, and refusing results that differ."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from interceptsim import bench
from interceptsim.cli import main
from interceptsim.errors import ConfigurationError

SMALL = 20_000


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
