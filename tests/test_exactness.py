"""Both engines find the same for every attempt: random scenarios, a stress of ties, and faults put in on purpose."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
from collections import Counter
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest
import simpy
from answers import answers, fallible

from interceptsim import control, dataplane, reference, simulation
from interceptsim.control import ControlPlane
from interceptsim.dataplane import DataPlane
from interceptsim.errors import LookaheadError
from interceptsim.findings import Findings
from interceptsim.randomness import draw, stream_id
from interceptsim.recorder import Recorder
from interceptsim.reference import ReferenceEngine
from interceptsim.results import RunResult
from interceptsim.scenario import Scenario
from interceptsim.simulation import run
from interceptsim.units import DAY_US, Delay
from interceptsim.world import Posting, World

MINUTE, HOUR = 60_000_000, 3_600_000_000
SCENARIOS, TIES = 220, 40


def us(time: int) -> str:
    return f"{time}us"


def delay(r: Random, least: int, most: int) -> dict[str, str]:
    """A constant, exponential or lognormal delay whose least is `least`, beyond it by about `most`."""
    minimum, about = us(least), us(r.randrange(1, most + 1))
    return r.choice(
        [
            {"minimum": minimum},
            {"minimum": minimum, "mean": about},
            {"minimum": minimum, "median": about, "sigma": r.choice([0.3, 1.2])},  # type: ignore[dict-item]
        ]
    )


def line_group(r: Random, n: int, channel: str, share: float) -> dict[str, Any]:
    entry = r.choice(["international-gateway", "domestic-interconnect", "mobile-access"])
    cli = r.choice(["own", "own", "own", "random", "fixed", "neighbour"])
    if channel == "sms" and r.random() < 0.3:
        entry, cli = "a2p-account", "own"
    group: dict[str, Any] = {
        "id": f"g{n}",
        "hub": r.choice("hk"),
        "channel": channel,
        "entry": entry,
        "cli": cli,
        "roaming": r.random() < 0.2,
        "share": share,
        "profile": r.choice(["even", "office"]),
        "attempts_per_day": r.choice([15, 60, 300]),
        "rate_sigma": r.choice([0.0, 0.8]),
        "number_life": r.choice([{"mean": "1h"}, {"median": "3h", "sigma": 1.0}, {"minimum": "1h"}, {"mean": "400d"}]),
        "notice": delay(r, r.choice([0, 0, MINUTE]), r.choice([1, HOUR, DAY_US])),
        "resupply": delay(r, r.choice([0, 0, MINUTE]), r.choice([1, HOUR])),
    }
    if cli == "fixed":
        group["presents"] = r.choice(["95588", "+8613000000000"])
    if channel == "sms":
        group["text"] = {"mean": 0.5, "deviation": 0.3, "jitter": 0.1, "templates": 3, "link_ratio": 0.5}
    return group


def callers(r: Random, n: int) -> dict[str, Any]:
    """A group of ordinary callers."""
    channel = r.choice(["voice", "sms"])
    contacts = r.choice([0, 5, 100])
    group: dict[str, Any] = {
        "id": f"o{n}",
        "channel": channel,
        "entry": r.choice(["mobile-access", "domestic-interconnect", "international-gateway"]),
        "lines": r.choice([3, 1000, 10**9]),
        "sample": r.choice([3, 8]),
        "panel": r.choice(["1d", "7d"]),
        "profile": r.choice(["even", "office"]),
        "attempts_per_day": r.choice([5, 60]),
        "contacts": contacts,
        "stranger_ratio": r.choice([0.0, 0.4]) if contacts else 1.0,
        "incoming_per_day": r.choice([0, 3, 40]),
        "calls": {"answer_ratio": 0.6, "talk": delay(r, 0, 2 * HOUR)},
    }
    if channel == "sms":
        group["text"] = {"mean": 0.1, "deviation": 0.3, "jitter": 0.1, "templates": 3, "link_ratio": 0.5}
    return group


def adaptations(r: Random) -> list[dict[str, Any]]:
    window = r.choice([1, 5, 64])
    return [
        {"kind": "rotate-numbers", "window": window, "least_answered": r.randrange(1, window + 1)},
        {"kind": "slow-down", "keep_ratio": r.choice([0.0, 0.5]), "lasts": us(r.choice([1, HOUR]))},
        {"kind": "spread-entries", "entries": r.sample(["international-gateway", "mobile-access", "a2p-account"], 2)},
        {"kind": "call-again", "ratio": r.choice([0.3, 1.0])},
    ]


def moving(r: Random) -> dict[str, Any]:
    return {
        "kind": "move-to-messages",
        "after": r.choice([1, 3]),
        "lasts": us(r.choice([1, HOUR, DAY_US])),
        "text": {"mean": 0.5, "deviation": 0.3, "jitter": 0.1, "templates": 3, "link_ratio": 0.5},
    }


def chain(r: Random) -> list[dict[str, Any]]:
    least = r.choice([MINUTE, 7 * MINUTE, HOUR])
    window = r.choice(["fixed", "leaky-bucket"])
    bounds = lambda: {"warn": r.randrange(1, 6), "critical": r.randrange(2, 12)}  # noqa: E731
    spread = {"per": r.choice(["hour", "day"]), "sketch_bits": r.choice([64, 512])}
    rules: list[dict[str, Any]] = [
        {"kind": "allow-listed-numbers", "numbers": ["95588"]},
        {
            "kind": "reject-listed-numbers",
            "delay": delay(r, least, r.choice([1, HOUR])),
            "publish_every": us(r.choice([MINUTE, 10 * MINUTE, HOUR])),
            "carriers": r.choice([[], ["a"]]),
            "adoption_ratio": r.choice([1.0, 0.6]),
            **({"expires_after": "3h"} if r.random() < 0.3 else {}),
        },
        {"kind": "reject-listed-numbers", "id": "second", "delay": delay(r, least, 1), "action": "label"},
        {"kind": "reject-spoofed-origin"},
        {"kind": "reject-number-ranges", "intercept": ["+95", "1"], "spare": ["+951", "106"]},
        {"kind": "limit-attempts", "window": window, "per_minute": bounds(), "per_hour": bounds()},
        {"kind": "limit-attempts", "id": "daily", "per_day": {"warn": 5, "critical": 40}, "action": "observe"},
        {"kind": "limit-fan-out", "distinct": {"warn": 3, "critical": 20}, **spread},
        {"kind": "limit-fan-out", "id": "one-way", "outgoing_share": {"min_attempts": 3, "critical": 0.8}},
        {"kind": "score-text", "threshold": 0.7, "label_from": 0.4},
        {"kind": "reject-listed-links", "links": ["a.example"]},
    ]
    kept = [rule for rule in rules if r.random() < 0.6]
    r.shuffle(kept)
    ids = [rule.get("id", rule["kind"]) for rule in kept]
    if ids and r.random() < 0.5:
        kept.append({"kind": "score-reputation", "weights": dict.fromkeys(ids[:3], 0.4), "threshold": 0.5})
        kept.append({"kind": "label-suspected", "when": ids[:2], "at_least": 1})
    return kept


def supply(r: Random, start: dt.date, groups: list[str]) -> list[dict[str, Any]]:
    """Raids in the warm-up and after, with lines that are soon back, and numbers that are hard to get."""
    days = [start - dt.timedelta(days=1), start, start + dt.timedelta(days=1)]
    raids = [
        {"id": f"{hub}{n}", "hub": hub, "date": day, "taken_ratio": r.choice([0.3, 0.6])}
        for n, day in enumerate(days)
        for hub in "hk"
        if r.random() < 0.7
    ]
    away = r.choice([{"minimum": "1us"}, {"minimum": "1h", "mean": "5h"}, {"median": "20h", "sigma": 0.5}])
    returns = {"returning_ratio": r.choice([0.0, 0.6, 1.0]), "returns_to": r.choice([["h"], ["k"], ["k", "h"]])}
    found: list[dict[str, Any]] = [{"kind": "raid-hubs", "raids": raids, "away": away, **returns}] if raids else []
    if r.random() < 0.5:
        some = r.choice([[], r.sample(groups, 1)])
        slower = r.choice([1.0, 2.5, 30.0])
        found.append({"kind": "restrict-sim-supply", "since": r.choice(days), "slower": slower, "lines": some})
    return found


def network(r: Random, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Small trunk groups and message centres, so that calls are lost, messages late and some of them expired."""
    load = lambda most: r.choice([{"peak": r.random() * most, "profile": "office"}, [most * h / 24 for h in range(24)]])  # noqa: E731

    def elements(channel: str, entries: list[list[str]], **values: Any) -> list[dict[str, Any]]:
        found = [{"id": f"{channel}{n}", "entries": names} for n, names in enumerate(entries) if r.random() < 0.7]
        if r.random() < 0.5:
            own = [group["id"] for group in lines if group["channel"] == channel]
            found.append({"id": f"{channel}-chosen", "groups": r.sample(own, 1)})
        return [{**one, **{name: draw() for name, draw in values.items()}} for one in found]

    return {
        "measure_every": r.choice(["15min", "1h", "45min"]),
        "trunk_groups": elements(
            "voice",
            [["mobile-access"], ["domestic-interconnect", "international-gateway"]],
            circuits=lambda: r.choice([1, 2, 5]),
            planned_erlangs=lambda: load(r.choice([0.5, 4])),
        ),
        "smscs": elements(
            "sms",
            [["mobile-access", "a2p-account"], ["international-gateway"]],
            messages_per_s=lambda: r.choice([0.002, 0.01, 0.2]),
            planned_messages_per_s=lambda: load(0.005),
            validity=lambda: r.choice(["10min", "2h", "2d", "2d"]),
            least_delay=lambda: r.choice(["0s", "3min", "2h", "2h"]),
        ),
    }


