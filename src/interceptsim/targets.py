"""Targets: counts that somebody reported, which a scenario is fitted to or held against.

They come from the ledger, for the figures that a scenario's calibration names, or from a file of one's own: TOML with
[[targets]] entries, or CSV; either way with `id`, `quantity` (a metric of runs), `value` and `period`.
"""

from __future__ import annotations

import calendar
import csv
import datetime as dt
import io
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from interceptsim import ledger
from interceptsim.errors import ConfigurationError
from interceptsim.scenario import CalibrationTarget, Scenario, StrengthTarget
from interceptsim.tables import parse_toml, validated

__all__ = ["Reported", "parse_period", "read_targets", "targets_of"]

Period = tuple[dt.date, dt.date]


def parse_period(given: Any) -> Period:
    """Read "2025", "2025-03" or "2025-01-01/2025-06-30" as its first and last day.

    Raise ValueError for anything else, or where the last lies before the first.
    """
    text = str(given).strip()
    try:
        if match := re.fullmatch(r"(\d{4})", text):
            return dt.date(int(match[1]), 1, 1), dt.date(int(match[1]), 12, 31)
        if match := re.fullmatch(r"(\d{4})-(\d{2})", text):
            year, month = int(match[1]), int(match[2])
            return dt.date(year, month, 1), dt.date(year, month, calendar.monthrange(year, month)[1])
        first, _, last = text.partition("/")
        days = dt.date.fromisoformat(first.strip()), dt.date.fromisoformat(last.strip())
    except ValueError:
        raise ValueError(
            "wanted a year, a month or two days, such as '2025', '2025-03', '2025-01-01/2025-06-30'"
        ) from None
    if days[1] < days[0]:
        raise ValueError("the last day lies before the first")
    return days


class Reported(BaseModel):
    """A count that somebody reported: `value` of a `quantity`, a metric of runs, over the days of a `period`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(min_length=1)]
    quantity: Annotated[str, Field(min_length=1)]
    value: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    period: Annotated[Period, BeforeValidator(lambda given: given if isinstance(given, tuple) else parse_period(given))]

    @property
    def days(self) -> int:
        """Over how many days it was counted."""
        return (self.period[1] - self.period[0]).days + 1


class _TargetsFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    targets: Annotated[tuple[Reported, ...], Field(min_length=1)]


def read_targets(path: Path) -> tuple[Reported, ...]:
    """Return the targets in a file, CSV by its ending or else TOML.

    Raise ConfigurationError for what cannot be read or does not fit, or an id that is used twice.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        tables = _from_csv(text) if path.suffix.lower() == ".csv" else parse_toml(text, str(path))
    except (tomllib.TOMLDecodeError, csv.Error) as error:
        raise ConfigurationError(str(path), f"cannot be read: {error}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(path), f"not UTF-8 text: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise ConfigurationError(str(path), f"cannot be read: {error.strerror}") from None
    targets = validated(_TargetsFile, tables, str(path)).targets
    twice = [name for name, n in Counter(target.id for target in targets).items() if n > 1]
    if twice:
        raise ConfigurationError(f"{path}: targets", f"id {twice[0]!r} is used twice; give each its own")
    return targets


def _from_csv(text: str) -> dict[str, Any]:
    rows = csv.DictReader(io.StringIO(text), strict=True)
    return {"targets": [{str(key): value for key, value in row.items() if value != ""} for row in rows]}


def targets_of(scenario: Scenario) -> tuple[Reported, ...]:
    """Return the figures that a scenario's calibration names, as the ledger has them."""
    quantities = [f"{entry.channel}.intercepted" for entry in scenario.calibration]
    entries: list[CalibrationTarget | StrengthTarget] = [*scenario.calibration, *scenario.strengths]
    found = []
    for entry, quantity in zip(entries, [*quantities, *(e.quantity for e in scenario.strengths)], strict=True):
        figure = ledger.figure(entry.figure)
        assert figure.start is not None
        period = figure.start, figure.start + dt.timedelta(days=entry.days - 1)
        found.append(Reported(id=figure.id, quantity=quantity, value=figure.value, period=period))
    return tuple(found)
