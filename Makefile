# Everything goes through here: `make up` runs the pipeline, `make test` runs what CI runs.
# Results go to standard output, installers and progress to standard error.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
ARGS ?=
WORKERS ?= 2

.PHONY: up test lint types imports test-all sim torture bench clean

up: $(VENV)/.installed
	@$(BIN)/sb local $(ARGS)

test: $(VENV)/.dev lint imports types
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m 'not slow and not engines'

test-all: $(VENV)/.dev lint imports types
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .

imports: $(VENV)/.dev
	@$(BIN)/lint-imports --no-cache >$(VENV)/imports.txt 2>&1 || { cat $(VENV)/imports.txt; exit 1; }

types: $(VENV)/.dev
	@$(BIN)/mypy --no-error-summary

sim: $(VENV)/.dev
	$(BIN)/python -m pytest tests/sim --sim-seeds=$(or $(SEEDS),2000) $(if $(SEED),--sim-seed=$(SEED))

torture: $(VENV)/.dev
	$(BIN)/python -m pytest tests/engines

bench: $(VENV)/.dev
	$(BIN)/python -m bench $(ARGS)

$(VENV)/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (set PYTHON=...)" >&2; exit 1; }
	@echo "installing into $(VENV) (once)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) >&2
	@$(PIP) install -e . >&2
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	@echo "installing what the tests need into $(VENV) (once)" >&2
	@$(PIP) install -e '.[dev]' >&2
	@touch $@

clean:
	rm -rf $(VENV) .sb .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
