"""What a run gives: estimates with intervals, frames, targets, a digest, and the directory they are kept in.

Estimates are ratios: what a line group was counted to do over its latent attempts, times the latent attempts
that are expected of it in the full-size world, which are known exactly. Intervals come from a jackknife over
folds of lines and mean what another seed would give.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import json
import math
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from interceptsim.errors import ConfigurationError, ResultsError
from interceptsim.scenario import Scenario
from interceptsim.shown import Shown
from interceptsim.tables import validated

__all__ = [
    "Estimate",
    "Replicates",
    "RunResult",
    "Target",
    "by_t",
    "digest_of",
    "open_run",
    "t_quantile",
]


@dataclass(frozen=True)
class Estimate:
    """An estimate for the full-size world with its 95 % interval, `low` to `high`."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Target:
    """A reported figure beside the simulated one.

    `reported` is prorated to the simulated days; `role` says whether the scenario was fitted to the figure
    or predicts it; `ratio` is simulated over reported.
    """

    id: str
    role: Literal["fitted", "predicted"]
    reported: float
    simulated: float
    low: float
    high: float
    ratio: float
    prorated: bool


def by_t(values: Sequence[float]) -> Estimate:
    """Return the mean of two or more values with its 95 % interval by Student's t.

    Values that are all the same give an interval of no width.
    """
    n = len(values)
    mean = float(np.mean(values))
    reach = t_quantile(0.975, n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Estimate(mean, mean - reach, mean + reach)


@functools.cache
def t_quantile(p: float, freedom: int) -> float:
    """Return Student's t quantile for `p` between 0 and 1 and one or more degrees of freedom, to eight digits.

    Found by halving the angle whose probability is a finite sum; beyond 200 degrees the expansion 26.7.5 of Abramowitz
    and Stegun is as good.
    """
    if freedom > 200:
        z = NormalDist().inv_cdf(p)
        terms = (
            z,
            (z**3 + z) / 4,
            (5 * z**5 + 16 * z**3 + 3 * z) / 96,
            (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
            (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
        )
        return sum(term / freedom**k for k, term in enumerate(terms))
    low, high = -math.pi / 2, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_probability(middle, freedom) < p else (low, middle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _t_probability(angle: float, freedom: int) -> float:
    """Return P(t <= sqrt(freedom) tan(angle)) of Student's t (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    odd = freedom % 2
    term = math.cos(angle) ** odd
    total = 0.0
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= (power + 1) / (power + 2) * math.cos(angle) ** 2
    within = math.sin(angle) * total
    return (1 + ((angle + within) * 2 / math.pi if odd else within)) / 2


@dataclass(frozen=True)
class Replicates:
    """An estimate and its values with each group of lines left out: what intervals are made from.

    `value` is the estimate of a full-size total, `left_out` float64 with one value a fold.
    """

    value: float
    left_out: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        counted: NDArray[np.int64],
        base: NDArray[np.int64],
        expected: NDArray[np.float64],
        strata: NDArray[np.float64],
    ) -> Replicates:
        """Estimate a total from counts by fold and line group (int64, folds x groups).

        `strata` (float64, groups x strata) sums groups to strata, by their weights. Each stratum contributes
        the ratio of what was counted to `base`, both over all its lines, times the `expected` base of the
        full-size world (float64, groups), which is known: so the luck of the draw in how many attempts the
        lines make, and in which stratum, cancels. A fold that holds all there is of a stratum leaves that
        stratum's ratio as it is.
        """
        counted_in, base_in = counted @ strata, base @ strata
        x, y = counted_in.sum(axis=0), base_in.sum(axis=0)
        ratio = np.divide(x, y, out=np.zeros(len(y)), where=y > 0)
        rest = y - base_in
        whole = np.broadcast_to(ratio, rest.shape).copy()
        left = np.divide(x - counted_in, rest, out=whole, where=rest > 1e-9 * y)
        totals = expected @ (strata > 0)
        return cls(float(ratio @ totals), left @ totals)

    def over(self, other: Replicates) -> Replicates:
        """Return the ratio of two estimates."""
        safe = np.where(other.left_out == 0, 1.0, other.left_out)
        return Replicates(self.value / (other.value or 1.0), self.left_out / safe)

    def plus(self, other: Replicates) -> Replicates:
        """Return the sum of two estimates."""
        return Replicates(self.value + other.value, self.left_out + other.left_out)

    def times(self, factor: float) -> Replicates:
        """Return an estimate multiplied by what is known."""
        return Replicates(self.value * factor, self.left_out * factor)

    def estimate(self, lines: float, whole: float, confidence: float = 0.95) -> Estimate:
        """Return the estimate with its delete-a-group jackknife interval (Kott, J. Official Statistics 17, 2001).

        Folds that do not differ, because nothing was counted, or everything, or all in one fold, tell nothing: then
        it reaches as far as the rule of three, 3 over the number of `lines`, of `whole`.
        """
        folds = len(self.left_out)
        spread = float(np.sqrt((folds - 1) / folds * np.sum((self.left_out - self.value) ** 2)))
        if spread > 1e-12 * self.value:
            reach = t_quantile(0.5 + confidence / 2, folds - 1) * spread
        else:
            reach = min(3.0 / max(lines, 1), 1.0) * max(whole, self.value)
        return Estimate(self.value, max(self.value - reach, 0.0), self.value + reach)


def digest_of(metrics: dict[str, int], arrays: list[NDArray[np.int64]]) -> str:
    """Return the digest of all integer results: the same for the same model, however it was computed."""
    hasher = blake2b(digest_size=16)
    hasher.update(json.dumps(metrics, sort_keys=True).encode())
    for array in arrays:
        hasher.update(str(array.shape).encode())
        hasher.update(np.ascontiguousarray(array, "<i8").reshape(-1).data)
    return hasher.hexdigest()


_OPTIONAL_FRAMES = ("harm", "harm_daily", "desks", "stories", "truth", "changes", "warm_up")


@dataclass(frozen=True, repr=False)
class RunResult(Shown):
    """Everything a run found.

    summary    frame (metric, value, low, high, unit, status): estimates for the full-size world
    daily      frame (date, channel, entry, hub, line_group, fraud_type, reason, outcome, count, weight):
               attempts counted at the run's scale, each standing for `weight` of the full-size world
    harm       frame (date, fraud_type, province, age_band, measure, count, weight) of people at risk, by month, or None
    harm_daily frame (date, fraud_type, measure, count, weight) of all that the response did, by day, or None
    desks      frame of waits and staff by desk and tier, see `Harm.desks`, or None
    stories    frame (person, time_us, event, policy, fen, fraud_type, province, age_band, a_number, b_number) of all
               that happened to recorded people, the warm-up's too, or None; see `story`
    decisions  frame of recorded attempts, or None
    truth      frame (line_id, hub, campaign, fraud_type, weight) beside it, or None
    changes    frame (time_us, policy, line_id, generation, a_number, from_us) of all that control posted, the
               warm-up's too, beside it, or None; times are UTC microseconds
    warm_up    frame of the warm-up's attempts, where a rule of the chain remembers numbers over midnight, or None
    metrics    the integer counts behind it all
    ordinary_time_ratio  which part of the processor time that lines took went to ordinary callers; None where it was
               not measured
    """

    scenario: Scenario
    seed: int
    scale: int
    days: int
    slice_us: int
    threads: int
    engine: str
    attempts: int
    metrics: dict[str, int]
    targets: tuple[Target, ...]
    summary: pl.DataFrame
    daily: pl.DataFrame
    harm: pl.DataFrame | None
    harm_daily: pl.DataFrame | None
    desks: pl.DataFrame | None
    stories: pl.DataFrame | None
    decisions: pl.DataFrame | None
    truth: pl.DataFrame | None
    changes: pl.DataFrame | None
    wall_s: float
    compile_s: float
    peak_rss_bytes: int
    digest: str
    warm_up: pl.DataFrame | None = None
    ordinary_time_ratio: float | None = None

    def __repr__(self) -> str:
        """Return what was run, in a line."""
        return f"RunResult({self.scenario.name}, seed {self.seed}, 1:{self.scale}, {self.days} days, {self.digest})"

    def as_json(self) -> dict[str, Any]:
        """Return what `interceptsim run --json` prints."""
        return {
            "scenario": self.scenario.name,
            "seed": self.seed,
            "scale": self.scale,
            "days": self.days,
            "slice_s": self.slice_us / 1e6,
            "threads": self.threads,
            "engine": self.engine,
            "attempts": self.attempts,
            "metrics": self.metrics,
            "targets": [asdict(target) for target in self.targets],
            "wall_s": round(self.wall_s, 4),
            "compile_s": round(self.compile_s, 4),
            "attempts_per_s": round(self.attempts / self.wall_s, 1) if self.wall_s else 0.0,
            "peak_rss_bytes": self.peak_rss_bytes,
            "digest": self.digest,
        }

    def estimate(self, metric: str) -> Estimate:
        """Return one row of the summary; raise KeyError for a metric that is not there."""
        row = self.summary.filter(pl.col("metric") == metric)
        if row.is_empty():
            raise KeyError(metric)
        return Estimate(*row.select("value", "low", "high").row(0))

    def story(self, who: int | str) -> pl.DataFrame:
        """Return one person's or one number's story, frame (time, event, policy, yuan) in order, local time.

        `who` is a person of `stories`, or a number. Of a number it tells its first and last recorded attempt of each
        outcome, when lists had it, and whom it brought to fall for fraud. Raise ConfigurationError where the run has
        recorded nothing of it, with what can be asked for.
        """
        if self.stories is None or self.decisions is None:
            raise ConfigurationError("story", "this run recorded nothing; run it with --record sample or all")
        told = self.stories.filter(pl.col("person").cast(pl.String) == str(who))
        if told.is_empty():
            told = self._story_of_number(str(who))
        if told.is_empty():
            first = ", ".join(map(str, self.stories["person"].unique(maintain_order=True).head(3)))
            wanted = f"no recorded person or number; the first people are {first}" if first else "nobody is recorded"
            raise ConfigurationError("story", wanted, given=who)
        time = pl.from_epoch("time_us", "us").dt.offset_by("8h").alias("time")
        return told.sort("time_us", maintain_order=True).select(time, "event", "policy", yuan=pl.col("fen") / 100)

    def _story_of_number(self, number: str) -> pl.DataFrame:
        assert self.decisions is not None
        assert self.stories is not None
        assert self.changes is not None
        own = pl.col("a_number").cast(pl.String) == number
        attempts = self.decisions.filter(own).with_columns(
            event=pl.col("outcome") + ", the first of " + pl.len().over("outcome").cast(pl.String)
        )
        last = attempts.group_by("outcome", maintain_order=True).agg(pl.col("time_us").last(), pl.col("reason").last())
        parts = [
            attempts.group_by("outcome", maintain_order=True).agg(
                pl.col("time_us").first(), event=pl.col("event").first(), policy=pl.col("reason").first()
            ),
            last.select("time_us", event=pl.col("outcome") + ", the last", policy=pl.col("reason")),
            self.changes.filter(own).select("time_us", event=pl.lit("is put on a list"), policy=pl.col("policy")),
            self.changes.filter(own).select(
                time_us=pl.col("from_us"), event=pl.lit("is listed from here"), policy=pl.col("policy")
            ),
            self.stories.filter(own & (pl.col("event") == "falls for it")).select(
                "time_us", event=pl.lit("somebody falls for it: ") + pl.col("person").cast(pl.String), policy=pl.lit("")
            ),
        ]
        return pl.concat([part.select("time_us", "event", "policy") for part in parts]).with_columns(fen=pl.lit(0))

    def save(self, folder: str | Path) -> Path:
        """Write the run as a directory and return its path.

        It is written aside and renamed, so that nothing unfinished ever bears its name. Raise ResultsError
        where something is there already or the place cannot be written.
        """
        path = Path(folder)
        with writing_aside(path) as aside:
            self.write_into(aside)
        return path

    def write_into(self, aside: Path) -> None:
        """Write the files of a run into an existing directory."""
        manifest = {
            **self.as_json(),
            "ordinary_time_ratio": self.ordinary_time_ratio,
            "resolved_scenario": self.scenario.as_dict(),
            **provenance(),
        }
        self.summary.write_parquet(aside / "summary.parquet")
        self.daily.write_parquet(aside / "daily.parquet")
        if self.decisions is not None and not (aside / "decisions.parquet").exists():
            self.decisions.write_parquet(aside / "decisions.parquet")
        for name in _OPTIONAL_FRAMES:
            frame = getattr(self, name)
            if frame is not None:
                frame.write_parquet(aside / f"{name}.parquet")
        (aside / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False), "utf-8")


def provenance() -> dict[str, Any]:
    """Return what every manifest says of its making: when, by what versions, on what machine."""
    return {
        "written": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in ("interceptsim", "simpy", "numpy", "polars", "numba")},
        "machine": {
            "python": platform.python_version(),
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
        },
    }


@contextlib.contextmanager
def writing_aside(path: Path) -> Iterator[Path]:
    """Give a new directory beside `path` that takes its name when the block ends well.

    Otherwise it goes, and with it the directories above that were made for it.
    """
    if os.path.lexists(path):
        raise ResultsError(f"{path}: something is there already; choose another directory")
    made = [parent for parent in path.parents if not os.path.lexists(parent)]
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        aside.mkdir(parents=True)
        yield aside
        aside.rename(path)
    except OSError as error:
        raise ResultsError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        with contextlib.suppress(OSError):  # they are not empty where all went well
            for parent in made:
                parent.rmdir()


def open_run(folder: str | Path) -> RunResult:
    """Return the run that `RunResult.save` or `interceptsim run --out` wrote.

    Raise ResultsError where the directory is none or is damaged.
    """
    path = Path(folder)
    try:
        manifest = json.loads((path / "manifest.json").read_text("utf-8"))
        frames = {
            name: pl.read_parquet(path / f"{name}.parquet") if (path / f"{name}.parquet").exists() else None
            for name in ("summary", "daily", "decisions", *_OPTIONAL_FRAMES)
        }
        summary, daily = frames["summary"], frames["daily"]
        if summary is None or daily is None:
            raise ResultsError(f"{path}: not a whole run: summary.parquet or daily.parquet is missing")
        return RunResult(
            scenario=validated(Scenario, manifest["resolved_scenario"], str(path / "manifest.json")),
            summary=summary,
            daily=daily,
            decisions=frames["decisions"],
            harm=frames["harm"],
            harm_daily=frames["harm_daily"],
            desks=frames["desks"],
            stories=frames["stories"],
            truth=frames["truth"],
            changes=frames["changes"],
            warm_up=frames["warm_up"],
            targets=tuple(Target(**target) for target in manifest["targets"]),
            slice_us=round(manifest["slice_s"] * 1e6),
            ordinary_time_ratio=manifest.get("ordinary_time_ratio"),
            **{
                name: manifest[name]
                for name in (
                    "seed",
                    "scale",
                    "days",
                    "threads",
                    "engine",
                    "attempts",
                    "metrics",
                    "wall_s",
                    "compile_s",
                    "peak_rss_bytes",
                    "digest",
                )
            },
        )
    except FileNotFoundError:
        raise ResultsError(f"{path}: not a run: there is no manifest.json") from None
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError, ConfigurationError) as error:
        raise ResultsError(f"{path}: damaged run: {error}") from None
