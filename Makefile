# Two commands: `make book` runs every chapter and renders the site, `make test` checks everything.
# Both make `.venv` first. `make help` lists the rest.

# The first Python from 3.11 to 3.13 that can make a virtual environment.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && { command -v $$p; break; }; done)
BUDGET ?= cpu
BIN := .venv/bin
# Make the virtual environment, again if its making was interrupted.
VENV = test -n "$(PYTHON)" || { \
	echo "No Python from 3.11 to 3.13 with venv found; set PYTHON=/path/to/python." >&2; exit 1; }; \
	$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear .venv
# What the last installation was made from.
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help install book notebooks test test-gpu mutate lock picture clean

help:  ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(READY)  ## Make .venv with mixlab and everything the book and the tests need.

# On Linux exactly what the lock file says; elsewhere whatever fits the ranges in pyproject.toml.
$(READY): requirements.lock pyproject.toml
	@$(VENV)
	@if [ "$$(uname -s)" = Linux ]; then \
		set -x; \
		$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock && \
		$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps -e .; \
	else \
		set -x; $(BIN)/python -m pip install --disable-pip-version-check --quiet -e ".[book,test]"; \
	fi
	@touch $@

book: $(READY)  ## Run the chapters that changed, render book/_build/html (BUDGET=gpu for larger runs).
	$(BIN)/mixlab book build --budget $(BUDGET)

notebooks: $(READY)  ## Write fresh outputs into the chapters.
	$(BIN)/mixlab book store

# One call, so that pytest's last line speaks for everything: tests, examples in docstrings, chapters, links.
test: $(READY)  ## Run every test.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --doctest-modules --nbval \
		--nbval-sanitize-with=tests/notebooks/sanitize.cfg tests mixlab book/chapters book/appendix

test-gpu: $(READY)  ## Run the tests that need a CUDA device.
	$(BIN)/python -m pytest -m gpu tests

mutate: $(READY)  ## Break a fact of mixlab per chapter and show that the chapter notices.
	$(BIN)/mixlab book mutate

lock:  ## Resolve requirements.lock again (LOCK_OPTIONS=--upgrade for newer versions).
	@$(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-header --no-annotate --extra book --extra test $(LOCK_OPTIONS) \
		pyproject.toml -o requirements.lock

picture: $(READY)  ## Draw the picture of the README again.
	$(BIN)/python book/overview.py book/_static/overview.png

clean:  ## Remove what building wrote.
	rm -rf book/_build .pytest_cache
