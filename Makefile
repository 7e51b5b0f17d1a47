# Two commands: `make demo` and `make test`. Both make .venv and install what they need into it by pip alone.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS := $(shell echo $$(( $$(nproc) < 4 ? $$(nproc) : 4 )))

# Tests start thousands of processes: none is to compile anew what another has compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test bench lint format clean

demo: $(READY)
	$(BIN)/mpingest demo

test: lint
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder
	$(BIN)/mpiexec -n 4 $(BIN)/python -m pytest --with-mpi -m mpi -q tests/farm

bench: $(READY)
	$(BIN)/python -m tests.bench

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(READY): pyproject.toml setup.py mpingest/scan/_native.c
	@test -n "$(PYTHON)" || { echo "mpingest needs Python 3.11 or newer: install it, or make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) \
		|| { test "$$(id -u)" = 0 && apt-get install --yes --quiet python3-venv && $(PYTHON) -m venv --clear $(VENV); } \
		|| { echo "install Debian's python3-venv, or make PYTHON=/path/to/python" >&2; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[mpich,test]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
