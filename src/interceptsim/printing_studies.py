"""What the command line prints of studies: what a sweep would take, its table, and progress by runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from interceptsim.errors import nearest_name
from interceptsim.experiments.foresee import Foreseen
from interceptsim.experiments.optimise import Optimum
from interceptsim.experiments.profile import Profile
from interceptsim.experiments.sensitivity import Sensitivities
from interceptsim.experiments.study import Study
from interceptsim.experiments.sweep import Sweep
from interceptsim.terminal import plain_console, plain_table, readable

__all__ = [
    "print_foreseen",
    "print_optimum",
    "print_profile",
    "print_residuals",
    "print_sensitivities",
    "print_sweep",
    "run_bar",
    "short_names",
    "with_interval",
]

_MOST_ROWS = 60
_MOST_ERRORS = 5
_NO_WIDTH = 1e-9
_UNBROKEN = "\N{NO-BREAK SPACE}"


@contextlib.contextmanager
def run_bar(title: str, *, shown: bool) -> Iterator[Callable[[int, int, str], None] | None]:
    """Give what to call as runs end, or None where nothing is `shown`; it draws a bar of runs on standard error."""
    if not shown:
        yield None
        return
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed} of {task.total}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    tasks = {}

    def progress(done: int, of: int, what: str) -> None:
        if what not in tasks:
            tasks[what] = bar.add_task(f"{title}: {what}", total=of)
        bar.update(tasks[what], completed=done, total=of)

    with bar:
        yield progress


def print_foreseen(study: Study, found: Foreseen, workers: int) -> None:
    """Print what a sweep would take."""
    console = plain_console()
    variants = f" x {len(study.variant_names)} variants" if study.variants else ""
    console.print(
        f"{study.name}: {found.points} points{variants} x {study.replications} replications = {found.runs} different "
        f"runs at 1:{study.scale}, {found.runs - found.to_make} of them there already"
    )
    if found.fits:
        console.print(f"{found.fits} calibrations come first")
    console.print(
        f"{found.to_make} to make: about {_lasting(found.wall_s)} on {workers} workers of this machine, "
        f"{readable(found.disk_bytes)}B on disk, as short trials foretell"
    )


def _lasting(seconds: float) -> str:
    for size, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"


def print_sweep(found: Sweep) -> None:
    """Print a sweep's table: for each point, the metrics that its study names, and what variants change in them."""
    console = plain_console()
    about = found.about
    console.print(about["title"], style="bold")
    replications = about["replications"]
    console.print(
        f"scale 1:{about['scale']}, seed {about['seed']}, {replications} replications; estimates are for the full-size "
        f"world, intervals 95 % {_told(about['interval'], replications)}\n"
    )
    if found.finished < found.wanted:
        console.print(f"{found.finished} of {found.wanted} runs are there; the others are not counted\n")
    baseline, *variants = about["variants"]
    estimates = found.estimates.filter(variant=baseline)
    _print_points(console, baseline if variants else "", found, estimates, "value")
    effects = found.effects
    for variant in variants:
        _print_points(console, f"{variant} minus {baseline}", found, effects.filter(variant=variant), "difference")
    known = estimates["metric"].unique(maintain_order=True).to_list()
    for metric in about["metrics"]:
        if known and metric not in known:
            near = nearest_name(metric, known)
            console.print(f"no run has the metric {metric!r}" + (f"; did you mean {near!r}?" if near else ""))
    errors = found.failed.group_by("error", maintain_order=True).agg("point", "variant")
    for error, points, names in errors.head(_MOST_ERRORS).iter_rows():
        where = f"point {points[0]}, {names[0]}" + (f", and {len(points) - 1} more" if len(points) > 1 else "")
        console.print(f"failed ({where}): {error}")
    if errors.height > _MOST_ERRORS:
        console.print(f"and {errors.height - _MOST_ERRORS} other errors, all in the frame `failed`")
    folder = Path(found.store.folder)
    console.print(f"table {found.file}, runs in {folder / 'runs'}")


def _told(interval: str, replications: int) -> str:
    if replications == 1:
        return "by the jackknife of one run; differences have none"
    return "by Student's t over replications" if interval == "t" else "by bootstrap over replications"


