"""What the command `replay` does, once its options are read: replay or follow, and print.

The command line loads this module when it is called; whatever it needs, it needs at once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from interceptsim.backtest.follow import follow
from interceptsim.backtest.mapping import Mapping, as_mapping
from interceptsim.backtest.replay import replay
from interceptsim.backtest.simulated import is_run
from interceptsim.filtering.registry import policies_of
from interceptsim.printing_replay import print_replay, record_bar
from interceptsim.scenario_files import load, load_policies

__all__ = ["show_followed", "show_replay"]


def _chain(name: str | None) -> tuple[Any, tuple[str, ...]] | None:
    """Return the policies of a file, or of a scenario by file or shipped name, and the scenario's carriers."""
    if name is None:
        return None
    path = Path(name)
    if path.suffix == ".toml" and path.is_file() and "population" not in path.read_bytes().decode("utf-8", "replace"):
        return policies_of(load_policies(path), name), ()
    scenario = load(name)
    return scenario.policies, tuple(carrier.id for carrier in scenario.population.carriers)


def show_replay(records: str, policies: str | None, challenger: str | None, mapping: str | None, *, as_json: bool, **options: Any) -> None:
    """Replay records and print what the chain's rules did."""
    chain, other = _chain(policies), _chain(challenger)
    how = _with_carriers(None if mapping is None and is_run(records) else as_mapping(mapping), chain)
    with record_bar(records, shown=sys.stderr.isatty()) as progress:
        found = replay(
            records,
            None if chain is None else chain[0],
            challenger=None if other is None else other[0],
            mapping=how,
            progress=progress,
            **options,
        )
    if as_json:
        click.echo(json.dumps(found.as_json()))
        return
    print_replay(found, records)
    for what in ("out", "rejects", "changed", "cut_off_numbers"):
        if options[what] is not None:
            click.echo(f"{what.replace('_', ' ')}: kept in {options[what]}")


def _with_carriers(mapping: Mapping | None, chain: tuple[Any, tuple[str, ...]] | None) -> Mapping | None:
    """Return a mapping with the carriers of the chain's scenario, where it names none."""
    if mapping is None or chain is None or mapping.carriers or not chain[1]:
        return mapping
    return mapping.model_copy(update={"carriers": chain[1]})


def show_followed(records: str, policies: str | None, mapping: str | None, **options: Any) -> None:
    """Decide records as they come and write each decision at once; tell at the end how many there were."""
    chain = _chain(policies)
    if chain is None:
        raise click.UsageError("--follow needs --policies FILE")
    counts = follow(records, chain[0], mapping=_with_carriers(as_mapping(mapping), chain), to=sys.stdout, **options)
    click.echo(json.dumps(vars(counts)), err=True)
