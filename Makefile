# make demo | test | check | bench | docs
#
# The first call makes .venv; later calls find its stamp and start at once. Variables:
#   PYTHON=...        the Python to build .venv from (3.11 or newer)
#   SYSTEM_TORCH=1    use the torch that PYTHON already has, instead of installing one
#   PYTEST_ARGS=...   more arguments for pytest
#   WORKERS=...       how many tests run side by side: a number, or auto for one a processor, at most four
#   BENCH=ledger      the one benchmark to run, a file of benchmarks/; left out, all
#   SITE=FR           where the demo's machine stands: grid zone, provider:region or a TOML file

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
SYSTEM_TORCH ?=
SYSTEM_SITE := $(if $(SYSTEM_TORCH),--system-site-packages,)
PINS := $(VENV)/pins.txt
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(PINS)
PYTEST_ARGS ?=
WORKERS ?= auto
# Tests make, sync and remove thousands of small files, over which a disk takes longer than the tests over all else: they
# lie in memory, where it has room for them and lets programs start.
MEMORY := $(shell test -w /dev/shm && ! grep -q ' /dev/shm .*noexec' /proc/mounts && \
  df -Pk /dev/shm | awk 'NR == 2 && $$4 > 4000000 {print "PYTEST_DEBUG_TEMPROOT=/dev/shm"}')
# A file's tests stay in one process, with the fixtures that they share, in the order of tests/conftest.py. One thread each:
# the processes fill the machine.
PYTEST := $(MEMORY) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --maxprocesses 4 \
  --dist loadfile --no-loadscope-reorder -o tmp_path_retention_count=1
unexport PYTHONDONTWRITEBYTECODE  # tests start hundreds of interpreters, which would each compile all of tonne
SITE ?= FR
BENCH ?= *

.PHONY: help demo test check bench calibrate docs clean

help:
	@echo "make demo    all of it in two minutes: forecast, pre-train, fine-tune, measure, reconcile, report"
	@echo "make test    all tests"
	@echo "make check   format, lint, types, fast tests"
	@echo "make bench   how fast tonne is on this machine"
	@echo "make calibrate  fits the coefficients anew from the tables of measurements"
	@echo "make docs    the documentation, into site/"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "tonne needs Python 3.11 or newer, but '$(PYTHON)' is older or absent. Install one, or say make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' lacks the venv module, which builds .venv. Install it (Debian, Ubuntu: apt-get install python3-venv) and try again." >&2; exit 2; }
	$(PYTHON) -m venv $(SYSTEM_SITE) $(VENV)

# A torch that is already there keeps its version; all else is pinned.
$(PINS): $(BIN)/python constraints.txt
	@$(if $(SYSTEM_TORCH),grep -v '^torch==' constraints.txt,cat constraints.txt) >$@

# A stamp is older than pyproject.toml or constraints.txt when what is installed may be stale.
$(VENV)/.core: pyproject.toml $(PINS)
	$(PIP_INSTALL) -e '.[report]'
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP_INSTALL) -e '.[dev]'
	@touch $@

$(VENV)/.train: $(VENV)/.core
	$(PIP_INSTALL) -e '.[report,train,metrics,names]'
	@touch $@

demo: $(VENV)/.train
	@$(BIN)/python examples/demo.py --site '$(SITE)'

test: $(VENV)/.dev
	$(PYTEST) $(PYTEST_ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict src
	$(PYTEST) -m "not slow" --hypothesis-profile quick $(PYTEST_ARGS)

bench: $(VENV)/.dev
	@for file in benchmarks/$(BENCH).py; do echo "== $$file"; $(BIN)/python "$$file"; done

calibrate: $(VENV)/.dev
	$(BIN)/python -m tonne.calibrate steps
	$(BIN)/python -m tonne.calibrate memory
	$(BIN)/python -m tonne.calibrate
	$(BIN)/python -m tonne.calibrate inference

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) site build dist
