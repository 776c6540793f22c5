"""Replay: what is read is decided as the benchmark decides it, counted, and written; nothing is dropped in silence."""

import datetime as dt
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import interceptsim as ics
from interceptsim.attempts import COLUMNS, INTERCEPT, VERDICTS
from interceptsim.backtest import ordering, sources
from interceptsim.bench import make
from interceptsim.filtering.policies import LimitAttempts, RejectListedNumbers
from interceptsim.numbering import format_number

ROWS = 20_000


@pytest.fixture(scope="module")
def work():
    return make("chain of ten", ROWS)


@pytest.fixture(scope="module")
def frame(work):
    return work.batch.to_frame()


@pytest.fixture(scope="module")
def chain(work):
    return ics.compile_filter(work.chain)


@pytest.fixture(scope="module")
def expected(work, chain):
    return chain.decide(work.batch)


def assert_decided(found, expected):
    """The decisions, in the order of the records, are those of one batch."""
    told = found.decisions.sort("line")
    assert told["verdict"].cast(pl.String).to_list() == [VERDICTS[v] for v in expected.verdict]
    reasons = np.array(["", *found.rule_ids])[expected.reason]
    assert told["reason"].cast(pl.String).to_list() == reasons.tolist()
    assert told["matched"].equals(pl.Series("matched", expected.matched))


def written(frame, path):
    if path.suffix == ".csv":
        frame.write_csv(path)
    elif path.suffix == ".jsonl":
        frame.write_ndjson(path)
    elif path.suffix == ".arrow":
        frame.write_ipc(path)
    else:
        frame.write_parquet(path)
    return path


AS_TEXT = {"time": {"format": "us"}, "numbers": {"form": "digits"}, "text": {"score_unit": "millionth"}}


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv", ".jsonl"])
def test_a_file_of_each_format_is_decided_as_one_batch(tmp_path, frame, chain, expected, suffix):
    path = written(frame, tmp_path / f"records{suffix}")
    mapping = AS_TEXT if suffix in {".csv", ".jsonl"} else None
    found = ics.replay(path, chain, mapping=mapping, keep=True)
    assert vars(found.counts) == {"read": ROWS, "decided": ROWS, "late": 0, "duplicate": 0, "malformed": 0}
    assert_decided(found, expected)
    assert found.verdicts["intercept"] == (expected.verdict == INTERCEPT).sum()
    assert found.absent == {}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("rows", [997, 30_000])
def test_neither_blocks_nor_threads_nor_disorder_change_a_decision(monkeypatch, frame, chain, expected, threads, rows):
    monkeypatch.setattr(sources, "CHUNK_ROWS", rows)
    monkeypatch.setattr(ordering, "_LEAST", 500)
    monkeypatch.setattr(ordering, "_LONG", 2000)
    shuffled = frame.with_row_index("at").with_columns(near=(pl.col("at") + pl.col("at").hash(1) % 40)).sort("near")
    found = ics.replay(shuffled.drop("near", "at"), chain, keep=True, threads=threads)
    assert found.counts.decided == ROWS
    told = found.decisions.sort("time_us")
    assert (told["matched"].to_numpy() == expected.matched).all()
    assert (told["line"].to_numpy() == 1 + np.argsort(shuffled["at"].to_numpy())).all()


def test_a_folder_by_days_and_a_glob_are_read_as_one_file(tmp_path, frame, chain, expected):
    for k, first in enumerate(range(0, ROWS, 7000)):
        folder = tmp_path / "cdr" / f"day={k}"
        folder.mkdir(parents=True)
        frame[first : first + 7000].drop("b_carrier").write_parquet(folder / "part.parquet")
    mapping = {"columns": {"b_carrier": "day"}}
    for records in (tmp_path / "cdr", f"{tmp_path}/cdr/day=*/*.parquet"):
        found = ics.replay(records, chain, mapping=mapping, keep=True)
        assert found.counts.decided == ROWS
        assert found.decisions["file"].n_unique() == 3
        assert (found.decisions.sort("time_us")["matched"].to_numpy() == expected.matched).all()


