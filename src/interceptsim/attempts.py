"""Attempts in columns: what rules may see, what stays beside it, and what came of each attempt.

An attempt is one call or one message. `AttemptBatch` holds the visible columns; `Rows` is the working set
of the compiled kernels, the visible columns together with bookkeeping that no rule is handed; `Truth` says
which lines are fraud and of what kind, and is given to no rule. The same column names stand in NumPy,
Polars, Parquet, TOML and the documentation.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from interceptsim.errors import ColumnError, nearest_name

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "ANSWERED",
    "CHANNELS",
    "COLUMNS",
    "DELIVERED",
    "ENTRIES",
    "EXPIRED",
    "FAILED",
    "INTERCEPTED",
    "LOCAL_OFFSET_US",
    "LOST",
    "MAX_RULES",
    "NOT_MADE",
    "OPEN",
    "OPTIONAL_COLUMNS",
    "OUTCOMES",
    "SCORE_ONE",
    "SMS",
    "UNANSWERED",
    "VERDICTS",
    "VOICE",
    "AttemptBatch",
    "Decisions",
    "Rows",
    "Truth",
    "empty_rows",
    "link_id",
]

LOCAL_OFFSET_US = 8 * 3_600_000_000
"""Local time is Asia/Shanghai: UTC and 8 hours, in microseconds, the whole year."""

SCORE_ONE = 1_000_000
"""Scores are fixed-point: this integer is 1.0."""

MAX_RULES = 64
"""A chain holds at most this many rules: which of them matched is one 64-bit word."""

VOICE, SMS = 0, 1
CHANNELS = ("voice", "sms")

INTERNATIONAL_GATEWAY, DOMESTIC_INTERCONNECT, MOBILE_ACCESS, A2P_ACCOUNT = 0, 1, 2, 3
ENTRIES = ("international-gateway", "domestic-interconnect", "mobile-access", "a2p-account")

DELIVER, LABEL, INTERCEPT, ALLOW = 0, 1, 2, 3
VERDICTS = ("deliver", "label", "intercept")

NOT_MADE, INTERCEPTED, LOST, FAILED, UNANSWERED, ANSWERED, DELIVERED, EXPIRED, OPEN = range(9)
OUTCOMES = ("not made", "intercepted", "lost", "failed", "unanswered", "answered", "delivered", "expired", "open")
"""What became of an attempt. Not made: the line was silent. Intercepted: by a policy. Lost: no circuit was free.
Failed: busy, switched off, no such number. Of calls: unanswered, answered. Of messages: delivered, or expired while
they waited. Open: still going on when the run ends."""

COLUMNS: dict[str, np.dtype] = {
    "time_us": np.dtype(np.int64),
    "channel": np.dtype(np.uint8),
    "a_number": np.dtype(np.uint64),
    "b_number": np.dtype(np.uint64),
    "a_kind": np.dtype(np.uint8),
    "entry": np.dtype(np.uint8),
    "b_carrier": np.dtype(np.uint8),
    "roaming": np.dtype(np.bool_),
    "content": np.dtype(np.uint32),
    "text_score": np.dtype(np.int32),
    "link": np.dtype(np.uint32),
    "a_incoming": np.dtype(np.uint32),
    "answered": np.dtype(np.bool_),
    "duration_us": np.dtype(np.int64),
}
"""The visible columns and their types: all that a rule may read."""

OPTIONAL_COLUMNS = ("text_score", "link", "a_incoming", "answered", "duration_us")
"""Columns that a batch may lack; a rule that reads one is then refused."""

_EARLIEST_US = -62_135_596_800_000_000  # year 1
_LATEST_US = 253_402_300_799_999_999  # year 9999


@dataclass(frozen=True)
class AttemptBatch:
    """Attempts as read-only columns of one length, in any order.

    time_us     int64   microseconds since 1970 in UTC, years 1 to 9999
    channel     uint8   index into CHANNELS (0 voice, 1 SMS)
    a_number    uint64  digits of the presented calling number
    b_number    uint64  digits of the called number
    a_kind      uint8   0 international, 1 national, 2 short code
    entry       uint8   index into ENTRIES: where the attempt enters the network
    b_carrier   uint8   code of the called party's carrier
    roaming     bool    the caller's home network says that it roams abroad
    content     uint32  template of a message, 0 where there is none
    text_score  int32   score of the text, SCORE_ONE is 1.0

    Columns from text_score on may be None; a rule that reads one is then refused.

    link         uint32  id of the link in a message (`link_id`), 0 where there is none
    a_incoming   uint32  incoming attempts of the calling number, over a closed interval before
    answered     bool    the attempt was answered: rules see it of earlier attempts of the number alone
    duration_us  int64   how long it lasted, in microseconds: likewise
    """

    time_us: NDArray[np.int64]
    channel: NDArray[np.uint8]
    a_number: NDArray[np.uint64]
    b_number: NDArray[np.uint64]
    a_kind: NDArray[np.uint8]
    entry: NDArray[np.uint8]
    b_carrier: NDArray[np.uint8]
    roaming: NDArray[np.bool_]
    content: NDArray[np.uint32]
    text_score: NDArray[np.int32] | None = None
    link: NDArray[np.uint32] | None = None
    a_incoming: NDArray[np.uint32] | None = None
    answered: NDArray[np.bool_] | None = None
    duration_us: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Check types, lengths and times; freeze the arrays."""
        length = len(self.time_us)
        for name, dtype in COLUMNS.items():
            column = getattr(self, name)
            if column is None and name in OPTIONAL_COLUMNS:
                continue
            if column.dtype != dtype or column.ndim != 1:
                raise ColumnError(f"column {name!r}: wanted one dimension of {dtype}, got {column.dtype}")
            if len(column) != length:
                raise ColumnError(f"column {name!r}: has {len(column)} rows where time_us has {length}")
            view = np.ascontiguousarray(column).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)
        bad = np.flatnonzero((self.time_us < _EARLIEST_US) | (self.time_us > _LATEST_US))
        if len(bad):
            raise ColumnError(f"column 'time_us': outside the years 1 to 9999 in rows {bad[:5].tolist()}")
        for name, names in (("channel", CHANNELS), ("entry", ENTRIES), ("a_kind", (0, 1, 2))):
            bad = np.flatnonzero(getattr(self, name) >= len(names))
            if len(bad):
                raise ColumnError(f"column {name!r}: wanted 0 to {len(names) - 1}, rows {bad[:5].tolist()}")

    def __len__(self) -> int:
        """Return the number of attempts."""
        return len(self.time_us)

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> Self:
        """Take the columns of a Polars frame, without a copy where types and chunks allow.

        Raise ColumnError naming a column that is missing, has nulls, or is of another type.
        """
        columns = {}
        for name, dtype in COLUMNS.items():
            if name not in frame.columns:
                if name in OPTIONAL_COLUMNS:
                    continue
                near = nearest_name(name, frame.columns)
                hint = f"; is it {near!r}?" if near else ""
                raise ColumnError(f"column {name!r} is missing{hint}")
            series = frame.get_column(name)
            if series.null_count():
                first = series.is_null().arg_max()
                raise ColumnError(f"column {name!r}: {series.null_count()} nulls, the first in row {first}")
            values = series.to_numpy()
            if values.dtype != dtype:
                raise ColumnError(f"column {name!r}: wanted {dtype}, got {series.dtype}")
            columns[name] = values
        return cls(**columns)

    def to_frame(self) -> pl.DataFrame:
        """Return the columns as a Polars frame."""
        import polars as pl  # noqa: PLC0415  kernels import this module and must not load polars

        present = {f.name: getattr(self, f.name) for f in fields(self)}
        return pl.DataFrame({name: values for name, values in present.items() if values is not None})


