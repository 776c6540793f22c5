"""Write the pages that are made from the package beside this file, as `make docs` does before it builds the site."""

from __future__ import annotations

import inspect
from pathlib import Path

import interceptsim as ics

HERE = Path(__file__).parent
NEW = "\n"


def cell(text: object) -> str:
    """Write a text as a cell of a table."""
    return " ".join(str(text or "").split()).replace("|", "\\|")


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """Write a table of Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return NEW.join(f"| {' | '.join(map(cell, line))} |" for line in lines)


def sources() -> str:
    """Return the page of reported figures and of parameters, by what is known of them."""
    figures: list[tuple[object, ...]] = []
    for f in ics.figures():
        period = f"{f.start or '?'} to {f.end or '?'}"
        value = f"{f.value:,.12g} {f.unit}"
        figures.append((f.quantity, value, period, f"{f.publisher}, {f.published}"))
    parts = [
        "# Sources and assumptions",
        "Made by `docs/write_pages.py` from `seeds/`; `interceptsim figures` prints the same with notes and conflicts.",
        "## Reported figures",
        table(("what", "value", "period", "source"), figures),
    ]
    told = {
        "assumed": "Nobody publishes these. Each is a value of a scenario, to be changed and swept over its range.",
        "measured": "A study's number.",
        "derived": "Arithmetic on the others.",
        "reported": "An official or published count.",
    }
    for status, what in told.items():
        known = [p for p in ics.parameters() if p.status == status]
        rows = [(p.quantity, p.value, f"{p.low} to {p.high}" if p.low and p.high else "", p.source) for p in known]
        parts += [f"## {len(known)} parameters {status}", what, table(("what", "value", "range", "source"), rows)]
    return f"{(NEW * 2).join(parts)}{NEW}"


def api() -> str:
    """Return the page of public names: how each is called, and its docstring."""
    parts = ["# API", "Made by `docs/write_pages.py` from the docstrings of `import interceptsim as ics`."]
    for name in ics.__all__:
        what = getattr(ics, name)
        shown = f"class {name}"
        if not inspect.isclass(what):
            signature = inspect.signature(what)
            plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
            shown = f"{name}{signature.replace(parameters=plain, return_annotation=signature.empty)}"
        parts += [f"## {name}", f"```text{NEW}{shown}{NEW}{NEW}{inspect.getdoc(what)}{NEW}```"]
    return f"{(NEW * 2).join(parts)}{NEW}"


PAGES = {"sources.md": sources, "api.md": api}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), "utf-8")
