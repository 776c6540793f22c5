"""What came of people: the response's integer counts as metrics, estimates for the full-size world, and frames.

Takes a `ResponseTally` and what the world knows of volumes; gives what results show.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from interceptsim.ledger import provinces
from interceptsim.response.people import People
from interceptsim.response.plane import COARSE, ResponseTally
from interceptsim.response.records import DESKS, MEASURES, MET, WAIT_BINS
from interceptsim.results import Estimate, Replicates, by_t
from interceptsim.units import HOUR_US, SECOND_US, YEAR_DAYS

__all__ = ["Harm"]

TIERS = ("high", "medium", "low")

_RETURNED, _TRANSFERRED = MEASURES.index("returned_fen"), MEASURES.index("transferred_fen")
_WEEK = 7

_MONEY = [m for m, name in enumerate(MEASURES) if name.endswith("_fen")]

_EVENTS = {
    "engaged": ("falls for it", ""),
    "averted": ("sees through it at once", ""),
    "warned": ("is sent a warning", "warn-12381"),
    "unread": ("does not read it", "warn-12381"),
    "instructed": ("desks are told, a message sent", "dispatch-by-tier"),
    "called": ("takes a call", "call-96110"),
    "visited": ("is visited", "visit-in-person"),
    "suspended": ("has the line suspended", "suspend-subscriber"),
    "dissuaded": ("stops, warned", ""),
    "doubted": ("comes to doubt", ""),
    "reported": ("reports it", ""),
    "transferred_fen": ("transfers", ""),
    "held_fen": ("is held back by the bank", "hold-suspicious-transfers"),
    "stopped_fen": ("has a transfer stopped", "freeze-transfers"),
    "returned_fen": ("is given back", "freeze-transfers"),
}
"""What the measures of a person are called in a story, and the policy behind each."""

_UNITS = {
    "met": "people",
    "12381 messages": "messages",
    "dispatch messages": "messages",
    "instructions": "instructions",
    "calls tried": "calls",
    "calls taken": "calls",
    "visits": "visits",
    "transfers": "transfers",
    "false holds": "transfers",
}


@dataclass(frozen=True)
class Harm:
    """The counts of a run's response, and how they are read.

    `estimated` turns counts by fold and line group, int64 (FOLDS, groups), into an estimate for the full-size world,
    `numbers_of` lines and generations into numbers.
    """

    people: People
    tally: ResponseTally
    scale: int
    start: dt.date
    estimated: Callable[[NDArray[np.int64]], Replicates]
    epoch_us: int
    numbers_of: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.uint64]]

    def metrics(self) -> dict[str, int]:
        """Return the integer counts, at the scale of the run."""
        ledger = self.tally.ledger
        totals, internet = ledger.tally.sum(axis=(0, 1)), ledger.tally[:, -1].sum(axis=0)
        counts = {f"response.{name}": int(totals[m]) for m, name in enumerate(MEASURES)}
        counts |= {f"response.{name} by internet": int(internet[m]) for m, name in enumerate(MEASURES) if m != MET}
        counts["response.engaged at the end"] = self.tally.engaged_at_end
        for d, desk in enumerate(DESKS):
            for k, what in enumerate(("jobs", "served", "given up", "waited (us)")):
                counts[f"desk {desk}.{what}"] = int(ledger.served[:, d, :, k].sum())
        return counts

    def arrays(self) -> list[NDArray[np.int64]]:
        """Return all counts, for the digest."""
        ledger = self.tally.ledger
        return [ledger.tally, ledger.daily, ledger.cells, ledger.waits, ledger.served]

    def _replicates(self, measure: int) -> Replicates:
        """Return the estimate of a measure: of those met by calls and messages, and of those met on the internet."""
        tally, days = self.tally.ledger.tally, len(self.tally.ledger.daily)
        expected = np.array([self.people.internet / YEAR_DAYS * days])
        weight = np.array([[float(self.scale)]])
        internet = Replicates.of(tally[:, -1:, measure], tally[:, -1:, MET], expected, weight)
        return self.estimated(tally[:, :-1, measure]).plus(internet)

    def estimates(self) -> Iterator[tuple[str, Estimate, str, str]]:
        """Yield (metric, estimate, unit, status) for the full-size world."""
        engaged = self._replicates(MEASURES.index("engaged"))
        people = int(self.tally.ledger.tally[:, :, MEASURES.index("engaged")].sum())
        most = max(engaged.value, 3.0 * self.scale)  # where nothing is counted, so many may have been missed
        loss = max(kind.mean_loss_yuan for kind in self.people.types)
        status = "few people" if people < len(self.tally.ledger.tally) else "simulated"
        for m, name in enumerate(MEASURES):
            if m == MET:
                continue
            found, unit, whole = self._replicates(m), _UNITS.get(name, "people"), most
            if name.endswith("_fen"):
                found, unit, whole = found.times(0.01), "yuan", most * loss
            yield f"{_where(name)}", found.estimate(people, whole), unit, status
        lost = self._replicates(_TRANSFERRED).plus(self._replicates(_RETURNED).times(-1.0)).times(0.01)
        yield "harm.lost", lost.estimate(people, most * loss), "yuan", status
        coarse = self._coarse()
        for d, desk in enumerate(DESKS):
            wait = self._mean_wait(d)
            if wait is not None:
                yield f"desk {desk}.mean wait", wait, "s", "coarse" if coarse[d] else "simulated"

    def _coarse(self) -> list[bool]:
        """Whether each kind of desk has too few servers at this scale for its waits to be those of the full size."""
        desks = self.tally.desks
        servers = desks["last"] - desks["first"]
        return [bool((servers[desks["does"] == d] < COARSE).any()) and self.scale > 1 for d in range(len(DESKS))]

    def _mean_wait(self, desk: int) -> Estimate | None:
        """Return the mean wait of jobs begun, in seconds; its interval comes from the weeks' means."""
        served = self.tally.ledger.served[:, desk].sum(axis=1)
        begun, waited = served[:, 1], served[:, 3] / SECOND_US
        if begun.sum() == 0:
            return None
        mean = float(waited.sum() / begun.sum())
        weeks = np.arange(len(begun)) // _WEEK
        by_week, of_week = np.bincount(weeks, begun), np.bincount(weeks, waited)
        means = (of_week[by_week > 0] / by_week[by_week > 0]).tolist()
        if len(means) < 2:
            return Estimate(mean, 0.0, 2.0 * mean)
        reach = by_t(means).high - by_t(means).value
        return Estimate(mean, max(mean - reach, 0.0), mean + reach)

    def frame(self) -> pl.DataFrame:
        """Return (date, fraud_type, province, age_band, measure, count, weight) of people at risk, by month."""
        month, kind, province, age, measure = (cells := self.tally.ledger.cells).nonzero()
        first = self.start.replace(day=1)
        months = [_month_after(first, n) for n in range(cells.shape[0])]
        return pl.DataFrame(
            {
                "date": np.array(months, "datetime64[D]")[month],
                "fraud_type": np.array([k.id for k in self.people.types])[kind],
                "province": np.array([p.id for p in provinces()])[province],
                "age_band": np.array([band.id for band in self.people.age_bands])[age],
                "measure": np.array(MEASURES)[measure],
                "count": cells[month, kind, province, age, measure],
                "weight": np.full(len(month), float(self.scale)),
            }
        )

    def daily(self) -> pl.DataFrame:
        """Return (date, fraud_type, measure, count, weight) of all, by day."""
        day, kind, measure = (daily := self.tally.ledger.daily).nonzero()
        dates = np.array([self.start + dt.timedelta(days=n) for n in range(len(daily))], "datetime64[D]")
        return pl.DataFrame(
            {
                "date": dates[day],
                "fraud_type": np.array([k.id for k in self.people.types])[kind],
                "measure": np.array(MEASURES)[measure],
                "count": daily[day, kind, measure],
                "weight": np.full(len(day), float(self.scale)),
            }
        )

    def stories(self) -> pl.DataFrame | None:
        """Return (person, time_us, event, policy, fen, fraud_type, province, age_band, a_number, b_number), in order.

        All that happened to each person, the warm-up's too; None where it was not kept. Times are UTC us, `a_number` is
        0 where the person was reached otherwise than by a number that its caller owns.
        """
        if self.tally.stories is None:
            return None
        events, cast = self.tally.stories
        known = cast["line"] >= 0
        a_number = np.zeros(len(cast), np.uint64)
        a_number[known] = self.numbers_of(cast["line"][known], cast["generation"][known])
        people = pl.DataFrame(
            {
                "person": cast["person"],
                "fraud_type": np.array([k.id for k in self.people.types])[cast["kind"]],
                "province": np.array([p.id for p in provinces()])[cast["province"]],
                "age_band": np.array([band.id for band in self.people.age_bands])[cast["age"]],
                "a_number": a_number,
                "b_number": cast["b_number"],
            }
        )
        measure = events["measure"]
        happened = pl.DataFrame(
            {
                "person": events["person"],
                "time_us": events["time_us"] + self.epoch_us,
                "event": np.array([_EVENTS.get(name, ("", ""))[0] for name in MEASURES])[measure],
                "policy": np.array([_EVENTS.get(name, ("", ""))[1] for name in MEASURES])[measure],
                "fen": np.where(np.isin(measure, _MONEY), events["amount"], 0),
            }
        ).with_row_index("nth")
        told = happened.filter(pl.col("event") != "").join(people, on="person", how="left", maintain_order="left")
        return told.sort("person", "time_us", "nth").drop("nth")

    def desks(self) -> pl.DataFrame:
        """Return how long jobs waited and how busy the staff was, by desk and tier.

        Frame (desk, tier, jobs, served, given_up, waiting, wait_mean_s, wait_p50_s, wait_p90_s, wait_p99_s,
        staff_hours, busy_ratio): quantiles are good to a tenth; `waiting` are those who wait at the end; staff is of
        the full-size world and of the whole desk.
        """
        served = self.tally.ledger.served.sum(axis=0)
        days = len(self.tally.ledger.daily)
        rows = []
        for d, desk in enumerate(DESKS):
            of = self.tally.desks[self.tally.desks["does"] == d]
            open_us = (of["closes_us"] - of["opens_us"]) * days
            capacity = float(((of["last"] - of["first"]) * open_us).sum())
            staff_hours = float(((of["last"] - of["first"]) / np.maximum(of["stretch"], 1e-12) * open_us).sum())
            busy = float(of["busy_us"].sum()) / capacity if capacity else 0.0
            for t, tier in enumerate(TIERS):
                came, begun, given_up, waited = served[d, t].tolist()
                if came == 0:
                    continue
                quantiles = [_quantile(self.tally.ledger.waits[d, t], p) for p in (0.5, 0.9, 0.99)]
                mean = waited / begun / SECOND_US if begun else 0.0
                counts = (came, begun, given_up, came - begun - given_up)
                rows.append((desk, tier, *counts, mean, *quantiles, staff_hours * self.scale / HOUR_US, busy))
        names = ["desk", "tier", "jobs", "served", "given_up", "waiting", "wait_mean_s", "wait_p50_s", "wait_p90_s"]
        return pl.DataFrame(rows, [*names, "wait_p99_s", "staff_hours", "busy_ratio"], orient="row")


def _where(measure: str) -> str:
    """Return the name of a measure in the summary."""
    return f"harm.{measure.removesuffix('_fen')}" if measure.endswith("_fen") else f"response.{measure}"


def _month_after(first: dt.date, months: int) -> dt.date:
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    return dt.date(year, month + 1, 1)


def _quantile(counts: NDArray[np.int64], p: float) -> float:
    """Return a quantile of waits, in seconds, from how many fall into each bin: the middle of the bin."""
    if counts.sum() == 0:
        return 0.0
    at = int(np.searchsorted(np.cumsum(counts), p * counts.sum()))
    return 0.0 if at == 0 else float(2 ** ((min(at, WAIT_BINS - 1) - 0.5) / 8))
