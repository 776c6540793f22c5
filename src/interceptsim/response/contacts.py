"""What response policies are given and give: people whom fraud has just reached, and warnings to some of them.

`respond(contacts)` of a policy is asked for each batch of people who would fall for fraud. It has to be a pure function
of each row, since batches are cut anywhere; its draws come from `contacts.draw`, which knows each person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from interceptsim.randomness import stream_id
from interceptsim.response.person_kernels import words_of

__all__ = ["ORIGINS", "Contacts", "ResponsePolicy", "Warnings"]

ORIGINS = ("voice", "sms", "internet")
"""How people are first met: codes of `Contacts.origin`."""


@dataclass(frozen=True)
class Contacts:
    """People who begin to fall for fraud, arrays of one length.

    time_us     int64  when they were reached, us from the start of the run
    date_us     int64  the same in UTC us since the epoch
    origin      uint8  code of `ORIGINS`
    overseas    bool   whether the attempt came in by the international gateway
    fraud_type  int64  position in `types`
    province    int64  position in the ledger's provinces
    age_band    int64  position in `age_bands`
    """

    time_us: NDArray[np.int64]
    date_us: NDArray[np.int64]
    origin: NDArray[np.uint8]
    overseas: NDArray[np.bool_]
    fraud_type: NDArray[np.int64]
    province: NDArray[np.int64]
    age_band: NDArray[np.int64]
    types: tuple[str, ...]
    age_bands: tuple[str, ...]
    _key: NDArray[np.uint64]
    _persons: np.ndarray

    def __len__(self) -> int:
        """Return how many people they are."""
        return len(self.time_us)

    def draw(self, name: str) -> NDArray[np.float64]:
        """Return a draw of each person's own between 0 and 1, float64; another `name` gives another."""
        word: NDArray[np.float64] = (words_of(self._persons, self._key, stream_id(name)) + 0.5) / 2.0**32
        return word


@dataclass(frozen=True)
class Warnings:
    """Warnings to people of a batch of contacts, arrays of one length.

    of          int64    positions of the warned in the batch
    at_us       int64    when each is warned, us from the start of the run, not before the contact
    heed_ratio  float64  with what probability each heeds it
    """

    of: NDArray[np.int64]
    at_us: NDArray[np.int64]
    heed_ratio: NDArray[np.float64]


@runtime_checkable
class ResponsePolicy(Protocol):
    """What is asked of a response policy; `respond` may return None where nobody is warned."""

    @property
    def kind(self) -> str:
        """Which policy it is."""
        ...

    @property
    def id(self) -> str:
        """Its name among the scenario's policies."""
        ...

    @property
    def enabled(self) -> bool:
        """Whether it takes part."""
        ...

    def respond(self, contacts: Contacts) -> Warnings | None:
        """Return warnings to some of these people."""
        ...
