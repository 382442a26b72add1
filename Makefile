# `make help` lists the targets. A fresh machine needs a Rust toolchain and Python 3.9 or later; the rest is set up here.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

CARGO ?= cargo
PYTHON ?= python3
BUILD := .build
VENV := $(BUILD)/venv
BIN := $(VENV)/bin
SKIPPED := $(abspath $(BUILD)/skipped)
CARGO_TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 1800
PYTEST_ARGS ?=
OFFICIAL_TESTS ?=
ONCE ?=
ROW ?=
BENCH_ARGS ?=
# The package is the wheel's, not the one in this folder.
SOAK_PYTEST := FORKMETER_BIN="$(abspath $(BUILD)/soak/bin/forkmeter)" $(BUILD)/soak/bin/python -m pytest \
    --override-ini=pythonpath=". ../demo"
PYTHON_SOURCES := python tests demo benches crates/forkmeter-cli/src/run

# The oracle tests of the crates run the official client in this interpreter.
export FORKMETER_ORACLE_PYTHON := $(abspath $(BIN)/python)
export CARGO_TARGET_DIR
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help  ## list the targets
help:
	@awk -F '  ## ' '/^\.PHONY: .*  ## / { sub(/^\.PHONY: /, "", $$1); printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test  ## everything: lint, test-rust, test-python, test-official; ends with what was skipped (a failure where CI=true)
test:
	@mkdir -p $(BUILD) && rm -f $(SKIPPED)
	@$(MAKE) lint
	@$(MAKE) test-rust
	@$(MAKE) test-python
	@$(MAKE) test-official

.PHONY: test-rust  ## unit, property, store, process and doc tests of the crates
test-rust: $(BUILD)/tests.stamp
	$(CARGO) test --workspace --all-features -- --show-output 2>&1 | tee $(BUILD)/test-rust.log
	@{ grep -h '^SKIPPED' $(BUILD)/test-rust.log || true; } | sort -u | tee -a $(SKIPPED)

.PHONY: test-python  ## tests from outside: oracle, hostile files, end to end, tidy (PYTEST_ARGS=...)
test-python: $(BUILD)/tests.stamp $(BUILD)/maturin.stamp
	$(CARGO) build --workspace --bins
	VIRTUAL_ENV="$(abspath $(VENV))" $(BUILD)/maturin/bin/maturin develop --quiet
	FORKMETER_BIN="$(CARGO_TARGET_DIR)/debug/forkmeter" \
	FORKMETER_DRIVER="$(CARGO_TARGET_DIR)/debug/forkmeter-test-driver" FORKMETER_SKIPPED="$(SKIPPED)" \
	    $(BIN)/python -m pytest $(or $(PYTEST_ARGS),tests)

