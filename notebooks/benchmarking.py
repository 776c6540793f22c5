"""Benchmarking the filter: a chain of one's own over a million attempts, and InterceptMark beside other engines."""

import marimo

__generated_with = "0.25.2"
app = marimo.App()


@app.cell
def _():
    import time

    import polars as pl

    import interceptsim as ics
    from interceptsim import bench
    from interceptsim.testing import sample_batch

    return bench, ics, pl, sample_batch, time


@app.cell
def _(ics, sample_batch, time):
    core = ics.compile_filter(ics.load("china-2025").policies, carriers=["mobile", "telecom", "unicom", "broadnet"])
    batch = sample_batch(1_000_000)
    core.decide(batch)  # compiles what is not compiled yet
    started = time.perf_counter()
    core.decide(batch)
    f"{(time.perf_counter() - started) * 1e3:.0f} ns a decision"
    return


@app.cell
def _(bench, pl):
    rows = bench.interceptmark(["stateless mix"], n=200_000, rounds=1)
    measured = pl.DataFrame([(r.workload, r.engine, r.threads, r.ns, r.ratio) for r in rows], orient="row")
    measured.columns = ["workload", "engine", "threads", "ns a decision", "times the core's"]
    measured  # all engines intercept the same attempts, or this would have failed
    return


if __name__ == "__main__":
    app.run()
