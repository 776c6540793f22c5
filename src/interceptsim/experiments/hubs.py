"""Fraud by hub and month: how many attempts a run makes from each hub in each month, and how many reach somebody.

Taken from a run's daily frame and told as metrics, so that variants are compared in them pair by pair.
"""

from __future__ import annotations

import polars as pl

__all__ = ["by_hub", "hub_months"]

_REACHED = {"voice": ("failed", "unanswered", "answered", "open"), "sms": ("delivered",)}
_METRIC = r"^hub (?<hub>\S+) (?<month>\d{4}-\d{2})\.(?<measure>made|delivered)$"


def by_hub(daily: pl.DataFrame) -> list[tuple[str, float]]:
    """Return (metric, value) for "hub HUB YYYY-MM.made" and ".delivered": attempts of the full-size world.

    `daily` is a run's daily frame; a hub has a value for every month in which it has latent attempts.
    """
    reached = pl.lit(value=False)
    for channel, outcomes in _REACHED.items():
        reached |= (pl.col("channel") == channel) & pl.col("outcome").is_in(outcomes)
    found = (
        daily.filter(pl.col("hub") != "")
        .group_by("hub", pl.col("date").dt.strftime("%Y-%m").alias("month"), "line_group", "weight")
        .agg(
            made=pl.col("count").filter(pl.col("outcome") != "not made").sum(),
            delivered=pl.col("count").filter(reached).sum(),
        )
        .sort("hub", "month", "line_group")
    )
    totals: dict[str, float] = {}
    for hub, month, _, weight, made, delivered in found.iter_rows():
        for measure, count in (("made", made), ("delivered", delivered)):
            name = f"hub {hub} {month}.{measure}"
            totals[name] = totals.get(name, 0.0) + count * weight
    return list(totals.items())


def hub_months(effects: pl.DataFrame) -> pl.DataFrame:
    """Return those effects that are by hub and month: with `hub`, `month` and `measure` in place of `metric`."""
    parts = effects.with_columns(pl.col("metric").str.extract_groups(_METRIC).alias("parts")).unnest("parts")
    return parts.filter(pl.col("hub").is_not_null()).drop("metric")
