# Two commands: `make serve` and `make test`. Both need Python 3.11 or newer and make; the rest they install into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: serve test clean

serve: .venv/serve
	$(BIN)/dragoman serve $(ARGS)

test: .venv/test
	scripts/tools
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check

.venv/bin/pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Dragoman needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip

.venv/serve: .venv/bin/pip pyproject.toml
	$(BIN)/pip install --quiet --editable .
	@touch $@

.venv/test: .venv/bin/pip pyproject.toml
	$(BIN)/pip install --quiet --editable . --group dev
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info
