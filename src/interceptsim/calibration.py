"""Calibration: the latent volume and one strength a channel, so that the rules give the reported figure.

A reported count of intercepted attempts is a numerator only; the interception ratio is assumed. For each
target, in the order of the scenario, the strength is searched so that the rules intercept that share of the
attempts made, and the volume follows, since counts are proportional to it. The ratio is a mean over several
seeds, none of which is a seed that users would pick.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from interceptsim import ledger
from interceptsim.errors import ConfigurationError
from interceptsim.randomness import replication_seed
from interceptsim.results import RunResult
from interceptsim.scenario import CalibrationTarget, Fitted, Scenario
from interceptsim.scenario_files import find_scenario
from interceptsim.simulation import run

__all__ = ["CalibrationResult", "calibrate", "write_fitted"]

_ROOT = 2_025_0101  # the seeds of calibration are hashes of this and their number
_CLOSE = 0.0005  # how near the ratio has to come


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
        under = f"an interception ratio of {self.interception_ratio:g} (assumed)"
        values = {self.volume_path: self.volume, self.strength_path: self.strength}
        return {path: Fitted(value=value, figure=self.figure, under=under) for path, value in values.items()}


def calibrate(
    scenario: Scenario,
    *,
    scale: int = 200,
    seeds: int = 4,
    threads: int | None = None,
    only: Sequence[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[Scenario, list[CalibrationResult]]:
    """Solve the scenario's calibration targets; return it with the solved values, and what was found.

    `only` names those to solve, by their ids; the others keep the values that they have.

    Raise ConfigurationError where a scenario names no target, or no strength between a target's bounds
    reaches its ratio.
    """
    if not scenario.calibration:
        raise ConfigurationError(scenario.name, "has no [[calibration]] entry to solve")

    def trial(changed: Scenario) -> list[RunResult]:
        return [run(changed, seed=replication_seed(_ROOT, n), scale=scale, threads=threads) for n in range(seeds)]

    found = []
    for target in scenario.calibration:
        if only is not None and target.id not in only:
            continue
        result = _solve_target(scenario, target, trial, progress or (lambda _: None))
        found.append(result)
        scenario = scenario.fit(result.fitted())
    return scenario, found


def _solve_target(
    scenario: Scenario,
    target: CalibrationTarget,
    trial: Callable[[Scenario], list[RunResult]],
    progress: Callable[[str], None],
) -> CalibrationResult:
    """Find the strength that gives the assumed ratio, then the volume that gives the reported count."""
    figure = ledger.figure(target.figure)
    runs: list[RunResult] = []

    def mean(metric: str) -> float:
        return sum(r.estimate(f"{target.channel}.{metric}").value for r in runs) / len(runs)

    def ratio_at(strength: float) -> float:
        runs[:] = trial(scenario.replace({target.strength: strength}))
        ratio = mean("interception ratio")
        progress(f"{target.figure}: {target.strength} = {strength:.5f} gives a ratio of {ratio:.4f}")
        return ratio

    where = f"{scenario.name}: calibration.{target.id}"
    strength, reached = _solve(ratio_at, target.interception_ratio, target.low, target.high, where)
    reported = figure.value * runs[0].days / target.days
    latent = getattr(scenario.traffic, target.channel).latent * reported / mean("intercepted")
    return CalibrationResult(
        figure=target.figure,
        reported=figure.value,
        interception_ratio=target.interception_ratio,
        reached_ratio=reached,
        strength_path=target.strength,
        strength=strength,
        volume_path=target.volume,
        volume=f"{latent:.6g}/year",
    )


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


def write_fitted(name: str | Path, found: list[CalibrationResult], out: Path) -> None:
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
