# Set-up and run in one word. `make` alone lists the words.
CORES ?= 8
PYTHON ?= python3
SCALE ?= laptop
VENV ?= .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONPATH := $(CURDIR)/src
# Modules are compiled once, not by each of hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE
# Snakemake and pip need a home folder that they can write to.
ifneq ($(shell test -d "$$HOME" && test -w "$$HOME" && echo yes),yes)
export HOME := $(CURDIR)/.home
endif

.PHONY: help all smoke verify report data bench test fetch lint unit dag lock pages docs clean

help:  ## list the words
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp is written last, so an interrupted installation is taken up again.
$(VENV)/installed: envs/lock.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "elbogap needs Python 3.11 or newer (tested on 3.11 and 3.13); name one with: make PYTHON=python3.11 ..." >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || \
		{ echo "this Python cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check -r envs/lock.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

all: $(VENV)/installed  ## every figure, table and claim and the report, at laptop scale
	snakemake --cores $(CORES) all

smoke: $(VENV)/installed  ## the same, tiny and without network
	snakemake --cores $(CORES) smoke

verify: $(VENV)/installed  ## decide every claim again from the recorded tables, without training
	python -m elbogap verify

report: $(VENV)/installed  ## the replication report (PDF) and the browsable one (HTML) of SCALE
	snakemake --cores $(CORES) results/$(SCALE)/report.pdf
	snakemake --cores 1 --config scale=$(SCALE) --report results/$(SCALE)/report.html -- all

data: $(VENV)/installed  ## fetch and verify all data sets
	python -m elbogap data fetch

bench: $(VENV)/installed  ## measure speed
	python -m benchmarks

test: fetch lint unit dag  ## formatting, lint, unit tests, then the whole DAG at smoke scale with claims and reports

fetch: $(VENV)/installed
	@sh tests/fetch.sh

lint: $(VENV)/installed
	ruff format --check .
	ruff check .
	mypy
	lint-imports --no-cache
	snakefmt --check Snakefile workflow
	snakemake --lint

unit: $(VENV)/installed
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist worksteal -m "not dag"

dag: $(VENV)/installed
	python -m pytest -n 2 --dist loadfile -m dag tests/workflow tests/faults

lock: $(VENV)/installed  ## write envs/lock.txt and envs/environment.yaml from what is installed
	python envs/lock.py

pages: $(VENV)/installed  ## refresh the generated parts of the pages in docs/
	python -m elbogap pages

docs: $(VENV)/installed  ## the docs site, docs/_build/index.html; a warning is an error
	python -m sphinx -E -q -W --keep-going docs docs/_build

clean:  ## remove everything that the build made (data sets and recorded runs stay)
	rm -rf $(VENV) .snakemake docs/_build $(filter-out results/reference,$(wildcard results/*)) $(filter-out figures/reference,$(wildcard figures/*))
