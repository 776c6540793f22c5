"""Lines of text: the fast reader and the plain one tell the same of the same file, line by line."""

import csv
import io
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptsim.backtest import lines
from interceptsim.backtest.mapping import Csv
from interceptsim.errors import ConfigurationError

FIELD = st.text(st.sampled_from(["a", "1", ",", '"', " ", "é", "中", "\x00", "\r", "\n", ";"]), max_size=4)


def read(path, how, wanted, block):
    frames = list(lines.read_csv(path, how, wanted, block))
    frame = pl.concat([f for f, *_ in frames]) if frames else pl.DataFrame(schema=dict.fromkeys(wanted, pl.String))
    at = [line for _, where, *_ in frames for line in where.tolist()]
    return frame.rows(), at, [b for _, _, broken, _ in frames for b in broken]


@given(st.lists(st.lists(FIELD, min_size=3, max_size=3), max_size=12), st.integers(1, 60))
@settings(max_examples=150)
def test_what_a_csv_writer_wrote_is_read_as_it_was(tmp_path_factory, rows, block):
    path = tmp_path_factory.mktemp("csv") / "r.csv"
    text = io.StringIO()
    csv.writer(text).writerows([["x", "y", "z"], *rows])
    path.write_bytes(text.getvalue().encode())
    found, at, broken = read(path, Csv(), ("z", "x"), block)
    assert found == [(z or None, x or None) for x, _, z in rows]
    assert broken == []
    ends, line = [], 2
    for row in rows:
        ends.append(line)
        single = io.StringIO()
        csv.writer(single).writerow(row)
        line += single.getvalue().encode().count(b"\n")
    assert at == ends


@given(st.binary(max_size=200), st.integers(1, 50))
@settings(max_examples=300)
def test_the_reader_of_plain_blocks_and_the_plain_reader_agree(tmp_path_factory, body, block):
    path = tmp_path_factory.mktemp("csv") / "r.csv"
    path.write_bytes(b"x,y\n" + body)
    fast = read(path, Csv(), ("x", "y"), block)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_plain_csv", lambda *given: None)
        assert read(path, Csv(), ("x", "y"), 1 << 20) == fast


def test_broken_lines_are_told_where_they_stand(tmp_path):
    path = tmp_path / "r.csv"
    path.write_bytes(b'\xef\xbb\xbfa,b\r\n1,2\r\n\r\n3\r\n"4\n5",6\r\n7,8,9\r\n10,11')
    found, at, broken = read(path, Csv(), ("a", "b"), 7)
    assert found == [("1", "2"), ("4\n5", "6"), ("10", "11")]
    assert at == [2, 5, 8]
    assert [(b.line, b.reason) for b in broken] == [
        (4, "has 1 fields where there are 2 columns"),
        (7, "has 3 fields where there are 2 columns"),
    ]


def test_files_without_a_header_and_of_other_encodings_are_read(tmp_path):
    path = tmp_path / "r.csv"
    path.write_bytes("1;电话\n2;短信\n".encode("gb18030"))
    how = Csv(separator=";", header=False, encoding="gb18030")
    assert lines.csv_names(path, how) == ["1", "2"]
    assert read(path, how, ("2",), 100)[0] == [("电话",), ("短信",)]


def test_a_file_without_a_name_for_its_columns_is_refused(tmp_path):
    path = tmp_path / "r.csv"
    path.write_bytes(b"")
    with pytest.raises(ConfigurationError, match="is empty"):
        lines.csv_names(path, Csv())
    path.write_bytes(b"a,a\n1,2\n")
    with pytest.raises(ConfigurationError, match="two columns have this name"):
        read(path, Csv(), ("a",), 100)


VALUE = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5))


@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUE), max_size=10), st.integers(1, 80))
@settings(max_examples=50)
def test_json_lines_are_read_as_text_whatever_block_they_stand_in(tmp_path_factory, records, block):
    path = tmp_path_factory.mktemp("json") / "r.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    found = [row for frame, *_ in lines.read_json(path, ("a", "b"), block) for row in frame.rows()]

    def text(value):
        if value is None or value == "":
            return None
        clean = value if isinstance(value, str) else json.dumps(value) if isinstance(value, bool) else repr(value)
        return clean.encode("utf-8", "replace").decode()

    assert found == [(text(r.get("a")), text(r.get("b"))) for r in records]


def test_lines_that_are_no_json_object_are_told():
    given_lines = [
        b'{"a": 1}\n',
        b"{",
        b"\n",
        b"[1]\n",
        b'{"a": [2]}\n',
        b'{"a": "\xff"}\n',
        b"1" * 5000,
        b'{"a": null}',
    ]
    frame, where, broken = lines.json_rows(given_lines, ("a",))
    assert frame.rows() == [("1",), (None,)]
    assert where.tolist() == [0, 7]
    assert [b.line for b in broken] == [1, 3, 4, 5, 6]
    assert broken[1].reason == "not a JSON object"
    assert broken[2].reason == "a: wanted a single value"
    assert broken[3].reason == "not UTF-8 text"
