"""Pages of docs/ that name what the code and the ledger hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import to_jsonable_python

from interceptsim.ledger import figures, parameters
from interceptsim.registry import policy_kinds
from interceptsim.response.records import MEASURES

DOCS = Path(__file__).parents[1] / "docs"
MODEL = (DOCS / "model.md").read_text("utf-8") if (DOCS / "model.md").exists() else ""
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
