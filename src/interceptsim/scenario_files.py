"""Scenario files: found by path or by shipped name, laid over those they extend, fitted values in their places.

`load` gives the scenario in a file, `load_policies` the list of policies in one, `toml_of` the text of a file that
changes values of another. What cannot be read or does not fit is told in one ConfigurationError that begins with the
file.
"""

from __future__ import annotations

import copy
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from interceptsim.errors import ConfigurationError, nearest_name
from interceptsim.ledger import shipped, shipped_names
from interceptsim.registry import AnyPolicy
from interceptsim.scenario import Fitted, Scenario
from interceptsim.tables import names_in, parse_toml, put, told_within, unchanged, validated, value_at

__all__ = ["find_scenario", "load", "load_policies", "load_within", "read_tables", "toml_of"]


class _FittedTable(BaseModel):
    """The table [fitted] of a file, which is read ahead of the rest."""

    model_config = ConfigDict(extra="forbid")

    fitted: dict[str, Fitted] = {}


class _PolicyFile(BaseModel):
    """What a file of policies holds."""

    model_config = ConfigDict(extra="forbid")

    policies: tuple[AnyPolicy, ...]


def find_scenario(name: str | Path) -> Path:
    """Return the file of a scenario given by path or by the name of a shipped one."""
    path = Path(name)
    if path.suffix == ".toml" or os.path.isfile(path):  # noqa: PTH113  unlike Path.is_file, never raises
        return path
    names = shipped_names("configs")
    if str(name) not in names:
        raise ConfigurationError(
            str(name),
            f"no such scenario; shipped are {', '.join(names)}, or give a file ending in .toml",
            nearest=nearest_name(str(name), names),
        )
    return shipped("configs", f"{name}.toml")


def load(name: str | Path) -> Scenario:
    """Return the scenario in a TOML file, or a shipped one by its name, such as "china-2025".

    Values in its table `fitted` take the place of those that stand above it. Raise ConfigurationError
    for what cannot be read or does not fit.
    """
    return _checked(_tables(name), str(name))


def load_within(own: dict[str, Any], path: Path) -> Scenario:
    """Return the scenario in a table of the file at `path`, which may extend another as a file of its own may.

    Raise ConfigurationError as `load` does.
    """
    return _checked(_laid(dict(own), path, ()), str(path))


def _checked(given: dict[str, Any], name: str) -> Scenario:
    """Read tables as a scenario; raise ConfigurationError where that or its calibration does not fit."""
    scenario = validated(Scenario, _spelt_out(given, name), name)
    tables = scenario.as_dict()
    for target in scenario.calibration:
        for key, path in (("volume", target.volume), ("strength", target.strength)):
            if not isinstance(value_at(tables, path), str | int | float):
                where = f"{name}: calibration.{target.id}.{key}"
                raise ConfigurationError(where, "wanted the path of a value of the scenario", given=path)
    return scenario


def load_policies(path: Path) -> list[Any]:
    """Return the `policies` entries of a TOML file as plain tables, to take the place of a scenario's.

    Raise ConfigurationError for what cannot be read or is no policy.
    """
    entries = read_tables(path).get("policies")
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise ConfigurationError(str(path), "wanted [[policies]] entries, each with the 'kind' of a policy")
    validated(_PolicyFile, {"policies": entries}, str(path))
    return entries


