"""How to make a run again: a snippet of Python that gives the same digest, wherever the run came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from interceptsim.errors import ConfigurationError
from interceptsim.registry import policy_kinds
from interceptsim.results import RunResult
from interceptsim.scenario import Scenario
from interceptsim.scenario_files import load
from interceptsim.tables import names_in

__all__ = ["SCENARIO_FILE", "again", "changes_between", "changes_from", "loading", "own_policies"]

SCENARIO_FILE = "scenario.json"
"""What a page calls the file with the whole scenario, where no shorter way leads to it."""


def again(run: RunResult) -> str:
    """Return a program that makes a run again and holds its digest against this one's."""
    text, _ = loading(run.scenario)
    days = "" if run.days == run.scenario.period.days else f", days={run.days}"
    call = f"run = ics.run(scenario, seed={run.seed}, scale={run.scale}{days})"
    return f'{text}\n{call}\nassert run.digest == "{run.digest}"\n'


def loading(scenario: Scenario) -> tuple[str, bool]:
    """Return the lines that give a scenario, and whether they read it from `SCENARIO_FILE`."""
    changes = changes_from(scenario)
    head = "import interceptsim as ics\n\n"
    if changes is None:
        read = f'scenario = ics.Scenario.model_validate_json(Path("{SCENARIO_FILE}").read_text("utf-8"))'
        return f"from pathlib import Path\n\n{head}{read}", True
    laid = "".join(f"    {path!r}: {value!r},\n" for path, value in changes.items())
    changed = f".replace({{\n{laid}}})" if changes else ""
    return f"{head}scenario = ics.load({scenario.name!r}){changed}", False


def own_policies(scenario: Scenario) -> list[str]:
    """Return the ids of policies that are functions or objects of a user's own, which no file can hold."""
    kinds = policy_kinds()
    return [policy.id for policy in scenario.policies if policy.kind == "python" or policy.kind not in kinds]


def changes_from(scenario: Scenario) -> dict[str, Any] | None:
    """Return by what values a scenario differs from the shipped one of its name; None where that does not tell all."""
    try:
        shipped = load(scenario.name)
    except ConfigurationError:
        return None
    return changes_between(shipped, scenario)


def changes_between(before: Scenario, scenario: Scenario) -> dict[str, Any] | None:
    """Return the values, by path, that make one scenario of another by `replace`; None where that does not tell all."""
    after = scenario.as_dict()
    changes = dict(_differences(before.as_dict(), after))
    changes.pop("fitted", None)
    try:
        made = before.replace(changes)
    except ConfigurationError:
        return None
    return changes if made.as_dict() == after else None


def _differences(before: dict[str, Any], after: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of what is new, as deep down as a change there can be told."""
    for key, value in after.items():
        old = before.get(key)
        path = f"{above}{key}"
        if value == old:
            continue
        if path == "fitted":
            yield path, value
        elif isinstance(value, dict) and isinstance(old, dict) and old.keys() <= value.keys():
            yield from _differences(old, value, f"{path}.")
        elif _same_entries(old, value):
            for name, one, other in zip(names_in(value) or [], old or [], value, strict=True):
                yield from _differences(one, other, f"{path}.{name}.")
        else:
            yield path, value


def _same_entries(old: Any, new: Any) -> bool:
    """Tell whether two lists hold tables of the same names, none of which lost a key."""
    if not isinstance(old, list) or not isinstance(new, list) or not new:
        return False
    names, others = names_in(old), names_in(new)
    if not names or names != others or len(set(names)) < len(names):
        return False
    return all("." not in name and one.keys() <= other.keys() for name, one, other in zip(names, old, new, strict=True))
