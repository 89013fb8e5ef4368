# The handful of commands; CONTRIBUTING.md says when to use which.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: build test bench check asan tsan boundscheck clean

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
	$(BIN)/python -m mypy.stubtest odyssey._kernels --mypy-config-file pyproject.toml --allowlist tests/stubtest_allowlist.txt

# Builds of their own in build/, beside the one in place; PYTHONPATH finds them, the tests are the ones that compute.
CHECKED := tests/kernels tests/fuzz tests/test_threads.py

asan: build
	ODYSSEY_CFLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined" \
	ODYSSEY_LDFLAGS="-fsanitize=address,undefined" \
	$(BIN)/python setup.py -q build --build-base build/asan
	LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 PYTHONMALLOC=malloc PYTHONSAFEPATH=1 PYTHONPATH=$$(echo $$PWD/build/asan/lib.*) \
	$(BIN)/pytest -q -p no:cacheprovider $(CHECKED)

tsan:
	tests/native/tsan.sh

boundscheck: build
	ODYSSEY_BOUNDSCHECK=1 $(BIN)/python setup.py -q build --build-base build/boundscheck
	PYTHONSAFEPATH=1 PYTHONPATH=$$(echo $$PWD/build/boundscheck/lib.*) $(BIN)/pytest -q -p no:cacheprovider $(CHECKED)

clean:
	rm -rf build dist *.egg-info odyssey/_kernels/*.so odyssey/_kernels/*.dylib