def read_tables(path: Path) -> dict[str, Any]:
    """Return the plain tables of a TOML file; raise ConfigurationError where it cannot be read or is none."""
    try:
        return parse_toml(path.read_bytes().decode("utf-8"), str(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(str(path), f"not TOML: {error}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(path), f"not UTF-8 text: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise ConfigurationError(str(path), f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigurationError(repr(str(path)), "cannot be read: no file has such a name") from None


def _tables(name: str | Path, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a file's tables laid over those of the file it extends, fitted values in their places."""
    path = find_scenario(name)
    own = read_tables(path)
    real = os.path.realpath(path)
    if real in seen:
        raise ConfigurationError(str(path), "extends itself")
    return _laid(own, path, (*seen, real))


def _extended(path: Path, name: str) -> str | Path:
    """Return what a file extends by a name: a scenario's name, or a file beside it, else one of those shipped."""
    beside = path.parent / name
    if beside.suffix != ".toml":
        return name
    with_package = shipped("configs", name)
    return with_package if with_package.is_file() and not beside.is_file() else beside


def _laid(own: dict[str, Any], path: Path, seen: tuple[str, ...]) -> dict[str, Any]:
    """Return tables from the file at `path` laid over those of the files they extend, fitted values in their places.

    Files that are extended are laid over one another in their order. What they were fitted to still is, where the value
    is still the same.
    """
    base: dict[str, Any] = {}
    if "extends" in own:
        given = own["extends"]
        names = given if isinstance(given, list) else [given]
        if not names or not all(isinstance(name, str) for name in names):
            raise ConfigurationError(f"{path}: extends", "wanted names or files of scenarios, or of parts", given=given)
        with told_within(f"{path}: extends"):
            for name in names:
                base = _merged(base, _tables(_extended(path, name), seen))
    fitted = validated(_FittedTable, {"fitted": own.pop("fitted", {})}, str(path)).fitted
    tables = _merged(base, own)
    inherited = unchanged(base.get("fitted", {}), base, tables)
    with told_within(f"{path}: fitted"):
        for at, entry in fitted.items():
            put(tables, at, entry.value)
    return {**tables, "fitted": {**inherited, **fitted}}


def _spelt_out(tables: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the tables with every group of callers that is `like` another spelt out: the other's keys and its own."""
    traffic = tables.get("traffic")
    for kind in ("lines", "ordinary"):
        entries = traffic.get(kind) if isinstance(traffic, dict) else None
        if not isinstance(traffic, dict) or not isinstance(entries, list) or not names_in(entries):
            continue
        by_id = {str(entry["id"]): entry for entry in entries}
        traffic[kind] = []
        for entry in entries:
            seen = [entry]
            while "like" in seen[-1]:
                other = str(seen[-1]["like"])
                at = f"{where}: traffic.{kind}.{entry['id']}.like"
                if other not in by_id:
                    raise ConfigurationError(at, "no such group", given=other, nearest=nearest_name(other, by_id))
                if by_id[other] in seen:
                    raise ConfigurationError(at, "leads back to the group itself", given=other)
                seen.append(by_id[other])
            whole: dict[str, Any] = {}
            for one in reversed(seen):
                whole = _merged(whole, {key: value for key, value in one.items() if key != "like"})
            traffic[kind].append(whole)
    return tables


def _merged(base: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay one file's tables over another's: tables key by key, lists of tables entry by entry of one id."""
    out = copy.deepcopy(base)
    for key, value in above.items():
        under = out.get(key)
        if isinstance(under, dict) and isinstance(value, dict):
            out[key] = _merged(under, value)
        elif isinstance(under, list) and isinstance(value, list) and names_in(under) and names_in(value):
            names = names_in(under) or []
            for entry, name in zip(value, names_in(value) or [], strict=True):
                if name in names:
                    under[names.index(name)] = _merged(under[names.index(name)], entry)
                else:
                    under.append(entry)
        else:
            out[key] = value
    return out


def toml_of(extends: str, changes: Mapping[str, Any], *, name: str) -> str:
    """Return the text of a scenario file called `name` that extends another and changes values, given by their paths.

    `load` reads it as `load(extends).replace(changes)`. Raise ConfigurationError as `replace` does.
    """
    base = load(extends)
    tables, written = base.as_dict(), _tables(extends)
    base.replace(changes)
    plain: list[str] = []
    entries: dict[tuple[str, str], list[str]] = {}
    for path, value in changes.items():
        keys = path.split(".")
        at: Any = tables
        for depth, key in enumerate(keys):
            names = names_in(at) or []
            if isinstance(at, list):
                table, rest = ".".join(keys[:depth]), ".".join(keys[depth + 1 :])
                others = {other: value_at(tables, f"{table}.{other}.{rest}") for other in _like(written, table, key)}
                for entry, own in ((key, value), *others.items()):
                    line = f"{'.'.join(map(_key, keys[depth + 1 :]))} = {_toml(own)}"
                    entries.setdefault((table, entry), []).extend([line] if own is not None else [])
                break
            at = at[key] if key in names else {}
        else:
            plain.append(f"{'.'.join(map(_key, keys))} = {_toml(value)}")
    parts = [f"name = {_toml(name)}", f"extends = {_toml(extends)}", *plain]
    for (table, entry), lines in entries.items():
        parts += ["", f"[[{table}]]", f"id = {_toml(entry)}", *lines]
    return "\n".join(parts) + "\n"


def _like(tables: dict[str, Any], table: str, group: str) -> list[str]:
    """Return the groups of a list that are `like` another, or like one that is: what they share they take from it."""
    kin = {str(entry.get("id")): str(entry.get("like", "")) for entry in value_at(tables, table) or []}

    def is_like(one: str) -> bool:
        return kin.get(one, "") == group or (kin.get(one, "") in kin and is_like(kin[one]))

    return [one for one in kin if is_like(one)]


def _key(key: str) -> str:
    """Write a key, in quotation marks where TOML wants them."""
    bare = key.replace("-", "").replace("_", "")
    return key if bare.isascii() and bare.isalnum() else json.dumps(key, ensure_ascii=False)


def _toml(value: Any) -> str:
    """Write a plain value as TOML has it."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(str(key))} = {_toml(one)}' for key, one in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
