"""Police: somebody complains of a delivered attempt, or police find a number themselves; later the number is known.

Takes words of attempts in columns, gives the time at which each number is handed over. The first word of a number
starts the work; later ones add nothing. Police err, too: beside some numbers they hand over an ordinary one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from interceptsim.compiled import Column, Record, Scalar, Table, allocating_kernel, kernel
from interceptsim.randomness import LAW, delay_of, draw, stream_id, threshold
from interceptsim.units import Delay, Ratio

__all__ = [
    "COMPLAINED",
    "ENGAGED",
    "FOUND",
    "GIVEN_UP",
    "WORD",
    "Police",
    "delay_of_number",
    "drawn_of_number",
    "falsely_handed_over",
    "hand_over_times",
    "recycled",
]

COMPLAINED, FOUND, ENGAGED, GIVEN_UP = (np.int64(n) for n in range(4))
"""What control is told of an attempt: its number is complained of for the first time, or found by police themselves;
somebody falls for it; the line presents another number from it on."""

WORD = np.dtype(
    [
        ("time_us", "i8"),
        ("line", "i8"),
        ("generation", "i8"),
        ("stream", "u8"),
        ("index", "u8"),
        ("ordinal", "i8"),
        ("b_number", "u8"),
        ("group", "i4"),
        ("fold", "i4"),
        ("cell", "i4"),
        ("reached", "i4"),
        ("before", "i4"),
        ("talked", "i4"),
        ("kind", "u1"),
        ("entry", "u1"),
        ("channel", "u1"),
    ],
    align=True,
)
"""A word of an attempt to control: its kind, when (us from the start of the run), of which line and generation, and
the stream and entity of the draws that belong to it.

With ENGAGED comes whom the attempt reached. With GIVEN_UP, of the number that is no more: how many people it `reached`,
how many of them `before` police handed it over, and how many of those `talked`."""


class Police(BaseModel):
    """How numbers become known to police.

    Each delivered attempt is complained of with probability `voice_complaint_ratio` or `sms_complaint_ratio`; a share
    `own_work_ratio` of numbers is found by police themselves when it is first used. `delay` after the first word of
    a number, police hand it over.

    For each number that they hand over, with probability `false_hand_over_ratio` they hand over an ordinary line's
    with it, by mistake; and a share `recycled_ratio` of the domestic ones is given to somebody else, `quarantine`
    after they were handed over.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    voice_complaint_ratio: Ratio
    sms_complaint_ratio: Ratio
    own_work_ratio: Ratio = 0.0
    delay: Delay
    false_hand_over_ratio: Ratio = 0.0
    recycled_ratio: Ratio = 0.0
    quarantine: Delay = Delay.model_validate("90d")


@kernel
def drawn_of_number(word: Record, key0: Scalar, key1: Scalar, salt: Scalar) -> Scalar:
    """Return a 32-bit draw, keyed by the number that a word is about and by `salt`, a 32-bit id."""
    return draw(key0, key1, word.stream ^ np.uint64(salt), word.index, word.generation)[0]


@kernel
def delay_of_number(word: Record, key0: Scalar, key1: Scalar, salt: Scalar, law: Record) -> int:
    """Return a delay in us by a law (LAW), keyed by the number that a word is about and by `salt`, a 32-bit id."""
    drawn = drawn_of_number(word, key0, key1, salt)
    return int(delay_of(law, drawn))


@allocating_kernel
def _hand_over_times(words: Table, key: Column, law: Table) -> Column:
    out = np.empty(words.shape[0], np.int64)
    for k in range(words.shape[0]):
        out[k] = words[k].time_us + delay_of_number(words[k], key[0], key[1], 0, law[0])
    return out


def hand_over_times(police: Police, words: np.ndarray, key: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return when police know the number of each word: us from the start of the run."""
    times: NDArray[np.int64] = _hand_over_times(words, key, np.array([police.delay.law], LAW))
    return times


@allocating_kernel
def _drawn_below(words: Table, key: Column, salt: Scalar, bound: Scalar) -> Column:
    """Return for each word (bool) whether a draw keyed by its number and by `salt` lies below `bound`."""
    out = np.empty(words.shape[0], np.bool_)
    for k in range(words.shape[0]):
        out[k] = drawn_of_number(words[k], key[0], key[1], salt) < np.uint64(bound)
    return out


def falsely_handed_over(police: Police, words: np.ndarray, key: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return beside which of the numbers police hand over an ordinary line's number, at the same time."""
    bound = threshold(police.false_hand_over_ratio)
    found: NDArray[np.bool_] = _drawn_below(words, key, stream_id("falsely handed over"), bound)
    return found


def recycled(police: Police, words: np.ndarray, key: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which of the numbers are given to somebody else later, if they are domestic."""
    found: NDArray[np.bool_] = _drawn_below(words, key, stream_id("recycled"), threshold(police.recycled_ratio))
    return found
