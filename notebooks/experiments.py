"""Experiments in a notebook: a comparison, a policy of one's own at several points, and its table."""

import marimo

__generated_with = "0.25.2"
app = marimo.App()


@app.cell
def _():
    import tempfile

    import interceptsim as ics

    return ics, tempfile


@app.cell
def _(ics):
    minimal = ics.load("minimal")
    late = {"late list": {"policies.reject-listed-numbers.delay": "2d"}}
    compared = ics.compare(minimal, late, replications=6, scale=2000)
    compared.effects.filter(metric="voice.delivered")
    return compared, minimal


@app.cell
def _(compared):
    [row] = compared.effects.filter(metric="voice.delivered").to_dicts()
    assert row["low"] > 0
    compared.needed({"voice.delivered": 1e5})
    return


@app.cell
def _():
    def at_night(batch):
        hour = (batch.time_us // 3_600_000_000 + 8) % 24
        return (batch.channel == 0) & (hour < 10)

    return (at_night,)


@app.cell
def _(at_night, ics, minimal, tempfile):
    with tempfile.TemporaryDirectory() as store:  # leave it out, and runs are kept for the next time
        variants = {"none before ten": minimal.with_policies([*minimal.policies, at_night])}
        axes = {"police.voice_complaint_ratio": [0.02, 0.05, 0.1]}
        swept = ics.sweep(minimal, axes, variants=variants, replications=4, scale=2000, store=store, workers=2)
        effects = swept.effects.filter(metric="voice.delivered")
    assert effects.height == 3
    assert effects["high"].max() < 0
    effects
    return


if __name__ == "__main__":
    app.run()
