"""Sweeps: nothing is made twice or mistaken for another, and the tables are the same wherever runs are made."""

import json
import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace

import polars as pl
import pytest

import interceptsim as ics
from interceptsim.errors import ConfigurationError, ResultsError
from interceptsim.experiments import runs as runs_module
from interceptsim.experiments.foresee import foresee
from interceptsim.experiments.store import Store
from interceptsim.experiments.study import load_study
from interceptsim.experiments.sweep import study_of, sweep_so_far
from interceptsim.randomness import replication_seed

DELAY = "policies.reject-listed-numbers.delay"
DELAY_OF_POLICE = "police.delay"
AXES = {DELAY: ["1h", "1d"], "police.delay.median": {"low": "4h", "high": "2d", "levels": 3}}
VARIANTS = {"no list": {"policies.reject-listed-numbers.enabled": False}}
SMALL = {"scale": 10_000, "days": 3, "replications": 2}


class Here(Executor):
    """Makes runs in this thread, in the order in which they come or backwards, and counts them."""

    def __init__(self):
        self.made = 0

    def submit(self, function, /, *arguments):
        future = Future()
        try:
            future.set_result(function(*arguments))
        except BaseException as error:  # noqa: BLE001
            future.set_exception(error)
        self.made += 1
        return future

    @property
    def runs(self):
        """How many runs were made; the first call of a pool asks what the worker is."""
        return self.made - 1


