"""Pages: what is opened, one file that needs nothing else, text escaped, pictures, mistakes told in a line."""

import dataclasses
import json
import re
import sys
import time
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner

import interceptsim as ics
from interceptsim.cli import main
from interceptsim.experiments.compare import open_comparison
from interceptsim.report import page as pages
from interceptsim.report.page import draw_images, open_shown, page_of, write_report


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []
        self.links = []

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]


def tags_of(text):
    parser = _Tags()
    parser.feed(text)
    return parser


def call(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_page_is_one_file_that_links_to_nothing_outside(harmed, tmp_path):
    text = write_report(harmed, tmp_path / "new" / "page.html").read_text("utf-8")
    tags = tags_of(text)
    assert tags.links
    assert all(link.startswith(("#", "data:")) for link in tags.links)
    assert "default-src 'none'" in text
    assert len(text) < 3_000_000
    assert text.count("window.vegaEmbed=") == 1


def test_a_page_holds_each_specification_once_and_as_json(harmed, tmp_path):
    text = write_report(harmed, tmp_path / "page.html").read_text("utf-8")
    specs = re.findall(r'<script type="application/json" class="spec" data-chart="chart-([^"]+)">(.*?)</script>', text)
    figures = page_of(harmed).figures
    assert [name for name, _ in specs] == [figure.name for figure in figures]
    for (_, spec), figure in zip(specs, figures, strict=True):
        assert json.loads(spec) == figure.spec()
        assert "<" not in spec


def test_text_from_data_cannot_become_tags(run, tmp_path):
    bad = "</script><img src=x onerror=alert(1)>\"'"
    evil = dataclasses.replace(run, scenario=run.scenario.model_copy(update={"title": bad, "name": "nobody's"}))
    text = write_report(evil, tmp_path / "page.html").read_text("utf-8")
    assert "img" not in tags_of(text).seen
    assert "&lt;/script&gt;&lt;img" in text


def test_the_page_says_what_was_asked_of_it(harmed, tmp_path):
    text = write_report(harmed, tmp_path / "page.html").read_text("utf-8")
    for word in ("fitted", "assumed", "95 % interval", "parameters are assumed", "Reports leave open"):
        assert word in text, word
    for target in harmed.targets:
        assert f"{target.ratio:.4f}" in text
    assert harmed.digest in text


def test_a_page_is_written_in_little_time(harmed, tmp_path):
    write_report(harmed, tmp_path / "first.html")
    started = time.process_time()
    write_report(harmed, tmp_path / "page.html")
    assert time.process_time() - started < 10


def test_the_same_run_has_the_same_page(run, tmp_path):
    texts = [write_report(run, tmp_path / f"{n}.html").read_bytes() for n in "ab"]
    assert texts[0] == texts[1]


@pytest.mark.slow
def test_pictures_are_drawn_of_every_chart(harmed, tmp_path):
    page = page_of(harmed)
    drawn = draw_images(page, tmp_path / "images")
    assert len(drawn) == 2 * len(page.figures)
    assert drawn[0].read_text("utf-8").startswith("<svg")
    assert drawn[1].read_bytes().startswith(b"\x89PNG")


def test_runs_comparisons_and_sweeps_are_opened_as_what_they_are(run, compared, swept, searched, tmp_path):
    run.save(tmp_path / "run")
    compared.save(tmp_path / "compared")
    assert open_shown(tmp_path / "run").digest == run.digest
    again = open_shown(tmp_path / "compared")
    assert again.effects.equals(compared.effects)
    assert again.values.equals(compared.values)
    assert again.as_json() == {**compared.as_json(), "wall_s": again.as_json()["wall_s"]}
    assert list(again.variants.values()) == list(compared.variants.values())
    assert open_shown(swept.store.folder).table.equals(swept.table)
    assert open_shown(searched.sweep.file).table.equals(searched.sweep.table)


def test_what_is_nothing_of_the_kind_is_told(searched, tmp_path):
    with pytest.raises(ics.ResultsError, match=r"nothing to report on; wanted a directory of `run --out`"):
        open_shown(tmp_path)
    with pytest.raises(ics.ResultsError, match=r"holds [23] sweeps; name one of"):
        open_shown(searched.sweep.store.folder)
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(ics.ResultsError, match="not the table of a sweep"):
        open_shown(tmp_path / "x.parquet")


def test_a_damaged_comparison_is_told(compared, tmp_path):
    compared.save(tmp_path / "kept")
    (tmp_path / "kept" / "values.parquet").unlink()
    with pytest.raises(ics.ResultsError, match=r"not a comparison: there is no values.parquet"):
        open_comparison(tmp_path / "kept")
    compared.save(tmp_path / "other")
    (tmp_path / "other" / "manifest.json").write_text("{}")
    with pytest.raises(ics.ResultsError, match="damaged comparison"):
        open_comparison(tmp_path / "other")


def test_the_command_writes_a_page_beside_what_it_is_about(compared, tmp_path):
    compared.save(tmp_path / "kept")
    done = call("report", tmp_path / "kept", "--images", tmp_path / "images")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"report {tmp_path / 'kept.html'}\n"
    assert (tmp_path / "kept.html").stat().st_size > 100_000
    assert (tmp_path / "images" / "pairs-voice.png").exists()
    again = call("report", tmp_path / "kept", "--out", tmp_path / "else" / "page.html")
    assert again.exit_code == 0
    assert (tmp_path / "else" / "page.html").exists()


def test_a_run_can_end_with_its_page(tmp_path):
    done = call("run", "minimal", "--scale", "1:20000", "--days", 2, "--report", tmp_path / "page.html")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == f"report {tmp_path / 'page.html'}"
    quiet = call("run", "minimal", "--scale", "1:20000", "--days", 2, "--json", "--report", tmp_path / "page.html")
    assert json.loads(quiet.stdout)["scenario"] == "minimal"


@pytest.mark.parametrize(("library", "extra"), [("altair", "viz"), ("jinja2", "viz"), ("vl_convert", "viz")])
def test_a_missing_library_is_told_before_the_run_by_its_extra(monkeypatch, tmp_path, library, extra):
    pages._template.cache_clear()
    monkeypatch.setitem(sys.modules, library, None)
    done = call("run", "minimal", "--scale", "1:20000", "--report", tmp_path / "page.html")
    assert done.exit_code == 2
    assert done.stderr == (
        f"interceptsim: report: needs {library}, which is not installed: pip install 'interceptsim[{extra}]'\n"
    )


def test_a_place_that_cannot_be_written_is_told(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ics.ResultsError, match="cannot be written"):
        write_report(run, tmp_path / "file" / "page.html")
    with pytest.raises(ics.ResultsError, match="cannot be written"):
        write_report(run, tmp_path)
    assert not list(tmp_path.glob(".*"))
