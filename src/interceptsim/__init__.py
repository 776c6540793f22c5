"""interceptsim: a simulator of telephone fraud and of the systems that intercept it.

    import interceptsim as ics
    run = ics.run(ics.load("china-2025"), seed=1, scale=1000)
    run.summary

The public names below load the module that holds them when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interceptsim.attempts import AttemptBatch, Decisions, Truth
    from interceptsim.backtest.replay import Replay, replay
    from interceptsim.calibration import calibrate, predict, residuals
    from interceptsim.errors import (
        ColumnError,
        ConfigurationError,
        InterceptSimError,
        LookaheadError,
        ResultsError,
    )
    from interceptsim.experiments.compare import Comparison, compare, open_comparison
    from interceptsim.experiments.optimise import Optimum, optimise
    from interceptsim.experiments.profile import Profile, profile
    from interceptsim.experiments.sensitivity import Sensitivities, sensitivity
    from interceptsim.experiments.study import Study, load_study
    from interceptsim.experiments.sweep import Sweep, open_sweep, sweep
    from interceptsim.filtering.plan import FilterCore, compile_filter
    from interceptsim.ledger import figures, parameters
    from interceptsim.response.contacts import Contacts, Warnings
    from interceptsim.results import RunResult, open_run
    from interceptsim.scenario import Scenario
    from interceptsim.scenario_files import load
    from interceptsim.simulation import run
    from interceptsim.targets import read_targets

_HOMES = {
    "AttemptBatch": "attempts",
    "ColumnError": "errors",
    "Comparison": "experiments.compare",
    "ConfigurationError": "errors",
    "Contacts": "response.contacts",
    "Decisions": "attempts",
    "FilterCore": "filtering.plan",
    "InterceptSimError": "errors",
    "LookaheadError": "errors",
    "Optimum": "experiments.optimise",
    "Profile": "experiments.profile",
    "Replay": "backtest.replay",
    "ResultsError": "errors",
    "RunResult": "results",
    "Scenario": "scenario",
    "Sensitivities": "experiments.sensitivity",
    "Study": "experiments.study",
    "Sweep": "experiments.sweep",
    "Truth": "attempts",
    "Warnings": "response.contacts",
    "calibrate": "calibration",
    "compare": "experiments.compare",
    "compile_filter": "filtering.plan",
    "figures": "ledger",
    "load": "scenario_files",
    "load_study": "experiments.study",
    "open_comparison": "experiments.compare",
    "open_run": "results",
    "open_sweep": "experiments.sweep",
    "optimise": "experiments.optimise",
    "parameters": "ledger",
    "predict": "calibration",
    "profile": "experiments.profile",
    "read_targets": "targets",
    "residuals": "calibration",
    "replay": "backtest.replay",
    "run": "simulation",
    "sensitivity": "experiments.sensitivity",
    "sweep": "experiments.sweep",
}

__all__ = [
    "AttemptBatch",
    "ColumnError",
    "Comparison",
    "ConfigurationError",
    "Contacts",
    "Decisions",
    "FilterCore",
    "InterceptSimError",
    "LookaheadError",
    "Optimum",
    "Profile",
    "Replay",
    "ResultsError",
    "RunResult",
    "Scenario",
    "Sensitivities",
    "Study",
    "Sweep",
    "Truth",
    "Warnings",
    "calibrate",
    "compare",
    "compile_filter",
    "figures",
    "load",
    "load_study",
    "open_comparison",
    "open_run",
    "open_sweep",
    "optimise",
    "parameters",
    "predict",
    "profile",
    "read_targets",
    "replay",
    "residuals",
    "run",
    "sensitivity",
    "sweep",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module 'interceptsim' has no attribute {name!r}")
    return getattr(importlib.import_module(f"interceptsim.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
