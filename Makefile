# Everything from a fresh clone; each command sets up what it needs. `make help` lists them.
PYTHON ?= python3
TORCH ?= torch==2.13.0
# Another place to take the torch wheel from, for example a package index with builds for one
# accelerator only. Empty: where pip looks by default.
TORCH_INDEX ?=
# What `make demo` plays (empty: a clip it draws itself), where it writes, and further options.
VIDEO ?=
OUT ?= out/demo
ARGS ?=
# Test processes that run side by side, up to 2.5 GB of memory each. One more than two cores: a third
# of the time a test waits for what it has started.
WORKERS ?= 3
# A file's tests share what they start; files come in the order in which they were collected.
SIDE_BY_SIDE := --dist loadfile --no-loadscope-reorder

# Compute threads that wait should sleep: node, player and recorder share the cores.
export OMP_WAIT_POLICY ?= PASSIVE
# Byte code is kept (empty: whatever a container says): without it the tests compile themselves in
# every worker, and all that they start compiles itself too.
test test-slow: export PYTHONDONTWRITEBYTECODE =
# The workers share the cores; what takes long apart computes with all of them, as users do.
test: export OMP_NUM_THREADS ?= 1

VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check
MESSAGES := ros2_ws/src/human3r_msgs
NODE := ros2_ws/src/human3r_ros
BRIDGE := ros2_ws/src/human3r_bridge
ENVIRONMENT := $(VENV)/.stamp-python $(VENV)/.stamp-torch $(VENV)/.stamp-messages \
	$(VENV)/.stamp-packages

# MAKEFLAGS may ask for parallel jobs; two pip processes in one environment would collide.
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test test-slow lint generated docs bench clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "make demo VIDEO=file.mp4    take this video instead"
	@echo "make demo OUT=out/name      write there (default out/demo)"
	@echo "make demo ARGS=--help       all options of the demo"

demo: $(ENVIRONMENT) ## Run node, player and recorder over DDS; bag, video and picture in out/demo
	$(VENV)/bin/human3r demo $(if $(VIDEO),"$(VIDEO)") --out "$(OUT)" $(ARGS)

test: $(ENVIRONMENT) $(VENV)/.stamp-dev ## Run the tests, several at a time
	$(RUN) -m pytest -n $(WORKERS) $(SIDE_BY_SIDE) $(ARGS)

test-slow: $(ENVIRONMENT) $(VENV)/.stamp-dev ## Run the tests that take long, which `make test` leaves out
	$(RUN) -m pytest -n $(WORKERS) $(SIDE_BY_SIDE) -m slow $(ARGS)

lint: $(ENVIRONMENT) $(VENV)/.stamp-dev ## Check style, format and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright --pythonpath $(RUN)

generated: $(ENVIRONMENT) ## Write anew what is generated from the declared settings
	$(VENV)/bin/human3r settings --markdown > docs/settings.md
	$(RUN) -m human3r_ros.parameters > $(NODE)/config/human3r.yaml
	$(RUN) -m human3r_ros.multi.settings > $(NODE)/config/human3r_multi.yaml

docs: $(ENVIRONMENT) $(VENV)/.stamp-docs ## Build the pages of docs/ and of the Python API, into out/docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --quiet
	@echo "out/docs/index.html"

bench: $(ENVIRONMENT) ## Measure speed, into out/bench (ARGS=--everything: all of it)
	$(RUN) benchmarks/bench.py $(ARGS)

clean: ## Remove the environment, all results and all caches
	rm -rf $(VENV) out build dist .pytest_cache .ruff_cache .hypothesis
	find src lab runtime ros2_ws tests benchmarks examples -type d \
		\( -name __pycache__ -o -name '*.egg-info' -o -name build \) -prune -exec rm -rf {} +

$(VENV)/.stamp-python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "$(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo absent); expected Python 3.10 to 3.13." >&2; \
		echo "Install one and name it: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || { \
		echo "$(PYTHON) has no venv module; expected a Python that can make environments." >&2; \
		echo "Install it (Debian, Ubuntu: apt install python3-venv) and try again." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.stamp-torch: $(VENV)/.stamp-python
	@echo "Installing $(TORCH) (the largest part: a few minutes)"
	$(PIP) $(TORCH) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	@touch $@

# Copied, not linked, into the environment: installed again whenever a definition changes.
$(VENV)/.stamp-messages: $(VENV)/.stamp-python $(wildcard $(MESSAGES)/msg/*.msg) \
		$(wildcard $(MESSAGES)/srv/*.srv) $(MESSAGES)/pyproject.toml $(MESSAGES)/package.xml
	$(PIP) --no-deps --force-reinstall ./$(MESSAGES)
	@touch $@

$(VENV)/.stamp-packages: $(VENV)/.stamp-torch $(VENV)/.stamp-messages pyproject.toml \
		$(wildcard lab/pyproject.toml runtime/pyproject.toml $(NODE)/pyproject.toml $(NODE)/setup.py $(NODE)/setup.cfg) \
		$(wildcard $(BRIDGE)/pyproject.toml $(BRIDGE)/setup.py $(BRIDGE)/setup.cfg)
	@echo "Installing human3r and what it needs"
	@# Without the option, the pip of Python 3.10 runs the node's setup.py in the old way.
	$(PIP) --use-pep517 -e '.[web]' -e ./lab -e ./runtime -e ./$(NODE) -e ./$(BRIDGE)
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-packages
	@echo "Installing what the tests need"
	$(PIP) -e '.[dev]'
	@touch $@

$(VENV)/.stamp-docs: $(VENV)/.stamp-packages
	$(PIP) -e '.[docs]'
	@touch $@
