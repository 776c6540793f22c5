"""The network: Erlang's formula against tables, exact sums and real circuits; message centres; what a scenario says."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from fractions import Fraction
from random import Random
from typing import Any

import jsonschema
import numpy as np
import polars as pl
import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from interceptsim.dataplane import DataPlane
from interceptsim.errors import ConfigurationError, LookaheadError
from interceptsim.network.erlang import erlang_b, loss_threshold
from interceptsim.network.load import NetworkLoad
from interceptsim.network.model import Network
from interceptsim.printing import print_run
from interceptsim.results import RunResult
from interceptsim.scenario import Scenario, schema
from interceptsim.scenario_files import load
from interceptsim.simulation import run
from interceptsim.units import DAY_US, HOUR_US
from interceptsim.world import World


def exactly(circuits: int, offered: float) -> float:
    """Erlang B by the recursion B(n) = A B(n-1) / (n + A B(n-1)), in fractions."""
    a, b = Fraction(offered), Fraction(1)
    for n in range(1, circuits + 1):
        b = a * b / (n + a * b)
    return float(b)


# Erlang's formula.


@pytest.mark.parametrize(
    ("circuits", "offered", "loss"),
    [  # Erlang loss tables, as printed in any book on teletraffic: offered load at a loss of 1 % and 5 %, 10 %
        (1, 0.0101, 0.01),
        (5, 1.361, 0.01),
        (10, 4.461, 0.01),
        (20, 12.03, 0.01),
        (50, 37.90, 0.01),
        (100, 84.06, 0.01),
        (10, 6.216, 0.05),
        (50, 44.53, 0.05),
        (100, 95.24, 0.05),
        (10, 7.511, 0.10),
        (100, 104.1, 0.10),
    ],
)
def test_losses_are_those_of_the_printed_tables(circuits: int, offered: float, loss: float) -> None:
    assert erlang_b(circuits, offered) == pytest.approx(loss, rel=0.003)  # tables give the load to three or four digits


def test_losses_known_as_fractions_are_met() -> None:
    assert erlang_b(1, 1.0) == 0.5
    assert erlang_b(2, 1.0) == pytest.approx(0.2, rel=1e-15)
    assert erlang_b(5, 2.0) == pytest.approx(4 / 109, rel=1e-15)
    assert erlang_b(10, 5.0) == pytest.approx(exactly(10, 5.0), rel=1e-14)


@given(st.integers(1, 120), st.floats(0.01, 300))
def test_the_sum_equals_the_exact_recursion(circuits: int, offered: float) -> None:
    wanted = exactly(circuits, offered)
    if wanted < 2.0**-33:
        assert erlang_b(circuits, offered) == 0.0
    else:
        assert erlang_b(circuits, offered) == pytest.approx(wanted, rel=1e-12)


@given(st.integers(1, 10_000), st.floats(0, 20_000))
def test_compiled_and_plain_arithmetic_give_the_same_bits(circuits: int, offered: float) -> None:
    assert erlang_b(circuits, offered) == erlang_b.py_func(circuits, offered)  # type: ignore[attr-defined]


@given(st.integers(1, 10_000), st.floats(0.1, 20_000), st.floats(1, 2))
def test_loss_grows_with_the_load_and_falls_with_circuits(circuits: int, offered: float, factor: float) -> None:
    assert erlang_b(circuits, offered) <= erlang_b(circuits, offered * factor) * (1 + 1e-12)
    assert erlang_b(circuits + 1, offered) <= erlang_b(circuits, offered) * (1 + 1e-12)


def test_millions_of_circuits_meet_the_limit_of_full_load() -> None:
    circuits = 10_000_000  # B(N, N) is about sqrt(2 / (pi N)), and beyond N load what exceeds it is lost
    assert erlang_b(circuits, float(circuits)) == pytest.approx(math.sqrt(2 / (math.pi * circuits)), rel=1e-3)
    assert erlang_b(circuits, 2.0 * circuits) == pytest.approx(0.5, rel=1e-6)
    assert erlang_b(circuits, 0.9 * circuits) == 0.0


def test_no_load_loses_nothing_and_endless_load_everything() -> None:
    loss = [erlang_b(circuits, offered) for circuits, offered in ((3, 0.0), (3, 1e300), (1, 1.0))]
    assert loss == [0.0, 1.0, 0.5]
    assert [loss_threshold(share) for share in loss] == [0, 2**32, 2**31]


@pytest.mark.parametrize(
    "held",
    [
        lambda r: r.expovariate(1.0),
        lambda r: 1.0,
        lambda r: math.exp(r.gauss(-0.5, 1.0)),
        lambda r: r.choice([0.1, 1.9]),
    ],
    ids=["exponential", "constant", "lognormal", "of two values"],
)
@pytest.mark.parametrize(("circuits", "offered"), [(6, 4.0), (20, 22.0)])
def test_real_circuits_in_simpy_lose_what_the_formula_says(
    circuits: int, offered: float, held: Callable[[Random], float]
) -> None:
    r, env = Random(7), simpy.Environment()
    trunk, lost = simpy.Resource(env, circuits), [0] * 21
    calls = 1000

    def call() -> Any:
        with trunk.request() as circuit:
            yield circuit
            yield env.timeout(held(r))

    def callers() -> Any:
        for batch, _ in itertools.product(range(21), range(calls)):
            yield env.timeout(r.expovariate(offered))
            if trunk.count < circuits:
                env.process(call())
            else:
                lost[batch] += 1

    env.process(callers())
    env.run()
    shares = np.array(lost[1:]) / calls  # the first batch fills the circuits
    error = shares.std(ddof=1) / math.sqrt(len(shares))
    assert abs(shares.mean() - erlang_b(circuits, offered)) < 3.5 * error
    assert error < 0.01


# What is measured.


def calls_by(circuits: int, hours: list[float], **more: Any) -> dict[str, Any]:
    return {"id": "t", "entries": ["mobile-access"], "circuits": circuits, "planned_erlangs": hours, **more}


def messages_by(rate: float, hours: list[float], **more: Any) -> dict[str, Any]:
    one = {"id": "s", "entries": ["mobile-access"], "messages_per_s": rate, "planned_messages_per_s": hours}
    return {**one, **more}


def load_of(minimal: Scenario, **network: Any) -> NetworkLoad:
    """The load of a network before a run of the minimal scenario's two groups, which begins on a Monday."""
    world = World(minimal.replace({"network": network, "period.warm_up": "0d"}), 1, 1000, 1)
    found = world.network_load()
    assert found is not None
    return found


