# Every target sets up what it needs first. Before a change is handed in: make lint unit, at the end make test e2e.
.DEFAULT_GOAL := help
.PHONY: help setup lint unit test e2e soak demo down bench images dist docs lock clean
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory
# Images of Python set it; then each of the hundreds of processes that tests start would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

# The first Python that is new enough; PYTHON=/path/to/python chooses another. Only `setup` uses it, all else .venv.
PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
# Tests wait two thirds of their time: three times as many processes as CPUs keep these busy.
WORKERS ?= 6
SIDE_BY_SIDE := --numprocesses=$(WORKERS) --dist=loadscope --no-loadscope-reorder
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe \
	--strip-extras --no-emit-options $(if $(UPGRADE),--upgrade)

help: ## list the targets
	@sed -n 's/^\([a-z0-9]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## make .venv with everything installed from the lock files (2 min; at once when nothing changed)
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer is missing: apt-get install python3" >&2; exit 1; }
	@$(PYTHON) -m tools.venv

lint: setup ## check format, style, types, layers, and that generated pages are up to date
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m docs.generate --check

unit: setup ## run the tests that need nothing but Python
	$(BIN)/python -m pytest tests/unit

test: setup ## run all tests that need no nodes, on real parts: 11 to 17 minutes on 2 cores (and once 8 min to build Kubernetes and Jaeger)
	$(BIN)/python -m lab build --light
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/unit tests/integration

e2e: setup ## run the tests on nodes with KubeVirt: 20 to 25 minutes on 2 cores (and once 15 min more to build KubeVirt and images, 17 GB)
	$(BIN)/python -m lab build
	$(BIN)/python -m pytest tests/e2e

soak: setup ## run for hours what `make test` samples: outages, a thousand faults, tens of thousands of random rules
	$(BIN)/python -m lab build
	VIRTWATCH_SOAK=1 $(BIN)/python -m pytest $(SIDE_BY_SIDE) -m soak tests

demo: setup ## show virtwatch at work in half a minute (the first time 6 to 10); KUBEVIRT=1 on nodes with KubeVirt, KEEP=1 leaves it running
	@$(BIN)/python -m lab demo $(if $(KUBEVIRT),--kubevirt) $(if $(KEEP),--keep)

down: setup ## end what `make demo KEEP=1` left running, and what killed runs left behind
	@$(BIN)/python -m lab down

bench: setup ## measure what virtwatch promises: one JSON line per figure; ONLY="judging edits" some of them; FROM_NOTHING=1: first runs, without any cache
	@$(if $(FROM_NOTHING)$(ONLY),,$(BIN)/python -m lab build >&2)
	@$(BIN)/python -m tools bench $(ONLY) $(if $(FROM_NOTHING),--from-nothing)

images: setup ## build the agent's and the operator's image: with docker or podman where one works, else with buildah; REGISTRY=name names them for it
	@$(BIN)/python -m tools images $(if $(REGISTRY),--registry=$(REGISTRY))

dist: setup ## write dist/virtwatch.yaml, one file to install from; REGISTRY=name is where the images are pulled from
	@$(BIN)/python -m tools dist $(if $(REGISTRY),--registry=$(REGISTRY))

docs: setup ## write docs/reference from the catalogue and the CRDs
	$(BIN)/python -m docs.generate

lock: setup ## write the lock files after pyproject.toml changed; UPGRADE=1 takes newest versions
	$(COMPILE) --all-extras --output-file requirements.lock pyproject.toml
	for extra in build agent operator; do \
		$(COMPILE) --extra $$extra --constraint requirements.lock --output-file requirements/$$extra.lock pyproject.toml \
			|| exit 1; done
	$(COMPILE) --output-file tools/checkov.lock tools/checkov.in

clean: ## remove .venv and what tools cache in the checkout; the lab's builds stay in ~/.cache/virtwatch
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
