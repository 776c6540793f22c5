"""The mapping: how an analyst's columns, times, numbers and values become the columns of attempts.

A small TOML file, read into a `Mapping`. Without one, records bear the names and types of `AttemptBatch` already.
"""

from __future__ import annotations

import codecs
import datetime as dt
from collections.abc import Mapping as Tables
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from interceptsim.attempts import CHANNELS, ENTRIES
from interceptsim.errors import ConfigurationError, nearest_name
from interceptsim.numbering import KIND_NAMES
from interceptsim.scenario_files import read_tables
from interceptsim.tables import validated
from interceptsim.units import MINUTE_US, Duration

__all__ = ["CODED", "Mapping", "TextList", "as_mapping"]

CODED: dict[str, tuple[str, ...]] = {
    "channel": CHANNELS,
    "entry": ENTRIES,
    "a_kind": KIND_NAMES,
    "b_carrier": (),
    "roaming": ("false", "true"),
    "answered": ("false", "true"),
    "label": ("false", "true"),
}
"""Columns whose values are names: the names, in the order of their codes. Carriers are named by the mapping."""

_DEFAULTS = {"channel": "voice", "entry": "mobile-access", "roaming": "false", "answered": "false"}


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Columns(_Table):
    """Which column of the records holds what; those not named are looked for under the names of `AttemptBatch`."""

    time: str | Annotated[tuple[str, ...], Field(min_length=1, max_length=4)] = "time_us"
    channel: str = "channel"
    a_number: str = "a_number"
    b_number: str = "b_number"
    a_kind: str = "a_kind"
    entry: str = "entry"
    b_carrier: str = "b_carrier"
    roaming: str = "roaming"
    content: str = "content"
    text: str = "text"
    text_score: str = "text_score"
    link: str = "link"
    a_incoming: str = "a_incoming"
    answered: str = "answered"
    duration: str = "duration_us"
    label: str = "label"
    id: str = "id"

    @property
    def times(self) -> tuple[str, ...]:
        """The columns that make up the time."""
        return (self.time,) if isinstance(self.time, str) else self.time


class Time(_Table):
    """How times are written, and the zone of those that do not tell.

    `format` is "iso" (2025-01-31T08:00:00, with a blank or a T, with or without fractions and offset), a count since
    1970 ("s", "ms", "us", "ns"), or a pattern of strftime; by default integers are "us" and text is "iso".
    Records outside `earliest` and `latest`, in UTC, are malformed: one clock that is wrong by years would make all
    others late.
    """

    format: str | None = None
    zone: str = "Asia/Shanghai"
    lateness: Duration = 10 * MINUTE_US
    earliest: dt.date = dt.date(1980, 1, 1)
    latest: dt.date = dt.date(2100, 1, 1)

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (OSError, ValueError, KeyError):
            raise ValueError("no such time zone; wanted a name such as 'Asia/Shanghai' or 'UTC'") from None
        return zone

    @field_validator("format")
    @classmethod
    def _pattern(cls, given: str | None) -> str | None:
        if given is not None and given not in {"iso", "s", "ms", "us", "ns"} and "%" not in given:
            raise ValueError("wanted 'iso', 's', 'ms', 'us', 'ns', or a pattern such as '%Y-%m-%d %H:%M:%S'")
        return given

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.earliest >= self.latest:
            raise ValueError("'earliest' lies before 'latest'")
        return self


class Numbers(_Table):
    """How numbers are written: "dialled", as people do ("+86 138...", "0755...", "95588"), or as bare "digits".

    Digits are E.164 without its "+", and short codes of up to 8 digits or beginning with 106. By default text is read
    as dialled and integers as digits.
    """

    form: Literal["dialled", "digits"] | None = None


class TextList(_Table):
    """Words, and the score that a message has for holding any of them: 1.0 is surely fraud."""

    score: Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
    words: tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...] = ()
    file: str | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.words and self.file is None:
            raise ValueError("wanted 'words' or a 'file' of them")
        return self


class Text(_Table):
    """Keyword lists that score the column `text`, and whether the first link in it is looked for.

    A column `text_score` holds ratios (1.0 is surely fraud) or, by default where it is of integers, millionths.
    """

    lists: tuple[TextList, ...] = ()
    links: bool = True
    score_unit: Literal["one", "millionth"] | None = None


