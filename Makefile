# `make demo` and `make test` install what they need: a fresh machine only needs Python 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# For every platform and Python from 3.11 on, with hashes and without the URL of an index.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(ARGS)
# Created when the environment has the shipped packages, and when it has everything.
SHIPPED := $(VENV)/.shipped
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder
# If it is set, every test process would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test coverage check format docs dashboards kubernetes-rules chart screenshots bench mutation requirements sbom audit clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(SHIPPED): deploy/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	@echo "Installing $$(grep -c == $<) packages that the exporter needs into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --no-deps --require-hashes --requirement $<
	@touch $@

$(READY): $(SHIPPED) requirements-dev.txt pyproject.toml
	@echo "Installing $$(grep -c == requirements-dev.txt) packages for tests and tools into $(VENV), which takes a minute ..."
	@$(PIP) install --no-deps --require-hashes --requirement requirements-dev.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(SHIPPED) ## run the exporter against its embedded custody API simulator
	@$(BIN)/python -m exporter --demo $(ARGS)

test: $(READY) ## run all tests
	$(PYTEST) $(ARGS)

coverage: $(READY) ## run all tests, and fail if the coverage of the exporter has decreased
	$(PYTEST) --cov=exporter $(ARGS)

check: $(READY) ## lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## format the code with ruff
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY) ## write the generated tables in docs/, and the manual page
	$(BIN)/python -m tools.docs

dashboards: $(READY) ## write the Grafana dashboards
	$(BIN)/python -m deploy.grafana.source

kubernetes-rules: $(READY) ## write the alerts for the Prometheus operator
	$(BIN)/python -m tools.kubernetes_rules

chart: $(READY) ## write the kustomize base from the Helm chart; needs helm
	$(BIN)/python -m tools.chart

screenshots: $(READY) ## take the pictures of the documentation from the demo
	$(BIN)/python -m tools.screenshots

bench: $(READY) ## measure; the figures in docs/benchmarks.md come from here
	$(BIN)/python -m tests.bench $(ARGS)

mutation: $(READY) ## mutation testing of a module by the tests of its package; ARGS=polling/budget
	$(BIN)/python -m tools.mutation $(ARGS)

requirements: $(READY) ## pin the dependencies of the exporter, its development and releases; ARGS=--upgrade for the newest
	$(COMPILE) --output-file deploy/requirements.txt --extra redis pyproject.toml
	$(COMPILE) --output-file requirements-dev.txt --constraints deploy/requirements.txt --group dev --extra redis pyproject.toml
	$(COMPILE) --output-file deploy/requirements-build.txt --constraints requirements-dev.txt --group build
	$(COMPILE) --output-file deploy/requirements-release.txt --constraints requirements-dev.txt --group release

sbom: $(READY) ## write the bill of materials of the pinned packages
	$(BIN)/python -m tools.supply sbom

audit: $(READY) ## known vulnerabilities and licences of the pinned packages
	@$(BIN)/python -m tools.supply audit $(ARGS)

clean: ## remove the files that other targets created
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
