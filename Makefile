# Everything goes through here: `make up` runs the pipeline, `make test` runs what CI runs.
# Results go to standard output, installers and progress to standard error.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
ARGS ?=
WORKERS ?= 2
PICTURE_OFFSET ?= 23000

.PHONY: up test stack lint types imports autobahn schemathesis test-all other-python sim hunt mutants torture bench picture clean

up: $(VENV)/.installed
	@$(BIN)/sb local $(ARGS)

test: $(VENV)/.dev lint imports types stack
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m 'not slow'

# Kafka, MariaDB and Redis for tests; what is missing and can't be got is said, and by each test that needs it again.
stack: $(VENV)/.installed
	@$(BIN)/sb stack install || echo "tests on real engines are skipped, or fail where CI=true" >&2

# Autobahn's suite for WebSockets runs on CPython 2.7 only; where there is none, its test is skipped.
PYTHON27 ?= $(shell for p in python2.7 $(HOME)/.pyenv/versions/2.7.*/bin/python2.7; do \
	$$p -c '' 2>/dev/null && { echo $$p; break; }; done)
autobahn: $(VENV)/.dev
	@test -x $(VENV)/autobahn/bin/wstest || test -z "$(PYTHON27)" || { \
		echo "installing Autobahn's test suite (once)" >&2; \
		$(PYTHON27) -m pip --disable-pip-version-check -q install --target $(VENV)/virtualenv27 virtualenv==20.15.1 >&2 && \
		PYTHONPATH=$(VENV)/virtualenv27 $(PYTHON27) -m virtualenv -q $(VENV)/autobahn >&2 && \
		$(VENV)/autobahn/bin/pip -q install autobahntestsuite==0.8.2 >&2; }

schemathesis: $(VENV)/.dev
	@test -x $(VENV)/schemathesis/bin/schemathesis || { \
		echo "installing Schemathesis (once)" >&2; \
		$(PYTHON) -m venv $(VENV)/schemathesis >&2 && \
		$(VENV)/schemathesis/bin/pip --disable-pip-version-check -q install 'schemathesis>=4.32,<5' >&2; }

test-all: $(VENV)/.dev autobahn schemathesis lint imports types stack other-python
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --sim-seeds=2000

# The oldest and the newest Python that are supported; the one in use is left out, one that isn't here is said to be missing.
other-python: $(VENV)/.dev
	@for v in 3.11 3.13; do \
		$(BIN)/python -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] == '$$v')" || continue; \
		for p in python$$v $(HOME)/.pyenv/versions/$$v.*/bin/python$$v; do $$p -c '' 2>/dev/null && found=$$p && break; done; \
		test -n "$$found" || { echo "no Python $$v here: not tested on it" >&2; continue; }; \
		$(MAKE) test PYTHON=$$found VENV=.venv-$$v || exit 1; found=; \
	done

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .

imports: $(VENV)/.dev
	@$(BIN)/lint-imports --no-cache >$(VENV)/imports.txt 2>&1 || { cat $(VENV)/imports.txt; exit 1; }

types: $(VENV)/.dev
	@$(BIN)/mypy --no-error-summary

sim: $(VENV)/.dev
	$(BIN)/python -m pytest tests/sim --sim-seeds=$(or $(SEEDS),2000) $(if $(SEED),--sim-seed=$(SEED))

# Other examples each time, and many more of them than `make test` looks at, where CI=true takes the same ones every day.
TIMES ?= 20
hunt: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) -m 'hypothesis and not engines' --times=$(TIMES)

mutants: $(VENV)/.dev
	$(BIN)/python tests/mutants.py $(MACHINES)

torture: $(VENV)/.dev stack
	$(BIN)/python -m pytest tests/engines

bench: $(VENV)/.dev
	$(BIN)/python -m bench $(ARGS)

picture: $(VENV)/.dev
	@folder=$$(mktemp -d); export SB_DATA=$$folder/data SB_PORT_OFFSET=$(PICTURE_OFFSET) SB_LOG_LEVEL=error; \
	echo "watching a pipeline for a minute and a half" >&2; \
	$(BIN)/sb local --quiet --duration 95 >/dev/null & sleep 5; \
	$(BIN)/sb console --record $$folder/picture.sbrec --duration 85 && wait && \
	$(BIN)/python -m sb_console.picture $$folder/picture.sbrec docs/console.svg; rm -rf $$folder

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
