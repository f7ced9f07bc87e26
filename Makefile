# make demo and make test do all set-up themselves; they need Python 3.11 and package registries, nothing else.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Photographs and recordings to use where they are there: make demo MEDIA=../shared/media
MEDIA ?=
ROOT ?= data/demo

.PHONY: help setup setup-tensorflow setup-readers setup-debian weights demo fuzz lint types contract test test-slow bench bench-gpu audit sbom licences clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: .venv/.complete ## the application's environment, from requirements.lock

.venv/.complete: requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	touch $@

setup-tensorflow: .venv-tensorflow/.complete ## the second environment, for speech.engine = "library"

.venv-tensorflow/.complete: requirements-tensorflow.lock
	$(PYTHON) -m venv .venv-tensorflow
	.venv-tensorflow/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-tensorflow.lock
	touch $@

setup-readers: .venv-readers/.complete ## the third environment: what people read our files with

.venv-readers/.complete: requirements-readers.lock
	$(PYTHON) -m venv .venv-readers
	.venv-readers/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-readers.lock
	touch $@

# Never a prerequisite: it changes the system. Tests that need these programs are skipped without them, and say so.
setup-debian: ## as root on Debian: Chromium and PostgreSQL, for the tests of pages and of the production server
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-ipafont-gothic postgresql

weights: setup ## the speech segmenter's CNN weights, checked by sha256
	$(BIN)/python -m extract.speech.weights

demo: weights ## the main job, end to end, on a small world rendered here
	$(BIN)/python -m flows demo --root $(ROOT) $(if $(MEDIA),--media $(MEDIA))

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

contract: setup
	$(BIN)/lint-imports

test: weights lint types contract ## lint, types, import contract and the fast tests (15 minutes at most)
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_ARGS)

test-slow: weights setup-tensorflow setup-readers ## kills, whole demo runs, the library's own engine (40 minutes at most)
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

bench: setup ## every benchmark in one go, into benchmarks/results.md (QUICK=1: small sizes; MEDIA=../shared/media: those that need recordings)
	$(BIN)/python -m benchmarks.run_all $(if $(QUICK),--quick) $(if $(MEDIA),--media $(MEDIA))

fuzz: weights ## 10,000 damaged inputs for every parser of what strangers wrote
	FUZZ_RANDOM=1 FUZZ_INPUTS=10000 $(BIN)/python -m pytest -m slow tests/fuzz/test_fuzz.py $(PYTEST_ARGS)

bench-gpu: setup ## features on this machine's GPU beside the reference's way: make bench-gpu VIDEO=some.mp4
	$(BIN)/python -m benchmarks.bench_features $(VIDEO) --device cuda

audit: setup ## known weaknesses of the pinned packages (needs the internet: asks the public advisory database)
	@# --strict: without it a package that nobody could be asked about counts as sound.
	@for lock in requirements*.lock; do \
	  $(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off --requirement $$lock \
	    || { echo "$$lock: not audited, or not sound: see above" >&2; exit 1; }; \
	done

sbom: data/sbom.json ## a CycloneDX bill of materials of the environment, data/sbom.json

data/sbom.json: .venv/.complete
	mkdir -p $(@D)
	$(BIN)/cyclonedx-py environment $(BIN)/python --of JSON --output-reproducible --output-file $@

licences: data/sbom.json ## the licence of every package, from the bill of materials
	$(BIN)/python .ci/licences.py $<

clean: ## everything that was made, the environments aside
	rm -rf data weights .mypy_cache .pytest_cache .ruff_cache
