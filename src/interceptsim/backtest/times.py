"""Columns of times as records hold them, as UTC microseconds since 1970.

Takes Polars columns of integers, text or date-times and a mapping's `Time`; gives int64 and which rows hold no time.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
from numpy.typing import NDArray

from interceptsim.backtest.mapping import Time
from interceptsim.errors import ConfigurationError
from interceptsim.units import DAY_US

__all__ = ["UNITS_US", "bounds_us", "times_of"]

UNITS_US = {"min": 60e6, "s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
"""Microseconds of each unit in which times and durations are counted."""

_ISO = "%Y-%m-%dT%H:%M:%S%.f"
_ISO_SHORT = "%Y-%m-%dT%H:%M"
_OFFSET = r"(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})$"
_EPOCH = dt.date(1970, 1, 1)
_OUT = np.int64(-(2**63))


def bounds_us(how: Time) -> tuple[int, int]:
    """Return the first microsecond that is a time, and the first that is no more."""
    return tuple((day - _EPOCH).days * DAY_US for day in (how.earliest, how.latest))  # type: ignore[return-value]


def times_of(column: pl.Series, how: Time) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return times (int64, UTC microseconds) and which rows hold none within the bounds; nulls are among those.

    Raise ConfigurationError where the type of the column cannot be a time, or a pattern is none.
    """
    if isinstance(column.dtype, pl.Datetime) or column.dtype == pl.Date:
        times = _of_datetimes(column, how.zone)
    elif column.dtype == pl.String and how.format not in UNITS_US:
        times = _of_text(column, how)
    elif how.format is None or how.format in UNITS_US:
        times = counted_us(column, UNITS_US[how.format or "us"])
    else:
        raise ConfigurationError("time.format", f"column {column.name!r} holds {column.dtype}", given=how.format)
    first, end = bounds_us(how)
    return times, (times < first) | (times >= end)


def counted_us(column: pl.Series, unit_us: float) -> NDArray[np.int64]:
    """Return counts of a unit as microseconds (int64); the least int64 where there is none, or one beyond all years."""
    if column.dtype == pl.String:
        whole = column.str.to_integer(dtype=pl.Int64, strict=False)
        if whole.null_count() > column.null_count():
            parts = column.str.strip_chars().cast(pl.Float64, strict=False)
            return np.where(whole.is_null().to_numpy(), counted_us(parts, unit_us), counted_us(whole, unit_us))
        column = whole
    if column.dtype.is_integer():
        filled = column.fill_null(0).to_numpy()
        if unit_us == 1 and filled.dtype == np.int64:
            times = filled
        else:
            small = np.abs(filled.astype(np.float64)) < 2.0**61 / max(unit_us, 1.0)
            within = np.where(small, filled, 0).astype(np.int64)
            times = within * np.int64(unit_us) if unit_us >= 1 else within // np.int64(round(1 / unit_us))
            times = np.where(small, times, _OUT)
    else:
        exact = column.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy() * unit_us
        with np.errstate(invalid="ignore"):
            small = np.abs(exact) < 2.0**61
        times = np.where(small, np.rint(np.where(small, exact, 0)).astype(np.int64), _OUT)
    if column.null_count():
        times = np.where(column.is_null().to_numpy(), _OUT, times)
    return times


def _of_datetimes(column: pl.Series, zone: str) -> NDArray[np.int64]:
    moments = column.cast(pl.Datetime("us")) if column.dtype == pl.Date else column.dt.cast_time_unit("us")
    if getattr(moments.dtype, "time_zone", None) is None:
        moments = _in_zone(moments, zone)
    times = moments.to_physical()
    return times.fill_null(int(_OUT)).to_numpy()


def _in_zone(moments: pl.Series, zone: str) -> pl.Series:
    """Return local times as moments; an hour that a clock had twice is its first, one that it left out is none."""
    sane = moments.is_between(dt.datetime(1600, 1, 1), dt.datetime(3000, 1, 1))  # noqa: DTZ001  local times
    inside = pl.select(pl.when(sane).then(moments)).to_series()
    return inside.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")


def _of_text(column: pl.Series, how: Time) -> NDArray[np.int64]:
    if how.format not in {None, "iso"}:
        assert how.format is not None
        return _parsed(column, how.format, how.zone)
    text = column.str.strip_chars().str.replace(r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[ t]", "${1}T", literal=False)
    times = _parsed(text, _ISO, how.zone)
    for pattern, wanted in ((_ISO + "%:z", _OFFSET), (_ISO_SHORT, r"T[0-9]{2}:[0-9]{2}$")):
        left = times == _OUT
        if not left.any():
            break
        rest = text.filter(pl.Series(left) & text.str.contains(wanted).fill_null(value=False))
        if len(rest) == 0:
            continue
        spelt = rest.str.replace(r"[Zz]$", "+00:00").str.replace(r"([+-][0-9]{2})([0-9]{2})$", "${1}:${2}")
        where = left & text.str.contains(wanted).fill_null(value=False).to_numpy()
        times = times.copy()
        times[where] = _parsed(spelt, pattern, how.zone)
    return times


def _parsed(text: pl.Series, pattern: str, zone: str) -> NDArray[np.int64]:
    """Return what a pattern of strftime reads, the least int64 where it does not fit."""
    try:
        moments = text.str.to_datetime(pattern, time_unit="us", strict=False)
    except pl.exceptions.PolarsError as error:
        told = str(error).splitlines()[0]
        raise ConfigurationError("time.format", f"not a pattern of a time: {told}", given=pattern) from None
    return _of_datetimes(moments, zone)
