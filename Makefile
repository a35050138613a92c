# Everything sets itself up: `make demo` and `make test` are all a fresh machine with Python 3.11 or newer needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test coverage check format docs dashboards kubernetes-rules screenshots bench mutation requirements sbom audit clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(READY) ## run the exporter against its embedded custody API simulator
	@$(BIN)/kraken-custody-exporter --demo $(ARGS)

test: $(READY) ## run all tests
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

coverage: $(READY) ## run all tests, and fail where they run through less of the exporter than they did
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --cov=exporter $(ARGS)

check: $(READY) ## lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## let ruff put the code in form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY) ## write the generated tables in docs/
	$(BIN)/python -m tools.docs

dashboards: $(READY) ## write the Grafana dashboards
	$(BIN)/python -m deploy.grafana.source

kubernetes-rules: $(READY) ## write the alerts for the Prometheus operator
	$(BIN)/python -m tools.kubernetes_rules

screenshots: $(READY) ## take the pictures of the documentation from the demo
	$(BIN)/python -m tools.screenshots

bench: $(READY) ## measure; the figures in docs/benchmarks.md come from here
	$(BIN)/python -m tests.bench $(ARGS)

mutation: $(READY) ## how much of each module its tests hold, by mutants; ARGS=polling/budget
	$(BIN)/python -m tools.mutation $(ARGS)

requirements: $(READY) ## pin what is shipped; ARGS=--upgrade takes the newest of everything
	$(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	  --output-file deploy/requirements.txt $(ARGS) pyproject.toml

sbom: $(READY) ## write the bill of materials of what is pinned
	$(BIN)/python -m tools.supply sbom

audit: $(READY) ## known vulnerabilities and licences of what is pinned
	@$(BIN)/python -m tools.supply audit $(ARGS)

clean: ## remove what the other targets made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