NOTHING = np.zeros((2, 2), np.int64)


def test_planned_load_alone_gives_the_loss_of_its_hour(minimal: Scenario) -> None:
    hours = [float(hour) for hour in range(24)]
    found = load_of(minimal, measure_every="1h", trunk_groups=[calls_by(10, hours)])
    for hour in range(30):
        lost, _ = found.open()
        assert lost.tolist() == [round(exactly(10, float(hour % 24)) * 2**32), 0]
        found.close(NOTHING)


def test_an_interval_over_several_hours_carries_their_mean() -> None:
    hours = [3.0, 6.0, *[0.0] * 22]
    network = Network.model_validate({"measure_every": "90min", "trunk_groups": [calls_by(5, hours)]})
    week = network.trunk_groups[0].planned_erlangs.week({})
    assert [network.planned(week, k) for k in range(3)] == [4.0, 2.0, 0.0]
    assert network.planned(week, 16) == 4.0


def test_a_profile_spreads_its_peak_over_the_week(minimal: Scenario) -> None:
    week = {"peak": 10, "profile": "p"}
    network = Network.model_validate({"trunk_groups": [calls_by(5, [0.0] * 24) | {"planned_erlangs": week}]})
    profile = minimal.traffic.profiles[0].model_copy(
        update={"id": "p", "hours": (0, 4, *[2] * 22), "days": (1, 1, 1, 1, 1, 0, 2)}
    )
    planned = network.trunk_groups[0].planned_erlangs.week({"p": profile})
    assert (planned[1], planned[2], planned[5 * 24 + 1], planned[6 * 24 + 1]) == (5.0, 2.5, 0.0, 10.0)


def test_what_is_measured_in_one_interval_tells_the_loss_of_the_next_alone(minimal: Scenario) -> None:
    found = load_of(minimal, measure_every="1h", trunk_groups=[calls_by(2000, [1900.0] * 24)])
    plain = found.open()[0][0]
    weight = World(minimal, 1, 1000, 1).population.weights[0]
    held = round(300 / weight * HOUR_US)  # 300 Erlangs of the full-size world
    found.close(np.array([[5, held], [0, 0]]))
    assert found.open()[0][0] == pytest.approx(exactly(2000, 2200.0) * 2**32, rel=1e-6)
    found.close(NOTHING)
    assert found.open()[0][0] == plain