def scenario_of(seed: int, *, ties: bool = False) -> Scenario:
    """A random small scenario; with `ties` attempts fall on whole minutes and most delays are constant."""
    r = Random(f"{seed}/{ties}")
    start = dt.date(2025, 1, 1) + dt.timedelta(days=r.randrange(300))
    lines = []
    for channel in ("voice", "sms"):
        shares = [0.5, 0.3, 0.2] if r.random() < 0.5 else [1.0]
        lines += [line_group(r, len(lines) + n, channel, share) for n, share in enumerate(shares)]
    policies = chain(r)
    apart = Random(f"{seed}/{ties}/unblocked")
    if apart.random() < 0.5:
        short = {"shorter_than": us(apart.choice([20_000_000, HOUR])), "min_answered": apart.randrange(1, 4)}
        entries = {"entries": ["mobile-access", "a2p-account"]} if apart.random() < 0.3 else {}
        rule = {"kind": "limit-fan-out", "id": "short", "per": apart.choice(["hour", "day"]), **entries}
        policies.insert(0, {**rule, "short_calls": {**short, "critical": apart.choice([0.5, 1.0])}})
    for rule in policies:
        if rule["kind"] == "reject-listed-numbers" and apart.random() < 0.5:
            rule |= {"unblocked_ratio": 0.5, "unblock": "2min" if ties else delay(apart, 0, 2 * HOUR)}
    police_delay = delay(r, r.choice([0, MINUTE, HOUR]), r.choice([1, HOUR]))
    if ties:
        for group in lines:
            group |= {"notice": r.choice(["0s", "1min"]), "resupply": r.choice(["0s", "1min"]), "profile": "even"}
            group["number_life"] = r.choice([{"minimum": "1h"}, {"mean": "30d"}])
        for rule in policies:
            if rule["kind"] == "reject-listed-numbers":
                rule |= {"delay": r.choice(["1min", "2min"]), "publish_every": "1min"}
        police_delay = {"minimum": r.choice(["0s", "1min"])}
    people, complained = None, [r.choice([0.02, 0.2, 1.0]) for _ in range(2)]
    if (own := Random(f"{seed}/{ties}/people")).random() < 0.6:
        people = fallible(own, ties=ties)
        people |= {f"{c}_engaged_ratio": min(0.3, 1 - n) for c, n in zip(("voice", "sms"), complained, strict=True)}
        policies += answers(own, ties=ties)
        police_delay["minimum"] = own.choice(["2min", "3min"] if ties else ["2min", "2h", "3h"])
    hard_times = Random(f"{seed}/supplies")
    if hard_times.random() < 0.7:
        policies += supply(hard_times, start, [group["id"] for group in lines])
    scenario = Scenario.model_validate(
        {
            "name": f"random-{seed}",
            "title": "a random scenario",
            "period": {
                "start": start,
                "end": start + dt.timedelta(days=r.randrange(2)),
                "warm_up": r.choice(["0d", "1d"]),
            },
            "population": {
                "subscribers": r.choice([1000, 10_000_000]),
                "carriers": [{"id": "a", "share": 0.7}, {"id": "b", "share": 0.3}],
            },
            "hubs": [
                {"id": "h", "place": "h", "country_code": 95, "fraud_types": {"one": 0.7, "two": 0.3}},
                {"id": "k", "place": "k", "country_code": 1, "fraud_types": {"one": 1.0}},
            ],
            "police": {
                "voice_complaint_ratio": complained[0],
                "sms_complaint_ratio": complained[1],
                "delay": police_delay,
            },
            "people": people,
            "policies": policies,
            "adaptations": [
                *(a for a in adaptations(r) if r.random() < 0.3),
                *([moving(moves)] if (moves := Random(f"{seed}/moves")).random() < 0.5 else []),
            ],
            "traffic": {
                "voice": {"latent": f"{r.choice([200, 900])}/day"},
                "sms": {"latent": f"{r.choice([200, 900])}/day"},
                "tick": "1min" if ties else r.choice(["1us", "1us", "1s"]),
                "profiles": [
                    {"id": "even", "hours": [1] * 24},
                    {"id": "office", "hours": [0] * 9 + [3] * 9 + [1] * 6, "days": [2, 2, 2, 2, 2, 1, 0]},
                ],
                "lines": lines,
                "ordinary": [callers(r, n) for n in range(r.choice([0, 1, 3]))],
            },
            "network": network(r, lines) if r.random() < 0.5 else None,
        }
    )
    for group in scenario.traffic.ordinary:
        if apart.random() < 0.4:
            changes = {"rate_sigma": 1.1, "busiest": {"shares": [0.3, 0.001], "samples": [2, 2]}}
            scenario = scenario.replace({f"traffic.ordinary.{group.id}.{name}": v for name, v in changes.items()})
    if any(group.channel == "voice" for group in scenario.traffic.ordinary) and apart.random() < 0.7:
        quarantine = delay(apart, HOUR, DAY_US)
        errs = {"false_hand_over_ratio": 0.3, "recycled_ratio": 0.5, "quarantine": quarantine}
        scenario = scenario.replace({f"police.{name}": value for name, value in errs.items()})
    return scenario


