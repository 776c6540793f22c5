"""The page: one HTML file that opens without a network, and the pictures of its charts.

Vega, Vega-Lite and vega-embed are written into the page once; the browser draws charts from their specifications.
All text that comes from data is escaped.
"""

from __future__ import annotations

import base64
import functools
import json
import os
from pathlib import Path
from typing import Any

from interceptsim.errors import ResultsError
from interceptsim.experiments.compare import Comparison, open_comparison
from interceptsim.experiments.extras import extra
from interceptsim.experiments.sweep import Sweep, open_sweep
from interceptsim.report.sections import Page, page_of_run
from interceptsim.report.sections_studies import page_of_comparison, page_of_sweep
from interceptsim.results import RunResult, open_run

__all__ = ["Shown", "check_libraries", "draw_images", "open_shown", "page_of", "write_report"]

Shown = RunResult | Comparison | Sweep


def open_shown(path: str | Path) -> Shown:
    """Return the run, comparison or sweep that is kept at `path`.

    That is a directory written by `run --out` or `compare --out`, a store of sweeps with one table, or such a table.
    Raise ResultsError where it is none of these.
    """
    at = Path(path)
    if at.is_file():
        return open_sweep(at)
    try:
        manifest = json.loads((at / "manifest.json").read_text("utf-8"))
    except (OSError, ValueError):
        manifest = None
    if isinstance(manifest, dict):
        return open_comparison(at) if "resolved_variants" in manifest else open_run(at)
    tables = sorted((at / "sweeps").glob("[!.]*.parquet"))
    if len(tables) == 1:
        return open_sweep(tables[0])
    if tables:
        names = ", ".join(table.name for table in tables)
        raise ResultsError(f"{at}: holds {len(tables)} sweeps; name one of {at / 'sweeps'}: {names}")
    wanted = "wanted a directory of `run --out` or `compare --out`, or a store or table of `sweep`"
    raise ResultsError(f"{at}: nothing to report on; {wanted}")


def check_libraries() -> None:
    """Raise ConfigurationError where a library is missing that pages need: better before a long run than after it."""
    for module in ("altair", "jinja2", "vl_convert"):
        extra(module, "report")


def page_of(shown: Shown) -> Page:
    """Return what the page of a run, a comparison or a sweep says."""
    if isinstance(shown, RunResult):
        return page_of_run(shown)
    return page_of_comparison(shown) if isinstance(shown, Comparison) else page_of_sweep(shown)


def write_report(shown: Shown, file: str | Path, *, images: str | Path | None = None) -> Path:
    """Write the page of a run, a comparison or a sweep as one HTML file, and return its path.

    `images` is a directory for each chart's PNG and SVG. What is there is written over, whole or not at all. Raise
    ResultsError where it cannot be written.
    """
    page = page_of(shown)
    path = Path(file)
    text = _template().render(
        page=page,
        specs={figure.name: _safe(figure.spec()) for figure in page.figures},
        bundle=_bundle(),
        scenario=base64.b64encode(page.scenario.encode()).decode(),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
        aside.write_text(text, "utf-8")
        aside.replace(path)
        if images is not None:
            draw_images(page, Path(images))
    except OSError as error:
        raise ResultsError(f"{error.filename or path}: cannot be written: {error.strerror}") from None
    return path


def draw_images(page: Page, folder: Path) -> list[Path]:
    """Draw each chart of a page with its title as PNG, on white, and SVG; return their paths."""
    convert = extra("vl_convert", "report")
    folder.mkdir(parents=True, exist_ok=True)
    drawn: list[Path] = []
    for figure in page.figures:
        spec = figure.spec(640, titled=True)
        spec["config"] = {**spec["config"], "background": "white", "padding": 16}
        files = (folder / f"{figure.name}.svg", folder / f"{figure.name}.png")
        files[0].write_text(convert.vegalite_to_svg(spec), "utf-8")
        files[1].write_bytes(convert.vegalite_to_png(spec, scale=2))
        drawn += files
    return drawn


def _safe(spec: dict[str, Any]) -> str:
    """Write JSON that may stand inside a script of a page: it can neither end it nor open a comment."""
    return json.dumps(spec, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


@functools.cache
def _bundle() -> str:
    """Return the libraries that draw charts, as one script."""
    script: str = extra("vl_convert", "report").javascript_bundle()
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


@functools.cache
def _template() -> Any:
    jinja = extra("jinja2", "report")
    loader = jinja.FileSystemLoader(Path(__file__).parent)
    environment = jinja.Environment(
        loader=loader, autoescape=True, undefined=jinja.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html")
