"""Results: estimates and their intervals, the digest, and the directory a run is kept in."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import interceptsim as ics
from interceptsim.attempts import COLUMNS, OPTIONAL_COLUMNS
from interceptsim.errors import ResultsError
from interceptsim.results import Estimate, Replicates, Target, digest_of, open_run, t_quantile
from interceptsim.scenario import Scenario
from interceptsim.world import World

FOLDS = 50


@pytest.fixture(scope="module")
def found(minimal):
    target = Target("calls_intercepted_2025", "predicted", 2.0, 3.0, 2.5, 3.5, 1.5, prorated=True)
    return replace(ics.run(minimal, scale=10_000, record="all"), targets=(target,))


@pytest.fixture
def kept(found, tmp_path):
    return found.save(tmp_path / "kept")


# Student's t


@pytest.mark.parametrize(
    ("p", "freedom", "t"),
    [
        (0.975, 1, 12.7062047),
        (0.975, 2, 4.3026527),
        (0.975, 3, 3.1824463),
        (0.975, 4, 2.7764451),
        (0.975, 5, 2.5705818),
        (0.975, 10, 2.2281389),
        (0.975, 49, 2.0095752),
        (0.95, 49, 1.6765509),
        (0.995, 49, 2.6799520),
        (0.975, 120, 1.9799304),
        (0.975, 10**9, 1.9599640),
    ],
)
def test_t_quantiles_are_those_of_the_tables(p, freedom, t):
    assert t_quantile(p, freedom) == pytest.approx(t, abs=6e-8)


@pytest.mark.parametrize("p", [0.6, 0.9, 0.975, 0.999])
def test_t_quantiles_of_one_and_two_degrees_are_the_closed_forms(p):
    assert t_quantile(p, 1) == pytest.approx(math.tan(math.pi * (p - 0.5)), rel=1e-9)
    assert t_quantile(p, 2) == pytest.approx((2 * p - 1) / math.sqrt(2 * p * (1 - p)), rel=1e-9)


@pytest.mark.parametrize("p", [0.6, 0.975, 0.999])
def test_both_ways_to_a_t_quantile_meet(p):
    before, at, after, beyond = (t_quantile(p, freedom) for freedom in (199, 200, 201, 202))
    assert before > at > after > beyond
    assert at - after == pytest.approx(((before - at) + (after - beyond)) / 2, rel=1e-3)


@given(st.floats(0.5, 0.999), st.integers(1, 1000))
def test_t_quantiles_are_symmetric_and_wider_than_normal_ones(p, freedom):
    assert t_quantile(1 - p, freedom) == pytest.approx(-t_quantile(p, freedom), rel=1e-9, abs=1e-9)
    assert t_quantile(p, freedom) >= t_quantile(p, 10**9) - 1e-9


# Replicates


def test_an_estimate_is_the_ratio_of_each_stratum_times_what_is_expected_of_it():
    counted = np.array([[1, 0], [3, 4], [2, 8]])
    base = np.array([[10, 20], [20, 20], [30, 20]])
    replicates = Replicates.of(counted, base, np.array([600.0, 900.0]), np.eye(2))
    assert replicates.value == pytest.approx(6 / 60 * 600 + 12 / 60 * 900)
    without = [5 / 50 * 600 + 12 / 40 * 900, 3 / 40 * 600 + 8 / 40 * 900, 4 / 30 * 600 + 4 / 40 * 900]
    assert replicates.left_out == pytest.approx(without)


def test_groups_of_one_stratum_are_summed_by_their_weights():
    counted = np.array([[1, 0], [3, 4]])
    base = np.array([[10, 20], [20, 20]])
    strata = np.array([[2.0], [5.0]])
    replicates = Replicates.of(counted, base, np.array([600.0, 900.0]), strata)
    assert replicates.value == pytest.approx((2 * 4 + 5 * 4) / (2 * 30 + 5 * 40) * 1500)
    assert replicates.left_out == pytest.approx([(6 + 20) / (40 + 100) * 1500, 2 / (20 + 100) * 1500])


def test_a_fold_that_holds_all_of_a_stratum_leaves_its_ratio_as_it_is():
    replicates = Replicates.of(np.array([[3], [0]]), np.array([[10], [0]]), np.array([100.0]), np.eye(1))
    assert replicates.value == 30.0
    assert replicates.left_out.tolist() == [30.0, 30.0]


def test_a_stratum_without_attempts_adds_nothing():
    counted, base = np.array([[3, 0], [1, 0]]), np.array([[10, 0], [10, 0]])
    replicates = Replicates.of(counted, base, np.array([100.0, 50.0]), np.eye(2))
    assert replicates.value == 20.0
    assert replicates.left_out == pytest.approx([10.0, 30.0])


def test_a_ratio_of_estimates_is_taken_fold_by_fold():
    ratio = Replicates(6.0, np.array([4.0, 9.0])).over(Replicates(12.0, np.array([16.0, 12.0])))
    assert ratio.value == 0.5
    assert ratio.left_out.tolist() == [0.25, 0.75]


def test_a_ratio_to_nothing_is_nought():
    ratio = Replicates(0.0, np.zeros(2)).over(Replicates(0.0, np.zeros(2)))
    assert (ratio.value, ratio.left_out.tolist()) == (0.0, [0.0, 0.0])


def test_an_interval_is_that_of_the_jackknife():
    left_out = np.where(np.arange(FOLDS) % 2 == 0, 99.0, 101.0)
    estimate = Replicates(100.0, left_out).estimate(lines=500, whole=1000.0)
    reach = 2.00958 * (49 / 50 * FOLDS) ** 0.5
    assert estimate.value == 100.0
    assert estimate.high - 100.0 == pytest.approx(reach, rel=1e-5)
    assert 100.0 - estimate.low == pytest.approx(reach, rel=1e-5)


def test_more_confidence_is_a_wider_interval():
    replicates = Replicates(100.0, np.linspace(99.0, 101.0, FOLDS))
    narrow, wide = replicates.estimate(500, 1e3, confidence=0.9), replicates.estimate(500, 1e3, confidence=0.99)
    assert (wide.high - 100) / (narrow.high - 100) == pytest.approx(2.67995 / 1.67655, rel=1e-4)


def test_no_interval_reaches_below_nought():
    assert Replicates(1.0, np.linspace(0.0, 2.0, FOLDS)).estimate(500, 1e3).low == 0.0


@pytest.mark.parametrize(("lines", "high"), [(300, 10.0), (3, 1000.0), (1, 1000.0), (0, 1000.0)])
def test_where_nothing_was_counted_the_upper_end_is_the_rule_of_three(lines, high):
    assert Replicates(0.0, np.zeros(FOLDS)).estimate(lines, 1000.0) == Estimate(0.0, 0.0, high)


@pytest.mark.parametrize("folds", [1, 2, FOLDS])
@pytest.mark.parametrize("value", [1e-9, 0.8, 1.0, 40.0])
def test_a_line_that_stands_alone_has_an_interval_from_nought_to_more_than_the_whole(value, folds):
    estimate = Replicates(value, np.full(folds, value)).estimate(lines=1, whole=1.0)
    assert (estimate.value, estimate.low) == (value, 0.0)
    assert estimate.high >= max(1.0, 2 * value)


def test_where_everything_was_counted_the_interval_is_the_rule_of_three_too():
    counted = np.full((FOLDS, 1), 10)
    estimate = Replicates.of(counted, counted, np.array([1000.0]), np.eye(1)).estimate(lines=300, whole=1000.0)
    assert (estimate.low, estimate.high) == (pytest.approx(990.0), pytest.approx(1010.0))


def test_two_lines_that_differ_in_rounding_alone_tell_nothing():
    estimate = Replicates(100.0, np.full(FOLDS, 100.0 + 1e-13)).estimate(lines=2, whole=1000.0)
    assert (estimate.low, estimate.high) == (0.0, 1100.0)


@given(st.lists(st.integers(0, 100), min_size=FOLDS, max_size=FOLDS).filter(lambda counts: len(set(counts)) > 1))
def test_a_count_that_differs_between_folds_has_an_interval_of_some_width(counts):
    counted = np.array(counts)[:, None]
    estimate = Replicates.of(counted, np.full((FOLDS, 1), 100), np.array([1e9]), np.eye(1)).estimate(500, 1e9)
    assert estimate.value == pytest.approx(sum(counts) / (100 * FOLDS) * 1e9)
    assert estimate.low < estimate.value < estimate.high


# The digest


def test_the_digest_depends_on_every_count_and_on_nothing_else():
    counts = np.arange(12).reshape(3, 4)
    digest = digest_of({"a": 1, "b": 2}, [counts])
    assert len(digest) == 32
    assert digest_of({"b": 2, "a": 1}, [np.asfortranarray(counts).astype(np.int32)]) == digest
    changed = counts.copy()
    changed[2, 3] += 1
    others = [
        digest_of({"a": 1, "b": 3}, [counts]),
        digest_of({"a": 1, "c": 2}, [counts]),
        digest_of({"a": 1, "b": 2}, [changed]),
        digest_of({"a": 1, "b": 2}, [counts.reshape(4, 3)]),
        digest_of({"a": 1, "b": 2}, [counts, counts]),
        digest_of({"a": 1, "b": 2}, []),
    ]
    assert len({digest, *others}) == 7


# A run


def test_the_summary_has_its_columns_and_an_interval_of_some_width_in_each_row(found):
    assert found.summary.columns == ["metric", "value", "low", "high", "unit", "status"]
    assert found.summary["metric"].n_unique() == found.summary.height
    for metric, value, low, high, unit, _ in found.summary.iter_rows():
        assert 0 <= low <= value < high, metric
        assert unit in {"calls", "messages", "numbers", "line-days", "ratio"}


def test_the_latent_volume_is_known(found):
    assert found.estimate("voice.latent").value == pytest.approx(2e9 / 365 * 14, rel=1e-9)


def test_an_estimate_is_read_by_its_metric(found):
    row = found.summary.row(by_predicate=pl.col("metric") == "sms.intercepted", named=True)
    assert found.estimate("sms.intercepted") == Estimate(row["value"], row["low"], row["high"])
    with pytest.raises(KeyError, match=r"sms\.interceptions"):
        found.estimate("sms.interceptions")


@pytest.mark.parametrize("channel", ["voice", "sms"])
def test_what_was_made_was_intercepted_or_delivered(found, channel):
    counts = {m: found.metrics[f"{channel}.{m}"] for m in ("latent", "not made", "made", "intercepted", "delivered")}
    assert counts["latent"] == counts["not made"] + counts["made"]
    assert counts["made"] == counts["intercepted"] + counts["delivered"]
    assert min(counts.values()) > 0


@pytest.mark.parametrize(("channel", "outcome"), [("voice", "intercepted"), ("sms", "delivered"), ("sms", "not made")])
def test_the_daily_frame_adds_up_to_the_metrics(found, channel, outcome):
    daily = found.daily.filter(pl.col("channel") == channel, pl.col("outcome") == outcome)
    assert daily["count"].sum() == found.metrics[f"{channel}.{outcome}"]
    assert found.daily["date"].n_unique() == 14


def test_the_record_holds_every_counted_attempt_in_order(found):
    decisions = found.decisions
    visible = [name for name in COLUMNS if name not in OPTIONAL_COLUMNS]
    about = ["line_id", "ordinal", "element", "verdict", "reason", "outcome"]
    assert decisions.columns == [*visible, *OPTIONAL_COLUMNS, *about]
    assert decisions.height == found.metrics["voice.made"] + found.metrics["sms.made"]
    assert_frame_equal(decisions, decisions.sort("time_us", "line_id", "ordinal"))
    intercepted = decisions.filter(pl.col("outcome") == "intercepted")
    assert intercepted.height == found.metrics["voice.intercepted"] + found.metrics["sms.intercepted"]
    assert intercepted["verdict"].unique().to_list() == ["intercept"]


def test_the_truth_names_every_line_of_the_record_apart_from_it(found):
    assert found.truth.columns == ["line_id", "hub", "campaign", "fraud_type", "weight"]
    assert set(found.decisions["line_id"]) <= set(found.truth["line_id"])
    assert set(found.truth["fraud_type"]) <= {"fake-investment", "dating"}


def test_a_sample_is_the_record_of_a_fiftieth_of_the_lines(minimal):
    whole = ics.run(minimal, scale=2000, days=2, record="all").decisions
    sample = ics.run(minimal, scale=2000, days=2, record="sample").decisions
    assert 1 < sample["line_id"].n_unique() < whole["line_id"].n_unique()
    first = np.flatnonzero(World(minimal, 1, 2000, 2).population.lines["fold"] == 0)
    assert_frame_equal(sample, whole.filter(pl.col("line_id").is_in(first)))


def test_a_record_on_disk_is_the_record_in_memory(minimal, found, tmp_path):
    (tmp_path / "part-99999.parquet").write_text("mine")
    ics.run(minimal, scale=10_000, record="all", record_folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["decisions.parquet", "part-99999.parquet"]
    assert_frame_equal(pl.read_parquet(tmp_path / "decisions.parquet"), found.decisions)


def test_a_run_without_a_record_has_none(minimal):
    plain = ics.run(minimal, scale=100_000, days=1)
    assert plain.decisions is None
    assert plain.truth is None


# Save and open


def test_a_kept_run_opens_as_it_was(found, kept):
    opened = open_run(kept)
    for name in ("summary", "daily", "decisions", "truth", "changes"):
        assert_frame_equal(getattr(opened, name), getattr(found, name))
    exact = ["scenario", "seed", "scale", "days", "slice_us", "threads", "engine", "attempts", "metrics", "targets"]
    for name in [*exact, "peak_rss_bytes", "digest"]:
        assert getattr(opened, name) == getattr(found, name), name
    assert opened.wall_s == pytest.approx(found.wall_s, abs=1e-4)
    assert opened.compile_s == pytest.approx(found.compile_s, abs=1e-4)


def test_a_kept_run_is_six_files(kept):
    files = [
        "changes.parquet",
        "daily.parquet",
        "decisions.parquet",
        "manifest.json",
        "summary.parquet",
        "truth.parquet",
    ]
    assert sorted(path.name for path in kept.iterdir()) == files
    assert [path.name for path in kept.parent.iterdir()] == ["kept"]


def test_a_run_without_a_record_is_kept_without_one(found, tmp_path):
    folder = replace(found, decisions=None, truth=None, changes=None).save(str(tmp_path / "deep" / "kept"))
    assert sorted(path.name for path in folder.iterdir()) == ["daily.parquet", "manifest.json", "summary.parquet"]
    opened = open_run(str(folder))
    assert opened.decisions is None
    assert opened.truth is None


def test_the_manifest_says_what_was_run_with_what_and_where(found, kept):
    manifest = json.loads((kept / "manifest.json").read_text("utf-8"))
    assert Scenario.model_validate(manifest["resolved_scenario"]) == found.scenario
    assert (manifest["seed"], manifest["scale"], manifest["digest"]) == (1, 10_000, found.digest)
    assert manifest["slice_s"] == 7200.0
    assert set(manifest["versions"]) >= {"interceptsim", "simpy", "numpy", "polars", "numba"}
    assert manifest["versions"]["polars"] == pl.__version__
    assert manifest["machine"]["cores"] >= 1


def test_nothing_is_saved_over(found, kept):
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    with pytest.raises(ResultsError, match="something is there already"):
        found.save(kept)
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
    assert [path.name for path in kept.parent.iterdir()] == ["kept"]


def test_not_even_a_file_or_an_empty_directory_is_saved_over(found, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    for name in ("file", "folder"):
        with pytest.raises(ResultsError, match=f"{name}: something is there already"):
            found.save(tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_told(found, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ResultsError, match="kept: cannot be written: Not a directory"):
        found.save(tmp_path / "file" / "kept")


class Failing:
    """A frame that cannot be written."""

    def __init__(self, error):
        self.error = error

    def write_parquet(self, _path):
        raise self.error


def test_a_full_disk_while_writing_is_told_and_leaves_nothing(found, tmp_path):
    broken = replace(found, truth=Failing(OSError(28, "No space left on device")))
    with pytest.raises(ResultsError, match="kept: cannot be written: No space left on device"):
        broken.save(tmp_path / "kept")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["kept", "deep/er/kept"])
@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt()], ids=["bug", "interrupt"])
def test_any_failure_while_writing_leaves_nothing(found, tmp_path, error, folder):
    with pytest.raises(type(error)):
        replace(found, daily=Failing(error)).save(tmp_path / folder)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_directories_that_were_there(found, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(RuntimeError):
        replace(found, daily=Failing(RuntimeError("a bug"))).save(tmp_path / "mine" / "deep" / "kept")
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize("folder", ["a" * 5000, f"deep/{'a' * 5000}/kept"])
def test_a_name_too_long_is_told_and_leaves_nothing(found, tmp_path, folder):
    with pytest.raises(ResultsError, match="cannot be written: File name too long"):
        found.save(tmp_path / folder)
    assert list(tmp_path.iterdir()) == []


def test_a_link_that_leads_nowhere_is_something(found, tmp_path):
    (tmp_path / "kept").symlink_to("nowhere")
    with pytest.raises(ResultsError, match="something is there already"):
        found.save(tmp_path / "kept")


@pytest.mark.parametrize("name", ["none", "empty"])
def test_what_is_not_a_run_is_not_opened(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ResultsError, match=rf"{name}: not a run: there is no manifest\.json"):
        open_run(tmp_path / name)


def test_a_file_is_not_a_run(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ResultsError, match="file"):
        open_run(tmp_path / "file")


def damaged(change):
    """Return a change to the manifest as a change to its text."""

    def changed(text):
        manifest = json.loads(text)
        change(manifest)
        return json.dumps(manifest)

    return changed


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda text: text[: len(text) // 2],
        lambda _: "[]",
        lambda _: "3",
        damaged(lambda m: m.pop("digest")),
        damaged(lambda m: m.pop("resolved_scenario")),
        damaged(lambda m: m["resolved_scenario"].pop("police")),
        damaged(lambda m: m.update(slice_s="long")),
        damaged(lambda m: m.update(targets=[{"id": "calls"}])),
    ],
    ids=["empty", "cut", "list", "number", "no-digest", "no-scenario", "bad-scenario", "bad-slice", "bad-target"],
)
def test_a_damaged_manifest_is_told(kept, damage):
    manifest = kept / "manifest.json"
    manifest.write_text(damage(manifest.read_text("utf-8")), "utf-8")
    with pytest.raises(ResultsError, match="kept: damaged run: "):
        open_run(kept)


def test_a_manifest_that_is_no_text_is_told(kept):
    (kept / "manifest.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ResultsError, match="damaged run"):
        open_run(kept)


@pytest.mark.parametrize("name", ["summary", "daily"])
def test_a_missing_frame_is_told(kept, name):
    (kept / f"{name}.parquet").unlink()
    with pytest.raises(ResultsError, match=r"not a whole run: summary\.parquet or daily\.parquet is missing"):
        open_run(kept)


@pytest.mark.parametrize("name", ["summary", "daily", "decisions", "truth"])
def test_a_damaged_frame_is_told(kept, name):
    (kept / f"{name}.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(ResultsError, match="damaged run"):
        open_run(kept)


def test_a_kept_run_may_be_moved(found, kept, tmp_path):
    shutil.move(kept, tmp_path / "elsewhere")
    assert open_run(tmp_path / "elsewhere").digest == found.digest