def test_ordinary_callers_are_in_the_plan_and_are_not_counted_twice(minimal: Scenario) -> None:
    caller = {"id": "o", "channel": "voice", "lines": 10**6, "sample": 5, "profile": "day", "attempts_per_day": 5}
    scenario = minimal.replace({"traffic.ordinary": [caller]})
    found = load_of(scenario, trunk_groups=[calls_by(5, [1.0] * 24)])
    before = found.open()[0].tolist()
    assert before[2] == before[0] > 0  # they meet the same loss
    found.close(np.array([[0, 0], [0, 0], [10**6, 10**15]]))
    assert found.open()[0].tolist() == before


def test_more_than_a_centre_can_hand_on_waits_and_is_worked_off(minimal: Scenario) -> None:
    hours = [20.0, 20.0, *[5.0] * 22]
    found = load_of(minimal, measure_every="1h", smscs=[messages_by(10.0, hours, least_delay="2s")])
    delays = []
    for _ in range(7):
        delays.append(int(found.open()[1][1]) / 1e6)
        found.close(NOTHING)
    assert delays == [2, 3602, 7202, 5402, 3602, 1802, 2]
    assert found.counts()["smsc s.longest delay (us)"] == 7_202_000_000


def test_messages_that_expire_are_not_in_the_way_of_others(minimal: Scenario) -> None:
    smsc = messages_by(10.0, [30.0] * 24, validity="1h")
    found = load_of(minimal, measure_every="15min", smscs=[smsc])
    late, joined = [], 0
    for _ in range(3000):
        late.append(int(found.open()[1][1]))
        joined += late[-1] <= HOUR_US
        found.close(NOTHING)
    assert max(late) <= HOUR_US + 2 * HOUR_US // 4  # what came in one interval, less what was handed on, beyond
    assert joined / 3000 == pytest.approx(1 / 3, abs=0.01)  # a third is all that it can hand on


def test_measured_messages_wait_as_planned_ones_do(minimal: Scenario) -> None:
    found = load_of(minimal, measure_every="1h", smscs=[messages_by(10.0, [10.0] * 24)])
    weight = World(minimal, 1, 1000, 1).population.weights[1]
    found.open()
    found.close(np.array([[0, 0], [9, 0]]))
    assert found.open()[1][1] == pytest.approx(9 * weight / 10.0 * 1e6, abs=1)


# What a scenario may say.


