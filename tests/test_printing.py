"""What is printed for people: numbers in the unit that fits, and every table of a run and of a comparison."""

import re
from dataclasses import replace

import polars as pl
import pytest

import interceptsim as ics
from interceptsim.audit import Audit, View
from interceptsim.printing import _difference, print_audit, print_comparison, print_run, progress_bar
from interceptsim.separation import Leaf


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def test_a_ratio_is_printed_with_four_decimals_at_both_ends(capsys):
    run = ics.run(ics.load("minimal"), scale=10_000, days=1)
    ratio = pl.col("unit") == "ratio"
    ends = {"value": 0.8, "low": 0.799, "high": 0.80880001}
    told = [pl.when(ratio).then(end).otherwise(name).alias(name) for name, end in ends.items()]
    print_run(replace(run, summary=run.summary.with_columns(told)))
    shown = [line.split() for line in capsys.readouterr().out.splitlines() if "interception ratio" in line]
    assert shown == [["interception", "ratio", "0.8000", "0.7990", "–", "0.8088", "few", "lines"]] * 2


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (("voice.made", 4.5e9, -3.2e6, -3.5e6, -2.9e6), ("4.500 bn", "-3.200 M", "-3.500 – -2.900")),
        (("voice.made", 4.5e9, 0.2e6, -3.1e6, 3.5e6), ("4.500 bn", "+0.200 M", "-3.100 – 3.500")),
        (("sms.made", 0.0, 1200.0, None, None), ("0", "+1.200 k", "")),
        (("sms.made", 0.0, 0.0, 0.0, 0.0), ("0", "0", "0 – 0")),
        (("voice.interception ratio", 0.8, -0.01, -0.02, 0.005), ("0.8000", "-0.0100", "-0.0200 – 0.0050")),
        (("sms.interception ratio", 0.75, 0.01, None, None), ("0.7500", "+0.0100", "")),
    ],
)
def test_a_difference_and_its_interval_are_printed_in_one_unit_with_their_signs(row, shown):
    assert _difference(*row) == shown


@pytest.fixture
def compared(minimal):
    changes = {"policies.score-text.enabled": False}
    return ics.compare(minimal, {"[b]no texts[/b]": changes, "same": {}}, replications=2, scale=10_000, days=3)


def test_a_variant_without_raids_is_told_by_hub_and_month(minimal, capsys):
    raid = {"id": "raid", "hub": "hub", "date": "2025-06-04", "taken_ratio": 0.5}
    raids = {"kind": "raid-hubs", "raids": [raid], "returning_ratio": 0}
    struck = minimal.replace({"policies": [*minimal.as_dict()["policies"], raids]})
    variants = {"no raids": {"policies.raid-hubs.enabled": False}, "no texts": {"policies.score-text.enabled": False}}
    print_comparison(ics.compare(struck, variants, replications=2, scale=10_000, days=5))
    printed = capsys.readouterr().out
    assert printed.count("by hub and month") == 1
    [row] = [line.split() for line in printed.splitlines() if " 2025-06 " in line]
    assert row[0] == "hub"
    assert row[4].startswith("+")


def test_each_variant_has_a_table_for_each_channel_with_what_differs(compared, capsys):
    print_comparison(compared)
    printed = capsys.readouterr().out
    titles = re.findall(r"^(.*): (calls|messages) *$", printed, re.MULTILINE)
    assert titles == [(name, unit) for name in ("[b]no texts[/b]", "same") for unit in ("calls", "messages")]
    assert "latent " not in printed.partition("[b]no texts[/b]")[2]
    by_rule = [line.split() for line in printed.splitlines() if "by score-text" in line]
    assert by_rule[0][4].startswith("-")
    assert by_rule[1][-4:] == ["0", "0", "–", "0"]


def test_one_pair_is_printed_without_an_interval(minimal, capsys):
    changes = {"policies.score-text.enabled": False}
    print_comparison(ics.compare(minimal, {"no texts": changes}, replications=1, scale=10_000, days=3))
    printed = capsys.readouterr().out
    assert "in 1 pair of runs" in printed
    assert "one pair gives no interval" in printed
    assert "95 %" not in printed


def test_progress_is_drawn_on_standard_error_or_not_at_all(capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress_bar("a run", shown=False) as progress:
        assert progress is None
    assert capfd.readouterr() == ("", "")
    with progress_bar("[a] run", shown=True) as progress:
        progress(3, 10, 1_000_000)
    drawn = capfd.readouterr()
    assert drawn.out == ""
    assert "[a] run" in drawn.err
    assert "day 3 of 10" in drawn.err


def test_an_audit_prints_columns_rules_and_callers_as_they_are_named(minimal, capsys):
    run = ics.run(minimal, scale=10_000, days=1)
    columns = pl.DataFrame({"column": ["entry", "[b]"], "by_value": [0.5, 0.6], "by_code": [0.97, 0.4]}).with_columns(
        auc=pl.Series([0.97, 0.6]), exceeds=pl.Series([True, False])
    )
    rules = (Leaf("entry < 2", 0.99, 0.9, 0.0123), Leaf("entry >= 2", 0.1, 0.1, 0.9877))
    quantiles = {f"q{q:02}": [float(q), 1.0] for q in (5, 25, 50, 75, 95)}
    of = {"channel": ["voice"] * 2, "callers": ["fraud", "[i]"], "numbers": [1234, 5], "days": [7, 1]}
    callers = pl.DataFrame({**of, "statistic": ["attempts"] * 2, **quantiles})
    print_audit(Audit(run, 0.95, (View("voice", "attempt", 12345, 678, columns, 0.987, rules),), callers))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for shown in (
        "voice, by attempt (12,345 of fraud, 678 ordinary)",
        "entry 0.500 0.970 0.970 above the limit",
        "[b] 0.600 0.400 0.600",
        "tree over all columns: AUC 0.987",
        "entry < 2 0.9000 0.0123",
        "attempts fraud 1,234 7 5 25 50 75 95",
        "[i] 5 1 1 1 1 1 1",
        "1 column above 0.95",
    ):
        assert shown in lines


@pytest.mark.parametrize("reacts", [False, True])
def test_a_strict_and_a_mild_limit_are_printed_side_by_side_before_and_after_the_reaction(reacts, capsys):
    mild = ics.load("fan-out-limit").replace({"adaptations.*.enabled": reacts, "period.warm_up": "1d"})
    strict = {"strict": {"policies.limit-fan-out.distinct.critical": 90}}
    found = ics.compare(mild, strict, replications=1, scale=50_000, days=1)
    print_comparison(found)
    shown = capsys.readouterr().out
    table = shown[shown.index("Caught fraud, and ordinary callers cut off") :]
    names, couriers, hit = (
        next(line for line in table.splitlines() if what in line)
        for what in ("strict", "couriers: calls intercepted", "numbers cut off on a day")
    )
    assert names.split() == ["fan-out-limit", "strict"]
    assert len(couriers.split()) >= 5
    assert hit.split()[-1] != "0"
    assert "calls, ordinary cut off, least first: fan-out-limit, strict" in table
