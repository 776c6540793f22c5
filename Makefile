# `make run` and `make test` are all a newcomer needs: Python 3.11 or later with pip and venv, and make.

PYTHON ?= python3
BIN := .venv/bin
# As many files of tests at a time as there are cores, four at most; in their order, since those of few tests may be long.
ABREAST := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: run test check browser lint notebooks docs bench

# Ends with the path of a page about the run.
run: .venv/installed
	$(BIN)/interceptsim run china-2025 --scale 1:100 --report runs/china-2025.html

test: .venv/installed
	$(BIN)/pytest -q $(ABREAST) -m "not browser"

# Needs Debian's chromium.
browser: .venv/installed
	$(BIN)/pytest -q -m browser

# Before each commit: lint, types, import contracts, fast tests.
check: lint
	$(BIN)/pytest -q $(ABREAST) -m "not slow and not browser"

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

notebooks: .venv/installed
	$(BIN)/marimo check notebooks/*.py
	for notebook in notebooks/*.py; do $(BIN)/python $$notebook || exit 1; done

# The site, in runs/site.
docs: .venv/installed
	$(BIN)/python docs/write_pages.py
	$(BIN)/zensical build --strict

bench: .venv/installed
	$(BIN)/pytest -q benchmarks --benchmark-enable

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@
