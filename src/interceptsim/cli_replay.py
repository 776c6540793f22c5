"""What the command `replay` does, once its options are read: replay or follow, and print.

The command line loads this module when it is called; whatever it needs, it needs at once.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from interceptsim.backtest.follow import follow
from interceptsim.backtest.replay import replay
from interceptsim.printing_replay import print_replay, record_bar

__all__ = ["show_followed", "show_replay"]


def show_replay(records: str, *, as_json: bool, **options: Any) -> None:
    """Replay records and print what the chain's rules did."""
    with record_bar(records, shown=sys.stderr.isatty()) as progress:
        found = replay(records, progress=progress, **options)
    if as_json:
        click.echo(json.dumps(found.as_json()))
        return
    print_replay(found, records)
    for what in ("out", "rejects", "changed", "cut_off_numbers"):
        if options[what] is not None:
            click.echo(f"kept in {options[what]}")


def show_followed(records: str, policies: str | None, **options: Any) -> None:
    """Decide records as they come and write each decision at once; tell at the end how many there were."""
    if policies is None:
        raise click.UsageError("--follow needs --policies FILE")
    counts = follow(records, policies, to=sys.stdout, **options)
    click.echo(json.dumps(vars(counts)), err=True)
