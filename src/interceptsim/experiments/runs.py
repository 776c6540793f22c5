"""One run to be made: its name, made from its content, and what is kept of it.

The name is a digest of the scenario, of policies that no table can hold, of the package's own files, seed, scale and
days. So the same run has the same name wherever it is made, and one that is not the same never has it.
"""

from __future__ import annotations

import contextlib
import functools
import pickle
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel

from interceptsim.experiments.executors import Task
from interceptsim.experiments.extras import extra
from interceptsim.experiments.fingerprint import fingerprint, is_own, package_fingerprint
from interceptsim.results import RunResult
from interceptsim.scenario import Scenario
from interceptsim.simulation import run

__all__ = ["ROWS", "PlannedRun", "Prepared", "found_by"]

ROWS: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("run", "scenario"), pl.String),
    "seed": pl.UInt64,
    **dict.fromkeys(("scale", "days", "attempts"), pl.Int64),
    **dict.fromkeys(("digest", "metric"), pl.String),
    **dict.fromkeys(("value", "low", "high"), pl.Float64),
    "count": pl.Int64,
    **dict.fromkeys(("unit", "status", "error"), pl.String),
}
"""The columns of a kept run: a row for each metric, or one with its `error`.

`value`, `low` and `high` are the estimate for the full-size world and the jackknife interval of this run alone; `count`
is what was counted at its scale. Either is null where the run has only the other.
"""


_REGISTERING = threading.Lock()  # cloudpickle's registry is one for all threads


@dataclass(frozen=True)
class Prepared:
    """A scenario ready to be named and sent: files that its policies read are read, once and here."""

    scenario: Scenario

    @classmethod
    def of(cls, scenario: Scenario) -> Prepared:
        """Prepare a scenario; raise ConfigurationError where a policy's file cannot be read."""
        policies = tuple(_with_file(policy) for policy in scenario.policies)
        return cls(scenario.model_copy(update={"policies": policies}))

    @functools.cached_property
    def content(self) -> str:
        """The digest of all that the scenario is."""
        return fingerprint([self.scenario.as_dict(), self._live])

    @functools.cached_property
    def packed(self) -> bytes:
        """The scenario as bytes that workers can read.

        Policies from notebooks and from the user's own modules go along whole; they need no file where they arrive.
        """
        if not self._live:
            return pickle.dumps(self.scenario)
        cloudpickle = extra("cloudpickle", "sending policies of your own to workers")
        with _REGISTERING, _own_modules_by_value(cloudpickle):
            return bytes(cloudpickle.dumps(self.scenario))

    @property
    def _live(self) -> list[Any]:
        """The policies that are more than their tables say."""
        return [policy for policy in self.scenario.policies if not _is_plain(policy)]

    def run(self, seed: int, scale: int, days: int) -> PlannedRun:
        """Return a run of this scenario, to be made."""
        return PlannedRun(self, seed, scale, days)


@dataclass(frozen=True)
class PlannedRun:
    """A run to be made."""

    prepared: Prepared
    seed: int
    scale: int
    days: int

    @functools.cached_property
    def name(self) -> str:
        """Its name, 32 letters."""
        return fingerprint([package_fingerprint(), self.prepared.content, self.seed, self.scale, self.days])

    def task(self) -> Task:
        """Return the run as work for an executor."""
        return Task(self.name, _made, (self.prepared.packed, self.seed, self.scale, self.days))

    def rows(self, made: dict[str, Any]) -> pl.DataFrame:
        """Return what is kept of the run, in the columns `ROWS`, from what a worker found."""
        summary: dict[str, tuple[Any, ...]] = {metric: rest for metric, *rest in made["summary"]}
        counts: dict[str, int] = made["metrics"]
        rows = []
        for metric in dict.fromkeys([*summary, *counts]):
            value, low, high, unit, status = summary.get(metric, (None, None, None, None, "counted"))
            estimate = (metric, value, low, high, counts.get(metric), unit, status, None)
            rows.append((*self._about(), made["attempts"], made["digest"], *estimate))
        return pl.DataFrame(rows, ROWS, orient="row")

    def failed(self, error: str) -> pl.DataFrame:
        """Return the row that is kept of the run where it failed."""
        return pl.DataFrame([(*self._about(), *[None] * 9, error)], ROWS, orient="row")

    def _about(self) -> tuple[str, str, int, int, int]:
        return self.name, self.prepared.scenario.name, self.seed, self.scale, self.days


def _made(packed: bytes, seed: int, scale: int, days: int) -> dict[str, Any]:
    """Make a run, in a worker, on one thread; return plain values."""
    scenario = pickle.loads(packed)  # noqa: S301  our own bytes
    return found_by(run(scenario, seed=seed, scale=scale, days=days, threads=1))


def found_by(result: RunResult) -> dict[str, Any]:
    """Return what is kept of a run's result, as plain values."""
    return {
        "attempts": result.attempts,
        "digest": result.digest,
        "summary": result.summary.rows(),
        "metrics": result.metrics,
    }


def _with_file(policy: Any) -> Any:
    """Return a policy with what its file holds, so that the file's content is part of the name and goes along."""
    if getattr(policy, "file", None) is None or not isinstance(policy, BaseModel):
        return policy
    read = policy.model_copy()
    read._array = np.asarray(policy.listed())  # type: ignore[attr-defined]  # noqa: SLF001  as its own `of` does
    return read


def _is_plain(policy: Any) -> bool:
    """Tell whether a policy is no more than its table says: one of the built-in kinds, with nothing alive in it."""
    if not isinstance(policy, BaseModel) or not type(policy).__module__.startswith("interceptsim."):
        return False
    return all(value is None for value in (policy.__pydantic_private__ or {}).values())


@contextlib.contextmanager
def _own_modules_by_value(cloudpickle: Any) -> Iterator[None]:
    """Let functions and classes of the user's own modules be pickled whole, as those of notebooks are."""
    already = {"__main__", "__mp_main__", *cloudpickle.list_registry_pickle_by_value()}
    own = [
        module
        for name, module in list(sys.modules.items())
        if name not in already and getattr(module, "__name__", None) == name and is_own(name)
    ]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)
