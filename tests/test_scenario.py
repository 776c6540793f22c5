"""Scenarios: what one holds, how it is changed by paths, and how each mistake is told."""

import datetime as dt
import json
import math
import tomllib

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from interceptsim.errors import ConfigurationError
from interceptsim.filtering.policies import ScoreText
from interceptsim.ledger import figures, shipped, shipped_names
from interceptsim.registry import policy_kinds
from interceptsim.scenario import (
    MAX_SLICE_US,
    MIN_SLICE_US,
    Fitted,
    Scenario,
    schema,
)
from interceptsim.scenario_files import load
from interceptsim.units import DAY_US, HOUR_US, MINUTE_US

SHIPPED = shipped_names("configs")


def refused_change(scenario, changes):
    """Return the error that changing a scenario gives."""
    with pytest.raises(ConfigurationError) as caught:
        scenario.replace(changes)
    return caught.value


def leaves(at, path=()):
    """Yield (path, value) of every value in plain tables, entries of lists being named by their ids."""
    if isinstance(at, dict):
        for key, value in at.items():
            yield from leaves(value, (*path, key))
    elif isinstance(at, list) and at and all(isinstance(entry, dict) for entry in at):
        for entry in at:
            yield from leaves(entry, (*path, entry["id"]))
    else:
        yield ".".join(path), at


def values_of(scenario):
    return dict(leaves({key: value for key, value in scenario.as_dict().items() if key != "fitted"}))


# What is shipped


@pytest.mark.parametrize("name", SHIPPED)
def test_a_scenario_reads_back_from_its_tables_equal(name):
    scenario = load(name)
    tables = json.loads(json.dumps(scenario.as_dict()))
    assert Scenario.model_validate(tables) == scenario
    assert Scenario.model_validate(tables).as_dict() == tables


def test_minimal_says_what_it_is(minimal):
    assert minimal.period.days == 14
    assert minimal.traffic.voice.latent == 2e9
    assert [p.id for p in minimal.policies] == ["reject-listed-numbers", "limit-attempts", "score-text"]
    assert minimal.police.delay.law == (2, 2 * HOUR_US, 16.0 * HOUR_US, 0.9)


def test_a_scenario_cannot_be_changed_in_place(minimal):
    with pytest.raises(ValidationError, match="frozen"):
        minimal.title = "another"
    with pytest.raises(ValidationError, match="frozen"):
        minimal.period.end = dt.date(2025, 6, 30)
    with pytest.raises(ValidationError, match="frozen"):
        minimal.policies[0].enabled = False


def test_what_china_2025_calibrates_is_in_the_ledger_with_its_period():
    scenario = load("china-2025")
    assert {t.figure for t in scenario.calibration} == {"calls_intercepted_2025", "sms_blocked_2025"}
    values = values_of(scenario)
    for target in scenario.calibration:
        assert target.volume in values
        assert target.strength in values


# Period


def test_a_year_has_365_days_and_both_ends_count():
    assert load("china-2025").period.days == 365


def test_china_2023_covers_396_days():
    assert load("china-2023").period.days == 396


def test_the_other_reading_of_2023_covers_365_days():
    assert load("china-2023").replace({"period.end": "2023-11-30"}).period.days == 365


def test_a_period_of_one_day_is_admitted(minimal):
    assert minimal.replace({"period.end": "2025-06-02"}).period.days == 1


def test_the_warm_up_is_counted_in_days_and_is_45_where_none_is_given(minimal):
    assert minimal.period.warm_up_days == 7
    tables = minimal.as_dict()
    del tables["period"]["warm_up"]
    assert Scenario.model_validate(tables).period.warm_up == 45 * DAY_US


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"period.end": "2025-06-01"}, "'end' lies before 'start'"),
        ({"period.end": "2035-06-30"}, "at most ten years"),
        ({"period.warm_up": "36h"}, "whole number of days"),
        ({"period.warm_up": "401d"}, "400 at the most"),
        ({"period.warm_up": 7}, "wanted a duration with its unit"),
        ({"period.end": "the end"}, "date"),
    ],
)
def test_a_period_that_makes_no_sense_is_refused(minimal, changes, wanted):
    error = refused_change(minimal, changes)
    assert wanted in str(error)
    assert error.where.startswith("minimal: period")


# Slice and lookahead


def test_the_lookahead_is_the_least_delay_of_an_enabled_list(minimal):
    assert minimal.lookahead_us == minimal.slice_us == 2 * HOUR_US
    lists = [
        {"kind": "reject-listed-numbers", "id": "slow", "delay": "5h"},
        {"kind": "reject-listed-numbers", "id": "quick", "delay": {"minimum": "90min", "mean": "1d"}},
        {"kind": "reject-listed-numbers", "id": "off", "delay": "1h", "enabled": False},
    ]
    changed = minimal.replace({"policies": lists})
    assert changed.lookahead_us == 90 * MINUTE_US
    assert [p.id for p in changed.lists] == ["slow", "quick"]


