"""Levers: choose a scenario, move what is assumed or decided, run it small beside itself, take the change along.

`marimo run notebooks/explore.py` serves this as a page on loopback.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="interceptsim: levers")


@app.cell
def _():
    import altair as alt
    import marimo as mo

    import interceptsim as ics
    from interceptsim.report.charts_studies import differences
    from interceptsim.scenario_files import toml_of
    from interceptsim.tables import value_at

    def drawn(figure):
        """Return a figure's chart, as wide as the page is."""
        chart = alt.Chart.from_dict(figure.spec())
        chart.usermeta = {"embedOptions": {"renderer": "svg", "actions": False}}
        return chart

    return differences, drawn, ics, mo, toml_of, value_at


@app.cell
def _(mo):
    mo.md("""
    # What if?

    Choose a scenario, move levers, run. The scenario as it stands and the changed one meet the same latent traffic, three
    times over, so that what differs is the levers' doing.
    """)
    return


@app.cell
def _(mo):
    chosen = mo.ui.dropdown(["minimal", "china-2025", "china-2023"], value="minimal", label="scenario")
    chosen
    return (chosen,)


@app.cell
def _(chosen, ics, value_at):
    # what can be moved: its label, its path, and what it can be moved to
    offered = (
        ("list is out after", "policies.reject-listed-numbers.delay", ("1h", "2h", "6h", "12h", "1d", "2d", "3d")),
        (
            "share of subscribers behind the list",
            "policies.reject-listed-numbers.adoption_ratio",
            (0.0, 0.5, 0.85, 1.0),
        ),
        ("police know a number after", "police.delay.median", ("2h", "6h", "16h", "1d", "2d", "5d")),
        ("share of calls complained of", "police.voice_complaint_ratio", (0.01, 0.03, 0.05, 0.12, 0.3)),
        ("calls a day before a number is cut off", "policies.limit-calls.per_day.critical", (60, 100, 200, 350, 1000)),
        ("text scores intercepted from", "policies.score-text.threshold", (0.5, 0.55, 0.6, 0.65, 0.7, 0.8)),
        ("12381 warns by message", "policies.warn-12381.enabled", (True, False)),
        ("share who heed 12381", "policies.warn-12381.heed_ratio", (0.05, 0.15, 0.25, 0.4, 0.6)),
        ("staff who call, 96110", "policies.call-96110.agents", (500, 2000, 5000, 10_000, 20_000, 40_000)),
        ("teams who visit", "policies.visit-in-person.teams", (1000, 2000, 4000, 8000, 16_000)),
    )
    scenario = ics.load(chosen.value)
    tables = scenario.as_dict()
    there = {path: (label, values) for label, path, values in offered if value_at(tables, path) is not None}
    return scenario, there


@app.cell
def _(mo, there):
    levers = mo.ui.dictionary(
        {
            path: mo.ui.dropdown(
                {"as it stands": None, **{str(value): value for value in values}}, "as it stands", label=label
            )
            for path, (label, values) in there.items()
        }
    )
    go = mo.ui.run_button(label="Run")
    mo.vstack([*levers.values(), go])
    return go, levers


@app.cell
def _(levers):
    changes = {path: value for path, value in levers.value.items() if value is not None}
    return (changes,)


@app.cell
def _(changes, go, ics, mo, scenario):
    moved = changes
    if mo.app_meta().mode == "script":  # there nobody moves levers
        moved = {"policies.reject-listed-numbers.delay": "2d"}
    else:
        mo.stop(not go.value, mo.md("*Nothing has been run yet.*"))
        mo.stop(not moved, mo.md("*No lever was moved.*"))
    days = min(scenario.period.days, 14)
    scale = 2000 if scenario.population.subscribers < 10**9 else 20_000
    with mo.status.progress_bar(total=100, title="three pairs of runs", remove_on_exit=True) as bar:
        done = [0]

        def progress(now, total, _attempts):
            bar.update(increment=max(100 * now // total - done[0], 0))
            done[0] = max(100 * now // total, done[0])

        compared = ics.compare(scenario, {"levers": moved}, replications=3, scale=scale, days=days, progress=progress)
    return compared, moved


@app.cell
def _(compared, differences, drawn, mo):
    told = [differences(compared, "levers", channel) for channel in ("voice", "sms", "harm")]
    mo.vstack([part for figure in told if figure for part in (mo.md(f"### {figure.finding}"), drawn(figure))], gap=1.5)
    return (told,)


@app.cell
def _(mo, told):
    def table(figure):
        """Return the numbers behind a figure as a table of Markdown."""
        lines = [figure.head, ("---",) * len(figure.head), *figure.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    mo.accordion({"The numbers": mo.md("\n\n".join(table(figure) for figure in told if figure))})
    return


@app.cell
def _(chosen, mo, moved, toml_of):
    text = toml_of(chosen.value, moved, name="levers")
    mo.vstack(
        [
            mo.md(f"Take it along: `interceptsim run levers.toml` runs it at any scale.\n\n```toml\n{text}\n```"),
            mo.download(text.encode(), "levers.toml", label="levers.toml"),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
