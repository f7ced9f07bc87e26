# make demo and make test do all set-up themselves; they need Python 3.11 and package registries, nothing else.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Photographs and recordings to use where they are there: make demo MEDIA=../shared/media
MEDIA ?=
ROOT ?= data/demo

.PHONY: help setup setup-tensorflow weights demo lint types contract test test-slow bench-gpu clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: .venv/.complete ## the application's environment, from requirements.lock

.venv/.complete: requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements.lock
	touch $@

setup-tensorflow: .venv-tensorflow/.complete ## the second environment, for speech.engine = "library"

.venv-tensorflow/.complete: requirements-tensorflow.lock
	$(PYTHON) -m venv .venv-tensorflow
	.venv-tensorflow/bin/python -m pip install --quiet --no-deps --requirement requirements-tensorflow.lock
	touch $@

weights: setup ## the speech segmenter's CNN weights, checked by sha256
	$(BIN)/python -m extract.weights

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

test-slow: weights setup-tensorflow ## kills, whole demo runs, the library's own engine (40 minutes at most)
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

bench-gpu: setup ## features on this machine's GPU beside the reference's way: make bench-gpu VIDEO=some.mp4
	$(BIN)/python -m benchmarks.bench_features $(VIDEO) --device cuda

clean: ## everything that was made, the environments aside
	rm -rf data weights .mypy_cache .pytest_cache .ruff_cache