def test_without_a_list_nothing_is_posted_and_the_slice_is_the_longest(minimal):
    changed = minimal.replace({"policies.reject-listed-numbers.enabled": False})
    assert changed.lookahead_us is None
    assert changed.slice_us == MAX_SLICE_US == 6 * HOUR_US


def test_a_long_delay_does_not_make_the_slice_longer_than_the_longest(minimal):
    changed = minimal.replace({"policies.reject-listed-numbers.delay": "3d"})
    assert changed.lookahead_us == 3 * DAY_US
    assert changed.slice_us == MAX_SLICE_US


def test_a_delay_at_the_floor_is_admitted(minimal):
    changed = minimal.replace({"policies.reject-listed-numbers.delay": "60s"})
    assert changed.lookahead_us == changed.slice_us == MIN_SLICE_US


def test_a_delay_under_the_floor_is_refused(minimal):
    error = refused_change(minimal, {"policies.reject-listed-numbers.delay": "30s"})
    assert str(error).startswith("minimal: policies.reject-listed-numbers.delay: got '30s'; at least 1min is wanted")


def test_the_list_whose_delay_is_under_the_floor_is_named(minimal):
    lists = [
        {"kind": "reject-listed-numbers", "id": name, "delay": delay} for name, delay in (("a", "2h"), ("b", "1s"))
    ]
    error = refused_change(minimal, {"policies": lists})
    assert (error.where, error.given) == ("minimal: policies.b.delay", "1s")


def test_the_floor_is_of_the_minimum_and_not_of_the_mean(minimal):
    error = refused_change(minimal, {"policies.reject-listed-numbers.delay": {"minimum": "59s", "mean": "9h"}})
    assert "59s" in str(error)


def test_a_delay_under_the_floor_does_not_matter_on_a_list_that_is_off(minimal):
    off = {"policies.reject-listed-numbers.enabled": False, "policies.reject-listed-numbers.delay": "1s"}
    assert minimal.replace(off).lookahead_us is None


def test_a_negative_delay_is_refused_by_its_path(minimal):
    error = refused_change(minimal, {"policies.reject-listed-numbers.delay": "-2h"})
    assert error.where == "minimal: policies.reject-listed-numbers.delay"
    assert error.given == "-2h"
    assert "cannot be negative" in error.wanted


# Paths and replace


def test_replace_gives_a_changed_copy_and_leaves_the_scenario_as_it_was(minimal):
    changed = minimal.replace({"policies.limit-attempts.enabled": False, "hubs.hub.place": "elsewhere"})
    assert not changed.policies[1].enabled
    assert changed.hubs[0].place == "elsewhere"
    assert minimal.policies[1].enabled
    assert minimal.replace({}) == minimal


def test_replace_takes_values_as_they_are_written(minimal):
    changed = minimal.replace({"police.delay.median": "12h", "traffic.voice.latent": "1e6/day"})
    assert changed.police.delay.median == 12 * HOUR_US
    assert changed.traffic.voice.latent == 365e6


def test_replace_takes_whole_tables_and_policies_as_objects(minimal):
    policy = ScoreText.model_validate({"kind": "score-text", "threshold": 0.9})
    delay = {"minimum": "3h", "mean": "4h"}
    assert minimal.replace({"police.delay": delay}).police.delay.law == (1, 3 * HOUR_US, 4.0 * HOUR_US, 0.0)
    assert minimal.replace({"policies": [policy]}).policies == (policy,)


def test_later_paths_see_what_earlier_ones_put_there(minimal):
    changed = minimal.replace({"police.delay": {"minimum": "1h", "mean": "2h"}, "police.delay.mean": "5h"})
    assert changed.police.delay.mean == 5 * HOUR_US


def test_every_value_of_a_scenario_is_addressed_by_its_path(minimal):
    values = values_of(minimal)
    assert len(values) > 60
    for path, value in values.items():
        assert minimal.replace({path: value}) == minimal, path


CHINA = load("china-2025")
CHINA_VALUES = values_of(CHINA)


@settings(max_examples=40)
@given(st.sampled_from(sorted(CHINA_VALUES)))
def test_a_value_put_back_by_its_path_changes_nothing(path):
    assert CHINA.replace({path: CHINA_VALUES[path]}) == CHINA


