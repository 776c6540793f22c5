"""Variants of a scenario beside it, over the same latent traffic: what differs is the variant's doing.

In each replication the scenario as it stands, the baseline, and every variant run with one seed. So each line makes
the same latent attempts with the same draws, and differences are taken replication by replication: their spread is
what the pairs differ by, not how much one year of traffic differs from another.

The interval of a difference is Student's t over the pairs, or a bootstrap of them, and has nothing to do with the
jackknife intervals of single runs. How many pairs there are is said beforehand, or follows from how narrow intervals
have to become: then pairs are added in a few steps, at each of which it is looked whether they are.
"""

from __future__ import annotations

import contextlib
import functools
import json
import pickle
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import polars as pl

from interceptsim.errors import ConfigurationError, ResultsError, nearest_name
from interceptsim.experiments.estimates import differences
from interceptsim.experiments.executors import Pool, Task, carry_out, open_pool
from interceptsim.experiments.flips import flips_of, people_flips_of
from interceptsim.experiments.hubs import by_hub, hub_months
from interceptsim.experiments.intervals import Method, replications_for
from interceptsim.experiments.runs import Prepared
from interceptsim.randomness import replication_seed
from interceptsim.results import RunResult, provenance, writing_aside
from interceptsim.scenario import Scenario
from interceptsim.shown import Shown
from interceptsim.simulation import Engine, Progress, run
from interceptsim.tables import parse_settings, told_within, validated

__all__ = ["Comparison", "compare", "open_comparison", "parse_variant", "parse_wish", "variants_of"]


