# `make demo` and `make test` are the two commands; both install what they need into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/demo
export OMP_NUM_THREADS ?= 1
export MPLBACKEND ?= Agg

.PHONY: install demo test lint types unit wheel clean

install: $(VENV)/.installed

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "l2o needs Python 3.11 or newer; call make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: install
	$(BIN)/l2o train demo --out $(OUT)/train --resume
	$(BIN)/l2o benchmark demo policy=$(OUT)/train --out $(OUT)/benchmark
	$(BIN)/l2o report $(OUT)/benchmark

test: lint types unit

.types/l2o: setup.cfg
	rm -rf .types && mkdir -p .types/l2o
	for path in l2o/*; do ln -s ../../$$path .types/l2o/; done
	for name in configs envs policies benchmarks service; do ln -s ../../$$name .types/l2o/$$name; done

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install .types/l2o
	$(BIN)/mypy .types/l2o

unit: install
	$(BIN)/python -m pytest -n 2 --durations=10

wheel: install
	rm -rf build dist
	$(BIN)/python -m pip wheel --quiet --no-deps -w dist .

clean:
	rm -rf build dist runs .types .mypy_cache .ruff_cache .pytest_cache
