"""The ledger: reported figures as they were reported, and parameters that all have a source and a place."""

import re
import tomllib

import pytest
from pydantic import ValidationError

from interceptsim.errors import ConfigurationError
from interceptsim.ledger import figure, figures, parameters, shipped, shipped_names
from interceptsim.scenario_files import _merged, load

STATUSES = {"reported", "measured", "derived", "assumed"}


def entries_of(name):
    return tomllib.loads(shipped("seeds", f"{name}.toml").read_text(encoding="utf-8"))[name]


@pytest.mark.parametrize(
    ("figure_id", "value", "unit"),
    [
        ("calls_intercepted_2025", 3.6e9, "calls"),
        ("sms_blocked_2025", 3.3e9, "messages"),
        ("funds_frozen_2025", 217.07e9, "yuan"),
        ("funds_frozen_2025_alt", 21.707e6, "yuan"),
        ("visits_2025", 6.747e6, "person-visits"),
        ("cases_cracked_2025", 258_000, "cases"),
        ("suspects_repatriated_2025", 57_000, "persons"),
        ("key_suspects_2025", 542, "persons"),
        ("calls_intercepted_2023", 2.75e9, "calls"),
        ("sms_blocked_2023", 2.28e9, "messages"),
        ("people_dissuaded_2023", 13.89e6, "person-visits"),
        ("sites_terminated_2023", 6e6, "sites"),
        ("transfers_intercepted_2023", 328.8e9, "yuan"),
        ("punishments_2023", 210_000, "persons"),
        ("detentions_2023", 78_000, "persons"),
        ("high_incidence_share", 0.8, "ratio"),
        ("suspects_from_n_myanmar_2023", 31_000, "persons"),
    ],
)
def test_a_headline_figure_stands_as_it_was_reported(figure_id, value, unit):
    found = figure(figure_id)
    assert (found.value, found.unit, found.status) == (value, unit, "reported")


def test_every_figure_of_the_file_is_loaded_in_its_order():
    written = [(entry["id"], entry["value"]) for entry in entries_of("figures")]
    assert [(f.id, f.value) for f in figures()] == written
    assert len({f.id for f in figures()}) == len(written) >= 25


def test_every_figure_says_who_published_it_where():
    for found in figures():
        assert found.publisher
        assert found.document.endswith(".txt")
        assert found.published >= (found.end or found.published)


def test_no_figure_ends_before_it_starts():
    assert all(f.start <= f.end for f in figures() if f.start and f.end)


def test_a_year_of_figures_covers_its_365_days():
    for figure_id in ("calls_intercepted_2025", "sms_blocked_2025", "funds_frozen_2025", "visits_2025"):
        found = figure(figure_id)
        assert (found.end - found.start).days + 1 == 365


def test_the_window_of_2023_has_396_days():
    found = figure("calls_intercepted_2023")
    assert (found.end - found.start).days + 1 == 396


def test_a_conflict_is_named_from_both_sides():
    conflicts = {f.id: f.conflict for f in figures() if f.conflict}
    assert conflicts["funds_frozen_2025"] == "funds_frozen_2025_alt"
    assert all(conflicts[other] == one for one, other in conflicts.items())


def test_both_readings_of_the_frozen_money_are_kept():
    assert figure("funds_frozen_2025").value == 10_000 * figure("funds_frozen_2025_alt").value


def test_an_unknown_figure_is_refused_with_the_nearest_id():
    with pytest.raises(ConfigurationError) as caught:
        figure("calls_intercepted_2024")
    assert caught.value.nearest in {"calls_intercepted_2023", "calls_intercepted_2025"}
    assert "calls_intercepted_2024" in str(caught.value)


def test_a_figure_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        figure("visits_2025").value = 0


def test_every_parameter_of_the_file_is_loaded_once():
    written = [entry["id"] for entry in entries_of("parameters")]
    assert [p.id for p in parameters()] == written
    assert len(set(written)) == len(written) >= 80


def test_every_parameter_has_a_source_and_one_of_four_statuses():
    for parameter in parameters():
        assert parameter.status in STATUSES
        assert parameter.quantity.strip()
        assert parameter.value.strip()
        assert parameter.source.strip()


def test_all_four_statuses_are_in_use():
    assert {p.status for p in parameters()} == STATUSES


