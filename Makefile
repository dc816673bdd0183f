# `make demo` and `make test` are the two commands; all targets install what they need into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
OUT ?= runs/demo
export OMP_NUM_THREADS ?= 1
export MPLBACKEND ?= Agg

.PHONY: install demo real test quick coverage lint format types unit reference docs compatibility dist clean

install: $(VENV)/.installed

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "l2o needs Python 3.11 or newer; call make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: install
	$(BIN)/l2o train demo --out $(OUT)/train --resume
	$(BIN)/l2o benchmark demo policy=$(OUT)/train --out $(OUT)/benchmark
	$(BIN)/l2o report $(OUT)/benchmark

# A network of ImageNet on real photographs, in about ten minutes on two cores. It downloads Fashion-MNIST (31 MB)
# unless it is there; docs/garments.md.
real: install
	$(BIN)/python -c 'from l2o.envs.tasks.garments import fetch_photographs; fetch_photographs()'
	$(BIN)/l2o benchmark real --out runs/real
	$(BIN)/l2o report runs/real

test: lint types unit

# What takes no time, in under a minute; tests/quick.py says which tests these are.
quick: install
	$(BIN)/python -m pytest -n 2 --dist worksteal --quick --durations=3

# All tests, slower, then a table of the lines and branches that none of them reaches.
coverage: install
	$(BIN)/python -m pytest -n 3 --dist worksteal --cov --cov-report=term --cov-report=html:runs/coverage

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# mypy sees the house as the package l2o through links; they are made anew for files that are new.
types: install
	mkdir -p .types/l2o
	find .types/l2o -type l -delete
	for path in l2o/*; do ln -sfn ../../$$path .types/l2o/; done
	for name in configs envs policies benchmarks service; do ln -sfn ../../$$name .types/l2o/$$name; done
	$(BIN)/mypy .types/l2o

unit: install
	$(BIN)/python -m pytest -n 3 --dist worksteal --durations=10

# The page of config fields is made from the schema, the reference from the docstrings.
reference: install
	$(BIN)/python -m l2o.configs.reference docs/configuration.md

docs: reference
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going docs build/docs
	$(BIN)/python docs/site_parts/complete.py build/docs

compatibility: install
	$(BIN)/python tests/compatibility.py

# The source distribution, and the wheel made of it.
dist: install
	rm -rf build dist
	$(BIN)/python -m build --no-isolation --outdir dist .

clean:
	rm -rf build dist runs .types .coverage .mypy_cache .ruff_cache .pytest_cache
