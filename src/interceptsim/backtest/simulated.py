"""A simulated run's directory as records: the same chain, the same listings, and what the simulation decided.

`interceptsim run --record all --out DIR` makes one. Its attempts are replayed as they were decided: as they stand, with
each number listed when control had it listed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from interceptsim.backtest.mapping import Csv, Mapping
from interceptsim.backtest.sources import RecordFile
from interceptsim.errors import ConfigurationError, ResultsError
from interceptsim.filtering.stream import LISTING_COLUMNS
from interceptsim.scenario import Scenario
from interceptsim.tables import validated

__all__ = ["SimulatedRun", "is_run", "open_simulated"]


@dataclass(frozen=True)
class SimulatedRun:
    """What is replayed of a run: its scenario, files of attempts in order of time, and listings.

    `before` is how many of the files are of the warm-up, whose attempts are decided for the state that they leave, and
    counted nowhere.
    """

    scenario: Scenario
    files: tuple[RecordFile, ...]
    listings: pl.DataFrame
    before: int

    @property
    def policies(self) -> Sequence[Any]:
        """The chain of the run."""
        return self.scenario.policies

    def mapping(self) -> Mapping:
        """Return the mapping of recorded attempts: their own names, and nothing is a duplicate."""
        carriers = [carrier.id for carrier in self.scenario.population.carriers]
        tables = {
            "carriers": carriers,
            "duplicates": "keep",
            "time": {"earliest": "0001-01-01", "latest": "9999-12-31"},
        }
        return Mapping.model_validate(tables)


def is_run(records: Any) -> bool:
    """Tell whether records are the directory of a simulated run."""
    return isinstance(records, str | Path) and Path(records, "manifest.json").is_file()


def open_simulated(folder: str | Path) -> SimulatedRun:
    """Return what is replayed of a run's directory; raise ResultsError where it is damaged or holds no attempts."""
    path = Path(folder)
    try:
        manifest = json.loads((path / "manifest.json").read_text("utf-8"))
        scenario = validated(Scenario, manifest["resolved_scenario"], str(path / "manifest.json"))
        if not (path / "decisions.parquet").is_file() or not (path / "changes.parquet").is_file():
            raise ResultsError(f"{path}: holds no attempts; make it with 'interceptsim run ... --record all --out DIR'")
        listings = pl.read_parquet(path / "changes.parquet").select(*LISTING_COLUMNS)
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError, ConfigurationError) as error:
        raise ResultsError(f"{path}: damaged run: {error}") from None
    names = ("warm_up.parquet", "decisions.parquet")
    files = [path / name for name in names if (path / name).is_file()]
    found = tuple(RecordFile(str(file), file, "parquet", Csv(), {}) for file in files)
    return SimulatedRun(scenario, found, listings, len(files) - 1)
