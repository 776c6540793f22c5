"""Listings: which numbers were on a fed list from when on, as a frame, a Parquet or a CSV file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from interceptsim.errors import ConfigurationError, nearest_name
from interceptsim.filtering.plan import FilterCore
from interceptsim.filtering.stream import LISTING_COLUMNS, fed_words

__all__ = ["as_listings"]


def as_listings(given: pl.DataFrame | str | Path, chains: Iterable[FilterCore | None]) -> pl.DataFrame:
    """Return listings (policy, a_number, from_us) of fed lists of some chain.

    `a_number` are digits (uint64), `from_us` UTC microseconds. Raise ConfigurationError where a column is missing or a
    listing is of a rule that no chain feeds.
    """
    where = "listings" if isinstance(given, pl.DataFrame) else str(given)
    try:
        if isinstance(given, pl.DataFrame):
            frame = given
        else:
            frame = pl.read_csv(given) if str(given).lower().endswith(".csv") else pl.read_parquet(given)
        found = frame.select(pl.col(name).cast(kind) for name, kind in LISTING_COLUMNS.items())
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        wanted = f"wanted columns {', '.join(LISTING_COLUMNS)}: {str(error).splitlines()[0][:200]}"
        raise ConfigurationError(where, wanted) from None
    if found.null_count().sum_horizontal().item():
        raise ConfigurationError(where, "holds listings without a policy, a number or a time")
    fed = {rule for core in chains if core is not None for rule in fed_words(core)}
    for policy in found["policy"].unique().sort():
        if policy not in fed:
            wanted = "wanted the id of a reject-listed-numbers policy with a feed"
            raise ConfigurationError(where, wanted, given=policy, nearest=nearest_name(policy, fed))
    return found
