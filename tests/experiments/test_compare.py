"""Comparisons: what variants change over the same latent traffic, with which certainty, and for which attempts."""

import itertools
import json
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

import interceptsim as ics
from interceptsim.errors import ConfigurationError, ResultsError
from interceptsim.experiments import flips
from interceptsim.experiments.compare import parse_variant, variants_of
from interceptsim.experiments.estimates import differences
from interceptsim.experiments.hubs import by_hub
from interceptsim.randomness import replication_seed

DELAY = "policies.reject-listed-numbers.delay"
LIST = "policies.reject-listed-numbers.enabled"
SMALL = {"scale": 10_000, "days": 4}


def refusal(*arguments, **options):
    """Return the error that a comparison gives."""
    with pytest.raises(ConfigurationError) as caught:
        ics.compare(*arguments, **{**SMALL, **options})
    return caught.value


@pytest.fixture(scope="module")
def found(busy):
    """Variants of a busy scenario, three replications."""
    variants = {"slow": {DELAY: "8h"}, "none": {LIST: False}, "same": {}}
    return ics.compare(busy, variants, replications=3, scale=10_000)


def effect(found, variant, metric):
    [row] = found.effects.filter(variant=variant, metric=metric).to_dicts()
    return row


# Effects


def test_fraud_is_compared_by_hub_and_month(china):
    raid = {"id": "raid", "hub": "myawaddy", "date": "2025-01-03", "taken_ratio": 0.9}
    tables = china.as_dict()
    tables["policies"] = [*(p for p in tables["policies"] if p["kind"] != "raid-hubs")]
    raids = {"kind": "raid-hubs", "raids": [raid], "returns_to": ["cambodia"], "away": "1d", "returning_ratio": 1}
    tables["policies"].append(raids)
    struck = china.replace({"policies": tables["policies"]})
    found = ics.compare(
        struck, {"no raids": {"policies.raid-hubs.enabled": False}}, replications=2, scale=10_000, days=5
    )
    made = found.by_hub.filter(measure="made")
    change = dict(made.select("hub", "difference").iter_rows())
    assert set(change) == {hub.id for hub in china.hubs}
    assert set(made["month"]) == {"2025-01"}
    assert change["myawaddy"] > 0 > change["cambodia"]
    assert {hub for hub, by in change.items() if by} == {"myawaddy", "cambodia"}
    run = ics.run(struck, seed=found.seeds[0], scale=10_000, days=5)
    before = pl.col("outcome") != "not made", pl.col("hub") == "myawaddy"
    [told] = found.values.filter(replication=0, variant=struck.name, metric="hub myawaddy 2025-01.made")["value"]
    assert told == pytest.approx(run.daily.filter(*before).select(pl.col("count") * pl.col("weight")).sum().item())


def test_a_scenario_compared_with_itself_differs_by_exactly_zero(found):
    effects = found.effects.filter(variant="same")
    assert effects.height > 20
    for column in ("difference", "low", "high"):
        assert set(effects[column]) == {0.0}


def test_policies_of_the_same_kind_written_out_again_differ_by_exactly_zero(busy):
    again = busy.replace({"policies": busy.as_dict()["policies"]})
    effects = ics.compare(busy, {"again": again}, replications=2, **SMALL).effects
    assert set(effects["difference"]) == {0.0}


def test_a_list_that_comes_sooner_intercepts_more_and_one_that_never_comes_less(minimal):
    found = ics.compare(minimal, {"soon": {DELAY: "1h"}, "never": {LIST: False}}, replications=5, scale=1000)
    for channel, metric in itertools.product(("voice", "sms"), ("intercepted", "interception ratio")):
        soon, never = (effect(found, variant, f"{channel}.{metric}") for variant in ("soon", "never"))
        assert 0 < soon["low"] < soon["difference"] < soon["high"]
        assert never["low"] < never["difference"] < never["high"] < 0
    assert effect(found, "soon", "voice.delivered")["difference"] < 0


