"""What the page of a run says, section by section: a finding as a title, charts that show it, what it rests on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from interceptsim import ledger
from interceptsim.report import charts, charts_response, charts_setting, reproduce
from interceptsim.report.look import Figure, amount, between, listed, per_cent
from interceptsim.results import RunResult, provenance

__all__ = ["Card", "Page", "Section", "Table", "ledger_section", "page_of_run"]


@dataclass(frozen=True)
class Card:
    """A number at the top of a page: what it is of, the number with its unit, its interval, where it comes from."""

    of: str
    value: str
    note: str
    status: str


@dataclass(frozen=True)
class Table:
    """A table that a page shows folded; the column at `status`, if any, holds words that are shown as marks."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    status: int | None = None


@dataclass(frozen=True)
class Section:
    """A part of a page; `code` are programs to copy, each with what it is for."""

    id: str
    label: str
    title: str
    lead: str = ""
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    code: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Page:
    """All that a page holds; `scenario` is the JSON of a scenario to be saved beside a program, or empty."""

    title: str
    extent: tuple[str, ...]
    cards: tuple[Card, ...]
    sections: tuple[Section, ...]
    scenario: str = ""

    @property
    def figures(self) -> list[Figure]:
        """The figures of all sections, in their order."""
        return [figure for section in self.sections for figure in section.figures]


def page_of_run(run: RunResult, *, drawn: bool = True) -> Page:
    """Return what the page of a run says, or its head alone, for which nothing has to be drawn."""
    kinds = (_targets, _flow, _year, _rules, _ordinary, _response, _harm, _sources, _network, _ratio)
    made = [*(kind(run) for kind in kinds), ledger_section(), _again(run)] if drawn else []
    period = run.scenario.period
    _, from_file = reproduce.loading(run.scenario)
    return Page(
        run.scenario.title,
        (
            f"{run.days} days from {period.start:%d %B %Y}".replace(" 0", " "),
            f"scale 1:{run.scale}",
            f"seed {run.seed}",
            f"{run.attempts:,} attempts decided",
        ),
        (*_cards(run), *_cards_of_harm(run)),
        tuple(section for section in made if section is not None),
        json.dumps(run.scenario.as_dict(), ensure_ascii=False) if from_file else "",
    )


def _cards(run: RunResult) -> Iterator[Card]:
    status = dict(run.summary.select("metric", "status").iter_rows())
    found = charts.estimates_of(run)
    for channel in charts.channels_of(run):
        unit = charts.CHANNELS[channel]
        for metric, title in (
            ("intercepted", f"fraud {unit} intercepted"),
            ("delivered", f"fraud {unit} that got through"),
            ("interception ratio", f"of fraud {unit} intercepted"),
            ("precision", f"of intercepted {unit} were fraud"),
        ):
            one = found.get(f"{channel}.{metric}")
            if one is None:
                continue
            share = metric in ("interception ratio", "precision")
            value = per_cent(one.value) if share else amount(one.value)
            ends = (
                f"{per_cent(one.low)} – {per_cent(min(one.high, 1.0))}"
                if share
                else between(one.low, one.high, one.value)
            )
            yield Card(title, value, ends, status[f"{channel}.{metric}"])


def _cards_of_harm(run: RunResult) -> Iterator[Card]:
    status = dict(run.summary.select("metric", "status").iter_rows())
    found = charts.estimates_of(run)
    for metric, title in (("response.paid", "people who paid"), ("harm.lost", "yuan lost")):
        one = found.get(metric)
        if one is not None:
            yield Card(title, amount(one.value), between(one.low, one.high, one.value), status[metric])


def _each(run: RunResult, chart: Callable[[RunResult, str], Figure | None]) -> tuple[Figure, ...]:
    """Return the figures of a kind for all channels that have one."""
    made = (chart(run, channel) for channel in charts.channels_of(run))
    return tuple(figure for figure in made if figure is not None)


def _targets(run: RunResult) -> Section | None:
    figure = charts.targets(run)
    if figure is None:
        return None
    roles = Counter(target.role for target in run.targets)
    told = [f"{n} {'figures are' if n > 1 else 'figure is'} {role}" for role, n in roles.items()]
    return Section(
        "reported",
        "Reported",
        "How far from what was reported?",
        f"{listed(told).capitalize()}. Estimates are for the full-size world; intervals are 95 % and say what another "
        "seed would give.",
        (figure,),
    )


def _flow(run: RunResult) -> Section:
    return Section(
        "flow",
        "Flow",
        "What becomes of attempts?",
        "From every attempt that there would be to those that reach somebody. Each rule's step is what it settles as "
        "the chain stands; an earlier rule takes what a later one would have caught.",
        _each(run, charts.funnel),
    )


def _year(run: RunResult) -> Section:
    return Section("year", "By day", "How does it go from day to day?", "", _each(run, charts.daily))


