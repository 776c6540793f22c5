"""Sweeps: many runs of a scenario at chosen points, kept one by one, so that nothing is lost or made twice.

A sweep first writes its table: the points, and the names of the runs that they need. Then it makes the runs that the
store lacks. Whatever is asked of it is read from the store, so it can be asked while it runs, after it was killed, or
by anybody who can read Parquet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from interceptsim.errors import ConfigurationError, ResultsError
from interceptsim.experiments.design import Design, Point
from interceptsim.experiments.estimates import TABLE, effects_of, estimates_of
from interceptsim.experiments.executors import Pool, RunProgress, Task, carry_out, open_pool
from interceptsim.experiments.fingerprint import fingerprint
from interceptsim.experiments.fits import fits_for, kept_fits
from interceptsim.experiments.intervals import Method
from interceptsim.experiments.runs import ROWS, PlannedRun
from interceptsim.experiments.store import Store
from interceptsim.experiments.study import Cell, Study, load_study
from interceptsim.scenario import Scenario
from interceptsim.shown import Shown

__all__ = ["Sweep", "make_runs", "open_sweep", "planned_runs", "study_of", "sweep", "sweep_so_far"]


@dataclass(frozen=True)
class Sweep(Shown):
    """The runs of a study, as far as they are there: everything is read anew from the store when it is asked for.

    table  frame (point, an axis a column, variant, replication, seed, run, error): the runs that were asked for;
           `run` is a name, or null where the point does not fit and `error` says why
    """

    store: Store
    file: Path
    table: pl.DataFrame
    about: dict[str, Any]

    @property
    def axes(self) -> list[str]:
        """The names of the axes, which are columns of all frames."""
        return [name for name in self.table.columns if name not in TABLE]

    @property
    def wanted(self) -> int:
        """How many different runs were asked for."""
        return self.table["run"].drop_nulls().n_unique()

    @property
    def finished(self) -> int:
        """How many of them are there and did not fail."""
        return len(set(self.table["run"].drop_nulls()) & self.store.names("runs"))

    @property
    def runs(self) -> pl.LazyFrame:
        """The rows of all runs that are there: the table's columns, and those of `ROWS`."""
        names = self.table["run"].drop_nulls().unique(maintain_order=True)
        rows = self.store.read("runs", names, ROWS).drop("seed")
        return self.table.lazy().drop("error").join(rows, on="run", how="inner", maintain_order="left_right")

    @property
    def failed(self) -> pl.DataFrame:
        """Frame (point, axes, variant, replication, seed, run, error): what gave no result, and why."""
        unfit = self.table.filter(pl.col("error").is_not_null())
        failed = self.runs.filter(pl.col("error").is_not_null()).select(self.table.columns).collect()
        return pl.concat([unfit, failed]).sort("point", "replication", maintain_order=True)

    @property
    def estimates(self) -> pl.DataFrame:
        """Frame (point, axes, variant, metric, value, low, high, replications, method), by point, variant and metric.

        The mean over the replications that are there, with its 95 % interval; of one replication it is that run's own
        jackknife interval.
        """
        return estimates_of(self.table, self.runs, self.about["interval"])

    @property
    def effects(self) -> pl.DataFrame:
        """Frame (point, axes, baseline, variant, metric, difference, low, high, replications, method).

        The mean over the replications of variant minus baseline, pair by pair, with its 95 % interval; null for one
        pair. A metric that one of a pair lacks is of a rule the other has not, and is 0 there.
        """
        return effects_of(self.table, self.runs, self.about["variants"], self.about["interval"])

    def as_json(self) -> dict[str, Any]:
        """Return what `interceptsim sweep --json` prints: the estimates of the metrics that the study names."""
        shown = pl.col("metric").is_in(self.about["metrics"])
        return {
            **self.about,
            "table": str(self.file),
            "wanted": self.wanted,
            "finished": self.finished,
            "failed": self.failed.to_dicts(),
            "estimates": self.estimates.filter(shown).to_dicts(),
            "effects": self.effects.filter(shown).to_dicts(),
        }


