"""Designs: which points they choose, how axes turn fractions into values, and what is refused."""

import itertools
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptsim.errors import ConfigurationError
from interceptsim.experiments.design import Bundles, Design, Levels, Range
from interceptsim.tables import validated
from interceptsim.units import parse_duration, parse_volume

AXES = {
    "police.delay": ["2h", "1d"],
    "share": {"low": 0.0, "high": 1.0, "levels": 3},
    "complaints": {"few": {"a.b": 0.1, "a.c": 1}, "many": {"a.b": 0.5}},
}


def test_a_grid_takes_every_combination_in_order():
    points = Design.of(AXES).chosen()
    assert [tuple(point.values()) for point in points] == list(
        itertools.product(["2h", "1d"], [0.0, 0.5, 1.0], ["few", "many"])
    )
    assert list(points[0]) == list(AXES)


def test_a_point_changes_the_values_at_its_paths():
    design = Design.of(AXES)
    changes = design.changes({"police.delay": "1d", "share": 0.5, "complaints": "few"})
    assert changes == {"police.delay": "1d", "share": 0.5, "a.b": 0.1, "a.c": 1}
    assert design.changes(design.chosen()[0], ["share"]) == {"share": 0.0}


@pytest.mark.parametrize("kind", ["latin-hypercube", "sobol"])
def test_a_sample_fills_every_axis_evenly_and_hangs_on_its_seed_alone(kind):
    table = {"kind": kind, "points": 16, "axes": {"x": {"low": 0.0, "high": 1.0}, "y": ["a", "b"], "z": ["c"]}}
    points = Design.of(table).chosen()
    assert sorted(int(point["x"] * 16) for point in points) == list(range(16))
    assert [point["y"] for point in points].count("a") == 8
    assert points == Design.of(table).chosen()
    assert points != Design.of({**table, "seed": 2}).chosen()


@given(st.integers(-5, 5), st.integers(1, 7))
def test_each_whole_number_of_a_range_has_an_equal_share(low, reach):
    axis = Range(low=low, high=low + reach)
    found = [axis.at((n + 0.5) / (6 * (reach + 1))) for n in range(6 * (reach + 1))]
    assert {found.count(value) for value in range(low, low + reach + 1)} == {6}
    assert axis.at(1.0) == low + reach
    assert all(isinstance(value, int) for value in found)


@given(st.floats(0, 1), st.sampled_from(["even", "log"]))
def test_a_place_on_a_range_lies_between_its_ends_and_is_as_it_would_be_written(fraction, spacing):
    assert 0.25 <= Range(low=0.25, high=4.0, spacing=spacing).at(fraction) <= 4.0
    delay = Range(low="30s", high="7d", spacing=spacing).at(fraction)
    assert parse_duration("30s") <= parse_duration(delay) <= parse_duration("7d")
    volume = Range(low="1e9/year", high="5e9/year", spacing=spacing).at(fraction)
    assert 1e9 <= parse_volume(volume) <= 5e9


def test_the_middle_of_a_range_lies_where_its_spacing_says():
    assert Range(low=1.0, high=100.0).at(0.5) == 50.5
    assert Range(low=1.0, high=100.0, spacing="log").at(0.5) == 10.0
    assert Range(low="1h", high="4h", spacing="log").grid() == ("1h", "85min", "2h", "170min", "4h")
    assert Range(low=1, high=3).grid() == (1, 2, 3)
    assert Range(low=10, high=1000, spacing="log", levels=3).grid() == (10, 100, 1000)


@given(st.lists(st.text(), min_size=1, max_size=9), st.floats(0, 1))
def test_levels_and_bundles_give_one_of_theirs(values, fraction):
    assert Levels(values=tuple(values)).at(fraction) in values
    assert Bundles(bundles={value: {"a": value} for value in values}).at(fraction) in values


def test_points_at_fractions_are_those_of_the_axes():
    assert Design.of(AXES).at(np.array([[0.0, 0.25, 0.9]])) == [
        {"police.delay": "2h", "share": 0.25, "complaints": "many"}
    ]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"axes": {}}, "axes: dictionary should have at least 1 item"),
        ({"axes": {"a": []}}, "values"),
        ({"axes": {"a": 3}}, r"axes: wanted a list of values, \{low"),
        ({"axes": {"a": {"low": 3}}}, "axes.*high"),
        ({"axes": {"a": {"low": 3, "high": "4h"}}}, "two numbers, two durations or two volumes"),
        ({"axes": {"a": {"low": 3, "high": 3}}}, "'low' has to lie below 'high'"),
        ({"axes": {"a": {"low": "2d", "high": "1h"}}}, "'low' has to lie below 'high'"),
        ({"axes": {"a": {"low": "2", "high": "1h"}}}, "wanted a duration with its unit"),
        ({"axes": {"a": {"low": 0.0, "high": 1.0, "spacing": "log"}}}, "wants 'low' above 0"),
        ({"axes": {"a": [1], "b": {"x": {"a": 2}}}}, "the axes 'a' and 'b' both change a"),
        ({"axes": {"metric": [1]}}, "no axis can be called 'metric'"),
        ({"kind": "sobol", "points": 12, "axes": {"a": [1]}}, "power of two points, such as 16, not 12"),
        ({"kind": "cube", "axes": {"a": [1]}}, "kind: got 'cube'"),
        ({"kindd": "grid", "axes": {"a": [1]}}, "kindd: no such key; did you mean 'kind'"),
    ],
)
def test_a_design_that_does_not_fit_is_refused_with_its_place(table, told):
    with pytest.raises(ConfigurationError, match=told):
        validated(Design, table, "file")


def test_a_sample_without_scipy_is_told_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats.qmc", None)
    with pytest.raises(ConfigurationError, match=r"kind 'sobol'.*needs scipy.*pip install 'interceptsim\[stats\]'"):
        Design.of({"kind": "sobol", "points": 8, "axes": {"a": [1]}}).chosen()
