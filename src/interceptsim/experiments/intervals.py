"""Means over replications, the intervals they have, and how many replications an interval of a wished width wants.

Values are those of runs with seeds of their own, or differences of pairs of such runs. `by_t` is Student's t, right for
means of values that are roughly normal; `by_bootstrap` draws the values anew (SciPy, bias-corrected and accelerated),
right for skewed ones if there are twenty or more of them. Both are 95 % and mean: what other seeds would give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from interceptsim.errors import ConfigurationError
from interceptsim.experiments.extras import extra
from interceptsim.results import Estimate, by_t, t_quantile

__all__ = ["Method", "by", "by_bootstrap", "replications_for"]

Method = Literal["t", "bootstrap"]

_RESAMPLES = 9999
_MOST = 1_000_000


def by_bootstrap(values: Sequence[float], seed: int = 1) -> Estimate:
    """Return the mean of two or more values with its 95 % interval by bootstrap (BCa; Efron, JASA 82, 1987).

    The same values give the same interval. Raise ConfigurationError where SciPy is not installed.
    """
    mean, width = float(np.mean(values)), float(np.ptp(values))
    if width == 0:
        return Estimate(mean, mean, mean)
    about_1 = (np.asarray(values) - mean) / width  # powers of it neither vanish nor overflow
    found = extra("scipy.stats", "the bootstrap").bootstrap(
        (about_1,), np.mean, n_resamples=_RESAMPLES, confidence_level=0.95, method="BCa", rng=seed
    )
    low, high = (mean + width * float(end) for end in found.confidence_interval)
    return Estimate(mean, min(low, mean), max(high, mean))


def by(method: Method, values: Sequence[float]) -> Estimate:
    """Return the mean of two or more values with its interval by the method that is named."""
    if method not in {"t", "bootstrap"}:
        raise ConfigurationError("interval", "wanted 't' or 'bootstrap'", given=method)
    return by_t(values) if method == "t" else by_bootstrap(values)


def replications_for(values: Sequence[float], half_width: float) -> int:
    """Return the least number of replications, in all, whose 95 % t interval would reach half_width to either side.

    It takes the spread of the two or more values that are there for that of those to come, and cannot know better;
    ask again when more are there. Whatever is a million or more is told as a million.

    Raise ConfigurationError where half_width is not above 0.
    """
    if not half_width > 0:
        raise ConfigurationError("half-width", "wanted a number above 0", given=half_width)
    spread = float(np.std(values, ddof=1))
    low, high = 1, 2  # more than low are needed; high doubles until it is enough
    while high < _MOST and not _is_enough(high, spread, half_width):
        low, high = high, min(high * 2, _MOST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _is_enough(middle, spread, half_width) else (middle, high)
    return high


def _is_enough(n: int, spread: float, half_width: float) -> bool:
    return t_quantile(0.975, n - 1) * spread / math.sqrt(n) <= half_width
