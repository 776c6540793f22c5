"""What `plot` gives and notebooks show: charts of a run, a comparison, a sweep or a search, and a table of each."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from interceptsim.errors import ConfigurationError, nearest_name
from interceptsim.experiments.compare import Comparison
from interceptsim.experiments.optimise import Optimum
from interceptsim.experiments.sweep import Sweep
from interceptsim.report import charts, charts_response, charts_setting, charts_studies
from interceptsim.report.look import Figure, altair
from interceptsim.report.sections import Card, Page, page_of_run
from interceptsim.report.sections_studies import page_of_comparison, page_of_sweep
from interceptsim.results import RunResult

__all__ = ["ComparisonPlots", "OptimumPlots", "RunPlots", "SweepPlots", "html_of", "plots_of"]


def _drawn(figure: Figure | None, what: str) -> Any:
    """Return a figure's chart with its title; raise ConfigurationError where there is none."""
    if figure is None:
        raise ConfigurationError(f"plot.{what}", "there is nothing of the kind to draw")
    return figure.titled()


def _channel(given: str) -> str:
    """Return a channel that is one; raise ConfigurationError with the nearest name where it is none."""
    if given not in charts.CHANNELS:
        wanted = f"no such channel; wanted {' or '.join(charts.CHANNELS)}"
        raise ConfigurationError("channel", wanted, given=given, nearest=nearest_name(given, charts.CHANNELS))
    return given


class _Plots:
    """Charts of something, which is kept."""

    def __init__(self, of: Any) -> None:
        altair()
        self._of = of


class RunPlots(_Plots):
    """Charts of a run. `channel` is "voice" or "sms"."""

    def targets(self) -> Any:
        """Draw simulated figures over reported ones."""
        return _drawn(charts.targets(self._of), "targets")

    def daily(self, channel: str = "voice") -> Any:
        """Draw what was intercepted and what got through, day by day."""
        return _drawn(charts.daily(self._of, _channel(channel)), "daily")

    def funnel(self, channel: str = "voice") -> Any:
        """Draw the way from latent attempts to those answered or delivered."""
        return _drawn(charts.funnel(self._of, _channel(channel)), "funnel")

    def rules(self, channel: str = "voice") -> Any:
        """Draw what each rule caught, alone and together with others."""
        return _drawn(charts.rules(self._of, _channel(channel)), "rules")

    def ordinary(self, channel: str | None = None) -> Any:
        """Draw whom rules cut off by mistake: by class, or by rule on one channel."""
        if channel is None:
            return _drawn(charts.ordinary_by_class(self._of), "ordinary")
        return _drawn(charts.ordinary_by_rule(self._of, _channel(channel)), "ordinary")

    def people(self) -> Any:
        """Draw how many people fraud takes in, how many are warned, and how many pay."""
        return _drawn(charts_response.people(self._of), "people")

    def money(self) -> Any:
        """Draw what is transferred, frozen, returned and lost."""
        return _drawn(charts_response.money(self._of), "money")

    def harm(self, by: str = "fraud_type") -> Any:
        """Draw how harm is shared out by "fraud_type", "province" or "age_band"."""
        if by == "province":
            return _drawn(charts_response.provinces(self._of), "harm")
        if by not in ("fraud_type", "age_band"):
            raise ConfigurationError("by", "wanted 'fraud_type', 'province' or 'age_band'", given=by)
        return _drawn(charts_response.harm_by(self._of, by), "harm")

    def waits(self) -> Any:
        """Draw how long jobs wait at each desk."""
        return _drawn(charts_response.waits(self._of), "waits")

    def sources(self, channel: str = "voice") -> Any:
        """Draw where attempts come from."""
        return _drawn(charts_setting.sources(self._of, _channel(channel)), "sources")

    def network(self) -> Any:
        """Draw how full trunk groups are."""
        return _drawn(charts_setting.network(self._of), "network")

    def ratio_band(self) -> Any:
        """Draw what the interception ratio, which nobody reports, leaves open."""
        return _drawn(charts_setting.ratio_band(self._of), "ratio_band")