def test_effects_are_the_paired_differences_of_runs_made_one_by_one(busy, found):
    slow = busy.replace({DELAY: "8h"})
    for metric in ("voice.intercepted", "sms.made", "voice.interception ratio", "sms.numbers"):
        differences = []
        for n in range(3):
            before, after = (
                ics.run(scenario, seed=replication_seed(1, n), scale=10_000).estimate(metric).value
                for scenario in (busy, slow)
            )
            differences.append(after - before)
        row = effect(found, "slow", metric)
        assert row["difference"] == pytest.approx(statistics.mean(differences))
        reach = 4.30265273 * statistics.stdev(differences) / 3**0.5
        assert row["low"] == pytest.approx(row["difference"] - reach)
        assert row["high"] == pytest.approx(row["difference"] + reach)


def test_the_latent_traffic_is_the_same_under_every_variant(busy, found):
    assert set(found.effects.filter(metric="voice.latent")["difference"]) == {0.0}
    metrics = [ics.run(scenario, scale=10_000).metrics for scenario in (busy, *found.variants.values())]
    assert len({(run["voice.latent"], run["sms.latent"]) for run in metrics}) == 1
    assert len({run["voice.made"] for run in metrics}) > 1


def test_effects_tell_what_was_compared_and_how(busy, found):
    assert found.effects.columns == [
        *("baseline", "variant", "metric", "difference", "low", "high", "replications", "method")
    ]
    assert set(found.effects["baseline"]) == {busy.name}
    assert list(dict.fromkeys(found.effects["variant"])) == ["slow", "none", "same"]
    assert set(found.effects["replications"]) == {3}
    assert set(found.effects["method"]) == {"paired t"}


def test_one_replication_gives_a_difference_and_says_that_there_is_no_interval(minimal):
    effects = ics.compare(minimal, {"none": {LIST: False}}, replications=1, **SMALL).effects
    assert effects["low"].dtype == effects["high"].dtype == pl.Float64
    assert effects["low"].null_count() == effects["high"].null_count() == effects.height
    assert set(effects["method"]) == {"one pair, no interval"}
    assert (effects["difference"] != 0).any()


def test_what_a_rule_settled_counts_as_nothing_where_the_rule_is_not(found):
    settled = "voice.settled by reject-listed-numbers"
    of_baseline = found.values.filter(variant=found.baseline.name, metric=settled)["value"]
    assert settled not in set(found.values.filter(variant="none")["metric"])
    assert of_baseline.min() > 0
    assert effect(found, "none", settled)["difference"] == pytest.approx(-of_baseline.mean())


def test_values_hold_the_estimates_of_every_run(busy, found):
    assert found.values.columns == ["replication", "variant", "metric", "value"]
    run = ics.run(busy.replace({LIST: False}), seed=found.seeds[2], scale=10_000)
    kept = found.values.filter(replication=2, variant="none").select("metric", "value")
    assert kept.rows() == [*run.summary.select("metric", "value").iter_rows(), *by_hub(run.daily)]


def test_each_replication_has_a_hashed_seed_of_its_own(found):
    assert found.seeds == tuple(replication_seed(1, n) for n in range(3))
    counts = found.values.filter(variant=found.baseline.name, metric="voice.made")["value"]
    assert counts.n_unique() == 3


def test_another_seed_is_another_comparison_and_the_same_one_the_same(minimal):
    def effects(seed):
        return ics.compare(minimal, {"none": {LIST: False}}, replications=2, seed=seed, **SMALL).effects

    assert effects(7).equals(effects(7))
    assert not effects(7).equals(effects(8))


def test_threads_and_slices_change_no_effect(minimal):
    variants = {"slow": {DELAY: "9h"}}
    one = ics.compare(minimal, variants, replications=2, threads=1, **SMALL)
    two = ics.compare(minimal, variants, replications=2, threads=2, slice_us=1_020_000_000, **SMALL)
    assert one.effects.equals(two.effects)


