"""Pages in a browser without a network: all is drawn, and nothing is cut, covered, too small or too wide."""

import contextlib

import pytest
from looking import WIDTHS, chromium, faults, page_in

from interceptsim.report.page import page_of, write_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@contextlib.contextmanager
def opened(browser, file, width, color_scheme="light"):
    with page_in(browser, width, offline=True, color_scheme=color_scheme) as (page, wrong):
        page.goto(file.as_uri())
        page.wait_for_selector("body[data-drawn]", timeout=30_000)
        yield page
        assert wrong == []


@pytest.mark.parametrize("kind", ["harmed", "compared", "swept", "searched"])
def test_a_page_is_drawn_whole_and_well_at_both_widths(request, browser, tmp_path, kind):
    found = request.getfixturevalue(kind)
    shown = found.sweep if kind == "searched" else found
    file = write_report(shown, tmp_path / "page.html")
    wanted = len(page_of(shown).figures)
    assert wanted >= 3
    for width in WIDTHS:
        with opened(browser, file, width) as page:
            assert page.locator(".chart svg").count() == wanted
            page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
            assert faults(page) == {}, f"at {width} pixels"


def test_faults_are_seen(browser):
    """What is asserted of pages has to be able to fail."""
    text = "<body><p style='font-size:9px'>small</p><div style='width:2000px'>wide</div>"
    chart = (
        "<figure style='width:90px;height:40px'><svg class='marks' width='90' height='40' style='overflow:visible'>"
        "<text x='0' y='12'>one</text><text x='4' y='14'>two</text><text x='80' y='30'>beyond</text></svg></figure>"
    )
    with page_in(browser, 390, offline=True) as (page, wrong):
        page.set_content(text + chart + "<img src='http://elsewhere.example/a.png'><script>boom()</script>")
        page.wait_for_timeout(300)
        assert faults(page).keys() == {"small", "wide", "covered", "cut", "short"}
        assert {told.partition(":")[0] for told in wrong} >= {"asked", "failed", "error"}


def test_text_of_charts_can_be_read_in_the_dark(browser, harmed, tmp_path):
    file = write_report(harmed, tmp_path / "page.html")
    colours = []
    for scheme in ("light", "dark"):
        with opened(browser, file, 1280, scheme) as page:
            colours.append(page.eval_on_selector(".chart svg text", "(text) => getComputedStyle(text).fill"))
    assert colours == ["rgb(22, 25, 29)", "rgb(233, 236, 239)"]


def test_text_from_data_is_text_and_never_a_tag(browser, harmed, compared, tmp_path):
    for shown, text in ((harmed, "<b>dating & more</b>"), (compared, "list <in> 1 h")):
        with opened(browser, write_report(shown, tmp_path / "page.html"), 1280) as page:
            assert text in page.locator("main").text_content()
            assert page.locator("main b, main in").count() == 0