@settings(max_examples=40)
@given(st.sampled_from(sorted(CHINA_VALUES)), st.integers(0, 5))
def test_a_path_with_a_wrong_key_leads_nowhere(path, position):
    keys = path.split(".")
    keys[position % len(keys)] += "-zz"
    with pytest.raises(ConfigurationError):
        CHINA.replace({".".join(keys): CHINA_VALUES[path]})


@settings(max_examples=60)
@given(
    st.one_of(
        st.text(),
        st.lists(st.sampled_from(["policies", "score-text", "hubs", "hub", "period", "", "0", "fitted"])).map(".".join),
        st.sampled_from(["policies.score-text", "traffic.lines", "hubs.hub.fraud_types.dating", "name", "period"]),
    ),
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers()), st.just({})),
)
def test_whatever_is_put_anywhere_fits_or_is_refused(path, value):
    scenario = load("minimal")
    try:
        changed = scenario.replace({path: value})
    except ConfigurationError:
        return
    assert isinstance(changed, Scenario)


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("policis.score-text.threshold", "policies"),
        ("policies.score-txt.threshold", "score-text"),
        ("traffic.lines.call.share", "calls"),
        ("traffic.voise.latent", "voice"),
        ("police.delay.medan", "median"),
        ("period.warmup", "warm_up"),
        ("policies.score-text.treshold", "threshold"),
    ],
)
def test_an_unknown_key_of_a_path_is_refused_with_the_nearest(minimal, path, nearest):
    error = refused_change(minimal, {path: 1})
    assert error.nearest == nearest
    assert path in str(error)


@pytest.mark.parametrize(
    "path",
    [
        "hubs.hub.country_code",
        "police.sms_complaint_ratio",
        "traffic.lines.calls.share",
        "policies.limit-attempts.per_day.warn",
    ],
)
def test_true_is_no_number(minimal, path):
    error = refused_change(minimal, {path: True})
    assert str(error) == f"minimal: {path}: wanted a number, not true or false"


def test_true_is_no_number_in_a_list_either(minimal):
    error = refused_change(minimal, {"traffic.profiles.day.hours": [1] * 20 + [True] * 4})
    assert error.where == "minimal: traffic.profiles.day.hours.20"


def test_an_entry_of_a_list_is_no_value(minimal):
    error = refused_change(minimal, {"policies.score-text": {"kind": "score-text", "threshold": 0.5}})
    assert "wanted the path of a value" in str(error)


def test_a_path_below_a_value_leads_nowhere(minimal):
    error = refused_change(minimal, {"hubs.hub.place.street": "x"})
    assert "'hubs.hub.place' is a value, not a table" in str(error)


def test_an_error_in_an_entry_of_a_list_names_the_id_and_not_the_position(minimal):
    error = refused_change(minimal, {"traffic.lines.messages.attempts_per_day": -1})
    assert error.where == "minimal: traffic.lines.messages.attempts_per_day"
    assert error.given == -1


# What a scenario refuses


def test_shares_of_carriers_sum_to_one(minimal):
    error = refused_change(minimal, {"population.carriers.one.share": 0.9})
    assert error.where == "minimal: population.carriers"
    assert "sum to 0.9, not to 1" in str(error)


def test_shares_of_the_lines_of_a_channel_sum_to_one(minimal):
    error = refused_change(minimal, {"traffic.lines.calls.share": 0.5})
    assert "shares of the voice line groups sum to 0.5, not to 1" in str(error)


def test_shares_of_a_channel_without_volume_need_not_sum_to_one(minimal):
    changed = minimal.replace({"traffic.voice.latent": "0/year", "traffic.lines.calls.share": 0.5})
    assert changed.traffic.voice.latent == 0


def test_shares_of_the_fraud_types_of_a_hub_sum_to_one(minimal):
    error = refused_change(minimal, {"hubs.hub.fraud_types.dating": 0.5})
    assert error.where == "minimal: hubs.hub.fraud_types"
    assert "sum to 1.1, not to 1" in str(error)


@pytest.mark.parametrize("share", [-0.1, 1.5, math.nan, "all"])
def test_a_share_lies_from_nought_to_one(minimal, share):
    assert refused_change(minimal, {"population.carriers.one.share": share}).where.endswith("carriers.one.share")


@pytest.mark.parametrize(("key", "given", "nearest"), [("hub", "hob", "hub"), ("profile", "days", "day")])
def test_an_unknown_hub_or_profile_is_refused_with_the_nearest(minimal, key, given, nearest):
    error = refused_change(minimal, {f"traffic.lines.calls.{key}": given})
    assert f"traffic.lines.calls.{key}: no {key} {given!r}; did you mean {nearest!r}?" in str(error)


