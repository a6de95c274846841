# Everything runs in .venv, which `make install` sets up from constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install train test slow check lint format docs versions versions-lowest versions-newest bench clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED) ## set up .venv with every extra and the tools

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade pip
	$(BIN)/pip install -q -c constraints.txt -e '.[mujoco,box2d,minigrid,video,tensorboard,report,export,parquet,hub,optuna,ray,slurm,docs,dev]'
	touch $@

train: install ## the main job: SAC on Pendulum, under a minute
	$(BIN)/python train.py env=pendulum alpha=auto

test: install ## the tests, learning tests included
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

slow: install ## tests that take long to see what hardly ever changes
	$(BIN)/python -m pytest -q -m slow

check: lint test ## lint, types, import contracts and the tests

lint: install ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install ## write the tables of entropy rules from their docstrings, and build the site of docs/ into site/
	$(BIN)/python docs/tables.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

versions: versions-lowest versions-newest ## the smoke suite with the lowest and the newest versions that pyproject.toml allows

# Several GB each where PyTorch comes with CUDA. Its builds for CPUs are smaller:
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make versions
versions-lowest: PINS := -c constraints-lowest.txt
versions-lowest versions-newest: versions-%:
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/pip install -q --upgrade pip
	.venv-$*/bin/pip install -q --upgrade --upgrade-strategy eager $(PINS) -e '.[mujoco,video,tensorboard,report,export,parquet,hub,optuna,ray,slurm]' pytest pytest-timeout
	.venv-$*/bin/python -m pytest -q --noconftest tests/smoke.py

bench: install ## throughput against other libraries, alternating in one run
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install -q -r benchmarks/requirements-peers.txt
	$(BIN)/python benchmarks/throughput.py

clean: ## remove what builds and runs left behind
	rm -rf $(VENV) .venv-bench .venv-lowest .venv-newest build dist runs multirun .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache site