def differences(left: RunResult, right: RunResult) -> list[str]:
    """Tell in what two runs differ: rows decided, changes posted, or integers counted."""
    found = []
    for name in ("decisions", "changes"):
        a, b = getattr(left, name), getattr(right, name)
        if (a is None) != (b is None) or (a is not None and not a.equals(b)):
            found.append(name)
    return [*found, *(["digest"] if left.digest != right.digest else [])]


def options_of(scenario: Scenario, seed: int) -> dict[str, Any]:
    """Random options that may change nothing: slice, threads, size of the batches."""
    r = Random(seed)
    longest = scenario.lookahead_us or DAY_US
    return {
        "slice_us": r.choice([longest, MINUTE, r.randrange(MINUTE, longest + 1)]),
        "threads": r.choice([1, 2]),
        "batch_rows": r.choice([1, 7, 64, 4096]),
    }


@pytest.fixture(autouse=True)
def _every_slice_on_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataplane, "_INLINE_ATTEMPTS", 0)


@functools.cache
def both(seed: int, *, ties: bool = False) -> tuple[Scenario, RunResult, RunResult]:
    scenario = scenario_of(seed, ties=ties)
    scale = Random(seed).choice([1, 1, 3])
    slow = run(scenario, seed=seed, scale=scale, engine="reference", record="all")
    fast = run(scenario, seed=seed, scale=scale, record="all", **options_of(scenario, seed))
    return scenario, slow, fast