def test_columns_times_and_numbers_are_mapped(tmp_path):
    (tmp_path / "r.csv").write_text(
        "Datum;Zeit;von;an;Art;dauer\n"
        "31/01/2025;08:00;+44 1632 960000;0755-12345678;1;60\n"
        "31/01/2025;08:01;95588;13800138000;2;\n"
        "31/01/2025;08:02;0086(138)00138000;110;x;5\n",
        encoding="latin-1",
    )
    mapping = {
        "columns": {
            "time": ["Datum", "Zeit"],
            "a_number": "von",
            "b_number": "an",
            "channel": "Art",
            "duration": "dauer",
        },
        "time": {"format": "%d/%m/%Y %H:%M", "zone": "Europe/Berlin"},
        "values": {"channel": {"voice": ["1"], "sms": [2]}},
        "duration_unit": "s",
        "csv": {"separator": ";", "encoding": "latin-1"},
    }
    found = ics.replay(
        tmp_path / "r.csv", [LimitAttempts(kind="limit-attempts", per_day={"warn": 9})], mapping=mapping, keep=True
    )
    start = dt.datetime(2025, 1, 31, 7, 0, tzinfo=dt.UTC)
    assert found.decisions.select("time_us", "channel", "a_number", "b_number").rows() == [
        (round(start.timestamp() * 1e6), "voice", 441632960000, 8675512345678),
        (round(start.timestamp() * 1e6) + 60_000_000, "sms", 95588, 8613800138000),
    ]
    assert found.rejects["reason"].to_list() == ["channel: wanted voice, sms"]
    assert found.absent == {"entry": "mobile-access", "b_carrier": "0", "roaming": "false"}


def test_every_record_that_is_not_decided_is_told_with_line_and_reason(tmp_path, chain):
    at = 1_735_700_000_000_000
    rows = [
        (at, "8613800138000", "8613900000000"),
        (at + 5, "8613800138000", "8613900000000"),
        (at + 5, "8613800138000", "8613900000000"),
        (at + 5, "8613800138000", "8613900000001"),
        (at - 599_000_000, "8613800138000", "8613900000002"),
        (at - 3_600_000_000, "8613800138000", "8613900000003"),
        (at, None, "8613900000003"),
        (at, "8613800138000", "1" * 40),
        (None, "8613800138000", "8613900000003"),
        (253_402_300_799_000_000, "8613800138000", "8613900000003"),
    ]
    frame = pl.DataFrame(rows, ["time_us", "a_number", "b_number"], orient="row").with_columns(text_score=0, link=0)
    mapping = {"numbers": {"form": "digits"}}
    found = ics.replay(frame, chain, mapping=mapping, rejects=tmp_path / "r.parquet", out=tmp_path / "d.parquet")
    assert vars(found.counts) == {"read": 10, "decided": 4, "late": 1, "duplicate": 1, "malformed": 4}
    told = pl.read_parquet(tmp_path / "r.parquet").sort("line").select("line", "kind", "reason", "value").rows()
    assert told == [
        (3, "duplicate", "equal to an earlier record", "2025-01-01T02:53:20.000005Z"),
        (6, "late", "more than 10min behind the latest record before it", "2025-01-01T01:53:20.000000Z"),
        (7, "malformed", "a_number: missing", ""),
        (8, "malformed", "b_number: not a telephone number", "1" * 40),
        (9, "malformed", "time: missing", ""),
        (10, "malformed", "time: outside 1980-01-01 to 2100-01-01", "253402300799000000"),
    ]
    assert pl.read_parquet(tmp_path / "d.parquet")["line"].to_list() == [5, 1, 2, 4]


@given(st.data())
@settings(max_examples=60)
def test_late_and_duplicate_records_depend_on_the_records_alone(data):
    times = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=60))
    lateness = data.draw(st.integers(0, 15))
    size = data.draw(st.integers(1, 61))
    who = data.draw(st.lists(st.integers(0, 2), min_size=len(times), max_size=len(times)))
    latest, late, kept = -1, [], {}
    for line, (time, number) in enumerate(zip(times, who, strict=True)):
        if time < latest - lateness:
            late.append(line)
        else:
            kept.setdefault((time, number), []).append(line)
        latest = max(latest, time)
    window = ordering.Window(lateness)
    ready, found_late, found_twice = [], [], []
    pieces = [(times[k : k + size], who[k : k + size], k) for k in range(0, len(times), size)]
    for part in [*pieces, None]:
        if part is None:
            released = window.flush()
        else:
            frame = pl.DataFrame(
                {"time_us": part[0], "a_number": part[1]}, {"time_us": pl.Int64, "a_number": pl.UInt64}
            )
            line = pl.int_range(part[2], part[2] + len(frame), eager=True)
            released = window.add(frame.with_columns(b_number=pl.col("a_number"), line=line))
        ready += [row for f in released.ready for row in f.select("time_us", "line").rows()]
        found_late += [] if released.late is None else released.late["line"].to_list()
        found_twice += [line for f in released.duplicate for line in f["line"]]
    assert sorted(found_late) == late
    assert sorted(found_twice) == sorted(line for lines in kept.values() for line in lines[1:])
    assert ready == sorted((time, lines[0]) for (time, _), lines in kept.items())


