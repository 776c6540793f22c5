"""Calibration: the latent volume and one strength a channel, so that the rules give the reported figure.

A reported count of intercepted attempts is a numerator only; the interception ratio is assumed. For each
target, in the order of the scenario, the strength is searched so that the rules intercept that share of the
attempts made, and the volume follows, since counts are proportional to it. The ratio is a mean over several
seeds, none of which is a seed that users would pick. Strengths of the response are then solved one by one, each for a
count of its own.

`residuals` holds a scenario against targets with seeds that no fit has seen. `predict` asks what one year's scenario
says of another year, when nothing but the volume is changed.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from interceptsim.errors import ConfigurationError, nearest_name
from interceptsim.randomness import replication_seed
from interceptsim.results import Estimate, RunResult, by_t
from interceptsim.scenario import CalibrationTarget, Fitted, Scenario, StrengthTarget
from interceptsim.scenario_files import find_scenario
from interceptsim.simulation import run
from interceptsim.tables import value_at
from interceptsim.targets import Reported, targets_of
from interceptsim.units import parse_volume

__all__ = ["CalibrationResult", "StrengthResult", "calibrate", "is_solved", "predict", "residuals", "write_fitted"]

_ROOT = 2_025_0101  # the seeds of calibration are hashes of this and their number
_CLOSE = 0.0005  # how near the ratio has to come
_UNSEEN = 1000  # where the numbers of seeds begin that no fit uses

_RESIDUALS: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("id", "role", "quantity"), pl.String),
    **dict.fromkeys(("reported", "simulated", "low", "high", "residual", "ratio"), pl.Float64),
    "prorated": pl.Boolean,
}


@dataclass(frozen=True)
class CalibrationResult:
    """One solved target: what it was fitted to and the two values that were found."""

    figure: str
    reported: float
    interception_ratio: float
    reached_ratio: float
    strength_path: str
    strength: float
    volume_path: str
    volume: str

    def fitted(self) -> dict[str, Fitted]:
        """Return the two values by their paths, with the figure and the assumption behind them."""
        under = _under(self.interception_ratio)
        values = {self.volume_path: self.volume, self.strength_path: self.strength}
        return {path: Fitted(value=value, figure=self.figure, under=under) for path, value in values.items()}

    def told(self) -> str:
        """Say what was found."""
        return (
            f"{self.figure}: ratio {self.reached_ratio:.4f} (assumed {self.interception_ratio:g}) with "
            f"{self.strength_path} = {self.strength:g}, {self.volume_path} = {self.volume}"
        )


@dataclass(frozen=True)
class StrengthResult:
    """One solved strength: the figure and quantity that it was fitted to, and the ratio of simulated to reported."""

    figure: str
    reported: float
    quantity: str
    reached_ratio: float
    strength_path: str
    strength: float

    def fitted(self) -> dict[str, Fitted]:
        """Return the value by its path, with the figure and what it was fitted by."""
        return {self.strength_path: Fitted(value=self.strength, figure=self.figure, under=_by(self.quantity))}

    def told(self) -> str:
        """Say what was found."""
        return (
            f"{self.figure}: {self.quantity} is {self.reached_ratio:.4f} of it with "
            f"{self.strength_path} = {self.strength:g}"
        )


def _by(quantity: str) -> str:
    return f"the quantity {quantity}"


def _under(interception_ratio: float) -> str:
    return f"an interception ratio of {interception_ratio:g} (assumed)"


def is_solved(scenario: Scenario, entry: CalibrationTarget) -> bool:
    """Tell whether an entry's volume and strength are what was fitted to its figure under its ratio."""
    found = (scenario.fitted.get(path) for path in (entry.volume, entry.strength))
    wanted = (entry.figure, _under(entry.interception_ratio))
    return all(value is not None and (value.figure, value.under) == wanted for value in found)


