"""Replay: records in, decisions of a chain out, and what each of its rules did.

Records are read chunk by chunk, put in order within the lateness window, decided with the state of their numbers kept
from batch to batch, counted, and written. Nothing depends on how they are cut; memory grows with the window and with the
numbers that rules keep state of.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from interceptsim.attempts import VERDICTS, AttemptBatch, Decisions
from interceptsim.backtest.findings import by_day, by_label, by_rule, by_threshold, cut_off, fates, together
from interceptsim.backtest.listings import as_listings
from interceptsim.backtest.mapping import Mapping, as_mapping
from interceptsim.backtest.normalise import Normaliser, Wrong, batch_of
from interceptsim.backtest.ordering import Window
from interceptsim.backtest.pseudonyms import Pseudonyms
from interceptsim.backtest.simulated import is_run, open_simulated
from interceptsim.backtest.sources import Chunk, FrameSource, RecordFile, Source, find_records
from interceptsim.backtest.tally import Tally
from interceptsim.backtest.writing import Outputs, Table
from interceptsim.compiled import cores
from interceptsim.errors import ConfigurationError
from interceptsim.filtering.kernels import OP_CODE, SCORE_REPUTATION
from interceptsim.filtering.plan import FilterCore, compile_filter
from interceptsim.filtering.registry import policies_of
from interceptsim.filtering.stream import FilterStream
from interceptsim.results import Estimate
from interceptsim.scenario_files import load, load_policies, read_tables
from interceptsim.units import format_duration

__all__ = ["REJECT_COLUMNS", "Chain", "Counts", "Replay", "as_chain", "replay"]

REJECT_COLUMNS = {"file": pl.String, "line": pl.Int64, "kind": pl.String, "reason": pl.String, "value": pl.String}
"""Columns of a file of rejects: where the record stood, "malformed", "late" or "duplicate", why, and what was wrong."""

_EXAMPLES = 10

Progress = Callable[[int, int, int], None]
"""Called with bytes (or rows) done, of how many, and records read."""


@dataclass
class Counts:
    """Records read, and what became of them: read = decided + late + duplicate + malformed."""

    read: int = 0
    decided: int = 0
    late: int = 0
    duplicate: int = 0
    malformed: int = 0


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
    frame. `policies` are as for `compile_filter`, or the file that holds them; a simulated run brings its own. `mapping` (tables or a TOML file) says
    which columns hold what; without it they bear the names of `AttemptBatch`. `challenger` is another chain over the
    same records. `listings` is a frame or Parquet file (policy, a_number, from_us) that feeds fed lists.

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
    paths = {"rejects": rejects, "cut_off_numbers": cut_off_numbers, "changed": changed, "out": out}
    with Outputs() as outputs:
        for what, path in paths.items():
            if path is not None:
                outputs.check(path, what)
        machine = _Machine(core, other, how, fed, threads, outputs, paths, pseudonymise, keep=keep)
        machine.several = len(sources) > 1 and simulated is None
        machine.simulated = simulated is not None
        lateness = how.time.lateness if lateness_us is None else lateness_us
        machine.window = Window(lateness, keep_duplicates=how.duplicates == "keep")
        machine.run(sources, 0 if simulated is None else simulated.before, progress)
        found = machine.result(started)
        machine.write_numbers(found)
        outputs.finish()
    return found


class _Machine:
    """One replay at work: chains, window, counts, tables."""

    def __init__(
        self,
        core: FilterCore,
        other: FilterCore | None,
        mapping: Mapping,
        listings: pl.DataFrame | None,
        threads: int | None,
        outputs: Outputs,
        paths: dict[str, str | Path | None],
        keyfile: str | Path | None,
        *,
        keep: bool,
    ) -> None:
        self.core, self.other, self.mapping = core, other, mapping
        threads = cores() if threads is None else threads
        self.stream = FilterStream(core, threads, listings)
        self.other_stream = None if other is None else FilterStream(other, threads, listings)
        self.pseudonyms = None if keyfile is None else Pseudonyms(keyfile)
        self.counts = Counts()
        self.tally = Tally()
        self.several = False
        self.simulated = False
        self.same = 0
        self.window = Window(0)
        self.absent: dict[str, str] = {}
        self.kept: list[pl.DataFrame] | None = [] if keep else None
        self.first_rejects: list[pl.DataFrame] = []
        self._names: list[str] = []
        self._outputs, self._paths = outputs, paths
        self._tables: dict[str, Table] = {}
        self._counting = True
        self._scores = bool((core.ops[:, OP_CODE] == SCORE_REPUTATION).any())

    def run(self, sources: Sequence[Source], before: int, progress: Progress | None) -> None:
        """Read all sources; the first few, `before`, only for the state that they leave."""
        if self._paths["rejects"] is not None:
            self._tables["rejects"] = self._outputs.open(self._paths["rejects"], REJECT_COLUMNS)
        total = sum(source.size() for source in sources if isinstance(source, RecordFile))
        done = 0
        for k, source in enumerate(sources):
            self._counting = k >= before
            self._names.append(source.name)
            self._read(source, k)
            done += source.size() if isinstance(source, RecordFile) else 0
            if progress:
                progress(done, total, self.counts.read)
            if not self._counting and k + 1 == before:
                self._decide_all(self.window.flush().ready)
        self._take(self.window.flush())

    def _read(self, source: Source, file: int) -> None:
        carried = ("verdict", "reason") if self.simulated else ()
        keys = isinstance(source, RecordFile) and source.format == "json"
        normaliser = Normaliser(self.mapping, source.names(), source.name, carried, keys=keys)
        self.absent.update(normaliser.absent)
        for chunk in source.chunks(normaliser.wanted):
            frame, wrong = normaliser.read(chunk.frame)
            lines = chunk.lines[frame["row"].to_numpy()] if len(frame) != len(chunk.lines) else chunk.lines
            frame = frame.with_columns(line=pl.Series(lines), file=pl.lit(file, pl.UInt32)).drop("row")
            if self._counting:
                self.counts.read += chunk.records
                self._reject_malformed(source.name, chunk, wrong)
            self._take(self.window.add(frame))

    def _take(self, released: Any) -> None:
        """Decide what the window gives out, and set down what it holds to be late or a duplicate."""
        if released.late is not None:
            self.counts.late += len(released.late)
            told = f"more than {format_duration(self.window.lateness_us)} behind the latest record before it"
            self._reject(_rejected(released.late, self._names, "late", told))
        for frame in released.duplicate:
            self.counts.duplicate += len(frame)
            self._reject(_rejected(frame, self._names, "duplicate", "equal to an earlier record"))
        self._decide_all(released.ready)

    def _decide_all(self, frames: list[pl.DataFrame]) -> None:
        for frame in frames:
            batch = batch_of(frame, self.mapping)
            found = self.stream.decide(batch)
            other = None if self.other_stream is None else self.other_stream.decide(batch)
            if not self._counting:
                continue
            self.counts.decided += len(batch)
            label = frame["label"].to_numpy() if "label" in frame.columns else None
            self.tally.add(batch, found, other, label)
            self._write(frame, batch, found, other)

    def _write(self, frame: pl.DataFrame, batch: AttemptBatch, found: Decisions, other: Decisions | None) -> None:
        """Write decisions where they are wanted, and compare them with those of a simulation."""
        if self.simulated:
            verdict = pl.Series(found.verdict).replace_strict(dict(enumerate(VERDICTS)), return_dtype=pl.String)
            reason = pl.Series(found.reason).replace_strict(self._reasons(self.core), return_dtype=pl.String)
            self.same += int(((verdict == frame["verdict"]) & (reason == frame["reason"])).sum())
        if self.kept is None and self._paths["out"] is None and self._paths["changed"] is None:
            return
        told = self._told(frame, batch, found, other)
        if self.kept is not None:
            self.kept.append(told)
        self._put("out", told)
        if other is not None and self._paths["changed"] is not None:
            self._put("changed", told.filter(pl.Series(found.verdict != other.verdict)))

    def _told(
        self, frame: pl.DataFrame, batch: AttemptBatch, found: Decisions, other: Decisions | None
    ) -> pl.DataFrame:
        """Return decisions as they are told: where, when, who, and what was decided."""
        a_number, b_number = frame["a_number"], frame["b_number"]
        if self.pseudonyms is not None:
            a_number, b_number = self.pseudonyms.of_column(a_number), self.pseudonyms.of_column(b_number)
        columns: dict[str, Any] = {
            **({"file": _named(frame["file"].to_numpy(), self._names)} if self.several else {}),
            "line": frame["line"],
            "time_us": frame["time_us"],
            "channel": _coded(batch.channel, ("voice", "sms")),
            "a_number": a_number,
            "b_number": b_number,
            "verdict": _coded(found.verdict, VERDICTS),
            "reason": _coded(found.reason, ("", *self.core.rules)),
            "matched": found.matched,
            **({"score": found.score} if self._scores else {}),
        }
        if other is not None and self.other is not None:
            columns["challenger_verdict"] = _coded(other.verdict, VERDICTS)
            columns["challenger_reason"] = _coded(other.reason, ("", *self.other.rules))
        return pl.DataFrame(columns)

    @staticmethod
    def _reasons(core: FilterCore) -> dict[int, str]:
        return dict(enumerate(("", *core.rules)))

    def _put(self, name: str, frame: pl.DataFrame) -> None:
        path = self._paths[name]
        if path is None:
            return
        if name not in self._tables:
            self._tables[name] = self._outputs.open(path, dict(frame.schema))
        self._tables[name].write(frame)

    def _reject_malformed(self, name: str, chunk: Chunk, wrong: Wrong) -> None:
        many = len(wrong.rows) + len(chunk.broken)
        if not many:
            return
        self.counts.malformed += many
        lines = [*chunk.lines[wrong.rows].tolist(), *(broken.line for broken in chunk.broken)]
        reasons = [*wrong.reasons, *(broken.reason for broken in chunk.broken)]
        values = [*wrong.values, *(broken.text for broken in chunk.broken)]
        data = {"file": [name] * many, "line": lines, "kind": ["malformed"] * many, "reason": reasons, "value": values}
        self._reject(pl.DataFrame(data, schema=REJECT_COLUMNS).sort("line"))

    def _reject(self, rejected: pl.DataFrame) -> None:
        if not self._counting:
            return
        if self.pseudonyms is not None:
            rejected = rejected.with_columns(value=pl.lit(""))  # it may hold a number
        have = sum(map(len, self.first_rejects))
        if have < _EXAMPLES:
            self.first_rejects.append(rejected[: _EXAMPLES - have])
        if "rejects" in self._tables:
            self._tables["rejects"].write(rejected)

    def result(self, started: float) -> Replay:
        """Return what was found."""
        return Replay(
            rule_ids=self.core.rules,
            counts=self.counts,
            tally=self.tally,
            challenged=self.other is not None,
            absent=self.absent,
            rejects=pl.concat([pl.DataFrame(schema=REJECT_COLUMNS), *self.first_rejects]),
            same=self.same if self.simulated else None,
            decisions=None if self.kept is None else pl.concat(self.kept) if self.kept else pl.DataFrame(),
            wall_s=time.perf_counter() - started,
            pseudonyms=self.pseudonyms,
        )

    def write_numbers(self, found: Replay) -> None:
        """Write the numbers that rules cut off, and give every table that was asked for its (perhaps empty) file."""
        if self._paths["cut_off_numbers"] is not None:
            self._put("cut_off_numbers", found.cut_off)
        wanted = [name for name in ("changed", "out") if self._paths[name] is not None]
        empty = self._told(*self._nothing()) if wanted else pl.DataFrame()
        for name in wanted:
            self._put(name, empty)

    def _nothing(self) -> tuple[pl.DataFrame, AttemptBatch, Decisions, Decisions | None]:
        """Return no attempt, of the shape that decisions are told in."""
        schema = {"time_us": pl.Int64, "a_number": pl.UInt64, "b_number": pl.UInt64, "a_kind": pl.UInt8}
        frame = pl.DataFrame(schema={**schema, "line": pl.Int64, "file": pl.UInt32})
        none = Decisions(np.zeros(0, np.uint8), np.zeros(0, np.uint16), np.zeros(0, np.uint64), np.zeros(0, np.int32))
        return frame, batch_of(frame, self.mapping), none, None if self.other is None else none


def _coded(codes: Any, names: tuple[str, ...]) -> pl.Series:
    """Return codes as an Enum of their names, without a look at each."""
    return pl.Series(codes).cat.to(pl.Enum(names))


def _named(files: Any, names: list[str]) -> pl.Series:
    return pl.Series(files).replace_strict(dict(enumerate(names)), return_dtype=pl.String)


def _rejected(frame: pl.DataFrame, names: list[str], kind: str, reason: str) -> pl.DataFrame:
    return frame.select(
        _named(frame["file"].to_numpy(), names).alias("file"),
        "line",
        pl.lit(kind).alias("kind"),
        pl.lit(reason).alias("reason"),
        pl.from_epoch("time_us", "us").dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ").alias("value"),
    )
