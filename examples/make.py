"""Makes the record files of this folder: a day of a few lines of china-2025, in each format. Run it from here.

`calls.csv` is what an analyst might have: local times, numbers as dialled, names of its own. The others have the names
and types of `AttemptBatch`.
"""

from pathlib import Path

import polars as pl

import interceptsim as ics

HERE = Path(__file__).parent
OWN = ("line_id", "ordinal", "element", "verdict", "reason", "outcome", "hub", "campaign", "fraud_type", "weight")


def attempts() -> pl.DataFrame:
    """Return a day's attempts of some lines, fraud and ordinary, with a label."""
    scenario = ics.load("china-2025").replace({"period.end": "2025-01-01", "period.warm_up": "0d"})
    run = ics.run(scenario, scale=100_000, record="all")
    assert run.decisions is not None
    assert run.truth is not None
    whole = run.decisions.join(run.truth, on="line_id", how="left", maintain_order="left")
    fraud = pl.col("fraud_type") != "ordinary"
    few = pl.len().over("line_id") <= 80
    kept = whole.filter(few & (pl.col("line_id") % pl.when(fraud).then(3).otherwise(17) == 0))
    return kept.with_columns(label=fraud).drop(OWN)


def dialled(column: str) -> pl.Expr:
    """Return a column of digits as people write them: mobiles without +86, short codes as they are, the rest with +."""
    digits = pl.col(column).cast(pl.String)
    mobile = digits.str.contains(r"^861[3-9][0-9]{9}$")
    short = (digits.str.len_bytes() <= 8) | digits.str.starts_with("106")
    return pl.when(mobile).then(digits.str.slice(2)).when(short).then(digits).otherwise("+" + digits)


def as_analysts_have(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the attempts as a carrier's export might hold them."""
    local = pl.from_epoch("time_us", "us").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Shanghai")
    return frame.select(
        local.dt.to_string("%Y-%m-%d %H:%M:%S%.3f").alias("start"),
        pl.when(pl.col("channel") == 0).then(pl.lit("MOC")).otherwise(pl.lit("SMMO")).alias("type"),
        dialled("a_number").alias("caller"),
        dialled("b_number").alias("callee"),
        pl.col("entry").replace_strict([0, 1, 2, 3], ["IGW", "IC", "RAN", "A2P"], return_dtype=pl.String),
        pl.when(pl.col("roaming")).then(pl.lit("Y")).otherwise(pl.lit("N")).alias("roams"),
        (pl.col("text_score") / 1_000_000).round(3).alias("score"),
        pl.when(pl.col("label")).then(pl.lit("fraud")).otherwise(pl.lit("ok")).alias("checked"),
    )


if __name__ == "__main__":
    frame = attempts()
    frame.write_parquet(HERE / "attempts.parquet")
    frame.write_ipc(HERE / "attempts.arrow")
    frame.write_ndjson(HERE / "attempts.jsonl")
    as_analysts_have(frame).write_csv(HERE / "calls.csv")