def test_an_unknown_kind_of_policy_is_refused_with_the_nearest(minimal):
    error = refused_change(minimal, {"policies": [{"kind": "score-txt", "threshold": 0.5}]})
    assert "no such policy: 'score-txt'; did you mean 'score-text'?" in str(error)


def test_a_policy_without_a_kind_is_refused(minimal):
    error = refused_change(minimal, {"policies": [{"threshold": 0.5}]})
    assert error.where == "minimal: policies.0"
    assert "wanted a table with the 'kind' of a policy" in str(error)


def test_a_message_rule_put_on_calls_is_refused(minimal):
    error = refused_change(minimal, {"policies.score-text.channels": ["voice"]})
    assert error.where == "minimal: policies.score-text.channels"
    assert "this rule works on sms, not on 'voice'" in str(error)


def test_two_policies_do_not_share_an_id(minimal):
    twice = [{"kind": "reject-spoofed-origin"}, {"kind": "score-text", "id": "reject-spoofed-origin", "threshold": 1}]
    assert "id 'reject-spoofed-origin' is used twice" in str(refused_change(minimal, {"policies": twice}))


def test_two_carriers_do_not_share_an_id(minimal):
    carriers = [{"id": "one", "share": 0.5}, {"id": "one", "share": 0.5}]
    error = refused_change(minimal, {"population.carriers": carriers})
    assert str(error) == "minimal: population.carriers: id 'one' is used twice; give each its own 'id'"


@pytest.mark.parametrize("where", ["hubs", "traffic.lines", "traffic.profiles", "calibration"])
def test_an_id_is_used_once(where):
    tables = CHINA.as_dict()
    for key in where.split("."):
        tables = tables[key]
    assert "used twice" in str(refused_change(CHINA, {where: [*tables, tables[0]]}))


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"traffic.lines.calls.text": {"mean": 0.5, "deviation": 0.1, "jitter": 0}}, "calls have none"),
        ({"traffic.lines.calls.cli": "fixed"}, "'presents' names the number"),
        ({"traffic.lines.calls.presents": "95588"}, "'presents' names the number"),
        ({"traffic.lines.calls.presents": "call me"}, "wanted a telephone number"),
        ({"traffic.lines.calls.entry": "a2p-account"}, "an A2P account sends messages"),
        ({"traffic.lines.calls.number_life": "30min"}, "at least 1h in the mean"),
        ({"traffic.profiles.day.hours": [0] * 24}, "an hour and a day that are not silent"),
        ({"traffic.profiles.day.hours": [1] * 23}, "24"),
        ({"population.subscribers": 999}, "1000"),
        ({"population.subscribers": 2_000_000_000}, "1990000000"),
        ({"hubs": []}, "at least 1"),
        ({"police.voice_complaint_ratio": 1.1}, "less than or equal to 1"),
        ({"traffic.voice.latent": 2e9}, "wanted a volume with its period"),
        ({"name": "A Name"}, "match pattern"),
    ],
)
def test_what_does_not_fit_together_is_refused(minimal, changes, wanted):
    assert wanted in str(refused_change(minimal, changes))


def test_a_whole_number_of_subscribers_may_be_written_as_a_float(minimal):
    assert minimal.replace({"population.subscribers": 1.83e9}).population.subscribers == 1_830_000_000
    assert "integer" in str(refused_change(minimal, {"population.subscribers": 1000.5}))


def test_a_target_of_an_unknown_figure_is_refused_with_the_nearest():
    error = refused_change(CHINA, {"calibration.voice.figure": "calls_intercepted_2052"})
    assert error.where == "china-2025: calibration.voice.figure"
    assert error.nearest == "calls_intercepted_2025"


def test_a_target_of_a_figure_without_a_period_is_refused():
    undated = next(f.id for f in figures() if f.start is None or f.end is None)
    assert f"no dated figure '{undated}'" in str(refused_change(CHINA, {"calibration.sms.figure": undated}))


# Fitted values


@pytest.fixture
def fitted(minimal):
    values = {"policies.score-text.threshold": 0.55, "traffic.voice.latent": "7e8/year"}
    return minimal.fit({path: Fitted(value=v, figure="a figure", under="a ratio") for path, v in values.items()})


def test_a_fitted_value_that_is_replaced_is_fitted_no_more(fitted):
    changed = fitted.replace({"policies.score-text.threshold": 0.8})
    assert changed.policies[2].threshold == 0.8
    assert set(changed.fitted) == {"traffic.voice.latent"}
    assert changed.traffic.voice.latent == 7e8