.PHONY: soak  ## on a release wheel: 10,000 workers, SOAK_SECONDS of random kills and deletions, each trap 1,000 times
soak: wheel $(BUILD)/tests.stamp
	$(PYTHON) -m venv --clear $(BUILD)/soak
	$(BUILD)/soak/bin/python -m pip install --quiet --no-deps --requirement demo/requirements.txt \
	    --requirement tests/requirements.txt $(BUILD)/wheel/*.whl
	CHURN_WORKERS=10000 $(SOAK_PYTEST) tests/churn
	SOAK_SECONDS=$(SOAK_SECONDS) $(SOAK_PYTEST) tests/soak
	TRAPS_REPETITIONS=1000 $(SOAK_PYTEST) tests/traps

.PHONY: wheel  ## the Python package, in .build/wheel
wheel: $(BUILD)/maturin.stamp
	@rm -rf $(BUILD)/wheel
	$(BUILD)/maturin/bin/maturin build --quiet --release --interpreter $(BIN)/python --out $(BUILD)/wheel

.PHONY: test-official  ## the official client's own tests, unmodified, on the wheel (OFFICIAL_TESTS=...)
test-official: wheel
	$(BIN)/python tests/official/run.py --wheel $(BUILD)/wheel/*.whl --build-dir $(BUILD)/official $(OFFICIAL_TESTS)

.PHONY: lint  ## formatting, clippy, rustdoc, ruff, mypy
lint: $(BUILD)/tests.stamp
	@mkdir -p $(BUILD)
	@if $(CARGO) fmt --version >/dev/null 2>&1; then set -x; $(CARGO) fmt --all --check; \
	    else echo "rustfmt is not installed" | tee -a $(SKIPPED); fi
	@if $(CARGO) clippy --version >/dev/null 2>&1; then \
	    set -x; $(CARGO) clippy --workspace --all-targets --all-features -- -D warnings; \
	    else echo "clippy is not installed" | tee -a $(SKIPPED); fi
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --lib --all-features --no-deps --quiet
	$(BIN)/ruff check $(PYTHON_SOURCES)
	$(BIN)/ruff format --check $(PYTHON_SOURCES)
	$(BIN)/mypy $(PYTHON_SOURCES)

.PHONY: format  ## apply the formatters
format: $(BUILD)/tests.stamp
	$(CARGO) fmt --all
	$(BIN)/ruff check --fix $(PYTHON_SOURCES)
	$(BIN)/ruff format $(PYTHON_SOURCES)

.PHONY: demo  ## a FastAPI service with 4 workers on forkmeter, and one beside it; ONCE=1 ends with 0 where all numbers agree
demo: wheel $(BUILD)/demo.stamp
	@$(BIN)/python -m pip install --quiet --no-deps --force-reinstall $(BUILD)/wheel/*.whl
	@exec $(BIN)/python demo/demo.py --forkmeter $(BIN)/forkmeter $(if $(ONCE),--once)

.PHONY: bench  ## the table of all benchmarks, into benches/results; ROW="calls text" prints some (Python 3.10 or later)
bench: bench-programs
	$(BUILD)/bench/bin/python benches/run.py --bin-dir "$(CARGO_TARGET_DIR)/release" $(ROW)

.PHONY: bench-plots  ## how costs grow, as pictures and numbers in benches/results/scale (Python 3.11 or later)
bench-plots: bench-programs
	$(BUILD)/bench/bin/python -m pip install --quiet --no-deps --requirement benches/plots-requirements.txt
	PYTHONPATH=tests $(BUILD)/bench/bin/python benches/scale.py --bin-dir "$(CARGO_TARGET_DIR)/release" $(BENCH_ARGS)
	$(BUILD)/bench/bin/python benches/plots.py

.PHONY: bench-load  ## 64 scrapers of 100,000 series at once, at forkmeter's exporter and at the official one
bench-load: bench-programs
	$(BUILD)/bench/bin/python benches/run.py --bin-dir "$(CARGO_TARGET_DIR)/release" exporter_load

.PHONY: bench-programs
bench-programs: wheel
	$(PYTHON) -m venv --clear $(BUILD)/bench
	$(BUILD)/bench/bin/python -m pip install --quiet --no-deps --requirement benches/requirements.txt $(BUILD)/wheel/*.whl
	$(CARGO) build --release --package forkmeter-bench --package forkmeter-cli

.PHONY: fuzz  ## fuzz every target for FUZZ_SECONDS (needs a nightly toolchain and cargo-fuzz)
fuzz:
	@command -v cargo-fuzz >/dev/null || { echo "cargo-fuzz is missing: cargo install cargo-fuzz" >&2; exit 1; }
	@for target in $$(basename -s .rs -a fuzz/fuzz_targets/*.rs); do \
	    set -x; $(CARGO) +nightly fuzz run "$$target" -- -max_total_time=$(FUZZ_SECONDS); done

.PHONY: clean  ## remove all that was built, the virtual environment included
clean:
	$(CARGO) clean
	rm -rf $(BUILD) .pytest_cache .ruff_cache

$(BUILD)/venv.stamp:
	@mkdir -p $(BUILD)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 9))' || \
	    { echo "Python 3.9 or later is needed; name one with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	touch $@

$(BUILD)/demo.stamp: demo/requirements.txt $(BUILD)/venv.stamp
	$(BIN)/python -m pip install --quiet --no-deps --requirement $<
	touch $@

$(BUILD)/maturin.stamp: $(BUILD)/venv.stamp
	$(PYTHON) -m venv --clear $(BUILD)/maturin
	$(BUILD)/maturin/bin/python -m pip install --quiet "maturin>=1.9,<2"
	touch $@

$(BUILD)/tests.stamp: tests/requirements.txt $(BUILD)/demo.stamp
	$(BIN)/python -m pip install --quiet --no-deps --requirement $<
	touch $@
