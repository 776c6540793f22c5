"""Targets: what files of them may hold, and how mistakes in them are told."""

import datetime as dt

import pytest

from interceptsim.errors import ConfigurationError
from interceptsim.ledger import shipped
from interceptsim.scenario_files import load
from interceptsim.targets import Reported, parse_period, read_targets, targets_of

TOML = """
[[targets]]
id = "calls"
quantity = "voice.intercepted"
value = 2.75e9
period = 2025
"""


@pytest.mark.parametrize(
    ("text", "first", "last", "days"),
    [
        (2025, (2025, 1, 1), (2025, 12, 31), 365),
        ("2024-02", (2024, 2, 1), (2024, 2, 29), 29),
        ("2022-12-01/2023-12-31", (2022, 12, 1), (2023, 12, 31), 396),
        (" 2025-01-01 / 2025-01-01 ", (2025, 1, 1), (2025, 1, 1), 1),
    ],
)
def test_a_period_is_its_first_and_last_day(text, first, last, days):
    assert parse_period(text) == (dt.date(*first), dt.date(*last))
    assert Reported(id="a", quantity="b", value=1, period=text).days == days


@pytest.mark.parametrize("text", ["", "25", "2025-13", "2025-01-01", "2025-02-30/2025-03-01", "2025/2026", "soon"])
def test_anything_else_is_no_period(text):
    with pytest.raises(ValueError, match="wanted a year, a month or two days"):
        parse_period(text)


def test_a_period_does_not_end_before_it_begins():
    with pytest.raises(ValueError, match="the last day lies before the first"):
        parse_period("2025-02-01/2025-01-01")


def test_toml_and_csv_hold_the_same(tmp_path):
    (tmp_path / "a.toml").write_text(TOML)
    (tmp_path / "a.csv").write_text("\ufeffid,quantity,value,period\ncalls,voice.intercepted,2.75e9,2025\n", "utf-8")
    [one], [other] = (read_targets(tmp_path / name) for name in ("a.toml", "a.csv"))
    assert one == other
    assert (one.id, one.quantity, one.value, one.days) == ("calls", "voice.intercepted", 2.75e9, 365)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.toml", None, "cannot be read: No such file"),
        ("a.toml", "targets = 3", "targets"),
        ("a.toml", "", "targets: field required"),
        ("a.toml", "[[targets]", "cannot be read"),
        ("a.toml", TOML.replace("2.75e9", "-1"), "targets.calls.value: got -1"),
        ("a.toml", TOML.replace("2025", "'25'"), "targets.calls.period: got '25'; wanted a year"),
        ("a.toml", TOML + "note = 'x'", "note: no such key"),
        ("a.toml", TOML + TOML, "targets: id 'calls' is used twice"),
        ("a.csv", "id,quantity,value,period\n", "targets"),
        ("a.csv", "id,quantity,value\na,b,1\n", "period: field required"),
        ("a.csv", "id,quantity,value,period\na,b,much,2025\n", "targets.a.value: got 'much'"),
        ("a.csv", 'id,quantity,value,period\na,"b,1,2025\n', "cannot be read"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_place(tmp_path, name, text, told):
    if text is not None:
        (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=told) as caught:
        read_targets(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_a_scenarios_own_targets_are_the_figures_that_it_names():
    calls, messages, visits, frozen = targets_of(load("china-2023"))
    assert (calls.id, calls.quantity, calls.value, calls.days) == (
        "calls_intercepted_2023",
        "voice.intercepted",
        2.75e9,
        396,
    )
    assert messages.quantity == "sms.intercepted"
    assert (visits.id, visits.quantity, visits.days) == ("people_dissuaded_2023", "response.visits", 396)
    assert (frozen.value, frozen.quantity) == (328.8e9, "harm.frozen")
    twelve = load("china-2023").replace({"calibration.voice.window_days": 365})
    assert targets_of(twelve)[0].days == 365


def test_the_shipped_targets_are_those_of_the_ledger():
    shipped_ones = read_targets(shipped("configs", "targets/2023.toml"))
    assert [(t.id, t.value, t.period) for t in shipped_ones] == [
        (t.id, t.value, t.period) for t in targets_of(load("china-2023"))
    ]
