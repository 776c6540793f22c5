"""What the command line prints for people: tables of runs, comparisons and audits, numbers as people say them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from interceptsim.audit import Audit, View
from interceptsim.experiments.compare import Comparison
from interceptsim.printing_response import print_response
from interceptsim.response.wrongly_listed import KINDS
from interceptsim.results import Estimate, RunResult
from interceptsim.scenario import Scenario
from interceptsim.terminal import plain_console, plain_table, readable, span
from interceptsim.units import DAY_US

__all__ = [
    "print_audit",
    "print_comparison",
    "print_run",
    "progress_bar",
]

_UNITS = {"voice": "calls", "sms": "messages"}


@contextlib.contextmanager
def progress_bar(title: str, *, shown: bool) -> Iterator[Callable[[int, int, int], None] | None]:
    """Give what to call after each day of a run, or None where nothing is `shown`.

    It draws a bar of days on standard error, with attempts per second and the time left.
    """
    if not shown:
        yield None
        return
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("day {task.completed} of {task.total}"),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(title, total=None, speed="")
    started = time.perf_counter()

    def progress(done: int, total: int, attempts: int) -> None:
        speed = attempts / (time.perf_counter() - started) / 1e6
        bar.update(task, completed=done, total=total, speed=f"{speed:.1f} M attempts/s")

    with bar:
        yield progress


def _extent(scenario: Scenario, scale: int, seed: int, days: int) -> str:
    """Say what was simulated: how much of the world, from which seed, over which days."""
    period = scenario.period
    counted = f"{days} days" if days == period.days else f"{days} of {period.days} days"
    return f"scale 1:{scale}, seed {seed}, {counted} from {period.start} after {period.warm_up_days} of warm-up"


def _named(metric: str, channel: str) -> str:
    """Write the name of a channel's metric as it stands in a table of that channel."""
    name = metric.removeprefix(f"{channel}.")
    return {"numbers": "numbers used", "complaints": "numbers complained of"}.get(
        name, name.replace("settled by ", "  by ")
    )


def print_run(result: RunResult) -> None:
    """Print the tables of a run."""
    console = plain_console()
    console.print(result.scenario.title, style="bold")
    console.print(
        f"{_extent(result.scenario, result.scale, result.seed, result.days)}\n"
        "Estimates are for the full-size world; intervals are 95 %.\n"
    )
    if result.targets:
        columns = ("reported", "simulated", "interval", "ratio")
        table = plain_table("Reported and simulated", ("figure",), columns, "role")
        for t in result.targets:
            shown = (
                readable(t.reported, None, 2),
                readable(t.simulated, None, 2),
                span(t.low, t.high, t.simulated, 2),
                f"{t.ratio:.4f}",
            )
            table.add_row(t.id, *shown, t.role)
        console.print(table)
        prorated = (
            "Reported figures are prorated to the simulated days. " if any(t.prorated for t in result.targets) else ""
        )
        console.print(
            f"{prorated}A fitted figure is no evidence: latent volume and one strength were chosen for what is "
            "intercepted, under a ratio that is assumed; one strength of the response for each other figure.\n",
            style="dim",
        )
    for channel, unit in _UNITS.items():
        if not result.metrics.get(f"{channel}.made"):
            continue
        table = plain_table(f"What became of the {unit}", ("",), (unit, "interval"), "status")
        for metric, value, low, high, of, status in result.summary.iter_rows():
            by_rule = ".settled by " in metric or ".intercepted by " in metric
            if not metric.startswith(f"{channel}.") or (by_rule and not (value and ".settled" in metric)):
                continue
            table.add_row(
                _named(metric, channel),
                f"{value:.4f}" if of == "ratio" else readable(value),
                f"{low:.4f} – {high:.4f}" if of == "ratio" else span(low, high, value),
                status,
            )
        console.print(table)
        rules = plain_table(f"What each rule matched, in {unit} at 1:{result.scale}", ("rule",), ("matched", "alone"))
        for name, matched in result.metrics.items():
            rule = name.removeprefix(f"{channel}.matched by ")
            if rule != name and not name.endswith(" alone") and matched:
                rules.add_row(rule, f"{matched:,}", f"{result.metrics[name + ' alone']:,}")
        console.print(rules)
    if "ordinary voice.made" in result.metrics or "ordinary sms.made" in result.metrics:
        _print_false_positives(console, result)
    if result.scenario.network is not None:
        _print_network(console, result)
    if result.scenario.people is not None:
        print_response(console, result)
    console.print(
        f"{result.attempts:,} attempts decided in {result.wall_s:.2f} s "
        f"({result.attempts / result.wall_s / 1e6:.1f} million a second, {result.threads} threads, slices of "
        f"{result.slice_us / 6e7:g} min; compiling took {result.compile_s:.1f} s)\ndigest {result.digest}"
    )


