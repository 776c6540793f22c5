"""The response policies as users declare them: warnings, calls, visits, suspensions, freezes, and what prevents.

Those that answer a contact at once do it by `respond`; the others are parameters of the compiled kernels. A policy
has a `kind`, an `id`, `enabled` and `respond(contacts)`; nothing else is asked of one written elsewhere.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from interceptsim.randomness import exp_of
from interceptsim.response.contacts import ORIGINS, Contacts, Warnings
from interceptsim.units import DAY_US, HOUR_US, SECOND_US, Count, Delay, Duration, Ratio

__all__ = [
    "AlertInApp",
    "Call96110",
    "DispatchByTier",
    "FreezeTransfers",
    "HoldSuspiciousTransfers",
    "RaiseAwareness",
    "RemindOverseasCall",
    "ResponsePolicy",
    "SuspendSubscriber",
    "TakeDownSites",
    "VisitInPerson",
    "Warn12381",
    "answers_contacts",
]

_EPOCH = dt.date(1970, 1, 1)
_LOCAL_US = 8 * HOUR_US
_LN2 = 0.6931471805599453
_INTERNET = ORIGINS.index("internet")


class ResponsePolicy(BaseModel):
    """What all response policies share: `id` names the entry, its kind unless two share it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    single: ClassVar[bool] = True

    kind: str
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)] = ""
    enabled: bool = True

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        return {"id": given.get("kind"), **given} if isinstance(given, dict) else given

    def respond(self, contacts: Contacts) -> Warnings | None:
        """Warn nobody: this policy works elsewhere."""
        del contacts
        return None


def answers_contacts(policy: Any) -> bool:
    """Whether a policy's own `respond` is to be asked."""
    return getattr(type(policy), "respond", None) is not ResponsePolicy.respond


class Warn12381(ResponsePolicy):
    """When police hand over a number, send every subscriber whom it reached a warning by SMS from 12381.

    The SMS arrives `delay` after the hand-over, or after the contact where that comes later, and names the fraud type;
    it is read with probability `read_ratio` and heeded by those who read it with `heed_ratio`. It has no tiers. It
    costs a message for each person reached, nearly all of whom are at no risk.
    """

    kind: Literal["warn-12381"]
    delay: Delay = Delay.model_validate({"minimum": "5s", "mean": "20s"})
    read_ratio: Ratio = 0.6
    heed_ratio: Ratio = 0.25


class DispatchByTier(ResponsePolicy):
    """Police tell desks whom to dissuade: people who talked to a number that is handed over, graded by likelihood.

    A share `high_ratio` of those who are at no risk is taken for highly endangered, `medium_ratio` for less,
    `low_ratio` for little; of those who are falling for it, `engaged_high_ratio` and so on. A low tier brings an SMS, a
    medium one also a call from 96110, a high one also a visit. An instruction is ready `delay` after the hand-over.
    People first met on the internet are found with probability `internet_ratio`, `internet_delay` after the contact.
    """

    kind: Literal["dispatch-by-tier"]
    high_ratio: Ratio = 0.03
    medium_ratio: Ratio = 0.5
    low_ratio: Ratio = 0.3
    engaged_high_ratio: Ratio = 0.5
    engaged_medium_ratio: Ratio = 0.4
    engaged_low_ratio: Ratio = 0.1
    delay: Delay = Delay.model_validate({"minimum": "5min", "mean": "25min"})
    internet_ratio: Ratio = 0.5
    internet_delay: Delay = Delay.model_validate({"minimum": "1h", "median": "1d", "sigma": 1.2})
    sms_heed_ratio: Ratio = 0.1

    @model_validator(mode="after")
    def _at_most_all(self) -> Self:
        for prefix in ("", "engaged_"):
            total = sum(getattr(self, f"{prefix}{tier}_ratio") for tier in ("high", "medium", "low"))
            if total > 1 + 1e-9:
                raise ValueError(f"the shares '{prefix}high_ratio' and so on sum to {total:.6g}, more than 1")
        return self


class _Desk(ResponsePolicy):
    """What desks share: when they are open, local time, and how long a job may wait before it is given up."""

    opens: Annotated[int, Field(ge=0, le=23)] = 8
    closes: Annotated[int, Field(ge=1, le=24)] = 22
    patience: Duration = 3 * DAY_US

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.closes <= self.opens:
            raise ValueError("'closes' lies before 'opens'")
        return self


class Call96110(_Desk):
    """Call people of the medium and high tiers from 96110: `agents` of the whole country, high tiers first.

    A call is taken with probability `reach_ratio`, else tried again `redial` later, `tries` times in all. It keeps an
    agent for `talk`, or a third of that where it is not taken. Who takes it heeds it with `heed_ratio`.
    """

    kind: Literal["call-96110"]
    agents: Count = 20_000
    talk: Delay = Delay.model_validate({"minimum": "60s", "mean": "3min"})
    reach_ratio: Ratio = 0.65
    redial: Duration = 2 * HOUR_US
    tries: Annotated[int, Field(ge=1, le=20)] = 3
    heed_ratio: Ratio = 0.6


class VisitInPerson(_Desk):
    """Visit people of the high tier at home: `teams` of the whole country, spread over provinces by population.

    A visit takes `visit` with the way there. Who is visited heeds it with `heed_ratio`; somebody who does not is
    visited again `again` later, up to `visits` times.
    """

    kind: Literal["visit-in-person"]
    teams: Count = 8_000
    visit: Delay = Delay.model_validate({"minimum": "45min", "mean": "75min"})
    heed_ratio: Ratio = 0.8
    again: Duration = 2 * DAY_US
    visits: Annotated[int, Field(ge=1, le=20)] = 2


