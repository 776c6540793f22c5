"""A first run: load a scenario, run it small, look at what it found, change one value, run again."""

import marimo

__generated_with = "0.25.2"
app = marimo.App()


@app.cell
def _():
    import polars as pl

    import interceptsim as ics

    return ics, pl


@app.cell
def _(ics):
    scenario = ics.load("china-2025")
    run = ics.run(scenario, seed=1, scale=10_000)
    run
    return run, scenario


@app.cell
def _(run):
    run.plot.targets()
    return


@app.cell
def _(run):
    run.plot.funnel("voice")
    return


@app.cell
def _(run):
    run.plot.daily("sms")
    return


@app.cell
def _(run):
    run.plot.ordinary()
    return


@app.cell
def _(pl, run):
    monthly = run.daily.group_by(pl.col("date").dt.month().alias("month"), "channel", "outcome").agg(
        pl.col("count").sum()
    )
    monthly.sort("channel", "month", "outcome")
    return


@app.cell
def _(ics, run, scenario):
    slower = ics.run(scenario.replace({"policies.reject-listed-numbers.delay": "2d"}), seed=1, scale=10_000)
    before, after = (r.estimate("voice.interception ratio").value for r in (run, slower))
    assert after < before
    f"a list that is two days late lets the interception ratio fall from {before:.3f} to {after:.3f}"
    return


if __name__ == "__main__":
    app.run()
