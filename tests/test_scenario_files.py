"""Scenario files: how they are found and read, what they extend, and how each mistake in one is told."""

import pytest

from interceptsim.errors import ConfigurationError
from interceptsim.ledger import shipped, shipped_names
from interceptsim.scenario import Scenario
from interceptsim.scenario_files import load, load_policies, toml_of
from interceptsim.tables import value_at
from interceptsim.units import HOUR_US

SHIPPED = shipped_names("configs")
CHINA = load("china-2025")


@pytest.fixture
def write(tmp_path):
    def written(text, name="a.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


def refusal(path):
    """Return the error that loading a file gives."""
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    return caught.value


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_scenario_loads_under_its_own_name(name):
    assert load(name).name == name


@pytest.mark.parametrize("key", ["volume", "strength"])
@pytest.mark.parametrize("path", ["policies.score-txt.threshold", "policies.score-text", "policies", ""])
def test_a_target_that_solves_for_no_value_is_refused(write, key, path):
    error = refusal(write(f'extends = "china-2025"\n[[calibration]]\nid = "sms"\n{key} = "{path}"\n'))
    assert error.where.endswith(f"a.toml: calibration.sms.{key}")
    assert error.given == path


# Files


def test_an_unknown_scenario_is_refused_with_the_nearest_and_all_that_are_shipped():
    error = refusal("minimol")
    assert error.nearest == "minimal"
    assert all(name in str(error) for name in SHIPPED)


def test_an_unknown_key_in_a_file_is_refused_with_file_path_and_nearest(write):
    path = write('extends = "minimal"\n[police]\nvoice_complain_ratio = 0.1\n')
    error = refusal(path)
    assert error.where == f"{path}: police.voice_complain_ratio"
    assert error.nearest == "voice_complaint_ratio"


def test_a_missing_key_is_told_by_its_path(write):
    error = refusal(write('name = "a"\n'))
    assert error.where.endswith("a.toml: title")
    assert "field required" in str(error)


def test_broken_toml_is_told_with_file_and_line(write):
    path = write('name = "a"\ntitle = = "b"\n')
    error = refusal(path)
    assert error.where == str(path)
    assert "line 2" in str(error)


def test_a_missing_file_is_told(tmp_path):
    error = refusal(tmp_path / "none.toml")
    assert str(error) == f"{tmp_path / 'none.toml'}: cannot be read: No such file or directory"


def test_a_file_that_is_a_directory_is_told(tmp_path):
    (tmp_path / "d.toml").mkdir()
    assert "cannot be read: Is a directory" in str(refusal(tmp_path / "d.toml"))


def test_a_file_that_is_not_utf_8_is_told_with_the_place(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b'name = "\xff"\n')
    assert str(refusal(path)).startswith(f"{path}: not UTF-8 text: invalid start byte at byte 8")


def test_a_file_without_the_usual_ending_is_read_too(write):
    path = write('extends = "minimal"\ntitle = "b"\n', name="scenario")
    assert load(path).title == "b"
    assert load(str(path)).title == "b"


@pytest.mark.parametrize("name", ["a" * 5000, "a" * 5000 + ".toml", "a/" * 5000, "a\0", "a\0.toml", ""])
def test_what_cannot_be_the_name_of_a_file_is_refused(name):
    refusal(name)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"subscribers = {'9' * 5000}", "an integer of thousands of digits"),
        (f"subscribers = {'[' * 3000}", "nested more than 20 deep"),
        (f"subscribers = {'[' * 100}{']' * 100}", "nested more than 20 deep"),
        (f"subscribers.{'.'.join('a' * 3000)} = 1", "nested more than 20 deep"),
        (f"subscribers = {'9' * 4000}", "less than or equal to 1990000000"),
    ],
    ids=["digits", "brackets", "lists", "keys", "number"],
)
def test_what_no_reader_can_hold_is_refused(write, text, told):
    path = write(f'extends = "minimal"\n[population]\n{text}\n')
    error = refusal(path)
    assert error.where.startswith(str(path))
    assert told in str(error)
    assert len(str(error)) < 500


def test_an_id_that_is_no_text_is_told_by_its_path(write):
    error = refusal(write('extends = "minimal"\n[[hubs]]\nid = 3\n'))
    assert error.where.endswith("a.toml: hubs.3.id")
    assert "valid string" in str(error)


