"""Policies against fraudsters' supply: raids on their hubs, and hurdles for those who buy SIM cards.

Both are known ahead, on dates of the scenario, so lines feel them from the start of a run: see `traffic.raids`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from interceptsim.ledger import figure, figures
from interceptsim.response.policies import ResponsePolicy
from interceptsim.traffic.model import Name
from interceptsim.traffic.raids import Raid, Restriction, SupplyChanges
from interceptsim.units import DAY_US, Delay, Ratio

__all__ = ["HubRaid", "RaidHubs", "RestrictSimSupply", "changes_of"]


class HubRaid(BaseModel):
    """A raid on a hub, at the beginning of a local day: its `date`, or the first day of a `figure` of the ledger.

    It takes a share `taken_ratio` of the lines that are there then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Name
    hub: Name
    date: dt.date | None = None
    figure: str | None = None
    taken_ratio: Ratio

    @field_validator("figure")
    @classmethod
    def _is_dated(cls, figure_id: str | None) -> str | None:
        dated = [f.id for f in figures() if f.start]
        if figure_id is not None and figure_id not in dated:
            raise ValueError(f"no figure {figure_id!r} with a first day; those of raids are e.g. {_example(dated)}")
        return figure_id

    @model_validator(mode="after")
    def _has_one_day(self) -> Self:
        if (self.date is None) == (self.figure is None):
            raise ValueError("wanted either 'date' or 'figure'")
        return self

    @property
    def day(self) -> dt.date:
        """The local day at whose beginning it strikes."""
        if self.date is not None:
            return self.date
        assert self.figure is not None
        start = figure(self.figure).start
        assert start is not None
        return start


def _example(dated: list[str]) -> str:
    return next((repr(name) for name in dated if "repatriated" in name), repr(dated[0]))


class RaidHubs(ResponsePolicy):
    """Raid hubs. A line that is taken makes no attempt any more, and what it would have tried is not made.

    A share `returning_ratio` of the lines taken is at work again after `away`, from one of the hubs `returns_to` and in
    all else as before. What returned is not raided again.
    """

    single: ClassVar[bool] = False

    kind: Literal["raid-hubs"]
    raids: Annotated[tuple[HubRaid, ...], Field(min_length=1, max_length=100)]
    returning_ratio: Ratio = 0.5
    returns_to: tuple[Name, ...] = ()
    away: Delay = Delay.model_validate({"minimum": "14d", "median": "21d", "sigma": 0.5})

    @model_validator(mode="after")
    def _fits(self) -> Self:
        ids = [raid.id for raid in self.raids]
        twice = next((name for name in ids if ids.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"raids: id {twice!r} is used twice")
        if self.returning_ratio > 0 and not self.returns_to:
            raise ValueError("'returns_to' names the hubs to which lines return; without any, 'returning_ratio' is 0")
        return self


class RestrictSimSupply(ResponsePolicy):
    """Make numbers hard to get: from the day `since` on a dead number takes `slower` times as long to be replaced.

    It is felt by the groups `lines`, or by all of fraud.
    """

    single: ClassVar[bool] = False

    kind: Literal["restrict-sim-supply"]
    since: dt.date
    slower: Annotated[float, Field(ge=1, le=1000)] = 3.0
    lines: tuple[Name, ...] = ()


def changes_of(policies: Iterable[Any], first_day: dt.date) -> SupplyChanges:
    """Return what enabled policies do to the supply of a run that begins at the local midnight of `first_day`."""
    raids, restrictions = [], []
    for policy in policies:
        if not policy.enabled:
            continue
        if isinstance(policy, RaidHubs):
            raids += [
                Raid(
                    raid.hub, raid.day, at_us, raid.taken_ratio, policy.returning_ratio, policy.returns_to, policy.away
                )
                for raid in policy.raids
                if (at_us := (raid.day - first_day).days * DAY_US) > 0  # what was earlier is in the volume
            ]
        elif isinstance(policy, RestrictSimSupply):
            from_us = max((policy.since - first_day).days, 0) * DAY_US
            restrictions.append(Restriction(from_us, policy.slower, policy.lines))
    return SupplyChanges(tuple(sorted(raids, key=lambda raid: raid.at_us)), tuple(restrictions))
