# make demo: a first study and its report.  make test: the test suite.  Both set up what they need.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := runs/demo
export OMP_NUM_THREADS ?= 1

.PHONY: help setup data demo test test-fast lint crash-test docs lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP)  ## create .venv with the locked dependencies

$(STAMP): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: Python 3.11 or newer is needed; name one with PYTHON=/path/to/python3"; exit 2; }
	@if command -v uv >/dev/null; then \
	  uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock; \
	else \
	  $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock; \
	fi
	@touch $@

data: $(STAMP)  ## get Fashion-MNIST, wherever it is to be had
	@$(BIN)/python -m vae_trainables.datasets fetch fashion-mnist

demo: data  ## a laptop-sized study on real Fashion-MNIST, and its report
	@$(BIN)/python -m studies.denoise_sweep --preset demo --study demo --storage $(DEMO) \
	  $$(test -e $(DEMO)/demo/ledger.journal && echo --resume)
	@$(BIN)/python -m analysis.report --study demo --tracking-uri sqlite:///$(DEMO)/mlflow.db --out $(DEMO)/report

test: data  ## all tests
	@$(BIN)/python -m pytest

test-fast: data  ## the tests that take seconds
	@$(BIN)/python -m pytest -m "not slow"

crash-test: data  ## kill everything that can be killed, at length
	@VAE_STUDIES_CRASH=full $(BIN)/python -m pytest tests/crash

lint: $(STAMP)  ## style and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

lock:  ## compute requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links --upgrade -o requirements.lock

clean:  ## remove what make created, not your studies
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache

docs: $(STAMP)  ## the documentation as a site, warnings are errors
	@$(BIN)/python -m docs.generate_reference && NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
