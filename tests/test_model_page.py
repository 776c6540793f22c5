"""Pages of docs/ that name what the code and the ledger hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import to_jsonable_python

from interceptsim.ledger import Parameter, figures, parameters
from interceptsim.registry import policy_kinds
from interceptsim.response.records import MEASURES
from interceptsim.scenario import Scenario
from interceptsim.tables import value_at

DOCS = Path(__file__).parents[1] / "docs"
MODEL = (DOCS / "model.md").read_text("utf-8")
POLICIES = (DOCS / "policies.md").read_text("utf-8")
RESPONSE = [kind for kind, policy in policy_kinds().items() if policy.__module__ == "interceptsim.response.policies"]


def as_toml(value: Any) -> str:
    """Return a default as a scenario would have it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {as_toml(v)}" for name, v in value.items()) + "}"
    return f'"{value}"' if isinstance(value, str) else str(value)


def as_documented(value: Any) -> str:
    return value if isinstance(value, str) else as_toml(value)


def test_all_response_policies_are_found() -> None:
    assert len(RESPONSE) == 11


@pytest.mark.parametrize("kind", RESPONSE)
def test_the_page_has_every_parameter_of_a_response_policy_with_its_default(kind: str) -> None:
    [section] = re.findall(rf"^### `{kind}`$(.*?)(?=^##)", POLICIES, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`|wanted) \|", section, re.MULTILINE)
    fields = {name: f for name, f in policy_kinds()[kind].model_fields.items() if name not in {"kind", "id", "enabled"}}
    required = {name: "2025-01-01" for name, field in fields.items() if field.is_required()}
    values = to_jsonable_python(policy_kinds()[kind].model_validate({"kind": kind, **required}))
    assert dict(rows) == {name: "" if name in required else as_documented(values[name]) for name in fields}


def rows_of(heading: str) -> list[list[str]]:
    """Return the cells of the rows of the table under a heading of model.md, its two header rows left out."""
    [section] = re.findall(rf"^## {heading}$(.*?)(?=^## |\Z)", MODEL, re.MULTILINE | re.DOTALL)
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_table_has_every_reported_figure_once_in_the_order_of_the_ledger() -> None:
    ids = [figure.id for figure in figures()]
    firsts = [row[0].strip("`") for row in rows_of("Figures, measures, and what carries them")]
    assert [first for first in firsts if first in ids] == ids


def test_a_figure_has_a_parameter_that_carries_it_or_a_reason_why_it_is_not_modelled() -> None:
    ids = {figure.id for figure in figures()}
    for first, _, parameter, where in rows_of("Figures, measures, and what carries them"):
        if first.strip("`") in ids:
            assert parameter or where.startswith("not modelled, because "), first


def test_a_parameter_that_carries_something_is_a_value_of_the_scenario(china: Scenario) -> None:
    tables = china.as_dict()
    carrying = " ".join(row[2] for row in rows_of("Figures, measures, and what carries them"))
    paths = re.findall(r"`((?:traffic|people|police|policies)\.[^`*]+)`", carrying)
    assert len(paths) > 15
    assert [path for path in paths if value_at(tables, path) is None] == []


def test_the_table_has_everything_that_the_response_counts() -> None:
    firsts = [row[0] for row in rows_of("Figures, measures, and what carries them")]
    assert [m for m in MEASURES if not any(first.startswith(f"`{m}`: ") for first in firsts)] == []


def test_every_response_policy_carries_something() -> None:
    carrying = " ".join(row[1] for row in rows_of("Figures, measures, and what carries them"))
    assert [kind for kind in RESPONSE if f"`{kind}`" not in carrying] == []


def row_of(parameter: Parameter) -> str:
    swept = f"{parameter.low} to {parameter.high}" if parameter.low is not None else ""
    return f"| `{parameter.id}` | {parameter.quantity} | {parameter.value} | {parameter.status} | {swept} |"


@pytest.mark.parametrize("parameter", parameters(), ids=lambda p: p.id)
def test_the_page_has_a_parameter_as_the_ledger_has_it(parameter: Parameter) -> None:
    assert MODEL.count(f"\n{row_of(parameter)}\n") == 1, row_of(parameter)


def test_the_page_has_no_parameter_that_the_ledger_has_not() -> None:
    ids = re.findall(r"^\| `([a-z0-9-]+)` \|", MODEL[MODEL.index("## Parameters") :], re.MULTILINE)
    assert sorted(ids) == sorted(parameter.id for parameter in parameters())