def test_a_variant_may_be_a_scenario_with_policies_of_ones_own(minimal):
    def all_calls(batch):
        return batch.channel == 0

    mine = minimal.with_policies([*minimal.policies, all_calls])
    found = ics.compare(minimal, {"mine": mine}, replications=2, **SMALL)
    assert effect(found, "mine", "voice.settled by all_calls")["low"] > 0
    delivered = found.values.filter(variant="mine", metric="voice.delivered")["value"]
    assert set(delivered) == {0.0}


def test_the_progress_of_all_runs_is_told_as_one(minimal):
    told = []
    found = ics.compare(
        minimal, {"a": {}, "b": {LIST: False}}, replications=2, progress=lambda *now: told.append(now), **SMALL
    )
    days = 2 * 3 * (4 + minimal.period.warm_up_days)
    assert [done for done, _, _ in told] == list(range(1, days + 1))
    assert {of for _, of, _ in told} == {days}
    assert all(a <= b for (_, _, a), (_, _, b) in itertools.pairwise(told))
    assert told[-1][2] == found.attempts


# The interval


def test_metrics_of_either_side_are_all_there_and_the_missing_ones_are_zero():
    runs = {"base": [{"a": 1.0, "b": 5.0}] * 2, "other": [{"a": 3.0, "c": 2.0}, {"a": 5.0}]}
    rows = [(0, n, name, *item) for name, both in runs.items() for n, one in enumerate(both) for item in one.items()]
    held = pl.DataFrame(rows, ["point", "replication", "variant", "metric", "value"], orient="row")
    found = differences(held, ["base", "other"], "t")
    assert dict(found.select("metric", "difference").iter_rows()) == {"a": 3.0, "b": -5.0, "c": 1.0}
    [a] = found.filter(metric="a").to_dicts()
    assert (a["baseline"], a["variant"], a["replications"], a["method"]) == ("base", "other", 2, "paired t")
    assert a["high"] - a["difference"] == pytest.approx(
        12.706205, abs=1e-6
    )  # of 2 and 4: t(0.975; 1) * sqrt(2) / sqrt(2)


def test_the_interval_may_be_a_bootstrap_and_says_so(minimal):
    boot = ics.compare(minimal, {"soon": {DELAY: "1h"}}, replications=6, interval="bootstrap", **SMALL)
    plain = ics.compare(minimal, {"soon": {DELAY: "1h"}}, replications=6, **SMALL)
    assert set(boot.effects["method"]) == {"paired bootstrap"}
    assert boot.effects["difference"].equals(plain.effects["difference"])
    one, other = (effect(found, "soon", "voice.intercepted") for found in (boot, plain))
    assert 0.3 * (other["high"] - other["low"]) < one["high"] - one["low"] < other["high"] - other["low"]


# How many replications


def test_replications_are_added_until_intervals_are_as_narrow_as_wished(minimal):
    variants = {"soon": {DELAY: "1h"}, "none": {LIST: False}}
    first = ics.compare(minimal, variants, replications=3, **SMALL)
    widest = max(row["half_width"] for row in first.needed({"voice.interception ratio": 1.0}).to_dicts())
    wish = {"voice.interception ratio": widest / 2}
    found = ics.compare(minimal, variants, replications=3, until=wish, at_most=60, **SMALL)
    assert 3 < len(found.seeds) < 60
    assert set(found.effects["replications"]) == {len(found.seeds)}
    assert all(row["half_width"] <= row["wished"] for row in found.needed().to_dicts())
    fixed = ics.compare(minimal, variants, replications=len(found.seeds), **SMALL)
    assert found.effects.equals(fixed.effects)
    assert found.seeds[:3] == first.seeds


def test_a_wish_that_holds_already_adds_no_replication(minimal):
    found = ics.compare(minimal, {"none": {LIST: False}}, replications=2, until={"voice.made": 1e12}, **SMALL)
    assert len(found.seeds) == 2


