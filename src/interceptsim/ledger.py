"""The ledger: reported figures and sourced parameters, and the files that ship with the package.

`seeds/figures.toml` holds what was reported, `seeds/parameters.toml` what the literature and the statistics
say about parameters, each with its source and status: reported, measured, derived or assumed; `seeds/provinces.toml`
how many people live where.
"""

from __future__ import annotations

import datetime as dt
import functools
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from interceptsim.errors import ConfigurationError, nearest_name

__all__ = [
    "Figure",
    "Parameter",
    "Province",
    "figure",
    "figures",
    "parameters",
    "provinces",
    "shipped",
    "shipped_names",
]

Status = Literal["reported", "measured", "derived", "assumed"]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(_Entry):
    """A figure that somebody reported.

    `value` in `unit`, over `start` to `end` (both included, either may be unknown); `publisher`,
    `published` and `document` say where it stands. `conflict` names the figure it disagrees with.
    """

    id: str
    quantity: str
    value: float
    unit: str
    start: dt.date | None = None
    end: dt.date | None = None
    scope: str | None = None
    publisher: str
    published: dt.date
    document: str
    status: Status = "reported"
    conflict: str | None = None
    note: str | None = None


class Parameter(_Entry):
    """What is known of a parameter: its value in words and numbers, status and source, and where it is used.

    `paths` are the values of the scenarios that rest on it; `low` and `high` the range to sweep.
    """

    id: str
    quantity: str
    value: str
    status: Status
    source: str
    paths: tuple[str, ...] = ()
    low: str | None = None
    high: str | None = None
    note: str | None = None


class Province(_Entry):
    """A province and its population."""

    id: str
    population_millions: float


def shipped(folder: Literal["configs", "seeds"], name: str) -> Path:
    """Return the path of a file that ships with the package, in the wheel or in the source tree."""
    package = Path(__file__).parent
    for root in (package, package.parents[1]):
        if (root / folder).is_dir():
            return root / folder / name
    raise ConfigurationError(folder, "this folder is missing from the installation; install the package again")


def shipped_names(folder: Literal["configs", "seeds"]) -> list[str]:
    """Return the names, without ending, of the TOML files in a shipped folder."""
    return sorted(path.stem for path in shipped(folder, "").glob("*.toml"))


@functools.cache
def figures() -> tuple[Figure, ...]:
    """Return every reported figure, in the order of the file."""
    entries = tomllib.loads(shipped("seeds", "figures.toml").read_text(encoding="utf-8"))["figures"]
    adapter = TypeAdapter(Annotated[tuple[Figure, ...], Field(strict=False)])
    return adapter.validate_python(entries)


@functools.cache
def parameters() -> tuple[Parameter, ...]:
    """Return every sourced parameter, in the order of the file."""
    entries = tomllib.loads(shipped("seeds", "parameters.toml").read_text(encoding="utf-8"))["parameters"]
    return TypeAdapter(tuple[Parameter, ...]).validate_python(entries)


@functools.cache
def provinces() -> tuple[Province, ...]:
    """Return every province, in the order of the file, the most populous first."""
    entries = tomllib.loads(shipped("seeds", "provinces.toml").read_text(encoding="utf-8"))["provinces"]
    return TypeAdapter(tuple[Province, ...]).validate_python(entries)


def figure(figure_id: str) -> Figure:
    """Return one figure; raise ConfigurationError with the nearest id where there is none."""
    by_id = {f.id: f for f in figures()}
    if figure_id not in by_id:
        raise ConfigurationError("figures", f"no reported figure {figure_id!r}", nearest=nearest_name(figure_id, by_id))
    return by_id[figure_id]
