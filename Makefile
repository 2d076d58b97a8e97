# The commands of the README, nothing clever.
PYTHON ?= python3
VENV ?= $(CURDIR)/.venv
JOBS ?= 2
export VENV

.PHONY: help setup demo test lint rtl clean

help:
	@echo "make demo   set up, then both processors, the attacks, synthesis and the report"
	@echo "make test   set up, then lint, unit tests, cocotb benches, the end-to-end test"
	@echo "make lint   set up, then ruff"
	@echo "make rtl    set up, then the Verilog of every preset into rtl/ (docs/rtl.md)"
	@echo "make setup  Debian packages, virtual environment, tools"
	@echo "make clean  remove what was generated, keep the virtual environment"

setup:
	@$(PYTHON) scripts/setup.py

demo: setup
	$(VENV)/bin/fides demo

lint: setup
	$(VENV)/bin/ruff check .

test: lint
	$(VENV)/bin/pytest -n $(JOBS) --dist loadfile --junitxml=build/test-results.xml

rtl: setup
	$(VENV)/bin/fides generate --all

clean:
	rm -rf build rtl