def sweep(
    scenario: Scenario | Study | str | Path,
    design: Mapping[str, Any] | Design | None = None,
    *,
    replications: int | None = None,
    seed: int | None = None,
    scale: int | None = None,
    days: int | None = None,
    variants: Mapping[str, Mapping[str, Any] | Scenario] | None = None,
    metrics: Sequence[str] | None = None,
    interval: Method | None = None,
    name: str | None = None,
    store: str | Path | None = None,
    executor: Executor | str | None = None,
    workers: int | None = None,
    progress: RunProgress | None = None,
) -> Sweep:
    """Make the runs of a study that the store lacks, and return what there is.

    The study is a scenario with a `design` (axes by their paths, for a grid over them, or a whole table [design]), or
    stands in a file, given by path or shipped name; other options that are given override the file's. Each of the
    `replications` (4) has a seed hashed from `seed` (1), the same at every point and under every one of the `variants`,
    which are given as for `compare`. `store` is a directory, runs/store where none is given. `executor` is "local" for
    as many processes as `workers`, "dask://HOST:PORT", or any `concurrent.futures.Executor`.

    Raise ConfigurationError for what does not fit, and where not one point does; ResultsError where the store cannot
    be written, or the executor is lost. Whatever happens, finished runs are kept.
    """
    options = {
        "replications": replications,
        "seed": seed,
        "scale": scale,
        "days": days,
        "variants": variants,
        "metrics": None if metrics is None else tuple(metrics),
        "interval": interval,
        "name": name,
    }
    study = study_of(scenario, design, options)
    kept = Store(store).open()
    with open_pool(executor, workers) as pool:
        return make_runs(study, study.design.chosen(), kept, pool, progress)


def study_of(
    scenario: Scenario | Study | str | Path, design: Mapping[str, Any] | Design | None, options: Mapping[str, Any]
) -> Study:
    """Return a study from whatever it is given as; options that are None are left as they are."""
    given = {key: value for key, value in options.items() if value is not None}
    if isinstance(scenario, Scenario):
        if design is None:
            raise ConfigurationError("design", "wanted the axes of the sweep, such as {'police.delay': ['2h', '1d']}")
        return Study(scenario=scenario, design=Design.of(design), **{"name": scenario.name, **given})
    if design is not None:
        raise ConfigurationError("design", "a study has its own; wanted a scenario beside it")
    if isinstance(scenario, Study):
        held = {key: getattr(scenario, key) for key in Study.__dataclass_fields__}
        return Study(**{**held, **given})
    return load_study(scenario, **given)


def make_runs(
    study: Study, points: Sequence[Point], store: Store, pool: Pool, progress: RunProgress | None = None
) -> Sweep:
    """Make the runs that points of a study need and the store lacks; return the sweep over them."""
    cells = list(study.cells(points, fits_for(study, points, store, pool, progress)))
    name, table, about = _table(study, points, cells)
    store.put("sweeps", name, table, about={"study": json.dumps(about, ensure_ascii=False)})
    planned = planned_runs(study, cells)
    there = store.names("runs")
    done = sum(name in there for name in planned)
    if progress:
        progress(done, len(planned), "runs")

    def missing() -> Iterator[Task]:
        for name, wanted in planned.items():
            if name not in there and not store.has("runs", name):
                yield wanted.task()

    for outcome in carry_out(pool, missing()):
        wanted = planned[outcome.name]
        if outcome.error is None:
            resolved = json.dumps(wanted.prepared.scenario.as_dict(), ensure_ascii=False)
            store.put("runs", outcome.name, wanted.rows(outcome.value), about={"scenario": resolved})
        else:
            store.put("runs", outcome.name, wanted.failed(outcome.error), failed=True)
        done += 1
        if progress:
            progress(done, len(planned), "runs")
    return Sweep(store, store.path("sweeps", name), table, about)


