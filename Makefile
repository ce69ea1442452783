# Battery Pilot. `make help` lists what can be done.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup demo test bench up down lint format lock clean

VENV := .venv
PORT ?= 8080
WITH_SERVERS = $(VENV)/bin/python -m tests.servers.run --

# The first interpreter that fits; PYTHON=... names the one to take.
CANDIDATES := $(or $(PYTHON),python3.12 python3.11 python3 python)
FIND_PYTHON = for candidate in $(CANDIDATES); do \
    if "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1; \
    then echo "$$candidate"; exit 0; fi; done

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/ready ## make the environment from the lock file and check Python and Java
	@$(VENV)/bin/python include/battery_pilot/stack/prerequisites.py

$(VENV)/ready: requirements.txt pyproject.toml
	@python="$$($(FIND_PYTHON))"; \
	if [ -z "$$python" ]; then \
	  echo "battery-pilot: no Python 3.11 or 3.12 among $(CANDIDATES): install one and name it, for example make setup PYTHON=python3.12." >&2; exit 1; fi; \
	"$$python" include/battery_pilot/stack/prerequisites.py || exit 1; \
	echo "making $(VENV) with $$($$python --version)"; \
	"$$python" -m venv --clear $(VENV) || { \
	  echo "battery-pilot: $$python cannot make a virtual environment: install its venv module (Debian: apt-get install python3-venv)." >&2; exit 1; }; \
	echo "installing the packages of requirements.txt (about 1 GB, a few minutes the first time)"; \
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements.txt)" && \
	{ $(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python -r requirements.txt || \
	  $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt; } && \
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . && \
	touch $@

demo: setup ## generate a fleet and run provider, training and consumer; ARGS="--batteries 100 --months 12 --seed 7"
	@$(VENV)/bin/battery-pilot demo --folder var/demo $(ARGS)

up: setup ## keep the stack running, with Airflow's web UI on PORT (8080)
	@$(VENV)/bin/battery-pilot up --folder var/stack --port $(PORT) $(ARGS)

down: ## stop what `make up` started
	@if [ -x $(VENV)/bin/battery-pilot ]; then $(VENV)/bin/battery-pilot down --folder var/stack; fi

test: lint ## style, types, import rules and all tests, some against real servers that are fetched once
ifdef ARGS
	@$(WITH_SERVERS) $(VENV)/bin/python -m pytest $(ARGS)
else
	@$(WITH_SERVERS) $(VENV)/bin/python -m pytest -n auto tests/unit tests/contract
	@$(VENV)/bin/python -m pytest tests/integration tests/e2e
endif

bench: setup ## measure the readers beside their peers, each in an environment of its own; ARGS="--write" fills docs/benchmarks.md
	@$(VENV)/bin/python -m tests.benchmarks.run $(ARGS)

lint: setup ## style, types and import rules
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	PYTHONPATH=plugins $(VENV)/bin/lint-imports

format: setup ## put the code in shape
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

lock: setup ## resolve requirements.in into requirements.txt for Python 3.11 and 3.12
	$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header --upgrade requirements.in -o requirements.txt

clean: down ## remove the environment and everything that was generated
	rm -rf $(VENV) var