@dataclass(frozen=True)
class Decisions:
    """What a chain decided, row by row.

    verdict  uint8   index into VERDICTS: deliver, label, intercept
    reason   uint16  0, or the position from 1 of the rule that settled the verdict
    matched  uint64  bit k is set where rule k+1 matched, whatever the others said
    score    int32   sum of the scoring rules' scores, SCORE_ONE is 1.0
    """

    verdict: NDArray[np.uint8]
    reason: NDArray[np.uint16]
    matched: NDArray[np.uint64]
    score: NDArray[np.int32]


@dataclass(frozen=True)
class Truth:
    """What is true of each line and hidden from every rule: arrays with one entry a line.

    line_id  uint32   the line
    hub, campaign, fraud_type  str   who runs it and what for
    weight   float64  how many lines of the full-size world it stands for
    """

    line_id: NDArray[np.uint32]
    hub: NDArray[np.str_]
    campaign: NDArray[np.str_]
    fraud_type: NDArray[np.str_]
    weight: NDArray[np.float64]


class Rows(NamedTuple):
    """The working set of the kernels: columns of one capacity, filled from the front.

    The visible columns as in AttemptBatch; then `slot` (int64, where the presented number keeps its rule
    state), `line` (int64, index of the line, -1 outside a simulation), `ordinal` and `generation` (int64),
    `fresh` (uint8, 1 at the first attempt of a number new to its slot); then the decision: `code` (uint8,
    DELIVER to ALLOW), `reason` (uint16), `matched` (uint64) and `score` (int32), and `outcome` (uint8); last,
    for the rule at work, `seen` (uint8, the row passes where it stands), `said` (uint8, DELIVER to ALLOW), `found`
    (uint8, scratch), and `outside` (uint8, rules x rows): what rules written in Python or as expressions say of each
    row.
    """

    time_us: NDArray[np.int64]
    channel: NDArray[np.uint8]
    a_number: NDArray[np.uint64]
    b_number: NDArray[np.uint64]
    a_kind: NDArray[np.uint8]
    entry: NDArray[np.uint8]
    b_carrier: NDArray[np.uint8]
    roaming: NDArray[np.bool_]
    content: NDArray[np.uint32]
    text_score: NDArray[np.int32]
    link: NDArray[np.uint32]
    a_incoming: NDArray[np.uint32]
    answered: NDArray[np.bool_]
    duration_us: NDArray[np.int64]
    slot: NDArray[np.int64]
    line: NDArray[np.int64]
    ordinal: NDArray[np.int64]
    generation: NDArray[np.int64]
    fresh: NDArray[np.uint8]
    code: NDArray[np.uint8]
    reason: NDArray[np.uint16]
    matched: NDArray[np.uint64]
    score: NDArray[np.int32]
    outcome: NDArray[np.uint8]
    seen: NDArray[np.uint8]
    said: NDArray[np.uint8]
    found: NDArray[np.uint8]
    outside: NDArray[np.uint8]


