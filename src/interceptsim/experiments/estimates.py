"""Frames of estimates over the replications of a sweep, and of differences between its variants.

Runs are means over seeds, so sums are taken in the order of replications: the same runs give the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from interceptsim.experiments.intervals import Method, by
from interceptsim.results import t_quantile

__all__ = ["TABLE", "effects_of", "estimates_of"]

TABLE = ("point", "variant", "replication", "seed", "run", "error")
"""The columns of a sweep's table that are no axes."""


def estimates_of(table: pl.DataFrame, runs: pl.LazyFrame, method: Method) -> pl.DataFrame:
    """Return the frame `estimates` of the runs in a table."""
    axes = [name for name in table.columns if name not in TABLE]
    keys = ["point", "variant", "metric"]
    grouped = (
        runs.filter(pl.col("value").is_not_null())
        .group_by(keys, maintain_order=True)
        .agg(pl.col("value", "low", "high").sort_by("replication"))
        .collect()
    )
    ends = _intervals(grouped["value"].to_list(), method, list(zip(grouped["low"], grouped["high"], strict=True)))
    return _placed(grouped.select(keys), ends, table, axes, "value", ["variant", "metric"])


def effects_of(table: pl.DataFrame, runs: pl.LazyFrame, variants: Sequence[str], method: Method) -> pl.DataFrame:
    """Return the frame `effects` of the runs in a table; the first of the variants is the baseline."""
    axes = [name for name in table.columns if name not in TABLE]
    held = (
        runs.filter(pl.col("value").is_not_null())
        .select("point", "replication", "variant", "metric", "value")
        .collect()
    )
    baseline = held.filter(variant=variants[0]).drop("variant")
    whole = held.select("point", "replication", "variant").unique()
    of_baseline = whole.filter(variant=variants[0]).drop("variant")
    frames = []
    for variant in variants[1:]:
        pairs = of_baseline.join(whole.filter(variant=variant), on=["point", "replication"])
        after = held.filter(variant=variant).drop("variant")
        both = baseline.join(after, on=["point", "replication", "metric"], how="full", coalesce=True, suffix="_after")
        difference = pl.col("value_after").fill_null(0.0) - pl.col("value").fill_null(0.0)
        frames.append(
            both.join(pairs.drop("variant"), on=["point", "replication"])
            .select("point", "replication", "metric", pl.lit(variant).alias("variant"), difference.alias("difference"))
            .sort("point", "metric", "replication")
            .group_by("point", "variant", "metric", maintain_order=True)
            .agg("difference")
        )
    schema: dict[str, Any] = {
        "point": pl.Int64,
        "variant": pl.String,
        "metric": pl.String,
        "difference": pl.List(pl.Float64),
    }
    grouped = pl.concat(frames) if frames else pl.DataFrame(schema=schema)
    ends = _intervals(grouped["difference"].to_list(), method, None)
    keys = grouped.select("point", "variant", "metric", pl.lit(variants[0]).alias("baseline"))
    return _placed(keys, ends, table, axes, "difference", ["baseline", "variant", "metric"])


_Ends = tuple[float, float | None, float | None, int, str]


def _intervals(
    values: Sequence[list[float]], method: Method, alone: Sequence[tuple[list[float], list[float]]] | None
) -> list[_Ends]:
    """Return mean, low, high, replications and method of each list of values; `alone` has the ends of single runs."""
    found: list[_Ends | None] = [None] * len(values)
    lengths: dict[int, list[int]] = {}
    for place, each in enumerate(values):
        lengths.setdefault(len(each), []).append(place)
    for n, places in lengths.items():
        if n == 1:
            for place in places:
                low, high = (ends[0] for ends in alone[place]) if alone is not None else (None, None)
                told = "one pair, no interval" if alone is None else "jackknife of one run"
                found[place] = (values[place][0], low, high, 1, told)
        elif method == "t":
            matrix = np.array([values[place] for place in places])
            mean = matrix.mean(axis=1)
            reach = t_quantile(0.975, n - 1) * matrix.std(axis=1, ddof=1) / math.sqrt(n)
            told = "t" if alone is not None else "paired t"
            for place, m, r in zip(places, mean.tolist(), reach.tolist(), strict=True):
                found[place] = (m, m - r, m + r, n, told)
        else:
            told = "bootstrap" if alone is not None else "paired bootstrap"
            for place in places:
                end = by(method, values[place])
                found[place] = (end.value, end.low, end.high, n, told)
    return [ends for ends in found if ends is not None]


def _placed(
    keys: pl.DataFrame, ends: Sequence[_Ends], table: pl.DataFrame, axes: list[str], value: str, named: list[str]
) -> pl.DataFrame:
    """Set intervals beside their keys and the axes of their points, in the order of points, variants and metrics."""
    schema: dict[str, type[pl.DataType]] = {
        value: pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "replications": pl.Int64,
        "method": pl.String,
    }
    beside = pl.DataFrame(ends, schema, orient="row")
    points = table.select("point", *axes).unique("point", keep="first", maintain_order=True)
    joined = pl.concat([keys, beside], how="horizontal").join(points, on="point", maintain_order="left")
    order = {name: place for place, name in enumerate(table["variant"].unique(maintain_order=True))}
    rank = pl.col("variant").replace_strict(order, return_dtype=pl.Int64)
    return joined.sort("point", rank, maintain_order=True).select("point", *axes, *named, *schema)
