"""What a run found: integer accounts turned into metrics, estimates of the full-size world, targets and frames.

Takes a `World` and the `Tally` of an engine; gives what a `RunResult` holds. Estimates are ratios over folds of lines,
never over attempts.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from interceptsim import ledger
from interceptsim.attempts import (
    ANSWERED,
    CHANNELS,
    DELIVERED,
    EXPIRED,
    FAILED,
    INTERCEPTED,
    LOST,
    NOT_MADE,
    OPEN,
    OUTCOMES,
    UNANSWERED,
)
from interceptsim.filtering.kernels import ALLOW_LISTED, OP_CODE
from interceptsim.harm import Harm
from interceptsim.people import wrongly_listed_estimates
from interceptsim.results import Estimate, Replicates, Target
from interceptsim.scenario import CalibrationTarget, StrengthTarget
from interceptsim.traffic.lines import numbers_of
from interceptsim.traffic.model import CallerGroup
from interceptsim.traffic.population import FOLDS
from interceptsim.units import DAY_US, SECOND_US
from interceptsim.world import Accounts, Tally, World, column_of

__all__ = ["Findings"]

_STRATUM_LINES = 20

_CHANGES = {
    "time_us": pl.Int64,
    "policy": pl.Utf8,
    "line_id": pl.UInt32,
    "generation": pl.Int64,
    "a_number": pl.UInt64,
    "from_us": pl.Int64,
}


class Findings:
    """What a run found: counts of the lines it had, estimates of the full-size world, the figures reported beside them.

    `harm` is what came of people, None where the scenario has none.
    """

    def __init__(self, world: World, tally: Tally) -> None:
        self._world, self._tally = world, tally
        self.scenario, self.population, self.rules = world.scenario, world.population, world.core.rules
        self.days, self.totals = world.days, tally.totals
        self.latent = self.totals.folds.sum(axis=2)
        self.by_outcome = _by_outcome(self.totals)
        self.channel = np.array([CHANNELS.index(g.channel) for g in self.population.names])
        self.expected = self._expected_latent()
        self.strata = self._strata()
        self.harm = self._harm()

    def _expected_latent(self) -> NDArray[np.float64]:
        """Return the latent attempts expected of each group of the full-size world over the counted days."""
        profile = self.population.groups["profile"]
        mean_days = [
            self._world.calendar.mean_days(int(p), self._world.from_hour, self._world.to_hour) for p in profile
        ]
        return self.population.per_day * np.array(mean_days)

    def _strata(self) -> NDArray[np.float64]:
        """Return how groups are summed for estimates, float64 (groups, strata), by their weights.

        A group is a stratum of its own; those of few lines are put together with others of their channel that
        present numbers alike, since a ratio over a handful of unequal lines is biased.
        """
        alike: dict[tuple[object, ...], list[int]] = {}
        for g, spec in enumerate(self.population.names):
            enough = self.population.kept_lines[g] >= _STRATUM_LINES or self.population.ordinary[g]
            alike.setdefault((g,) if enough else (spec.channel, spec.cli == "own"), []).append(g)
        strata = np.zeros((len(self.channel), len(alike)))
        for column, members in enumerate(alike.values()):
            strata[members, column] = self.population.weights[members]
        return strata

    def _elements(self) -> Iterator[tuple[str, bool, NDArray[np.bool_]]]:
        """Yield (name, whether it is of calls, which groups pass it) of each element of the network."""
        network = self.scenario.network
        if network is None:
            return
        names = self.population.names
        for channel, kind, elements in ((0, "trunk", network.trunk_groups), (1, "smsc", network.smscs)):
            place = [network.place_of(g) if CHANNELS.index(g.channel) == channel else None for g in names]
            for n, element in enumerate(elements):
                yield f"{kind} {element.id}", kind == "trunk", np.array([p == n for p in place])

    def _parts(self) -> dict[str, NDArray[np.bool_]]:
        """Return which groups the metrics tell of together: fraud and ordinary callers of each channel, each class."""
        ordinary = self.population.ordinary
        parts = {name: (self.channel == c) & ~ordinary for c, name in enumerate(CHANNELS)}
        for c, name in enumerate(CHANNELS):
            if ((self.channel == c) & ordinary).any():
                parts[f"ordinary {name}"] = (self.channel == c) & ordinary
        ids = np.array([spec.id for spec in self.population.names])
        for g in np.flatnonzero(ordinary):
            parts[str(ids[g])] = ids == ids[g]
        return parts

    def _columns(self, channel: int) -> dict[str, list[int]]:
        """Return, for each metric of attempts of a channel, the columns of the accounts that add up to it."""
        rules = self.rules
        everything = range((len(rules) + 1) * len(OUTCOMES))
        allow = [k for k in range(len(rules)) if self._world.core.ops[k, OP_CODE] == ALLOW_LISTED]
        voice = CHANNELS[channel] == "voice"
        reached = (FAILED, UNANSWERED, ANSWERED, OPEN) if voice else (DELIVERED,)
        ended = (INTERCEPTED, LOST, *reached) if voice else (INTERCEPTED, LOST, *reached, EXPIRED, OPEN)
        reasons = range(len(rules) + 1)
        silent = [column_of(0, NOT_MADE)]
        columns = {
            "latent": list(everything),
            "not made": silent,
            "made": [c for c in everything if c not in silent],
            **{OUTCOMES[outcome]: [column_of(r, outcome) for r in reasons] for outcome in ended},
            "delivered": [column_of(r, outcome) for r in reasons for outcome in reached],
            "labelled": [column_of(k + 1, o) for k in range(len(rules)) if k not in allow for o in reached],
        }
        for k, rule in enumerate(rules):
            columns[f"settled by {rule}"] = [column_of(k + 1, outcome) for outcome in ended]
            columns[f"intercepted by {rule}"] = [column_of(k + 1, INTERCEPTED)]
        return columns

    def metrics(self) -> dict[str, int]:
        """Return the integer counts of the run, at its scale."""
        tally, totals = self._tally, self.totals
        counts: dict[str, int] = {}
        for name, there in self._parts().items():
            by_column = totals.folds[:, there].sum(axis=(0, 1))
            for metric, columns in self._columns(self._channel_of(there)).items():
                counts[f"{name}.{metric}"] = int(by_column[columns].sum())
            for k, rule in enumerate(self.rules):
                counts[f"{name}.matched by {rule}"] = int(totals.rules[k, there, 0].sum())
                counts[f"{name}.matched by {rule} alone"] = int(totals.rules[k, there, 1].sum())
            counts[f"{name}.circuit time (us)"] = int(totals.held_us[:, there].sum())
            if self.population.ordinary[there].any():
                counts[f"{name}.days cut off"] = int(totals.cut_off[:, there].sum())
            else:
                counts[f"{name}.numbers"] = int(totals.numbers[:, there].sum())
                counts[f"{name}.numbers bought"] = int(totals.bought[:, there].sum())
                counts[f"{name}.idle (us)"] = int(totals.idle_us[:, there].sum())
                counts[f"{name}.complaints"] = int(totals.complaints[:, there].sum())
        by_outcome = self.by_outcome.sum(axis=0)
        for name, of_calls, there in self._elements():
            found = by_outcome[there].sum(axis=0)
            counts[f"{name}.attempts"] = int(found[LOST:].sum())
            for outcome in (LOST, FAILED, UNANSWERED, ANSWERED, OPEN) if of_calls else (DELIVERED, EXPIRED, OPEN):
                counts[f"{name}.{OUTCOMES[outcome]}"] = int(found[outcome])
            if of_calls:
                counts[f"{name}.circuit time (us)"] = int(totals.held_us[:, there].sum())
        counts |= tally.network
        if self.harm is not None:
            counts |= self.harm.metrics()
        counts["police.handed over"] = tally.handed_over
        counts |= {f"police.listed by {rule}": n for rule, n in tally.listed.items()}
        counts |= tally.wrongly_listed.metrics() if tally.wrongly_listed else {}
        return counts

    def _channel_of(self, there: NDArray[np.bool_]) -> int:
        """Return the channel of groups of one channel; there may be none of them."""
        return int(self.channel[there][0]) if there.any() else 0

    def _lines(self, there: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return how many lines of each fold some groups have, int64 (FOLDS, groups)."""
        return self._all_lines * there

    @functools.cached_property
    def _all_lines(self) -> NDArray[np.int64]:
        """How many lines of each fold each group has, int64 (FOLDS, groups)."""
        lines, groups = self.population.lines, len(self.channel)
        count = np.bincount(lines["fold"] * groups + lines["group"], minlength=FOLDS * groups).reshape(FOLDS, groups)
        messages = self.population.groups["messages"]
        count[:, messages[messages >= 0]] = count[:, messages >= 0]
        return count

    @functools.cached_property
    def _by_metric(self) -> list[dict[str, NDArray[np.int64]]]:
        """The attempts that add up to each metric of each channel, int64 (FOLDS, groups)."""
        folds = self.totals.folds
        return [
            {name: folds[:, :, of].sum(axis=2) for name, of in self._columns(channel).items()}
            for channel in range(len(CHANNELS))
        ]

    def _alike(self, whole: NDArray[np.float64], there: NDArray[np.bool_]) -> float:
        """Return how many lines would bound what was never seen as some groups do: by 3 over their number of all.

        `whole` is what of each group (float64) there could be: where strata are sampled unequally, all of it may be in
        the one whose lines stand for most.
        """
        lines = np.maximum(self.population.kept_lines, 1)
        return float(whole[there].sum() / max((whole[there] / lines[there]).max(initial=0.0), 1e-300))

    def _replicates(self, there: NDArray[np.bool_], counted: NDArray[np.int64]) -> Replicates:
        """Estimate a full-size total of some groups from counts by fold and group, int64 (FOLDS, groups)."""
        return Replicates.of(counted, self.latent, np.where(there, self.expected, 0.0), self.strata)

    def _estimates(self) -> Iterator[tuple[str, Estimate, str, str]]:
        """Yield (metric, estimate, unit, status) for the full-size world.

        The latent volume is known, not estimated; its interval tells how much the sampled lines' own may differ.
        """
        totals = self.totals
        fitted = {t.channel for t in self.scenario.calibration if self._is_fitted(t)}
        intercepted: dict[str, Replicates] = {}
        for name, there in self._parts().items():
            lines = self._lines(there)
            n = int(lines.sum())
            whole = float(self.expected[there].sum())
            channel = self._channel_of(there)
            status = "few lines" if n < FOLDS else "simulated"
            unit = "calls" if CHANNELS[channel] == "voice" else "messages"
            found = {metric: self._replicates(there, counted) for metric, counted in self._by_metric[channel].items()}
            full_lines = np.where(there, self.population.full_lines, 0.0)
            drawn = Replicates.of(self.latent, lines, full_lines, self.strata).estimate(n, whole)
            reach = (drawn.high - drawn.value) or whole
            yield f"{name}.latent", Estimate(whole, max(whole - reach, 0.0), whole + reach), unit, "expected"
            del found["latent"]
            ordinary = bool(self.population.ordinary[there].any())
            alike = self._alike(self.expected, there) if ordinary else n
            for metric, replicates in found.items():
                told = metric == "intercepted" or (
                    metric.startswith("intercepted by ") and name.startswith("ordinary ")
                )
                if ordinary and replicates.value == 0 and not told:
                    continue  # nothing is said of the many ways in which nothing happened to a class
                is_fitted = metric == "intercepted" and name in fitted
                yield f"{name}.{metric}", replicates.estimate(alike, whole), unit, "fitted" if is_fitted else status
            intercepted[name] = found["intercepted"]
            ratio = found["intercepted"].over(found["made"])
            if ordinary:
                yield f"{name}.intercepted per 100,000", ratio.times(1e5).estimate(alike, 1e5), unit, status
                days = Replicates.of(totals.cut_off, lines, full_lines, self.strata).times(1 / self._panel_days(there))
                hit = days.estimate(self._alike(full_lines, there), float(full_lines.sum()))
                yield f"{name}.numbers cut off on a day", hit, "numbers", status
                continue
            shown = "assumed" if name in fitted else status
            yield f"{name}.interception ratio", ratio.estimate(n, 1.0), "ratio", shown
            of_numbers = {
                "numbers": totals.numbers,
                "complaints": totals.complaints,
                "numbers bought": totals.bought,
            }
            for metric, counted in of_numbers.items():
                replicates = Replicates.of(counted, lines, full_lines, self.strata)
                yield f"{name}.{metric}", replicates.estimate(n, whole), "numbers", status
            idle = Replicates.of(totals.idle_us, lines, full_lines, self.strata).times(1 / DAY_US)
            yield f"{name}.idle line-days", idle.estimate(n, float(full_lines.sum()) * self.days), "line-days", status
        for name in CHANNELS:
            if f"ordinary {name}" in intercepted:
                both = intercepted[name].plus(intercepted[f"ordinary {name}"])
                precision = intercepted[name].over(both).estimate(1, 1.0)
                yield f"{name}.precision", precision, "ratio", "simulated"

    def _network_estimates(self) -> Iterator[tuple[str, Estimate, str, str]]:
        """Yield (metric, estimate, unit, status) for each element: what the simulated attempts met, and its load.

        Loads are means over the counted days; that which is carried is of ordinary traffic as planned and fraud.
        """
        counted, latent, apart = self.by_outcome, self.latent, np.diag(self.population.weights)
        seconds = self.days * DAY_US / SECOND_US
        for name, of_calls, there in self._elements():
            expected = np.where(there, self.expected, 0.0)
            n = int(self._lines(there).sum())
            status = "few lines" if n < FOLDS else "simulated"
            came, lost, answered, expired = (
                Replicates.of(counted[:, :, list(which)].sum(axis=2), latent, expected, apart)
                for which in (range(LOST, len(OUTCOMES)), (LOST,), (ANSWERED,), (EXPIRED,))
            )
            whole = float(expected.sum())
            if not of_calls:
                yield f"{name}.messages", came.estimate(n, whole), "messages", status
                yield f"{name}.expired ratio", expired.over(came).estimate(n, 1.0), "ratio", status
                continue
            seized = came.plus(lost.times(-1.0))
            yield f"{name}.calls", came.estimate(n, whole), "calls", status
            yield f"{name}.lost ratio", lost.over(came).estimate(n, 1.0), "ratio", status
            yield f"{name}.answer-seizure ratio", answered.over(seized).estimate(n, 1.0), "ratio", status
            held = Replicates.of(self.totals.held_us, latent, expected, apart).times(1e-6 / seconds)
            load = held.estimate(n, 1.0)
            planned, carried = (
                self._tally.network[f"{name}.{of} load (erlang s)"] / seconds for of in ("planned", "carried")
            )
            reach = load.high - load.value
            yield f"{name}.simulated load", load, "erlangs", status
            yield f"{name}.planned load", Estimate(planned, planned, planned), "erlangs", "planned"
            yield (
                f"{name}.carried load",
                Estimate(carried, max(carried - reach, 0.0), carried + reach),
                "erlangs",
                status,
            )

    def _harm(self) -> Harm | None:
        """Return what came of people, None where the scenario has none."""
        people, ordinary = self.scenario.people, self.population.ordinary
        if people is None or self._tally.response is None:
            return None
        return Harm(
            people,
            self._tally.response,
            self._world.scale,
            self.scenario.period.start,
            lambda counted: self._replicates(~ordinary, counted),
            self._world.epoch_us,
            lambda line, generation: numbers_of(self.population.lines, self.population.groups, line, generation),
        )

    def _panel_days(self, there: NDArray[np.bool_]) -> float:
        """Return how many days the lines of some ordinary groups are seen, in the mean of the full-size lines."""
        names, full = self.population.names, self.population.full_lines
        days = [min(spec.panel // DAY_US, self.days) if isinstance(spec, CallerGroup) else 0 for spec in names]
        return float(np.average(days, weights=np.where(there, full, 0.0)))

    def summary(self) -> pl.DataFrame:
        """Return the summary frame."""
        tally = self._tally
        of_people = self._fitted_strengths(self.harm.estimates()) if self.harm else ()
        found = itertools.chain(self._estimates(), self._network_estimates(), of_people)
        if tally.wrongly_listed is not None:
            fraud = ~self.population.ordinary
            full_lines = np.where(fraud, self.population.full_lines, 0.0)
            of = self._lines(fraud), full_lines, self.strata, tally.handed_over, self._world.scale
            found = itertools.chain(found, wrongly_listed_estimates(tally.wrongly_listed, *of))
        rows = [(m, e.value, e.low, e.high, unit, status) for m, e, unit, status in found]
        return pl.DataFrame(rows, ["metric", "value", "low", "high", "unit", "status"], orient="row")

    def _is_fitted(self, target: CalibrationTarget) -> bool:
        fitted = self.scenario.fitted
        return all(p in fitted and fitted[p].figure == target.figure for p in (target.volume, target.strength))

    def _fitted_strengths(
        self, found: Iterable[tuple[str, Estimate, str, str]]
    ) -> Iterator[tuple[str, Estimate, str, str]]:
        """Yield estimates of the response, those that a strength was fitted to told as such."""
        fitted = {target.quantity for target in self.scenario.strengths if self._is_solved(target)}
        for metric, estimate, unit, status in found:
            yield metric, estimate, unit, "fitted" if metric in fitted else status

    def _is_solved(self, target: StrengthTarget) -> bool:
        fitted = self.scenario.fitted.get(target.strength)
        return fitted is not None and fitted.figure == target.figure

    def targets(self) -> tuple[Target, ...]:
        """Return the reported figures that the scenario speaks of, beside the simulated ones."""
        found = []
        for target in self.scenario.calibration:
            figure = ledger.figure(target.figure)
            there = self._parts()[target.channel]
            counted = self._by_metric[CHANNELS.index(target.channel)]["intercepted"]
            replicates = self._replicates(there, counted)
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
        by_metric = {metric: estimate for metric, estimate, _, _ in self.harm.estimates()} if self.harm else {}
        for wanted in self.scenario.strengths if self.harm else ():
            reported, estimate = (
                ledger.figure(wanted.figure).value * self.days / wanted.days,
                by_metric[wanted.quantity],
            )
            role: Literal["fitted", "predicted"] = "fitted" if self._is_solved(wanted) else "predicted"
            values = (reported, estimate.value, estimate.low, estimate.high, estimate.value / reported)
            found.append(Target(wanted.figure, role, *values, self.days != wanted.days))
        return tuple(found)

    def daily(self) -> pl.DataFrame:
        """Return the daily frame."""
        population, daily = self.population, self._tally.daily
        day, cell, column = np.nonzero(daily)
        group = np.array([one.group for one in population.cells])[cell]
        start = self.scenario.period.start
        dates = np.array([start + dt.timedelta(days=n) for n in range(self.days)], "datetime64[D]")

        def told(names: Iterable[str], which: NDArray[np.int64]) -> pl.Series:
            """Return a name for each place: handing over text row by row would take longer than a small run."""
            return pl.Series(list(names), dtype=pl.Utf8).gather(which)

        return pl.DataFrame(
            {
                "date": dates[day],
                "channel": told((g.channel for g in population.names), group),
                "entry": told((g.entry for g in population.names), group),
                "hub": told((one.hub for one in population.cells), cell),
                "line_group": told((g.id for g in population.names), group),
                "fraud_type": told((one.fraud_type for one in population.cells), cell),
                "reason": told(("", *self.rules), column // len(OUTCOMES)),
                "outcome": told(OUTCOMES, column % len(OUTCOMES)),
                "count": daily[day, cell, column],
                "weight": population.weights[group],
            }
        )

    def changes(self) -> pl.DataFrame:
        """Return all that control posted, by (time, policy, line)."""
        lines, groups, epoch_us = self.population.lines, self.population.groups, self._world.epoch_us
        frames = [
            pl.DataFrame(
                {
                    "time_us": np.full(len(p.line), epoch_us + p.time_us),
                    "policy": [p.policy] * len(p.line),
                    "line_id": p.line.astype(np.uint32),
                    "generation": p.generation,
                    "a_number": numbers_of(lines, groups, p.line, p.generation),
                    "from_us": epoch_us + p.from_us,
                },
                _CHANGES,
            )
            for p in self._tally.posted
        ]
        return pl.concat([pl.DataFrame(schema=_CHANGES), *frames]).sort("time_us", "policy", "line_id", "generation")


def _by_outcome(totals: Accounts) -> NDArray[np.int64]:
    """Return the attempts of each fold and group by their outcome, int64 (FOLDS, groups, outcomes)."""
    folds = totals.folds
    return folds.reshape(*folds.shape[:2], -1, len(OUTCOMES)).sum(axis=2)
