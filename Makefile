# Each target is complete on a fresh machine that has Python >= 3.10 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DOCS := .venv-docs
DEMO ?= demo
JOBS ?= 2
MINUTES ?= 60
# Of test-latest and test-oldest: what is installed, and which tests are run (all, if empty).
EXTRAS := dev,pretrained,scann
TESTS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test test-latest test-oldest bench fuzz soak docs notebooks proto lock clean

help:  ## Say what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

demo: install  ## Walk the whole way on made-up data; writes demo/report.html
	$(BIN)/tfdvbpr demo --output $(DEMO)

test: install  ## Lint, types, and every test
	$(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=loadfile --no-loadscope-reorder

test-latest:  ## Every test with the newest versions that pyproject.toml allows
	$(PYTHON) -m venv --clear build/latest
	build/latest/bin/python -m pip install --quiet --disable-pip-version-check uv
	build/latest/bin/uv pip install --quiet --python build/latest --resolution highest --editable '.[$(EXTRAS)]'
	build/latest/bin/python -m pytest --numprocesses=$(JOBS) --dist=loadfile --no-loadscope-reorder $(TESTS)

test-oldest:  ## Every test with the oldest versions that pyproject.toml allows
	$(PYTHON) -m venv --clear build/oldest
	build/oldest/bin/python -m pip install --quiet --disable-pip-version-check uv
	build/oldest/bin/uv pip install --quiet --python build/oldest --resolution lowest-direct --editable '.[$(EXTRAS)]'
	build/oldest/bin/python -m pytest --numprocesses=$(JOBS) --dist=loadfile --no-loadscope-reorder $(TESTS)

bench: install  ## Slow proofs and measurements
	$(BIN)/python -m pytest tests/benchmarks -s -o addopts="--strict-markers --strict-config"

fuzz: install  ## Hostile requests and a million malformed tensors; memory, and good requests meanwhile
	$(BIN)/python -m pytest tests/benchmarks/test_serving_fuzz.py tests/benchmarks/test_serving_fuzz_protocol.py -s -o addopts="--strict-markers --strict-config"

soak: install  ## Mixed load on a server for an hour (MINUTES=60), each answer compared
	TFDVBPR_SOAK_MINUTES=$(MINUTES) $(BIN)/python -m pytest tests/benchmarks/test_serving_soak.py -s -o addopts="--strict-markers --strict-config"

docs: $(DOCS)/.installed  ## The documentation as HTML, in docs/_build
	$(DOCS)/bin/sphinx-build --quiet --fail-on-warning -b html docs docs/_build

notebooks: $(DOCS)/.installed  ## Run the notebooks anew and store their outputs
	TF_CPP_MIN_LOG_LEVEL=3 $(DOCS)/bin/jupyter execute --inplace docs/notebooks/*.ipynb

install: $(VENV)/.installed  ## The locked environment in .venv, with this project in it

$(VENV)/.installed: requirements.lock pyproject.toml
	$(locked)

$(DOCS)/.installed: requirements-docs.lock pyproject.toml
	$(locked)

# The environment of a target, from the lock before it. uv takes half of pip's time; where it cannot be installed, pip does the same.
define locked
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed. Name one: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock uv && \
		$(@D)/bin/uv pip install --quiet --python $(@D)/bin/python --compile-bytecode --requirement $< || \
		$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
endef

proto:  ## Generate serving's protobuf code anew, for protobuf >= 6.31
	$(PYTHON) -m venv build/protoc
	build/protoc/bin/python -m pip install --quiet --disable-pip-version-check grpcio-tools==1.75.1
	build/protoc/bin/python -m grpc_tools.protoc --proto_path=serving --python_out=serving --pyi_out=serving serving/tfdvbpr_serving/protocol/*.proto

COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.10 --no-header --annotation-style line
lock: install  ## Resolve requirements-docs.lock anew, and requirements.lock with the same versions
	$(COMPILE) --extra docs --extra pretrained --output-file requirements-docs.lock
	$(COMPILE) --extra dev --extra pretrained --extra scann --constraint requirements-docs.lock --output-file requirements.lock

clean:  ## Remove the environment and everything that was made
	rm -rf $(VENV) $(DOCS) $(DEMO) docs/_build build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