def sweep_so_far(study: Study, store: str | Path | None = None) -> Sweep:
    """Return what there is of a study's runs, making none; raise ResultsError where it was never begun."""
    kept = Store(store)
    points = study.design.chosen()
    never = ResultsError(f"{kept.folder}: the sweep {study.name!r}, as it stands, was not begun there")
    try:
        cells = list(study.cells(points, kept_fits(study, points, kept)))
    except FileNotFoundError:
        raise never from None
    file = kept.path("sweeps", _table(study, points, cells)[0])
    if not file.exists():
        raise never
    return open_sweep(file)


def open_sweep(table: str | Path) -> Sweep:
    """Return the sweep whose table this is, sweeps/NAME.parquet of a store, as far as its runs are there.

    Raise ResultsError where it is no such table.
    """
    path = Path(table)
    try:
        frame = pl.read_parquet(path, glob=False)
        about = json.loads(pl.read_parquet_metadata(path)["study"])
    except FileNotFoundError:
        raise ResultsError(f"{path}: there is no such table of a sweep") from None
    except (OSError, KeyError, ValueError, pl.exceptions.PolarsError) as error:
        raise ResultsError(f"{path}: not the table of a sweep: {error}") from None
    return Sweep(Store(path.parents[1]), path, frame, about)


def planned_runs(study: Study, cells: Iterable[Cell]) -> dict[str, PlannedRun]:
    """Return the runs of cells by their names, each once."""
    planned = {}
    for cell in cells:
        if cell.prepared is not None:
            for seed in study.seeds:
                wanted = cell.prepared.run(seed, study.scale, study.days_of(cell.prepared.scenario))
                planned[wanted.name] = wanted
    return planned


def _table(study: Study, points: Sequence[Point], cells: Sequence[Cell]) -> tuple[str, pl.DataFrame, dict[str, Any]]:
    """Return a sweep's name, with the digest of what its table holds; the table; and what is said about it."""
    rows: dict[str, list[Any]] = {name: [] for name in TABLE}
    for cell in cells:
        for n, seed in enumerate(study.seeds):
            name = None
            if cell.prepared is not None:
                name = cell.prepared.run(seed, study.scale, study.days_of(cell.prepared.scenario)).name
            for column, value in zip(TABLE, (cell.point, cell.variant, n, seed, name, cell.error), strict=True):
                rows[column].append(value)
    types = (pl.Int64, pl.String, pl.Int64, pl.UInt64, pl.String, pl.String)
    axes = {
        name: _column(name, [points[place][name] for place in rows["point"]]) for name in (points[0] if points else {})
    }
    table = pl.DataFrame({name: pl.Series(name, rows[name], kind) for name, kind in zip(TABLE, types, strict=True)})
    table = table.select("point", *axes.values(), *TABLE[1:])
    about = {
        "name": study.name or study.scenario.name,
        "title": study.title or study.scenario.title,
        "scenario": study.scenario.name,
        "scale": study.scale,
        "seed": study.seed,
        "replications": study.replications,
        "interval": study.interval,
        "variants": study.variant_names,
        "metrics": list(study.metrics),
    }
    if study.optimise is not None:
        about["objectives"] = [one.model_dump(exclude_none=True) for one in study.optimise.objectives]
    digest = fingerprint([about, table.rows(), table.columns])
    return f"{about['name']}-{digest[:12]}", table, about


def _column(name: str, values: list[Any]) -> pl.Series:
    """Return the values of an axis as a column: as they are where they are all of one plain kind, else as JSON."""
    kinds = {float if isinstance(v, int) and not isinstance(v, bool) else type(v) for v in values}
    if kinds <= {str} or kinds <= {bool}:
        return pl.Series(name, values)
    if kinds <= {float}:
        return pl.Series(
            name, values, pl.Int64 if all(isinstance(v, int) for v in values) else pl.Float64, strict=False
        )
    return pl.Series(name, [json.dumps(v, ensure_ascii=False, default=str) for v in values])