# Extends


def test_a_file_changes_single_values_of_what_it_extends(write):
    changed = load(write('extends = "minimal"\n[police.delay]\nmedian = "3h"\n'))
    assert changed.police.delay.law == (2, 2 * HOUR_US, 3.0 * HOUR_US, 0.9)
    assert changed.extends == "minimal"
    assert changed.hubs == load("minimal").hubs


def test_entries_of_lists_are_merged_by_id_and_new_ones_put_last(write):
    text = """
        extends = "minimal"
        [[policies]]
        kind = "score-text"
        threshold = 0.9
        [[policies]]
        kind = "reject-spoofed-origin"
        [[traffic.lines]]
        id = "calls"
        attempts_per_day = 7
    """
    changed = load(write(text))
    ids = ["reject-listed-numbers", "limit-attempts", "score-text", "reject-spoofed-origin"]
    assert [p.id for p in changed.policies] == ids
    assert changed.policies[2].threshold == 0.9
    assert [(g.id, g.attempts_per_day) for g in changed.traffic.lines] == [("calls", 7), ("messages", 100)]
    assert changed.traffic.lines[0].number_life == load("minimal").traffic.lines[0].number_life


def test_lists_of_plain_values_are_replaced_whole(write):
    hours = [1] * 24
    changed = load(write(f'extends = "minimal"\n[[traffic.profiles]]\nid = "day"\nhours = {hours}\n'))
    assert changed.traffic.profiles[0].hours == tuple(hours)


def test_an_extended_file_is_found_beside_the_one_that_extends_it(write, tmp_path):
    (tmp_path / "below").mkdir()
    write('extends = "minimal"\ntitle = "base"\n', name="below/base.toml")
    assert load(write('extends = "below/base.toml"\n')).title == "base"
    assert load(write('extends = "base.toml"\nname = "top"\n', name="below/top.toml")).name == "top"


def test_scenarios_may_extend_one_another_in_a_chain(write):
    write('extends = "minimal"\ntitle = "one"\n[police]\nsms_complaint_ratio = 0.5\n', name="one.toml")
    write('extends = "one.toml"\ntitle = "two"\n', name="two.toml")
    changed = load(write('extends = "two.toml"\nname = "three"\n', name="three.toml"))
    assert (changed.name, changed.title, changed.police.sms_complaint_ratio) == ("three", "two", 0.5)


def test_a_file_that_extends_itself_is_refused(write):
    assert str(refusal(write('extends = "a.toml"\n'))).endswith("a.toml: extends itself")
    write('extends = "c.toml"\n', name="b.toml")
    assert "extends itself" in str(refusal(write('extends = "b.toml"\n', name="c.toml")))


@pytest.mark.parametrize("spelling", ["./a.toml", "below/../a.toml", "link.toml"])
def test_a_file_that_extends_itself_by_another_name_is_refused(write, tmp_path, spelling):
    (tmp_path / "below").mkdir()
    (tmp_path / "link.toml").symlink_to("a.toml")
    error = refusal(write(f'extends = "{spelling}"\n'))
    assert error.wanted == "extends itself"
    assert len(str(error)) < 4 * len(str(tmp_path)) + 100


def test_what_is_extended_must_be_there(write):
    path = write('extends = "minimol"\n')
    assert refusal(path).nearest == "minimal"
    assert str(refusal(path)).startswith(f"{path}: extends: minimol: no such scenario")
    assert str(refusal(write('extends = "none.toml"\n'))).startswith(
        f"{path}: extends: {path.parent}/none.toml: cannot"
    )
    assert refusal(write("extends = 3\n")).given == 3


def test_china_2023_is_china_2025_with_its_own_period_and_figures():
    scenario = load("china-2023")
    assert scenario.extends == "china-2025"
    assert (scenario.hubs, scenario.traffic.lines, scenario.population) == (
        CHINA.hubs,
        CHINA.traffic.lines,
        CHINA.population,
    )
    assert [p.id for p in scenario.policies] == [p.id for p in CHINA.policies]
    assert [(t.id, t.figure) for t in scenario.calibration] == [
        ("voice", "calls_intercepted_2023"),
        ("sms", "sms_blocked_2023"),
    ]
    assert [t.strength for t in scenario.calibration] == [t.strength for t in CHINA.calibration]