def _rules(run: RunResult) -> Section | None:
    figures = _each(run, charts.rules)
    if not figures:
        return None
    return Section(
        "rules",
        "Rules",
        "Which rule catches what?",
        "Rules overlap. What no other rule matched is what would be lost if one were switched off and nothing else "
        "changed.",
        figures,
    )


def _ordinary(run: RunResult) -> Section | None:
    figures = _each(run, charts.ordinary_by_rule)
    by_class = charts.ordinary_by_class(run)
    if by_class is not None:
        figures = (*figures, by_class)
    if not figures:
        return None
    return Section(
        "ordinary",
        "Ordinary callers",
        "Whom does it cut off by mistake?",
        "Ordinary traffic is hundreds of times as much as fraud, so that a rule that is right nearly always still "
        "cuts off many. These are absolute numbers.",
        figures,
    )


def _response(run: RunResult) -> Section | None:
    figures = [figure for figure in (charts_response.people(run), charts_response.waits(run)) if figure is not None]
    if not figures:
        return None
    lead = "Whom fraud reaches in spite of the rules is warned, called or visited, as far as there is anybody to do it."
    return Section("response", "Response", "Who is warned, and who waits?", lead, tuple(figures))


def _harm(run: RunResult) -> Section | None:
    made = (
        charts_response.money(run),
        charts_response.harm_by(run, "fraud_type"),
        charts_response.provinces(run),
        charts_response.harm_by(run, "age_band"),
    )
    figures = tuple(figure for figure in made if figure is not None)
    if not figures:
        return None
    lead = "Most of what this rests on is assumed: how many are taken in, how much they lose, how long it takes."
    return Section("harm", "Harm", "What is lost, and by whom?", lead, figures)


def _sources(run: RunResult) -> Section | None:
    figures = _each(run, charts_setting.sources)
    if not figures:
        return None
    return Section("sources", "Sources", "Where does it come from?", "", figures)


def _network(run: RunResult) -> Section | None:
    figure = charts_setting.network(run)
    if figure is None:
        return None
    lead = "Nationally fraud is a fifty-thousandth of the load; a chosen gateway or leased route can feel it."
    return Section("network", "Network", "Does the network feel it?", lead, (figure,))


def _ratio(run: RunResult) -> Section | None:
    figure = charts_setting.ratio_band(run)
    if figure is None:
        return None
    return Section(
        "unknown",
        "The unknown ratio",
        "What does nobody know?",
        "Nobody reports the attempts that got through, so the interception ratio is assumed, and with it the volume of "
        "all that is tried. Whatever scales with what gets through carries this band, which is far wider than any "
        "interval above. Differences between policies are told apart better: they share the ratio.",
        (figure,),
        code=(
            (
                "Fit under each of several ratios, and see the band on every result",
                f"interceptsim calibrate {run.scenario.name} --profile 0.5,0.6,0.7,0.8",
            ),
        ),
    )


def ledger_section() -> Section:
    """Return what is reported, measured, derived and assumed, with sources."""
    known = ledger.parameters()
    counts = Counter(str(p.status) for p in known)
    rows: dict[str, list[tuple[str, ...]]] = {}
    for p in known:
        reach = f"{p.low} to {p.high}" if p.low is not None and p.high is not None else ""
        rows.setdefault(p.status, []).append((p.quantity, p.value, reach, p.source))
    order = ("assumed", "measured", "derived", "reported")
    tables = [
        Table(f"{counts[status]} parameters {status}", ("what", "value", "range", "source"), tuple(rows[status]))
        for status in order
        if status in rows
    ]
    figures = tuple(
        (
            f.quantity,
            f"{amount(f.value)} {f.unit}",
            f"{f.start or '?'} to {f.end or '?'}",
            f"{f.publisher}, {f.published}",
        )
        for f in ledger.figures()
    )
    tables.insert(0, Table(f"{len(figures)} reported figures", ("what", "value", "period", "source"), figures))
    return Section(
        "ledger",
        "What it rests on",
        f"{counts['assumed']} of {len(known)} parameters are assumed",
        "Nobody publishes these. Each is a value of the scenario that can be changed and swept; "
        "`interceptsim sensitivity assumptions` tells which of them results hang on.".replace("`", ""),
        tables=tuple(tables),
    )


def _again(run: RunResult) -> Section:
    _, from_file = reproduce.loading(run.scenario)
    versions = ", ".join(f"{name} {number}" for name, number in provenance()["versions"].items())
    lead = f"The same digest, on any machine and any number of threads. Reported with {versions}."
    own = reproduce.own_policies(run.scenario)
    if own:
        lead += (
            f" The policies {listed(own)} are Python of your own, which has to be added: scenario.with_policies(...)."
        )
    elif from_file:
        lead += f" Save the scenario beside it as {reproduce.SCENARIO_FILE}."
    return Section("again", "Again", "How to make it again", lead, code=(("Python", reproduce.again(run)),))
