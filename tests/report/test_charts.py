"""Charts, by their specifications: what they draw adds up to what the run found, and what they say is true of it."""

import dataclasses
import json
import math

import polars as pl
import pytest

from interceptsim.ledger import provinces
from interceptsim.report import charts, charts_response, charts_setting, charts_studies
from interceptsim.report.look import BLUE, VERMILION, amount, between, listed, per_cent, sized
from interceptsim.report.page import page_of


def data_of(figure):
    """Return the rows of a chart's one or several frames, one after another."""
    return [row for rows in figure.spec()["datasets"].values() for row in rows]


def rows_named(figure):
    return {row["name"]: row for row in data_of(figure) if "name" in row}


# Numbers in words


@pytest.mark.parametrize(
    ("value", "text"),
    {
        0: "0",
        1: "1",
        0.25: "0.25",
        99.96: "100",
        999: "999",
        999.6: "1 k",
        1000: "1 k",
        -41_500: "\N{MINUS SIGN}41.5 k",
        3.648e9: "3.65 bn",
        2.0756e12: "2.08 tn",
        1e-7: "1e-07",
    }.items(),
)
def test_amounts_have_three_digits_and_a_unit(value, text):
    assert amount(value).replace("\N{NO-BREAK SPACE}", " ").replace("1.00e", "1e") == text


def test_intervals_are_in_the_unit_of_their_middle():
    assert between(3.5809e9, 3.7154e9, 3.648e9) == "3.58 – 3.72"
    assert between(0, 480_000, 0) == "0 – 480\N{NO-BREAK SPACE}k"
    assert between(-763_000, -70_000, 763_000) == "\N{MINUS SIGN}763 to \N{MINUS SIGN}70"


def test_shares_are_told_apart_from_all_and_nothing():
    shown = [per_cent(share).replace("\N{NO-BREAK SPACE}", " ") for share in (0, 1, 0.5, 0.9996, 0.0123, 0.00004)]
    assert shown == ["0 %", "100 %", "50 %", "100.0 %", "1.2 %", "0.00 %"]


