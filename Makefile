# Everything runs in .venv, made from pyproject.toml and the exact versions of constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# Two test files at a time: most of their seconds are processes that start and wait.
TWO_FILES := -n 2 --dist loadfile
# Importing all the others takes each process most of a minute.
SLOW := tests/integration tests/gpu tests/unit/cluster

.PHONY: setup demo docs test test-slow test-release test-hosts test-gpu test-failed lint bench pictures clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed; try make PYTHON=python3.11"'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e '.[dev]'
	# pip would compile one module after the other. Some are of other versions of Python. Where Python
	# may not write what it compiled, each process would compile ours again.
	$(BIN)/python -m compileall -qq -j 0 .venv/lib platform || true
	touch $@

demo: $(READY)
	$(BIN)/rnnlane train experiments/demo.yaml

# The pages into .site/; fails for a link that leads nowhere.
docs: $(READY)
	$(BIN)/python -m mkdocs build --strict --quiet -f platform/docs/mkdocs.yml
	@echo open .site/index.html

test: $(READY)
	$(BIN)/python -m pytest $(TWO_FILES) -m "not slow and not gpu"

test-slow: $(READY)
	$(BIN)/python -m pytest $(TWO_FILES) -m "slow and not release and not gpu and not hosts" $(SLOW)

# What takes longest and changes seldom, before a version.
test-release: $(READY)
	$(BIN)/python -m pytest -m "release and not gpu" $(SLOW) tests/cluster

# What failed last, one test at a time: two files at a time can be too much for a busy machine.
test-failed: $(READY)
	$(BIN)/python -m pytest --last-failed --last-failed-no-failures none

test-hosts: $(READY)
	$(BIN)/python -m pytest -m "hosts and not release" tests/cluster

# Says that it skipped, and why, where there is no GPU.
test-gpu: $(READY)
	$(BIN)/python -m pytest -m gpu tests/gpu

lint: $(READY)
	$(BIN)/ruff check platform tests cluster
	$(BIN)/ruff format --check platform tests cluster
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m tests.benchmarks

# Of MLflow's pages, for the README; needs Chromium.
pictures: $(READY)
	$(BIN)/python -m tests.pictures

clean:
	rm -rf .venv .site .rnnlane .pytest_cache .mypy_cache .ruff_cache .hypothesis