_ROW_TYPES: dict[str, np.dtype] = {
    **COLUMNS,
    "slot": np.dtype(np.int64),
    "line": np.dtype(np.int64),
    "ordinal": np.dtype(np.int64),
    "generation": np.dtype(np.int64),
    "fresh": np.dtype(np.uint8),
    "code": np.dtype(np.uint8),
    "reason": np.dtype(np.uint16),
    "matched": np.dtype(np.uint64),
    "score": np.dtype(np.int32),
    "outcome": np.dtype(np.uint8),
    "seen": np.dtype(np.uint8),
    "said": np.dtype(np.uint8),
    "found": np.dtype(np.uint8),
}


def empty_rows(capacity: int, outside: int = 0) -> Rows:
    """Return a working set with room for `capacity` attempts (1 or more), and for so many outside rules."""
    columns = {name: np.zeros(capacity, dtype) for name, dtype in _ROW_TYPES.items()}
    return Rows(**columns, outside=np.zeros((max(outside, 1), capacity), np.uint8))


def link_id(link: str) -> int:
    """Return the id (uint32, never 0) of a link: a hash of its host, without scheme, "www." and path."""
    host = link.strip().lower().partition("://")[2] or link.strip().lower()
    host = host.partition("/")[0].removeprefix("www.")
    return int.from_bytes(blake2b(host.encode(), digest_size=4, person=b"link").digest(), "little") or 1
