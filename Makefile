# `make help` lists what there is. Everything runs in .venv, which is made when it is first needed
# and made again when pyproject.toml has changed.

PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
SEEDS ?= 200
FIRST ?= 1
ROUNDS ?= 50
SEED ?= 1

# Nothing of the user's own Python may leak into the results.
export PYTHONNOUSERSITE := 1
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONPATH
unexport PYTHONHOME

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help:  ## This list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

.PHONY: demo
demo: $(VENV)/.run  ## 200 orders on three nodes, a kill -9, a drain, and a check of every result.
	@$(BIN)/python -m examples.demo

.PHONY: test
test: lint  ## Everything that has to be true: lint, types, all tests.
	$(BIN)/python -m pytest -n $(JOBS)

.PHONY: lint
lint: $(VENV)/.dev  ## Format, lint and types only.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

.PHONY: simulate
simulate: $(VENV)/.dev  ## Simulated clusters: make simulate SEEDS=1000 FIRST=1
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --first $(FIRST) --jobs $(JOBS)

.PHONY: chaos
chaos: $(VENV)/.dev  ## Real clusters, killed, frozen, drained: make chaos ROUNDS=50 SEED=1
	$(BIN)/python -m tests.chaos --rounds $(ROUNDS) --seed $(SEED)

.PHONY: bench
bench: $(VENV)/.dev  ## The figures of the budget, measured on this machine.
	$(BIN)/python -m benchmarks

.PHONY: clean
clean:  ## Remove .venv, caches and build results. Databases stay.
	rm -rf $(VENV) .venv-sdk build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The demo needs the package alone; the tools for development are only fetched for those who use them.

$(VENV)/.run: pyproject.toml | $(VENV)/.made
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.made
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.run

$(VENV)/.made:
	@python=$$(PYTHON='$(PYTHON)' .ci/find-python) && rm -rf $(VENV) && \
		echo "making $(VENV) with $$("$$python" --version), $$python" && \
		"$$python" -m venv $(VENV)
	@touch $@
