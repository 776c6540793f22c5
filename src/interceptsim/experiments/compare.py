"""Variants of a scenario beside it, over the same latent traffic: what differs is the variant's doing.

In each replication the scenario as it stands, the baseline, and every variant run with one seed. So each line makes
the same latent attempts with the same draws, and differences are taken replication by replication: their spread is
what the pairs differ by, not how much one year of traffic differs from another.

The interval of a difference is Student's t over the pairs, and has nothing to do with the jackknife intervals of single
runs. It takes the quantile that those need anyway, good to eight digits, so that no more than the core is installed.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from interceptsim.errors import ConfigurationError
from interceptsim.randomness import replication_seed
from interceptsim.results import Estimate, provenance, t_quantile, writing_aside
from interceptsim.scenario import Scenario
from interceptsim.simulation import Engine, Progress, recorded_bytes, run
from interceptsim.tables import parse_settings, told_within

__all__ = ["Comparison", "compare", "paired_t", "parse_variant", "variants_of"]

_MAKE_TRAFFIC = ("period", "population", "hubs", "traffic")

_Columns = dict[str, type[pl.DataType]]
_WINDOW_ROWS = 1_000_000

_ATTEMPT: _Columns = {"line_id": pl.UInt32, "ordinal": pl.UInt64}
_SHOWN: _Columns = {"time_us": pl.Int64, "channel": pl.UInt8, "a_number": pl.UInt64, "b_number": pl.UInt64}
_FATE: _Columns = {"verdict": pl.String, "reason": pl.String}


@dataclass(frozen=True)
class Comparison:
    """What variants change, and the runs it is known from.

    effects   frame (baseline, variant, metric, difference, low, high, replications, method): the mean over the
              replications of variant minus baseline, for the full-size world, with its 95 % interval; `low` and
              `high` are null where there is only one replication
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
    attempts: int
    wall_s: float

    @property
    def days(self) -> int:
        """How many days of the baseline's period were counted."""
        return self.options["days"] or self.baseline.period.days

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
        for name, variant in self.variants.items():
            for part in _MAKE_TRAFFIC:
                if getattr(variant, part) != getattr(self.baseline, part):
                    raise ConfigurationError(
                        f"variant {name!r}: {part}",
                        "differs from the baseline's, and only attempts of the same traffic can be set side by side",
                    )
        frames = []
        with self._recorded(self.baseline) as before:
            for name, variant in self.variants.items():
                with self._recorded(variant) as after:
                    for during in _windows(before):
                        flipped = _flipped(before.filter(during), after.filter(during))
                        frames.append(flipped.select(pl.lit(name).alias("variant"), pl.all()).collect())
        return pl.concat(frames)

    @contextlib.contextmanager
    def _recorded(self, scenario: Scenario) -> Iterator[pl.LazyFrame]:
        """Run a scenario with the first seed; give its attempts, which lie on the disk as long as they are needed."""
        with tempfile.TemporaryDirectory(prefix="interceptsim-") as folder:
            with told_within("flips"):
                recorded_bytes(scenario, self.options["scale"], self.options["days"], "all", Path(folder))
            run(scenario, seed=self.seeds[0], record="all", record_folder=Path(folder), **self.options)
            decisions = Path(folder, "decisions.parquet")
            if decisions.exists():
                yield pl.scan_parquet(decisions).select(*_ATTEMPT, *_SHOWN, *_FATE)
            else:  # not one attempt was made
                yield pl.LazyFrame(schema=_ATTEMPT | _SHOWN | _FATE)

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
            "attempts": self.attempts,
            "wall_s": round(self.wall_s, 4),
            "effects": self.effects.to_dicts(),
        }

    def save(self, folder: str | Path) -> Path:
        """Write `effects.parquet` and a manifest as a new directory, and return its path.

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
            "resolved_scenario": self.baseline.as_dict(),
            "resolved_variants": {name: variant.as_dict() for name, variant in self.variants.items()},
            **provenance(),
        }
        self.effects.write_parquet(aside / "effects.parquet")
        (aside / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False), "utf-8")


def compare(
    scenario: Scenario,
    variants: Mapping[str, Mapping[str, Any] | Scenario],
    *,
    replications: int = 5,
    seed: int = 1,
    scale: int = 1000,
    days: int | None = None,
    threads: int | None = None,
    slice_us: int | None = None,
    engine: Engine = "columnar",
    progress: Progress | None = None,
) -> Comparison:
    """Run a scenario and its variants over the same latent traffic and return what the variants change.

    A variant is given by its name and what it changes, as for `Scenario.replace`, or as a scenario of its own, such as
    one from `Scenario.with_policies`. Each replication has a seed of its own, hashed from `seed`; the other options
    are those of `run`. `progress` is called with the days of all runs together.

    Raise ConfigurationError for a variant or an option that does not fit.
    """
    for option, given, least, most in (("replications", replications, 1, 10_000), ("seed", seed, 0, 2**64 - 1)):
        if not least <= given <= most:
            raise ConfigurationError(option, f"wanted a whole number from {least} to {most}", given=given)
    started = time.perf_counter()
    resolved = variants_of(scenario, variants.items())
    chosen = {scenario.name: scenario, **resolved}
    seeds = tuple(replication_seed(seed, n) for n in range(replications))
    options: dict[str, Any] = {
        "scale": scale,
        "days": days,
        "threads": threads,
        "slice_us": slice_us,
        "engine": engine,
    }
    counted = [s.period.warm_up_days + (s.period.days if days is None else days) for s in chosen.values()]
    shown = _Together(progress, replications * sum(counted)) if progress else None
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in chosen}
    attempts = 0
    for replicated in seeds:
        for name, one in chosen.items():
            with told_within(f"variant {name!r}") if name in resolved else contextlib.nullcontext():
                result = run(one, seed=replicated, progress=shown, **options)
            runs[name].append(dict(result.summary.select("metric", "value").iter_rows()))
            attempts += result.attempts
            if shown:
                shown.end_run()
    return Comparison(
        baseline=scenario,
        variants=resolved,
        seed=seed,
        seeds=seeds,
        options=options,
        values=_values(runs),
        effects=_effects(runs, scenario.name),
        attempts=attempts,
        wall_s=time.perf_counter() - started,
    )


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

    def __init__(self, progress: Progress, days: int) -> None:
        self._progress = progress
        self._days = days
        self._before = (0, 0)
        self._now = (0, 0)

    def __call__(self, done: int, _of: int, attempts: int) -> None:
        self._now = (self._before[0] + done, self._before[1] + attempts)
        self._progress(self._now[0], self._days, self._now[1])

    def end_run(self) -> None:
        """Count what follows from here on."""
        self._before = self._now


def _values(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> pl.DataFrame:
    rows = [
        (n, name, metric, value)
        for name, estimates in runs.items()
        for n, one in enumerate(estimates)
        for metric, value in one.items()
    ]
    return pl.DataFrame(rows, ["replication", "variant", "metric", "value"], orient="row")


def _effects(runs: Mapping[str, Sequence[Mapping[str, float]]], baseline: str) -> pl.DataFrame:
    """Return the frame `effects` from estimates by run and replication.

    A metric that only one of a pair has is about a rule that the other has not, and there it settled nothing: 0.
    """
    schema = {
        **dict.fromkeys(("baseline", "variant", "metric"), pl.String),
        **dict.fromkeys(("difference", "low", "high"), pl.Float64),
        "replications": pl.Int64,
        "method": pl.String,
    }
    return pl.DataFrame(list(_effect_rows(runs, baseline)), schema, orient="row")


def _effect_rows(
    runs: Mapping[str, Sequence[Mapping[str, float]]], baseline: str
) -> Iterator[tuple[str, str, str, float, float | None, float | None, int, str]]:
    for variant, estimates in runs.items():
        if variant == baseline:
            continue
        pairs = list(zip(runs[baseline], estimates, strict=True))
        for metric in dict.fromkeys(metric for pair in pairs for one in pair for metric in one):
            differences = [after.get(metric, 0.0) - before.get(metric, 0.0) for before, after in pairs]
            if len(pairs) == 1:
                yield baseline, variant, metric, differences[0], None, None, 1, "one pair, no interval"
            else:
                found = paired_t(differences)
                yield baseline, variant, metric, found.value, found.low, found.high, len(pairs), "paired t"


def paired_t(differences: Sequence[float]) -> Estimate:
    """Return the mean of two or more paired differences with its 95 % interval by Student's t.

    Differences that are all the same give an interval of no width.
    """
    n = len(differences)
    mean = float(np.mean(differences))
    reach = t_quantile(0.975, n - 1) * float(np.std(differences, ddof=1)) / n**0.5
    return Estimate(mean, mean - reach, mean + reach)


def _windows(attempts: pl.LazyFrame) -> Iterator[pl.Expr]:
    """Yield spans of time, from the first to the last, that hold about a million of the attempts each.

    An attempt has the same time under every variant, so frames can be joined span by span, in little memory.
    """
    time_us = pl.col("time_us")
    n, first, last = attempts.select(pl.len(), time_us.min(), time_us.max().alias("last")).collect().row(0)
    parts = n // _WINDOW_ROWS + 1
    inner = (first + (last - first) * k // parts for k in range(1, parts))
    for low, high in itertools.pairwise((-(2**63), *inner, 2**63 - 1)):
        yield time_us.is_between(low, high, closed="left")


def _flipped(baseline: pl.LazyFrame, variant: pl.LazyFrame) -> pl.LazyFrame:
    """Return the attempts, by line and ordinal, whose verdict differs or that were made in one frame only."""
    before, after = pl.col("verdict"), pl.col("verdict_variant")
    change = (
        pl.when(after.is_null())
        .then(pl.lit("made under baseline only"))
        .when(before.is_null())
        .then(pl.lit("made under variant only"))
        .otherwise(pl.lit("verdict"))
    )
    return (
        baseline.join(variant, on=list(_ATTEMPT), how="full", coalesce=True, suffix="_variant")
        .filter(before.ne_missing(after))
        .select(
            *_ATTEMPT,
            *(pl.coalesce(name, f"{name}_variant") for name in _SHOWN),
            *(pl.col(name).alias(f"baseline_{name}") for name in _FATE),
            *(pl.col(f"{name}_variant").alias(f"variant_{name}") for name in _FATE),
            change.alias("change"),
        )
        .sort("time_us", *_ATTEMPT)
    )
