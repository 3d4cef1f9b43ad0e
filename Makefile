# Two commands: `make run` and `make test`. Each sets up what it needs first; nothing is installed twice.
PYTHON ?= python3
# Images set it, and then every process compiles anew what it imports.
unexport PYTHONDONTWRITEBYTECODE
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CORES ?= all
# A process a core, with a thread each; a file's tests share their fixtures.
SIDE_BY_SIDE := -n logical --maxprocesses 4 --dist loadfile
# A run of the workflow leaves a core idle while it plans and while its jobs start, one through Slurm while it waits.
THREE_RUNS := -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: help setup run test test-slow lint docs lock reference clean-venv

help:
	@echo "make run        the demo cohort from slides and RNA to tables and a report (results/demo/report.html)"
	@echo "make test       unit tests and the workflow on a tiny cohort"
	@echo "make test-slow  kills, crashes, clusters"
	@echo "make lint       formatting, types, import layers, snakemake --lint"
	@echo "make docs       the pages of docs/ as a site (site/index.html); a warning fails"
	@echo "make reference  write the generated pages and tables anew (config/, docs/, resources/tcga_jobs.tsv)"
	@echo "make lock       resolve requirements.lock anew (needs uv)"

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml tools/install.py
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] <= (3, 13); sys.exit(0 if ok else f"Python 3.11, 3.12 or 3.13 is needed, this is {sys.version.split()[0]}: make PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing what requirements.lock names (hashes checked; about 6 GB with torch) ..."
	@$(BIN)/python tools/install.py
	@touch $@

run: $(STAMP)
	@$(BIN)/mirrorflow unlock
	@$(BIN)/snakemake --cores $(CORES) --workflow-profile profiles/small

test: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow" --ignore tests/workflow tests
	@$(BIN)/python -m pytest $(THREE_RUNS) -m "not slow" tests/workflow

test-slow: $(STAMP)
	@$(BIN)/python -m pytest $(THREE_RUNS) -m slow $$(grep -rl --include='test_*.py' 'mark\.slow' tests | sort)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakemake --lint

# Not --quiet: it keeps warnings from --strict. The variable silences an announcement of the theme's.
docs: $(STAMP)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

reference: $(STAMP)
	$(BIN)/mirrorflow config-reference > config/README.md
	$(BIN)/mirrorflow fidelity > docs/fidelity.md
	$(BIN)/python tools/reruns.py > config/reruns.md
	$(BIN)/mirrorflow plan --configfile config/tcga.yaml > resources/tcga_jobs.tsv
	$(BIN)/python tools/checks_page.py > docs/what_is_checked.md

lock:
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" \
	  --output-file requirements.lock

clean-venv:
	rm -rf $(VENV)
