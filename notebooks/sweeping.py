"""A sweep and its sensitivity: a grid of two assumptions, a heat map of what hangs on them, which of them matters."""

import marimo

__generated_with = "0.25.2"
app = marimo.App()


@app.cell
def _():
    import tempfile

    import interceptsim as ics

    store = tempfile.TemporaryDirectory()  # leave it out, and runs are kept for the next time
    return ics, store


@app.cell
def _(ics, store):
    minimal = ics.load("minimal")
    axes = {
        "police.voice_complaint_ratio": [0.02, 0.05, 0.1],
        "policies.reject-listed-numbers.delay": ["1h", "6h", "1d", "3d"],
    }
    metrics = ["voice.interception ratio", "voice.delivered"]
    options = {"scale": 5000, "store": store.name, "workers": 2}
    swept = ics.sweep(minimal, axes, metrics=metrics, replications=2, **options)
    assert swept.finished == 24
    swept
    return metrics, minimal, options, swept


@app.cell
def _(swept):
    swept.plot.metric("voice.interception ratio")
    return


@app.cell
def _(metrics, minimal, options):
    import interceptsim

    spans = {
        "axes": {
            "police.voice_complaint_ratio": {"low": 0.02, "high": 0.2, "spacing": "log"},
            "policies.reject-listed-numbers.delay": {"low": "1h", "high": "2d", "spacing": "log"},
            "policies.score-text.threshold": {"low": 0.5, "high": 0.7},
        }
    }
    hanging = interceptsim.sensitivity(minimal, spans, metrics=metrics, replications=2, **options)
    hanging.indices
    return


if __name__ == "__main__":
    app.run()
