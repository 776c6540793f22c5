"""The tree of errors: what a message says, and that its facts are kept as attributes."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptsim.errors import (
    ColumnError,
    ConfigurationError,
    InterceptSimError,
    LookaheadError,
    ResultsError,
    nearest_name,
)

every_error = pytest.mark.parametrize(
    "error",
    [
        ConfigurationError("a.toml", "wanted a table", given=[3], nearest="table"),
        LookaheadError("list", 1, 2),
        ColumnError("column 'channel' is missing"),
        ResultsError("runs/1: not a run"),
    ],
    ids=lambda error: type(error).__name__,
)


@every_error
def test_every_error_is_caught_by_the_root_of_the_tree(error):
    with pytest.raises(InterceptSimError):
        raise error


@every_error
def test_every_error_passes_whole_between_processes(error):
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  our own bytes
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_the_root_is_no_error_of_python_itself():
    assert InterceptSimError.__bases__ == (Exception,)


def test_a_configuration_error_says_where_what_was_given_what_was_wanted_and_the_nearest_name():
    error = ConfigurationError("a.toml: polcie", "no such key", given=3, nearest="police")
    assert str(error) == "a.toml: polcie: got 3; no such key; did you mean 'police'?"


def test_a_configuration_error_leaves_out_what_is_not_known():
    assert str(ConfigurationError("a.toml", "wanted a table")) == "a.toml: wanted a table"


@pytest.mark.parametrize("falsy", [0, "", False, 0.0])
def test_a_falsy_value_is_still_told(falsy):
    assert str(ConfigurationError("days", "wanted more", given=falsy)) == f"days: got {falsy!r}; wanted more"


def test_a_configuration_error_keeps_its_facts():
    error = ConfigurationError("a.toml", "no such key", given=3, nearest="police")
    assert (error.where, error.wanted, error.given, error.nearest) == ("a.toml", "no such key", 3, "police")


@given(st.text())
def test_what_was_given_never_breaks_the_line(given):
    assert len(str(ConfigurationError("--set", "wanted PATH=VALUE", given=given)).splitlines()) == 1


@pytest.mark.parametrize("given", ["a" * 5000, [1] * 5000, 10**5000], ids=["text", "list", "number"])
def test_what_was_given_is_told_in_few_letters_however_much_it_is(given):
    error = ConfigurationError("--set", "wanted PATH=VALUE", given=given)
    assert len(str(error)) < 300
    assert error.given == given


def test_an_error_within_another_place_names_that_first_and_keeps_its_facts():
    error = ConfigurationError("police", "no such key", given=3, nearest="policies").within("a.toml")
    assert str(error) == "a.toml: police: got 3; no such key; did you mean 'policies'?"
    assert (error.given, error.nearest) == (3, "policies")


def test_a_lookahead_error_tells_both_times_and_keeps_them():
    error = LookaheadError("policies.reject-listed-numbers", 5_000_000, 7_000_000)
    assert (error.what, error.effect_us, error.decided_us) == ("policies.reject-listed-numbers", 5_000_000, 7_000_000)
    assert str(error) == (
        "policies.reject-listed-numbers: would take effect at 5000000 us, but traffic is decided up to 7000000 us; "
        "a posting delay is shorter than the slice"
    )


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ("polcies", "policies"),
        ("Policies", "policies"),
        ("hub", "hubs"),
        ("trafic", "traffic"),
        ("xyzzy", None),
        ("", None),
    ],
)
def test_the_nearest_name_is_the_one_most_alike_or_none(given, nearest):
    assert nearest_name(given, ["policies", "police", "hubs", "traffic"]) == nearest


def test_there_is_no_nearest_name_among_none():
    assert nearest_name("police", []) is None


@given(st.text(), st.lists(st.text()))
def test_the_nearest_name_is_one_of_those_offered(given, names):
    nearest = nearest_name(given, iter(names))
    assert nearest is None or nearest in names
    if given and given in names:
        assert nearest == given