class Csv(_Table):
    """How CSV files are written. Without `header`, columns are named by their place: "1", "2", ..."""

    separator: Annotated[str, Field(pattern=r"^[\x09\x20-\x21\x23-\x7e]$")] = ","
    header: bool = True
    encoding: str = "utf-8"

    @field_validator("encoding")
    @classmethod
    def _of_ascii(cls, given: str) -> str:
        try:
            name = codecs.lookup(given).name
            plain = "a,1\n".encode(name) == b"a,1\n"
        except (LookupError, ValueError, UnicodeError, TypeError):
            plain = False
        if not plain:
            raise ValueError("wanted an encoding that holds ASCII as it is, such as 'utf-8', 'gb18030' or 'latin-1'")
        return name


class Mapping(_Table):
    """All of a mapping file.

    `values` says which of the records' values stand for a channel, an entry and so on; `defaults` what holds where the
    column is absent or empty; `carriers` are the names behind the codes of `b_carrier`, in their order; `duplicates`
    whether records of one time that are equal in all columns, or in `id` where there is one, are kept.
    """

    columns: Columns = Columns()
    time: Time = Time()
    numbers: Numbers = Numbers()
    values: dict[str, dict[str, tuple[str | int | float | bool, ...]]] = {}
    defaults: dict[str, str] = {}
    carriers: Annotated[tuple[str, ...], Field(max_length=256)] = ()
    duration_unit: Literal["s", "ms", "us", "min"] | None = None
    text: Text = Text()
    csv: Csv = Csv()
    duplicates: Literal["reject", "keep"] = "reject"

    @model_validator(mode="after")
    def _names(self) -> Self:
        for table in ("values", "defaults"):
            given: Tables[str, Any] = getattr(self, table)
            for column, names in given.items():
                if column not in CODED:
                    raise ValueError(f"'{table}.{column}': wanted one of {', '.join(CODED)}{_hint(column, CODED)}")
                for name in names if table == "values" else (names,):
                    known = self.names_of(column)
                    if name not in known:
                        raise ValueError(
                            f"'{table}.{column}': no {name!r} among {', '.join(known)}{_hint(name, known)}"
                        )
        for column, by_name in self.values.items():
            spelt = [str(v).lower() for values in by_name.values() for v in values]
            twice = next((v for v in spelt if spelt.count(v) > 1), None)
            if twice is not None:
                raise ValueError(f"'values.{column}': {twice!r} stands for two things")
        return self

    def names_of(self, column: str) -> tuple[str, ...]:
        """Return the names that stand for the codes of a coded column."""
        return self.carriers if column == "b_carrier" else CODED[column]

    def default_of(self, column: str) -> int | None:
        """Return the code of a coded column where records say nothing; None where they have to."""
        name = self.defaults.get(column, _DEFAULTS.get(column))
        if name is None:
            return 0 if column == "b_carrier" else None
        return self.names_of(column).index(name)

    def codes_of(self, column: str) -> dict[str, int]:
        """Return the code of each value as text in lower case: those given, or the names and the codes themselves."""
        names = self.names_of(column)
        given = self.values.get(column)
        if given is not None:
            return {str(v).lower(): names.index(name) for name, values in given.items() for v in values}
        many = range(256) if column == "b_carrier" else range(len(names))
        return {**{str(code): code for code in many}, **{name.lower(): code for code, name in enumerate(names)}}


def _hint(given: str, names: Any) -> str:
    near = nearest_name(given, names)
    return f"; did you mean {near!r}?" if near else ""


def as_mapping(given: Mapping | Tables[str, Any] | str | Path | None) -> Mapping:
    """Return a mapping given as such, as plain tables, or as a TOML file; None is that of our own names.

    Files of words are read from beside the mapping's. Raise ConfigurationError for what does not fit.
    """
    if given is None:
        return Mapping()
    if isinstance(given, Mapping):
        return given
    if isinstance(given, str | Path):
        read = validated(Mapping, read_tables(Path(given)), str(given))
        lists = tuple(_with_words(one, Path(given).parent, str(given)) for one in read.text.lists)
    else:
        read = validated(Mapping, dict(given), "mapping")
        lists = tuple(_with_words(one, Path(), "mapping") for one in read.text.lists)
    return read.model_copy(update={"text": read.text.model_copy(update={"lists": lists})})


def _with_words(given: TextList, beside: Path, where: str) -> TextList:
    """Return a list with the words of its file among its own, one a line."""
    if given.file is None:
        return given
    path = beside / given.file
    try:
        lines = path.read_bytes().decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigurationError(f"{where}: text.lists", f"the file of words cannot be read: {error}") from None
    words = tuple(line.strip() for line in lines if line.strip())
    if not words and not given.words:
        raise ConfigurationError(f"{where}: text.lists", "the file holds no words", given=given.file)
    return TextList(score=given.score, words=(*given.words, *words))
