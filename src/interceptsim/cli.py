"""The command line: reads options, calls the package, prints what people or programs want to read.

Heavy libraries are imported inside the commands, so that `--help` answers at once. What users get wrong is
told in one line on standard error, with exit code 2.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from interceptsim.errors import InterceptSimError, nearest_name

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from interceptsim.experiments.study import Study
    from interceptsim.scenario import Scenario

__all__ = ["main"]


@contextlib.contextmanager
def _mistakes_told() -> Iterator[None]:
    """Tell what a user got wrong in one line, and end with exit code 2."""
    try:
        yield
    except (InterceptSimError, click.UsageError) as error:
        text = error.format_message() if isinstance(error, click.UsageError) else str(error)
        click.echo(f"interceptsim: {' '.join(text.splitlines())}", err=True)
        raise click.exceptions.Exit(2) from None


class _Commands(click.Group):
    """Tells the nearest command where a name is unknown, and every mistake in one line."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _mistakes_told():
            return super().make_context(*args, **extra)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and self.get_command(ctx, name) is None:
            near = nearest_name(name, self.list_commands(ctx))
            raise click.UsageError(f"no command {name!r}" + (f"; did you mean {near!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _mistakes_told():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interceptsim: stopped; nothing unfinished was kept", err=True)
            ctx.exit(130)


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="interceptsim")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Simulate telephone fraud and the systems that intercept it."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _scale(_ctx: click.Context, _param: click.Parameter, given: str | None) -> int | None:
    from interceptsim.units import parse_scale

    try:
        return None if given is None else parse_scale(given)
    except ValueError as error:
        raise click.BadParameter(f"{given!r}: {error}") from None


def _duration(_ctx: click.Context, _param: click.Parameter, given: str | None) -> int | None:
    from interceptsim.units import parse_duration

    try:
        return None if given is None else parse_duration(given)
    except ValueError as error:
        raise click.BadParameter(f"{given!r}: {error}") from None


def _load(name: str, settings: tuple[str, ...], policies: str | None = None, *, allow_python: bool = False) -> Scenario:
    """Return a scenario with another list of policies and single values, as the options ask."""
    from interceptsim.scenario_files import load, load_policies
    from interceptsim.tables import parse_setting

    scenario = load(name)
    if policies is not None:
        scenario = scenario.replace({"policies": load_policies(Path(policies))})
    if settings:
        scenario = scenario.replace(dict(parse_setting(s) for s in settings))
    return _imported(scenario) if allow_python else scenario


