# Each target does all of its own set-up: Python 3.11 or newer and make are enough.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
# Servers that tests start are ready in half the time when their modules are compiled once.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install test lint audit bench demo clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Varde needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $(STAMP)

install: $(STAMP)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

# Known vulnerabilities of what is installed. It asks pypi.org, so it is not in `make test`; it fails where it cannot.
audit: install
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.7,<3'
	$(BIN)/python -m pip freeze --exclude-editable > .venv/audit/installed.txt
	.venv/audit/bin/pip-audit --requirement .venv/audit/installed.txt --no-deps --disable-pip --strict

bench: install
	$(BIN)/python -m pytest benchmarks --benchmark-only -p no:xdist
	$(BIN)/python benchmarks/load.py --compare-floor

demo: install
	$(BIN)/varde demo

clean:
	rm -rf .venv varde-data .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
