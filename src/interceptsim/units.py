"""Quantities as people write them: "2h", "30min", "1:1000", "3.6e9/year", as pydantic types.

Durations become integer microseconds, volumes attempts per year of 365 days, ratios floats in [0, 1].
A number without a unit is refused wherever it could be read in two ways.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from interceptsim.randomness import DELAY_CONSTANT, DELAY_EXPONENTIAL, DELAY_LOGNORMAL, LONGEST_US

__all__ = [
    "DAY_US",
    "HOUR_US",
    "MINUTE_US",
    "SECOND_US",
    "YEAR_DAYS",
    "Count",
    "Delay",
    "Duration",
    "Ratio",
    "Volume",
    "format_duration",
    "parse_duration",
    "parse_scale",
    "parse_volume",
]

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
YEAR_DAYS = 365

_DURATION_US = {
    "us": 1,
    "ms": 1_000,
    "s": SECOND_US,
    "min": MINUTE_US,
    "h": HOUR_US,
    "d": DAY_US,
    "w": 7 * DAY_US,
}
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_DURATION = re.compile(rf"({_NUMBER})\s*([a-z]+)")
_VOLUME = re.compile(rf"({_NUMBER})\s*/\s*(year|day|hour|s)")
_PER_YEAR = {"year": 1, "day": YEAR_DAYS, "hour": YEAR_DAYS * 24, "s": YEAR_DAYS * 86_400}


def parse_duration(given: Any) -> int:
    """Read a duration such as "2h", "30min", "45d" or "1.5s" as microseconds.

    Raise ValueError for a bare number, an unknown unit, a negative duration or one over 200 years.
    """
    match = _DURATION.fullmatch(given.strip()) if isinstance(given, str) else None
    if match is None or match[2] not in _DURATION_US:
        raise ValueError(f"wanted a duration with its unit ({', '.join(_DURATION_US)}), such as '2h'")
    value = float(match[1]) * _DURATION_US[match[2]]
    if value < 0:
        raise ValueError("a duration cannot be negative")
    if value > LONGEST_US:
        raise ValueError("a duration over 200 years is surely a mistake")
    return round(value)


def format_duration(duration_us: int) -> str:
    """Write microseconds so that `parse_duration` reads the same number again."""
    if duration_us == 0:
        return "0s"
    unit = next(u for u in ("w", "d", "h", "min", "s", "ms", "us") if duration_us % _DURATION_US[u] == 0)
    return f"{duration_us // _DURATION_US[unit]}{unit}"


def parse_volume(given: Any) -> float:
    """Read a volume such as "3.6e9/year" or "9.86e6/day" as attempts per year of 365 days.

    Raise ValueError where the period is missing or the volume is negative or beyond 1e15 a year.
    """
    match = _VOLUME.fullmatch(given.strip()) if isinstance(given, str) else None
    if match is None:
        raise ValueError("wanted a volume with its period (/year, /day, /hour, /s), such as '3.6e9/year'")
    value = float(match[1]) * _PER_YEAR[match[2]]
    if not 0 <= value <= 1e15:
        raise ValueError("a volume lies between 0 and 1e15 a year")
    return value


def parse_scale(given: Any) -> int:
    """Read a scale, "1:1000" or 1000 (both mean one in a thousand), as the integer N of one in N.

    Raise ValueError unless N is a whole number from 1 to 1,000,000.
    """
    text = str(given).strip().removeprefix("1:").replace("_", "").replace(",", "")
    if not text.isdecimal() or len(text) > 20 or not 1 <= int(text) <= 1_000_000:
        raise ValueError("wanted one in N, such as '1:1000' or '1000', N from 1 to 1000000")
    return int(text)


_DURATION_SCHEMA = {"type": "string", "pattern": f"^{_NUMBER} *({'|'.join(_DURATION_US)})$", "examples": ["2h"]}

Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(_DURATION_SCHEMA),
]
"""A duration, written with its unit; integer microseconds, 0 or more."""

Volume = Annotated[
    float,
    BeforeValidator(parse_volume),
    PlainSerializer(lambda v: f"{v!r}/year", return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_NUMBER} */ *(year|day|hour|s)$", "examples": ["3.6e9/year"]}),
]
"""Attempts per year of 365 days, written with a period."""

Ratio = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
"""A share, 0 to 1, both included."""

Count = Annotated[int, Field(ge=1)]
"""A whole number, 1 or more."""


class Delay(BaseModel):
    """A delay: a minimum and, on top, nothing, an exponential or a lognormal part.

    Written "2h" for a constant, {minimum = "1h", mean = "6h"} for an exponential part of that mean, or
    {minimum = "1h", median = "18h", sigma = 0.9} for a lognormal part of that median and shape.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum: Duration = 0
    mean: Duration | None = None
    median: Duration | None = None
    sigma: Annotated[float, Field(gt=0, le=4)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        return {"minimum": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.mean is not None and (self.median is not None or self.sigma is not None):
            raise ValueError("wanted either 'mean' or 'median' with 'sigma', not both")
        if (self.median is None) != (self.sigma is None):
            raise ValueError("'median' and 'sigma' go together")
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return a JSON Schema that admits both ways of writing: a duration, or a table."""
        return {"anyOf": [_DURATION_SCHEMA, dict(handler.resolve_ref_schema(handler(schema)))]}

    @model_serializer(mode="wrap")
    def _as_text(self, handler: SerializerFunctionWrapHandler) -> Any:
        if self.mean is None and self.median is None:
            return format_duration(self.minimum)
        return {name: value for name, value in handler(self).items() if value is not None}

    @property
    def law(self) -> tuple[int, int, float, float]:
        """The arguments of `randomness.delay_us`: kind, minimum in us, scale in us, sigma."""
        if self.mean is not None:
            return DELAY_EXPONENTIAL, self.minimum, float(self.mean), 0.0
        if self.median is not None and self.sigma is not None:
            return DELAY_LOGNORMAL, self.minimum, float(self.median), self.sigma
        return DELAY_CONSTANT, self.minimum, 0.0, 0.0

    @property
    def mean_us(self) -> float:
        """The mean delay in microseconds."""
        kind, minimum, scale, sigma = self.law
        spread = math.exp(sigma**2 / 2) if kind == DELAY_LOGNORMAL else 1.0
        return minimum + scale * spread
