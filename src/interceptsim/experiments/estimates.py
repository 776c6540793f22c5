"""Frames of estimates over the replications of a sweep, and of differences between its variants.

Runs are means over seeds, so sums are taken in the order of replications: the same runs give the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from interceptsim.experiments.intervals import Method, by
from interceptsim.results import t_quantile

__all__ = ["TABLE", "differences", "effects_of", "estimates_of"]

TABLE = ("point", "variant", "replication", "seed", "run", "error")
"""The columns of a sweep's table that are no axes."""


def estimates_of(table: pl.DataFrame, runs: pl.LazyFrame, method: Method) -> pl.DataFrame:
    """Return the frame `estimates` of the runs in a table."""
    axes = [name for name in table.columns if name not in TABLE]
    keys = ["point", *axes, "variant", "metric"]
    grouped = (
        runs.filter(pl.col("value").is_not_null())
        .select(*keys, "value", "low", "high")
        .group_by(keys, maintain_order=True)
        .agg("value", "low", "high")
        .collect()
    )
    alone = list(zip(grouped["low"], grouped["high"], strict=True))
    beside = pl.DataFrame(
        _intervals(grouped["value"].to_list(), method, alone), {"value": pl.Float64, **_ENDS}, orient="row"
    )
    return pl.concat([grouped.select(keys), beside], how="horizontal")


def effects_of(table: pl.DataFrame, runs: pl.LazyFrame, variants: Sequence[str], method: Method) -> pl.DataFrame:
    """Return the frame `effects` of the runs in a table; the first of the variants is the baseline."""
    axes = [name for name in table.columns if name not in TABLE]
    columns = ("point", "replication", "variant", "metric", "value")
    held = runs.filter(pl.col("value").is_not_null()).select(columns).collect()
    found = differences(held, variants, method)
    points = table.select("point", *axes).unique("point", keep="first", maintain_order=True)
    joined = found.join(points, on="point", maintain_order="left")
    order = {name: place for place, name in enumerate(variants)}
    rank = pl.col("variant").replace_strict(order, return_dtype=pl.Int64)
    return joined.sort("point", rank, maintain_order=True).select("point", *axes, *found.columns[1:])


def differences(held: pl.DataFrame, variants: Sequence[str], method: Method) -> pl.DataFrame:
    """Return how variants differ from the first of them, which is the baseline.

    `held` is a frame (point, replication, variant, metric, value). The frame returned is (point, baseline, variant,
    metric, difference, low, high, replications, method): the mean over replications of variant minus baseline, pair by
    pair, with its interval, null for one pair; metrics in the order in which they come. A metric that one of a pair
    lacks is of a rule that the other has not, and there it settled nothing: 0.
    """
    at = ["point", "replication"]
    order = pl.DataFrame({"metric": held["metric"].unique(maintain_order=True)}).with_row_index("_order")
    baseline = held.filter(variant=variants[0]).drop("variant")
    frames = [_DIFFERENCES]
    for variant in variants[1:]:
        after = held.filter(variant=variant).drop("variant")
        pairs = baseline.select(at).unique().join(after.select(at).unique(), on=at)
        metrics = pl.concat([baseline, after]).select("point", "metric").unique()
        cells = pairs.join(metrics, on="point").join(baseline, on=[*at, "metric"], how="left")
        both = cells.join(after, on=[*at, "metric"], how="left", suffix="_after")
        difference = pl.col("value_after").fill_null(0.0) - pl.col("value").fill_null(0.0)
        frames.append(
            both.with_columns(difference.alias("difference"))
            .join(order, on="metric")
            .sort("point", "_order", "replication")
            .group_by("point", "metric", maintain_order=True)
            .agg("difference")
            .select(
                "point", pl.lit(variants[0]).alias("baseline"), pl.lit(variant).alias("variant"), "metric", "difference"
            )
        )
    grouped = pl.concat(frames)
    ends = _intervals(grouped["difference"].to_list(), method, None)
    beside = pl.DataFrame(ends, {"difference": pl.Float64, **_ENDS}, orient="row")
    return pl.concat([grouped.drop("difference"), beside], how="horizontal")


_ENDS: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("low", "high"), pl.Float64),
    "replications": pl.Int64,
    "method": pl.String,
}
_DIFFERENCES = pl.DataFrame(
    schema={
        "point": pl.Int64,
        **dict.fromkeys(("baseline", "variant", "metric"), pl.String),
        "difference": pl.List(pl.Float64),
    }
)

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