@dataclass(frozen=True)
class Comparison(Shown):
    """What variants change, and the runs it is known from.

    effects   frame (baseline, variant, metric, difference, low, high, replications, method): the mean over the
              replications of variant minus baseline, for the full-size world, with its 95 % interval by the method
              that is said; `low` and `high` are null where there is only one replication
    until     the half-widths that were wished for, by metric, none where there were no wishes
    values    frame (replication, variant, metric, value): the estimates of every run, those of the baseline under
              the name of its scenario
    seeds     the seed of each replication, the same for the baseline and all variants
    attempts  how many attempts were decided in all, warm-up included
    """

    baseline: Scenario
    variants: dict[str, Scenario]
    seed: int
    seeds: tuple[int, ...]
    options: dict[str, Any]
    values: pl.DataFrame
    effects: pl.DataFrame
    until: dict[str, float]
    attempts: int
    wall_s: float

    @property
    def days(self) -> int:
        """How many days of the baseline's period were counted."""
        return self.options["days"] or self.baseline.period.days

    def needed(self, half_widths: Mapping[str, float] | None = None) -> pl.DataFrame:
        """Tell how many replications, in all, intervals of wished half-widths take, judged by those that are there.

        Frame (variant, metric, half_width, wished, replications, needed), by default for the wishes of `until`. What is
        needed is reckoned for Student's t and is an estimate itself: the spread of a few pairs is not well known.

        Raise ConfigurationError for a metric that there is not, a half-width that is not above 0, or one replication.
        """
        rows = []
        for metric, wished in (self.until if half_widths is None else half_widths).items():
            known = self.values["metric"].unique(maintain_order=True)
            if metric not in known:
                raise ConfigurationError("half-width", f"no metric {metric!r}", nearest=nearest_name(metric, known))
            for variant in self.variants:
                [effect] = self.effects.filter(variant=variant, metric=metric).to_dicts()
                if effect["low"] is None:
                    raise ConfigurationError("half-width", "two replications at least are needed to tell the spread")
                half = (effect["high"] - effect["low"]) / 2
                needed = replications_for(self._pairs(variant, metric), wished)
                rows.append((variant, metric, half, float(wished), effect["replications"], needed))
        schema = {
            **dict.fromkeys(("variant", "metric"), pl.String),
            **dict.fromkeys(("half_width", "wished"), pl.Float64),
            **dict.fromkeys(("replications", "needed"), pl.Int64),
        }
        return pl.DataFrame(rows, schema, orient="row")

    def _pairs(self, variant: str, metric: str) -> list[float]:
        """Return a metric's differences, one a replication."""
        of = self.values.filter(metric=metric)
        before, after = (
            dict(of.filter(variant=name).select("replication", "value").iter_rows())
            for name in (self.baseline.name, variant)
        )
        return [after.get(n, 0.0) - before.get(n, 0.0) for n in range(len(self.seeds))]

    @property
    def by_hub(self) -> pl.DataFrame:
        """The effects on fraud by hub and month: attempts made from there, and delivered.

        Frame (baseline, variant, difference, low, high, replications, method, hub, month, measure), as in `effects`,
        where they stand as metrics "hub HUB YYYY-MM.made" and ".delivered".
        """
        return hub_months(self.effects)

    @functools.cached_property
    def flips(self) -> pl.DataFrame:
        """The attempts of the first replication whose fate differs from what it is in the baseline.

        Frame (variant, line_id, ordinal, time_us, channel, a_number, b_number, baseline_verdict, baseline_reason,
        variant_verdict, variant_reason, change), ordered by variant, time, line and ordinal; channel and numbers are
        those of `decisions`, `a_number` the baseline's where it was made there. `change` is "verdict", "made under
        baseline only" or "made under variant only"; verdict and reason are null where the attempt was not made.

        The first look makes the runs of the first replication again, recorded to temporary files. Raise
        ConfigurationError where a variant changes the traffic itself, or the files would not fit on the disk.
        """
        return flips_of(self.baseline, self.variants, self.seeds[0], self.options)

    @functools.cached_property
    def people_flips(self) -> pl.DataFrame:
        """The people of the first replication whose story ends otherwise, or who lose another sum, by variant.

        Frame (variant, person, fraud_type, province, age_band, baseline_end, variant_end, baseline_yuan, variant_yuan);
        an end is null where nobody fell for it under that one. It takes a run of each, made when first asked for.
        """
        return people_flips_of(self.baseline, self.variants, self.seeds[0], self.options)

    def as_json(self) -> dict[str, Any]:
        """Return what `interceptsim compare --json` prints."""
        return {
            "scenario": self.baseline.name,
            "variants": list(self.variants),
            "seed": self.seed,
            "seeds": list(self.seeds),
            "scale": self.options["scale"],
            "days": self.days,
            "replications": len(self.seeds),
            "until": self.until,
            "attempts": self.attempts,
            "wall_s": round(self.wall_s, 4),
            "effects": self.effects.to_dicts(),
        }

    def save(self, folder: str | Path) -> Path:
        """Write `effects.parquet`, `values.parquet` and a manifest as a new directory, and return its path.

        It is written aside and renamed, as a run is. Raise ResultsError as `RunResult.save` does.
        """
        path = Path(folder)
        with writing_aside(path) as aside:
            self.write_into(aside)
        return path

    def write_into(self, aside: Path) -> None:
        """Write the files of a comparison into an existing directory."""
        told = self.as_json()
        del told["effects"]
        manifest = {
            **told,
            "options": self.options,
            "resolved_scenario": self.baseline.as_dict(),
            "resolved_variants": {name: variant.as_dict() for name, variant in self.variants.items()},
            **provenance(),
        }
        self.effects.write_parquet(aside / "effects.parquet")
        self.values.write_parquet(aside / "values.parquet")
        (aside / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False), "utf-8")


def open_comparison(folder: str | Path) -> Comparison:
    """Return the comparison that `Comparison.save` or `interceptsim compare --out` wrote.

    Raise ResultsError where the directory is none or is damaged.
    """
    path = Path(folder)
    file = path / "manifest.json"
    try:
        manifest = json.loads(file.read_text("utf-8"))
        return Comparison(
            baseline=validated(Scenario, manifest["resolved_scenario"], str(file)),
            variants={n: validated(Scenario, v, str(file)) for n, v in manifest["resolved_variants"].items()},
            seeds=tuple(manifest["seeds"]),
            values=pl.read_parquet(path / "values.parquet"),
            effects=pl.read_parquet(path / "effects.parquet"),
            **{name: manifest[name] for name in ("seed", "options", "until", "attempts", "wall_s")},
        )
    except FileNotFoundError:
        missing = next(n for n in ("manifest.json", "values.parquet", "effects.parquet") if not (path / n).exists())
        raise ResultsError(f"{path}: not a comparison: there is no {missing}") from None
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError, ConfigurationError) as error:
        raise ResultsError(f"{path}: damaged comparison: {error}") from None


