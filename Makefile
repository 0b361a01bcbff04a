# Five words: demo, test, lint, bench, docs. Each installs what it needs into .venv first.
#
#   make test PYTHON=python3.12             another Python
#   make test TORCH='torch==2.13.0'         a certain PyTorch: any requirement that pip understands
#
# A PyTorch that is in .venv already is kept if it is recent enough.

PYTHON ?= python3
TORCH ?= torch

BIN := .venv/bin
RUNTIME := .venv/.runtime-installed
DEVELOPMENT := .venv/.development-installed

.PHONY: demo test lint bench docs
.DELETE_ON_ERROR:

demo: $(RUNTIME)
	$(BIN)/handfast demo

# One thread a process: two OpenMP pools on the same cores slow each other down many times over.
test: export OMP_NUM_THREADS := 1
test: export OMP_WAIT_POLICY := PASSIVE
test: $(DEVELOPMENT)
	$(BIN)/pytest -n 2

lint: $(DEVELOPMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(RUNTIME)
	$(BIN)/handfast info tofnet-hand21
	$(BIN)/handfast info tofnet-tof8
	$(BIN)/handfast demo --out out/bench
	$(BIN)/python benchmarks/synthesis.py

docs: $(DEVELOPMENT)
	$(BIN)/pdoc --output-directory out/docs $$($(BIN)/python -c "import handfast, pkgutil; \
		print(*(m.name for m in pkgutil.iter_modules(handfast.__path__, 'handfast.')))")

$(RUNTIME): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "handfast needs Python 3.11, 3.12 or 3.13; $(PYTHON) says: $$($(PYTHON) --version 2>&1)." \
			"Name another one: make demo PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing handfast into .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(DEVELOPMENT): $(RUNTIME)
	@echo "Installing PyTorch and the development tools into .venv (on Linux the usual PyTorch is several GB)"
	@$(BIN)/pip install --quiet --disable-pip-version-check '$(TORCH)' --editable '.[train,openvino,dev]'
	@touch $@
