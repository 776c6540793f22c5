"""Response policies: one of one's own in a run, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import interceptsim as ics
from interceptsim.errors import ConfigurationError
from interceptsim.response.contacts import Contacts, ResponsePolicy, Warnings
from interceptsim.response.policies import DispatchByTier, FreezeTransfers, Warn12381, answers_contacts
from interceptsim.scenario import Scenario


class PhoneTheOld:
    """Somebody of the family phones old people an hour after they were reached by a call, if it does so at all."""

    kind = "phone-the-old"
    enabled = True

    def __init__(self, name: str = "phone-the-old", ratio: float = 0.5) -> None:
        self.id, self.ratio = name, ratio
        self.asked: list[Contacts] = []
        self.warned: list[Warnings] = []

    def respond(self, contacts: Contacts) -> Warnings:
        old = contacts.age_band == contacts.age_bands.index("over-65")
        phoned = contacts.draw(f"{self.id}/phoned") < self.ratio
        of = np.flatnonzero(old & phoned & (contacts.origin == 0))
        found = Warnings(of, contacts.time_us[of] + 3_600_000_000, np.ones(len(of)))
        self.asked.append(contacts)
        self.warned.append(found)
        return found


@pytest.fixture(scope="module")
def few(china: Scenario) -> Scenario:
    """A few days in which much fraud is fallen for and only police answer."""
    plain = {
        "period.warm_up": "0d",
        "people.voice_engaged_ratio": 0.3,
        "people.internet": "0/year",
    }
    response = {"warn-12381", "dispatch-by-tier", "call-96110", "visit-in-person", "suspend-subscriber"}
    response |= {"hold-suspicious-transfers", "alert-in-app", "take-down-sites", "remind-overseas-call"}
    bare = [policy for policy in china.policies if policy.kind not in response]
    return china.replace(plain).with_policies(bare)


SMALL: dict[str, Any] = {"scale": 1_000, "days": 2, "threads": 1}


def test_a_policy_of_ones_own_takes_part_and_warns_whom_it_should(few: Scenario) -> None:
    mine = PhoneTheOld()
    assert isinstance(mine, ResponsePolicy)
    run = ics.run(few, policies=[*few.policies, mine], **SMALL)
    plain = ics.run(few, **SMALL)
    asked = sum(len(contacts) for contacts in mine.asked)
    warned = sum(len(warnings.of) for warnings in mine.warned)
    assert asked == run.metrics["response.engaged"] == plain.metrics["response.engaged"] > 500
    assert warned > 10
    assert plain.metrics["response.dissuaded"] == plain.metrics["response.averted"] == 0
    assert 0 < run.metrics["response.dissuaded"] <= warned  # who has paid all and who doubts first does not stop
    assert run.metrics["response.paid"] < plain.metrics["response.paid"]
    assert run.metrics["voice.made"] == plain.metrics["voice.made"]
    for contacts, warnings in zip(mine.asked, mine.warned, strict=True):
        assert (contacts.age_band[warnings.of] == contacts.age_bands.index("over-65")).all()
        assert set(contacts.fraud_type.tolist()) <= set(range(len(contacts.types)))


def test_it_does_the_same_in_any_slice_and_under_the_reference_engine(few: Scenario) -> None:
    found = set()
    for options in ({}, {"slice_us": 600_000_000, "threads": 2}, {"engine": "reference"}):
        options = {"scale": 1_000_000, "days": 1, "threads": 1, **options}
        found.add(ics.run(few, policies=[*few.policies, PhoneTheOld()], **options).digest)
    assert len(found) == 1


class Wrong(PhoneTheOld):
    def __init__(self, wrong: Warnings) -> None:
        super().__init__("wrong")
        self.wrong = wrong

    def respond(self, _: Contacts) -> Warnings:
        return self.wrong


ONE = np.zeros(1, np.int64)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (Warnings(ONE, np.zeros(2, np.int64), np.ones(1)), r"policies.wrong: .*as many 'at_us' and 'heed_ratio' as"),
        (Warnings(ONE, ONE, np.ones(3)), r"policies.wrong: .*as many 'at_us' and 'heed_ratio' as 'of'"),
        (Warnings(ONE + 10**9, ONE, np.ones(1)), r"policies.wrong: got 1000000000; 'of' holds positions"),
        (Warnings(ONE - 1, ONE, np.ones(1)), r"policies.wrong: got -1; 'of' holds positions in the batch"),
    ],
)
def test_what_does_not_fit_the_contacts_is_one_clear_error(few: Scenario, wrong: Warnings, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        ics.run(few, policies=[*few.policies, Wrong(wrong)], scale=1_000_000, days=1)


def test_a_policy_may_warn_nobody(few: Scenario) -> None:
    class Silent(PhoneTheOld):
        def respond(self, _: Contacts) -> None:  # type: ignore[override]
            return None

    options = {"scale": 1_000_000, "days": 1}
    assert ics.run(few, policies=[*few.policies, Silent()], **options).digest == ics.run(few, **options).digest


def test_only_policies_with_an_answer_of_their_own_are_asked() -> None:
    assert answers_contacts(PhoneTheOld())
    assert not answers_contacts(Warn12381(kind="warn-12381"))


def test_a_second_enabled_policy_of_a_kind_is_refused(china: Scenario) -> None:
    second = Warn12381(kind="warn-12381", id="second")
    with pytest.raises(ConfigurationError, match=r"policies\.warn-12381: there can be one of this kind"):
        china.with_policies([*china.policies, second])
    off = china.with_policies([*china.policies, second.model_copy(update={"enabled": False})])
    assert [policy.id for policy in off.responses].count("second") == 0
    campaigns = [{"kind": "raise-awareness", "id": name, "since": "2025-01-01"} for name in ("spring", "summer")]
    assert len(Scenario.model_validate({**china.as_dict(), "policies": campaigns}).responses) == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"police.delay": "119s"}, "police.delay: .*at least 2min"),
        ({"people.voice_engaged_ratio": 0.5, "police.voice_complaint_ratio": 0.6}, "people.voice_engaged_ratio"),
        ({"policies.warn-12381.heed_ration": 0.5}, "policies.warn-12381.heed_ration: .*heed_ratio"),
        ({"people.internets": "1/year"}, "internet"),
        ({"policies.visit-in-person.closes": 3}, "'closes' lies before 'opens'"),
        ({"policies.dispatch-by-tier.high_ratio": 0.9}, "more than 1"),
        ({"people.memory": "1h"}, "'memory' is at least 1d"),
    ],
)
def test_what_cannot_be_is_refused_by_its_place(china: Scenario, changes: dict[str, Any], told: str) -> None:
    with pytest.raises((ConfigurationError, ValueError), match=told):
        china.replace(changes)


def test_a_hubs_fraud_type_that_people_do_not_know_is_told_with_the_nearest(china: Scenario) -> None:
    plain = china.as_dict()
    plain["hubs"][0]["fraud_types"] = {"fake-investmant": 1.0}
    with pytest.raises(ConfigurationError, match=r"fake-investmant.*fake-investment"):
        Scenario.model_validate(plain)


def test_shares_that_do_not_sum_to_one_and_ids_used_twice_are_refused(china: Scenario) -> None:
    plain = china.as_dict()
    bands = plain["people"]["age_bands"]
    for wrong, told in (([{**bands[0], "share": 0.9}, *bands[1:]], "sum to"), ([*bands[1:], bands[1]], "sum to|twice")):
        with pytest.raises((ConfigurationError, ValueError), match=told):
            Scenario.model_validate({**plain, "people": {**plain["people"], "age_bands": wrong}})


def test_a_tier_that_holds_all_is_allowed() -> None:
    DispatchByTier(kind="dispatch-by-tier", high_ratio=1, medium_ratio=0, low_ratio=0)
    assert FreezeTransfers(kind="freeze-transfers").closes == 24
