# make demo: a first study and its report.  make test: the test suite.  Both set up what they need.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
USER_STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
DEMO := runs/demo
export OMP_NUM_THREADS ?= 1

# The locks are complete, so nothing is left to resolve; pip would stumble over extras of what it
# has to resolve with hashes.
ifneq ($(shell command -v uv),)
  INSTALL = uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes --requirement
  CHECK = uv pip check --quiet --python $(BIN)/python
  CREATE = uv venv --quiet --allow-existing --python $(PYTHON) $(VENV)
else
  INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile \
    --no-deps --require-hashes --requirement
  CHECK = $(BIN)/python -m pip check
  CREATE = $(PYTHON) -m venv $(VENV)
endif
COMPILE = uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
  --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet $(LOCK_FLAGS)

.PHONY: help setup dev data demo test test-fast gpu-bench lint crash-test docs lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(USER_STAMP)  ## create .venv with what studies and reports need

dev: $(DEV_STAMP)  ## the same and what tests, lint and docs need

$(USER_STAMP): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: Python 3.11 or newer is needed; name one with PYTHON=/path/to/python3"; exit 2; }
	@echo "installing into $(VENV): some minutes, $$(grep -c == $<) packages"
	@$(CREATE) && $(INSTALL) $< && $(CHECK)
	@echo "$(CURDIR)" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/vae-studies.pth"
	@touch $@

$(DEV_STAMP): requirements-dev.lock $(USER_STAMP)
	@$(INSTALL) $< && $(CHECK)
	@touch $@

data: $(USER_STAMP)  ## get Fashion-MNIST, wherever it is to be had
	@$(BIN)/python -m vae_trainables.datasets fetch fashion-mnist

demo: data  ## a laptop-sized study on real Fashion-MNIST, and its report
	@$(BIN)/python -m studies.small_denoisers --preset demo --study demo --storage $(DEMO) \
	  $$(test -e $(DEMO)/demo/ledger.journal && echo --resume)
	@$(BIN)/python -m analysis.report --study demo --tracking-uri sqlite:///$(DEMO)/mlflow.db --out $(DEMO)/report

test: $(DEV_STAMP) data  ## all tests, two at a time; then those that need the machine to themselves
	@$(BIN)/python -m pytest -n 2 -m "not alone" $(TEST_FLAGS)
	@$(BIN)/python -m pytest -m alone $(TEST_FLAGS)

test-fast: $(DEV_STAMP) data  ## the tests that take seconds
	@$(BIN)/python -m pytest -n 2 -m "not alone and not slow"

crash-test: $(DEV_STAMP) data  ## kill everything that can be killed, at length
	@VAE_STUDIES_CRASH=full $(BIN)/python -m pytest tests/crash

gpu-bench:  ## all measurements on a GPU, in ten minutes at most; torch, pydantic, safetensors do
	@$(PYTHON) -m benchmarks.gpu $(GPU_BENCH_FLAGS)

lint: $(DEV_STAMP)  ## style and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

lock:  ## compute both locks anew, versions kept where they can be (needs uv); LOCK_FLAGS=--upgrade
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --extra dev --constraint requirements.lock --output-file requirements-dev.lock

clean:  ## remove what make created, not your studies
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache

docs: $(DEV_STAMP)  ## the documentation as a site, warnings are errors
	@$(BIN)/python -m docs.generate_reference && NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
