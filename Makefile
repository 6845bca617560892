# Needs Python 3.11 to 3.13 and a package index. PYTHON=python3.12 make test picks one.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_HOME := .demo-home
SMART := SMART_HOME='$(CURDIR)/$(DEMO_HOME)' $(BIN)/smart

.PHONY: help demo test test-docs test-real test-faults test-scale-out test-search test-wheel soak check bench docs pictures generate clean install

help:  ## Say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else "smart-finetune needs Python 3.11 to 3.13, found %d.%d; say PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,hub,onnx,excel,aggregators,serve,dev]'
	@touch $@

install: $(VENV)/.installed  ## Make .venv with smart in it

demo: $(VENV)/.installed  ## Prepare, train, combine and score on the embedded corpus (minutes, no model hub)
	@echo 'Five commands follow: a synthetic corpus, MiniLM trained on paraphrases, then twice on three tasks with SMART,'
	@echo 'an ensemble of the two, and the table of scores. On two cores that takes two to five minutes. Stopped, it goes on.'
	$(SMART) prepare demo
	$(SMART) pretrain-qqp --data demo --encoder minilm --name demo-start --resume
	$(SMART) finetune --data demo --init demo-start --schedule simultaneous --lambda 5 --epochs 2 --seed 1 --name demo-1 --resume
	$(SMART) finetune --data demo --init demo-start --schedule simultaneous --lambda 5 --epochs 2 --seed 2 --name demo-2 --resume
	@test -d $(DEMO_HOME)/checkpoints/demo-ensemble || $(SMART) ensemble demo-1 demo-2 --name demo-ensemble
	$(SMART) evaluate

test: $(VENV)/.installed  ## Run the tests
	$(BIN)/python -m pytest -q -n 2

test-docs: $(VENV)/.installed  ## Run every page's shell blocks: minutes
	$(BIN)/python -m pytest -q -m 'slow or not slow' tests/test_docs.py

test-real: $(VENV)/.installed  ## Run the tests that read the folder $SMART_TEST_DATA
	$(BIN)/python -m pytest -q -m real

test-faults: $(VENV)/.installed  ## Kill, fill and alter: minutes
	$(BIN)/python -m pytest -q -m faults

test-scale-out: $(VENV)/.installed  ## Train in two and three processes by every method, and kill one: minutes
	$(BIN)/python -m pytest -q -m 'slow or faults or not slow' tests/workflows/training/test_scale_out.py tests/workflows/training/test_two_machines.py

test-search: $(VENV)/.installed  ## Search in four processes, on a file and on a PostgreSQL server, and kill one: minutes
	$(BIN)/python -m pytest -q -m 'slow or not slow' tests/workflows/search

test-wheel: $(VENV)/.installed  ## Build the wheel, install it away from here, run the demo (2 GB, a package index)
	$(BIN)/python -m pytest -q -m slow tests/test_packaging.py

soak: $(VENV)/.installed  ## Train, score, combine and remove in a loop for MINUTES=30, watching memory and open files
	$(BIN)/python -m tests.faults.soak $(or $(MINUTES),30)

check: $(VENV)/.installed  ## Linter, types, layers, and generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py
	$(BIN)/python scripts/generate.py --check

generate: $(VENV)/.installed  ## Write docs/cli.md and completions/ again
	$(BIN)/python scripts/generate.py

bench: $(VENV)/.installed  ## Examples per second beside the usual loop
	$(BIN)/python -m benchmarks

pictures: demo  ## Write the pictures of the terminal in docs/pictures
	$(BIN)/python scripts/pictures.py $(DEMO_HOME)

docs: $(VENV)/.installed  ## Build the documentation into site/, strictly
	@$(BIN)/python -c 'import material' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

clean:  ## Remove what make made
	rm -rf $(VENV) $(DEMO_HOME) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
