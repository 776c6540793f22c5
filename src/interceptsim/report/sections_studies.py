"""What the pages of comparisons and of sweeps say, section by section."""

from __future__ import annotations

import json
from collections.abc import Iterator

from interceptsim.experiments.compare import Comparison
from interceptsim.experiments.sweep import Sweep
from interceptsim.ledger import shipped
from interceptsim.report import charts_studies as charts
from interceptsim.report import reproduce
from interceptsim.report.charts import CHANNELS
from interceptsim.report.look import amount, between, per_cent
from interceptsim.report.sections import Card, Page, Section, Table, ledger_section
from interceptsim.results import provenance
from interceptsim.scenario import Scenario

__all__ = ["page_of_comparison", "page_of_sweep"]

_MOST_ROWS = 400


def page_of_comparison(found: Comparison, *, drawn: bool = True) -> Page:
    """Return what the page of a comparison says, or its head alone, for which nothing has to be drawn."""
    n = len(found.seeds)
    _, from_file = reproduce.loading(found.baseline)
    return Page(
        f"{found.baseline.title}: what variants change",
        (
            f"{n} pair{'s' if n > 1 else ''} of runs a variant",
            f"{found.days} days from {found.baseline.period.start:%d %B %Y}".replace(" 0", " "),
            f"scale 1:{found.options['scale']}",
            f"seed {found.seed}",
            f"{found.attempts:,} attempts decided",
        ),
        tuple(_cards(found)),
        tuple(_sections(found)) if drawn else (),
        json.dumps(found.baseline.as_dict(), ensure_ascii=False) if from_file else "",
    )


def _sections(found: Comparison) -> list[Section]:
    """Return the sections of a comparison's page."""
    sections = [
        Section(
            f"variant-{place}",
            variant,
            f"What does {variant} change?",
            _changed(found.baseline, found.variants[variant]),
            tuple(f for part in (*CHANNELS, "harm") if (f := charts.differences(found, variant, part)) is not None),
        )
        for place, variant in enumerate(found.variants)
    ]
    agreeing = tuple(figure for channel in CHANNELS if (figure := charts.pairs(found, channel)) is not None)
    if agreeing:
        lead = "Variant and baseline meet the same latent attempts in a pair; so what differs is the variant's doing."
        sections.append(Section("pairs", "Pairs", "Do the pairs agree?", lead, agreeing))
    return [*sections, _all_effects(found), ledger_section(), _again(found)]


def _cards(found: Comparison) -> Iterator[Card]:
    for channel, unit in CHANNELS.items():
        for variant in found.variants:
            of = found.effects.filter(variant=variant, metric=f"{channel}.delivered")
            for row in of.iter_rows(named=True):
                low, high = row["low"], row["high"]
                ends = "one pair" if low is None else between(low, high, max(abs(low), abs(high)))
                told = "no interval" if low is None else "told apart" if low > 0 or high < 0 else "within noise"
                sign = "+" if row["difference"] > 0 else ""
                yield Card(f"fraud {unit} through, {variant}", f"{sign}{amount(row['difference'])}", ends, told)


def _changed(baseline: Scenario, variant: Scenario) -> str:
    """Say in a sentence which values of the baseline a variant changes."""
    changes = reproduce.changes_between(baseline, variant)
    if not changes:
        return "It is a scenario of its own."
    told = [f"{path} = {value}" for path, value in list(changes.items())[:4]]
    more = f", and {len(changes) - 4} more values" if len(changes) > 4 else ""
    return f"Changed: {'; '.join(told)}{more}."


def _all_effects(found: Comparison) -> Section:
    """Return every difference that is not none, folded."""
    tables = []
    for variant in found.variants:
        rows: list[tuple[str, ...]] = []
        for row in found.effects.filter(variant=variant).iter_rows(named=True):
            if not row["difference"] or len(rows) == _MOST_ROWS:
                continue
            low, high = row["low"], row["high"]
            ends = "" if low is None else between(low, high, max(abs(low), abs(high)))
            sign = "+" if row["difference"] > 0 else ""
            rows.append((charts.said(row["metric"]), f"{sign}{amount(row['difference'])}", ends, row["method"]))
        tables.append(Table(f"{variant}: {len(rows)} metrics", ("metric", "difference", "95 %", "method"), tuple(rows)))
    return Section("effects", "All numbers", "Everything that differs", tables=tuple(tables))


