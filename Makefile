# make demo   sets up what is missing, then watches ten minutes of footage and answers questions
# make test   sets up what is missing, then runs the tests
# make check  format, lint and types, as CI runs them
# make clean  removes everything that the above made in this folder

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.PHONY: demo test check clean

demo: $(VENV)/.demo
	$(BIN)/streammem models add embedded
	$(BIN)/streammem demo --out demo

test: $(VENV)/.dev
	$(BIN)/streammem models add embedded
	$(BIN)/python -m pytest $(PYTEST)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Each stamp is written last: a step that was cut off is taken again.
$(VENV)/.made:
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "StreamMem needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "Installing StreamMem and its sample footage, about 1 GB, once"
	$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "Installing StreamMem and all that its tests use, about 7 GB with torch, once"
	$(PIP) -e '.[demo,dev,llm,openclip,world]'
	@touch $@

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
