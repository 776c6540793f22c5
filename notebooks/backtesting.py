"""Backtesting records: attempts that were recorded, replayed through the chain that decided them and through another."""

import marimo

__generated_with = "0.25.2"
app = marimo.App()


@app.cell
def _():
    import tempfile

    import interceptsim as ics

    kept = tempfile.TemporaryDirectory()
    return ics, kept


@app.cell
def _(ics, kept):
    minimal = ics.load("minimal")
    run = ics.run(minimal, scale=5000, record="all")
    records = run.save(f"{kept.name}/records")  # records of your own come as files with a mapping: see docs/backtest.md
    return minimal, records, run


@app.cell
def _(ics, records, run):
    replayed = ics.replay(records)  # with the run's own chain and listings: so every verdict is the run's
    assert replayed.rules["intercepted"].sum() == run.metrics["voice.intercepted"] + run.metrics["sms.intercepted"]
    replayed.rules
    return


@app.cell
def _(minimal):
    def milder(policy):
        """Return a policy, text scores let through that the scenario would intercept."""
        return policy.model_copy(update={"threshold": 0.9}) if policy.kind == "score-text" else policy

    challenger = [milder(policy) for policy in minimal.policies]
    return (challenger,)


@app.cell
def _(challenger, ics, records):
    beside = ics.replay(records, challenger=challenger)
    beside.fates
    return


if __name__ == "__main__":
    app.run()
