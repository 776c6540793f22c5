"""How pages are looked at: Chromium without a network of its own, and what is wrong with what it drew."""

import contextlib
import shutil

from playwright.sync_api import sync_playwright

WIDTHS = (1280, 390)
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-default-apps", "--disable-sync", "--no-first-run"),
)

LOOK = """
() => {
  const told = { small: [], cut: [], covered: [], wide: [], short: [] };
  const shown = (el) => { for (let at = el; at; at = at.parentElement ?? at.getRootNode().host) {
    const style = getComputedStyle(at);
    if (style.display === "none" || style.visibility === "hidden" || +style.opacity === 0
        || +(at.getAttribute("opacity") ?? 1) === 0) return false; } return true; };
  const own = (el) => [...el.childNodes].filter((n) => n.nodeType === 3).map((n) => n.nodeValue.trim()).join("");
  const within = (el) => el.shadowRoot ? [el, ...all(el.shadowRoot)] : [el];
  const all = (root) => [...root.querySelectorAll("*")].flatMap(within);
  const elements = all(document.body);
  for (const el of elements) {
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
  for (const svg of elements.filter((el) => el.matches("svg.marks"))) {
    const frame = (svg.closest("figure") ?? svg.closest(".vega-embed")).getBoundingClientRect();
    const name = svg.closest(".chart")?.id ?? "chart";
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
"""What is wrong with a page, by kind: small, cut, covering one another, too wide, or charts without marks or labels."""


@contextlib.contextmanager
def chromium():
    """Give a browser, Debian's; fail where there is none."""
    path = shutil.which("chromium")
    assert path, "no chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextlib.contextmanager
def page_in(browser, width, *, of=("file:", "data:"), **settings):
    """Give a page, and a list of all that goes wrong there, requests to elsewhere than `of` among it."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **settings)
    page = context.new_page()
    wrong = []
    page.on("console", lambda told: told.type == "error" and wrong.append(f"console: {told.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url[:100]}"))
    page.on("request", lambda asked: asked.url.startswith(of) or wrong.append(f"asked: {asked.url[:100]}"))
    yield page, wrong
    context.close()


def faults(page):
    """Return what is wrong with what a page shows, by kind."""
    return {kind: found for kind, found in page.evaluate(LOOK).items() if found}