class SuspendSubscriber(ResponsePolicy):
    """Suspend the line of people of the high tier in urgent cases.

    Those are a share `urgent_ratio`; the line is suspended `delay` after the instruction. It breaks the fraudster's
    hold over them with probability `effect_ratio`.
    """

    kind: Literal["suspend-subscriber"]
    urgent_ratio: Ratio = 0.1
    delay: Delay = Delay.model_validate({"minimum": "10min", "mean": "50min"})
    effect_ratio: Ratio = 0.5


class FreezeTransfers(_Desk):
    """Freeze what victims have transferred, once they report it.

    `clerks` of the whole country take `work` for a report. A transfer is stopped with probability `success_ratio`,
    halved for each `half_life` that passed since it was made, as money moves on along accounts bought in other people's
    names. Police count the balance of every account stopped along the chain, `frozen_per_traced_transfer_ratio` times
    what is stopped of the victim's own money, of which the share `return_ratio` comes back in the end.
    """

    kind: Literal["freeze-transfers"]
    opens: Annotated[int, Field(ge=0, le=23)] = 0
    closes: Annotated[int, Field(ge=1, le=24)] = 24
    clerks: Count = 2_000
    work: Delay = Delay.model_validate({"minimum": "10min", "mean": "20min"})
    success_ratio: Ratio = 0.8
    half_life: Annotated[Duration, Field(ge=1)] = 2 * DAY_US
    frozen_per_traced_transfer_ratio: Annotated[float, Field(ge=1, le=1000)] = 8.0
    return_ratio: Ratio = 0.6


class HoldSuspiciousTransfers(ResponsePolicy):
    """Hold transfers that a bank's monitoring finds suspicious, and ask whether they are meant.

    A victim's transfer is found with probability `detect_ratio` and then stopped with `heed_ratio`, for good; else it
    passes. `false_holds` ordinary transfers are held for each of a victim's.
    """

    kind: Literal["hold-suspicious-transfers"]
    detect_ratio: Ratio = 0.25
    heed_ratio: Ratio = 0.4
    false_holds: Annotated[float, Field(ge=0, le=1e6)] = 20.0


class RemindOverseasCall(ResponsePolicy):
    """Remind people on the handset that a call comes from overseas, from the day `since` on.

    The reminder is shown for a share `shown_ratio` of calls that come in by the international gateway, and heeded with
    probability `heed_ratio`.
    """

    kind: Literal["remind-overseas-call"]
    since: dt.date = dt.date(2025, 3, 1)
    shown_ratio: Ratio = 0.8
    heed_ratio: Ratio = 0.3

    def respond(self, contacts: Contacts) -> Warnings | None:
        """Warn those who take a call from overseas, at once."""
        since_us = (self.since - _EPOCH).days * DAY_US - _LOCAL_US
        called = contacts.overseas & (contacts.origin == ORIGINS.index("voice"))
        if not called.any():
            return None
        shown = contacts.draw(f"{self.id}/shown") < self.shown_ratio
        (of,) = (called & shown & (contacts.date_us >= since_us)).nonzero()
        return Warnings(of, contacts.time_us[of], np.full(len(of), self.heed_ratio))


class AlertInApp(ResponsePolicy):
    """Alert people by the anti-fraud app, which a share `installed_ratio` has on the handset.

    It knows a share `known_ratio` of what reaches them, and alerts them `delay` later; `heed_ratio` heed it.
    """

    kind: Literal["alert-in-app"]
    installed_ratio: Ratio = 0.3
    known_ratio: Ratio = 0.3
    delay: Duration = 5 * SECOND_US
    heed_ratio: Ratio = 0.25

    def respond(self, contacts: Contacts) -> Warnings:
        """Warn those who have the app, if it knows what reaches them."""
        (of,) = (contacts.draw(f"{self.id}/alerted") < self.installed_ratio * self.known_ratio).nonzero()
        return Warnings(of, contacts.time_us[of] + self.delay, np.full(len(of), self.heed_ratio))


class TakeDownSites(ResponsePolicy):
    """Take down fraud sites: a share `gone_ratio` of those that would have met somebody is gone before it does."""

    kind: Literal["take-down-sites"]
    gone_ratio: Ratio = 0.2

    def respond(self, contacts: Contacts) -> Warnings | None:
        """Break off the contact of those who would have met fraud on a site that is gone."""
        met_there = contacts.origin == _INTERNET
        if not met_there.any():
            return None
        (of,) = (met_there & (contacts.draw(f"{self.id}/gone") < self.gone_ratio)).nonzero()
        return Warnings(of, contacts.time_us[of], np.ones(len(of)))


class RaiseAwareness(ResponsePolicy):
    """A campaign from the day `since` on.

    It reaches a share `reached_ratio` of people, of whom `effect_ratio` see through a fraud. The effect halves every
    `half_life`. Several campaigns are several entries, each with an `id` of its own.
    """

    single: ClassVar[bool] = False

    kind: Literal["raise-awareness"]
    since: dt.date
    reached_ratio: Ratio = 0.3
    effect_ratio: Ratio = 0.3
    half_life: Annotated[Duration, Field(ge=1)] = 60 * DAY_US

    def respond(self, contacts: Contacts) -> Warnings:
        """Make some people see through it at once."""
        since_us = (self.since - _EPOCH).days * DAY_US - _LOCAL_US
        reached = contacts.draw(f"{self.id}/reached") < self.reached_ratio
        (of,) = (reached & (contacts.date_us >= since_us)).nonzero()
        days = (contacts.date_us[of] - since_us) // DAY_US
        left = [exp_of(-_LN2 * day * DAY_US / self.half_life) for day in days.tolist()]
        return Warnings(of, contacts.time_us[of], self.effect_ratio * np.array(left, np.float64))
