"""Estimates of people rather than of attempts: those who are listed though they are no fraudsters."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from interceptsim.response.wrongly_listed import KINDS, WronglyListed
from interceptsim.response.wrongly_listed_kernels import CUT_OFF, CUT_OFF_US
from interceptsim.results import Estimate, Replicates
from interceptsim.units import HOUR_US

__all__ = ["wrongly_listed_estimates"]

_COUNTED = (
    ("people listed", "people"),
    ("people cut off", "people"),
    ("calls while listed", "calls"),
    ("calls intercepted", "calls"),
)


def wrongly_listed_estimates(
    found: WronglyListed,
    lines: NDArray[np.int64],
    full_lines: NDArray[np.float64],
    strata: NDArray[np.float64],
    handed_over: int,
    scale: int,
) -> Iterator[tuple[str, Estimate, str, str]]:
    """Yield (metric, estimate, unit, status) for the full-size world.

    Counts stand for as many as their fraudsters' lines do: `lines` (int64, folds x groups) of the run, `full_lines`
    (float64, groups) of the full-size world, `strata` as in `Replicates.of`. Where nobody was met, the bound is that of
    the numbers `handed_over` in the run.
    """
    n = max(handed_over, 1)
    for kind, name in enumerate(KINDS):
        counted = [
            Replicates.of(found.counted[:, :, kind, k], lines, full_lines, strata) for k in range(CUT_OFF_US + 1)
        ]
        for replicates, (metric, unit) in zip(counted, _COUNTED, strict=False):
            yield f"{name}.{metric}", replicates.estimate(n, n * scale), unit, "simulated"
        if counted[CUT_OFF].value > 0:
            mean = counted[CUT_OFF_US].over(counted[CUT_OFF]).times(1 / HOUR_US)
            yield f"{name}.hours until unblocked, mean", mean.estimate(1, 0.0), "hours", "simulated"
            for part, metric in ((0.5, "median"), (0.95, "95 %")):
                hours = _quantile(found.hours[kind], part)
                yield f"{name}.hours until unblocked, {metric}", hours, "hours", "simulated"


def _quantile(by_hour: NDArray[np.int64], part: float) -> Estimate:
    """Return the hours within which a part of those counted by whole hours fall; the interval is that of the rank."""
    below = np.cumsum(by_hour)
    n = int(below[-1])
    reach = 1.96 * math.sqrt(part * (1 - part) / n)
    ranks = np.clip([part - reach, part, part + reach], 0.5 / n, 1.0)
    low, at, high = (float(np.searchsorted(below, rank * n)) for rank in ranks)
    return Estimate(at + 0.5, low, high + 1.0)
