"""People: who falls for fraud, what they pay, what makes them stop, and in what their stories are counted.

The parameters of the table `[people]`; nothing here decides when. Province and age band of a subscriber are fixed
properties of the number. Money is in fen.
"""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from interceptsim.ledger import provinces
from interceptsim.randomness import exp_of, threshold
from interceptsim.response.records import KIND, MOST_TRANSFERS
from interceptsim.units import DAY_US, Delay, Duration, Ratio, Volume

__all__ = ["AgeBand", "FraudType", "People", "age_bounds", "kinds_of", "province_bounds", "susceptibility"]

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AgeBand(_Part):
    """A band of ages: its share of subscribers, and how readily its people fall for fraud, 1 being the most."""

    id: Name
    share: Ratio
    susceptibility: Ratio = 1.0


class FraudType(_Part):
    """A type of fraud, as it goes for somebody who falls for it.

    `share` is its part of the cases that begin on the internet. `grooming` passes from the first contact to the first
    transfer, then `gap` between two; there are `transfers` in the mean, at least one, at most twelve. A share
    `doubt_ratio` of people comes to doubt by themselves before they pay. The whole loss is lognormal with mean
    `mean_loss_yuan` and shape `loss_sigma`. `heeding` makes people who are told this story heed warnings less (below
    1).
    """

    id: Name
    share: Ratio
    susceptibility: Ratio = 1.0
    grooming: Delay
    gap: Delay
    transfers: Annotated[float, Field(ge=1, le=12)]
    doubt_ratio: Ratio
    mean_loss_yuan: Annotated[float, Field(gt=0, le=1e8)]
    loss_sigma: Annotated[float, Field(ge=0, le=3)] = 1.2
    heeding: Ratio = 1.0


class People(_Part):
    """Who falls for fraud.

    Of answered calls and delivered messages the shares `voice_engaged_ratio` and `sms_engaged_ratio` make somebody
    of the most susceptible age and type fall for them; `internet` so many more a year meet the fraud there. Somebody
    who has lost money and knows it reports it with probability `report_ratio`, after `report_delay`; with
    `reports_feed_lists` police then hand over the number that called, if they do not know it yet. Each false warning
    that somebody had within about `memory` makes the next be heeded less, by the share `fatigue`.
    """

    voice_engaged_ratio: Annotated[float, Field(ge=0, le=0.5)]
    sms_engaged_ratio: Annotated[float, Field(ge=0, le=0.5)]
    internet: Volume
    report_ratio: Ratio
    report_delay: Delay
    reports_feed_lists: bool = True
    fatigue: Ratio
    memory: Duration = 180 * DAY_US
    age_bands: Annotated[tuple[AgeBand, ...], Field(min_length=1, max_length=20)]
    types: Annotated[tuple[FraudType, ...], Field(min_length=1, max_length=40)]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for what, shares in (("age_bands", self.age_bands), ("types", self.types)):
            total = sum(entry.share for entry in shares)
            if abs(total - 1) > 1e-6:
                raise ValueError(f"the shares of {what} sum to {total:.6g}, not to 1")
            if len({entry.id for entry in shares}) < len(shares):
                raise ValueError(f"{what}: an id is used twice")
        if self.memory < DAY_US:
            raise ValueError("'memory' is at least 1d")
        return self


def _cumulative(shares: list[float]) -> NDArray[np.uint64]:
    ends = np.cumsum(shares) / np.sum(shares)
    return np.array([threshold(min(float(end), 1.0)) for end in ends], np.uint64)


def province_bounds() -> NDArray[np.uint64]:
    """Return the thresholds (uint64, one a province) of the draw for a subscriber's province, by population."""
    return _cumulative([province.population_millions for province in provinces()])


def age_bounds(people: People) -> NDArray[np.uint64]:
    """Return the thresholds (uint64, one a band) of the draw for a subscriber's age band."""
    return _cumulative([band.share for band in people.age_bands])


def type_bounds(people: People) -> NDArray[np.uint64]:
    """Return the thresholds (uint64, one a type) of the draw for the type of a case that begins on the internet."""
    return _cumulative([kind.share for kind in people.types])


def susceptibility(people: People) -> NDArray[np.uint64]:
    """Return the thresholds (uint64, types x bands) of the draw for falling for it."""
    rows = [[threshold(k.susceptibility * band.susceptibility) for band in people.age_bands] for k in people.types]
    return np.array(rows, np.uint64)


def _mean_transfers(transfers: float) -> float:
    """Return the mean number of transfers where those after the twelfth are not made."""
    another = 1.0 - 1.0 / transfers
    return transfers * (1.0 - another**MOST_TRANSFERS)


def kinds_of(people: People) -> np.ndarray:
    """Return a record (`kernels.KIND`) for each fraud type."""
    records = np.zeros(len(people.types), KIND)
    for record, kind in zip(records, people.types, strict=True):
        record["grooming"], record["gap"] = kind.grooming.law, kind.gap.law
        record["another_bound"] = threshold(1.0 - 1.0 / kind.transfers)
        record["doubt_bound"] = threshold(kind.doubt_ratio)
        sigma = kind.loss_sigma
        record["loss_fen"] = (
            kind.mean_loss_yuan * 100.0 * exp_of(-sigma * sigma / 2.0) / _mean_transfers(kind.transfers)
        )
        record["loss_sigma"] = sigma
        record["heeding"] = kind.heeding
    return records