def seeds(n: int, quick: int) -> list[Any]:
    return [seed if seed < quick else pytest.param(seed, marks=pytest.mark.slow) for seed in range(n)]


@pytest.mark.parametrize("seed", seeds(SCENARIOS, 12))
def test_both_engines_find_the_same_for_every_attempt(seed: int) -> None:
    _, slow, fast = both(seed)
    assert differences(slow, fast) == []


@pytest.mark.parametrize("seed", seeds(SCENARIOS, 12))
def test_a_run_that_records_nothing_is_the_same(seed: int) -> None:
    scenario, slow, _ = both(seed)
    options = options_of(scenario, seed) | {"threads": Random(seed).choice([1, 1, 2])}
    assert run(scenario, seed=seed, scale=slow.scale, **options).digest == slow.digest


@pytest.mark.parametrize("seed", seeds(TIES, 4))
def test_both_engines_agree_where_much_happens_at_one_microsecond(seed: int) -> None:
    scenario, slow, fast = both(seed, ties=True)
    assert differences(slow, fast) == []
    again = run(scenario, seed=seed, scale=slow.scale, record="all", slice_us=MINUTE, batch_rows=3)
    assert differences(fast, again) == []


def test_the_random_scenarios_pass_through_what_may_go_wrong() -> None:
    seen: Counter[str] = Counter()
    for seed in range(60):
        scenario, _, fast = both(seed)
        assert fast.decisions is not None
        assert fast.changes is not None
        posted = {policy.id for policy in scenario.lists}
        settled = set(fast.decisions.filter(verdict="intercept")["reason"].unique())
        seen["a posted listing intercepts"] += bool(settled & posted)
        seen["another rule intercepts"] += bool(settled - posted)
        seen["something is labelled"] += "label" in fast.decisions["verdict"].unique()
        seen["attempts are not made"] += fast.metrics["voice.not made"] > 0
        outcomes = set(fast.decisions["outcome"].unique())
        seen["a call is lost"] += "lost" in outcomes
        seen["a message expires"] += "expired" in outcomes
        waits = fast.decisions.filter(channel=1, outcome="open")
        seen["a message is on its way at the end"] += not waits.is_empty()
        seen["short calls are counted"] += "short" in settled
        listed = [n for name, n in fast.metrics.items() if name.endswith(".people cut off")]
        seen["people are listed by mistake"] += bool(listed and listed[0])
        seen["recycled numbers are listed"] += bool(listed and listed[1])
        seen["numbers are unblocked"] += any(policy.unblocked_ratio for policy in scenario.lists)
        seen["a number is listed twice"] += fast.changes.select("line_id", "generation").is_duplicated().any()
        hubs = {group.id: group.hub for group in scenario.traffic.lines}
        told = fast.daily.filter(pl.col("hub") != "", pl.col("outcome") != "not made")
        seen["a line calls from elsewhere"] += any(
            hubs[group.removesuffix("-messages")] != hub
            for group, hub in told.select("line_group", "hub").unique().iter_rows()
        )
        seen["a line moves to messages"] += any(name.endswith("-messages") for name in told["line_group"].unique())
        seen["a number is bought"] += fast.metrics["sms.numbers bought"] > 0
        seen["a line is idle"] += fast.metrics["voice.idle (us)"] > 0
        cuts = fast.changes["from_us"] // fast.slice_us
        again = pl.DataFrame({"line": fast.changes["line_id"], "slice": cuts}).is_duplicated().any()
        seen["a line changes twice in a slice"] += again
        seen["unlike lines present one number"] += (
            fast.decisions.group_by("a_number").agg(n=pl.col("line_id").n_unique())["n"] > 1
        ).any()
    rare = {what: n for what, n in seen.items() if n < 5}
    assert rare == {}


