"""Plain tables, as TOML holds them: values are named by paths of keys, entries of lists by their ids.

So `policies.reject-listed-numbers.delay` names one value, which is read, looked up and put in its place here. Reading
tables as a model tells the first mistake in one ConfigurationError: the path, what was given, what was wanted, the
nearest name.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema

from interceptsim.errors import ConfigurationError, nearest_name

__all__ = [
    "names_in",
    "parse_setting",
    "parse_settings",
    "parse_toml",
    "put",
    "told_within",
    "unchanged",
    "validated",
    "value_at",
]

_DEEPEST = 20  # tables within tables: what a file may hold is not half as deep

Model = TypeVar("Model", bound=BaseModel)
Entry = TypeVar("Entry")


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """Read TOML; raise ConfigurationError where it holds what no scenario can, TOMLDecodeError where it is none."""
    too_deep = ConfigurationError(where, f"tables or lists nested more than {_DEEPEST} deep")
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:
        raise ConfigurationError(where, "holds an integer of thousands of digits") from None
    except RecursionError:
        raise too_deep from None
    level: list[Any] = [tables]
    for _ in range(_DEEPEST):
        level = [v for t in level if isinstance(t, dict | list) for v in (t.values() if isinstance(t, dict) else t)]
    if level:
        raise too_deep
    return tables


def parse_setting(text: str, option: str = "--set") -> tuple[str, Any]:
    """Read one PATH=VALUE, the value as TOML where it is that, else as bare text.

    Raise ConfigurationError, told of the `option` it was given to, where it is none.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        wanted = "wanted PATH=VALUE, such as policies.limit-attempts.enabled=false"
        raise ConfigurationError(option, wanted, given=text)
    try:
        tables = parse_toml(f"value = {value.strip()}", f"{option} {path.strip()}")
    except tomllib.TOMLDecodeError:
        tables = {"value": value.strip()}
    if len(tables) > 1:
        raise ConfigurationError(option, f"wanted one PATH=VALUE; repeat {option} for another", given=text)
    parsed = tables["value"]
    return path.strip(), parsed.isoformat() if isinstance(parsed, dt.date) else parsed


def parse_settings(text: str, option: str) -> Iterator[tuple[str, Any]]:
    """Read settings with commas between them; a comma within brackets or quotation marks belongs to its value.

    Raise ConfigurationError as `parse_setting` does, and for brackets and quotation marks that are not closed.
    """
    pieces = text.split(",")
    while pieces:
        setting = pieces.pop(0)
        while pieces and _is_open(setting):
            setting += "," + pieces.pop(0)
        if _is_open(setting):
            raise ConfigurationError(option, "wanted a value whose brackets and quotes are closed", given=setting)
        yield parse_setting(setting, option)


def _is_open(setting: str) -> bool:
    """Tell whether the value of a setting begins as a list, a table or a quotation of TOML and is none."""
    value = setting.partition("=")[2].strip()
    if not value.startswith(("[", "{", '"', "'")):
        return False
    try:
        tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):
        return True
    return False


def names_in(at: Any) -> list[str] | None:
    """Return the keys that lead on from a table or a list of tables, None where `at` is a value."""
    if isinstance(at, dict):
        return list(at)
    if isinstance(at, list) and all(isinstance(entry, dict) for entry in at):
        return [str(entry.get("id", entry.get("kind", ""))) for entry in at]
    return None


def value_at(tables: dict[str, Any], path: str) -> Any:
    """Return what stands at a path of keys in plain tables, None where it leads nowhere."""
    at: Any = tables
    for key in path.split("."):
        names = names_in(at)
        if names is None or key not in names:
            return None
        at = at[key] if isinstance(at, dict) else at[names.index(key)]
    return at


