# What one does with lmcortex. Every target first sets up what it needs, inside this folder:
# a pinned uv (.tools/), the locked environment (.venv/) and, for tests, a browser.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.ONESHELL:

STUDY ?= demo
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
TESTS ?= tests/unit tests/workflow
BENCH ?= $(basename $(notdir $(wildcard benchmarks/*.py)))
ENVS ?= envs

UV_VERSION := 0.13.8
UV := .tools/uv-$(UV_VERSION)/bin/uv
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& { command -v $$name; break; }; done)

NAME = $(patsubst %.yaml,%,$(notdir $(STUDY)))
REPORT = results/studies/$(NAME)/report.html
# One GPU, one job on it: without this limit Snakemake would start one per core.
GPU = $(if $(shell command -v nvidia-smi),--resources gpu=1)
SNAKEMAKE = snakemake --config study=$(STUDY)

# Rules call `python`: it has to be that of the environment, whatever is activated.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export UV_PROJECT_ENVIRONMENT := .venv
unexport VIRTUAL_ENV

.PHONY: help setup demo report plan efficiency fetch site orphans bench test published recovery calibration gpu-test slurm-test slurm-faults lint format browser cluster schema envs clean

help: ## list the targets
	@echo "make TARGET [STUDY=$(STUDY)] [CORES=$(CORES)]"
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

demo: ## run every analysis on simulated brains, offline, and write the report
	@echo "Demo: trains three small language models, simulates listeners, fits encoders, reports."
	@$(MAKE) --no-print-directory report STUDY=demo

report: setup ## compute what is missing of STUDY and write its report
	@start=$$SECONDS
	echo "Study $(NAME) on $(CORES) cores; what is already computed is kept (see: make plan)."
	$(SNAKEMAKE) --cores $(CORES) $(GPU)
	$(SNAKEMAKE) --cores $(CORES) --report $(REPORT) --report-stylesheet workflow/report/style.css
	echo "Report: $(CURDIR)/$(REPORT)  ($$((SECONDS - start)) s)"

plan: setup ## show what STUDY will cost, without running it; on a cluster: PROFILE=slurm
	@python workflow/scripts/show_plan.py --config study=$(STUDY) $(if $(PROFILE),--profile $(PROFILE))

efficiency: setup ## show what the jobs of STUDY used of what they asked for (PROFILE=slurm)
	@python workflow/scripts/show_efficiency.py --config study=$(STUDY) $(if $(PROFILE),--profile $(PROFILE))

fetch: setup ## bring back weights that STUDY still needs; run with a profile: PROFILE=slurm
	@python workflow/scripts/restore_weights.py --study $(STUDY) $(if $(PROFILE),--profile $(PROFILE))

site: setup ## ask the Slurm cluster for account and partitions, for profiles/slurm/site.yaml
	@python workflow/scripts/write_site.py --site profiles/slurm/site.yaml

orphans: setup ## list results that no study asks for any more
	@python workflow/scripts/list_orphans.py

bench: setup ## measure speed and memory; one benchmark: make bench BENCH=demo
	@for name in $(BENCH); do
		echo "== $$name"
		python benchmarks/$$name.py
	done

test: setup browser ## run the tests; one file: make test TESTS=tests/unit/test_registry.py
	@pytest $(TESTS)

published: setup ## compare statistics with those of a paper, from the values that it shows
	@python tests/published.py

recovery: setup ## plant laws in brains of The Little Prince's shape and find them; needs its mask
	@TQDM_DISABLE=1 python tests/recovery.py

calibration: setup ## measure how often tests reject where there is nothing to find
	@TQDM_DISABLE=1 python tests/calibration.py

gpu-test: setup ## check that a GPU computes what the processor computes; needs one
	@pytest tests/gpu

slurm-test: setup cluster ## run a small study on a real Slurm cluster on this machine (Debian, root)
	@pytest tests/slurm/test_cluster.py

slurm-faults: setup cluster ## break such a cluster in every way while a study runs; one: FAULT=node-lost
	@python tests/slurm/faults.py $(FAULT)

lint: setup ## check style, rules, types
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow/rules
	snakemake --lint
	pyright src

format: setup ## format the code as lint wants it
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow/rules

schema: setup ## write workflow/schemas from the configuration's classes
	mkdir -p workflow/schemas
	python -m lmcortex.schemas workflow/schemas

envs: $(UV) ## write the conda environment and the container recipe from uv.lock
	"$(PYTHON)" envs/export.py --uv $(UV) --output $(ENVS)

clean: ## remove the environment and caches; results stay
	rm -rf .venv .tools .pytest_cache .ruff_cache

setup: .venv/.synced

.venv/.synced: uv.lock pyproject.toml $(UV)
	@echo "Setting up the environment in .venv (a few GB; minutes the first time)"
	$(UV) sync --frozen --compile-bytecode --python "$(PYTHON)"
	touch $@

.tools/uv-$(UV_VERSION)/bin/uv:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed and was not found" >&2; exit 1; }
	"$(PYTHON)" -m venv .tools/uv-$(UV_VERSION)
	.tools/uv-$(UV_VERSION)/bin/python -m pip install --quiet uv==$(UV_VERSION)

# Tests bring up a cluster of their own; where Slurm is missing and may be installed, install it.
cluster:
	@if [ "$$(id -u)" = 0 ] && ! type slurmctld slurmdbd munged mariadbd ip >/dev/null 2>&1 \
			&& command -v apt-get >/dev/null; then
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
			slurm-wlm slurmdbd munge mariadb-server iproute2 >/dev/null
	fi

# Tests open the report in Chromium; where that is missing and may be installed, install it.
browser:
	@if ! command -v chromium chromium-browser google-chrome >/dev/null; then
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
			apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null
		else
			echo "Chromium is missing: tests that open the report will fail" >&2
		fi
	fi
