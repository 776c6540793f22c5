"""Calibrations that the points of a study need: of those whose axes change what calibration starts from.

An interception ratio is no parameter of a run: it is assumed, and the latent volume and a strength follow from it. So a
point that assumes another is calibrated first, on the workers, and what was found is kept in the store.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence

import polars as pl

from interceptsim.calibration import calibrate
from interceptsim.experiments.design import Point
from interceptsim.experiments.executors import Pool, RunProgress, Task, carry_out
from interceptsim.experiments.fingerprint import fingerprint, package_fingerprint
from interceptsim.experiments.runs import Prepared
from interceptsim.experiments.store import Store
from interceptsim.experiments.study import Study
from interceptsim.scenario import Fitted, Scenario

__all__ = ["fit_name", "fits_for", "kept_fits"]

_FITTED = dict.fromkeys(("path", "value", "figure", "under", "error"), pl.String)


def fit_name(study: Study, scenario: Scenario, targets: tuple[str, ...]) -> str:
    """Return the name of a calibration, a digest of all that it depends on."""
    scale = study.fit.scale or study.scale
    return fingerprint(
        [package_fingerprint(), "fit", Prepared.of(scenario).content, targets, scale, study.fit.seeds],
    )


def fits_for(
    study: Study, points: Sequence[Point], store: Store, pool: Pool, progress: RunProgress | None
) -> dict[int, Mapping[str, Fitted] | str]:
    """Calibrate what points need and the store lacks; return what was found, or the error, by the point's place."""
    tasks = {}
    for point in points:
        asked = study.to_fit(point)
        if asked is not None and not store.has("fits", name := fit_name(study, *asked)):
            scenario, targets = asked
            prepared = Prepared.of(scenario)
            tasks[name] = Task(
                name, _fitted, (prepared.packed, targets, study.fit.scale or study.scale, study.fit.seeds)
            )
    for done, outcome in enumerate(carry_out(pool, tasks.values()), 1):
        if outcome.error is None:
            store.put("fits", outcome.name, pl.DataFrame(outcome.value, _FITTED, orient="row"))
        else:
            told = outcome.error.removeprefix("ConfigurationError: ")
            row = (*[None] * (len(_FITTED) - 1), told)
            store.put("fits", outcome.name, pl.DataFrame([row], _FITTED, orient="row"), failed=True)
        if progress:
            progress(done, len(tasks), "calibrations")
    return kept_fits(study, points, store)


def kept_fits(study: Study, points: Sequence[Point], store: Store) -> dict[int, Mapping[str, Fitted] | str]:
    """Return what was found for points, or the error, by the point's place.

    Raise FileNotFoundError where neither is kept.
    """
    found: dict[int, Mapping[str, Fitted] | str] = {}
    for place, point in enumerate(points):
        asked = study.to_fit(point)
        if asked is None:
            continue
        name = fit_name(study, *asked)
        files = store.files("fits", [name])
        if not files:
            raise FileNotFoundError(store.path("fits", name))
        rows = pl.read_parquet(files[0], glob=False).to_dicts()
        error = rows[0]["error"]
        keys = ("figure", "under")
        found[place] = error or {
            row["path"]: Fitted(value=json.loads(row["value"]), **{key: row[key] for key in keys}) for row in rows
        }
    return found


def _fitted(packed: bytes, targets: tuple[str, ...], scale: int, seeds: int) -> list[tuple[str, str, str, str, None]]:
    """Calibrate a scenario, in a worker, on one thread; return what is written of it."""
    _, found = calibrate(pickle.loads(packed), scale=scale, seeds=seeds, threads=1, only=targets)  # noqa: S301  our own bytes
    fitted = [item for result in found for item in result.fitted().items()]
    return [(path, json.dumps(entry.value), entry.figure, entry.under, None) for path, entry in fitted]
