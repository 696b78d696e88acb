# make demo   sets up what is missing, then watches ten minutes of footage and answers questions
# make test   sets up what is missing, then runs the tests
# make check  format, lint and types, as CI runs them
# make clean  removes everything that the above made

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -c constraints.txt

.PHONY: demo test check clean

demo: $(VENV)/.demo $(VENV)/.models
	$(BIN)/streammem demo --out demo

test: $(VENV)/.dev $(VENV)/.models
	$(BIN)/python -m pytest $(PYTEST)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Each stamp is written last: an install that was cut off is taken up again.
$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("StreamMem needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing StreamMem and the demo's footage (about 0.9 GB, once)"
	$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing StreamMem with everything its tests use (about 6.5 GB with torch, once)"
	$(PIP) -e '.[demo,dev,openclip]'
	@touch $@

$(VENV)/.models: weights/manifest.json | $(BIN)/python
	@test -e $(BIN)/streammem || $(MAKE) --no-print-directory $(VENV)/.demo
	$(BIN)/streammem models add embedded
	@touch $@

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
