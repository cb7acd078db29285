# make run: start everything and stay.  make demo: one pass.  make test: what CI runs.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-from-lock
FIND_PYTHON := for p in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; exit; }; done
PIP := $(BIN)/python -m pip --disable-pip-version-check install --no-compile
SHOW := awk -v all="$$(grep -c == requirements.lock)" \
	'/^(Collecting|Processing) / { printf "\r  %d of %d  %-60.60s", ++n, all, $$2; fflush() } \
	/^Installing / { printf "\r  %-76s\n", "installing …"; fflush() } /^Successfully/ { print "  installed" }'

.PHONY: run demo test test-slow lint bench install clean

run: install
	@exec $(BIN)/paiid up

demo: install
	@exec $(BIN)/paiid demo

test: lint
	$(BIN)/pytest -n 2

test-slow: install
	$(BIN)/pytest -m 'slow or browser or soak'

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python -m paiid_pipeline_tests.benchmarks

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then echo "PaiiD needs Python 3.11 or newer: install it, or run make PYTHON=/path/to/python3"; exit 1; fi; \
	echo "Making $(VENV) with $$($$python --version) from requirements.lock; the first time takes some minutes …"; \
	"$$python" -m venv $(VENV)
	@$(PIP) --no-deps -r <(grep -v '^torch==' requirements.lock) | $(SHOW)
	@$(PIP) --quiet $$(grep '^torch==' requirements.lock)    # with what its build needs: the CPU build needs nothing more
	@$(PIP) --quiet --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