def calibrate(
    scenario: Scenario,
    *,
    scale: int = 200,
    seeds: int = 4,
    threads: int | None = None,
    targets: Sequence[Reported] | None = None,
    only: Sequence[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[Scenario, list[CalibrationResult | StrengthResult]]:
    """Solve the scenario's calibration entries and strengths; return it with the solved values, and what was found.

    `targets`, where given, take the place of the ledger's figures: an entry is solved for the one whose quantity is
    what its channel intercepts, a strength for that of its quantity, and left as it is where there is none. `only`
    names the entries and strengths to solve, by their ids.

    Raise ConfigurationError where a scenario has no entry, none has a target, or no strength between an entry's bounds
    reaches its ratio.
    """
    if not scenario.calibration and not scenario.strengths:
        raise ConfigurationError(scenario.name, "has no [[calibration]] entry to solve")

    def trial(changed: Scenario) -> list[RunResult]:
        return [run(changed, seed=replication_seed(_ROOT, n), scale=scale, threads=threads) for n in range(seeds)]

    figures = {target.quantity: target for target in targets_of(scenario) if targets is None}
    figures |= {target.quantity: target for target in targets or ()}
    found: list[CalibrationResult | StrengthResult] = []
    for entry in scenario.calibration:
        figure = figures.get(f"{entry.channel}.intercepted")
        if figure is None or (only is not None and entry.id not in only):
            continue
        result = _solve_entry(scenario, entry, figure, trial, progress or (lambda _: None))
        found.append(result)
        scenario = scenario.fit(result.fitted())
    for wanted_strength in scenario.strengths:
        figure = figures.get(wanted_strength.quantity)
        if figure is None or (only is not None and wanted_strength.id not in only):
            continue
        solved = _solve_strength(scenario, wanted_strength, figure, trial, progress or (lambda _: None))
        found.append(solved)
        scenario = scenario.fit(solved.fitted())
    if not found:
        quantities = [f"{entry.channel}.intercepted" for entry in scenario.calibration]
        wanted = " or ".join([*quantities, *(entry.quantity for entry in scenario.strengths)])
        raise ConfigurationError("targets", f"none to fit to; wanted the quantity {wanted}")
    return scenario, found


def residuals(
    scenario: Scenario,
    targets: Sequence[Reported] | None = None,
    *,
    fitted: Sequence[CalibrationResult | StrengthResult] = (),
    scale: int = 200,
    seeds: int = 4,
    threads: int | None = None,
) -> pl.DataFrame:
    """Hold a scenario against targets, by default the figures that its calibration names, with seeds no fit has seen.

    Frame (id, role, quantity, reported, simulated, low, high, residual, ratio, prorated): `simulated` is a mean over
    `seeds` with its 95 % interval by Student's t (of one run the jackknife's), `reported` prorated to the scenario's
    days where they are others, `residual` simulated minus reported. A target that is among those `fitted`, or that the
    scenario says it was fitted to, is no evidence.

    Raise ConfigurationError for a quantity that is no metric.
    """
    chosen = targets_of(scenario) if targets is None else targets
    runs = [
        run(scenario, seed=replication_seed(_ROOT, _UNSEEN + n), scale=scale, threads=threads) for n in range(seeds)
    ]
    known = {result.figure for result in fitted} | {entry.figure for entry in scenario.fitted.values()}
    rows = []
    for target in chosen:
        estimate = _mean(runs, target.quantity)
        reported = target.value * runs[0].days / target.days
        role = "fitted" if target.id in known else "predicted"
        numbers = (estimate.value, estimate.low, estimate.high, estimate.value - reported, estimate.value / reported)
        rows.append((target.id, role, target.quantity, reported, *numbers, runs[0].days != target.days))
    return pl.DataFrame(rows, _RESIDUALS, orient="row")


def predict(
    scenario: Scenario,
    targets: Sequence[Reported],
    by: str,
    *,
    scale: int = 200,
    seeds: int = 4,
    threads: int | None = None,
) -> tuple[Scenario, float, pl.DataFrame]:
    """Predict targets of another period from a scenario by changing its volumes alone, all by one factor.

    The factor is the one that meets the target whose id is `by`. Return the scenario over the targets' period with the
    changed volumes, the factor, and the frame of `residuals`, whose role is "sets the volume" for that target and
    "predicted" for all others.

    Raise ConfigurationError where targets are of several periods, `by` is none of them or nothing of it is counted, or
    the scenario's calibration names no volume.
    """
    ids = [target.id for target in targets]
    if by not in ids:
        raise ConfigurationError("predict", f"no target {by!r}", nearest=nearest_name(by, ids))
    if len({target.period for target in targets}) > 1:
        raise ConfigurationError("targets", "wanted targets of one period to predict")
    volumes = dict.fromkeys(entry.volume for entry in scenario.calibration)
    if not volumes:
        raise ConfigurationError(scenario.name, "has no [[calibration]] entry that names its volumes")
    target = targets[ids.index(by)]
    start, end = (day.isoformat() for day in target.period)
    there = scenario.replace({"period.start": start, "period.end": end})
    before = residuals(there, [target], scale=scale, seeds=seeds, threads=threads)["simulated"][0]
    if not before > 0:
        raise ConfigurationError("predict", f"nothing is counted of {target.quantity}, so no volume gives it", given=by)
    factor = target.value / before
    tables = there.as_dict()
    changed = {path: f"{parse_volume(value_at(tables, path)) * factor:.6g}/year" for path in volumes}
    there = there.replace(changed)
    found = residuals(there, targets, scale=scale, seeds=seeds, threads=threads)
    role = pl.when(pl.col("id") == by).then(pl.lit("sets the volume")).otherwise(pl.lit("predicted"))
    return there, factor, found.with_columns(role.alias("role"))


def _mean(runs: Sequence[RunResult], metric: str) -> Estimate:
    """Return the mean of a metric over runs with its interval."""
    known = runs[0].summary["metric"].to_list()
    if metric not in known:
        raise ConfigurationError("targets", f"no quantity {metric!r} in runs", nearest=nearest_name(metric, known))
    estimates = [result.estimate(metric) for result in runs]
    return estimates[0] if len(estimates) == 1 else by_t([estimate.value for estimate in estimates])


def _solve_entry(
    scenario: Scenario,
    target: CalibrationTarget,
    figure: Reported,
    trial: Callable[[Scenario], list[RunResult]],
    progress: Callable[[str], None],
) -> CalibrationResult:
    """Find the strength that gives the assumed ratio, then the volume that gives the reported count."""
    runs: list[RunResult] = []

    def mean(metric: str) -> float:
        return sum(r.estimate(f"{target.channel}.{metric}").value for r in runs) / len(runs)

    def ratio_at(strength: float) -> float:
        runs[:] = trial(scenario.replace({target.strength: strength}))
        ratio = mean("interception ratio")
        progress(f"{figure.id}: {target.strength} = {strength:.5f} gives a ratio of {ratio:.4f}")
        return ratio

    where = f"{scenario.name}: calibration.{target.id}"
    strength, reached = _solve(ratio_at, target.interception_ratio, target.low, target.high, where)
    reported = figure.value * runs[0].days / figure.days
    latent = getattr(scenario.traffic, target.channel).latent * reported / mean("intercepted")
    return CalibrationResult(
        figure=figure.id,
        reported=figure.value,
        interception_ratio=target.interception_ratio,
        reached_ratio=reached,
        strength_path=target.strength,
        strength=strength,
        volume_path=target.volume,
        volume=f"{latent:.6g}/year",
    )


def _solve_strength(
    scenario: Scenario,
    target: StrengthTarget,
    figure: Reported,
    trial: Callable[[Scenario], list[RunResult]],
    progress: Callable[[str], None],
) -> StrengthResult:
    """Find the strength with which a quantity is as reported."""

    def ratio_at(strength: float) -> float:
        runs = trial(scenario.replace({target.strength: strength}))
        reported = figure.value * runs[0].days / figure.days
        ratio = _mean(runs, target.quantity).value / reported
        progress(f"{figure.id}: {target.strength} = {strength:.5f} gives {ratio:.4f} of it")
        return ratio

    where = f"{scenario.name}: strengths.{target.id}"
    strength, reached = _solve(ratio_at, 1.0, target.low, target.high, where)
    return StrengthResult(figure.id, figure.value, target.quantity, reached, target.strength, strength)


def _solve(
    reached: Callable[[float], float], wanted: float, low: float, high: float, where: str
) -> tuple[float, float]:
    """Return a strength whose ratio is as wanted, and its ratio: false position, halving where that stalls."""
    at_low, at_high = reached(low), reached(high)
    if not min(at_low, at_high) <= wanted <= max(at_low, at_high):
        raise ConfigurationError(
            where,
            f"no strength from {low:g} to {high:g} gives the ratio: they give {at_low:.4f} to {at_high:.4f}",
            given=wanted,
        )
    for step in range(40):
        between = (wanted - at_low) / (at_high - at_low) if step % 3 < 2 else 0.5
        middle = round(low + (high - low) * min(max(between, 0.02), 0.98), 6)
        value = reached(middle)
        if abs(value - wanted) <= _CLOSE:
            return middle, value
        if (value < wanted) == (at_low < wanted):
            low, at_low = middle, value
        else:
            high, at_high = middle, value
    raise ConfigurationError(where, "the search for the strength did not end", given=wanted)


def write_fitted(name: str | Path, found: Sequence[CalibrationResult | StrengthResult], out: Path) -> None:
    """Write a scenario's file with a new table [fitted] at its end, saying where each value came from."""
    source = find_scenario(name)
    text = source.read_text(encoding="utf-8")
    kept = text.split("\n# Written by `interceptsim calibrate", 1)[0].rstrip()
    lines = [
        kept,
        "",
        f"# Written by `interceptsim calibrate {source.stem}`: these override what stands above.",
    ]
    for result in found:
        for path, entry in result.fitted().items():
            lines += ["", f'[fitted."{path}"]']
            lines += [f"{key} = {json.dumps(value)}" for key, value in entry.model_dump().items()]
    aside = out.parent / f".{out.name}.partial"
    try:
        aside.write_text("\n".join(lines) + "\n", encoding="utf-8")
        aside.replace(out)
    except OSError as error:
        raise ConfigurationError(str(out), f"cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()
