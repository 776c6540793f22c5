"""What response policies are given and give: people whom fraud has just reached, and warnings to some of them.

`respond(contacts)` of a policy is asked for each batch of people who would fall for fraud. It has to be a pure function
of each row, since batches are cut anywhere; its draws come from `contacts.draw`, which knows each person.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from interceptsim.randomness import stream_id
from interceptsim.response.person_kernels import draws_of

__all__ = ["ORIGINS", "Contacts", "ResponsePolicy", "Warnings"]

ORIGINS = ("voice", "sms", "internet")
"""How people are first met: codes of `Contacts.origin`."""


@dataclass(frozen=True)
class Contacts:
    """People who begin to fall for fraud: arrays of one length, each made when a policy asks for it.

    `types` and `age_bands` are the names of fraud types and of bands of age.
    """

    types: tuple[str, ...]
    age_bands: tuple[str, ...]
    _persons: np.ndarray
    _key: NDArray[np.uint64]
    _epoch_us: int
    _sources: int

    def __len__(self) -> int:
        """Return how many people they are."""
        return len(self._persons)

    @cached_property
    def time_us(self) -> NDArray[np.int64]:
        """When they were reached, int64, us from the start of the run."""
        return np.ascontiguousarray(self._persons["contact_us"])

    @property
    def date_us(self) -> NDArray[np.int64]:
        """The same, int64, in UTC us since the epoch."""
        return self.time_us + self._epoch_us

    @cached_property
    def origin(self) -> NDArray[np.uint8]:
        """How they were met, uint8, codes of `ORIGINS`."""
        online = self._persons["source"] == self._sources
        return np.where(online, np.uint8(ORIGINS.index("internet")), self._persons["origin"])

    @property
    def overseas(self) -> NDArray[np.bool_]:
        """Whether the attempt came in by the international gateway."""
        return np.ascontiguousarray(self._persons["overseas"])

    @property
    def fraud_type(self) -> NDArray[np.int64]:
        """The fraud type, int64, position in `types`."""
        return self._persons["kind"].astype(np.int64)

    @property
    def province(self) -> NDArray[np.int64]:
        """Where they live, int64, position in the ledger's provinces."""
        return self._persons["province"].astype(np.int64)

    @property
    def age_band(self) -> NDArray[np.int64]:
        """How old they are, int64, position in `age_bands`."""
        return self._persons["age"].astype(np.int64)

    def draw(self, name: str) -> NDArray[np.float64]:
        """Return a draw of each person's own between 0 and 1, float64; another `name` gives another."""
        drawn: NDArray[np.float64] = draws_of(self._persons, self._key, stream_id(name))
        return drawn


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