def _imported(scenario: Scenario) -> Scenario:
    """Return a scenario whose Python policies have the functions that they name."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    return scenario.with_policies(p.imported() if p.kind == "python" else p for p in scenario.policies)


_MANY_RUNS = 10
"""So many runs of a comparison are worth the start of processes."""

_SETTINGS = click.option("--set", "settings", metavar="PATH=VALUE", multiple=True, help="Change one value; repeatable.")
_EXECUTOR = click.option("--executor", metavar="local|dask://HOST:PORT", help="Where runs are made; local by default.")
_WORKERS = click.option("--workers", type=int, help="Local processes; by default one a core.")
_STORE = click.option("--store", metavar="DIR", help="Where finished runs are kept; runs/store by default.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")


def _options_of_runs(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that runs are made by: those of `simulation.run` and those of the scenario."""
    options = (
        click.option(
            "--scale", default="1:1000", show_default=True, callback=_scale, help="One in N lines and people."
        ),
        click.option("--seed", default=1, show_default=True, help="Root of every draw."),
        click.option("--days", type=int, help="Count only so many days of the period."),
        click.option("--threads", type=int, help="Threads; by default one a core."),
        click.option("--slice", "slice_us", callback=_duration, help="Length of a slice; changes the speed alone."),
        click.option("--engine", type=click.Choice(["columnar", "reference"]), default="columnar", show_default=True),
        click.option("--allow-python", is_flag=True, help="Run Python functions that policies name."),
        _SETTINGS,
    )
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
@click.argument("scenario", default="china-2025")
@click.option("--policies", metavar="FILE", help="Take the policies of this TOML file instead.")
@_options_of_runs
@click.option("--record", type=click.Choice(["none", "sample", "all"]), default="none", show_default=True)
@click.option("--out", metavar="DIR", help="Keep the run in a new directory.")
@click.option("--report", metavar="FILE.html", help="Write a page about it, as `interceptsim report` does.")
@_JSON
def run(
    scenario: str,
    policies: str | None,
    settings: tuple[str, ...],
    allow_python: bool,
    record: str,
    out: str | None,
    report: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Simulate SCENARIO, a shipped name or a TOML file, and print what it found."""
    from interceptsim.printing import print_run, progress_bar
    from interceptsim.results import writing_aside
    from interceptsim.simulation import recorded_bytes
    from interceptsim.simulation import run as simulate

    loaded = _load(scenario, settings, policies, allow_python=allow_python)
    if record != "none" and out is None:
        raise click.UsageError("--record needs --out DIR to put the attempts in")
    if report is not None:
        from interceptsim.report.page import check_libraries, write_report

        check_libraries()
    with writing_aside(Path(out)) if out is not None else contextlib.nullcontext() as aside:
        folder = aside if record != "none" else None
        if folder is not None:
            size = recorded_bytes(loaded, options["scale"], options["days"], record, folder)
            click.echo(f"recording about {size / 1e9:.2g} GB", err=True)
        with progress_bar(f"{loaded.name} at 1:{options['scale']}", shown=sys.stderr.isatty()) as progress:
            result = simulate(loaded, record=record, record_folder=folder, progress=progress, **options)  # type: ignore[arg-type]
        if aside is not None:
            result.write_into(aside)
    if as_json:
        click.echo(json.dumps(result.as_json()))
    else:
        print_run(result)
        if out is not None:
            click.echo(f"kept in {out}")
    if report is not None:
        click.echo(f"report {write_report(result, report)}", err=as_json)


@main.command()
@click.argument("scenario")
@click.option("--variant", "texts", metavar="'NAME: PATH=VALUE, ...'", multiple=True, help="A variant; repeatable.")
@click.option("--policies", metavar="FILE", multiple=True, help="A variant with this file's policies; repeatable.")
@click.option("--replications", default=5, show_default=True, help="Pairs of runs, each with a seed of its own.")
@click.option("--until", metavar="METRIC=WIDTH", multiple=True, help="Add pairs until its interval is ± so narrow.")
@click.option("--at-most", default=100, show_default=True, help="How many pairs --until may come to.")
@click.option("--interval", type=click.Choice(["t", "bootstrap"]), default="t", show_default=True)
@click.option(
    "--workers",
    type=int,
    help="Make the runs in so many processes, on one thread each; by default one a core from ten runs on.",
)
@_options_of_runs
@click.option("--out", metavar="DIR", help="Keep the differences in a new directory.")
@_JSON
def compare(
    scenario: str,
    texts: tuple[str, ...],
    policies: tuple[str, ...],
    until: tuple[str, ...],
    settings: tuple[str, ...],
    allow_python: bool,
    out: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Set variants of SCENARIO beside it, over the same latent traffic, and print what they change."""
    from interceptsim.compiled import cores
    from interceptsim.experiments.compare import compare as set_beside
    from interceptsim.experiments.compare import parse_variant, parse_wish, variants_of
    from interceptsim.printing import print_comparison, progress_bar
    from interceptsim.results import writing_aside
    from interceptsim.scenario_files import load_policies

    loaded = _load(scenario, settings, allow_python=allow_python)
    wishes = dict(parse_wish(text) for text in until)
    named = [parse_variant(text) for text in texts]
    named += [(Path(file).stem, {"policies": load_policies(Path(file))}) for file in policies]
    variants = variants_of(loaded, named)
    if allow_python:
        variants = {name: _imported(variant) for name, variant in variants.items()}
    many = options["replications"] * (1 + len(variants)) >= _MANY_RUNS
    if many and options["workers"] is None and options["threads"] is None and cores() > 1:
        options["workers"] = cores()
    with writing_aside(Path(out)) if out is not None else contextlib.nullcontext() as aside:
        with progress_bar(f"{loaded.name} and variants", shown=sys.stderr.isatty()) as progress:
            found = set_beside(loaded, variants, until=wishes, progress=progress, **options)
        if aside is not None:
            found.write_into(aside)
    if as_json:
        click.echo(json.dumps(found.as_json()))
    else:
        print_comparison(found)
        if out is not None:
            click.echo(f"kept in {out}")


def _options_of_studies(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that studies are carried out by."""
    options = (
        click.argument("file"),
        _EXECUTOR,
        _WORKERS,
        _STORE,
        click.option("--scale", callback=_scale, help="One in N lines and people, in place of the file's."),
        click.option("--days", type=int, help="Count only so many days, in place of the file's."),
        click.option("--replications", type=int, help="Runs of each point, in place of the file's."),
        _SETTINGS,
        _JSON,
    )
    for option in reversed(options):
        command = option(command)
    return command


def _study(file: str, settings: tuple[str, ...], options: dict[str, Any]) -> Study:
    """Return the study of a file, with what options say in place of it."""
    from interceptsim.experiments.study import load_study
    from interceptsim.tables import parse_setting

    own = {name: options.pop(name) for name in ("scale", "days", "replications")}
    return load_study(file, set=dict(parse_setting(text) for text in settings), **own)


_DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what it would take, and make nothing.")


@main.command()
@_options_of_studies
@_DRY_RUN
@click.option("--so-far", is_flag=True, help="Print what there is so far, and make nothing.")
def sweep(file: str, settings: tuple[str, ...], **options: Any) -> None:
    """Make the runs of FILE, a study's TOML file or shipped name, that are not there yet; print its table."""
    from interceptsim.cli_studies import show_sweep

    show_sweep(_study(file, settings, options), **options)


@main.command()
@_options_of_studies
@click.option("--method", type=click.Choice(["morris", "sobol"]), help="In place of the file's.")
@_DRY_RUN
def sensitivity(file: str, settings: tuple[str, ...], **options: Any) -> None:
    """Tell which axes of FILE, a study's TOML file or shipped name, its metrics hang on."""
    from interceptsim.cli_studies import show_sensitivities

    show_sensitivities(_study(file, settings, options), **options)


@main.command()
@_options_of_studies
def optimise(file: str, settings: tuple[str, ...], **options: Any) -> None:
    """Search the axes of FILE, a study's TOML file or shipped name, for the points that are best by its objectives."""
    from interceptsim.cli_studies import show_optimum

    show_optimum(_study(file, settings, options), **options)


@main.command()
@click.argument("kept", metavar="RUN|COMPARISON|SWEEP")
@click.option("--out", metavar="FILE.html", help="Where the page goes; by default beside what it is about.")
@click.option("--images", metavar="DIR", help="Draw each chart as PNG and SVG, too.")
def report(kept: str, out: str | None, images: str | None) -> None:
    """Write a page about what is kept: a directory of `run --out` or `compare --out`, a store or table of `sweep`.

    One HTML file, which opens without a network; what is there is written over.
    """
    from interceptsim.report.page import open_shown, write_report

    shown = open_shown(kept)
    place = Path(kept)
    written = write_report(shown, out or place.with_name(f"{place.resolve().stem}.html"), images=images)
    click.echo(f"report {written}")


@main.command()
@click.argument("run", metavar="RUN")
@click.argument("who", metavar="ID")
@_JSON
def story(run: str, who: str, as_json: bool) -> None:
    """Tell the whole story of one recorded person or number of a RUN's directory, in order."""
    from interceptsim.printing_response import print_story
    from interceptsim.results import open_run

    told = open_run(run).story(who)
    if as_json:
        click.echo(json.dumps({"id": who, "story": told.to_dicts()}, default=str))
    else:
        print_story(told, who)


@main.command()
@click.argument("scenario", default="china-2025")
@click.option("--limit", default=0.95, show_default=True, help="AUC that no single column may exceed.")
@_options_of_runs
@_JSON
def audit(
    scenario: str,
    limit: float,
    settings: tuple[str, ...],
    allow_python: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Tell how well single columns, and a shallow tree, separate fraud from ordinary traffic in SCENARIO.

    --days defaults to the longest panel of ordinary callers. Ends with exit code 1 where a column exceeds the limit.
    """
    from interceptsim.audit import audit as judge
    from interceptsim.printing import print_audit, progress_bar

    loaded = _load(scenario, settings, allow_python=allow_python)
    with progress_bar(f"{loaded.name} at 1:{options['scale']}", shown=sys.stderr.isatty()) as progress:
        found = judge(loaded, limit=limit, progress=progress, **options)
    if as_json:
        click.echo(json.dumps(found.as_json()))
    else:
        print_audit(found)
    for leak in found.leaks.iter_rows(named=True):
        told = "{channel}, by {per}: {column} has an AUC of {auc:.4f}".format(**leak)
        click.echo(f"interceptsim: {told}, above {limit:g}", err=True)
    if not found.leaks.is_empty():
        raise click.exceptions.Exit(1)


@main.command()
@click.argument("file")
def validate(file: str) -> None:
    """Check a scenario file, or a shipped scenario by name."""
    from interceptsim.scenario_files import load

    scenario = load(file)
    click.echo(
        f"{file}: valid; {len(scenario.policies)} policies, {len(scenario.traffic.lines)} groups of lines, "
        f"{scenario.period.days} days"
    )


@main.command()
def schema() -> None:
    """Print the JSON Schema of scenario files."""
    from interceptsim.scenario import schema as scenario_schema

    click.echo(scenario_schema())


@main.command()
@_JSON
def figures(as_json: bool) -> None:
    """Print the reported figures and the sourced parameters."""
    from interceptsim import ledger

    if as_json:
        entries = {
            "figures": [f.model_dump(mode="json", exclude_none=True) for f in ledger.figures()],
            "parameters": [p.model_dump(mode="json", exclude_none=True) for p in ledger.parameters()],
        }
        click.echo(json.dumps(entries, ensure_ascii=False))
        return
    from rich.table import Table

    from interceptsim.terminal import plain_console

    console = plain_console()
    table = Table("id", "value", "period", "source", "note", title="Reported figures", show_lines=True)
    for f in ledger.figures():
        period = f"{f.start or '?'} to {f.end or '?'}"
        note = f"{f.note or ''}" + (f" [conflicts with {f.conflict}]" if f.conflict else "")
        table.add_row(f.id, f"{f.value:,.12g} {f.unit}", period, f"{f.publisher}, {f.published}", note)
    console.print(table)
    known = Table("id", "what", "value", "status", "source", "range", title="Parameters", show_lines=True)
    for p in ledger.parameters():
        span = f"{p.low} to {p.high}" if p.low is not None and p.high is not None else ""
        known.add_row(p.id, p.quantity, p.value, p.status, p.source, span)
    console.print(known)


@main.command()
@click.argument("scenario")
@click.option("--targets", "file", metavar="FILE", help="Fit to, or predict, what this file holds: TOML or CSV.")
@click.option("--predict", "by", metavar="ID", help="Predict the targets by changing volumes alone, to meet this one.")
@click.option("--profile", "ratios", metavar="RATIO,...", help="Fit under each of these interception ratios.")
@click.option("--scale", default="1:100", show_default=True, callback=_scale, help="Scale of the runs it makes.")
@click.option("--seeds", default=4, show_default=True, type=click.IntRange(1, 100), help="Runs for each trial.")
@click.option("--threads", type=int, help="Threads; by default one a core.")
@_EXECUTOR
@_WORKERS
@_STORE
@_SETTINGS
@click.option("--out", metavar="FILE", help="Write the scenario with its fitted values here.")
@_JSON
def calibrate(
    scenario: str,
    file: str | None,
    by: str | None,
    ratios: str | None,
    settings: tuple[str, ...],
    out: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Solve SCENARIO's latent volumes and strengths for reported figures; or ask what those cannot tell."""
    from interceptsim.cli_studies import show_fit, show_prediction, show_profile
    from interceptsim.targets import read_targets

    if sum(one is not None for one in (by, ratios, out)) > 1:
        raise click.UsageError("--predict, --profile and --out each ask for something else; give one of them")
    if by is not None and file is None:
        raise click.UsageError("--predict needs --targets FILE")
    elsewhere = {name: options.pop(name) for name in ("executor", "workers", "store")}
    loaded = _load(scenario, settings)
    targets = None if file is None else read_targets(Path(file))
    if ratios is not None:
        show_profile(loaded, ratios, options["scale"], options["seeds"], as_json=as_json, **elsewhere)
    elif by is not None and targets is not None:
        show_prediction(loaded, targets, by, as_json=as_json, **options)
    else:
        show_fit(loaded, targets, scenario, out, as_json=as_json, **options)


@main.command()
@click.argument("records")
@click.option("--policies", metavar="FILE", help="Policies in a TOML file, or a scenario's; a run's own by default.")
@click.option("--mapping", metavar="TOML", help="Which columns hold what, and how times and numbers are written.")
@click.option("--out", metavar="FILE", help="Keep every decision: .parquet, .arrow, .csv or .jsonl.")
@click.option("--rejects", metavar="FILE", help="Keep what was not decided, with line and reason.")
@click.option("--challenger", metavar="FILE", help="Decide by another chain too, and tell whose fate changes.")
@click.option("--changed", metavar="FILE", help="Keep the decisions in which the challenger differs.")
@click.option("--cut-off", "cut_off_numbers", metavar="FILE", help="Keep the numbers that each rule would cut off.")
@click.option("--listings", metavar="FILE", help="Numbers on fed lists: policy, a_number, from_us.")
@click.option("--pseudonymise", metavar="KEYFILE", help="Let numbers leave only as hashes with this key.")
@click.option("--lateness", "lateness_us", callback=_duration, help="How far records may be out of order.")
@click.option("--threads", type=click.IntRange(1, 64), help="Threads; by default one a core.")
@click.option("--follow", is_flag=True, help="Decide records as they come: a file that grows, or - for standard input.")
@_JSON
def replay(records: str, follow: bool, as_json: bool, **options: Any) -> None:
    """Decide RECORDS, a file, glob or folder of calls and messages or a simulated run, and print what rules did."""
    from interceptsim.cli_replay import show_followed, show_replay

    if not follow:
        if records == "-":
            raise click.UsageError("standard input is read with --follow alone")
        show_replay(records, as_json=as_json, **options)
        return
    for name in ("out", "rejects", "challenger", "changed", "cut_off_numbers", "threads"):
        if options.pop(name) is not None:
            raise click.UsageError(f"--{name.partition('_n')[0].replace('_', '-')} does not go with --follow")
    if as_json:
        raise click.UsageError("--follow writes JSON lines as it is; --json does not go with it")
    show_followed(records, **options)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the JSON Schema of each and nothing else.")
def policies(as_json: bool) -> None:
    """List every policy with what it does and its parameters."""
    from interceptsim.registry import policy_kinds
    from interceptsim.scenario import AsWritten

    kinds = policy_kinds()
    if as_json:
        schemas = {kind: policy.model_json_schema(schema_generator=AsWritten) for kind, policy in kinds.items()}
        click.echo(json.dumps(schemas))
        return
    from rich.table import Table

    from interceptsim.terminal import plain_console

    console = plain_console()
    shared = ("kind", "id", "enabled", "channels", "entries")
    for kind, policy in kinds.items():
        text = " ".join((policy.__doc__ or "").replace("`", "").split())
        console.print(kind, style="bold")
        console.print(text)
        table = Table(box=None, padding=(0, 2, 0, 2), show_header=False)
        for name, field in policy.model_fields.items():
            if name not in shared:
                table.add_row(name, _default(field))
        if table.row_count:
            console.print(table)
        console.print()
    console.print(
        "Every policy has an id (its kind unless two share it), enabled, and the channels and entries it stands at."
    )


def _default(field: FieldInfo) -> str:
    """Write a parameter's default as it would stand in a file."""
    from pydantic import TypeAdapter

    if field.is_required():
        return "required"
    written = TypeAdapter(field.rebuild_annotation()).dump_python(field.get_default(), mode="json")
    return "not given" if written in (None, [], {}) else json.dumps(written)


_SUITES = {
    "interceptmark": {"n": "--rows", "only": "--only"},
    "year": {"scale": "--scale", "days": "--days"},
    "replay": {"n": "--rows"},
}
"""The suites of the benchmark, and the options that belong to some of them alone."""


@main.command()
@click.option("--suite", type=click.Choice(list(_SUITES)), default="interceptmark", show_default=True)
@click.option("--rows", "n", default=4_000_000, show_default=True, type=click.IntRange(1000, 50_000_000))
@click.option("--only", metavar="TEXT", multiple=True, help="Workloads whose name holds this; may be repeated.")
@click.option("--scale", default="1:1", show_default=True, callback=_scale, help="Scale of the year's attempts.")
@click.option("--days", default=1, show_default=True, type=click.IntRange(1, 365), help="Days after one of warm-up.")
@click.option("--threads", default=2, show_default=True, type=click.IntRange(1, 64))
@_JSON
@click.pass_context
def bench(
    ctx: click.Context, suite: str, n: int, only: tuple[str, ...], scale: int, days: int, threads: int, as_json: bool
) -> None:
    """Measure the filter core beside NumPy, Polars, DuckDB and Python, the simulated year beside SimPy, or replays.

    --only is for the suite interceptmark, --rows for that and replay, --scale and --days for the suite year. Results
    have to be equal.
    """
    from interceptsim import bench as marks

    for other, options in _SUITES.items():
        for name, option in options.items():
            if name not in _SUITES[suite] and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                raise click.UsageError(f"{option} is for --suite {other}, not for {suite}")
    if suite == "year":
        from interceptsim.bench_year import year

        title = "ns an attempt, or a slice where it says so; ratio to the columns' attempt"
        told = "n {0.n:,}, witness {0.witness:,}"
        measured = year(scale=scale, days=days, threads=threads)
    elif suite == "replay":
        from interceptsim.bench_replay import replayed

        title = f"{n:,} records of a Parquet file; ns a record, least of three rounds; ratio to the replay's"
        told = "intercepted {0.witness:,} of {0.n:,}"
        measured = replayed(n=n, threads=threads)
    else:
        names = [name for name in marks.WORKLOADS if not only or any(text in name for text in only)]
        if not names:
            near = nearest_name(only[0], marks.WORKLOADS)
            raise click.UsageError(f"no workload holds {only[0]!r}" + (f"; did you mean {near!r}?" if near else ""))
        title = f"{n:,} attempts a workload; ns a decision, least of three rounds; ratio to the core's"
        told = "intercepted {0.witness:,} of {0.n:,}"
        measured = marks.interceptmark(names, n=n, threads=threads)
    rows = []
    if not as_json:
        click.echo(f"{suite}: {title}")
    for row in measured:
        rows.append(row)
        if not as_json:
            click.echo(
                f"{row.workload:36} {row.engine:21} {row.threads} thread{'s' if row.threads > 1 else ' '} "
                f"{row.ns:12.2f} ns {row.ratio:9.2f} x   {told.format(row)}"
            )
    if as_json:
        click.echo(json.dumps(marks.as_json(rows)))