class ComparisonPlots(_Plots):
    """Charts of a comparison. `channel` is "voice" or "sms"."""

    def differences(self, variant: str | None = None, channel: str = "voice") -> Any:
        """Draw what a variant, by default the first, changes; `channel` may also be "harm"."""
        name = next(iter(self._of.variants)) if variant is None else variant
        if name not in self._of.variants:
            near = nearest_name(name, self._of.variants)
            raise ConfigurationError("variant", "there is none of this name", given=name, nearest=near)
        part = channel if channel == "harm" else _channel(channel)
        return _drawn(charts_studies.differences(self._of, name, part), "differences")

    def pairs(self, channel: str = "voice") -> Any:
        """Draw what each pair of runs differs by in what gets through."""
        return _drawn(charts_studies.pairs(self._of, _channel(channel)), "pairs")


class SweepPlots(_Plots):
    """Charts of a sweep."""

    def metric(self, metric: str | None = None) -> Any:
        """Draw a metric that the study names, by default the first, over its axes: one chart or a column of them."""
        named = self._of.about["metrics"]
        wanted = named[0] if metric is None else metric
        if wanted not in named:
            near = nearest_name(wanted, named)
            raise ConfigurationError("metric", "the study names none such", given=wanted, nearest=near)
        figures = list(charts_studies.figures_of_metric(self._of, wanted))
        if len(figures) == 1:
            return figures[0].titled()
        return altair().vconcat(*(figure.titled() for figure in figures)).resolve_scale(color="independent")

    def front(self) -> Any:
        """Draw the points of a search by its first two objectives."""
        return _drawn(charts_studies.front_of_objectives(self._of), "front")


class OptimumPlots(_Plots):
    """Charts of a search."""

    def front(self) -> Any:
        """Draw its points by its first two objectives, and which of them are the front."""
        return _drawn(charts_studies.front(self._of), "front")


def plots_of(shown: Any) -> _Plots:
    """Return the charts of a run, a comparison, a sweep or a search."""
    kinds: dict[type, type[_Plots]] = {
        RunResult: RunPlots,
        Comparison: ComparisonPlots,
        Sweep: SweepPlots,
        Optimum: OptimumPlots,
    }
    return kinds[type(shown)](shown)


def html_of(shown: Any) -> str:
    """Return the table that notebooks show of a run, a comparison, a sweep or a search; it needs no library."""
    if isinstance(shown, RunResult):
        return _table(page_of_run(shown, drawn=False), "RunResult")
    if isinstance(shown, Comparison):
        return _table(page_of_comparison(shown, drawn=False), "Comparison")
    sweep = shown.sweep if isinstance(shown, Optimum) else shown
    return _table(page_of_sweep(sweep, drawn=False), type(shown).__name__)


_CELL = "padding:3px 16px 3px 0;text-align:left;vertical-align:top"


def _table(page: Page, kind: str) -> str:
    rows = "".join(_row(card) for card in page.cards)
    return (
        f'<div style="font-family:system-ui,sans-serif;font-size:14px"><div style="font-weight:600;font-size:16px">'
        f'{escape(page.title)}</div><div style="opacity:.7;margin:2px 0 8px">{_joined(page.extent)}</div>'
        f'<table style="border-collapse:collapse;font-variant-numeric:tabular-nums">{rows}</table>'
        f'<div style="opacity:.7;margin-top:8px">{kind}: charts under <code>.plot</code></div></div>'
    )


def _row(card: Card) -> str:
    cells = "".join(
        f'<td style="{_CELL}">{escape(text)}</td>' for text in (card.of, card.value, card.note, card.status)
    )
    return f"<tr>{cells}</tr>"


def _joined(texts: Sequence[str]) -> str:
    return " · ".join(map(escape, texts))
