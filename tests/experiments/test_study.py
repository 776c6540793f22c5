"""Studies: what their files hold, which scenarios their points become, and how mistakes are told."""

import pytest

import interceptsim as ics
from interceptsim.errors import ConfigurationError
from interceptsim.experiments.design import Design
from interceptsim.experiments.study import Study, load_study
from interceptsim.ledger import shipped
from interceptsim.randomness import replication_seed
from interceptsim.scenario import Fitted

DELAY = "policies.reject-listed-numbers.delay"
FILE = """
title = "a study"
scenario = "minimal"
scale = "1:5000"
replications = 3
seed = 7
days = 5
[set]
"police.delay" = "3h"
[variants."no list"]
"policies.reject-listed-numbers.enabled" = false
[design.axes]
"policies.reject-listed-numbers.delay" = ["1h", "1d"]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(FILE, encoding="utf-8")
    return path


def study(minimal, axes, **options):
    return Study(scenario=minimal, design=Design.of(axes), **options)


def test_a_file_says_what_is_run_where_and_how_often(file, minimal):
    found = load_study(file)
    assert (found.name, found.title, found.scale, found.days, found.replications) == ("mine", "a study", 5000, 5, 3)
    assert found.scenario == minimal.replace({"police.delay": "3h"})
    assert found.variant_names == ["minimal", "no list"]
    assert found.seeds == [replication_seed(7, n) for n in range(3)]
    assert found.design.chosen() == [{DELAY: "1h"}, {DELAY: "1d"}]


def test_options_stand_above_the_file(file, minimal):
    found = load_study(file, scale=100, days=None, set={"police.delay": "9h"})
    assert (found.scale, found.days) == (100, 5)
    assert found.scenario == minimal.replace({"police.delay": "9h"})


def test_a_scenario_may_stand_beside_its_study_or_in_it(file, tmp_path, minimal):
    (tmp_path / "own.toml").write_text('extends = "minimal"\nname = "own"\n[police]\ndelay = "5h"\n')
    file.write_text(FILE.replace('"minimal"', '"own.toml"').replace("[set]\n", "[fit]\n[set]\n"))
    assert load_study(file).scenario.name == "own"
    table = (
        '[scenario]\nextends = "minimal"\n[[scenario.policies]]\nkind = "limit-fan-out"\ndistinct = { critical = 9 }\n'
    )
    file.write_text(FILE.replace('scenario = "minimal"\n', "") + table)
    found = load_study(file).scenario
    assert [p.id for p in found.policies] == [*(p.id for p in minimal.policies), "limit-fan-out"]
    assert found.name == "mine"


def test_a_cell_is_the_scenario_of_a_point_and_a_variant(minimal):
    variants = {"off": {"policies.reject-listed-numbers.enabled": False}}
    cells = list(study(minimal, {DELAY: ["1h", "1d"]}, variants=variants).cells([{DELAY: "1h"}, {DELAY: "1d"}]))
    assert [(cell.point, cell.variant) for cell in cells] == [(0, "minimal"), (0, "off"), (1, "minimal"), (1, "off")]
    last = minimal.replace({DELAY: "1d", "policies.reject-listed-numbers.enabled": False})
    assert cells[-1].prepared.scenario == last


def test_a_variant_may_be_a_scenario_with_policies_of_ones_own(minimal):
    def mine(batch):
        return batch.channel == 0

    variants = {"mine": minimal.with_policies([*minimal.policies, mine])}
    cells = list(study(minimal, {DELAY: ["1d"]}, variants=variants).cells([{DELAY: "1d"}]))
    found = cells[1].prepared.scenario
    assert [p.id for p in found.policies][-1] == "mine"
    assert found.replace({}).as_dict()["policies"][0]["delay"] == "1d"


def test_a_point_that_does_not_fit_is_a_cell_with_its_error_and_the_others_stand(minimal):
    bad, good = study(minimal, {DELAY: ["1s", "1h"]}).cells([{DELAY: "1s"}, {DELAY: "1h"}])
    assert (bad.prepared, good.error) == (None, None)
    assert bad.error.startswith(f"point {DELAY} = 1s: minimal: {DELAY}: got '1s'; at least 1min is wanted")


def test_where_no_point_fits_the_first_mistake_is_told(minimal):
    wrong = "policies.reject-listed-numbrs.delay"
    points = [{wrong: "1h"}, {wrong: "2h"}]
    with pytest.raises(ConfigurationError, match=f"point {wrong} = 1h: .*did you mean 'reject-listed-numbers'"):
        list(study(minimal, {wrong: ["1h", "2h"]}).cells(points))


def test_a_point_that_assumes_another_ratio_is_calibrated_and_the_rest_laid_over_it(china):
    ratio = "calibration.voice.interception_ratio"
    bundles = {"both": {ratio: 0.6, "calibration.sms.interception_ratio": 0.5}}
    one = study(china, {DELAY: ["1d"], ratio: [0.7]})
    assert one.calibrating == [ratio]
    scenario, ids = one.to_fit({DELAY: "1d", ratio: 0.7})
    assert (scenario, ids) == (china.replace({ratio: 0.7}), ("voice",))
    assert study(china, {"ratios": bundles}).to_fit({"ratios": "both"})[1] == ("voice", "sms")
    assert study(china, {DELAY: ["1d"]}).to_fit({DELAY: "1d"}) is None
    fitted = {"traffic.voice.latent": Fitted(value="1e9/year", figure="calls_intercepted_2025", under="a test")}
    [cell] = one.cells([{DELAY: "1d", ratio: 0.7}], {0: fitted})
    found = cell.prepared.scenario
    assert (found.traffic.voice.latent, found.as_dict()["policies"][2]["delay"]) == (1e9, "1d")
    assert found.fitted["traffic.voice.latent"].under == "a test"


def test_a_calibration_that_failed_is_the_error_of_its_points(china):
    ratio = "calibration.voice.interception_ratio"
    points = [{ratio: 0.9}, {ratio: 0.7}]
    failed, _ = study(china, {ratio: [0.9, 0.7]}).cells(points, {0: "no strength gives the ratio"})
    assert failed.error == f"point {ratio} = 0.9: calibration: no strength gives the ratio"


@pytest.mark.parametrize("name", sorted(path.stem for path in shipped("configs", "sweeps").glob("*.toml")))
def test_every_shipped_study_fits(name):
    found = load_study(name)
    points = found.design.chosen()
    assert all(cell.error is None for cell in found.cells(points))
    assert found.title
    run = ics.run(found.scenario, scale=20_000, days=10, threads=1)
    assert set(found.metrics) <= set(run.summary["metric"])


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('scenario = "minimal"', 'scenario = "minmal"', r"minmal: no such scenario.*did you mean 'minimal'"),
        ('scenario = "minimal"', 'scenario = "none.toml"', r"none.toml: cannot be read"),
        ('scenario = "minimal"', "", "scenario: field required"),
        ('scale = "1:5000"', 'scale = "1:0"', "scale: got '1:0'; wanted one in N"),
        ("replications = 3", "replications = 0", "replications: got 0"),
        ("replications = 3", "replication = 3", "replication: no such key; did you mean 'replications'"),
        ("days = 5", "days = 99", "days: got 99; wanted at most the 14 of the period"),
        ('"police.delay" = "3h"', '"police.dealy" = "3h"', "no such key; did you mean 'delay'"),
        ('[variants."no list"]', "[variants.minimal]", "variant 'minimal': the baseline has this name"),
        (
            '"policies.reject-listed-numbers.enabled" = false',
            '"calibration.x.low" = 1',
            "make it an axis of the design",
        ),
        ('["1h", "1d"]', "[]", "design.axes"),
        ("title", "title title", "not TOML"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_place(file, old, new, told):
    file.write_text(FILE.replace(old, new), encoding="utf-8")

    def cells():
        found = load_study(file)
        return list(found.cells(found.design.chosen()))

    with pytest.raises(ConfigurationError, match=told) as caught:
        cells()
    assert str(file) in str(caught.value) or caught.value.where.startswith("point")


def test_an_unknown_shipped_study_is_told_with_the_nearest():
    with pytest.raises(ConfigurationError, match="did you mean 'fan-out-threshold'"):
        load_study("fan-out-treshold")


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("replications", 0),
        ("seed", -1),
        ("scale", 0),
        ("days", 0),
        ("name", "a/b"),
        ("name", ".a"),
        ("name", "a" * 101),
    ],
)
def test_an_option_out_of_range_is_refused(minimal, option, given):
    with pytest.raises(ConfigurationError) as caught:
        study(minimal, {DELAY: ["1h"]}, **{option: given})
    assert (caught.value.where, caught.value.given) == (option, given)
