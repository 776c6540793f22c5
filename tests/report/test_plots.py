"""Results in notebooks: charts under `plot`, a table of their own, one line where a library is missing."""

import dataclasses
import sys

import pytest

import interceptsim as ics


def test_every_chart_of_a_run_is_an_altair_chart_with_its_finding(harmed):
    plots = harmed.plot
    names = [name for name in dir(plots) if not name.startswith("_")]
    assert {"daily", "funnel", "rules", "ordinary", "targets", "network", "ratio_band", "waits", "harm"} <= set(names)
    for name in names:
        spec = getattr(plots, name)().to_dict()
        assert spec["title"]["text"]
        assert spec["width"] == 640


def test_charts_of_a_run_are_given_by_channel(harmed):
    calls, messages = (harmed.plot.funnel(channel).to_dict()["title"]["text"] for channel in ("voice", "sms"))
    assert "calls" in " ".join(calls)
    assert "messages" in " ".join(messages)
    assert harmed.plot.ordinary("sms").to_dict() != harmed.plot.ordinary().to_dict()
    for by in ("province", "age_band"):
        assert harmed.plot.harm(by).to_dict()["title"]["text"]


def test_charts_of_studies(compared, swept, searched):
    assert "late" in " ".join(compared.plot.differences("late").to_dict()["title"]["text"])
    assert compared.plot.pairs("sms").to_dict()["title"]["text"]
    assert len(swept.plot.metric("voice.delivered").to_dict()["vconcat"]) == 2
    assert swept.plot.metric().to_dict()
    assert searched.plot.front().to_dict()["title"]["text"]
    assert searched.sweep.plot.front().to_dict()["title"]["text"]


def test_mistakes_name_what_there_is(run, compared, swept):
    for wrong, told in (
        (lambda: run.plot.daily("voise"), "did you mean 'voice'?"),
        (dataclasses.replace(run, desks=None).plot.waits, "plot.waits: there is nothing of the kind to draw"),
        (lambda: run.plot.harm("place"), "wanted 'fraud_type', 'province' or 'age_band'"),
        (lambda: compared.plot.differences("lat"), "did you mean 'late'?"),
        (lambda: swept.plot.metric("voice.deliverd"), "did you mean 'voice.delivered'?"),
        (swept.plot.front, "plot.front: there is nothing of the kind to draw"),
    ):
        with pytest.raises(ics.ConfigurationError, match=told.replace("?", r"\?")):
            wrong()


def test_without_altair_the_extra_is_named_in_one_line_and_the_table_is_there(monkeypatch, run):
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(ics.ConfigurationError, match=r"needs altair.*pip install 'interceptsim\[viz\]'") as told:
        _ = run.plot
    assert "\n" not in str(told.value)
    assert "interception" not in str(told.value)
    assert "fraud calls intercepted" in run._repr_html_()


def test_a_table_shows_each_kind_of_result_and_escapes_its_text(run, compared, swept, searched):
    for shown, kind in ((run, "RunResult"), (compared, "Comparison"), (swept, "Sweep"), (searched, "Optimum")):
        html = shown._repr_html_()
        assert f"{kind}: charts under" in html
        assert "<tr>" in html
        assert "<script" not in html
    assert "list &lt;in&gt; 1 h" in compared._repr_html_()
