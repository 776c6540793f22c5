"""Pages in a browser without a network: all is drawn, and nothing is cut, covered, too small or too wide."""

import json
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from interceptsim.report.page import page_of, write_report

pytestmark = pytest.mark.browser

WIDTHS = (1280, 390)
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-default-apps", "--disable-sync", "--no-first-run"),
)

LOOK = """
() => {
  const told = { small: [], cut: [], covered: [], wide: [], short: [] };
  const shown = (el) => { for (let at = el; at; at = at.parentElement) {
    const style = getComputedStyle(at);
    if (style.display === "none" || style.visibility === "hidden" || +style.opacity === 0
        || +(at.getAttribute("opacity") ?? 1) === 0) return false; } return true; };
  const own = (el) => [...el.childNodes].filter((n) => n.nodeType === 3).map((n) => n.nodeValue.trim()).join("");
  for (const el of document.querySelectorAll("body *")) {
    if (["SCRIPT", "STYLE", "NOSCRIPT"].includes(el.tagName) || !own(el) || !shown(el)) continue;
    const at = el.getScreenCTM ? el.getScreenCTM() : null;
    const scale = at ? Math.hypot(at.a, at.b) : 1;
    const size = parseFloat(getComputedStyle(el).fontSize) * scale;
    if (size < 11) told.small.push(`${size.toFixed(1)} px: ${own(el)}`);
    const box = el.getBoundingClientRect();
    if (box.right > innerWidth + 1 || box.left < -1) told.wide.push(own(el));
    if (!el.closest("svg") && el.scrollWidth > el.clientWidth + 1 && el.clientWidth > 0) told.cut.push(own(el));
  }
  const scrolled = document.documentElement.scrollWidth;
  if (scrolled > innerWidth) told.wide.push(`the page is ${scrolled} wide`);
  for (const svg of document.querySelectorAll(".chart svg")) {
    const frame = svg.closest("figure").getBoundingClientRect();
    const name = svg.closest(".chart").id;
    const marks = svg.querySelectorAll(".role-mark path, .role-mark rect, .role-mark line");
    if (!marks.length) told.short.push(`${name} has no marks`);
    const texts = [...svg.querySelectorAll("text")].filter((t) => t.textContent.trim() && shown(t));
    if (texts.length < 2) told.short.push(`${name} has ${texts.length} labels`);
    const boxes = texts.map((t) => t.getBoundingClientRect());
    texts.forEach((t, i) => {
      const a = boxes[i];
      if (a.left < frame.left || a.right > frame.right || a.top < frame.top || a.bottom > frame.bottom
          || t.textContent.includes("\u2026")) told.cut.push(`${name}: ${t.textContent}`);
      for (let j = i + 1; j < texts.length; j++) {
        const b = boxes[j];
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (across > 1 && down > 3) told.covered.push(`${name}: ${t.textContent} / ${texts[j].textContent}`);
      }
    });
  }
  return told;
}
"""


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium")
    assert chromium, "no chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield started
        started.close()


def opened(browser, file, width, color_scheme="light"):
    """Return a page at a file with the network off, and a list to which everything that goes wrong there is added."""
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, color_scheme=color_scheme)
    page = context.new_page()
    wrong = []
    page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url[:100]}"))
    page.on("request", lambda asked: asked.url.startswith(("file:", "data:")) or wrong.append(f"asked: {asked.url}"))
    page.goto(Path(file).as_uri())
    page.wait_for_selector("body[data-drawn]", timeout=30_000)
    return page, wrong


@pytest.mark.parametrize("kind", ["harmed", "compared", "swept", "searched"])
def test_a_page_is_drawn_whole_and_well_at_both_widths(request, browser, tmp_path, kind):
    shown = request.getfixturevalue(kind)
    file = write_report(shown.sweep if kind == "searched" else shown, tmp_path / "page.html")
    wanted = len(page_of(shown.sweep if kind == "searched" else shown).figures)
    assert wanted >= 3
    for width in WIDTHS:
        page, wrong = opened(browser, file, width)
        assert page.locator(".chart svg").count() == wanted
        page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
        told = page.evaluate(LOOK)
        assert {what: found for what, found in told.items() if found} == {}, f"at {width}: {json.dumps(told, indent=1)}"
        assert wrong == []
        page.context.close()


def test_text_and_charts_can_be_read_in_the_dark(browser, harmed, tmp_path):
    page, wrong = opened(browser, write_report(harmed, tmp_path / "page.html"), 1280, "dark")
    light = """(el) => getComputedStyle(el).getPropertyValue("fill") || getComputedStyle(el).color"""
    colours = {page.eval_on_selector(at, light) for at in (".chart svg text",)}
    assert colours == {"rgb(233, 236, 239)"}
    assert wrong == []
    page.context.close()


def test_text_from_data_is_text_and_never_a_tag(browser, harmed, compared, tmp_path):
    for shown, text in ((harmed, "<b>dating & more</b>"), (compared, "list <in> 1 h")):
        page, wrong = opened(browser, write_report(shown, tmp_path / "page.html"), 1280)
        assert text in page.locator("body").inner_text() + page.locator("body").text_content()
        assert page.locator("main b, main in").count() == 0
        assert wrong == []
        page.context.close()
