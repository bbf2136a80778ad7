# make run: a server of your own, here and now.  make test: everything that must hold.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip -qq --disable-pip-version-check
SITE   := var
MTAD   := $(BIN)/mtad --config $(SITE)/mtad.toml

.PHONY: run test lint format bench soak lock pictures docs clean

run: $(VENV)/.installed
	@test -e $(SITE)/mtad.toml || $(BIN)/mtad quickstart you@example.org --local --dir $(SITE)
	@echo
	@echo "Try, in another terminal:"
	@echo "  $(MTAD) demo            the whole story in half a minute"
	@echo "  $(MTAD) trace to:you    the latest messages, and what became of them"
	@echo "  $(MTAD) tui             the dashboard"
	@echo
	@exec $(MTAD) serve

test: lint
	$(BIN)/pytest -n 2

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Figures; see docs/performance.md.
bench: $(VENV)/.installed-dev
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

# The fault, kill and fuzz harnesses in full; make test runs them shortened.
soak: $(VENV)/.installed-dev
	MTAD_SOAK=1 $(BIN)/pytest -n 2 --timeout 7200 tests

# The exact versions and hashes that run and test install.
LOCK = $(BIN)/uv pip compile pyproject.toml --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links --quiet
lock: $(VENV)/.installed-dev
	$(LOCK) --group build --upgrade --output-file requirements.lock
	$(LOCK) --group build --group dev --constraints requirements.lock --output-file requirements-dev.lock

pictures: $(VENV)/.installed-dev
	$(BIN)/python -m tests.pictures

docs: $(VENV)/.installed-dev
	$(BIN)/python -m tests.documents
	$(BIN)/python -m tests.messages

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "mtad needs Python 3.11 or later: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