def test_replications_end_at_the_most_and_what_is_still_needed_is_told(minimal):
    wish = {"voice.delivered": 1.0}
    found = ics.compare(minimal, {"none": {LIST: False}}, replications=2, until=wish, at_most=5, **SMALL)
    assert len(found.seeds) == 5
    [row] = found.needed().to_dicts()
    assert (row["variant"], row["wished"], row["replications"]) == ("none", 1.0, 5)
    assert row["needed"] > 1000
    assert row["half_width"] == pytest.approx(
        (effect(found, "none", "voice.delivered")["high"] - effect(found, "none", "voice.delivered")["low"]) / 2
    )


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"voice.deliverd": 1.0}, "half-width: no metric 'voice.deliverd'; did you mean 'voice.delivered'"),
        ({"voice.delivered": 0.0}, "half-width: got 0.0; wanted a number above 0"),
    ],
)
def test_a_wish_that_does_not_fit_is_refused(minimal, wish, told):
    with pytest.raises(ConfigurationError, match=told):
        ics.compare(minimal, {"none": {LIST: False}}, replications=2, until=wish, **SMALL)


def test_one_replication_cannot_tell_how_many_are_needed(minimal):
    found = ics.compare(minimal, {"none": {LIST: False}}, replications=1, **SMALL)
    with pytest.raises(ConfigurationError, match="two replications at least are needed"):
        found.needed({"voice.delivered": 1.0})


def test_the_most_replications_are_no_fewer_than_the_first(minimal):
    assert refusal(minimal, {"a": {}}, until={"voice.made": 1.0}, at_most=4).where == "at-most"
    assert refusal(minimal, {"a": {}}, interval="z").where == "interval"


# Elsewhere


@pytest.mark.slow
def test_processes_and_threads_give_what_is_found_here(minimal):
    def mine(batch):
        return batch.channel == 0

    variants = {"none": {LIST: False}, "mine": minimal.with_policies([*minimal.policies, mine])}
    here = ics.compare(minimal, variants, replications=3, **SMALL)
    told = []
    with ThreadPoolExecutor(3) as threads:
        for options in ({"executor": threads}, {"workers": 2, "progress": lambda *now: told.append(now)}):
            found = ics.compare(minimal, variants, replications=3, **SMALL, **options)
            assert found.effects.equals(here.effects)
            assert found.values.equals(here.values)
            assert found.attempts == here.attempts
    days = 3 * 3 * (4 + minimal.period.warm_up_days)
    assert (told[-1], len(told)) == ((days, days, here.attempts), 9)


def test_a_run_that_fails_elsewhere_is_told_with_its_variant_and_seed(minimal):
    def mine(batch):
        return {}[len(batch)]

    variants = {"bad": minimal.with_policies([mine])}
    with ThreadPoolExecutor(1) as threads, pytest.raises(ResultsError, match=r"bad, seed \d+: KeyError"):
        ics.compare(minimal, variants, replications=1, executor=threads, **SMALL)


# Flips


def fates(scenario, seed, days=None):
    """Return the decided attempts of a recorded run by line and ordinal."""
    run = ics.run(scenario, seed=seed, scale=10_000, days=days, record="all")
    return {(row["line_id"], row["ordinal"]): row for row in run.decisions.to_dicts()}


def naive_flips(name, before, after):
    """Set two dictionaries of attempts side by side, one attempt at a time."""
    rows = []
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        if old is None:
            change = "made under variant only"
        elif new is None:
            change = "made under baseline only"
        elif old["verdict"] != new["verdict"]:
            change = "verdict"
        else:
            continue
        shown = old or new
        fate = [one[column] if one else None for one in (old, new) for column in ("verdict", "reason")]
        about = [shown[column] for column in ("time_us", "channel", "a_number", "b_number")]
        rows.append((name, *key, *about, *fate, change))
    return sorted(rows, key=lambda row: (row[3], row[1], row[2]))


@pytest.mark.parametrize("window", [1_000_000, 700, 60])
def test_flips_are_those_that_a_loop_over_both_runs_finds(busy, found, window, monkeypatch):
    monkeypatch.setattr(flips, "_WINDOW_ROWS", window)
    fresh = ics.compare(busy, dict(found.variants), replications=1, scale=10_000)
    before = fates(busy, fresh.seeds[0])
    expected = []
    for name, variant in found.variants.items():
        expected += naive_flips(name, before, fates(variant, fresh.seeds[0]))
    assert fresh.flips.rows() == expected
    assert {row[-1] for row in expected} == {"verdict", "made under baseline only", "made under variant only"}


