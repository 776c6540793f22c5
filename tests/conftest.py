"""What tests share: small scenarios that exercise every part."""

from __future__ import annotations

import hypothesis
import pytest

from interceptsim.scenario import Scenario
from interceptsim.scenario_files import load

hypothesis.settings.register_profile("shared", deadline=None)  # first calls compile, and other machines are as slow
hypothesis.settings.load_profile("shared")


@pytest.fixture(scope="session")
def china() -> Scenario:
    """The fraud of the shipped scenario; its ordinary callers would be most of what a coarse world makes."""
    return load("china-2025").replace({"traffic.ordinary": []})


@pytest.fixture(scope="session")
def minimal() -> Scenario:
    return load("minimal")


@pytest.fixture(scope="session")
def busy(china: Scenario) -> Scenario:
    """Ten days of china-2025 with short-lived numbers and quick lists, so that much happens in little time."""
    changes: dict[str, object] = {
        "period.end": "2025-01-05",
        "period.warm_up": "5d",
        "police.delay": {"minimum": "1h", "median": "3h", "sigma": 0.9},
        "policies.reject-listed-numbers.delay": {"minimum": "1h", "mean": "2h"},
    }
    for group in china.traffic.lines:
        if group.cli == "own":
            changes[f"traffic.lines.{group.id}.number_life"] = {"median": "12h", "sigma": 1.0}
            changes[f"traffic.lines.{group.id}.notice"] = {"mean": "4h"}
            changes[f"traffic.lines.{group.id}.resupply"] = {"mean": "1h"}
    return china.replace(changes)
