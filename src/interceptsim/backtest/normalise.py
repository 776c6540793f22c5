"""From columns as recorded to columns of attempts: rows that hold none are told apart, with the reason.

Takes a chunk of raw columns and a `Mapping`, gives a frame with those columns of `AttemptBatch` that the records have,
and what is wrong with the other rows. Columns that the records lack are filled in where a batch is made of a frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from interceptsim.attempts import COLUMNS, OPTIONAL_COLUMNS, SCORE_ONE, AttemptBatch
from interceptsim.backtest.mapping import CODED, Mapping
from interceptsim.backtest.numbers import numbers_of
from interceptsim.backtest.texts import first_links, link_ids, scores_of
from interceptsim.backtest.times import UNITS_US, counted_us, times_of
from interceptsim.errors import ConfigurationError, nearest_name

__all__ = ["Normaliser", "Wrong", "batch_of"]

_WHOLE = {"content": 2**32 - 1, "a_incoming": 2**32 - 1}
_MOST_SCORE = 2**31 - 1
_LONGEST_VALUE = 80


@dataclass(frozen=True)
class Wrong:
    """Rows that are no attempts: their places in the chunk (int64), why, and the values that are wrong."""

    rows: NDArray[np.int64]
    reasons: list[str]
    values: list[str]


class _Faults:
    """Collects what is wrong: the first fault of each row stands."""

    def __init__(self, n: int) -> None:
        self.code = np.zeros(n, np.uint16)
        self.told: list[tuple[str, str]] = [("", "")]

    def mark(self, wrong: NDArray[np.bool_], column: str, reason: str) -> None:
        """Note a fault of some rows; those that have one keep it. No rows at all stand for none."""
        if wrong.any():
            self.told.append((column, reason))
            self.code[wrong & (self.code == 0)] = len(self.told) - 1


class Normaliser:
    """Reads chunks of records of one layout.

    `names` are the columns that the records have; where they are `keys`, each record may lack any, and those that the
    mapping names are looked for though no record seen so far has them. `wanted` are those of them that are read;
    `absent` tells the columns of attempts that are filled in, and with what; `carried` are columns that go along as
    they are. Raise ConfigurationError where a needed column is missing.
    """

    def __init__(
        self, mapping: Mapping, names: Iterable[str], where: str, carried: tuple[str, ...] = (), *, keys: bool = False
    ) -> None:
        self.mapping = mapping
        self._carried = carried
        self._where = where
        there = set(names)
        given = mapping.columns.model_fields_set
        if keys:
            needed = () if there else (*mapping.columns.times, mapping.columns.a_number, mapping.columns.b_number)
            optional = given - {"time", "a_number", "b_number"}
            there |= {*needed, *(getattr(mapping.columns, field) for field in optional)}
        self._times = mapping.columns.times
        self._from: dict[str, str] = {}
        self._needed = {mapping.columns.a_number: "a_number", mapping.columns.b_number: "b_number"}
        self._needed |= dict.fromkeys(self._times, "time")
        for field in type(mapping.columns).model_fields:
            if field == "time":
                continue
            column = getattr(mapping.columns, field)
            if column in there:
                self._from[field] = column
            elif field in given:
                raise self._missing(field, column, there)
        for column in self._times:
            if column not in there:
                raise self._missing("time", column, there)
        for field in ("a_number", "b_number"):
            if field not in self._from:
                raise self._missing(field, getattr(mapping.columns, field), there)
        if mapping.text.lists and "text" not in self._from:
            raise self._missing("text", mapping.columns.text, there)
        self.wanted = tuple(dict.fromkeys([*self._times, *self._from.values(), *carried]))
        self.absent = {
            field: self._named_default(field)
            for field in ("channel", "entry", "b_carrier", "roaming")
            if field not in self._from
        }

    def _missing(self, field: str, column: str, there: set[str]) -> ConfigurationError:
        wanted = f"no column for '{field}'; the mapping's [columns] names it"
        near = nearest_name(column, there)
        return ConfigurationError(self._where, wanted, given=column, nearest=near)

    def check_may_lack(self, column: str, where: str, there: Iterable[str]) -> None:
        """Raise ConfigurationError where a file lacks a column that every record needs; others are null there."""
        if column in self._needed:
            raise ConfigurationError(
                where,
                f"no column for '{self._needed[column]}'; the mapping's [columns] names it",
                given=column,
                nearest=nearest_name(column, there),
            )

    def _named_default(self, field: str) -> str:
        code = self.mapping.default_of(field)
        names = self.mapping.names_of(field)
        return names[code] if code is not None and code < len(names) else str(code)

    def read(self, raw: pl.DataFrame) -> tuple[pl.DataFrame, Wrong]:
        """Return the attempts of a chunk, `row` being their places in it, and what is wrong with the other rows."""
        faults = _Faults(len(raw))
        columns: dict[str, Any] = {}
        self._read_times(raw, columns, faults)
        self._read_numbers(raw, columns, faults)
        for field in CODED:
            if field in self._from:
                self._read_coded(field, raw, columns, faults)
        self._read_counts(raw, columns, faults)
        self._read_texts(raw, columns, faults)
        if "id" in self._from:
            columns["id"] = _plain(raw[self._from["id"]], self._where).hash()
        columns |= {name: raw[name] for name in self._carried}
        columns["row"] = np.arange(len(raw), dtype=np.int64)
        whole = pl.DataFrame(columns)
        bad = np.flatnonzero(faults.code)
        if len(bad) == 0:
            return whole, Wrong(bad, [], [])
        told = [faults.told[code] for code in faults.code[bad].tolist()]
        values = [_written(raw, column, row) for row, (column, _) in zip(bad.tolist(), told, strict=True)]
        return whole.filter(pl.Series(faults.code == 0)), Wrong(bad, [reason for _, reason in told], values)

    def _read_times(self, raw: pl.DataFrame, columns: dict[str, Any], faults: _Faults) -> None:
        parts = [_plain(raw[name], self._where) for name in self._times]
        if len(parts) == 1:
            written = parts[0]
        else:
            written = pl.select(pl.concat_str([p.cast(pl.String) for p in parts], separator=" ")).to_series()
        times, wrong = times_of(written.alias(self._times[0]), self.mapping.time)
        if written.null_count():
            faults.mark(written.is_null().to_numpy(), self._times[0], "time: missing")
        how = self.mapping.time
        if wrong.any():
            none = times == np.iinfo(np.int64).min
            faults.mark(none, self._times[0], f"time: not a time of the form {how.format or 'iso'}")
            faults.mark(wrong, self._times[0], f"time: outside {how.earliest} to {how.latest}")
        columns["time_us"] = times

    def _read_numbers(self, raw: pl.DataFrame, columns: dict[str, Any], faults: _Faults) -> None:
        for field in ("a_number", "b_number"):
            name = self._from[field]
            written = _plain(raw[name], self._where)
            if written.dtype.is_float():
                written = written.cast(pl.Int64, strict=False)
            if not (written.dtype == pl.String or written.dtype.is_integer()):
                raise self._of_type(name, written, "text or integers")
            of_kind = field == "a_number" and ("a_kind" not in self._from or raw[self._from["a_kind"]].null_count() > 0)
            digits, kinds, wrong = numbers_of(written, self.mapping.numbers.form, kinds=of_kind)
            if written.null_count():
                faults.mark(written.is_null().to_numpy(), name, f"{field}: missing")
            faults.mark(wrong, name, f"{field}: not a telephone number")
            columns[field] = digits
            if of_kind:
                columns["a_kind"] = kinds

    def _read_coded(self, field: str, raw: pl.DataFrame, columns: dict[str, Any], faults: _Faults) -> None:
        name = self._from[field]
        written = _plain(raw[name], self._where)
        codes = self.mapping.codes_of(field)
        many = 256 if field == "b_carrier" else len(CODED[field])
        default = self.mapping.default_of(field)
        plain = field not in self.mapping.values and (written.dtype.is_integer() or written.dtype == pl.Boolean)
        if plain:
            filled = (written.fill_null(strategy="zero") if written.null_count() else written).to_numpy()
            unknown = np.zeros(0, np.bool_)
            if filled.dtype != np.bool_ and len(filled) and (filled.min() < 0 or filled.max() >= many):
                unknown = (filled < 0) | (filled >= many)
                filled = np.where(unknown, 0, filled)
            found = filled.astype(np.uint8, copy=False)
        else:
            spelt = written.cast(pl.String).str.strip_chars().str.to_lowercase()
            read = spelt.replace_strict(codes, default=None, return_dtype=pl.UInt8)
            unknown = (read.is_null() & spelt.is_not_null()).to_numpy()
            found = read.fill_null(0).to_numpy()
        missing = written.is_null().to_numpy() if written.null_count() else np.zeros(len(raw), np.bool_)
        if not plain:
            empty = (spelt == "").fill_null(value=False).to_numpy()
            missing, unknown = missing | empty, unknown & ~empty
        faults.mark(
            unknown, name, f"{field}: wanted {', '.join(self.mapping.values.get(field, CODED[field])) or 'a carrier'}"
        )
        if field == "label":
            columns["label"] = np.where(missing, np.int8(-1), found.astype(np.int8))
            return
        if field == "a_kind":
            columns["a_kind"] = np.where(missing, columns["a_kind"], found) if missing.any() else found
            return
        if missing.any():
            if default is None:
                faults.mark(missing, name, f"{field}: missing")
            found = np.where(missing, np.uint8(default or 0), found)
        columns[field] = found.astype(COLUMNS[field], copy=False)

    def _read_counts(self, raw: pl.DataFrame, columns: dict[str, Any], faults: _Faults) -> None:
        for field, most in _WHOLE.items():
            if field in self._from:
                written = _numeric(raw[self._from[field]], self._where)
                if written.dtype == pl.UInt32 and not written.null_count():
                    columns[field] = written
                    continue
                count = counted_us(written, 1.0)
                count = np.where(written.is_null().to_numpy(), 0, count)
                wrong = (count < 0) | (count > most) | _no_number(raw[self._from[field]], written)
                faults.mark(wrong, self._from[field], f"{field}: not a count")
                columns[field] = np.where(wrong, 0, count).astype(COLUMNS[field])
        if "duration" in self._from:
            name = self._from["duration"]
            unit = UNITS_US[self.mapping.duration_unit or "us"]
            written = _numeric(raw[name], self._where)
            lasted = np.where(written.is_null().to_numpy(), 0, counted_us(written, unit))
            wrong = (lasted < 0) | _no_number(raw[name], written)
            faults.mark(wrong, name, "duration: not a duration")
            columns["duration_us"] = np.where(wrong, 0, lasted)
        if "text_score" in self._from:
            name = self._from["text_score"]
            written = _numeric(raw[name], self._where)
            if written.dtype == pl.Int32 and not written.null_count() and self.mapping.text.score_unit != "one":
                columns["text_score"] = written
                return
            counted = self.mapping.text.score_unit or ("millionth" if written.dtype.is_integer() else "one")
            scale = 1.0 if counted == "millionth" else float(SCORE_ONE)
            score = np.where(written.is_null().to_numpy(), 0, counted_us(written, scale))
            wrong = (np.abs(score) > _MOST_SCORE) | (score == np.iinfo(np.int64).min) | _no_number(raw[name], written)
            faults.mark(wrong, name, "text_score: not a score")
            columns["text_score"] = np.where(wrong, 0, score).astype(np.int32)

    def _read_texts(self, raw: pl.DataFrame, columns: dict[str, Any], faults: _Faults) -> None:
        if "link" in self._from:
            name = self._from["link"]
            written = _plain(raw[name], self._where)
            if written.dtype == pl.UInt32 and not written.null_count():
                columns["link"] = written
            elif written.dtype.is_integer():
                ids = counted_us(written.fill_null(0), 1.0)
                wrong = (ids < 0) | (ids >= 2**32)
                faults.mark(wrong, name, "link: wanted a host, or its id")
                columns["link"] = np.where(wrong, 0, ids).astype(np.uint32)
            else:
                columns["link"] = link_ids(written.cast(pl.String))
        if "text" not in self._from:
            return
        text = _plain(raw[self._from["text"]], self._where).cast(pl.String)
        damaged = text.str.contains("\ufffd", literal=True).fill_null(value=False).to_numpy()
        faults.mark(damaged, self._from["text"], f"text: not {self.mapping.csv.encoding}")
        if self.mapping.text.lists and "text_score" not in self._from:
            columns["text_score"] = scores_of(text, self.mapping.text.lists)
        if self.mapping.text.links and "link" not in self._from:
            columns["link"] = link_ids(first_links(text))
        columns["text_key"] = text.hash()

    def _of_type(self, name: str, column: pl.Series, wanted: str) -> ConfigurationError:
        return ConfigurationError(f"{self._where}: column {name!r}", f"wanted {wanted}", given=str(column.dtype))


def _plain(column: pl.Series, where: str) -> pl.Series:
    """Return a column as text, numbers, truth values or times; raise ConfigurationError for one of anything else."""
    kind = column.dtype
    if kind == pl.Null or isinstance(kind, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if kind == pl.Binary:
        texts = (None if value is None else value.decode("utf-8", "replace") for value in column)
        return pl.Series(column.name, texts, dtype=pl.String)
    if kind.is_decimal():
        return column.cast(pl.Int64, strict=False)
    if kind.is_nested() or kind == pl.Object:
        raise ConfigurationError(f"{where}: column {column.name!r}", "wanted single values", given=str(kind)[:60])
    if kind in {pl.Int128, pl.UInt128}:
        return column.cast(pl.Int64, strict=False)
    return column


def _numeric(column: pl.Series, where: str) -> pl.Series:
    """Return a column as numbers, text being read as such; null where it is none."""
    plain = _plain(column, where)
    if plain.dtype == pl.String:
        return plain.str.strip_chars().cast(pl.Float64, strict=False)
    if plain.dtype.is_numeric():
        return plain
    return plain.cast(pl.Float64, strict=False)


def _no_number(raw: pl.Series, read: pl.Series) -> NDArray[np.bool_]:
    """Tell where something is written that is no number."""
    if read.null_count() == raw.null_count():
        return np.zeros(len(raw), np.bool_)
    empty = (raw.str.strip_chars() == "") if raw.dtype == pl.String else raw.is_null()
    return (read.is_null() & raw.is_not_null() & ~empty.fill_null(value=True)).to_numpy()


def _written(raw: pl.DataFrame, column: str, row: int) -> str:
    value = raw[column][row]
    text = value.hex() if isinstance(value, bytes) else "" if value is None else str(value)
    return text[:_LONGEST_VALUE]


def batch_of(frame: pl.DataFrame, mapping: Mapping) -> AttemptBatch:
    """Return a frame of attempts as a batch, with defaults in the columns that the records lack."""
    columns = {}
    for name, dtype in COLUMNS.items():
        if name in frame.columns:
            columns[name] = frame[name].to_numpy().astype(dtype, copy=False)
        elif name not in OPTIONAL_COLUMNS:
            default = mapping.default_of(name) if name in CODED else 0
            columns[name] = np.full(len(frame), default or 0, dtype)
    return AttemptBatch(**columns)
