"""Comparing policies: variants beside a scenario over the same latent traffic, intervals, pairs, single attempts."""

import marimo

__generated_with = "0.25.2"
app = marimo.App()


@app.cell
def _():
    import interceptsim as ics

    return (ics,)


@app.cell
def _(ics):
    minimal = ics.load("minimal")
    variants = {
        "list in 1 h": {"policies.reject-listed-numbers.delay": "1h"},
        "late list": {"policies.reject-listed-numbers.delay": "2d"},
    }
    compared = ics.compare(minimal, variants, replications=6, scale=2000)
    compared
    return (compared,)


@app.cell
def _(compared):
    compared.plot.differences("late list")
    return


@app.cell
def _(compared):
    compared.plot.pairs("voice")
    return


@app.cell
def _(compared):
    [late] = compared.effects.filter(variant="late list", metric="voice.delivered").to_dicts()
    assert late["low"] > 0
    compared.needed({"voice.delivered": 1e5})  # how many pairs a narrower interval takes
    return


@app.cell
def _(compared):
    compared.flips.group_by("variant", "channel", "change").len().sort("variant", "channel", "change")
    return


if __name__ == "__main__":
    app.run()
