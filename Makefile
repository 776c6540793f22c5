# `make run` and `make test` are all a newcomer needs: Python 3.11 or later with pip and venv, and make.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test check lint slow bench clean

run: .venv/installed
	$(BIN)/interceptsim run china-2025 --scale 1:100

test: .venv/installed
	$(BIN)/pytest -q

# Before each commit: lint, types, import contracts, fast tests.
check: lint
	$(BIN)/pytest -q -m "not slow"

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed
	$(BIN)/pytest -q benchmarks --benchmark-enable

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

# Compiled kernels are kept beside their sources; a change in a kernel that another module inlines is not seen there.
clean:
	find src \( -name "*.nbi" -o -name "*.nbc" \) -delete
