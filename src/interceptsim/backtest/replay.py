"""Replay: records in, decisions of a chain out, and what each of its rules did.

Records are read chunk by chunk, put in order within the lateness window, decided with the state of their numbers kept
from batch to batch, counted, and written. Nothing depends on how they are cut; memory grows with the window and with
the numbers that rules keep state of.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from interceptsim.attempts import VERDICTS
from interceptsim.backtest.deciding import REJECT_COLUMNS, Counts, Pass, Progress, Wanted
from interceptsim.backtest.findings import by_day, by_label, by_rule, by_threshold, cut_off, fates, together
from interceptsim.backtest.listings import as_listings
from interceptsim.backtest.mapping import Mapping, as_mapping
from interceptsim.backtest.pseudonyms import Pseudonyms
from interceptsim.backtest.simulated import is_run, open_simulated
from interceptsim.backtest.sources import FrameSource, Source, find_records
from interceptsim.backtest.tally import Tally
from interceptsim.backtest.writing import Outputs
from interceptsim.errors import ConfigurationError
from interceptsim.filtering.plan import FilterCore, compile_filter
from interceptsim.registry import policies_of
from interceptsim.results import Estimate
from interceptsim.scenario_files import load, load_policies, read_tables

__all__ = ["REJECT_COLUMNS", "Chain", "Counts", "Replay", "as_chain", "replay"]


@dataclass(frozen=True)
class Replay:
    """What a chain did with records: counts, and tables that are made of them when they are asked for.

    counts     records read, decided, late, duplicate, malformed
    first_us, last_us  the times of the first and the last record decided, UTC microseconds, None of none
    absent     columns that the records lack, and what was taken for them
    rejects    the first few records that were not decided: frame of REJECT_COLUMNS
    same       of a simulated run's attempts, how many were decided as the simulation had; None for other records
    decisions  frame of all decided attempts if they were to be kept, else None
    """

    rule_ids: tuple[str, ...]
    counts: Counts
    tally: Tally
    challenged: bool
    absent: dict[str, str]
    rejects: pl.DataFrame
    same: int | None
    decisions: pl.DataFrame | None
    wall_s: float
    pseudonyms: Pseudonyms | None = None

    @functools.cached_property
    def _counted(self) -> pl.DataFrame:
        return self.tally.counts

    @property
    def first_us(self) -> int | None:
        """The time of the first record decided."""
        return self.tally.first_us

    @property
    def last_us(self) -> int | None:
        """The time of the last record decided."""
        return self.tally.last_us

    @functools.cached_property
    def verdicts(self) -> dict[str, int]:
        """Attempts by verdict."""
        summed = dict(self._counted.group_by("verdict").agg(pl.col("count").sum()).iter_rows())
        return {name: summed.get(code, 0) for code, name in enumerate(VERDICTS)}

    @functools.cached_property
    def rules(self) -> pl.DataFrame:
        """Frame (rule, matched, alone, intercepted, labelled, share, least_share, most_share, days, numbers)."""
        return by_rule(self._counted, self.rule_ids, self.tally.numbers)

    @functools.cached_property
    def together(self) -> pl.DataFrame:
        """Frame (rule, other, count): attempts that both of two rules matched."""
        return together(self._counted, self.rule_ids)

    @functools.cached_property
    def daily(self) -> pl.DataFrame:
        """Frame (date, rule, matched, attempts, share) by local day."""
        return by_day(self._counted, self.rule_ids)

    @functools.cached_property
    def cut_off(self) -> pl.DataFrame:
        """Frame (rule, a_number, attempts, first_us, last_us, ordinary): numbers that each rule would cut off."""
        found = cut_off(self.tally.numbers, self.rule_ids)
        if self.pseudonyms is None:
            return found
        return found.with_columns(a_number=self.pseudonyms.of_column(found["a_number"]))

    @functools.cached_property
    def quality(self) -> pl.DataFrame:
        """Frame of precision, recall and false-positive ratio where labels exist, else empty."""
        return by_label(self._counted, self.rule_ids)

    @functools.cached_property
    def _thresholds(self) -> tuple[pl.DataFrame, dict[str, Estimate]]:
        return by_threshold(self.tally)

    @property
    def curve(self) -> pl.DataFrame:
        """Frame of what a threshold on each score would find where labels exist, else empty."""
        return self._thresholds[0]

    @property
    def areas(self) -> dict[str, Estimate]:
        """Areas under the curves, with intervals."""
        return self._thresholds[1]

    @functools.cached_property
    def fates(self) -> pl.DataFrame | None:
        """Frame (verdict, challenger, channel, label, count) where there is a challenger, else None."""
        return fates(self._counted) if self.challenged else None

    def as_json(self) -> dict[str, Any]:
        """Return what `interceptsim replay --json` prints."""
        return {
            **vars(self.counts),
            "verdicts": self.verdicts,
            "first_us": self.first_us,
            "last_us": self.last_us,
            "rules": self.rules.to_dicts(),
            "together": self.together.to_dicts(),
            "daily": [{**row, "date": str(row["date"])} for row in self.daily.to_dicts()],
            "quality": self.quality.to_dicts(),
            "areas": {name: asdict(area) for name, area in self.areas.items()},
            "fates": None if self.fates is None else self.fates.to_dicts(),
            "absent": self.absent,
            "rejects": self.rejects.to_dicts(),
            "same_as_simulated": self.same,
            "wall_s": round(self.wall_s, 4),
            "records_per_s": round(self.counts.read / self.wall_s, 1) if self.wall_s else 0.0,
        }


Chain = Iterable[Any] | FilterCore | str | Path
"""Policies, a compiled chain, or the file or shipped scenario that holds them."""


def as_chain(given: Chain, mapping: Mapping) -> tuple[FilterCore, Mapping]:
    """Return a compiled chain, and the mapping with the carriers of the chain's scenario where it names none itself.

    Raise ConfigurationError where a file cannot be read or holds no chain.
    """
    if isinstance(given, FilterCore):
        return given, mapping
    if isinstance(given, str | Path):
        path = Path(given)
        if path.suffix == ".toml" and "population" not in read_tables(path) and "extends" not in read_tables(path):
            given = policies_of(load_policies(path), str(path))
        else:
            scenario = load(given)
            given = scenario.policies
            if not mapping.carriers:
                mapping = mapping.model_copy(update={"carriers": tuple(c.id for c in scenario.population.carriers)})
    return compile_filter(given, carriers=mapping.carriers), mapping


def replay(
    records: str | Path | pl.DataFrame,
    policies: Chain | None = None,
    *,
    mapping: Mapping | dict[str, Any] | str | Path | None = None,
    challenger: Chain | None = None,
    listings: pl.DataFrame | str | Path | None = None,
    out: str | Path | None = None,
    rejects: str | Path | None = None,
    changed: str | Path | None = None,
    cut_off_numbers: str | Path | None = None,
    pseudonymise: str | Path | None = None,
    lateness_us: int | None = None,
    threads: int | None = None,
    keep: bool = False,
    progress: Progress | None = None,
) -> Replay:
    """Decide recorded calls and messages by a chain of policies and return what each rule did.

    `records` is a file (Parquet, CSV, JSON lines, Arrow IPC), a glob, a folder, the directory of a simulated run, or a
    frame. `policies` are as for `compile_filter`, or the file that holds them; a simulated run brings its own.
    `mapping` (tables or a TOML file) says which columns hold what; without it they bear the names of `AttemptBatch`.
    `challenger` is another chain over the same records. `listings` is a frame or a file (policy, a_number, from_us)
    that feeds fed lists.

    `out` takes every decision, `rejects` every record that was not decided with the reason, `changed` the decisions in
    which the challenger differs, `cut_off_numbers` the numbers that rules cut off; their names tell the format. With
    `keep` decisions are returned too. `pseudonymise` names a file with a key: numbers leave only as keyed hashes.

    Raise ConfigurationError for what does not fit or cannot be read, ResultsError for what cannot be written, and
    ColumnError where a rule reads a column that the records lack. Then nothing is left behind.
    """
    started = time.perf_counter()
    if changed is not None and challenger is None:
        raise ConfigurationError("changed", "wanted a challenger: it is what decisions differ from")
    simulated = open_simulated(records) if is_run(records) else None  # type: ignore[arg-type]
    how = simulated.mapping() if simulated and mapping is None else as_mapping(mapping)
    if policies is None:
        if simulated is None:
            raise ConfigurationError("policies", "wanted a chain of policies")
        policies = simulated.policies
    core, how = as_chain(policies, how)
    other = None if challenger is None else as_chain(challenger, how)[0]
    fed = as_listings(listings, [core, other]) if listings is not None else simulated.listings if simulated else None
    sources: Sequence[Source]
    if isinstance(records, pl.DataFrame):
        sources = [FrameSource(records)]
    else:
        sources = simulated.files if simulated else find_records(records, how.csv)
    if lateness_us is not None:
        how = how.model_copy(update={"time": how.time.model_copy(update={"lateness": lateness_us})})
    paths = {"rejects": rejects, "cut_off_numbers": cut_off_numbers, "changed": changed, "out": out}
    names = None if pseudonymise is None else Pseudonyms(pseudonymise)
    with Outputs() as outputs:
        for what, path in paths.items():
            if path is not None:
                outputs.check(path, what)
        wanted = Wanted(outputs, paths, keep=keep, pseudonyms=names, compared=simulated is not None)
        one = Pass(core, other, how, fed, threads, wanted)
        one.run(sources, 0 if simulated is None else simulated.before, progress)
        found = Replay(
            rule_ids=core.rules,
            counts=one.counts,
            tally=one.tally,
            challenged=other is not None,
            absent=one.absent,
            rejects=pl.concat([pl.DataFrame(schema=REJECT_COLUMNS), *one.first_rejects]),
            same=one.same if simulated else None,
            decisions=one.kept,
            wall_s=time.perf_counter() - started,
            pseudonyms=names,
        )
        if cut_off_numbers is not None:
            outputs.open(cut_off_numbers, dict(found.cut_off.schema)).write(found.cut_off)
        outputs.finish()
    return found
