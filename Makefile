# What a person needs: `make demo` and `make test`. Both work from a fresh clone with Python 3.11 or later and
# a network; neither needs root nor changes the system. Everything made lies in .venv and in the user's cache.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first interpreter that is new enough; `make PYTHON=/path/to/python3.12 ...` chooses another.
PYTHON ?= $(shell for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
	if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$candidate; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Tests and the demo start the product hundreds of times: compiled once, not at each start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: $(VENV)/.installed ## virtual environment, QEMU and the demo's programs
	@$(BIN)/python -m triage_tui.setup

.PHONY: demo
demo: $(VENV)/.installed ## real programs fail, are diagnosed, mended and run again
	@$(BIN)/triage-tui demo

.PHONY: test
test: ## everything that must hold: style, types, import contracts, all tests
	@$(MAKE) --no-print-directory -j 2 compiled programs lint
	@$(MAKE) --no-print-directory -j 2 typecheck pytest

.PHONY: programs
programs: $(VENV)/.installed-dev
	@$(BIN)/python -m triage_tui.setup --all

# Each worker of the tests reads all of them, and those of a fresh clone would all compile the same ones first.
# What is wrong with one is told where the tests run.
.PHONY: compiled
compiled: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest --collect-only -qq -p no:cacheprovider >/dev/null 2>&1 || :

.PHONY: pytest
pytest: programs
	@$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS); status=$$?; \
	if [ $$status -eq 1 ] && grep -q :: .pytest_cache/v/cache/lastfailed; then \
		echo "make: once more, one at a time: what fails again is broken, what passes was disturbed by its neighbours"; \
		$(BIN)/python -m pytest --last-failed --last-failed-no-failures none --maxfail 3 -rA --no-header; \
	else exit $$status; fi

.PHONY: lint
lint: $(VENV)/.installed-dev ## ruff and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

.PHONY: typecheck
typecheck: $(VENV)/.installed-dev ## mypy --strict over product, tests and benchmarks
	@$(BIN)/mypy

.PHONY: bench
bench: $(VENV)/.installed-dev ## measure, and print the tables
	@$(BIN)/python -m triage_tui.setup --all
	@$(BIN)/python -m benchmarks

.PHONY: screenshots
screenshots: $(VENV)/.installed-dev ## draw screenshots/ anew
	@$(BIN)/python -m screenshots.draw

.PHONY: clean
clean: ## remove what make made here (downloads stay in the user's cache)
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache *.egg-info

# The stamps are newer than pyproject.toml exactly when what it asks for has been installed.
$(VENV)/.installed: pyproject.toml | $(VENV)/.made
	@echo "setup: installing triage-tui and what it needs"
	@$(PIP) install -e '.[campaign]'
	@touch $@

# uv takes a sixth of pip's time for so many packages. It knows nothing of pip's settings: whoever has another
# index than the public one or constraints, or whom uv fails, gets them by pip. What pip lists of its settings
# it says only where it is not told to be quiet.
$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.made
	@echo "setup: installing triage-tui with its development tools"
	@if ! $(BIN)/python -m pip --verbose config list | grep -Eq '[.](index-url|pypi-url|no-index|constraint)=' \
		&& $(PIP) install 'uv>=0.9,<1' 2>/dev/null \
		&& $(BIN)/uv pip install --quiet --python $(BIN)/python -e '.[dev]' 2>/dev/null; then :; \
	else $(PIP) install --no-compile -e '.[dev]'; fi
	@touch $@ $(VENV)/.installed

$(VENV)/.made:
	@if [ -z "$(PYTHON)" ]; then \
		echo "triage-tui needs Python 3.11 or later, and none was found: install it, or name one with make PYTHON=..." >&2; \
		exit 2; fi
	@$(PYTHON) -m triage_tui.setup.venv $(VENV)
	@touch $@
