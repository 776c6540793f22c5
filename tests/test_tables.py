"""Plain tables: settings as text, values by paths of keys, and mistakes told by their path."""

import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from interceptsim.errors import ConfigurationError
from interceptsim.tables import names_in, parse_setting, parse_settings, parse_toml, put, unchanged, validated, value_at

KEYS = st.text("abc-_0", min_size=1, max_size=4)
VALUES = st.one_of(st.integers(), st.booleans(), st.text(max_size=3), st.lists(st.integers(), min_size=1, max_size=3))


def entries(tables):
    """Return lists of tables, each with an id of its own."""
    return st.dictionaries(KEYS, tables, min_size=1, max_size=3).map(
        lambda by_id: [{**table, "id": name} for name, table in by_id.items()]
    )


TABLES = st.recursive(
    st.dictionaries(KEYS, VALUES, min_size=1, max_size=3),
    lambda tables: st.dictionaries(KEYS, st.one_of(tables, entries(tables)), min_size=1, max_size=3),
    max_leaves=6,
)


def paths_in(at, path=()):
    """Yield the path of every value that stands in a table."""
    for key in names_in(at) or []:
        below = at[key] if isinstance(at, dict) else at[names_in(at).index(key)]
        if names_in(below) is None:
            yield ".".join((*path, key))
        else:
            yield from paths_in(below, (*path, key))


# Paths


@given(TABLES, st.data())
def test_a_value_put_at_a_path_is_found_there_and_changes_no_other(tables, data):
    before = copy.deepcopy(tables)
    paths = [path for path in paths_in(tables) if not path.endswith(".id")]  # another id is another path
    path = data.draw(st.sampled_from(paths))
    others = dict.fromkeys(p for p in paths if p != path)
    put(tables, path, "another")
    assert value_at(tables, path) == "another"
    assert unchanged(others, before, tables) == others
    assert unchanged({path: 1}, before, tables) == {}


@pytest.mark.parametrize("path", ["a.c", "a.b.c", "l.z.v", "l.x.w", "", "a..b"])
def test_nothing_is_found_where_a_path_leads_nowhere(path):
    assert value_at({"a": {"b": 1}, "l": [{"id": "x", "v": 2}]}, path) is None


def test_an_entry_goes_by_its_id_and_else_by_its_kind():
    tables = {"l": [{"id": "x", "kind": "k", "v": 1}, {"kind": "k", "v": 2}]}
    assert (value_at(tables, "l.x.v"), value_at(tables, "l.k.v")) == (1, 2)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("aa.b", "aa.b: no 'aa' in a scenario; did you mean 'a'?"),
        ("a.b.c", "a.b.c: 'a.b' is a value, not a table"),
        ("l.x", "l.x: wanted the path of a value, such as 'policies.ID.enabled'"),
        ("l.y.v", "l.y.v: no 'y' in l"),
    ],
)
def test_a_value_is_not_put_where_a_path_leads_nowhere(path, told):
    tables = {"a": {"b": 1}, "l": [{"id": "x", "v": 2}]}
    with pytest.raises(ConfigurationError) as caught:
        put(tables, path, 3)
    assert str(caught.value) == told
    assert tables == {"a": {"b": 1}, "l": [{"id": "x", "v": 2}]}


# Models