def refused(minimal: Scenario, **network: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        minimal.replace({"network": network})
    return caught.value


EVEN = [1.0] * 24


def test_names_that_are_not_there_are_refused_with_the_nearest(minimal: Scenario) -> None:
    error = refused(minimal, trunk_groups=[calls_by(5, EVEN, groups=["cals"])])
    assert "network.trunk_groups.t.groups" in error.where
    assert error.nearest == "calls"
    error = refused(minimal, smscs=[messages_by(5, EVEN, groups=["calls"])])
    assert "no sms line group 'calls'" in str(error)
    profile = {"peak": 5, "profile": "dya"}
    error = refused(minimal, smscs=[{**messages_by(5, EVEN), "planned_messages_per_s": profile}])
    assert (error.where.split()[-1], error.nearest) == ("network.smscs.s.planned_messages_per_s.profile", "day")
    error = refused(minimal, trunk_groups=[{**calls_by(5, EVEN), "planned_erlangs": profile}])
    assert error.nearest == "day"
    error = refused(minimal, trunk_groups=[calls_by(5, EVEN, entries=["mobile-acess"])])
    assert "mobile-access" in str(error)


@pytest.mark.parametrize(
    ("network", "wanted"),
    [
        ({"measure_every": "7min"}, "wanted a part of a day"),
        ({"measure_every": "30s"}, "wanted a part of a day"),
        ({"trunk_groups": [calls_by(5, EVEN), calls_by(5, EVEN, id="u")]}, "entry 'mobile-access' is named twice"),
        ({"trunk_groups": [calls_by(5, EVEN), calls_by(5, EVEN)]}, "id 't' is named twice"),
        ({"trunk_groups": [calls_by(5, EVEN, entries=[])]}, "wanted the 'entries' or the 'groups'"),
        ({"trunk_groups": [calls_by(0, EVEN)]}, "greater than or equal to 1"),
        ({"trunk_groups": [calls_by(5, [1.0] * 23)]}, "at least 24"),
        ({"trunk_groups": [{**calls_by(5, EVEN), "planned_erlangs": {"peak": 3}}]}, "or 'peak' and 'profile'"),
        ({"trunk_groups": [{**calls_by(5, EVEN), "planned_erlangs": 5}]}, "Planned"),
        ({"smscs": [messages_by(0.0, EVEN)]}, "greater than 0"),
        ({"smscs": [messages_by(5.0, [-1.0] * 24)]}, "greater than or equal to 0"),
        ({"gateways": []}, "no such key"),
    ],
)
def test_a_network_that_makes_no_sense_is_refused(minimal: Scenario, network: dict[str, Any], wanted: str) -> None:
    assert wanted in str(refused(minimal, **network))


def test_a_network_reads_back_as_it_was_written_and_fits_the_schema(china: Scenario) -> None:
    again = Scenario.model_validate(json.loads(json.dumps(china.as_dict())))
    assert again == china
    assert again.network is not None
    jsonschema.validate(json.loads(json.dumps(china.as_dict())), json.loads(schema()))
    jsonschema.validate(json.loads(json.dumps(load("congested-route").as_dict())), json.loads(schema()))


def test_a_group_named_by_an_element_passes_it_and_no_other_of_its_entry(minimal: Scenario) -> None:
    chosen = calls_by(5, EVEN, id="chosen", entries=[], groups=["calls"])
    network = Network.model_validate({"trunk_groups": [calls_by(5, EVEN), chosen]})
    calls, messages = minimal.traffic.lines
    assert network.place_of(calls) == 1
    assert network.place_of(messages) is None


def test_slices_are_no_longer_than_the_interval_of_measurement(minimal: Scenario) -> None:
    assert minimal.slice_us == 2 * HOUR_US
    for every, wanted in (("15min", HOUR_US // 4), ("12h", 2 * HOUR_US)):
        assert minimal.replace({"network": {"measure_every": every}}).slice_us == wanted


# A run.


def with_network(minimal: Scenario, **network: Any) -> Scenario:
    changes = {"policies": [], "period.end": "2025-06-04", "period.warm_up": "1d"}
    return minimal.replace({**changes, "network": network})


def test_a_run_loses_by_its_plan_what_the_formula_says(minimal: Scenario) -> None:
    planned, circuits = [1e6] * 24, 1_000_000  # fraud is nothing beside it
    scenario = with_network(minimal, measure_every="1h", trunk_groups=[calls_by(circuits, planned)])
    found = run(scenario.replace({"network.trunk_groups.t.circuits": 900_000}), scale=2000)
    loss = erlang_b(900_000, 1e6)
    n = found.metrics["trunk t.attempts"]
    assert abs(found.metrics["trunk t.lost"] / n - loss) < 4 * math.sqrt(loss * (1 - loss) / n) + 0.002
    assert found.metrics["voice.lost"] == found.metrics["trunk t.lost"]
    assert found.estimate("trunk t.carried load").value == pytest.approx(900_000, rel=1e-3)
    assert found.estimate("trunk t.planned load").value == 1e6


def test_without_a_network_nothing_is_lost_or_late(minimal: Scenario) -> None:
    found = run(minimal, scale=10_000)
    assert found.metrics["voice.lost"] == found.metrics["sms.expired"] == found.metrics["sms.open"] == 0
    assert not any(name.startswith(("trunk", "smsc")) for name in found.metrics)


def test_what_is_lost_neither_changes_other_draws_nor_what_was_latent(minimal: Scenario) -> None:
    plain = with_network(minimal, trunk_groups=[calls_by(10**8, EVEN)])
    tight = plain.replace({"network.trunk_groups.t.circuits": 1})
    a, b = (run(s, scale=5000, record="all").decisions for s in (plain, tight))
    assert a is not None
    assert b is not None
    kept = b["outcome"] != "lost"
    assert 0 < kept.sum() < len(kept)
    came = ("outcome", "answered", "duration_us")
    assert a.drop(came).equals(b.drop(came))
    assert a.filter(kept).equals(b.filter(kept))


def test_the_answer_seizure_ratio_is_that_of_the_calls_that_were_not_lost(minimal: Scenario) -> None:
    found = run(with_network(minimal, trunk_groups=[calls_by(1000, [1500.0] * 24)]), scale=1000)
    counted = {name: found.metrics[f"trunk t.{name}"] for name in ("attempts", "lost", "answered")}
    assert 0.3 < counted["lost"] / counted["attempts"] < 1
    ratio = counted["answered"] / (counted["attempts"] - counted["lost"])
    assert found.estimate("trunk t.answer-seizure ratio").value == pytest.approx(ratio, rel=0.01)
    assert ratio == pytest.approx(minimal.traffic.lines[0].calls.answer_ratio, abs=0.02)


def test_complaints_about_late_messages_come_as_late(minimal: Scenario) -> None:
    scenario = minimal.replace({"period.warm_up": "0d", "police.sms_complaint_ratio": 1.0})
    late = scenario.replace({"network": {"smscs": [messages_by(1e9, [0.0] * 24, least_delay="3h")]}})
    told = []
    for one in (scenario, late):
        plane = DataPlane(World(one, 1, 1000, 1))
        load_now = World(one, 1, 1000, 1).network_load()
        if load_now:
            plane.post_network(*load_now.open(), 0)
        found = plane.advance(20 * HOUR_US)
        first_of_sms = np.flatnonzero(plane._lines["group"][found["line"]] == 1)
        told.append({int(c["line"]): int(c["time_us"]) for c in found[first_of_sms] if c["generation"] == 0})
    assert len(told[0]) > 10
    assert told[1] == {line: time + 3 * HOUR_US for line, time in told[0].items()}


def test_messages_too_late_expire_and_those_beyond_the_end_are_open(minimal: Scenario) -> None:
    late = messages_by(1e9, [0.0] * 24, least_delay="6h", validity="5h")
    found = run(with_network(minimal, smscs=[late]), scale=5000)
    assert found.metrics["sms.expired"] == found.metrics["smsc s.attempts"] > 0
    assert found.metrics["sms.complaints"] == 0
    patient = with_network(minimal, smscs=[{**late, "validity": "2d"}])
    found = run(patient, scale=5000, record="all")
    assert found.decisions is not None
    sms = found.decisions.filter(pl.col("channel") == 1)
    last = sms["time_us"] > World(patient, 1, 5000, 3).epoch_us + 4 * DAY_US - 6 * HOUR_US
    assert found.metrics["sms.open"] > 0
    assert found.metrics["sms.expired"] == 0
    assert ((sms["outcome"] == "open") == last).all()


def test_what_holds_from_another_time_than_the_decided_edge_is_refused(minimal: Scenario) -> None:
    plane = DataPlane(World(minimal, 1, 10_000, 1))
    plane.advance(HOUR_US)
    free = np.zeros(2, np.uint64), np.zeros(2, np.int64)
    plane.post_network(*free, HOUR_US)
    for wrong in (HOUR_US - 1, HOUR_US + 1):
        with pytest.raises(LookaheadError, match=r"network\.measure_every"):
            plane.post_network(*free, wrong)


def test_fraud_congests_the_route_that_it_shares_and_no_other() -> None:
    scenario = load("congested-route").replace({"period.end": "2025-06-05", "period.warm_up": "2d"})
    found = run(scenario)
    quiet = run(scenario.replace({"traffic.voice.latent": "1/year"}))
    assert 0.05 < found.estimate("trunk leased-route.lost ratio").value < 0.5
    assert found.metrics["ordinary voice.lost"] > 0
    assert found.metrics["trunk mobile-access.lost"] == 0
    assert quiet.metrics["ordinary voice.lost"] <= 2


def test_the_network_is_printed_within_80_columns(china: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    print_run(run(china.replace({"period.warm_up": "0d"}), scale=100_000, days=1))
    shown = capsys.readouterr().out
    assert "Trunk groups" in shown
    assert "domestic-interconnect  0.0000" in shown
    assert "Message centres" in shown
    assert "…" not in shown.partition("Trunk groups")[2]


def test_china_loses_next_to_nothing(china: Scenario) -> None:
    found = run(china.replace({"period.warm_up": "1d"}), scale=10_000, days=3)
    assert found.metrics["voice.lost"] == found.metrics["sms.expired"] == 0
    assert all(found.metrics[f"trunk {t.id}.attempts"] > 0 for t in china.network.trunk_groups)  # type: ignore[union-attr]


def intercepted_by_carrier(found: RunResult) -> dict[tuple[int, str], int]:
    assert found.decisions is not None
    counted = found.decisions.filter(verdict="intercept").group_by("b_carrier", "reason").len()
    return {(carrier, reason): n for carrier, reason, n in counted.iter_rows()}


def test_carriers_may_adopt_a_list_late_or_not_at_all(minimal: Scenario) -> None:
    carriers = [{"id": name, "share": share} for name, share in (("prompt", 0.4), ("late", 0.4), ("never", 0.2))]
    lists = [
        {"kind": "reject-listed-numbers", "id": "prompt-list", "carriers": ["prompt"], "delay": "2h"},
        {"kind": "reject-listed-numbers", "id": "late-list", "carriers": ["late"], "delay": "2d"},
    ]
    notice = {"traffic.lines.calls.notice": "5d", "traffic.lines.messages.notice": "5d"}
    scenario = minimal.replace({"population.carriers": carriers, "policies": lists, **notice})
    counted = intercepted_by_carrier(run(scenario, scale=5000, record="all"))
    assert set(counted) == {(0, "prompt-list"), (1, "late-list")}
    assert counted[0, "prompt-list"] > 1.2 * counted[1, "late-list"]