def _print_false_positives(console: Console, result: RunResult) -> None:
    """Print what each rule takes from fraud and from ordinary callers, and whom it cuts off."""
    found = {metric: Estimate(value, low, high) for metric, value, low, high, _, _ in result.summary.iter_rows()}
    over = "a year" if result.days == result.scenario.period.days else f"in {result.days} days"
    for channel, unit in _UNITS.items():
        ordinary = f"ordinary {channel}"
        if not result.metrics.get(f"{ordinary}.made"):
            continue
        table = plain_table(
            f"{unit.capitalize()} intercepted {over}", ("by",), ("of fraud", "of ordinary", "per 100,000")
        )
        made = found[f"{ordinary}.made"].value
        names = [m.partition(".intercepted by ")[2] for m in found if m.startswith(f"{ordinary}.intercepted by ")]
        for shown, metric in (("all rules", "intercepted"), *((f"  {n}", f"intercepted by {n}") for n in names)):
            fraud, others = found[f"{channel}.{metric}"], found[f"{ordinary}.{metric}"]
            if fraud.value or others.value:
                table.add_row(shown, _over(fraud), _over(others), readable(others.value / made * 1e5))
        console.print(table)
    columns = ("intercepted", "per 100,000", "labelled", "numbers hit on a day")
    table = plain_table(f"Ordinary callers cut off {over}", ("class",), columns)
    for callers in result.scenario.traffic.ordinary:
        cut = found.get(f"{callers.id}.intercepted")
        if cut is not None:
            rate, hit = found[f"{callers.id}.intercepted per 100,000"], found[f"{callers.id}.numbers cut off on a day"]
            labelled = found.get(f"{callers.id}.labelled")
            shown = readable(labelled.value) if labelled else "0"
            table.add_row(callers.id, _over(cut), readable(rate.value), shown, _over(hit))
    console.print(table)
    _print_wrongly_listed(console, found, over)
    shares = [f"{found[f'{c}.precision'].value:.3f} of {u}" for c, u in _UNITS.items() if f"{c}.precision" in found]
    sampled = sum(result.metrics.get(f"ordinary {channel}.made", 0) for channel in _UNITS)
    part = result.ordinary_time_ratio
    in_time = "" if part is None else f", in {part:.0%} of the time that lines took"
    console.print(
        f"Of what is intercepted, fraud is (precision) {' and '.join(shares)}. Ordinary callers are a sample: "
        f"{sampled:,} attempts, {sampled / max(result.attempts, 1):.0%} of all that were decided{in_time}.\n",
        style="dim",
    )


def _print_wrongly_listed(console: Console, found: dict[str, Estimate], over: str) -> None:
    """Print who is listed though they are no fraudsters, and for how long they are cut off."""
    kinds = [name for name in KINDS if f"{name}.people listed" in found]
    columns = ("cut off", "calls", "mean", "median", "95 %")
    title = f"Listed though they are no fraudsters, by what is handed over {over}: people\n"
    table = plain_table(f"{title}cut off, calls intercepted, hours until unblocked", ("",), columns)
    for name in kinds:
        counted = [_over(found[f"{name}.{of}"]) for of in ("people cut off", "calls intercepted")]
        hours = [found.get(f"{name}.hours until unblocked, {of}") for of in ("mean", "median", "95 %")]
        shown = ("" if of is None else f"{of.value:.0f}\n{of.low:.0f} – {of.high:.0f}" for of in hours)
        table.add_row(name.removeprefix("handed over ").removesuffix(" numbers"), *counted, *shown)
    if kinds:
        console.print(table)


def _over(estimate: Estimate) -> str:
    """Write an estimate over its interval, which is an upper bound where nothing was counted."""
    if estimate.value == 0:
        return f"0\nbelow {readable(estimate.high)}"
    return f"{readable(estimate.value)}\n{span(estimate.low, estimate.high, estimate.value)}"