def _print_points(console: Console, title: str, found: Sweep, frame: pl.DataFrame, value: str) -> None:
    axes, metrics = found.axes, found.about["metrics"]
    names = short_names(axes)
    rows: dict[int, dict[str, str]] = {}
    for row in frame.filter(pl.col("metric").is_in(metrics)).iter_rows(named=True):
        shown = rows.setdefault(row["point"], {axis: str(row[axis]) for axis in axes})
        shown[row["metric"]] = with_interval(row[value], row["low"], row["high"], signed=value == "difference")
    held = [metric for metric in metrics if any(metric in row for row in rows.values())]
    cells = [[row.get(name, "") for name in (*axes, *held)] for row in list(rows.values())[:_MOST_ROWS]]
    _print_filled(console, plain_table(title, tuple(names), tuple(held)), cells)
    if len(rows) > _MOST_ROWS:
        console.print(f"and {len(rows) - _MOST_ROWS} more points in the table")


def print_sensitivities(found: Sensitivities) -> None:
    """Print, for each outcome, which axes it hangs on, and at which axes the order of variants changes."""
    console = plain_console()
    about = found.sweep.about
    console.print(about["title"], style="bold")
    morris = found.method == "morris"
    told = (
        "Morris' screening: the mean size of a step's effect over the whole axis, intervals by Student's t over paths"
        if morris
        else "Sobol's indices: shares of the outcome's variance, intervals by bootstrap over samples"
    )
    console.print(f"scale 1:{about['scale']}, {about['replications']} replications of each place\n{told}.")
    console.print("Noise is what an axis that did nothing would come out as; what lies within it is marked '?'.\n")
    axes = found.indices["axis"].unique(maintain_order=True).to_list()
    names = dict(zip(axes, short_names(axes), strict=True))
    columns = ("importance", "effect", "noise") if morris else ("first", "total", "noise")
    main = "importance" if morris else "total"
    variants = about["variants"][1:]  # their differences from the baseline are shown, not they themselves
    shown_of = found.indices.filter(~pl.col("outcome").is_in(variants))
    for (outcome, metric), rows in shown_of.group_by("outcome", "metric", maintain_order=True):
        table = plain_table(f"{outcome}: {metric}", ("axis",), columns, "")
        still = [names[row["axis"]] for row in rows.iter_rows(named=True) if not row[main]]
        for row in rows.filter(pl.col(main) != 0).iter_rows(named=True):
            low = row["low" if morris else "total_low"]
            doubtful = row["noise"] is not None and low <= row["noise"] and row[main] > 0
            shown = [_index(row, column) for column in columns]
            table.add_row(names[row["axis"]], *shown, "?" if doubtful else "")
        console.print(table)
        if still:
            console.print(f" no effect: {', '.join(still)}\n")
    if found.rankings.height:
        table = plain_table("Steps at which the order of the variants changes", ("metric", "axis"), ("steps", "share"))
        for row in found.rankings.iter_rows(named=True):
            share = with_interval(row["share"], row["low"], row["high"])
            table.add_row(row["metric"], names[row["axis"]], f"{row['changes']} of {row['steps']}", share)
        console.print(table)
    console.print(f"{found.sweep.wanted} runs; table {found.sweep.file}")


def _index(row: dict[str, Any], column: str) -> str:
    """Write one number of a row of indices, with its interval where it has one."""
    ends = {"importance": ("low", "high"), "first": ("first_low", "first_high"), "total": ("total_low", "total_high")}
    value = row[column]
    if value is None:
        return ""
    low, high = (row[end] for end in ends[column]) if column in ends else (None, None)
    return with_interval(value, low, high, signed=column == "effect")


def print_optimum(found: Optimum) -> None:
    """Print the points that a search found best, and how many others there are of each status."""
    console = plain_console()
    about = found.sweep.about
    console.print(about["title"], style="bold")
    goals = ", ".join(f"{one.goal} {one.title}" for one in found.objectives)
    console.print(
        f"scale 1:{about['scale']}, {about['replications']} replications of each point, intervals 95 % by Student's t\n"
        f"wanted: {goals}\n"
    )
    axes = found.sweep.axes
    outcomes = [one.title for one in found.objectives if one.title not in axes]
    cells = []
    for row in found.points.filter(pl.col("status").is_in(["front", "within noise"])).iter_rows(named=True):
        shown = [with_interval(row[name], row[f"{name} low"], row[f"{name} high"]) for name in outcomes]
        places = [f"{row[axis]:.4g}" if isinstance(row[axis], float) else str(row[axis]) for axis in axes]
        cells.append([*places, *shown, row["status"].replace(" ", _UNBROKEN)])
    table = plain_table("The front, and what noise may hide of it", tuple(short_names(axes)), tuple(outcomes), "")
    _print_filled(console, table, cells)
    counts = found.points["status"].value_counts(sort=True)
    console.print(
        f"{found.points.height} different points: {', '.join(f'{n} {status}' for status, n in counts.iter_rows())}"
    )
    console.print(f"table {found.sweep.file}")