def compare(
    scenario: Scenario,
    variants: Mapping[str, Mapping[str, Any] | Scenario],
    *,
    replications: int = 5,
    until: Mapping[str, float] | None = None,
    at_most: int = 100,
    interval: Method = "t",
    seed: int = 1,
    scale: int = 1000,
    days: int | None = None,
    threads: int | None = None,
    slice_us: int | None = None,
    engine: Engine = "columnar",
    executor: Executor | str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Run a scenario and its variants over the same latent traffic and return what the variants change.

    A variant is given by its name and what it changes, as for `Scenario.replace`, or as a scenario of its own, such as
    one from `Scenario.with_policies`. Each replication has a seed of its own, hashed from `seed`. With `until`, wished
    half-widths of intervals by metric, replications are added to the first `replications` until the interval of every
    variant is so narrow, or there are `at_most`. `interval` is "t" or "bootstrap". The runs are made here, one after
    the other on all `threads`, or by an `executor` as for `sweep`, on one thread each; others are `run`'s options.
    `progress` is called with the days of all runs that are sure to be made.

    Raise ConfigurationError for a variant or an option that does not fit, ResultsError where a run fails elsewhere.
    """
    for option, given, least, most in (("replications", replications, 1, 10_000), ("seed", seed, 0, 2**64 - 1)):
        if not least <= given <= most:
            raise ConfigurationError(option, f"wanted a whole number from {least} to {most}", given=given)
    if interval not in get_args(Method):
        raise ConfigurationError("interval", "wanted 't' or 'bootstrap'", given=interval)
    if until and not max(2, replications) <= at_most <= 10_000:
        wanted = f"wanted a whole number from the first {max(2, replications)} replications to 10000"
        raise ConfigurationError("at-most", wanted, given=at_most)
    started = time.perf_counter()
    resolved = variants_of(scenario, variants.items())
    scenarios = {scenario.name: scenario, **resolved}
    options = {"scale": scale, "days": days, "threads": threads, "slice_us": slice_us, "engine": engine}
    shown = _Together(progress) if progress else None
    seeds: list[int] = []
    runs: list[_Run] = []
    n = max(2, replications) if until else replications
    here = executor is None and workers is None
    with contextlib.nullcontext() if here else open_pool(executor, workers) as pool:
        while True:
            further = [(k, replication_seed(seed, k)) for k in range(len(seeds), n)]
            seeds += [own for _, own in further]
            if shown:
                shown.expect(len(further) * sum(_days(one, days) for one in scenarios.values()))
            if pool is None:
                runs += _here(scenarios, further, options, shown)
            else:
                runs += _elsewhere(scenarios, further, options, shown, pool)
            values = _values(runs, scenarios)
            found = Comparison(
                baseline=scenario,
                variants=resolved,
                seed=seed,
                seeds=tuple(seeds),
                options=options,
                values=values.drop("point"),
                effects=differences(values, list(scenarios), interval).drop("point"),
                until=dict(until or {}),
                attempts=sum(attempts for _, _, attempts, _ in runs),
                wall_s=time.perf_counter() - started,
            )
            if n >= at_most or (n := _next_look(found, at_most)) == len(seeds):
                return found


def _next_look(found: Comparison, at_most: int) -> int:
    """Return with how many replications to look again: as many as seem to be needed, at most twice those there are."""
    n = len(found.seeds)
    missing = found.needed().filter(pl.col("half_width") > pl.col("wished"))
    if missing.is_empty():
        return n
    needed = missing["needed"].max()
    assert isinstance(needed, int)
    return min(max(needed, n + 1), 2 * n, at_most)


def parse_wish(text: str) -> tuple[str, float]:
    """Read one METRIC=WIDTH of the command line."""
    metric, equals, width = text.rpartition("=")
    try:
        wished = float(width)
    except ValueError:
        wished = float("nan")
    if not equals or not wished > 0:
        wanted = "wanted METRIC=WIDTH, a number above 0, such as 'voice.interception ratio=0.001'"
        raise ConfigurationError("--until", wanted, given=text)
    return metric.strip(), wished


_Run = tuple[int, str, int, list[tuple[str, float]]]
"""The replication and variant of a run, its attempts, and its estimates by metric."""


def _days(scenario: Scenario, days: int | None) -> int:
    return scenario.period.warm_up_days + (scenario.period.days if days is None else days)


def _here(
    scenarios: Mapping[str, Scenario],
    replications: Iterable[tuple[int, int]],
    options: dict[str, Any],
    shown: _Together | None,
) -> Iterator[_Run]:
    """Make the runs of replications in this process, one after the other."""
    baseline = next(iter(scenarios))
    for n, seed in replications:
        for name, scenario in scenarios.items():
            with contextlib.nullcontext() if name == baseline else told_within(f"variant {name!r}"):
                result = run(scenario, seed=seed, progress=shown, **options)
            yield n, name, *_kept(result)
            if shown:
                shown.end_run()


def _elsewhere(
    scenarios: Mapping[str, Scenario],
    replications: Iterable[tuple[int, int]],
    options: dict[str, Any],
    shown: _Together | None,
    pool: Pool,
) -> Iterator[_Run]:
    """Make the runs of replications by an executor, on one thread each."""
    packed = {name: Prepared.of(scenario).packed for name, scenario in scenarios.items()}
    seeds = dict(replications)
    tasks = {f"{n}/{name}": (n, name) for n in seeds for name in scenarios}
    alone = {**options, "threads": 1}
    work = (Task(task, _made, (packed[name], seeds[n], alone)) for task, (n, name) in tasks.items())
    for outcome in carry_out(pool, work):
        n, name = tasks[outcome.name]
        if outcome.error is not None:
            raise ResultsError(f"{name}, seed {seeds[n]}: {outcome.error}")
        yield n, name, *outcome.value
        if shown:
            shown(_days(scenarios[name], options["days"]), 0, outcome.value[0])
            shown.end_run()


def _made(packed: bytes, seed: int, options: dict[str, Any]) -> tuple[int, list[tuple[str, float]]]:
    """Make a run, in a worker."""
    return _kept(run(pickle.loads(packed), seed=seed, **options))  # noqa: S301  our own bytes


def _kept(result: RunResult) -> tuple[int, list[tuple[str, float]]]:
    return result.attempts, [*result.summary.select("metric", "value").iter_rows(), *by_hub(result.daily)]


def _values(runs: Iterable[_Run], variants: Iterable[str]) -> pl.DataFrame:
    """Return the frame (point, replication, variant, metric, value) of runs, by variant and replication."""
    rank = {name: place for place, name in enumerate(variants)}
    ordered = sorted(runs, key=lambda run: (rank[run[1]], run[0]))
    rows = [(0, n, name, metric, value) for n, name, _, estimates in ordered for metric, value in estimates]
    schema = {
        "point": pl.Int64,
        "replication": pl.Int64,
        "variant": pl.String,
        "metric": pl.String,
        "value": pl.Float64,
    }
    return pl.DataFrame(rows, schema, orient="row")


def variants_of(scenario: Scenario, named: Iterable[tuple[str, Mapping[str, Any] | Scenario]]) -> dict[str, Scenario]:
    """Return the scenarios that variants of a scenario are, by their names.

    Raise ConfigurationError where there is none, a name is used twice or is the baseline's, or a change does not fit.
    """
    found: dict[str, Scenario] = {}
    for name, change in named:
        if name in found or name == scenario.name:
            whose = "two variants have" if name in found else "the baseline has"
            raise ConfigurationError(f"variant {name!r}", f"{whose} this name; give it another")
        with told_within(f"variant {name!r}"):
            found[name] = change if isinstance(change, Scenario) else scenario.replace(change)
    if not found:
        raise ConfigurationError("variants", f"wanted at least one to set beside {scenario.name!r}")
    return found


def parse_variant(text: str) -> tuple[str, dict[str, Any]]:
    """Read one 'NAME: PATH=VALUE, ...' of the command line as a name and what it changes."""
    name, colon, settings = text.partition(":")
    if not colon or not name.strip() or "=" in name:
        example = "'list in 1 h: policies.reject-listed-numbers.delay=1h'"
        raise ConfigurationError("--variant", f"wanted 'NAME: PATH=VALUE, ...', such as {example}", given=text)
    return name.strip(), dict(parse_settings(settings, "--variant"))


class _Together:
    """Tells the progress of several runs as that of one."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._days = 0
        self._before = (0, 0)
        self._now = (0, 0)

    def expect(self, days: int) -> None:
        """Count so many days more to come."""
        self._days += days

    def __call__(self, done: int, _of: int, attempts: int) -> None:
        self._now = (self._before[0] + done, self._before[1] + attempts)
        self._progress(self._now[0], self._days, self._now[1])

    def end_run(self) -> None:
        """Count what follows from here on."""
        self._before = self._now