@pytest.mark.parametrize("path", ["policies", "traffic.voice", "traffic"])
def test_a_fitted_value_is_fitted_no_more_where_a_table_above_it_is_replaced(fitted, path):
    tables = fitted.as_dict()
    tables["policies"][2]["threshold"] = 0.9
    tables["traffic"]["voice"]["latent"] = "1e9/year"
    for key in path.split("."):
        tables = tables[key]
    changed = fitted.replace({path: tables})
    left = "policies.score-text.threshold" if path.startswith("traffic") else "traffic.voice.latent"
    assert set(changed.fitted) == {left}


def test_a_fitted_value_is_fitted_no_more_where_its_policy_is_left_out(fitted):
    assert set(fitted.replace({"policies": []}).fitted) == {"traffic.voice.latent"}
    assert set(fitted.with_policies([]).fitted) == {"traffic.voice.latent"}


def test_the_same_value_written_otherwise_is_still_fitted(fitted):
    assert fitted.replace({"traffic.voice.latent": "0.7e9/year"}) == fitted


def test_what_is_fitted_is_not_set_but_by_its_value(fitted):
    for path, value in (("fitted", 5), ("fitted", []), ("fitted", {}), ("fitted.traffic", 3)):
        assert "`interceptsim calibrate` writes it" in str(refused_change(fitted, {path: value}))


def test_another_value_replaced_leaves_what_is_fitted(fitted):
    assert fitted.replace({"police.delay.median": "3h"}).fitted == fitted.fitted


def test_a_scenario_fitted_from_python_says_so(minimal):
    entry = Fitted(value=0.55, figure="sms_blocked_2025", under="an interception ratio of 0.75 (assumed)")
    scenario = minimal.fit({"policies.score-text.threshold": entry})
    assert scenario.policies[2].threshold == 0.55
    assert scenario.fitted == {"policies.score-text.threshold": entry}
    assert Scenario.model_validate(scenario.as_dict()) == scenario


# JSON Schema


@pytest.fixture(scope="module")
def json_schema():
    return json.loads(schema())


def every_table(at):
    if isinstance(at, dict):
        yield at
    for value in at.values() if isinstance(at, dict) else at if isinstance(at, list) else ():
        yield from every_table(value)


def test_the_schema_is_json_and_names_every_key_of_a_scenario(json_schema):
    assert list(json_schema["properties"]) == list(Scenario.model_fields)
    assert json_schema["additionalProperties"] is False


def test_the_schema_lists_every_kind_of_policy_in_order(json_schema):
    offered = json_schema["properties"]["policies"]["items"]["oneOf"]
    assert [policy["properties"]["kind"]["const"] for policy in offered] == list(policy_kinds())


def test_every_reference_of_the_schema_leads_somewhere(json_schema):
    references = {table["$ref"] for table in every_table(json_schema) if "$ref" in table}
    assert len(references) > 5
    assert {reference.removeprefix("#/$defs/") for reference in references} <= set(json_schema["$defs"])


def as_json(at):
    """Return TOML's tables as JSON has them: dates become texts."""
    if isinstance(at, dict):
        return {key: as_json(value) for key, value in at.items()}
    if isinstance(at, list):
        return [as_json(value) for value in at]
    return at.isoformat() if isinstance(at, dt.date) else at


def shipped_tables(name):
    return as_json(tomllib.loads(shipped("configs", f"{name}.toml").read_text("utf-8")))


@pytest.mark.parametrize("name", ["china-2025", "minimal"])
def test_the_schema_admits_what_is_shipped(json_schema, name):
    jsonschema.Draft202012Validator.check_schema(json_schema)
    jsonschema.validate(shipped_tables(name), json_schema)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_schema_admits_a_scenario_written_out(json_schema, name):
    jsonschema.validate(load(name).as_dict(), json_schema)


def test_the_schema_refuses_an_unknown_key_and_a_delay_without_a_unit(json_schema):
    validator = jsonschema.Draft202012Validator(json_schema)
    for change in ({"polcies": []}, {"police": {**shipped_tables("minimal")["police"], "delay": 2}}):
        assert not validator.is_valid({**shipped_tables("minimal"), **change})


def test_defaults_in_the_schema_stand_as_they_are_written(json_schema):
    properties = [
        table["properties"] for table in every_table(json_schema) if isinstance(table.get("properties"), dict)
    ]
    defaults = {
        key: field["default"]
        for fields in properties
        for key, field in fields.items()
        if field.get("default") is not None and "pattern" in field
    }
    assert defaults["warm_up"] == "45d"
    assert defaults["minimum"] == "0s"
    assert defaults["publish_every"] == "1h"
    assert all(isinstance(default, str) for default in defaults.values())
