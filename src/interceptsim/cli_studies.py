"""What the commands of studies and of calibration do, once their options are read: run, and print.

The command line loads this module when one of them is called; whatever it needs, it needs at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from interceptsim.calibration import calibrate, predict, residuals, write_fitted
from interceptsim.compiled import cores
from interceptsim.experiments.design import Point
from interceptsim.experiments.foresee import foresee
from interceptsim.experiments.optimise import optimise
from interceptsim.experiments.profile import profile
from interceptsim.experiments.sensitivity import sensitivity, with_method
from interceptsim.experiments.store import Store
from interceptsim.experiments.study import Study
from interceptsim.experiments.sweep import sweep, sweep_so_far
from interceptsim.printing_studies import (
    print_foreseen,
    print_optimum,
    print_profile,
    print_residuals,
    print_sensitivities,
    print_sweep,
    run_bar,
)
from interceptsim.scenario import Scenario
from interceptsim.targets import Reported

__all__ = ["show_fit", "show_optimum", "show_prediction", "show_profile", "show_sensitivities", "show_sweep"]


def show_sweep(
    study: Study, *, dry_run: bool, so_far: bool, as_json: bool, store: str | None, **elsewhere: Any
) -> None:
    """Make a sweep, or say what it would take or what there is of it, and print that."""
    if dry_run:
        _show_foreseen(study, study.design.chosen(), store, elsewhere["workers"], as_json=as_json)
        return
    if so_far:
        found = sweep_so_far(study, store)
    else:
        with run_bar(study.name, shown=sys.stderr.isatty()) as progress:
            found = sweep(study, store=store, progress=progress, **elsewhere)
    if as_json:
        click.echo(json.dumps(found.as_json(), default=str))
    else:
        print_sweep(found)


def show_sensitivities(
    study: Study, *, method: str | None, dry_run: bool, as_json: bool, store: str | None, **elsewhere: Any
) -> None:
    """Find what a study's metrics hang on, or say what that would take, and print that."""
    study, steps = with_method(study, method)
    if dry_run:
        _show_foreseen(study, study.design.at(steps.fractions), store, elsewhere["workers"], as_json=as_json)
        return
    with run_bar(study.name, shown=sys.stderr.isatty()) as progress:
        found = sensitivity(study, store=store, progress=progress, **elsewhere)
    if as_json:
        click.echo(json.dumps(found.as_json(), default=str))
    else:
        print_sensitivities(found)


def show_optimum(study: Study, *, as_json: bool, store: str | None, **elsewhere: Any) -> None:
    """Search for a study's best points and print them."""
    with run_bar(study.name, shown=sys.stderr.isatty()) as progress:
        found = optimise(study, store=store, progress=progress, **elsewhere)
    if as_json:
        click.echo(json.dumps(found.as_json(), default=str))
    else:
        print_optimum(found)


def _show_foreseen(
    study: Study, points: Sequence[Point], store: str | None, workers: int | None, *, as_json: bool
) -> None:
    workers = workers or cores()
    foreseen = foresee(study, Store(store), workers, points)
    if as_json:
        click.echo(json.dumps(asdict(foreseen)))
    else:
        print_foreseen(study, foreseen, workers)


def show_fit(
    scenario: Scenario, targets: Sequence[Reported] | None, name: str, out: str | None, *, as_json: bool, **options: Any
) -> None:
    """Calibrate a scenario, print what was found and how it holds with other seeds, and write it to `out`."""
    solved, found = calibrate(scenario, targets=targets, progress=lambda text: click.echo(text, err=True), **options)
    left = residuals(solved, targets, fitted=found, **options)
    if as_json:
        click.echo(json.dumps({"fitted": [asdict(result) for result in found], "targets": left.to_dicts()}))
    else:
        for result in found:
            click.echo(result.told())
        print_residuals(left)
    if out is not None:
        write_fitted(name, found, Path(out))
        click.echo(f"written to {out}", err=as_json)


def show_prediction(scenario: Scenario, targets: Sequence[Reported], by: str, *, as_json: bool, **options: Any) -> None:
    """Print what a scenario says of the period of targets when its volumes alone are changed."""
    there, factor, found = predict(scenario, targets, by, **options)
    if as_json:
        click.echo(json.dumps({"scenario": scenario.name, "factor": factor, "targets": found.to_dicts()}))
        return
    span = f"{there.period.start} to {there.period.end}"
    click.echo(f"A prediction: {scenario.name} over {span}, its volumes alone changed, all times {factor:.4f}")
    print_residuals(found)


def show_profile(
    scenario: Scenario, ratios: str, scale: int, seeds: int, *, as_json: bool, store: str | None, **elsewhere: Any
) -> None:
    """Fit a scenario under each of some interception ratios, and print what its figures cannot tell."""
    try:
        wanted = [float(ratio) for ratio in ratios.split(",")]
    except ValueError:
        told = f"--profile: {ratios!r}: wanted ratios with commas between, such as 0.5,0.6,0.7"
        raise click.UsageError(told) from None
    with run_bar(scenario.name, shown=sys.stderr.isatty()) as progress:
        found = profile(scenario, wanted, scale=scale, seeds=seeds, store=store, progress=progress, **elsewhere)
    if as_json:
        click.echo(json.dumps({"fits": found.fits.to_dicts(), "band": found.band.to_dicts()}))
    else:
        print_profile(found)
