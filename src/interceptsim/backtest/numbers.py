"""Columns of numbers as records hold them, read as `numbering.parse_number` reads one.

Takes a Polars column of text or integers, gives digits (uint64), kinds (uint8; none where they are not wanted), and
which rows hold no number.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from interceptsim.numbering import INTERNATIONAL, NATIONAL, SHORT_CODE, kinds_of_digits

__all__ = ["numbers_of"]

Read = tuple[NDArray[np.uint64], NDArray[np.uint8], NDArray[np.bool_]]

_LEAST_COUNT, _MOST_COUNT = 100, 10**15 - 1  # numbers of 3 to 15 digits
_LEAST, _MOST = np.uint64(_LEAST_COUNT), np.uint64(_MOST_COUNT)
_POWERS = np.array([10**k for k in range(20)], np.uint64)


def numbers_of(column: pl.Series, form: Literal["dialled", "digits"] | None, *, kinds: bool = True) -> Read:
    """Return digits, kinds if they are wanted, and which rows hold no number; nulls are among those."""
    if form == "dialled" or (form is None and column.dtype == pl.String):
        return _as_dialled(column.cast(pl.String))
    digits, wrong = _as_digits(column) if column.dtype == pl.String else _of_integers(column)
    return digits, kinds_of_digits(digits) if kinds else np.zeros(0, np.uint8), wrong


def _of_integers(column: pl.Series) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Read integers as the digits of E.164 numbers and short codes."""
    digits = (column.fill_null(0) if column.null_count() else column).to_numpy()
    wrong = (digits < _LEAST_COUNT) | (digits > min(_MOST_COUNT, np.iinfo(digits.dtype).max))
    return digits.astype(np.uint64, copy=False), wrong


def _cleaned(column: pl.Series) -> pl.Series:
    """Return text without the blanks, hyphens, dots and brackets that people write into numbers."""
    if not column.str.contains(r"[^+0-9]").any():
        return column
    return column.str.strip_chars().str.replace_all(r"[ \-().]", "")


def _parts(column: pl.Series) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.bool_], pl.DataFrame]:
    """Return value, count of digits, whether there is no value, and what the text begins with."""
    text = _cleaned(column)
    value = text.str.to_integer(dtype=pl.UInt64, strict=False)
    begins = pl.DataFrame({"text": text.fill_null("")}).select(
        plus=pl.col("text").str.starts_with("+"),
        zero=pl.col("text").str.contains(r"^\+?0"),
        zeros=pl.col("text").str.starts_with("00"),
        more=pl.col("text").str.starts_with("000"),
        length=pl.col("text").str.len_bytes().cast(pl.Int64),
    )
    count = begins["length"].to_numpy() - begins["plus"].to_numpy()
    return value.fill_null(0).to_numpy(), count, value.is_null().to_numpy(), begins


def _as_digits(column: pl.Series) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Read text as bare digits; a "+" is passed over."""
    digits, _, none, begins = _parts(column)
    wrong = none | begins["zero"].to_numpy() | (digits < _LEAST) | (digits > _MOST)
    return digits, wrong


def _as_dialled(column: pl.Series) -> Read:
    """Read text as people write numbers: the twin of `parse_number`, a column at a time."""
    value, count, none, begins = _parts(column)
    plus, zero, zeros, more = (begins[name].to_numpy() for name in ("plus", "zero", "zeros", "more"))
    abroad = plus | zeros
    length = np.clip(count - 2 * (zeros & ~plus), 0, 19)
    e164 = abroad & (length >= 7) & (length <= 15) & ~np.where(plus, zero, more) & (count <= 40)
    china = value // _POWERS[np.maximum(length - 2, 0)] == 86
    mobile = ~abroad & (count == 11) & (value >= 13 * 10**9) & (value < 20 * 10**9) & ~zero
    landline = ~abroad & zero & (count >= 10) & (count <= 12)
    sender = ~abroad & ~zero & (count <= 15) & (count >= 3) & (value // _POWERS[np.clip(count - 3, 0, 16)] == 106)
    short = ~abroad & ~zero & (count >= 3) & (count <= 8)
    digits = np.where(mobile, value + np.uint64(86 * 10**11), value)
    digits = np.where(landline, value + np.uint64(86) * _POWERS[np.clip(count - 1, 0, 11)], digits)
    kinds = np.where(e164, np.where(china, NATIONAL, INTERNATIONAL), SHORT_CODE)
    kinds = np.where(mobile | landline, NATIONAL, kinds).astype(np.uint8)
    return digits, kinds, none | ~(e164 | mobile | landline | sender | short)