# A control plane of its own.


class NaiveControl:
    """The control plane once more, as simply as can be: a process for each number complained of and each list."""

    def __init__(
        self,
        scenario: Scenario,
        key: Any,
        port: Any,
        *,
        network: Any,
        response: None,
        wrongly_listed: Any,
        keep_posted: bool,
    ) -> None:
        assert keep_posted
        assert response is None
        assert network
        self.wrongly_listed = wrongly_listed
        self.env = simpy.Environment()
        self.handed_over = 0
        self.listed = {policy.id: 0 for policy in scenario.lists}
        self.posted: list[Posting] = []
        self._scenario, self._key, self._port = scenario, key, port
        self._found: Counter[str] = Counter()
        self.env.process(self._measure())

    def at(self, time_us: int, kind: int, rank: int = 0) -> simpy.Event:
        event = self.env.event()
        event._ok, event._value = True, None
        self.env.schedule(event, priority=(kind << 96) + rank, delay=time_us - self.env.now)  # type: ignore[arg-type]
        return event

    def run_until(self, edge_us: int) -> None:
        while self.env.peek() <= edge_us:
            self.env.step()

    def begin_counting(self) -> None:
        self.handed_over = 0
        self.listed = dict.fromkeys(self.listed, 0)
        self._found.clear()

    def network_counts(self) -> dict[str, int]:
        return dict(self._found)

    def finish(self) -> None:
        """Nobody falls for fraud in this scenario."""

    def _measure(self) -> Any:
        """Measure the trunk group and the message centre of a lively scenario, every hour."""
        trunk, smsc = self._scenario.network.trunk_groups[0], self._scenario.network.smscs[0]  # type: ignore[union-attr]
        lines = sorted(self._scenario.traffic.lines, key=lambda group: group.cli != "own")
        names = [group.id for group in lines]
        full = [{"voice": 1800, "sms": 600}[group.channel] * group.share / 300 for group in lines]
        weights = [many / round(many) for many in full]
        measured = lost = backlog = 0.0
        late = 0
        for hour in itertools.count():
            yield self.at(hour * HOUR, 2)
            if hour:
                counted = self._port.take_measured().tolist()
                measured = (
                    sum(n[1] * w for n, w, g in zip(counted, weights, lines, strict=True) if g.id != "sms") / HOUR
                )
                self._found["trunk t.planned load (erlang s)"] += 900
                carried = min((0.25 + measured) * (1 - lost), trunk.circuits)
                self._found["trunk t.carried load (erlang s)"] += round(carried * 3600)
                busiest = max(self._found["trunk t.busiest load (milli-erlangs)"], round(carried * 1000))
                self._found["trunk t.busiest load (milli-erlangs)"] = busiest
                self._found["smsc s.delay over all intervals (us)"] += late
                self._found["smsc s.longest delay (us)"] = max(self._found["smsc s.longest delay (us)"], late)
                came = 0.005 * 3600 + counted[names.index("sms")][0] if late <= smsc.validity else 0.0
                backlog = max(backlog + came - 0.006 * 3600, 0.0)
            offered, busy = Fraction(0.25 + measured), Fraction(1)
            for circuits in range(1, trunk.circuits + 1):
                busy = offered * busy / (circuits + offered * busy)
            lost = float(busy)
            late = smsc.least_delay + int(backlog / 0.006 * 1e6)
            of_calls = [0 if name == "sms" else round(busy * 2**32) for name in names]
            of_messages = [late if name == "sms" else 0 for name in names]
            self._port.post_network(np.array(of_calls, np.uint64), np.array(of_messages), hour * HOUR)

    def receive(self, complaints: Any) -> None:
        for complaint in complaints:
            self.handed_over += 1
            known = int(complaint["time_us"]) + self._drawn(self._scenario.police.delay, complaint, 0)
            for policy in self._scenario.lists:
                self.env.process(self._publish(policy, complaint, known))

    def _drawn(self, of: Delay, complaint: Any, salt: int) -> int:
        word = draw(*self._key, int(complaint["stream"]) ^ salt, int(complaint["index"]), int(complaint["generation"]))
        return reference._delay(of, word[0])

    def _publish(self, policy: Any, complaint: Any, known: int) -> Any:
        yield self.at((known // policy.publish_every + 1) * policy.publish_every, 1)
        now = int(self.env.now)
        from_us = now + self._drawn(policy.delay, complaint, stream_id(f"delay/{policy.id}"))
        one = [complaint[["line", "generation"]].tolist()]
        line, generation = (pl.Series([row[k] for row in one]).to_numpy() for k in (0, 1))
        self.listed[policy.id] += 1
        self.posted.append(Posting(now, policy.id, line, generation, pl.Series([from_us]).to_numpy()))
        until_us = [2**62]
        who = int(complaint["stream"]), int(complaint["index"]), int(complaint["generation"])
        if draw(*self._key, who[0] ^ stream_id(f"unblocked/{policy.id}"), *who[1:])[0] < policy.unblocked_ratio * 2**32:
            until_us = [from_us + self._drawn(policy.unblock, complaint, stream_id(f"unblock/{policy.id}"))]
        times = (pl.Series(values).to_numpy() for values in ([from_us], until_us))
        self._port.post_listing(policy.id, line, generation, *times)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_naive_control_plane_gives_the_same_run(seed: int) -> None:
    scenario = lively(seed)
    fast = run(scenario, seed=seed, scale=1, record="all")
    world = World(scenario, seed, 1, scenario.period.days)
    recorder = Recorder(world.core.rules, None, None)
    tally = ReferenceEngine(world, recorder, NaiveControl).run()  # type: ignore[arg-type]
    assert fast.changes is not None
    assert fast.changes.height > 10
    assert min(fast.metrics[name] for name in ("trunk t.lost", "smsc s.expired", "smsc s.delivered")) > 0
    findings = Findings(world, tally)
    assert findings.changes().equals(fast.changes)
    assert findings.metrics() == fast.metrics
    decided, _ = recorder.finish()
    assert isinstance(decided, pl.DataFrame)
    assert decided.equals(fast.decisions)


def lively(seed: int, *, ties: bool = False) -> Scenario:
    """A scenario in which lists, limits, shared and replaced numbers all matter."""

    def calls(name: str, share: float, **changes: Any) -> dict[str, Any]:
        same = {"hub": "h", "channel": "voice", "entry": "mobile-access", "profile": "even", "attempts_per_day": 300}
        life = {"number_life": {"mean": "10d"}, "notice": "30min", "resupply": "1h"}
        long = {"calls": {"talk": {"mean": "5min"}}}
        return {"id": name, "share": share, **same, **life, **long, **changes}

    text = {"mean": 0.4, "deviation": 0.3, "jitter": 0.1}
    plain = scenario_of(seed, ties=ties).as_dict()
    plain["period"] |= {"end": plain["period"]["start"], "warm_up": "0d"}
    plain["network"] = {
        "measure_every": "1h",
        "trunk_groups": [
            {
                "id": "t",
                "entries": ["mobile-access"],
                "circuits": 1,
                "planned_erlangs": {"peak": 0.25, "profile": "even"},
            }
        ],
        "smscs": [
            {
                "id": "s",
                "groups": ["sms"],
                "messages_per_s": 0.006,
                "planned_messages_per_s": [0.005] * 24,
                "validity": "1h",
                "least_delay": "1min",
            }
        ],
    }
    plain["policies"] = [
        {
            "kind": "reject-listed-numbers",
            "delay": "10min",
            "publish_every": "10min",
            "unblock": "20min",
            "unblocked_ratio": 0.5,
        },
        {"kind": "limit-attempts", "per_minute": {"critical": 2}, "per_day": {"warn": 60, "critical": 120}},
        {"kind": "score-text", "threshold": 0.6},
    ]
    plain["traffic"] |= {
        "voice": {"latent": "1800/day"},
        "sms": {"latent": "600/day"},
        "ordinary": [],
        "lines": [
            calls("own", 0.5),
            calls("a", 0.25, cli="fixed", presents="95588"),
            calls("b", 0.25, cli="fixed", presents="95588"),
            calls("sms", 1.0, channel="sms", text=text),
        ],
    }
    plain |= {"adaptations": [], "people": None}
    police = {"voice_complaint_ratio": 0.1, "sms_complaint_ratio": 0.1, "delay": "10min"}
    return Scenario.model_validate({**plain, "police": police})


# Faults put in on purpose: each must show.


def found_faulty() -> bool:
    """Whether any of a few scenarios differs between the engines as they now are."""
    for seed in range(3):
        for scenario in (lively(seed), lively(seed, ties=True)):
            slow = run(scenario, seed=seed, scale=1, engine="reference", record="all")
            fast = run(scenario, seed=seed, scale=1, record="all", threads=1)
            if differences(slow, fast):
                return True
    return False


def test_without_a_fault_the_engines_agree() -> None:
    assert not found_faulty()


def test_an_effective_time_shifted_by_a_microsecond_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    post = DataPlane.post_listing
    monkeypatch.setattr(DataPlane, "post_listing", lambda self, *a: post(self, *a[:3], a[3] + 1, a[4]))
    assert found_faulty()


def test_a_counter_that_misses_one_update_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    decide, calls = reference.RowFilter.decide, Counter[str]()

    def forgetful(self: Any, attempt: Any) -> Any:
        calls["all"] += 1
        return reference.RowFilter([]).decide(attempt) if calls["all"] == 50 else decide(self, attempt)

    monkeypatch.setattr(reference.RowFilter, "decide", forgetful)
    assert found_faulty()


def test_two_rules_swapped_show(monkeypatch: pytest.MonkeyPatch) -> None:
    class Swapped(reference.RowFilter):
        def __init__(self, policies: Any, **options: Any) -> None:
            super().__init__(policies, **options)
            self._chain.reverse()

    monkeypatch.setattr(reference, "RowFilter", Swapped)
    assert found_faulty()


def test_what_police_know_read_an_interval_early_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "ControlPlane", _ahead_by(10 * MINUTE))
    assert found_faulty()


def test_what_police_know_read_a_microsecond_early_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "ControlPlane", _ahead_by(1))
    assert found_faulty()


