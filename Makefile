# Every target works in a bare clone that has only python3 (3.11 or newer); nothing is installed twice.
#   make play    walk through the learned world
#   make test    the tests, a process for each core, the linter and the type checker
# Another interpreter: make PYTHON=python3.12 play

PYTHON ?= python3
BIN := .venv/bin
# A stamp says that the environment holds what pyproject.toml of that time asked for. DEV adds the tools for working on it.
RUN := .venv/.installed
DEV := .venv/.installed-dev
# Symbolic links lay the packages out as they install, because mypy does not follow the import hook of `pip install -e`.
TYPED := .mypy_cache/tree

.PHONY: play test lint wheel clean

play: $(RUN)
	$(BIN)/worldsim play blocks

test: $(DEV)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile
	$(MAKE) --no-print-directory lint

lint: $(DEV)
	$(BIN)/ruff check .
	@rm -rf $(TYPED) && mkdir -p $(TYPED)/worldsim
	@ln -s "$(CURDIR)"/worldsim/* "$(CURDIR)/envs" "$(CURDIR)/agents" $(TYPED)/worldsim/
	cd $(TYPED) && "$(CURDIR)/$(BIN)/mypy" --config-file "$(CURDIR)/pyproject.toml" --cache-dir "$(CURDIR)/.mypy_cache" -p worldsim

wheel: $(DEV)
	$(BIN)/python -m build --outdir dist

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN): pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet -e .
	@touch $@

$(DEV): pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet -e ".[dev]"
	@touch $@ $(RUN)

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; v = sys.version_info; \
	  sys.exit(v < (3, 11) and "worldsim needs Python 3.11 or newer; %s is %d.%d. Try: make PYTHON=python3.12 play" % (sys.executable, v[0], v[1]))'
	@$(PYTHON) -c 'import ensurepip' || { echo "$(PYTHON) lacks the venv module (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@echo "Installing worldsim and what it needs (PyTorch is the large part); this happens once."
