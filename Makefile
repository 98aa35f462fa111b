# `make` lists the targets. Each one sets up what it needs: .venv in the checkout, and as root the
# few system packages that are missing; what is there already is left alone (see .ci/setup.sh).
#
#   PYTHON=python3.12            the interpreter, instead of the first one found that is >= 3.11
#   ARGS="--headless --out DIR"  handed on to the command

PYTHON ?=
ARGS ?=
SETUP = @PYTHON="$(PYTHON)" bash .ci/setup.sh
BIN = .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test lint format bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv ready to run (no torch)
	$(SETUP) runtime

setup-dev: ## make .venv ready to train and to test
	$(SETUP) dev

demo: setup ## the main job: a simulated session over real LSL, decoded and shown live
	@$(BIN)/b2g-rt demo $(ARGS)

test: setup-dev ## run all tests
	@$(BIN)/python -m pytest --durations=20 $(ARGS)

lint: setup-dev ## ruff, mypy and the house rules on imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup-dev ## lay out the code and mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup ## latency, receipt and load on this machine
	@$(BIN)/b2g-rt bench $(ARGS)

clean: ## remove caches and build leftovers; .venv and recordings stay
	rm -rf build dist *.egg-info .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find b2g_rt offline tests -name __pycache__ -type d -prune -exec rm -rf {} +
