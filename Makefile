# Everything sets itself up in .venv; `make demo` and `make test` need nothing typed before them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.ready
C_FILES := $(wildcard csrc/*.[ch] csrc/*.def csrc/*/*.[ch])

.PHONY: test check bench demo parity clean

$(SETUP): pyproject.toml setup.py $(wildcard ruvllm_mcp/native/build.py) $(C_FILES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

test: $(SETUP) check
	$(BIN)/python -m pytest

# Peers too heavy for every run: other people's MCP clients, reference implementations. Needs the package registries.
parity: $(SETUP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,parity]'
	$(BIN)/python -m pytest tests/parity

check: $(SETUP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

demo: $(SETUP)
	$(BIN)/python examples/demo.py

clean:
	rm -rf $(VENV) build dist .build *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name '*.so' -not -path './$(VENV)/*' -delete
