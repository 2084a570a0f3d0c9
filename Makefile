# KeyRe-ID: every target is one line of `keyreid ...`, and sets up its own environment first.
#   make demo                                  everything, on the data set the program makes itself
#   make extract-poses train eval DATASET=mars DATA=/data/MARS
#   make train ARGS="--set train.epochs=3"     ARGS goes to the command as it is

PYTHON ?= $(or $(shell command -v python3.11),python3)
VENV ?= .venv
# another build of torch, e.g. TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
DATASET ?= walkers
DATA ?= data/$(DATASET)
RUN ?=
WORKERS ?=
NPROC ?= 1
ARGS ?=

BIN := $(VENV)/bin
COMMON = --dataset $(DATASET) --data-root "$(DATA)"
KEYREID := $(BIN)/keyreid
LAUNCH = $(if $(filter-out 1,$(NPROC)),$(BIN)/python -m pipeline.launch --standalone --nproc-per-node $(NPROC) -m pipeline,$(KEYREID))
REQUIREMENTS := $(wildcard requirements/*.txt)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo demo-videos synthesize doctor extract-poses train eval report probe track embed gallery search link browse ablation docs test lint bench clean

help:  ## list the targets
	@echo "usage: make TARGET [DATASET=walkers] [DATA=data/DATASET] [RUN=folder] [WORKERS=n] [NPROC=1] [ARGS='...']"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  %-15s %s\n", $$1, $$2}'

setup: $(VENV)/.installed  ## make the virtual environment (every target does this itself)

# Remade from nothing when a requirement file changes; a folder that this Makefile did not make is never cleared.
$(VENV)/.ready: $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] <= (3, 13) else f"CPython 3.11, 3.12 or 3.13 is needed, {sys.executable} is {v.major}.{v.minor}: name one with make PYTHON=/path/to/python3.11")'
	@echo "Setting up $(VENV): about 2 minutes and 2 GB of disk (more with a CUDA build of torch) ..."
	@$(PYTHON) -m venv $(if $(wildcard $(VENV)/.keyreid),--clear) $(VENV)
	@touch $(VENV)/.keyreid
	@$(BIN)/python -m pip install -q --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX) torchvision==0.28.0) -r requirements/torch.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements/base.txt -r requirements/dev.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -r requirements/openmmlab.txt
	@touch $@

$(VENV)/.installed: $(VENV)/.ready setup.cfg pyproject.toml
	@$(BIN)/python -W ignore -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup  ## walkers from nothing to a ranked answer: synthesize, extract-poses, train, eval
	@$(KEYREID) demo $(ARGS)

demo-videos: $(VENV)/.track  ## two videos to who was where: track, embed, link, a page (with the network of demo, or a quick one)
	@$(KEYREID) demo --videos $(ARGS)

synthesize: setup  ## make the walkers data set in DATA
	@$(KEYREID) synthesize -o "$(DATA)" $(if $(WORKERS),--workers $(WORKERS)) $(ARGS)

doctor: setup  ## check the data set in DATA
	@$(KEYREID) doctor $(COMMON) $(if $(WORKERS),--workers $(WORKERS)) $(ARGS)

extract-poses: setup  ## stage one: fill the pose cache of DATASET
	@$(KEYREID) extract-poses $(COMMON) $(if $(WORKERS),--workers $(WORKERS)) $(ARGS)

train: setup  ## stage two: train on frames and cached poses (RUN: resume that run; NPROC: processes)
	@$(LAUNCH) train $(COMMON) $(if $(WORKERS),--workers $(WORKERS)) $(if $(RUN),--resume --run "$(RUN)") $(ARGS)

eval: setup  ## score a run (RUN, or the newest of DATASET)
	@$(KEYREID) eval $(COMMON) $(if $(WORKERS),--workers $(WORKERS)) $(if $(RUN),--run "$(RUN)") $(ARGS)

probe: setup  ## replace heat, attention and patches of a trained network (RUN, or the newest of DATASET) and score it
	@$(KEYREID) probe $(if $(RUN),--run "$(RUN)") $(COMMON) $(ARGS)

ablation: setup  ## train and score variants of the network on walkers
	@$(KEYREID) ablation $(if $(WORKERS),--workers $(WORKERS)) $(ARGS)

report: setup  ## write the HTML report of an evaluated run again (RUN, or the newest of DATASET)
	@$(KEYREID) report $(if $(RUN),--run "$(RUN)") $(COMMON) $(ARGS)

docs: $(VENV)/.docs  ## build the documentation in site/, checked for broken links
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet $(ARGS)
	@echo "open site/index.html"

$(VENV)/.docs: $(VENV)/.installed
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements/docs.txt
	@touch $@

track: $(VENV)/.track  ## detect and track persons in videos (ARGS: see keyreid track --help)
	@$(KEYREID) track $(ARGS)

# Without their declared dependencies: requirements/track.txt says why.
$(VENV)/.track: $(VENV)/.installed
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -r requirements/track.txt
	@touch $@

embed: setup  ## embed tracklets into a gallery (ARGS: see keyreid embed --help)
	@$(KEYREID) embed $(ARGS)

gallery: setup  ## list, check and thin out a gallery that grows (ARGS: see keyreid gallery --help)
	@$(KEYREID) gallery $(ARGS)

search: setup  ## rank a gallery by distance to a query (ARGS: see keyreid search --help)
	@$(KEYREID) search $(ARGS)

link: setup  ## link tracklets over cameras to identities (ARGS: see keyreid link --help)
	@$(KEYREID) link $(ARGS)

browse: setup  ## write the page of who was where (ARGS: a folder of keyreid link, see keyreid browse --help)
	@$(KEYREID) browse $(ARGS)

# Tests try the optional parts too: documentation, search in large galleries, ONNX export, Dask, tracking.
$(VENV)/.extras: $(VENV)/.docs $(VENV)/.track
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements/search.txt -r requirements/export.txt -r requirements/cluster.txt
	@touch $@

test: $(VENV)/.extras  ## run the tests, a process per core, up to four (real data: KEYREID_REAL_DATA names its folder)
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "not slow" $(ARGS)

lint: setup  ## check style, words and the number of exception handlers
	@$(BIN)/ruff check . $(ARGS)
	@$(BIN)/python docs/tools/words.py
	@$(BIN)/python docs/tools/handlers.py

bench: setup  ## run the benchmarks
	@set -e; for name in $(filter-out __init__,$(basename $(notdir $(wildcard benchmarks/*.py)))); do \
		echo "== benchmarks.$$name"; $(BIN)/python -m benchmarks.$$name $(ARGS) || echo "benchmarks.$$name: see its --help"; done

clean:  ## remove what set-up and tests made, never data, poses or runs
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
	if [ -e "$(VENV)/.keyreid" ]; then rm -rf "$(VENV)"; fi
