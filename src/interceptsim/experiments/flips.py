"""Attempts and people whose fate differs between a scenario and variants of it, over the same latent traffic.

Both are run again with one seed, recorded to temporary files, and set side by side by line and ordinal, span by span of
time, so that little memory is needed.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from interceptsim.errors import ConfigurationError
from interceptsim.scenario import Scenario
from interceptsim.simulation import recorded_bytes, run
from interceptsim.tables import told_within

__all__ = ["flips_of"]

_MAKE_TRAFFIC = ("period", "population", "hubs", "traffic")

_PERSON = ["person", "fraud_type", "province", "age_band"]
_ENDS = ["sees through it at once", "stops, warned", "comes to doubt"]

_Columns = dict[str, type[pl.DataType]]
_WINDOW_ROWS = 1_000_000

_ATTEMPT: _Columns = {"line_id": pl.UInt32, "ordinal": pl.UInt64}
_SHOWN: _Columns = {"time_us": pl.Int64, "channel": pl.UInt8, "a_number": pl.UInt64, "b_number": pl.UInt64}
_FATE: _Columns = {"verdict": pl.String, "reason": pl.String}


def flips_of(
    baseline: Scenario, variants: Mapping[str, Scenario], seed: int, options: Mapping[str, Any]
) -> pl.DataFrame:
    """Return the attempts whose fate differs under variants, as `Comparison.flips` tells; `options` are those of `run`.

    Raise ConfigurationError where a variant changes the traffic itself, or the records would not fit on the disk.
    """
    for name, variant in variants.items():
        for part in _MAKE_TRAFFIC:
            if getattr(variant, part) != getattr(baseline, part):
                raise ConfigurationError(
                    f"variant {name!r}: {part}",
                    "differs from the baseline's, and only attempts of the same traffic can be set side by side",
                )
    frames = []
    with _recorded(baseline, seed, options) as before:
        for name, variant in variants.items():
            with _recorded(variant, seed, options) as after:
                for during in _windows(before):
                    flipped = _flipped(before.filter(during), after.filter(during))
                    frames.append(flipped.select(pl.lit(name).alias("variant"), pl.all()).collect())
    return pl.concat(frames)


def people_flips_of(
    baseline: Scenario, variants: Mapping[str, Scenario], seed: int, options: Mapping[str, Any]
) -> pl.DataFrame:
    """Return the people whose story ends otherwise under variants, as `Comparison.people_flips` tells."""
    before = _ends(baseline, seed, options)
    frames = []
    for name, variant in variants.items():
        both = before.join(_ends(variant, seed, options), on=_PERSON, how="full", coalesce=True, suffix="_variant")
        differ = pl.col("end").ne_missing(pl.col("end_variant")) | pl.col("yuan").ne_missing(pl.col("yuan_variant"))
        shown: list[pl.Expr] = [
            *map(pl.col, _PERSON),
            pl.col("end").alias("baseline_end"),
            pl.col("end_variant").alias("variant_end"),
            pl.col("yuan").alias("baseline_yuan"),
            pl.col("yuan_variant").alias("variant_yuan"),
        ]
        frames.append(both.filter(differ).select(pl.lit(name).alias("variant"), *shown).sort("person"))
    return pl.concat(frames)


def _ends(scenario: Scenario, seed: int, options: Mapping[str, Any]) -> pl.DataFrame:
    """Run a scenario; return (person, fraud_type, province, age_band, end, yuan): how stories end, what is lost."""
    schema = {**dict.fromkeys(_PERSON, pl.String), "person": pl.UInt64, "end": pl.String, "yuan": pl.Float64}
    with tempfile.TemporaryDirectory(prefix="interceptsim-") as folder:
        with told_within("people_flips"):
            recorded_bytes(scenario, options["scale"], options["days"], "all", Path(folder))
        stories = run(scenario, seed=seed, record="all", record_folder=Path(folder), **options).stories
    if stories is None:
        return pl.DataFrame(schema=schema)
    event, yuan = pl.col("event"), pl.col("fen") / 100
    paid = yuan.filter(event == "transfers").sum()
    end = pl.when(event.is_in(_ENDS).any()).then(event.filter(event.is_in(_ENDS)).last())
    return stories.group_by(_PERSON, maintain_order=True).agg(
        end=end.when(paid > 0).then(pl.lit("pays")).otherwise(pl.lit("is engaged still")),
        yuan=paid - yuan.filter(event == "is given back").sum(),
    )


@contextlib.contextmanager
def _recorded(scenario: Scenario, seed: int, options: Mapping[str, Any]) -> Iterator[pl.LazyFrame]:
    """Run a scenario; give its attempts, which lie on the disk as long as they are needed."""
    with tempfile.TemporaryDirectory(prefix="interceptsim-") as folder:
        with told_within("flips"):
            recorded_bytes(scenario, options["scale"], options["days"], "all", Path(folder))
        run(scenario, seed=seed, record="all", record_folder=Path(folder), **options)
        decisions = Path(folder, "decisions.parquet")
        if decisions.exists():
            yield pl.scan_parquet(decisions).select(*_ATTEMPT, *_SHOWN, *_FATE)
        else:  # not one attempt was made
            yield pl.LazyFrame(schema=_ATTEMPT | _SHOWN | _FATE)


def _windows(attempts: pl.LazyFrame) -> Iterator[pl.Expr]:
    """Yield spans of time, from the first to the last, that hold about a million of the attempts each.

    An attempt has the same time under every variant, so frames can be joined span by span, in little memory.
    """
    time_us = pl.col("time_us")
    n, first, last = attempts.select(pl.len(), time_us.min(), time_us.max().alias("last")).collect().row(0)
    parts = n // _WINDOW_ROWS + 1
    inner = (first + (last - first) * k // parts for k in range(1, parts))
    for low, high in itertools.pairwise((-(2**63), *inner, 2**63 - 1)):
        yield time_us.is_between(low, high, closed="left")


def _flipped(baseline: pl.LazyFrame, variant: pl.LazyFrame) -> pl.LazyFrame:
    """Return the attempts, by line and ordinal, whose verdict differs or that were made in one frame only."""
    before, after = pl.col("verdict"), pl.col("verdict_variant")
    change = (
        pl.when(after.is_null())
        .then(pl.lit("made under baseline only"))
        .when(before.is_null())
        .then(pl.lit("made under variant only"))
        .otherwise(pl.lit("verdict"))
    )
    return (
        baseline.join(variant, on=list(_ATTEMPT), how="full", coalesce=True, suffix="_variant")
        .filter(before.ne_missing(after))
        .select(
            *_ATTEMPT,
            *(pl.coalesce(name, f"{name}_variant") for name in _SHOWN),
            *(pl.col(name).alias(f"baseline_{name}") for name in _FATE),
            *(pl.col(f"{name}_variant").alias(f"variant_{name}") for name in _FATE),
            change.alias("change"),
        )
        .sort("time_us", *_ATTEMPT)
    )