def test_a_listing_holds_from_its_time_and_a_later_one_anew():
    day = 86_400_000_000
    start = 20_000 * day
    times = start + np.array([0, 1, 2, 30, 31, 60, 61]) * 3_600_000_000
    frame = pl.DataFrame({"time_us": times, "a_number": [8613800138000] * 7, "b_number": [8613900000000] * 7})
    listings = pl.DataFrame({"policy": ["l"] * 2, "a_number": [8613800138000] * 2, "from_us": [times[1], times[5]]})
    policy = RejectListedNumbers(kind="reject-listed-numbers", id="l", expires_after="1d")
    for rows in (1, 100):
        pieces = [frame[k : k + rows] for k in range(0, 7, rows)]
        found = [ics.replay(pl.concat(pieces), [policy], listings=listings, keep=True).decisions]
        assert found[0]["verdict"].to_list() == [
            "deliver",
            "intercept",
            "intercept",
            *["deliver"] * 2,
            *["intercept"] * 2,
        ]
    with pytest.raises(ics.ConfigurationError, match="did you mean 'l'"):
        ics.replay(frame, [policy], listings=listings.with_columns(policy=pl.lit("ll")))


def test_rules_are_counted_as_the_profile_of_the_chain_counts_them(frame, work, chain, expected):
    found = ics.replay(frame, chain)
    profile = chain.profile(work.batch)
    assert found.rules["matched"].to_list() == profile["matched"].to_list()
    assert found.rules["alone"].to_list() == profile["alone"].to_list()
    bits = [expected.matched >> np.uint64(k) & np.uint64(1) == 1 for k in range(len(chain.rules))]
    for rule, other, count in found.together.iter_rows():
        assert count == (bits[chain.rules.index(rule)] & bits[chain.rules.index(other)]).sum()
    for k, rule in enumerate(chain.rules):
        mine = found.cut_off.filter(pl.col("rule") == rule)
        cut = (expected.verdict == INTERCEPT) & (expected.reason == k + 1)
        assert mine["attempts"].sum() == cut.sum() == found.rules["intercepted"][k]
        assert sorted(mine["a_number"]) == np.unique(work.batch.a_number[cut]).tolist()
        first = work.batch.time_us[cut].min() if cut.any() else None
        assert mine["first_us"].min() == first
    assert found.daily.group_by("rule").agg(pl.col("matched").sum())["matched"].sum() == found.rules["matched"].sum()


def test_labels_give_confusion_with_intervals_that_count_numbers(frame, chain, expected):
    label = (frame["a_number"].hash(3) % 5 == 0).to_numpy()
    frame = frame.with_columns(label=pl.Series(label)).with_columns(pl.when(pl.col("b_number") % 7 > 0).then("label"))
    known = frame["label"].is_not_null().to_numpy()
    found = ics.replay(frame, chain)
    hit = expected.verdict == INTERCEPT
    row = found.quality.row(0, named=True)
    assert row["found_by"] == "intercepted"
    assert row["true_positives"] == (hit & label & known).sum()
    assert row["false_positives"] == (hit & ~label & known).sum()
    assert row["true_negatives"] == (~hit & ~label & known).sum()
    assert row["recall"] == pytest.approx((hit & label & known).sum() / (label & known).sum())
    assert row["recall_low"] < row["recall"] < row["recall_high"]
    assert found.quality["found_by"].to_list()[2:] == list(chain.rules)
    curve = found.curve.filter(pl.col("score") == "text_score")
    score, sms = frame["text_score"].to_numpy(), (frame["channel"] == 1).to_numpy()
    at = curve.filter(pl.col("threshold") == 0.5).row(0, named=True)
    assert at["true_positives"] == (sms & known & label & (score >= 500_000)).sum()
    assert at["false_positives"] == (sms & known & ~label & (score >= 500_000)).sum()
    assert found.areas["text_score roc"].value == pytest.approx(0.5, abs=0.05)