class Own(BaseModel):
    """A policy as users write them, holding what JSON Schema has no word for."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    kind: str = "own"
    threshold: float = 0.5
    known: np.ndarray | None = None


class Chain(BaseModel):
    rules: list[Own]


def test_an_unknown_key_is_told_with_the_nearest_of_the_model_itself():
    with pytest.raises(ConfigurationError) as caught:
        validated(Own, {"treshold": 1}, "here")
    assert str(caught.value) == "here: treshold: no such key; did you mean 'threshold'?"


def test_a_mistake_within_a_list_is_told_by_the_id_of_its_entry():
    with pytest.raises(ConfigurationError) as caught:
        validated(Chain, {"rules": [{}, {"kind": "own", "threshold": "high"}]}, "here")
    assert (caught.value.where, caught.value.given) == ("here: rules.own.threshold", "high")


# Text


def test_toml_is_read_as_tables():
    assert parse_toml("a.b = 1\n[[l]]\nid = 'x'\n", "here") == {"a": {"b": 1}, "l": [{"id": "x"}]}


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("a.b=1", ("a.b", 1)),
        ("a.b=0.5", ("a.b", 0.5)),
        ("a.b=true", ("a.b", True)),
        ("a.b=2h", ("a.b", "2h")),
        ('a.b="2h"', ("a.b", "2h")),
        ("a.b=two words", ("a.b", "two words")),
        (" a.b = 'x=y' ", ("a.b", "x=y")),
        ("a.b=[1, 2]", ("a.b", [1, 2])),
        ("a.b={c = 1}", ("a.b", {"c": 1})),
        ("a.b=2025-01-31", ("a.b", "2025-01-31")),
        ("a.b=", ("a.b", "")),
    ],
)
def test_a_setting_is_read_as_toml_or_else_as_bare_text(text, setting):
    assert parse_setting(text) == setting


@pytest.mark.parametrize("text", ["", "a.b", "=1", "  =1"])
def test_a_setting_needs_a_path_and_a_value(text):
    with pytest.raises(ConfigurationError, match="wanted PATH=VALUE") as caught:
        parse_setting(text)
    assert (caught.value.where, caught.value.given) == ("--set", text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a=1\nb=2", "wanted one PATH=VALUE"),
        ("a=1\n[b]", "wanted one PATH=VALUE"),
        (f"a={'9' * 5000}", "--set a: holds an integer of thousands of digits"),
        (f"a={'[' * 3000}", "--set a: tables or lists nested"),
        (f"a={{{'.'.join('b' * 3000)} = 1}}", "--set a: tables or lists nested"),
    ],
    ids=["two", "table", "digits", "brackets", "keys"],
)
def test_a_setting_is_one_value_that_a_scenario_can_hold(text, told):
    with pytest.raises(ConfigurationError) as caught:
        parse_setting(text)
    assert told in str(caught.value)


@given(st.text(st.characters(exclude_characters="="), min_size=1).filter(str.strip), st.integers(-(2**63), 2**63))
def test_a_setting_keeps_its_path_whatever_it_is(path, value):
    assert parse_setting(f"{path}={value}") == (path.strip(), value)


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("a=1", {"a": 1}),
        ("a=1, b=2h ,c=two words", {"a": 1, "b": "2h", "c": "two words"}),
        ("a=[1, 2], b=3", {"a": [1, 2], "b": 3}),
        ("a=[[1, 2], [3, '4, 5']], b={c = {d = 1, e = 2}}", {"a": [[1, 2], [3, "4, 5"]], "b": {"c": {"d": 1, "e": 2}}}),
        ('a="x, y=1", b=it\'s', {"a": "x, y=1", "b": "it's"}),
    ],
)
def test_settings_are_cut_at_commas_that_no_value_encloses(text, settings):
    assert dict(parse_settings(text, "--variant")) == settings


WRITTEN = st.recursive(
    st.one_of(st.integers(-99, 99), st.booleans(), st.text("ab ,='\"[]{}")), lambda values: st.lists(values, max_size=3)
)


@given(st.dictionaries(KEYS, WRITTEN, min_size=1))
def test_settings_written_with_commas_between_them_are_read_one_by_one(values):
    text = ", ".join(f"{key}={json.dumps(value)}" for key, value in values.items())
    assert dict(parse_settings(text, "--variant")) == values


@pytest.mark.parametrize("text", ["", "a", "a=1,", "a=1,,b=2", "=1", "a=1,b"])
def test_each_setting_between_commas_needs_a_path_and_a_value(text):
    with pytest.raises(ConfigurationError, match=r"--variant: got .*wanted PATH=VALUE"):
        list(parse_settings(text, "--variant"))


@pytest.mark.parametrize("text", ["a=[1, b=2", 'a="', "a={b = 1, c=2", "a='x, b=2", f"a={'[' * 3000}, b=1"])
def test_what_a_setting_opens_it_closes(text):
    with pytest.raises(ConfigurationError, match=r"--variant: got .*brackets and quotes are closed"):
        list(parse_settings(text, "--variant"))


def test_a_star_in_a_path_stands_for_every_entry():
    tables = {"rules": [{"id": "a", "on": False}, {"kind": "b", "on": False}], "one": 1}
    put(tables, "rules.*.on", True)
    assert [entry["on"] for entry in tables["rules"]] == [True, True]
    for path in ("one.*.on", "rules.*.on.more", "nothing.*.on", "*.on"):
        with pytest.raises(ConfigurationError):
            put(tables, path, True)