def test_names_are_listed_with_a_last_and():
    assert [listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


def test_sizes_fit_the_largest():
    assert [sized(n) for n in (0, 999, 1e3, 4.6e9)] == [(1.0, ""), (1.0, ""), (1e3, "thousand"), (1e9, "billion")]


# Runs


def test_every_chart_of_every_page_is_valid_small_and_says_a_finding(harmed, compared, swept, searched):
    names = set()
    for shown in (harmed, compared, swept, searched.sweep):
        figures = page_of(shown).figures
        assert len({figure.name for figure in figures}) == len(figures)
        for figure in figures:
            names.add(figure.name)
            spec = figure.spec()
            assert spec["$schema"].startswith("https://vega.github.io/schema/vega-lite/")
            assert spec["width"] == "container"
            assert "title" not in spec
            assert len(figure.finding.split()) > 2
            assert all(len(row) == len(figure.head) for row in figure.rows)
            text = json.dumps(spec)
            assert "NaN" not in text
            assert "Infinity" not in text
            titled = figure.spec(640, titled=True)
            assert " ".join(titled["title"]["text"]) == figure.finding
    assert {"targets", "funnel-voice", "daily-sms", "ordinary-by-class", "waits", "harm-by-province", "front"} <= names


def test_days_add_up_to_the_estimates(run):
    found = charts.counted(run, "date")
    for channel in ("voice", "sms"):
        for kind, metric in (("intercepted", "intercepted"), ("got through", "delivered")):
            total = found.filter(channel=channel, kind=kind)["value"].sum()
            assert math.isclose(total, run.estimate(f"{channel}.{metric}").value, rel_tol=1e-4)


def test_the_steps_of_the_funnel_lead_from_one_bar_to_the_next(run):
    for channel, last in (("voice", "answered"), ("sms", "delivered")):
        rows = data_of(charts.funnel(run, channel))
        assert rows[0]["name"] == "latent"
        assert rows[-1]["name"] == last
        size, _ = sized(run.estimate(f"{channel}.latent").value)
        left = None
        for row in rows[2:]:
            if row["kind"] == "taken":
                assert math.isclose(row["end"], left, abs_tol=2e-5)
                left = row["start"]
            else:
                assert row["start"] == 0
                assert left is None or math.isclose(row["end"], left, abs_tol=2e-5)
                left = row["end"]
        assert math.isclose(left * size, run.estimate(f"{channel}.{last}").value, rel_tol=1e-3)


def test_fitted_figures_are_told_from_predicted_ones(run):
    calls, messages = run.targets[:2]
    fitted = charts.targets(dataclasses.replace(run, targets=(calls, messages)))
    assert "all fitted" in fitted.finding
    assert [row[-1] for row in fitted.rows] == ["fitted", "fitted"]
    predicted = dataclasses.replace(calls, role="predicted")
    figure = charts.targets(dataclasses.replace(run, targets=(predicted, messages)))
    assert "1 of them fitted" in figure.finding
    assert {row["role"] for row in data_of(figure) if "role" in row} == {"fitted", "predicted"}


def test_what_a_rule_alone_matched_lies_within_what_it_matched(run):
    for channel in ("voice", "sms"):
        figure = charts.rules(run, channel)
        rows = rows_named(figure)
        assert rows
        for name, row in rows.items():
            assert 0 <= row["alone"] <= row["matched"] <= 1
            counted = run.metrics[f"{channel}.matched by {name}"] / run.metrics[f"{channel}.made"]
            assert math.isclose(row["matched"], counted)
        assert max(rows, key=lambda name: rows[name]["matched"]) in figure.finding


def test_the_rule_that_cuts_off_most_ordinary_callers_is_named(run):
    figure = charts.ordinary_by_rule(run, "sms")
    rows = rows_named(figure)
    worst = max(rows.values(), key=lambda row: row["value"])
    assert worst["value"] > 0
    assert figure.finding.startswith(worst["name"])
    assert {row["seen"] for row in rows.values()} == {True, False}


def test_ordinary_classes_stand_in_the_order_of_what_they_lose(run):
    rows = [row for row in data_of(charts.ordinary_by_class(run)) if "seen" in row]
    assert len(rows) == len(run.scenario.traffic.ordinary)
    assert [row["value"] for row in rows] == sorted((row["value"] for row in rows), reverse=True)


def test_places_add_up_to_what_got_through(run):
    rows = rows_named(charts_setting.sources(run, "voice"))
    size, _ = sized(max(row["made"] for row in charts_rows(run)))
    total = sum(row["through"] for row in rows.values()) * size
    assert math.isclose(total, run.estimate("voice.delivered").value, rel_tol=1e-3)


def charts_rows(run):
    found = charts.counted(run, "hub").filter((pl.col("channel") == "voice") & (pl.col("kind") != "not made"))
    return found.group_by("hub").agg(pl.col("value").sum().alias("made")).to_dicts()


def test_the_band_of_the_unknown_ratio_is_reported_over_ratio(run):
    figure = charts_setting.ratio_band(run)
    reported = run.targets[0].reported
    calls = [row for row in data_of(figure) if row["of"] == "calls"]
    size, _ = sized(reported * (1 / 0.4 - 1))
    for row in calls:
        assert math.isclose(row["through"] * size, reported * (1 / row["ratio"] - 1), rel_tol=1e-3)
    assert min(row["ratio"] for row in calls) == 0.4
    assert max(row["ratio"] for row in calls) == 0.95


def test_trunk_groups_are_drawn_by_their_load_over_circuits(run):
    rows = rows_named(charts_setting.network(run))
    for trunk in run.scenario.network.trunk_groups:
        mean = run.estimate(f"trunk {trunk.id}.carried load").value / trunk.circuits
        assert math.isclose(rows[trunk.id]["mean"], mean)


def test_what_a_run_lacks_has_no_chart(minimal):
    import interceptsim as ics

    bare = ics.run(minimal, scale=20_000, days=1)
    assert charts.targets(bare) is None
    assert charts.ordinary_by_class(bare) is None
    assert charts_setting.network(bare) is None
    assert charts_setting.ratio_band(bare) is None
    for chart in (charts_response.people, charts_response.money, charts_response.waits, charts_response.provinces):
        assert chart(bare) is None
    assert charts_response.harm_by(bare, "fraud_type") is None


# Response and harm


def total(run, measure):
    return run.harm.filter(measure=measure).select((pl.col("count") * pl.col("weight")).sum()).item()


def test_people_and_money_are_the_weighted_counts(harmed):
    shown = {row["name"]: row["shown"] for row in data_of(charts_response.people(harmed))}
    assert shown["paid"].startswith(amount(total(harmed, "paid")))
    money = rows_named(charts_response.money(harmed))
    size, _ = sized(total(harmed, "transferred_fen") / 100)
    assert math.isclose(money["transferred"]["value"] * size, total(harmed, "transferred_fen") / 100)
    assert money["lost"]["color"] == VERMILION
    assert money["transferred"]["color"] == BLUE


def test_harm_shared_out_adds_up_to_what_is_lost(harmed):
    lost = (total(harmed, "transferred_fen") - total(harmed, "returned_fen")) / 100
    size, _ = sized(lost)
    for by, parts in (("fraud_type", 3), ("age_band", 2)):
        rows = rows_named(charts_response.harm_by(harmed, by))
        assert len(rows) == parts
        assert math.isclose(sum(row["value"] for row in rows.values()) * size, lost, rel_tol=1e-3)


def test_every_province_has_a_tile_of_its_own(harmed):
    tiles = charts_response._TILES
    assert {place.id for place in provinces()} == set(tiles)
    assert len({letters for letters, _, _ in tiles.values()}) == 31
    assert len({(column, row) for _, column, row in tiles.values()}) == 31
    drawn = {row["province"] for row in data_of(charts_response.provinces(harmed))}
    assert len(drawn) == 31
    assert {"Guangdong", "Inner Mongolia"} <= drawn


def test_the_desk_with_the_longest_wait_is_named(harmed):
    figure = charts_response.waits(harmed)
    assert "visits (high)" in figure.finding
    assert "5.56 h" in figure.finding.replace("\N{NO-BREAK SPACE}", " ")
    assert [row[0] for row in figure.rows] == ["visits (high)", "96110 (medium)"]


# Studies


def test_differences_are_those_of_the_pairs_over_the_baseline(compared):
    figure = charts_studies.differences(compared, "late", "voice")
    row = rows_named(figure)["got through"]
    [effect] = compared.effects.filter(variant="late", metric="voice.delivered").to_dicts()
    base = compared.values.filter(variant="minimal", metric="voice.delivered")["value"].mean()
    assert math.isclose(row["value"], effect["difference"] / base)
    assert math.isclose(row["low"], effect["low"] / base)
    assert row["told"] == (effect["low"] > 0)
    assert figure.finding.startswith("late: ")


def test_each_pair_is_a_dot(compared):
    dots = [row for row in data_of(charts_studies.pairs(compared, "voice")) if "pair" in row]
    assert len(dots) == len(compared.variants) * len(compared.seeds)


def test_a_grid_is_a_heat_map_of_values_and_of_differences(swept):
    figures = {figure.name: figure for figure in charts_studies.sweep_figures(swept)}
    assert len(figures) == 4
    assert len(data_of(figures["voice-delivered"])) == 6
    changes = data_of(figures["voice-delivered-no-list"])
    assert all(row["shown"].startswith("+") for row in changes)
    ratios = data_of(figures["voice-interception-ratio-no-list"])
    assert all(row["shown"].endswith("pp") for row in ratios)


def test_the_front_is_of_points_that_none_is_better_than(searched):
    rows = [row for row in data_of(charts_studies.front_of_objectives(searched.sweep)) if "status" in row]
    best = {(row["x"], row["y"]) for row in rows if row["status"] == "front"}
    worse = {(row["x"], row["y"]) for row in rows if row["status"] != "front"}
    assert best
    assert not any(x <= a and y <= b and (x, y) != (a, b) for x, y in best for a, b in best)
    assert all(any(x <= a and y <= b for x, y in best) for a, b in worse)
    assert len(best) == searched.front.height
    assert charts_studies.front(searched).name == "front"


def test_metrics_are_said_in_words():
    told = {
        "voice.delivered": "calls delivered",
        "ordinary sms.intercepted": "ordinary messages intercepted",
        "voice.interception ratio": "interception ratio of calls",
        "police.handed over": "police.handed over",
    }
    assert {metric: charts_studies.said(metric) for metric in told} == told
