# The handful of commands; CONTRIBUTING.md says when to use which.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: build test bench check clean

$(BIN)/python:
	$(PYTHON) -m venv .venv

build: $(BIN)/python
	$(BIN)/pip install -q -e '.[check]'

test: build
	$(BIN)/python -m pytest

bench: build
	$(BIN)/odyssey bench --table foundation

check: build
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest odyssey --allowlist tests/stubtest_allowlist.txt

clean:
	rm -rf build dist *.egg-info odyssey/_kernels/*.so
