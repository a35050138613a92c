# Everything sets itself up: `make demo` and `make test` are all a fresh machine with Python 3.11 or newer needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test check format readme bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(READY) ## run the exporter against its embedded custody API simulator
	@$(BIN)/kraken-custody-exporter --demo $(ARGS)

test: $(READY) ## run all tests
	$(BIN)/python -m pytest $(ARGS)

check: $(READY) ## lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## let ruff put the code in form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

readme: $(READY) ## write the generated tables of the README
	$(BIN)/python -m tests.readme

bench: $(READY) ## measure; the README's figures come from here
	$(BIN)/python -m tests.bench $(ARGS)

clean: ## remove what the other targets made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
