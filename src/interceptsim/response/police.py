"""Police: somebody complains of a delivered attempt, and some time later the number is known.

Takes complaints in columns, gives the time at which each number is handed over. The first complaint of a
number starts the work; later ones add nothing. Police err, too: beside some numbers they hand over an ordinary one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from interceptsim.compiled import Column, Scalar, Table, kernel
from interceptsim.randomness import delay_us, draw, stream_id, threshold
from interceptsim.units import Delay, Ratio

__all__ = ["COMPLAINT", "Police", "delays_of", "drawn_below", "falsely_handed_over", "hand_over_times", "recycled"]

COMPLAINT = np.dtype(
    [("time_us", "i8"), ("line", "i8"), ("generation", "i8"), ("stream", "u8"), ("index", "u8")], align=True
)
"""First complaint of a number: when (us from the start of the run), of which line and generation, and the
stream and entity of the draws that belong to it."""


class Police(BaseModel):
    """How numbers become known to police.

    Each delivered attempt is complained of with probability `voice_complaint_ratio` or
    `sms_complaint_ratio`; `delay` after a number's first complaint, police hand the number over.

    For each number that they hand over, with probability `false_hand_over_ratio` they hand over an ordinary line's
    with it, by mistake; and a share `recycled_ratio` of the domestic ones is given to somebody else, `quarantine`
    after they were handed over.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    voice_complaint_ratio: Ratio
    sms_complaint_ratio: Ratio
    delay: Delay
    false_hand_over_ratio: Ratio = 0.0
    recycled_ratio: Ratio = 0.0
    quarantine: Delay = Delay.model_validate("90d")


@kernel
def delays_of(
    complaints: Table,
    key: Column,
    salt: Scalar,
    kind: Scalar,
    minimum_us: Scalar,
    scale_us: Scalar,
    sigma: Scalar,
) -> Column:
    """Return a delay in us (int64) for each complaint, keyed by its number and by `salt`, a 32-bit id."""
    out = np.empty(complaints.shape[0], np.int64)
    for k in range(complaints.shape[0]):
        c = complaints[k]
        word, _, _, _ = draw(key[0], key[1], c.stream ^ np.uint64(salt), c.index, c.generation)
        out[k] = delay_us(word, kind, minimum_us, scale_us, sigma)
    return out


def hand_over_times(police: Police, complaints: np.ndarray, key: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return when police know each number complained of: us from the start of the run."""
    times: NDArray[np.int64] = complaints["time_us"] + delays_of(complaints, key, 0, *police.delay.law)
    return times


@kernel
def drawn_below(complaints: Table, key: Column, salt: Scalar, bound: Scalar) -> Column:
    """Return for each complaint (bool) whether a draw keyed by its number and by `salt` lies below `bound`."""
    out = np.empty(complaints.shape[0], np.bool_)
    for k in range(complaints.shape[0]):
        c = complaints[k]
        word, _, _, _ = draw(key[0], key[1], c.stream ^ np.uint64(salt), c.index, c.generation)
        out[k] = word < np.uint64(bound)
    return out


def falsely_handed_over(police: Police, complaints: np.ndarray, key: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return beside which of the numbers complained of police hand over an ordinary line's number, at the same time."""
    bound = threshold(police.false_hand_over_ratio)
    found: NDArray[np.bool_] = drawn_below(complaints, key, stream_id("falsely handed over"), bound)
    return found


def recycled(police: Police, complaints: np.ndarray, key: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which of the numbers complained of are given to somebody else later, if they are domestic."""
    found: NDArray[np.bool_] = drawn_below(complaints, key, stream_id("recycled"), threshold(police.recycled_ratio))
    return found