def _again(found: Comparison) -> Section:
    text, _ = reproduce.loading(found.baseline)
    laid = ""
    for name, variant in found.variants.items():
        laid += f"    {name!r}: {reproduce.changes_between(found.baseline, variant)!r},\n"
    days = f", days={found.options['days']}" if found.options["days"] else ""
    call = f"replications={len(found.seeds)}, seed={found.seed}, scale={found.options['scale']}{days}"
    program = f"{text}\nvariants = {{\n{laid}}}\nfound = ics.compare(scenario, variants, {call})\nfound.effects\n"
    return Section("again", "Again", "How to make it again", _versions(), code=(("Python", program),))


def _versions() -> str:
    versions = ", ".join(f"{name} {number}" for name, number in provenance()["versions"].items())
    return f"The same numbers, on any machine and any number of threads. Reported with {versions}."


def page_of_sweep(found: Sweep, *, drawn: bool = True) -> Page:
    """Return what the page of a sweep says, or its head alone, for which nothing has to be drawn."""
    about = found.about
    variants = about["variants"]
    return Page(
        about["title"],
        (
            f"{found.finished} of {found.wanted} runs are there",
            f"scale 1:{about['scale']}",
            f"seed {about['seed']}",
            f"{about['replications']} replications",
            *((f"{len(variants)} variants",) if len(variants) > 1 else ()),
        ),
        tuple(_sweep_cards(found)),
        tuple(_sweep_sections(found)) if drawn else (),
    )


def _sweep_sections(found: Sweep) -> Iterator[Section]:
    """Yield the sections of a sweep's page."""
    about = found.about
    figures = list(charts.sweep_figures(found))
    fronts = tuple(figure for figure in figures if figure.name == "front")
    others = tuple(figure for figure in figures if figure.name != "front")
    if fronts:
        yield Section("front", "Front", "Which points are best?", "", fronts)
    if others:
        lead = f"Each point is the mean over {about['replications']} replications with seeds that all points share."
        yield Section("axes", "Over the axes", "How do results hang on what is varied?", lead, others)
    changed = _differences(found)
    if changed is not None:
        yield changed
    yield ledger_section()
    yield _sweep_again(found)


def _sweep_cards(found: Sweep) -> Iterator[Card]:
    """Yield for each metric how far it reaches under the baseline."""
    estimates = found.estimates.filter(variant=found.about["variants"][0])
    for metric in found.about["metrics"]:
        values = [float(value) for value in estimates.filter(metric=metric)["value"]]
        if not values:
            continue
        low, high = min(values), max(values)
        ratio = metric.endswith((" ratio", "precision"))
        shown = f"{per_cent(low)} – {per_cent(high)}" if ratio else between(low, high, 0)
        yield Card(charts.said(metric), shown, f"over {len(values)} points", "simulated")


def _differences(found: Sweep) -> Section | None:
    """Return what variants change at each point, folded; None where there are none, or pairs."""
    metrics = found.about["metrics"]
    tables = []
    effects = found.effects
    for variant in found.about["variants"][1:]:
        rows: list[tuple[str, ...]] = []
        for row in effects.filter(variant=variant).iter_rows(named=True):
            if row["metric"] not in metrics or len(rows) == _MOST_ROWS:
                continue
            place = ", ".join(str(row[axis]) for axis in found.axes)
            low, high = row["low"], row["high"]
            ends = "" if low is None else between(low, high, max(abs(low), abs(high)))
            sign = "+" if row["difference"] > 0 else ""
            rows.append((place, charts.said(row["metric"]), f"{sign}{amount(row['difference'])}", ends))
        if rows:
            head = (", ".join(found.axes), "metric", "difference", "95 %")
            tables.append(Table(f"{variant} minus {found.about['variants'][0]}", head, tuple(rows)))
    if not tables:
        return None
    return Section("differences", "Differences", "What do variants change at each point?", tables=tuple(tables))


def _is_shipped(name: str) -> bool:
    return (shipped("configs", "sweeps") / f"{name}.toml").exists()


def _sweep_again(found: Sweep) -> Section:
    about = found.about
    name = about["name"] if _is_shipped(about["name"]) else f"{about['name']}.toml"
    command = f"interceptsim sweep {name} --scale 1:{about['scale']} --replications {about['replications']}"
    look = f'import interceptsim as ics\n\nfound = ics.open_sweep("{found.file.as_posix()}")\nfound.estimates\n'
    code = (("The study, by its file or shipped name", command), ("Python, from the runs that are kept", look))
    return Section("again", "Again", "How to make it again", _versions(), code=code)
