"""The documentation: Python examples run, and the site builds without a warning."""

import functools
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import interceptsim as ics
from interceptsim import audit
from interceptsim.testing import sample_batch

ROOT = Path(__file__).parents[1]
ELSEWHERE = {"backtest.md"}  # its examples, commands too, are run by tests/backtest/test_backtest_docs.py
PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").glob("*.md") if page.name not in ELSEWHERE)]
WITH_EXAMPLES = [page for page in PAGES if "```python" in page.read_text("utf-8")]
SMALL = {"scale": 100_000, "days": 2, "replications": 2}


def smaller(call):
    """Return a function that makes its runs smaller than it is asked to, however large those of an example are."""
    known = inspect.signature(call).parameters

    @functools.wraps(call)
    def made(*given, **options):
        return call(*given, **{**options, **{name: value for name, value in SMALL.items() if name in known}})

    return made


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: page.name)
def test_the_examples_of_a_page_run_one_after_another(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("run", "compare", "sweep"):
        monkeypatch.setattr(ics, name, smaller(getattr(ics, name)), raising=False)
    monkeypatch.setattr(audit, "audit", smaller(audit.audit))
    ics.sweep(
        ics.load("minimal"), {"police.delay": ["3h"]}, name="delays", workers=1
    )  # what a page reads from the store
    space = {"ics": ics, "frame": sample_batch(500).to_frame(), "scenario": ics.load("minimal")}
    for example in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        exec(compile(example, page.name, "exec"), space)


def test_every_page_has_its_place_in_the_site():
    named = set(re.findall(r"[a-z_]+\.md", (ROOT / "mkdocs.yml").read_text("utf-8")))
    assert named == {page.name for page in (ROOT / "docs").glob("*.md")} | {"api.md", "sources.md"}


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_tells_of_every_public_name_and_parameter(tmp_path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    for command in (
        [sys.executable, "docs/write_pages.py"],
        [Path(sys.executable).with_name("zensical"), "build", "--strict"],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Warning" not in done.stdout + done.stderr
    site = tmp_path / "runs" / "site"
    assert {page.stem for page in site.glob("*.html")} >= {page.stem for page in (tmp_path / "docs").glob("*.md")}
    names, known = ((site / page).read_text("utf-8") for page in ("api.html", "sources.html"))
    assert all(f'id="{name.lower()}' in names for name in ics.__all__)
    assert known.count("<tr>") == len(ics.parameters()) + len(ics.figures()) + 5  # and the heads of five tables