def made(*arguments, **options):
    """Return a sweep, and how many runs it took."""
    here = Here()
    return ics.sweep(*arguments, executor=here, **{**SMALL, **options}), here.runs


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def found(minimal, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    return made(minimal, AXES, variants=VARIANTS, store=store)[0]


# Results


def test_every_point_variant_and_replication_has_a_run(found):
    assert found.table.height == 6 * 2 * 2
    assert found.axes == list(AXES)
    assert (found.wanted, found.finished) == (24, 24)
    assert set(found.table["seed"]) == {replication_seed(1, n) for n in range(2)}
    assert found.failed.is_empty()


def test_a_run_within_a_sweep_is_the_run_itself(found, minimal):
    point = {DELAY: "1d", "police.delay.median": "4h"}
    run = ics.run(minimal.replace(point), seed=replication_seed(1, 1), scale=10_000, days=3)
    rows = found.runs.filter(
        pl.col(DELAY) == "1d", pl.col("police.delay.median") == "4h", variant="minimal", replication=1
    )
    rows = rows.collect()
    assert set(rows["digest"]) == {run.digest}
    assert set(rows["attempts"]) == {run.attempts}
    summary = rows.filter(pl.col("value").is_not_null()).select(run.summary.columns)
    assert summary.equals(run.summary)
    assert dict(rows.drop_nulls("count").select("metric", "count").iter_rows()) == run.metrics


def test_estimates_are_means_over_replications(found):
    values = found.runs.filter(point=3, variant="no list", metric="sms.delivered").collect()["value"].to_list()
    [row] = found.estimates.filter(point=3, variant="no list", metric="sms.delivered").to_dicts()
    assert row["value"] == pytest.approx(sum(values) / 2)
    assert row["high"] - row["value"] == pytest.approx(12.706205 * abs(values[0] - values[1]) / 2, rel=1e-6)
    assert (row["replications"], row["method"], row[DELAY]) == (2, "t", "1d")


def test_effects_are_those_of_a_comparison(found, minimal):
    point = minimal.replace({DELAY: "1h", "police.delay.median": "2d"})
    compared = ics.compare(point, VARIANTS, replications=2, scale=10_000, days=3).effects
    expected = {row["metric"]: row for row in compared.to_dicts()}
    rows = found.effects.filter(point=2).to_dicts()
    assert {row["metric"] for row in rows} == {metric for metric in expected if not metric.startswith("hub ")}
    for row in rows:
        for column in ("difference", "low", "high"):
            assert row[column] == pytest.approx(expected[row["metric"]][column], rel=1e-9, abs=1e-6)
        assert row["method"] == "paired t"


def test_one_replication_has_the_interval_of_its_run_and_no_interval_of_differences(minimal, tmp_path):
    one, _ = made(minimal, {DELAY: ["1h"]}, variants=VARIANTS, store=tmp_path, replications=1)
    run = ics.run(minimal.replace({DELAY: "1h"}), seed=replication_seed(1, 0), scale=10_000, days=3)
    [row] = one.estimates.filter(variant="minimal", metric="voice.delivered").to_dicts()
    estimate = run.estimate("voice.delivered")
    assert (row["value"], row["low"], row["high"], row["method"]) == (
        *(estimate.value, estimate.low, estimate.high),
        "jackknife of one run",
    )
    assert set(one.effects["low"]) == {None}


def test_intervals_may_be_bootstrapped_and_say_so(minimal, tmp_path):
    boot, _ = made(minimal, {DELAY: ["1h"]}, variants=VARIANTS, store=tmp_path, replications=4, interval="bootstrap")
    assert set(boot.estimates["method"]) == {"bootstrap"}
    assert set(boot.effects["method"]) == {"paired bootstrap"}


def test_the_tables_are_read_lazily_by_polars_alone(found):
    table = pl.scan_parquet(found.store.folder / "sweeps" / "*.parquet")
    runs = pl.scan_parquet(found.store.folder / "runs" / "*.parquet")
    joined = table.join(runs, on="run").filter(metric="voice.delivered", variant="minimal").collect()
    assert joined.height == 12
    assert set(joined["value"]) == set(
        found.runs.filter(metric="voice.delivered", variant="minimal").collect()["value"]
    )
    scenario = json.loads(pl.read_parquet_metadata(found.store.path("runs", found.table["run"][0]))["scenario"])
    assert scenario["police"]["delay"]["median"] == "4h"


# Nothing is made twice, nothing mistaken


def test_a_sweep_made_again_makes_no_run(found, minimal):
    before = contents(found.store.folder)
    again, runs = made(minimal, AXES, variants=VARIANTS, store=found.store.folder)
    assert runs == 0
    assert contents(found.store.folder) == before
    assert again.estimates.equals(found.estimates)


def test_a_sweep_that_asks_for_more_makes_only_what_is_new(found, minimal):
    axes = {DELAY: ["1h", "1d", "2d"], "police.delay.median": ["4h", "26h"]}
    _, runs = made(minimal, axes, variants=VARIANTS, store=found.store.folder)
    assert runs == 2 * 2 * 2
    _, runs = made(minimal, axes, variants=VARIANTS, store=found.store.folder, replications=3)
    assert runs == 6 * 2


@pytest.mark.parametrize(
    "options",
    [{"seed": 2}, {"scale": 9_999}, {"days": 4}, {"scenario": {"police.voice_complaint_ratio": 0.06}}],
    ids=str,
)
def test_another_scenario_seed_scale_or_span_is_another_run(minimal, tmp_path, options):
    made(minimal, {DELAY: ["1h"]}, store=tmp_path)
    scenario = minimal.replace(options.pop("scenario", {}))
    assert made(scenario, {DELAY: ["1h"]}, store=tmp_path, **options)[1] == 2


def test_a_run_by_other_files_of_the_package_is_another_run(minimal, tmp_path, monkeypatch):
    made(minimal, {DELAY: ["1h"]}, store=tmp_path)
    monkeypatch.setattr(runs_module, "package_fingerprint", lambda: "edited")
    assert made(minimal, {DELAY: ["1h"]}, store=tmp_path)[1] == 2


def policy_of(text):
    space = {"__name__": "__main__"}
    exec(text, space)
    return space["mine"]


def test_an_edited_policy_is_never_mistaken_for_the_old_one(minimal, tmp_path):
    cell = "def mine(batch):\n    return batch.channel == {}"
    results = []
    for n in (0, 1, 0):
        scenario = minimal.with_policies([*minimal.policies, policy_of(cell.format(n))])
        sweep, runs = made(scenario, {DELAY: ["1h"]}, store=tmp_path)
        results.append((runs, sweep.estimates.filter(metric="voice.delivered")["value"][0] == 0.0))
    assert results == [(2, True), (2, False), (0, True)]


def test_an_edited_file_of_a_policy_is_never_mistaken_for_the_old_one(minimal, tmp_path):
    numbers = tmp_path / "numbers.txt"
    chain = [{"kind": "allow-listed-numbers", "file": str(numbers)}, *minimal.as_dict()["policies"]]
    scenario = minimal.replace({"policies": chain})
    made_runs = []
    for text in ("110\n", "110\n12381\n", "# a remark\n110\n"):
        numbers.write_text(text)
        made_runs.append(made(scenario, {DELAY: ["1h"]}, store=tmp_path / "store")[1])
    assert made_runs == [2, 2, 0]


def test_the_file_of_a_policy_need_not_be_where_runs_are_made(minimal, tmp_path):
    numbers = tmp_path / "numbers.txt"
    numbers.write_text("110\n")
    chain = [{"kind": "allow-listed-numbers", "file": str(numbers)}]

    class Elsewhere(Here):
        def submit(self, function, /, *arguments):
            if self.made:
                numbers.unlink(missing_ok=True)
            return super().submit(function, *arguments)

    scenario = minimal.replace({"policies": chain})
    found = ics.sweep(scenario, {DELAY_OF_POLICE: ["3h"]}, executor=Elsewhere(), store=tmp_path / "store", **SMALL)
    assert (found.finished, numbers.exists()) == (2, False)
    with pytest.raises(ConfigurationError, match=r"numbers.txt"):
        ics.sweep(scenario, {DELAY_OF_POLICE: ["3h"]}, executor=Here(), store=tmp_path / "store", **SMALL)


# Failures


def failing(batch):
    """A policy that fails on messages."""
    if (batch.channel == 1).any():
        raise ValueError("no messages,\n  please")
    return batch.channel == 9


def test_a_run_that_fails_is_a_row_with_its_error_and_is_tried_again(minimal, tmp_path):
    scenario = minimal.with_policies([failing])
    axes = {"traffic.sms.latent": ["0/year", "2e9/year"]}
    sweep, runs = made(scenario, axes, store=tmp_path)
    assert (runs, sweep.wanted, sweep.finished) == (4, 4, 2)
    errors = set(sweep.failed["error"])
    assert errors == {"ValueError: no messages, please (in failing)"}
    assert set(sweep.failed["point"]) == {1}
    assert set(sweep.estimates["point"]) == {0}
    assert made(scenario, axes, store=tmp_path)[1] == 2


def test_a_point_that_does_not_fit_is_a_row_with_its_error(minimal, tmp_path):
    sweep, runs = made(minimal, {DELAY: ["1h", "1s"]}, store=tmp_path)
    assert (runs, sweep.wanted) == (2, 2)
    assert set(sweep.failed["error"].str.contains("at least 1min is wanted")) == {True}
    assert sweep.failed["run"].to_list() == [None, None]


def test_a_sweep_of_which_no_point_fits_is_refused_and_nothing_is_made(minimal, tmp_path):
    with pytest.raises(ConfigurationError, match="at least 1min is wanted"):
        made(minimal, {DELAY: ["1s", "2s"]}, store=tmp_path)
    assert list(tmp_path.rglob("*.parquet")) == []


# Calibration


@pytest.mark.slow
def test_a_point_that_assumes_another_ratio_is_calibrated_once_and_the_counts_stay(minimal, tmp_path):
    target = {
        "id": "voice",
        "figure": "calls_intercepted_2025",
        "channel": "voice",
        "interception_ratio": 0.25,
        "volume": "traffic.voice.latent",
        "strength": "policies.reject-listed-numbers.adoption_ratio",
        "low": 0.0,
        "high": 1.0,
    }
    scenario = minimal.replace({"calibration": [target]})
    axes = {"calibration.voice.interception_ratio": [0.15, 0.25, 0.99], "police.delay.minimum": ["1h", "2h"]}
    options = {"store": tmp_path, "scale": 1000, "days": 14, "replications": 4}
    sweep, runs = made(scenario, axes, **options)
    assert runs == 3 + 2 * 2 * 4
    estimates = sweep.estimates.filter(metric="voice.intercepted")
    base = estimates.filter(pl.col("police.delay.minimum") == "2h").sort("point")
    reported = 3.6e9 * 14 / 365
    assert base["value"].to_list() == pytest.approx([reported] * 2, rel=0.06)
    ratios = sweep.estimates.filter(pl.col("police.delay.minimum") == "2h", metric="voice.interception ratio")
    assert ratios["value"].to_list() == pytest.approx([0.15, 0.25], abs=0.02)
    assert set(sweep.failed["error"].str.contains("no strength from 0 to 1 gives the ratio")) == {True}
    assert len(Store(tmp_path).names("fits")) == 2
    study = study_of(scenario, axes, {name: options[name] for name in ("scale", "days", "replications")})
    assert sweep_so_far(replace(study, name="minimal"), tmp_path).failed.equals(sweep.failed)
    assert made(scenario, axes, **options)[1] == 1  # what failed is tried again, what was found is not


# Where runs are made


@pytest.mark.slow
def test_processes_threads_and_any_order_give_the_same_files(found, minimal, tmp_path):
    expected = contents(found.store.folder / "runs")
    expected = {path: expected[path] for path in expected if path.stem in set(found.table["run"])}
    with ThreadPoolExecutor(3) as threads:
        for executor, workers in ((threads, None), ("local", 1), ("local", 3)):
            folder = tmp_path / f"{workers}"
            sweep = ics.sweep(
                minimal, AXES, variants=VARIANTS, store=folder, executor=executor, workers=workers, **SMALL
            )
            assert contents(folder / "runs") == expected
            assert sweep.estimates.equals(found.estimates)
            assert sweep.effects.equals(found.effects)
            assert sweep.file.read_bytes() == found.file.read_bytes()


def test_two_sweeps_at_once_in_one_store_do_no_harm(found, minimal, tmp_path):
    sweeps = []

    def work():
        sweeps.append(ics.sweep(minimal, AXES, variants=VARIANTS, store=tmp_path, executor=Here(), **SMALL))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = set(found.table["run"])
    assert {path.stem for path in (tmp_path / "runs").iterdir()} == names
    assert all(sweep.estimates.equals(found.estimates) for sweep in sweeps)


def test_what_there_is_can_be_read_while_it_runs(minimal, tmp_path):
    study = study_of(minimal, AXES, {**SMALL, "name": "reading"})
    seen = []

    def look(done, of, what):
        so_far = sweep_so_far(study, tmp_path)
        assert (so_far.finished, so_far.wanted, what) == (done, of, "runs")
        seen.append(so_far.estimates["point"].n_unique())

    whole = ics.sweep(study, store=tmp_path, executor=Here(), progress=look)
    assert seen[0] == 0
    assert seen == sorted(seen)
    assert seen[-1] == 6
    opened = ics.open_sweep(whole.file)
    assert opened.estimates.equals(whole.estimates)
    assert opened.as_json() == whole.as_json()


def test_a_sweep_that_was_never_begun_cannot_be_read(minimal, tmp_path):
    with pytest.raises(ResultsError, match=r"the sweep 'minimal', as it stands, was not begun there"):
        sweep_so_far(study_of(minimal, AXES, {"name": "minimal"}), tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_a_table_that_is_none_is_told(tmp_path, content):
    path = tmp_path / "a.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ResultsError, match=r"a\.parquet: "):
        ics.open_sweep(path)


def test_the_table_of_another_kind_is_told(tmp_path):
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(ResultsError, match="not the table of a sweep"):
        ics.open_sweep(tmp_path / "a.parquet")


# Policies of one's own, and faces


@pytest.mark.slow
def test_policies_of_ones_own_modules_and_scripts_reach_worker_processes(tmp_path):
    (tmp_path / "helper.py").write_text("LIMIT = 0\ndef told(batch):\n    return batch.channel == LIMIT\n")
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import interceptsim as ics
            import helper

            def mine(batch):
                return helper.told(batch)

            if __name__ == "__main__":
                minimal = ics.load("minimal")
                scenario = minimal.with_policies([*minimal.policies, mine])
                found = ics.sweep(scenario, {"police.voice_complaint_ratio": [0.05]}, workers=2, store="store",
                                  scale=10_000, days=3, replications=2)
                print(found.finished, *found.failed["error"],
                      found.estimates.filter(metric="voice.delivered")["value"][0])
            """
        )
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, script]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert done.stdout == "2 0.0\n", done.stderr
    assert len(list((tmp_path / "store" / "runs").iterdir())) == 2
    (tmp_path / "helper.py").write_text("LIMIT = 1\ndef told(batch):\n    return batch.channel == LIMIT\n")
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.stdout.startswith("2 ")
    assert done.stdout != "2 0.0\n"
    assert len(list((tmp_path / "store" / "runs").iterdir())) == 4


def test_policies_of_ones_own_without_cloudpickle_are_told_with_the_extra(minimal, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    made(minimal, {DELAY: ["1h"]}, store=tmp_path)
    with pytest.raises(ConfigurationError, match=r"needs cloudpickle.*'interceptsim\[dask\]'"):
        made(minimal.with_policies([failing]), {"police.delay": ["3h"]}, store=tmp_path)


def test_a_file_and_a_dictionary_give_the_same_runs(minimal, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        f'scenario = "minimal"\nscale = 10_000\ndays = 3\nreplications = 2\n[design.axes]\n"{DELAY}" = ["1h"]\n'
    )
    _, runs = made(minimal, {DELAY: ["1h"]}, store=tmp_path)
    assert runs == 2
    here = Here()
    assert ics.sweep(file, store=tmp_path, executor=here).finished == 2
    assert here.runs == 0


def test_a_sweep_needs_a_design_and_only_one(minimal, tmp_path):
    with pytest.raises(ConfigurationError, match="design: wanted the axes"):
        ics.sweep(minimal, store=tmp_path)
    with pytest.raises(ConfigurationError, match="design: a study has its own"):
        ics.sweep("fan-out-threshold", {DELAY: ["1h"]}, store=tmp_path)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2], pl.Int64),
        ([1, 2.5], pl.Float64),
        ([True, False], pl.Boolean),
        (["a", "b"], pl.String),
        (["a", 1], pl.String),
        ([["voice"], ["sms"]], pl.String),
    ],
)
def test_the_column_of_an_axis_has_the_type_of_its_values(values, kind):
    from interceptsim.experiments.sweep import _column

    column = _column("a", values)
    assert column.dtype == kind
    if kind != pl.String:
        assert column.to_list() == values


# What it would take


def test_what_a_sweep_would_take_is_told_and_nothing_made(minimal, tmp_path):
    study = study_of(minimal, AXES, {**SMALL, "variants": VARIANTS})
    store = Store(tmp_path / "store")
    one, two = foresee(study, store, 1), foresee(study, store, 2)
    assert (one.points, one.runs, one.to_make, one.fits) == (6, 24, 24, 0)
    assert two.wall_s > 0
    assert not (tmp_path / "store").exists()
    whole = ics.sweep(study, store=tmp_path / "store", executor=Here())
    size = sum(path.stat().st_size for path in (tmp_path / "store" / "runs").iterdir())
    assert one.disk_bytes == pytest.approx(size, rel=0.1)
    after = foresee(study, whole.store, 1)
    assert (after.to_make, after.wall_s, after.disk_bytes) == (0, 0.0, 0)


def test_calibrations_to_come_are_foreseen():
    study = load_study("list-delay-by-interception-ratio", scale=1_000_000, days=1)
    assert foresee(study, Store("/nowhere"), 2).fits == 3  # that of 0.8 is shipped
