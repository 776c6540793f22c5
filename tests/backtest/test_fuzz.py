"""Ten thousand inputs by fixed seeds: no traceback, and the counts are those of who made them.

An input is either refused in one message, or every record of it is decided, late, duplicate or malformed. Where the
generator knows how many are which, the replay has to find the same.
"""

import datetime as dt
import io
import json
import random

import polars as pl
import pytest

import interceptsim as ics
from interceptsim.backtest.mapping import as_mapping
from interceptsim.filtering.policies import LimitAttempts

START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
LATENESS_S = 600
MAPPING = as_mapping(
    {
        "columns": {"time": "when", "a_number": "from", "b_number": "to", "channel": "kind"},
        "time": {"zone": "UTC"},
        "defaults": {"channel": "voice"},
    }
)
NUMBERS = ["13800138000", "+441632960000", "95588", "0755 1234 5678", "106912345", "008613900000000"]
BAD_NUMBERS = [
    "9" * 40,
    "",
    "withheld",
    "138\x00001",
    "１３８００１３８０００",
    "+0044",
    "12",
    "138001380001",
    "'; DROP",
    "🙂",
]
BAD_TIMES = [
    "0001-01-01 00:00:00",
    "9999-12-31 23:59:59",
    "yesterday",
    "",
    "2025-13-01 00:00:00",
    "1e400",
    "\x00",
    "-1",
]
COLUMNAR = (".parquet", ".arrow")
SUFFIXES = (".parquet", ".csv", ".jsonl", ".arrow")


class Made:
    """Records with what has to become of them."""

    def __init__(self, dice):
        self.dice = dice
        self.rows = []
        self.counts = dict.fromkeys(("read", "decided", "late", "duplicate", "malformed"), 0)
        self._latest, self._seen = None, set()
        self._second = 0

    def fill(self, rows):
        for _ in range(rows):
            self._add()

    def _add(self):
        pick = self.dice.random()
        self._second += self.dice.choice([0, 0, 1, 30, 400])
        second = self._second - (self.dice.choice([5, 599, 601, 5000]) if pick > 0.8 else 0)
        row = {
            "when": (START + dt.timedelta(seconds=second)).strftime("%Y-%m-%d %H:%M:%S"),
            "from": self.dice.choice(NUMBERS[:3]),
            "to": self.dice.choice(NUMBERS),
            "kind": self.dice.choice(["voice", "sms", "VOICE", ""]),
        }
        if pick < 0.25:
            name = self.dice.choice(["when", "from", "to", "kind"])
            row[name] = self.dice.choice({"when": BAD_TIMES, "kind": ["fax", "7", "\ud7ff"]}.get(name, BAD_NUMBERS))
            self.count("malformed")
        elif self._latest is not None and second < self._latest - LATENESS_S:
            self.count("late")
        else:
            self._latest = max(second, self._latest if self._latest is not None else second)
            key = (second, row["from"], row["to"], row["kind"].lower() or "voice")
            self.count("duplicate" if key in self._seen else "decided")
            self._seen.add(key)
        self.rows.append(row)

    def count(self, kind):
        self.counts["read"] += 1
        self.counts[kind] += 1


def as_csv(made, dice):
    """Return CSV text that holds the records, lines that hold none, and columns that nobody asked for."""
    width = dice.choice([0, 0, 1, 3, 2000]) if dice.random() < 0.2 else 1
    names = ["kind", *(f"extra{k}" for k in range(width)), "to", "when", "from"]
    end = dice.choice([b"\n", b"\r\n"])
    quote = dice.random() < 0.3
    lines = [",".join(names).encode()]
    for row in made.rows:
        extra = [dice.choice([b"", b"x", b"\xff\xfe", "中文".encode("gb18030"), b"\x00"])] * width
        fields = [row["kind"].encode(), *extra, row["to"].encode(), row["when"].encode(), row["from"].encode()]
        lines.append(b",".join(b'"' + f + b'"' if quote else f for f in fields))
        if dice.random() < 0.1:
            lines.append(dice.choice([b"a,b" + b",c" * (width + 9), b"alone"]))
            made.count("malformed")
        if dice.random() < 0.05 and not quote:
            lines.append(b"")
    return dice.choice([b"", b"\xef\xbb\xbf"]) + end.join(lines) + dice.choice([b"", end])


def as_json(made, dice):
    lines = []
    for row in made.rows:
        given = {k: v for k, v in row.items() if v or dice.random() < 0.5}
        lines.append(json.dumps({**given, "extra": dice.choice([None, [1], {"a": 1}, 10**30, "x"])}).encode())
        if dice.random() < 0.15:
            lines.append(
                dice.choice([b"{", b"[1]", b"\xff", b"\x00", b'{"from": [1]}', b"9" * 5000, b"[" * 2000, b'"' * 3])
            )
            made.count("malformed")
        if dice.random() < 0.05:
            lines.append(b"")
    return b"\n".join(lines)


def as_columns(made, dice, suffix):
    frame = pl.DataFrame(made.rows, schema=dict.fromkeys(("when", "from", "to", "kind"), pl.String))
    if dice.random() < 0.3:
        frame = frame.with_columns(pl.col("from", "kind").cast(pl.Categorical), pl.col("to").cast(pl.Binary))
    if dice.random() < 0.02:
        frame = frame.with_columns(pl.lit(k).alias(f"extra{k}") for k in range(2000))
    text = io.BytesIO()
    frame.write_parquet(text) if suffix == ".parquet" else frame.write_ipc(text)
    return text.getvalue()


def damaged(whole, dice, suffix):
    """Return bytes of which some are missing or, of text, others."""
    if dice.random() < 0.5 or suffix in COLUMNAR:
        return whole[: dice.randrange(len(whole) + 1)]
    cut = bytearray(whole)
    for _ in range(dice.choice([1, 3, 30])):
        if cut:
            cut[dice.randrange(len(cut))] = dice.randrange(256)
    return bytes(cut)


def made_input(seed):
    """Return the suffix, the bytes, and the counts if they are known."""
    dice = random.Random(seed)
    suffix = dice.choice(SUFFIXES)
    if seed % 8 < 3:
        return suffix, dice.randbytes(dice.choice([0, 1, 8, 100, 3000])), None
    made = Made(dice)
    made.fill(dice.choice([0, 1, 3, 8, 20]))
    if suffix == ".csv":
        whole = as_csv(made, dice)
    elif suffix == ".jsonl":
        whole = as_json(made, dice)
    else:
        whole = as_columns(made, dice, suffix)
    if seed % 8 < 6:
        return suffix, damaged(whole, dice, suffix), None
    return suffix, whole, made.counts


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 10_000, 2500))
def test_no_input_ends_in_a_traceback_and_all_are_counted(tmp_path, first):
    chain = ics.compile_filter([LimitAttempts(kind="limit-attempts", per_hour={"warn": 3})])
    messages, known = [], 0
    for seed in range(first, first + 2500):
        suffix, whole, counts = made_input(seed)
        path = tmp_path / f"{seed}{suffix}"
        path.write_bytes(whole)
        try:
            found = ics.replay(path, chain, mapping=MAPPING, threads=1)
        except ics.InterceptSimError as error:
            messages.append((counts, str(error)))
        else:
            told = vars(found.counts)
            assert told["read"] == sum(told[k] for k in ("decided", "late", "duplicate", "malformed")), seed
            assert counts is None or told == counts, seed
            assert found.counts.decided == sum(found.verdicts.values())
            known += counts is not None
        path.unlink()
    assert known > 600
    assert len(messages) > 1000
    assert all(counts is None and len(text) < 700 for counts, text in messages)