def print_residuals(found: pl.DataFrame) -> None:
    """Print targets beside what is simulated of them."""
    console = plain_console()
    table = plain_table("Reported and simulated", ("target",), ("reported", "simulated", "ratio"), "role")
    for row in found.iter_rows(named=True):
        simulated = with_interval(row["simulated"], row["low"], row["high"])
        shown = (readable(row["reported"]), simulated, f"{row['ratio']:.4f}")
        table.add_row(row["id"], *shown, row["role"])
    console.print(table)
    if found["prorated"].any():
        console.print("Reported values are prorated to the days that are simulated.")


def print_profile(found: Profile) -> None:
    """Print what was fitted under each ratio, what cannot be told apart, and the band this leaves."""
    console = plain_console()
    console.print(found.scenario.title, style="bold")
    columns = ("ratio", "strength", "volume", "simulated/reported")
    for (figure,), rows in found.fits.group_by("figure", maintain_order=True):
        table = plain_table(f"{figure}, fitted under each interception ratio", (), columns, "")
        for row in rows.iter_rows(named=True):
            if row["error"] is not None:
                table.add_row(f"{row['interception_ratio']:g}", "", "", "", "out of reach")
                continue
            share = with_interval(row["ratio"], row["low"], row["high"])
            numbers = (f"{row['interception_ratio']:g}", f"{row['strength']:.4g}", row["volume"], share)
            table.add_row(*numbers, "met" if row["met"] else "not met")
        console.print(table)
    for row in found.not_told_apart():
        console.print(
            f"{row['figure']} is met under every ratio tried from {row['low']:g} to {row['high']:g}: it cannot tell "
            f"{', '.join(row['paths'])} apart."
        )
    console.print()
    table = plain_table("The band this leaves", ("",), ("as assumed", "from", "to"))
    for metric, value, low, high in found.band.iter_rows():
        if value:
            ends = (value, low, high)
            ratio = metric.endswith(" ratio")
            table.add_row(metric, *(f"{end:.4f}" if ratio else readable(end, value) for end in ends))
    console.print(table)
    console.print("Each end holds the 95 % interval of the ratio that gives it.")


def _print_filled(console: Console, table: Table, rows: Sequence[Sequence[str]]) -> None:
    """Print a table of rows whose long headings are broken so that values need not be, however wide that is."""
    for column, values in zip(table.columns, zip(*rows, strict=True), strict=False):
        column.no_wrap, column.overflow = False, "fold"
        column.min_width = max(map(len, values))
    for row in rows:
        table.add_row(*row)
    console.print(table, crop=False)


def short_names(paths: Sequence[str]) -> list[str]:
    """Return for each path the fewest of its last keys that tell it from the others."""
    short = []
    for path in paths:
        keys = path.split(".")
        for n in range(1, len(keys) + 1):
            tail = ".".join(keys[-n:])
            if sum(other == tail or other.endswith(f".{tail}") for other in paths) == 1:
                break
        short.append(tail)
    return short


def with_interval(value: float, low: float | None, high: float | None, *, signed: bool = False) -> str:
    """Write a value with how far its interval reaches: to either side by the same, or with both its ends."""
    sign = "+" if signed and value > 0 else ""
    if low is None or high is None or high - low <= _NO_WIDTH * abs(value):
        return sign + readable(value)
    of = max(abs(value), abs(low), abs(high))
    unit = readable(of).partition(" ")[2]
    size = {"bn": 1e9, "M": 1e6, "k": 1e3}.get(unit, 1.0)
    digits = 3 if unit or of >= 10 else 4
    shown = [f"{end / size:.{digits}f}" for end in (value, low, high)]
    even = abs((high - value) - (value - low)) <= 1e-6 * (high - low)
    text = f"{shown[0]} ± {(high - low) / 2 / size:.{digits}f}" if even else f"{shown[0]} ({shown[1]} – {shown[2]})"
    return f"{sign}{text} {unit}".rstrip().replace(" ", _UNBROKEN)