def test_a_scenario_compared_with_itself_has_no_flips(found):
    assert found.flips.filter(variant="same").is_empty()
    assert set(found.flips["variant"]) == {"slow", "none"}


def test_flips_are_of_the_first_replication_and_are_found_once(minimal, monkeypatch):
    found = ics.compare(minimal, {"none": {LIST: False}}, replications=2, seed=5, **SMALL)
    expected = naive_flips("none", *(fates(s, replication_seed(5, 0), 4) for s in (minimal, found.variants["none"])))
    assert found.flips.rows() == expected
    monkeypatch.setattr(flips, "run", None)
    assert found.flips.height == len(expected) > 0


def test_flips_leave_no_file_behind(minimal, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert ics.compare(minimal, {"none": {LIST: False}}, replications=1, **SMALL).flips.height > 0
    assert list(tmp_path.iterdir()) == []


def test_flips_that_would_not_fit_on_the_disk_are_refused(minimal, monkeypatch):
    found = ics.compare(minimal, {"none": {LIST: False}}, replications=1, **SMALL)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(ConfigurationError, match=r"flips: .*would take about .* GB"):
        found.flips  # noqa: B018  the look is the test


def test_flips_tell_columns_of_the_same_types_where_nothing_was_made(minimal, found):
    nobody = minimal.replace({"traffic.voice.latent": "0/year", "traffic.sms.latent": "0/year"})
    flips = ics.compare(nobody, {"none": {LIST: False}}, replications=1, **SMALL).flips
    assert flips.is_empty()
    assert flips.schema == found.flips.schema


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        ("traffic.voice.latent", "1e9/year", "traffic"),
        ("hubs.hub.country_code", 66, "hubs"),
        ("population.subscribers", 10_000_000, "population"),
        ("period.warm_up", "6d", "period"),
    ],
)
def test_there_are_no_flips_where_the_traffic_itself_is_another(minimal, path, value, part):
    found = ics.compare(minimal, {"other": {path: value}}, replications=1, **SMALL)
    with pytest.raises(ConfigurationError, match=f"variant 'other': {part}: differs from the baseline's"):
        found.flips  # noqa: B018  the look is the test


# Variants


def test_a_variant_is_the_scenario_with_what_it_changes(minimal):
    found = variants_of(minimal, [("slow", {DELAY: "9h"}), ("as it is", minimal)])
    assert found == {"slow": minimal.replace({DELAY: "9h"}), "as it is": minimal}


def test_a_comparison_needs_a_variant(minimal):
    assert str(refusal(minimal, {})) == "variants: wanted at least one to set beside 'minimal'"


def test_two_variants_do_not_share_a_name(minimal):
    with pytest.raises(ConfigurationError, match="variant 'a': two variants have this name; give it another"):
        variants_of(minimal, [("a", {}), ("b", {}), ("a", {LIST: False})])


def test_a_variant_is_not_called_as_the_baseline(minimal):
    assert str(refusal(minimal, {"minimal": {}})) == "variant 'minimal': the baseline has this name; give it another"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"policies.score-txt.threshold": 1}, "no 'score-txt' in policies; did you mean 'score-text'?"),
        ({DELAY: "-1h"}, f"minimal: {DELAY}: got '-1h'"),
        ({"police.dealy": "1h"}, "no such key; did you mean 'delay'?"),
    ],
)
def test_a_change_that_does_not_fit_is_told_with_its_variant(minimal, changes, told):
    error = str(refusal(minimal, {"good": {}, "bad": changes}))
    assert error.startswith("variant 'bad': ")
    assert told in error


def test_an_option_that_does_not_fit_a_variant_is_told_with_it(minimal):
    error = refusal(minimal, {"soon": {DELAY: "1h"}}, slice_us=7_200_000_000)
    assert str(error).startswith("variant 'soon': slice: got '2h'; wanted 1min to 1h")


