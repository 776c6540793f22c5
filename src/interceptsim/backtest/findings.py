"""What a chain did with records, from the counts: by rule, by pair of rules, by day, by label, by threshold.

Intervals are 95 % and mean what other callers of the same kind would give: a delete-a-group jackknife over groups of
A-numbers, since attempts of one number are alike.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from interceptsim.attempts import CHANNELS, INTERCEPT, VERDICTS
from interceptsim.backtest.tally import FOLDS, SCORE_BINS, Tally
from interceptsim.results import Estimate, Replicates

__all__ = ["by_day", "by_label", "by_rule", "by_threshold", "cut_off", "fates", "together"]

_EPOCH = dt.date(1970, 1, 1)
_SCORES = ("text_score", "score")


def _matched(rules: Sequence[str], k: int) -> pl.Expr:
    assert rules[k]
    return (pl.col("matched") & pl.lit(1 << k, pl.UInt64)) != 0


def by_rule(counts: pl.DataFrame, rules: Sequence[str], numbers: pl.DataFrame) -> pl.DataFrame:
    """Return (rule, matched, alone, intercepted, labelled, share, least_share, most_share, days, numbers).

    Attempts that the rule matched, that it alone matched, that it was the reason to intercept and to label; the share
    of all attempts that it matched, and of the day with the least and the most; days on which it matched; A-numbers
    that it cut off.
    """
    total = int(counts["count"].sum())
    daily = by_day(counts, rules)
    rows = []
    for k, rule in enumerate(rules):
        hit = counts.filter(_matched(rules, k))
        own = counts.filter(pl.col("reason") == k + 1)
        matched = int(hit["count"].sum())
        shares = daily.filter(pl.col("rule") == rule)["share"]
        rows.append(
            {
                "rule": rule,
                "matched": matched,
                "alone": int(hit.filter(pl.col("matched") == 1 << k)["count"].sum()),
                "intercepted": int(own.filter(pl.col("verdict") == INTERCEPT)["count"].sum()),
                "labelled": int(own.filter(pl.col("verdict") == 1)["count"].sum()),
                "share": matched / total if total else 0.0,
                "least_share": float(shares.min() or 0.0),  # type: ignore[arg-type]
                "most_share": float(shares.max() or 0.0),  # type: ignore[arg-type]
                "days": int((shares > 0).sum()),
                "numbers": int((numbers["reason"] == k + 1).sum()),
            }
        )
    schema = {"rule": pl.String, "matched": pl.Int64, "alone": pl.Int64, "intercepted": pl.Int64, "labelled": pl.Int64}
    shares_of = {"share": pl.Float64, "least_share": pl.Float64, "most_share": pl.Float64}
    return pl.DataFrame(rows, schema={**schema, **shares_of, "days": pl.Int64, "numbers": pl.Int64})


def together(counts: pl.DataFrame, rules: Sequence[str]) -> pl.DataFrame:
    """Return (rule, other, count): attempts that both of two rules matched, each pair once, where there are any."""
    rows = []
    for i in range(len(rules)):
        hit = counts.filter(_matched(rules, i))
        for j in range(i + 1, len(rules)):
            both = int(hit.filter(_matched(rules, j))["count"].sum())
            if both:
                rows.append({"rule": rules[i], "other": rules[j], "count": both})
    return pl.DataFrame(rows, schema={"rule": pl.String, "other": pl.String, "count": pl.Int64})


def by_day(counts: pl.DataFrame, rules: Sequence[str]) -> pl.DataFrame:
    """Return (date, rule, matched, attempts, share): what each rule matched of the attempts of each local day."""
    days = counts.group_by("day").agg(attempts=pl.col("count").sum()).sort("day")
    frames = []
    for k, rule in enumerate(rules):
        hit = counts.filter(_matched(rules, k)).group_by("day").agg(matched=pl.col("count").sum())
        frames.append(days.join(hit, on="day", how="left").with_columns(pl.lit(rule).alias("rule")))
    schema = {"day": pl.Int64, "attempts": pl.Int64, "matched": pl.Int64, "rule": pl.String}
    whole = pl.concat([pl.DataFrame(schema=schema), *frames]).with_columns(pl.col("matched").fill_null(0))
    return whole.sort("day", maintain_order=True).select(
        pl.lit(_EPOCH).alias("date") + pl.duration(days="day"),
        "rule",
        "matched",
        "attempts",
        (pl.col("matched") / pl.col("attempts")).alias("share"),
    )


def cut_off(numbers: pl.DataFrame, rules: Sequence[str]) -> pl.DataFrame:
    """Return (rule, a_number, attempts, first_us, last_us, ordinary): whom each rule would cut off, most first.

    `attempts` are those intercepted for this rule, `ordinary` those of them that are labelled as no fraud.
    """
    named = numbers.with_columns(rule=pl.col("reason").replace_strict(_names(rules), return_dtype=pl.String))
    columns = ("rule", "a_number", "attempts", "first_us", "last_us", "ordinary")
    return named.sort(["reason", "attempts", "a_number"], descending=[False, True, False]).select(columns)


def _names(rules: Sequence[str]) -> dict[int, str]:
    return dict(enumerate(("", *rules)))


def by_label(counts: pl.DataFrame, rules: Sequence[str]) -> pl.DataFrame:
    """Return what was found of labelled attempts, a row for each way to find: verdicts, and single rules.

    Columns: found_by, true_positives, false_positives, false_negatives, true_negatives; precision, recall,
    false_positive_ratio, and of each `_low` and `_high`. "intercepted" counts attempts intercepted, "labelled" those
    intercepted or labelled; a rule's row counts what it matched.
    """
    known = counts.filter(pl.col("label") < 2)
    if known.is_empty():
        return pl.DataFrame()
    ways: list[tuple[str, pl.Expr]] = [
        ("intercepted", pl.col("verdict") == INTERCEPT),
        ("labelled", pl.col("verdict") > 0),
        *((rule, _matched(rules, k)) for k, rule in enumerate(rules)),
    ]
    if (known["other_verdict"] > 0).any():
        ways.insert(2, ("challenger", pl.col("other_verdict") == INTERCEPT))
    return pl.DataFrame([{"found_by": name, **_quality(*_confusion(known, test))} for name, test in ways])


def _confusion(known: pl.DataFrame, test: pl.Expr) -> tuple[NDArray[np.int64], ...]:
    """Return true and false positives, false and true negatives (int64) of each fold."""
    summed = known.group_by(test.alias("found"), "label", "fold").agg(pl.col("count").sum())
    table = np.zeros((2, 2, FOLDS), np.int64)
    for found, label, fold, count in summed.iter_rows():
        table[int(found), label, fold] = count
    return table[1, 1], table[1, 0], table[0, 1], table[0, 0]


def _quality(
    tp: NDArray[np.int64], fp: NDArray[np.int64], fn: NDArray[np.int64], tn: NDArray[np.int64]
) -> dict[str, float | int | None]:
    names = ("true_positives", "false_positives", "false_negatives", "true_negatives")
    row: dict[str, Any] = {name: int(c.sum()) for name, c in zip(names, (tp, fp, fn, tn), strict=True)}
    for name, part, whole in (
        ("precision", tp, tp + fp),
        ("recall", tp, tp + fn),
        ("false_positive_ratio", fp, fp + tn),
    ):
        share = share_of(part, whole)
        row[name] = None if share is None else share.value
        row[f"{name}_low"] = None if share is None else share.low
        row[f"{name}_high"] = None if share is None else share.high
    return row


def share_of(part: NDArray[np.int64], whole: NDArray[np.int64]) -> Estimate | None:
    """Return a share with its interval, from counts by fold (int64); None of nothing."""
    total = int(whole.sum())
    if total == 0:
        return None
    value = int(part.sum()) / total
    rest = whole.sum() - whole
    left = np.where(rest > 0, (part.sum() - part) / np.maximum(rest, 1), value)
    if np.ptp(left) > 0:
        found = Replicates(value, left).estimate(total, 1.0)
        return Estimate(value, found.low, min(found.high, 1.0))
    reach = min(3.0 / int((whole > 0).sum()), 1.0)  # the rule of three, over groups of numbers
    return Estimate(value, max(value - reach, 0.0), min(value + reach, 1.0))


def by_threshold(tally: Tally) -> tuple[pl.DataFrame, dict[str, Estimate]]:
    """Return what a threshold on each score would find among labelled attempts, and the areas under the curves.

    Frame (score, threshold, true_positives, false_positives, precision, recall, false_positive_ratio), thresholds by
    hundredths: attempts that score at or above it are found. Areas are those under ROC and precision-recall ("average
    precision"), by "SCORE roc" and "SCORE precision-recall", with intervals.
    """
    frames, areas = [], {}
    for name, held in zip(_SCORES, tally.scores, strict=True):
        whole = held.sum(axis=1)
        if not (whole[:, 1:].sum(axis=1) > 0).all() or (whole.sum(axis=0) > 0).sum() < 2:
            continue  # one label only, or one score for all: nothing to choose
        curve = _curve(whole)
        frames.append(curve.with_columns(score=pl.lit(name)))
        for kind, area in (("roc", _roc_area), ("precision-recall", _average_precision)):
            value = area(whole)
            left = np.array([area(whole - held[:, fold]) for fold in range(FOLDS)])
            found = Replicates(value, left).estimate(int((held.sum(axis=(0, 2)) > 0).sum()), 1.0)
            areas[f"{name} {kind}"] = Estimate(value, found.low, min(found.high, 1.0))
    columns = ("score", "threshold", "true_positives", "false_positives", "precision", "recall", "false_positive_ratio")
    return (pl.concat(frames).select(columns) if frames else pl.DataFrame()), areas


def _above(whole: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many of each label score at or above each bin's beginning (int64, labels x bins)."""
    return whole[:, ::-1].cumsum(axis=1)[:, ::-1]


def _curve(whole: NDArray[np.int64]) -> pl.DataFrame:
    fp, tp = _above(whole)
    ordinary, fraud = whole.sum(axis=1)
    found = tp + fp
    frame = pl.DataFrame(
        {
            "threshold": (np.arange(SCORE_BINS) - 1) / 100,
            "true_positives": tp,
            "false_positives": fp,
            "precision": np.where(found > 0, tp / np.maximum(found, 1), np.nan),
            "recall": tp / fraud,
            "false_positive_ratio": fp / ordinary,
        }
    )
    return frame[1:].with_columns(pl.col("precision").fill_nan(None))


def _roc_area(whole: NDArray[np.int64]) -> float:
    """Return the chance that an attempt of fraud scores above another, those of one bin counting half."""
    ordinary, fraud = whole.astype(np.float64)
    below = np.cumsum(ordinary) - ordinary / 2
    pairs = ordinary.sum() * fraud.sum()
    return float(fraud @ below / pairs) if pairs else 0.5


def _average_precision(whole: NDArray[np.int64]) -> float:
    """Return precision averaged over the fraud found, thresholds falling bin by bin."""
    fp, tp = _above(whole).astype(np.float64)
    total = whole[1].sum()
    return float(whole[1] @ (tp / np.maximum(tp + fp, 1)) / total) if total else 0.0


def fates(counts: pl.DataFrame) -> pl.DataFrame:
    """Return (verdict, challenger, channel, label, count): attempts by what each of two chains says of them."""
    names = pl.col("verdict", "other_verdict").replace_strict(dict(enumerate(VERDICTS)), return_dtype=pl.String)
    summed = counts.group_by("verdict", "other_verdict", "channel", "label").agg(pl.col("count").sum())
    told = {0: "ordinary", 1: "fraud", 2: ""}
    return summed.sort("verdict", "other_verdict", "channel", "label").select(
        names.name.replace("other_verdict", "challenger"),
        pl.col("channel").replace_strict(dict(enumerate(CHANNELS)), return_dtype=pl.String),
        pl.col("label").replace_strict(told, return_dtype=pl.String),
        "count",
    )