def test_a_challenger_tells_whose_fate_changes(tmp_path, frame, work, chain, expected):
    other = ics.compile_filter(work.chain[:5])
    said = other.decide(work.batch)
    found = ics.replay(frame, chain, challenger=other, changed=tmp_path / "c.arrow", keep=True)
    differ = expected.verdict != said.verdict
    changed = pl.read_ipc(tmp_path / "c.arrow")
    assert changed["line"].to_list() == (1 + np.flatnonzero(differ)).tolist()
    assert changed["challenger_verdict"].cast(pl.String).to_list() == [VERDICTS[v] for v in said.verdict[differ]]
    assert found.fates is not None
    moved = found.fates.filter(pl.col("verdict") != pl.col("challenger"))["count"].sum()
    assert moved == differ.sum() > 0
    assert found.fates["count"].sum() == ROWS


def test_pseudonyms_are_stable_and_no_number_leaves(tmp_path, frame, chain):
    (tmp_path / "key").write_text("k" * 32)
    (tmp_path / "other").write_text("o" * 32)
    bad = frame[:5].with_columns(b_number=pl.lit(5, pl.UInt64))
    outs = {name: tmp_path / f"{name}.csv" for name in ("out", "rejects", "cut_off_numbers")}
    found = ics.replay(pl.concat([frame, bad]), chain, pseudonymise=tmp_path / "key", keep=True, **outs)
    text = "".join(path.read_text() for path in outs.values()) + json.dumps(found.as_json())
    numbers = {format_number(int(n), 1)[1:] for n in (*frame["a_number"], *frame["b_number"])}
    words = {word for line in text.replace('"', ",").splitlines() for word in line.split(",")}
    assert not words & numbers
    pairs = pl.DataFrame(
        {"number": frame["a_number"], "name": found.decisions.sort("line")["a_number"][:ROWS]}
    ).unique()
    assert pairs["number"].n_unique() == pairs["name"].n_unique() == len(pairs)
    again = ics.replay(frame[:100], chain, pseudonymise=tmp_path / "key", keep=True)
    assert again.decisions["b_number"].equals(found.decisions["b_number"][:100])
    other = ics.replay(frame[:100], chain, pseudonymise=tmp_path / "other", keep=True)
    assert not set(other.decisions["a_number"]) & set(again.decisions["a_number"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"mapping": {"columns": {"a_number": "callr"}}}, "got 'callr'; no column for 'a_number'"),
        ({"mapping": {"colums": {}}}, "did you mean 'columns'"),
        ({"mapping": {"time": {"zone": "Mars/North"}}}, "no such time zone"),
        ({"mapping": {"values": {"channel": {"fax": [1]}}}}, "no 'fax' among voice, sms"),
        ({"mapping": {"text": {"lists": [{"score": 1.0, "words": ["x"]}]}}}, "no column for 'text'"),
        ({"out": "d.xlsx"}, "wanted a name that ends in one of"),
        ({"out": "nowhere/d.csv"}, "there is no folder nowhere"),
        ({"changed": "c.csv"}, "wanted a challenger"),
        ({"pseudonymise": "nokey"}, "key file nokey"),
    ],
)
def test_a_mistake_is_told_in_one_message(tmp_path, monkeypatch, frame, chain, options, told):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ics.InterceptSimError, match=told):
        ics.replay(frame[:10], chain, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_rule_that_reads_what_records_lack_is_refused(tmp_path, frame, chain):
    with pytest.raises(ics.ColumnError, match="reads column 'link', which the batch lacks"):
        ics.replay(frame.drop("link"), chain, out=tmp_path / "d.parquet")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_not_overwritten(tmp_path, frame, chain):
    (tmp_path / "d.csv").write_text("mine")
    with pytest.raises(ics.ResultsError, match="something is there already"):
        ics.replay(frame[:10], chain, out=tmp_path / "d.csv")
    assert (tmp_path / "d.csv").read_text() == "mine"


def test_no_record_at_all_gives_tables_without_rows(tmp_path, frame, chain):
    found = ics.replay(frame[:0], chain, out=tmp_path / "d.parquet", rejects=tmp_path / "r.csv")
    assert found.counts.read == 0
    assert pl.read_parquet(tmp_path / "d.parquet").height == 0
    assert found.rules["matched"].sum() == 0
    assert set(COLUMNS) >= set(chain.needs)
