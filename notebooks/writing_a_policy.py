"""Writing a policy: a function of a batch, checked, run beside the scenario's own, and over attempts of one's own."""

import marimo

__generated_with = "0.25.2"
app = marimo.App()


@app.cell
def _():
    import interceptsim as ics
    from interceptsim.testing import check_policy, sample_batch

    return check_policy, ics, sample_batch


@app.cell
def _():
    def none_before_ten(batch):
        """Intercept calls before ten in the morning, local time."""
        hour = (batch.time_us // 3_600_000_000 + 8) % 24
        return (batch.channel == 0) & (hour < 10)

    return (none_before_ten,)


@app.cell
def _(check_policy, none_before_ten):
    check_policy(none_before_ten)  # decides each number alike, however batches are cut
    return


@app.cell
def _(ics, none_before_ten):
    minimal = ics.load("minimal")
    with_mine = minimal.with_policies([*minimal.policies, none_before_ten])
    compared = ics.compare(minimal, {"none before ten": with_mine}, replications=4, scale=2000)
    [effect] = compared.effects.filter(metric="voice.delivered").to_dicts()
    assert effect["high"] < 0
    compared.plot.differences()
    return (with_mine,)


@app.cell
def _(ics, sample_batch, with_mine):
    batch = sample_batch(20_000)
    decided = ics.compile_filter(with_mine.policies).decide(batch)
    f"{(decided.verdict == 2).sum():,} of {len(batch):,} attempts intercepted"
    return


if __name__ == "__main__":
    app.run()