def put(tables: dict[str, Any], path: str, value: Any) -> None:
    """Set one value inside plain tables, or one of each entry of a list where the key is `*`.

    Raise ConfigurationError where the path leads nowhere.
    """
    at: Any = tables
    keys = path.split(".")
    if "*" in keys:
        depth = keys.index("*")
        above = value_at(tables, ".".join(keys[:depth])) if depth else None
        names = names_in(above) if isinstance(above, list) else None
        if not names:
            raise ConfigurationError(path, f"{'.'.join(keys[:depth]) or 'a scenario'!r} is no list with entries")
        for name in names:
            put(tables, ".".join([*keys[:depth], name, *keys[depth + 1 :]]), value)
        return
    for depth, key in enumerate(keys):
        names = names_in(at)
        last = depth == len(keys) - 1
        if names is None:
            raise ConfigurationError(path, f"{'.'.join(keys[:depth])!r} is a value, not a table")
        if last and isinstance(at, dict):
            at[key] = _plain(value)
        elif key not in names:
            where = ".".join(keys[:depth]) or "a scenario"
            raise ConfigurationError(path, f"no {key!r} in {where}", nearest=nearest_name(key, names))
        elif last:
            raise ConfigurationError(path, "wanted the path of a value, such as 'policies.ID.enabled'")
        else:
            at = at[key] if isinstance(at, dict) else at[names.index(key)]


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_none=True) if isinstance(value, BaseModel) else value


def unchanged(entries: Mapping[str, Entry], before: dict[str, Any], after: dict[str, Any]) -> dict[str, Entry]:
    """Return the entries, by path, of those values that are after a change what they were before."""
    return {path: entry for path, entry in entries.items() if value_at(before, path) == value_at(after, path)}


def validated(kind: type[Model], tables: Any, source: str) -> Model:
    """Read plain tables as a model.

    Raise ConfigurationError that names `source`, the path of keys, what was given and what was wanted.
    """
    try:
        with told_within(source):
            read = kind.model_validate(tables)
    except ValidationError as error:
        raise _first_mistake(kind, error, tables, source) from None
    for path in _booleans(tables, read.model_dump(mode="json")):
        raise ConfigurationError(f"{source}: {path}", "wanted a number, not true or false")
    return read


def _first_mistake(kind: type[BaseModel], error: ValidationError, tables: Any, source: str) -> ConfigurationError:
    first = min(error.errors(), key=lambda mistake: mistake["type"] != "extra_forbidden")  # the cause of "required"
    path = _path_of(first["loc"], tables)
    where = f"{source}: {path}" if path else source
    given = first["input"] if isinstance(first["input"], str | int | float | bool) else None
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        return ConfigurationError(where, "no such key", nearest=nearest_name(key, _field_names(kind)))
    text = first["msg"].removeprefix("Value error, ")
    return ConfigurationError(where, text[0].lower() + text[1:], given=given)


def _field_names(kind: type[BaseModel]) -> set[str]:
    """Return every key that may stand in tables of a model, for hints."""

    def walk(schema: Any) -> Iterator[str]:
        if isinstance(schema, dict):
            yield from schema.get("properties", {})
            for value in schema.values():
                yield from walk(value)
        elif isinstance(schema, list):
            for value in schema:
                yield from walk(value)

    try:
        return set(walk(kind.model_json_schema()))
    except PydanticInvalidForJsonSchema:  # a policy of a user's own may hold what JSON cannot
        return set(kind.model_fields)


def _path_of(location: tuple[int | str, ...], tables: Any) -> str:
    """Write pydantic's location as a path of keys, ids in place of positions."""
    keys, at = [], tables
    for part in location:
        if isinstance(part, int) and isinstance(at, list) and part < len(at):
            names = names_in(at)
            at = at[part]
            keys.append((names[part] if names else "") or str(part))
        elif isinstance(at, dict) and part in at:
            at = at[part]
            keys.append(str(part))
        elif isinstance(part, str) and isinstance(at, dict):
            keys.append(part)
            at = None
    return ".".join(keys)


def _booleans(given: Any, read: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the paths at which true or false was given and was read as a number."""
    if isinstance(given, bool) and not isinstance(read, bool):
        yield ".".join(path)
    elif isinstance(given, dict) and isinstance(read, dict):
        for key, value in given.items():
            yield from _booleans(value, read.get(key), (*path, str(key)))
    elif isinstance(given, list) and isinstance(read, list):
        names = names_in(read) or map(str, range(len(read)))
        for name, value, entry in zip(names, given, read, strict=False):
            yield from _booleans(value, entry, (*path, name))


@contextlib.contextmanager
def told_within(place: str) -> Iterator[None]:
    """Let errors of the block name `place` first."""
    try:
        yield
    except ConfigurationError as error:
        raise error.within(place) from None