# Fitted values

FITTED = """
    extends = "minimal"
    [fitted."policies.score-text.threshold"]
    value = 0.55
    figure = "sms_blocked_2025"
    under = "an interception ratio of 0.75 (assumed)"
    [fitted."traffic.voice.latent"]
    value = "7e8/year"
    figure = "calls_intercepted_2025"
    under = "an interception ratio of 0.8 (assumed)"
"""


def test_fitted_values_take_the_place_of_those_above(write):
    scenario = load(write(FITTED))
    assert scenario.policies[2].threshold == 0.55
    assert scenario.traffic.voice.latent == 7e8
    assert scenario.fitted["traffic.voice.latent"].figure == "calls_intercepted_2025"


def test_a_scenario_with_fitted_values_reads_back_equal(write):
    scenario = load(write(FITTED))
    assert Scenario.model_validate(scenario.as_dict()) == scenario


# Fitted values of what is extended


def test_what_the_base_was_fitted_to_is_inherited_with_its_values(write):
    scenario = load(write('extends = "china-2025"\ntitle = "another"\n'))
    assert scenario.fitted == CHINA.fitted
    assert scenario.replace({"title": CHINA.title, "extends": CHINA.extends}) == CHINA


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('[traffic.voice]\nlatent = "1e9/year"\n', "traffic.voice.latent"),
        ('[[policies]]\nkind = "score-text"\nthreshold = 0.9\n', "policies.score-text.threshold"),
    ],
)
def test_a_value_of_the_file_itself_takes_the_place_of_a_fitted_one_of_its_base(write, text, path):
    changed = load(write(f'extends = "china-2025"\n{text}'))
    assert CHINA.fitted.keys() - changed.fitted.keys() == {path}
    assert value_at(changed.as_dict(), path) in {"1000000000.0/year", 0.9}


def test_a_fitted_value_of_the_file_itself_takes_the_place_of_all_others(write):
    write(FITTED, name="base.toml")
    text = FITTED.replace("minimal", "base.toml").replace("7e8", "8e8").replace("0.55", "0.65")
    assert (
        load(write(text.replace("[fitted", '[traffic.voice]\nlatent = "1e9/year"\n[fitted', 1))).traffic.voice.latent
        == 8e8
    )
    again = load(write(text[: text.index('[fitted."traffic')]))
    assert again.traffic.voice.latent == 7e8
    assert again.policies[2].threshold == 0.65
    assert [again.fitted[path].value for path in sorted(again.fitted)] == [0.65, "7e8/year"]


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("traffic.voice.latnt", '"5/day"', "traffic.voice.latnt: no such key; did you mean 'latent'?"),
        ("policies.score-txt.threshold", "0.5", "did you mean 'score-text'?"),
        ("traffic.voice.latent", "5", "wanted a volume with its period"),
    ],
)
def test_a_fitted_value_that_does_not_fit_is_refused(write, path, value, told):
    text = f'extends = "minimal"\n[fitted."{path}"]\nvalue = {value}\nfigure = "a"\nunder = "b"\n'
    assert told in str(refusal(write(text)))


@pytest.mark.parametrize("missing", ["value", "figure", "under"])
def test_a_fitted_value_says_what_it_was_fitted_to(write, missing):
    entry = {"value": "5", "figure": '"a"', "under": '"b"'}
    lines = "\n".join(f"{key} = {value}" for key, value in entry.items() if key != missing)
    error = refusal(write(f'extends = "minimal"\n[fitted."police.delay"]\n{lines}\n'))
    assert error.where.endswith(f"a.toml: fitted.police.delay.{missing}")


def test_fitted_must_be_a_table(write):
    assert refusal(write('fitted = 3\nextends = "minimal"\n')).given == 3


# Lists of policies


def test_a_file_of_policies_gives_its_entries_in_order(write, minimal):
    path = write('[[policies]]\nkind = "reject-spoofed-origin"\n[[policies]]\nkind = "score-text"\nthreshold = 0.5\n')
    assert [p.id for p in minimal.replace({"policies": load_policies(path)}).policies] == [
        "reject-spoofed-origin",
        "score-text",
    ]