def test_what_is_assumed_says_so_in_its_source_and_nothing_else_does():
    for parameter in parameters():
        assert (parameter.status == "assumed") == parameter.source.startswith("assumed"), parameter.id


def test_a_range_has_two_ends():
    assert all((p.low is None) == (p.high is None) for p in parameters())


def values_at(at, keys):
    """Return the values a path leads to; `*` stands for every id."""
    if not keys:
        return [at]
    key, *rest = keys
    entries = at if isinstance(at, dict) else {entry["id"]: entry for entry in at} if isinstance(at, list) else {}
    below = list(entries.values()) if key == "*" else [entries[key]] if key in entries else []
    return [value for entry in below for value in values_at(entry, rest)]


@pytest.fixture(scope="module")
def tables():
    return load("china-2025").as_dict()


@pytest.fixture(scope="module")
def written():
    top = tomllib.loads(shipped("configs", "china-2025.toml").read_text("utf-8"))
    file = {}
    for name in [*top["extends"], "china-2025.toml"]:  # as written, before what was fitted takes its place
        file = _merged(file, tomllib.loads(shipped("configs", name).read_text("utf-8")))
    for part in ("policies", "adaptations"):
        file[part] = [{"id": entry["kind"], **entry} for entry in file[part]]
    return file


PATHS = sorted({path for parameter in parameters() for path in parameter.paths})


@pytest.mark.parametrize("path", PATHS)
def test_a_path_of_a_parameter_leads_to_a_value_of_the_scenario(path, tables):
    assert values_at(tables, path.split("."))


NUMBERS = r"(?<![a-z])\d+(?:\.\d+)?(?:e\d+)?"


def numbers_of(value):
    """Return the numbers in a value of a scenario; a list is told in words."""
    if isinstance(value, dict):
        return [number for entry in value.values() for number in numbers_of(entry)]
    if isinstance(value, bool | list):
        return []
    return [float(number) for number in re.findall(NUMBERS, str(value).replace("e+", "e"))]


SET = [p for p in parameters() if p.paths and p.status in {"assumed", "derived"}]  # what a source says need not be set


@pytest.mark.parametrize("parameter", SET, ids=lambda p: p.id)
def test_the_value_of_a_parameter_is_that_of_the_scenario_before_and_after_fitting(parameter, tables, written):
    told = numbers_of(parameter.value)
    for path in parameter.paths:
        where = path.split(".")
        for value in [*values_at(written, where), *values_at(tables, where)]:
            for number in numbers_of(value):
                assert any(number == pytest.approx(n, rel=0.005) for n in told), (path, number)


NAMES = {"id", "kind", "enabled", "hub", "profile", "channel", "channels", "entry", "entries", "cli", "presents"}
WIRING = {"action", "window", "feed", "country_code", "roaming", "tick", "sample_ratio", "sample", "panel", "busiest"}


def leaves_of(at, path):
    """Yield (path, value) of all values of a table."""
    if isinstance(at, list) and at and all(isinstance(entry, dict) for entry in at):
        at = {entry["id"]: entry for entry in at}
    if not isinstance(at, dict):
        yield path, at
        return
    for key, below in at.items():
        yield from leaves_of(below, (*path, key))


def test_every_quantity_of_the_scenario_rests_on_a_parameter(tables):
    known = [path.split(".") for path in PATHS]
    of_messages = {group["id"] for group in tables["traffic"]["ordinary"] if group["channel"] == "sms"}
    missing = [
        ".".join(path)
        for part in ("population", "police", "people", "hubs", "traffic", "adaptations", "policies", "network")
        for path, value in leaves_of(tables[part], (part,))
        if not (NAMES | WIRING) & set(path[1:])
        and value not in ("0s", [])
        and not (len(path) > 3 and path[2] in of_messages and path[3] == "calls")
        and not any(all(a in ("*", b) for a, b in zip(at, path, strict=False)) for at in known if len(at) <= len(path))
    ]
    assert missing == []


def test_the_shipped_files_are_found_by_name():
    assert {"china-2023", "china-2025", "minimal"} <= set(shipped_names("configs"))
    assert shipped_names("seeds") == ["figures", "parameters", "provinces"]
    assert shipped("seeds", "figures.toml").is_file()


def test_a_folder_missing_from_the_installation_is_told():
    with pytest.raises(ConfigurationError, match="nowhere: this folder is missing"):
        shipped("nowhere", "a.toml")