def _print_network(console: Console, result: RunResult) -> None:
    """Print what became of calls at each trunk group, and of messages at each message centre."""
    value = dict(result.summary.select("metric", "value").iter_rows())
    network = result.scenario.network
    assert network is not None
    columns = ("lost", "ASR", "planned", "carried", "busiest", "circuits")
    trunks = plain_table("Trunk groups: share of calls lost, answer-seizure ratio, load in Erlangs", ("",), columns)
    for trunk in network.trunk_groups:
        of = f"trunk {trunk.id}"
        trunks.add_row(
            trunk.id,
            *(f"{value[f'{of}.{ratio}']:.4f}" for ratio in ("lost ratio", "answer-seizure ratio")),
            *(readable(value[f"{of}.{load} load"]) for load in ("planned", "carried")),
            readable(result.metrics[f"{of}.busiest load (milli-erlangs)"] / 1000),
            readable(trunk.circuits),
        )
    smscs = plain_table("Message centres", ("",), ("messages", "expired", "mean delay", "longest delay"))
    intervals = result.days * (DAY_US // network.measure_every)
    for smsc in network.smscs:
        of = f"smsc {smsc.id}"
        delays = (
            result.metrics[f"{of}.delay over all intervals (us)"] / intervals,
            result.metrics[f"{of}.longest delay (us)"],
        )
        shown = (f"{readable(us / 1e6)} s" for us in delays)
        smscs.add_row(smsc.id, readable(value[f"{of}.messages"]), f"{value[f'{of}.expired ratio']:.4f}", *shown)
    for table in (trunks, smscs):
        if table.row_count:
            console.print(table)


_DIFFERENCES = ("baseline", "difference", "interval")
_ANSWERS = {"money, in yuan": "harm.", "people and what was done": "response.", "waits at desks, in seconds": "desk "}


def print_comparison(found: Comparison) -> None:
    """Print, for each variant, how its metrics differ from the baseline's."""
    console = plain_console()
    replications = len(found.seeds)
    pairs = f"{replications} pair{'s' if replications > 1 else ''} of runs over the same latent traffic"
    told = found.effects["method"][0]
    intervals = f"intervals are 95 %, {told}" if replications > 1 else "one pair gives no interval"
    console.print(found.baseline.title, style="bold")
    console.print(
        f"{_extent(found.baseline, found.options['scale'], found.seed, found.days)}\n"
        f"Differences are variant minus baseline, in {pairs}, for the full-size world; {intervals}.\n"
    )
    of_baseline = found.values.filter(pl.col("variant") == found.baseline.name)
    baseline = dict(of_baseline.group_by("metric").agg(pl.col("value").mean()).iter_rows())
    for variant in found.variants:
        effects = found.effects.filter(pl.col("variant") == variant).select("metric", "difference", "low", "high")
        rows = [row for row in effects.iter_rows() if baseline.get(row[0]) or row[1]]
        for channel, unit in _UNITS.items():
            table = plain_table(f"{variant}: {unit}", ("",), _DIFFERENCES)
            for metric, difference, low, high in rows:
                told_by_verdict = f"{channel}.intercepted by " in metric  # beside what each rule settles
                if metric.startswith(f"{channel}.") and metric != f"{channel}.latent" and not told_by_verdict:
                    value = baseline.get(metric, 0.0)
                    table.add_row(_named(metric, channel), *_difference(metric, value, difference, low, high))
            if table.row_count:
                console.print(table)
        for title, start in _ANSWERS.items():
            table = plain_table(f"{variant}: {title}", ("",), _DIFFERENCES)
            for metric, difference, low, high in rows:
                if metric.startswith(start):
                    shown = _difference(metric, baseline.get(metric, 0.0), difference, low, high)
                    table.add_row(metric.removeprefix(start), *shown)
            if table.row_count:
                console.print(table)
        _print_hubs(console, found, variant, baseline)
    _print_side_by_side(console, found)
    for row in found.needed().iter_rows(named=True):
        short = row["half_width"] > row["wished"]
        verdict = f"about {row['needed']} pairs are needed in all" if short else "is reached"
        console.print(
            f"{row['variant']}, {row['metric']}: ± {row['half_width']:.4g}, the wish of ± {row['wished']:.4g} {verdict}"
        )
    console.print(f"{found.attempts:,} attempts decided in {found.wall_s:.2f} s")


def _print_side_by_side(console: Console, found: Comparison) -> None:
    """Print what each variant takes from fraud and from which ordinary callers, and how they rank by that."""
    named = (found.baseline.name, *found.variants)
    mean = found.values.group_by("variant", "metric").agg(pl.col("value").mean())
    values = {(variant, metric): value for variant, metric, value in mean.iter_rows()}
    rows = []
    for channel, unit in _UNITS.items():
        rows += [(f"fraud {unit} intercepted", f"{channel}.intercepted"), ("  delivered", f"{channel}.delivered")]
        for callers in found.baseline.traffic.ordinary:
            if callers.channel == channel:
                rows.append((f"{callers.id}: {unit} intercepted", f"{callers.id}.intercepted"))
                rows.append(("  numbers cut off on a day", f"{callers.id}.numbers cut off on a day"))
    table = plain_table("Caught fraud, and ordinary callers cut off", ("",), named)
    for shown, metric in rows:
        told = [values.get((variant, metric), 0.0) for variant in named]
        if any(told):
            table.add_row(shown, *(readable(value) for value in told))
    if not any(f"ordinary {channel}.intercepted" in found.values["metric"] for channel in _UNITS):
        return
    console.print(table)
    for channel, unit in _UNITS.items():
        for metric, what in (
            (f"{channel}.delivered", "fraud delivered"),
            (f"ordinary {channel}.intercepted", "ordinary cut off"),
        ):
            ranked = sorted((values.get((variant, metric), 0.0), variant) for variant in named)
            if ranked[0][0] < ranked[-1][0]:
                console.print(f"{unit}, {what}, least first: {', '.join(variant for _, variant in ranked)}")
    console.print()


def _print_hubs(console: Console, found: Comparison, variant: str, baseline: dict[str, float]) -> None:
    """Print what a variant that raids other hubs changes by hub and month, where it changes anything."""
    raids = [[p for p in of.policies if p.kind == "raid-hubs"] for of in (found.baseline, found.variants[variant])]
    if raids[0] == raids[1]:
        return
    table = plain_table(f"{variant}: attempts made, by hub and month", ("hub", "month"), _DIFFERENCES)
    changed = found.by_hub.filter(pl.col("difference") != 0.0, variant=variant, measure="made")
    for row in changed.sort("hub", "month").iter_rows(named=True):
        metric = f"hub {row['hub']} {row['month']}.made"
        ends = row["difference"], row["low"], row["high"]
        table.add_row(row["hub"], row["month"], *_difference(metric, baseline.get(metric, 0.0), *ends))
    if table.row_count:
        console.print(table)


def _difference(
    metric: str, value: float, difference: float, low: float | None, high: float | None
) -> tuple[str, str, str]:
    """Write a metric of the baseline, how a variant differs from it, and the interval of that."""
    sign = "+" if difference > 0 else ""
    if metric.endswith(" ratio"):
        interval = "" if low is None or high is None else f"{low:.4f} – {high:.4f}"
        return f"{value:.4f}", f"{sign}{difference:.4f}", interval
    ends = (difference,) if low is None or high is None else (low, high)
    of = max(ends, key=abs)
    return readable(value), sign + readable(difference, of), span(*ends, of) if len(ends) == 2 else ""


def print_audit(found: Audit) -> None:
    """Print how well each column and a tree tell fraud from ordinary traffic, and how callers behave."""
    console = plain_console()
    result = found.run
    console.print(f"{result.scenario.title}: leakage audit", style="bold")
    console.print(
        f"{_extent(result.scenario, result.scale, result.seed, result.days)}\n"
        "AUC is the chance that fraud ranks above ordinary traffic: 0.5 tells nothing, 1 all. Columns are judged as\n"
        "numbers, whichever way round, and as categories, in numbers that they were not fitted to.\n"
    )
    for view in found.views:
        _print_view(console, view)
    for (channel,), callers in found.callers.group_by("channel", maintain_order=True):
        points = tuple(name for name in callers.columns if name.startswith("q"))
        title = f"{channel}: numbers of fraud and of ordinary callers; 5, 25, 50, 75 and 95 % lie at or below"
        table = plain_table(title, ("statistic", "callers"), ("numbers", "days", *(f"{name[1:]} %" for name in points)))
        last = ""
        for row in callers.sort("statistic", maintain_order=True).iter_rows(named=True):
            shown = "" if row["statistic"] == last else row["statistic"]
            last = row["statistic"]
            counts = (f"{row['numbers']:,}", str(row["days"]))
            table.add_row(shown, row["callers"], *counts, *(f"{row[name]:.3g}" for name in points))
        console.print(table)
    leaks = found.leaks
    console.print(f"{leaks.height or 'no'} column{'' if leaks.height == 1 else 's'} above {found.limit:g}")


def _print_view(console: Console, view: View) -> None:
    """Print the columns of a view and the tree over them."""
    of = f"{view.fraud:,} of fraud, {view.ordinary:,} ordinary"
    table = plain_table(f"{view.channel}, by {view.per} ({of})", ("column",), ("as number", "as category", "AUC"), "")
    for column, by_value, by_code, auc, exceeds in view.columns.iter_rows():
        table.add_row(column, f"{by_value:.3f}", f"{by_code:.3f}", f"{auc:.3f}", "above the limit" if exceeds else "")
    console.print(table)
    tree = plain_table(f"tree over all columns: AUC {view.auc:.3f}", ("rule",), ("of fraud", "of ordinary"))
    for leaf in view.rules:
        tree.add_row(leaf.rule or "all", f"{leaf.positive:.4f}", f"{leaf.negative:.4f}")
    console.print(tree)