@pytest.mark.parametrize(
    "text", ["", "policies = 3\n", 'policies = ["score-text"]\n', '[policies]\nkind = "score-text"\n']
)
def test_a_file_without_entries_of_policies_is_refused(write, text):
    with pytest.raises(ConfigurationError, match=r"a\.toml: wanted \[\[policies\]\] entries"):
        load_policies(write(text))


def test_an_unknown_kind_in_a_file_of_policies_is_refused_with_file_and_nearest(write):
    path = write('[[policies]]\nkind = "limit-attempt"\n')
    with pytest.raises(ConfigurationError) as caught:
        load_policies(path)
    assert caught.value.where == f"{path}: policies.limit-attempt"
    assert "did you mean 'limit-attempts'?" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kind = []", "policies.[]: no such policy: []"),
        ("", "policies.0: wanted a table with the 'kind' of a policy"),
        ('kind = "score-text"\nthreshold = "high"', "policies.score-text.threshold: got 'high'"),
        ('kind = "score-text"\ntreshold = 1', "did you mean 'threshold'?"),
    ],
)
def test_a_mistake_in_a_file_of_policies_is_told_with_file_and_path(write, text, told):
    path = write(f"[[policies]]\n{text}\n")
    with pytest.raises(ConfigurationError) as caught:
        load_policies(path)
    assert str(caught.value).startswith(f"{path}: policies.")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"police.delay.median": "3h", "police.voice_complaint_ratio": 0.3},
        {"policies.reject-listed-numbers.delay": "2d", "policies.reject-listed-numbers.enabled": False},
        {"policies.limit-calls.per_day": {"warn": 50, "critical": 90}, "period.end": "2025-03-01"},
        {"traffic.lines.domestic-modem-pool.attempts_per_day": 99, "traffic.voice.latent": "4e9/year"},
        {"title": 'with "quotes", \\ and 中文'},
    ],
)
def test_a_file_of_changes_is_read_as_the_changed_scenario(tmp_path, changes):
    file = tmp_path / "mine.toml"
    file.write_text(toml_of("china-2025", changes, name="mine"), "utf-8")
    wanted = load("china-2025").replace(changes)
    assert load(file).model_copy(update={"name": "china-2025", "extends": wanted.extends}) == wanted
    assert load(file).name == "mine"


def test_a_file_of_changes_that_lead_nowhere_is_refused():
    with pytest.raises(ConfigurationError, match="did you mean 'delay'"):
        toml_of("minimal", {"policies.reject-listed-numbers.delai.x": "2h"}, name="mine")


# Scenarios in parts


def test_files_that_are_extended_are_laid_over_one_another_in_their_order(write):
    write("title = 'one'\n[police]\nsms_complaint_ratio = 0.5\nvoice_complaint_ratio = 0.5\n", name="one.toml")
    write("[police]\nvoice_complaint_ratio = 0.25\n", name="two.toml")
    whole = load(write('extends = ["minimal", "one.toml", "two.toml"]\n[police]\nsms_complaint_ratio = 0.75\n'))
    assert whole.title == "one"
    assert (whole.police.voice_complaint_ratio, whole.police.sms_complaint_ratio) == (0.25, 0.75)
    assert whole.extends == ("minimal", "one.toml", "two.toml")


def test_a_shipped_scenario_written_elsewhere_still_finds_its_parts(write):
    text = shipped("configs", "china-2025.toml").read_text("utf-8")
    assert load(write(text)) == load("china-2025")


@pytest.mark.parametrize("given", ["3", "[]", '["minimal", 3]'])
def test_what_a_file_extends_has_to_be_names(write, given):
    assert "wanted names or files of scenarios" in str(refusal(write(f"extends = {given}\n")))


def test_every_shipped_file_is_a_page_and_every_part_is_used():
    configs = shipped("configs", "")
    assert (
        max(len(path.read_text("utf-8").splitlines()) for path in configs.rglob("*.toml")) <= 120
    )  # with what was fitted, which calibrate writes
    parts = {f"{path.parent.name}/{path.name}" for path in (configs / "china").glob("*.toml")}
    assert parts == set(load("china-2025").extends)
