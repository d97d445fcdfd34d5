# `make` alone lists the verbs. Everything below that has no `##` is a helper.
PYTHON ?= python3
ARGS ?=
# Test files side by side: more than there are cores, as many wait for processes. They share one RabbitMQ and one
# PostgreSQL. `make test PARALLEL=` runs them one by one.
PARALLEL ?= -n 4 --dist loadfile --no-loadscope-reorder

TIMES ?= 20

BIN := .venv/bin
# The environment of the negative control, with Celery and FastStream; the worker needs neither.
PEERS := .venv-peers
SHELL := /bin/sh
.SHELLFLAGS := -euc
MAKEFLAGS += --no-print-directory
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Python keeps what it compiled, whatever the shell says of it: the tests start it by the hundred.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := verbs
.PHONY: verbs help venv demo test repeat run lint evidence control rabbitmq4 bench clean

verbs help:
	@sed -nE 's/^([a-z0-9]+):.*## (.*)$$/make \1	\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: venv ## show the whole thing: requests in, results out, faults on the way
	@$(BIN)/provisioner demo $(ARGS)

test: venv ## run every test (ARGS="-k name" for some), with a RabbitMQ and a PostgreSQL of its own
	@$(BIN)/python -m worker.local.install rabbitmq postgresql promtool
	@$(BIN)/pytest $(PARALLEL) $(ARGS)

repeat: venv ## run every test TIMES times in a row (20), in another order each time, and stop at the first failure
	@$(BIN)/python -m worker.local.install rabbitmq postgresql promtool
	@$(BIN)/python -m tests.repeat --times $(TIMES) -- $(PARALLEL) $(ARGS)

run: venv ## run the worker with a RabbitMQ of its own and pretended providers, until Ctrl-C
	@$(BIN)/provisioner dev $(ARGS)

lint: venv ## check style, types, imports between packages, dependencies and YAML
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo >.venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }
	@$(BIN)/deptry --no-ansi . 2>.venv/deptry.log || { cat .venv/deptry.log; exit 1; }
	@$(BIN)/yamllint --strict -c deploy/.yamllint deploy
	@echo "lint: nothing to complain about"

# The long form has the other workers of the negative control beside it.
PROVING := $(if $(findstring --short,$(ARGS)),$(BIN),$(PEERS)/bin)
evidence: $(if $(findstring --short,$(ARGS)),venv,$(PEERS)/locked) ## prove the promises under crashes and faults, with a report (ARGS=--short: minutes, else over an hour)
	@$(BIN)/python -m worker.local.install rabbitmq postgresql
	@$(PROVING)/python -m tests.evidence $(ARGS)

control: $(PEERS)/locked ## run the same faults on ordinary workers, which open second accounts (ARGS="--worker naive")
	@$(BIN)/python -m worker.local.install rabbitmq
	@$(PEERS)/bin/python -m tests.peers $(ARGS)

rabbitmq4: venv ## run the broker's tests against RabbitMQ 4, out of a Debian 13 in a folder of its own (as root)
	@$(BIN)/python -m worker.local.install postgresql debootstrap
	@root=$$($(BIN)/python -m worker.local.trixie); \
		LOCAL_RABBITMQ_ROOT="$$root" $(BIN)/pytest -m rabbitmq $(PARALLEL) $(ARGS)

bench: venv ## measure requests per second and processor time per request
	@$(BIN)/python -m tests.bench $(ARGS)

clean: ## remove .venv, .local, caches and what was built
	@rm -rf .venv $(PEERS) .venv-bench .local .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Two stamps: a changed lock builds .venv anew, a changed pyproject.toml only installs the project again.
venv: .venv/installed

.venv/installed: .venv/locked pyproject.toml
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(PEERS)/locked: tests/peers/requirements.lock
	@$(PYTHON) -m worker.local.install venv
	@echo "installing dependencies into $(PEERS) (about a minute the first time) ..."
	@rm -rf $(PEERS)
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/pip install --quiet --require-hashes --requirement tests/peers/requirements.lock
	@$(PEERS)/bin/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/locked: tests/requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "this needs Python 3.11 or newer, and \`$(PYTHON)\` is not; name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m worker.local.install venv
	@echo "installing dependencies into .venv (about a minute the first time) ..."
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --require-hashes --requirement tests/requirements.lock
	@touch $@
