## make demo    install into .venv, then draw, train, quantize and check a small model
## make test    install into .venv, then ruff, import-linter, mypy and the tests
##              (less: PYTEST_ARGS='-m "not slow"')
## make docs    install into .venv, then make site/ of docs/ and the docstrings
## make clean   remove .venv, runs/, site/ and whatever building and testing left behind
## Another interpreter, 3.10 to 3.13: make demo PYTHON=python3.12

PYTHON ?= python3
PYTEST_ARGS ?=
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: help demo test docs clean

help:
	@sed -n 's/^## //p' Makefile

demo: $(INSTALLED)
	$(BIN)/synet demo

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	bash -c '$(BIN)/mypy | $(BIN)/mypy-baseline filter'
	$(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# yolov5 brings both builds of OpenCV, and they share one folder. The headless one goes last,
# because it also runs where no display libraries are installed.
$(INSTALLED): setup.cfg constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null || { \
	  echo "'$(PYTHON)' is not Python 3.10 to 3.13; name one that is: make PYTHON=python3.12" >&2; \
	  exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install -e '.[all]' -c constraints.txt
	$(BIN)/python -m pip install --no-deps --force-reinstall -c constraints.txt opencv-python-headless
	touch $@

clean:
	rm -rf .venv runs site build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
