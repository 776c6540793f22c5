"""The store: what is kept is whole or not there, under its name, whoever else writes or is killed."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pytest

from interceptsim.errors import ResultsError
from interceptsim.experiments.store import _WRITER, Store

FRAME = pl.DataFrame({"run": ["a"], "value": [1.5]})


def test_what_is_put_is_found_by_its_name(tmp_path):
    store = Store(tmp_path / "deep" / "store").open()
    assert (store.names("runs"), store.has("runs", "a")) == (set(), False)
    store.put("runs", "a", FRAME, about={"scenario": "{}"})
    assert (store.names("runs"), store.has("runs", "a")) == ({"a"}, True)
    assert store.read("runs", ["a", "b"], FRAME.schema).collect().equals(FRAME)
    assert pl.read_parquet_metadata(store.path("runs", "a"))["scenario"] == "{}"


def test_the_same_content_has_the_same_bytes(tmp_path):
    one, two = Store(tmp_path / "1").open(), Store(tmp_path / "2").open()
    for store in (one, two):
        store.put("runs", "a", FRAME, about={"scenario": "x"})
    assert one.path("runs", "a").read_bytes() == two.path("runs", "a").read_bytes()


def test_what_failed_is_read_but_not_finished_until_it_is(tmp_path):
    store = Store(tmp_path).open()
    store.put("runs", "a", FRAME.with_columns(value=None), failed=True)
    assert (store.names("runs"), store.has("runs", "a")) == (set(), False)
    assert store.read("runs", ["a"], FRAME.schema).collect()["value"].to_list() == [None]
    store.put("runs", "a", FRAME)
    assert store.read("runs", ["a"], FRAME.schema).collect().equals(FRAME)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["a.parquet"]


def test_nothing_that_is_there_reads_as_no_rows(tmp_path):
    assert Store(tmp_path).read("runs", ["a"], FRAME.schema).collect().schema == FRAME.schema
    assert Store(tmp_path / "none").names("runs") == set()


def test_what_killed_processes_left_is_taken_away(tmp_path):
    store = Store(tmp_path).open()
    store.put("runs", "a", FRAME)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    writers = {f"{_WRITER}.{gone.pid}": 0, "elsewhere.1": 7200}
    alive = {f"{_WRITER}.{os.getpid()}": 0, "elsewhere.2": 0}
    for writer, age in (writers | alive).items():
        partial = tmp_path / "runs" / f".b.parquet.{writer}.ab12.partial"
        partial.write_bytes(b"half")
        os.utime(partial, (time.time() - age,) * 2)
    assert store.names("runs") == {"a"}
    Store(tmp_path).open()
    there = {path.name for path in (tmp_path / "runs").iterdir()}
    assert there == {"a.parquet", *(f".b.parquet.{writer}.ab12.partial" for writer in alive)}


def test_what_another_machine_took_for_left_is_written_again(tmp_path, monkeypatch):
    store = Store(tmp_path).open()
    taken = []
    replace = Path.replace

    def take(self, target):
        if len(taken) < 2:
            taken.append(self)
            self.unlink()
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", take)
    store.put("runs", "a", FRAME)
    assert len(set(taken)) == 2
    assert store.names("runs") == {"a"}


def test_any_number_may_write_and_begin_at_once(tmp_path):
    store = Store(tmp_path).open()
    stop = threading.Event()

    def begin():
        while not stop.is_set():
            Store(tmp_path).open()

    others = [threading.Thread(target=begin) for _ in range(2)]
    writers = [threading.Thread(target=lambda: [store.put("runs", f"{n}", FRAME) for n in range(60)]) for _ in range(3)]
    for thread in (*others, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in others:
        thread.join()
    assert store.names("runs") == {f"{n}" for n in range(60)}
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == sorted(f"{n}.parquet" for n in range(60))


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ResultsError, match=r"file/store: cannot be written: Not a directory"):
        Store(tmp_path / "file" / "store").open()


def test_a_name_with_brackets_is_no_pattern(tmp_path):
    store = Store(tmp_path / "[a]*").open()
    store.put("runs", "a", FRAME)
    assert store.read("runs", ["a"], FRAME.schema).collect().equals(FRAME)