def _ahead_by(us: int) -> type[ControlPlane]:
    class Ahead(ControlPlane):
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options)
            for _, waiting in self._lists:
                wait = waiting.wait
                waiting.wait = (  # type: ignore[method-assign]
                    lambda words, known_us, was_us, wait=wait: wait(words, known_us - us, was_us)
                )

    return Ahead


def test_one_measured_value_read_an_interval_early_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    take = DataPlane.take_measured
    found: list[list[str]] = []
    for seed, ties in itertools.product(range(3), (False, True)):
        measured: list[Any] = []

        def keep(self: DataPlane, measured: Any = measured) -> Any:
            measured.append(take(self))
            return measured[-1]

        def early(self: DataPlane, measured: Any = measured, calls: Any = None) -> Any:
            own, n = take(self), next(calls)
            return measured[n + 1] if n == 12 else own

        runs = []
        for fault in (keep, functools.partialmethod(early, calls=itertools.count())):
            monkeypatch.setattr(DataPlane, "take_measured", fault)
            runs.append(run(lively(seed, ties=ties), seed=seed, scale=1, record="all", threads=1))
        found.append(differences(*runs))
    assert all("decisions" in names for names in found)


def test_a_load_measured_only_after_the_attempts_of_its_microsecond_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MEASUREMENT", reference.ATTEMPT + 1)
    assert found_faulty()


def test_slices_that_are_not_cut_where_the_load_is_measured_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    edges = simulation._edges
    monkeypatch.setattr(simulation, "_edges", lambda from_us, slice_us, cut_us: edges(from_us, slice_us))
    with pytest.raises(LookaheadError, match="measure_every"):
        run(lively(0).replace({"policies.reject-listed-numbers.delay": "3h"}), scale=1, slice_us=2 * HOUR)


def test_attempts_of_one_microsecond_in_another_order_show(monkeypatch: pytest.MonkeyPatch) -> None:
    at = ControlPlane.at

    def backwards(self: ControlPlane, time_us: int, kind: int, rank: int = 0) -> simpy.Event:
        return at(self, time_us, kind, (1 << 95) - rank if kind == reference.ATTEMPT else rank)

    monkeypatch.setattr(ControlPlane, "at", backwards)
    assert found_faulty()


def test_a_listing_that_holds_only_after_the_attempts_of_its_microsecond_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "LISTING", reference.ATTEMPT + 1)
    assert found_faulty()