@pytest.mark.parametrize(
    ("option", "given"), [("replications", 0), ("replications", 10_001), ("seed", -1), ("scale", 0), ("days", 15)]
)
def test_an_option_out_of_range_is_refused(minimal, option, given):
    error = refusal(minimal, {"a": {}}, **{option: given})
    assert (error.where, error.given) == (option, given)


@pytest.mark.parametrize(
    ("text", "variant"),
    [
        ("slow: police.delay=2d", ("slow", {"police.delay": "2d"})),
        (" two words :a.b=1,c=0.5 ", ("two words", {"a.b": 1, "c": 0.5})),
        ("x: a=[1, 2], b={c = 1, d = 'u,v'}, e=true", ("x", {"a": [1, 2], "b": {"c": 1, "d": "u,v"}, "e": True})),
        ("at: a=x:y, b=c:d", ("at", {"a": "x:y", "b": "c:d"})),
        ("q: a='x, y=1', b=it's", ("q", {"a": "x, y=1", "b": "it's"})),
    ],
)
def test_a_variant_is_read_from_its_text(text, variant):
    assert parse_variant(text) == variant


@pytest.mark.parametrize("text", ["", "a", "a=1", ":a=1", " : a=1", "policies.x.start=10:00"])
def test_a_variant_has_a_name(text):
    with pytest.raises(ConfigurationError, match="wanted 'NAME: PATH=VALUE, ") as caught:
        parse_variant(text)
    assert (caught.value.where, caught.value.given) == ("--variant", text)


@pytest.mark.parametrize("text", ["a:", "a: b", "a: =1", "a: b=1,", "a: b=1,,c=2"])
def test_a_variant_changes_values_at_paths(text):
    with pytest.raises(ConfigurationError, match=r"--variant: got .*wanted PATH=VALUE"):
        parse_variant(text)


# What is kept


def test_a_comparison_is_kept_whole_and_without_leftovers(found, tmp_path):
    kept = found.save(tmp_path / "deep" / "kept")
    assert [path.name for path in kept.parent.iterdir()] == ["kept"]
    assert sorted(path.name for path in kept.iterdir()) == ["effects.parquet", "manifest.json", "values.parquet"]
    assert pl.read_parquet(kept / "effects.parquet").equals(found.effects)
    manifest = json.loads((kept / "manifest.json").read_text("utf-8"))
    told = found.as_json()
    del told["effects"]
    assert told.items() <= manifest.items()
    assert manifest["seeds"] == [replication_seed(1, n) for n in range(3)]
    assert ics.Scenario.model_validate(manifest["resolved_scenario"]) == found.baseline
    resolved = manifest["resolved_variants"]
    assert {name: ics.Scenario.model_validate(tables) for name, tables in resolved.items()} == found.variants
    assert {"versions", "machine", "written"} <= set(manifest)


def test_nothing_is_written_over(found, tmp_path):
    with pytest.raises(ResultsError, match="something is there already"):
        found.save(tmp_path)
    assert list(Path(tmp_path).iterdir()) == []


@pytest.mark.slow
def test_people_flip_where_their_stories_end_otherwise_and_nobody_does_under_the_same_scenario():
    china = ics.load("china-2025").replace({"people.internet": "4e8/year", "period.warm_up": "1d"})
    no_visits = {"policies.visit-in-person.enabled": False, "policies.call-96110.enabled": False}
    found = ics.compare(china, {"same": {}, "no desks": no_visits}, replications=1, scale=20_000, days=12)
    flipped = found.people_flips
    assert set(flipped["variant"]) == {"no desks"}
    assert flipped["person"].is_unique().all()
    assert (
        flipped["baseline_end"].ne_missing(flipped["variant_end"])
        | (flipped["baseline_yuan"] != flipped["variant_yuan"])
    ).all()
    stopped = flipped.filter(baseline_end="stops, warned")
    assert (stopped["variant_yuan"] >= stopped["baseline_yuan"]).mean() > 0.8  # nobody called or visited them
