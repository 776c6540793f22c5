"""Bands of rates in which a class of ordinary callers is sampled, since limits hit its busiest lines alone."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import NormalDist
from typing import NamedTuple

from interceptsim.traffic.model import CallerGroup

__all__ = ["Band", "bands_of"]

_WHOLE_SAMPLES = 1000  # at this scale and finer ones


class Band(NamedTuple):
    """Ordinary callers of a class whose rates lie between two quantiles.

    lines, kept       how many there are in the full-size world, and in the run
    attempts_per_day  the mean of their rates
    """

    rate_from: float
    rate_to: float
    lines: float
    kept: int
    attempts_per_day: float


def bands_of(spec: CallerGroup, sample_ratio: float, scale: int) -> list[Band]:
    """Return the bands of rates in which a class of ordinary callers is sampled at a scale, the busiest last."""
    whole = sample_ratio * min(1.0, _WHOLE_SAMPLES / scale)
    ends = [0.0, *(1 - share for share in spec.busiest.shares), 1.0]
    found = []
    for (low, high), sample in zip(pairwise(ends), (spec.sample, *spec.busiest.samples), strict=True):
        lines = spec.lines * (high - low)
        kept = min(math.ceil(lines), max(round(sample * whole), 1)) if whole > 0 else 0
        # a lognormal of mean 1, weighed by its value, is one whose normal is shifted by sigma
        part = _below(high, spec.rate_sigma) - _below(low, spec.rate_sigma)
        found.append(Band(low, high, lines, kept, spec.attempts_per_day * part / (high - low)))
    return found


def _below(quantile: float, sigma: float) -> float:
    """Return which part of all attempts lines make whose rates lie below a quantile."""
    if sigma == 0 or quantile in {0.0, 1.0}:
        return quantile
    return NormalDist().cdf(NormalDist().inv_cdf(quantile) - sigma)
