"""A scenario made concrete for a seed and a scale: lines, filter, calendar, and how its counts are read.

Both engines start from a `World` and count into `Accounts`; the world turns accounts into metrics, estimates
for the full-size world, targets and the daily frame.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from interceptsim import ledger
from interceptsim.attempts import (
    CHANNELS,
    COLUMNS,
    DELIVERED,
    INTERCEPTED,
    LOCAL_OFFSET_US,
    NOT_MADE,
    OPTIONAL_COLUMNS,
    OUTCOMES,
)
from interceptsim.errors import ConfigurationError
from interceptsim.filtering.kernels import ALLOW_LISTED, OP_CODE
from interceptsim.filtering.plan import FilterCore, compile_filter
from interceptsim.randomness import root_key, threshold
from interceptsim.results import Estimate, Posting, Replicates, Target
from interceptsim.scenario import CalibrationTarget, Scenario
from interceptsim.traffic.kernels import numbers_of
from interceptsim.traffic.population import FOLDS, Calendar, Population, build_population
from interceptsim.units import DAY_US

__all__ = ["SIMULATED_COLUMNS", "Accounts", "Progress", "Tally", "World", "column_of"]

EPOCH = dt.date(1970, 1, 1)

_STRATUM_LINES = 20

_CHANGES = {
    "time_us": pl.Int64,
    "policy": pl.Utf8,
    "line_id": pl.UInt32,
    "generation": pl.Int64,
    "a_number": pl.UInt64,
    "from_us": pl.Int64,
}

SIMULATED_COLUMNS = (*(name for name in COLUMNS if name not in OPTIONAL_COLUMNS), "text_score", "link")
"""The visible columns of simulated attempts; records may have more."""


def column_of(reason: int, outcome: int) -> int:
    """Return the column of the accounts for a reason (0 none, else position of the rule) and an outcome."""
    return reason * len(OUTCOMES) + outcome


class Accounts(NamedTuple):
    """Integer counts of attempts.

    daily    (cells, columns)           since `clear_daily`; cells are (line group, fraud type)
    folds    (FOLDS, groups, columns)   since the accounts began, for the jackknife
    rules    (rules, groups, 2)         attempts matched by each rule, and by it alone
    numbers  (FOLDS, groups)            numbers that presented themselves for the first time
    complaints (FOLDS, groups)          numbers complained of
    """

    daily: NDArray[np.int64]
    folds: NDArray[np.int64]
    rules: NDArray[np.int64]
    numbers: NDArray[np.int64]
    complaints: NDArray[np.int64]

    @classmethod
    def empty(cls, cells: int, groups: int, rules: int) -> Accounts:
        """Return accounts of zero."""
        columns = (rules + 1) * len(OUTCOMES)
        return cls(
            np.zeros((cells, columns), np.int64),
            np.zeros((FOLDS, groups, columns), np.int64),
            np.zeros((max(rules, 1), groups, 2), np.int64),
            np.zeros((FOLDS, groups), np.int64),
            np.zeros((FOLDS, groups), np.int64),
        )

    def made(self) -> int:
        """Return how many attempts were made."""
        return int(self.folds.sum() - self.folds[:, :, column_of(0, NOT_MADE)].sum())

    def clear(self) -> None:
        """Set every count to zero."""
        for counts in self:
            counts.fill(0)


Progress = Callable[[int, int, int], None]
"""Called after each simulated day with days done, days in all, and attempts made so far."""


class Tally(NamedTuple):
    """What an engine found: accounts of the counted days, and what control did.

    daily     int64 (days, cells, columns)
    attempts  made, those of the warm-up included
    """

    totals: Accounts
    daily: NDArray[np.int64]
    attempts: int
    handed_over: int
    listed: dict[str, int]
    posted: list[Posting]


class World:
    """A scenario made concrete for a seed and a scale: its lines, filter and calendar, and how to read counts."""

    def __init__(self, scenario: Scenario, seed: int, scale: int, days: int) -> None:
        period = scenario.period
        self.scenario = scenario
        self.scale = scale
        self.days = days
        self.key = root_key(seed)
        self.first_day = period.start - dt.timedelta(days=period.warm_up_days)
        self.epoch_us = (self.first_day - EPOCH).days * DAY_US - LOCAL_OFFSET_US
        self.from_hour = period.warm_up_days * 24
        self.to_hour = (period.warm_up_days + days) * 24
        self.calendar = Calendar.build(scenario.traffic.profiles, self.first_day.weekday(), self.to_hour)
        self.population: Population = build_population(scenario.traffic, scenario.hubs, scale, self.key, self.calendar)
        self.core = _compiled(scenario)
        self.channel = np.array([CHANNELS.index(g.channel) for g in self.population.names])
        self.expected = self._expected_latent()
        self.strata = self._strata()

    def _expected_latent(self) -> NDArray[np.float64]:
        """Return the latent attempts expected of each group of the full-size world over the counted days."""
        profile = self.population.groups["profile"]
        mean_days = [self.calendar.mean_days(int(p), self.from_hour, self.to_hour) for p in profile]
        return self.population.per_day * np.array(mean_days)

    def _strata(self) -> NDArray[np.float64]:
        """Return how groups are summed for estimates, float64 (groups, strata), by their weights.

        A group is a stratum of its own; those of few lines are put together with others of their channel that
        present numbers alike, since a ratio over a handful of unequal lines is biased.
        """
        alike: dict[tuple[object, ...], list[int]] = {}
        for g, spec in enumerate(self.population.names):
            enough = self.population.kept_lines[g] >= _STRATUM_LINES
            alike.setdefault((g,) if enough else (spec.channel, spec.cli == "own"), []).append(g)
        strata = np.zeros((len(self.channel), len(alike)))
        for column, members in enumerate(alike.values()):
            strata[members, column] = self.population.weights[members]
        return strata

    def _full_lines(self, channel: int) -> NDArray[np.float64]:
        """Return the full-size world's lines of each group of a channel."""
        return np.where(self.channel == channel, self.population.full_lines, 0.0)

    def carriers(self) -> NDArray[np.uint8]:
        """Return the carrier code of each value of a byte of a called number's hash (uint8, 256)."""
        ends = np.cumsum([c.share for c in self.scenario.population.carriers])
        codes = np.searchsorted(ends, (np.arange(256) + 0.5) / 256)
        return np.minimum(codes, len(ends) - 1).astype(np.uint8)

    def complaint_bounds(self) -> NDArray[np.uint64]:
        """Return, by channel, the threshold of the draw for a complaint about a delivered attempt."""
        police = self.scenario.police
        return np.array([threshold(r) for r in (police.voice_complaint_ratio, police.sms_complaint_ratio)], np.uint64)

    def _columns(self, channel: int) -> dict[str, list[int]]:
        """Return, for each metric of a channel, the columns of the accounts that add up to it."""
        rules = self.core.rules
        everything = range((len(rules) + 1) * len(OUTCOMES))
        allow = [k for k in range(len(rules)) if self.core.ops[k, OP_CODE] == ALLOW_LISTED]
        reasons = range(len(rules) + 1)
        silent = [column_of(0, NOT_MADE)]
        name = CHANNELS[channel]
        columns = {
            "latent": list(everything),
            "not made": silent,
            "made": [c for c in everything if c not in silent],
            "intercepted": [column_of(r, INTERCEPTED) for r in reasons],
            "delivered": [column_of(r, DELIVERED) for r in reasons],
            "labelled": [column_of(k + 1, DELIVERED) for k in range(len(rules)) if k not in allow],
        }
        for k, rule in enumerate(rules):
            columns[f"settled by {rule}"] = [column_of(k + 1, INTERCEPTED), column_of(k + 1, DELIVERED)]
        return {f"{name}.{metric}": chosen for metric, chosen in columns.items()}

    def metrics(self, tally: Tally) -> dict[str, int]:
        """Return the integer counts of the run, at its scale."""
        totals = tally.totals
        counts: dict[str, int] = {}
        for channel, name in enumerate(CHANNELS):
            there = self.channel == channel
            by_column = totals.folds[:, there].sum(axis=(0, 1))
            for metric, columns in self._columns(channel).items():
                counts[metric] = int(by_column[columns].sum())
            for k, rule in enumerate(self.core.rules):
                counts[f"{name}.matched by {rule}"] = int(totals.rules[k, there, 0].sum())
                counts[f"{name}.matched by {rule} alone"] = int(totals.rules[k, there, 1].sum())
            counts[f"{name}.numbers"] = int(totals.numbers[:, there].sum())
            counts[f"{name}.complaints"] = int(totals.complaints[:, there].sum())
        counts["police.handed over"] = tally.handed_over
        counts |= {f"police.listed by {rule}": n for rule, n in tally.listed.items()}
        return counts

    def _lines(self, channel: int) -> NDArray[np.int64]:
        """Return how many lines of each fold and group are of a channel, int64 (FOLDS, groups)."""
        lines = self.population.lines
        count = np.zeros((FOLDS, len(self.channel)), np.int64)
        np.add.at(count, (lines["fold"], lines["group"]), 1)
        return count * (self.channel == channel)

    def _replicates(self, totals: Accounts, channel: int, counted: NDArray[np.int64]) -> Replicates:
        """Estimate a full-size total of a channel from counts by fold and group, int64 (FOLDS, groups)."""
        latent = totals.folds.sum(axis=2)
        return Replicates.of(counted, latent, np.where(self.channel == channel, self.expected, 0.0), self.strata)

    def estimates(self, totals: Accounts) -> Iterator[tuple[str, Estimate, str, str]]:
        """Yield (metric, estimate, unit, status) for the full-size world.

        The latent volume is known, not estimated; its interval tells how much the sampled lines' own may differ.
        """
        fitted = {t.channel for t in self.scenario.calibration if self._is_fitted(t)}
        for channel, name in enumerate(CHANNELS):
            lines = self._lines(channel)
            n = int(lines.sum())
            whole = float(self.expected[self.channel == channel].sum())
            status = "few lines" if n < FOLDS else "simulated"
            unit = "calls" if name == "voice" else "messages"
            found = {
                metric: self._replicates(totals, channel, totals.folds[:, :, columns].sum(axis=2))
                for metric, columns in self._columns(channel).items()
            }
            latent = totals.folds.sum(axis=2)
            drawn = Replicates.of(latent, lines, self._full_lines(channel), self.strata).estimate(n, whole)
            reach = (drawn.high - drawn.value) or whole
            yield f"{name}.latent", Estimate(whole, max(whole - reach, 0.0), whole + reach), unit, "expected"
            del found[f"{name}.latent"]
            for metric, replicates in found.items():
                is_fitted = metric == f"{name}.intercepted" and name in fitted
                yield metric, replicates.estimate(n, whole), unit, "fitted" if is_fitted else status
            ratio = found[f"{name}.intercepted"].over(found[f"{name}.made"])
            yield (
                f"{name}.interception ratio",
                ratio.estimate(n, 1.0),
                "ratio",
                "assumed" if name in fitted else status,
            )
            for metric, counted in (("numbers", totals.numbers), ("complaints", totals.complaints)):
                replicates = Replicates.of(counted, lines, self._full_lines(channel), self.strata)
                yield f"{name}.{metric}", replicates.estimate(n, whole), "numbers", status

    def summary(self, totals: Accounts) -> pl.DataFrame:
        """Return the summary frame."""
        rows = [(m, e.value, e.low, e.high, unit, status) for m, e, unit, status in self.estimates(totals)]
        return pl.DataFrame(rows, ["metric", "value", "low", "high", "unit", "status"], orient="row")

    def _is_fitted(self, target: CalibrationTarget) -> bool:
        fitted = self.scenario.fitted
        return all(p in fitted and fitted[p].figure == target.figure for p in (target.volume, target.strength))

    def targets(self, totals: Accounts) -> tuple[Target, ...]:
        """Return the reported figures that the scenario speaks of, beside the simulated ones."""
        found = []
        for target in self.scenario.calibration:
            figure = ledger.figure(target.figure)
            channel = CHANNELS.index(target.channel)
            there = self.channel == channel
            columns = self._columns(channel)[f"{target.channel}.intercepted"]
            replicates = self._replicates(totals, channel, totals.folds[:, :, columns].sum(axis=2))
            lines = int(self.population.kept_lines[there].sum())
            estimate = replicates.estimate(lines, float(self.expected[there].sum()))
            reported = figure.value * self.days / target.days
            found.append(
                Target(
                    target.figure,
                    "fitted" if self._is_fitted(target) else "predicted",
                    reported,
                    estimate.value,
                    estimate.low,
                    estimate.high,
                    estimate.value / reported,
                    self.days != target.days,
                )
            )
        return tuple(found)

    def daily_frame(self, daily: NDArray[np.int64]) -> pl.DataFrame:
        """Return the daily frame from counts, int64 (days, cells, columns)."""
        population = self.population
        day, cell, column = np.nonzero(daily)
        group = np.array([g for g, _ in population.cells])[cell]
        kind = np.array([name for _, name in population.cells])[cell]
        reasons = np.array(["", *self.core.rules])
        start = self.scenario.period.start
        dates = np.array([start + dt.timedelta(days=n) for n in range(self.days)], "datetime64[D]")
        return pl.DataFrame(
            {
                "date": dates[day],
                "channel": np.array([g.channel for g in population.names])[group],
                "entry": np.array([g.entry for g in population.names])[group],
                "hub": np.array([g.hub for g in population.names])[group],
                "line_group": np.array([g.id for g in population.names])[group],
                "fraud_type": kind,
                "reason": reasons[column // len(OUTCOMES)],
                "outcome": np.array(OUTCOMES)[column % len(OUTCOMES)],
                "count": daily[day, cell, column],
                "weight": population.weights[group],
            }
        )

    def changes_frame(self, posted: list[Posting]) -> pl.DataFrame:
        """Return all that control posted, by (time, policy, line)."""
        lines, groups = self.population.lines, self.population.groups
        frames = [
            pl.DataFrame(
                {
                    "time_us": np.full(len(p.line), self.epoch_us + p.time_us),
                    "policy": [p.policy] * len(p.line),
                    "line_id": p.line.astype(np.uint32),
                    "generation": p.generation,
                    "a_number": numbers_of(lines, groups, p.line, p.generation),
                    "from_us": self.epoch_us + p.from_us,
                },
                _CHANGES,
            )
            for p in posted
        ]
        return pl.concat([pl.DataFrame(schema=_CHANGES), *frames]).sort("time_us", "policy", "line_id", "generation")


def _compiled(scenario: Scenario) -> FilterCore:
    """Compile a scenario's chain; refuse rules that read what the simulation does not make."""
    core = compile_filter(scenario.policies, carriers=[c.id for c in scenario.population.carriers])
    for column, policy_id in core.needs.items():
        if column not in SIMULATED_COLUMNS:
            raise ConfigurationError(
                f"policies.{policy_id}",
                f"reads column {column!r}, which records may have but simulated traffic has not",
            )
    return core
