# The developer's way in: `make` alone says what there is.

PYTHON ?= python3
# An interpreter that is named has an environment of its own, beside the default one.
VENV := .venv$(if $(filter python3,$(PYTHON)),,-$(shell $(PYTHON) -c \
  'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null))
BIN := $(VENV)/bin
LOCK := deploy/requirements-test.txt
STAMP := $(VENV)/.up-to-date
PIP := $(BIN)/pip --disable-pip-version-check --no-input
INSTALL_LOCKED := sh deploy/install-locked.sh '$(PIP)'

.DEFAULT_GOAL := help
.PHONY: help setup install demo test test-debian13 image coverage soak campaign model bench bench-guard \
  check lint dashboard contracts contracts-check requirements sbom licences audit fuzz clean

help:
	@echo 'make demo          the whole story on this machine: broker, appliances, service, commands;'
	@echo '                   STAY=1 keeps it all running afterwards, until Ctrl-C'
	@echo 'make test          all tests; starts a RabbitMQ of its own, and Docker where none answers;'
	@echo '                   DOCKER=no leaves out the tests that need Docker, TESTS=... chooses some'
	@echo 'make test-debian13 most suites, and the demo, in a container with Debian 13: Python 3.13,'
	@echo '                   RabbitMQ 4.0, PostgreSQL 17'
	@echo 'make install       the service with pinned requirements, in PREFIX=/opt/courier'
	@echo 'make image         the container image appliance-courier; BASE=... chooses what it is built on'
	@echo 'make coverage      all tests, and which branches they take: at least 95 %'
	@echo 'make soak          20,000 commands on ten appliances that misbehave; some minutes'
	@echo 'make campaign      the service killed at every point, random faults, a report; 45 minutes'
	@echo 'make bench         how fast it is, beside others; half an hour; BENCH=--quick: a first look'
	@echo 'make bench-guard   whether a command costs more than it did, beside one who does it by hand'
	@echo 'make lint          ruff, mypy, the direction of imports, declared dependencies,'
	@echo '                   contracts-check'
	@echo 'make check         lint and test: what must be green'
	@echo 'make model         the rules of the promise explored to the end; ten minutes, tests/model/report'
	@echo 'make dashboard     deploy/grafana/courier.json anew, from deploy/metrics.yaml'
	@echo 'make contracts     contracts/asyncapi.yaml and the page of /docs anew, from the contracts'
	@echo 'make contracts-check   whether they keep what their last published version promised'
	@echo 'make requirements  compile the lock files in deploy/ and print what changed; pins are kept:'
	@echo '                   UPGRADE=1 takes newer versions of everything, UPGRADE=name of one package'
	@echo 'make fuzz          a million mutated messages through the decoder, a hundred thousand through'
	@echo '                   the service; twenty minutes'
	@echo 'make sbom          the bill of materials (CycloneDX), to standard output'
	@echo 'make licences      deploy/LICENSES.md anew'
	@echo 'make audit         look the requirements up among known vulnerabilities'
	@echo 'make clean         remove what all this left here'
	@echo
	@echo 'Needs Python 3.11 or newer. The first call sets up .venv; PYTHON=python3.x chooses another'
	@echo 'interpreter, and has an environment of its own: .venv-3.x.'

setup: $(STAMP)

demo: $(STAMP)
	@$(BIN)/courier demo $(if $(STAY),--stay)

# Tests write to memory where there is room for it: a disk that stalls for seconds, as those of
# shared machines do, is no fault of the service's.
MEMORY := $(shell df --output=avail /dev/shm 2>/dev/null | awk '$$1 + 0 > 4e6 { print "/dev/shm" }')
MEMORY := $(if $(shell grep ' /dev/shm [^ ]* [^ ]*noexec' /proc/mounts 2>/dev/null),,$(MEMORY))
TESTING := $(if $(MEMORY),TMPDIR=$(MEMORY)) $(BIN)/python -m
PYTEST := $(TESTING) pytest --numprocesses 3 --dist loadfile
# Left out by name only: where there is no Docker and none can be brought, these tests fail. What they
# need takes a minute or two, and is made while others run.
ifeq ($(DOCKER),no)
PYTEST += --ignore=tests/docker
BESIDE := echo 'DOCKER=no: the tests in tests/docker are left out';
else
BESIDE := mkdir -p .docker; $(BIN)/python -m tests.support.engine >.docker/engine.log 2>&1 & \
  engine=$$!; trap 'kill $$engine 2>/dev/null; wait $$engine' EXIT;
endif

test: $(STAMP)
	@$(BESIDE) $(PYTEST) $(TESTS)

# In a container: nothing of this machine but the working tree and its way to a Python index.
test-debian13:
	@$(PYTHON) -m tests.support.debian13

image:
	@docker build --tag appliance-courier $(if $(BASE),--build-arg BASE=$(BASE)) \
	  --build-arg VERSION=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) \
	  --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) .

# Apart from the tests: Python 3.11 runs them half as fast when it counts.
coverage: $(STAMP)
	@$(BIN)/coverage erase
	@$(PYTEST) --cov --cov-report=term-missing:skip-covered

# On one core, without the service.
model: $(STAMP)
	@$(BIN)/python -m tests.model

# COURIER_SOAK_COMMANDS and COURIER_SOAK_SEED choose another run.
soak: $(STAMP)
	@COURIER_SOAK_COMMANDS=$${COURIER_SOAK_COMMANDS:-20000} \
	  $(TESTING) pytest -s --no-header tests/system/test_soak.py

# CAMPAIGN='--schedules 20 --seed 7' chooses another one; its report stands in tests/campaign/reports/one.
campaign: $(STAMP)
	@$(TESTING) tests.campaign --report tests/campaign/reports/one $(CAMPAIGN)

# BENCH='--only throughput --rounds 7' measures that alone; the report stands in
# tests/benchmarks/report. On the disk, as a service is, and not in memory.
bench: $(STAMP)
	@$(INSTALL_LOCKED) deploy/requirements-bench.txt
	@$(BIN)/python -m tests.benchmarks $(BENCH)

# RECORD=1 writes down how it is now, in tests/benchmarks/recorded.json.
bench-guard: $(STAMP)
	@$(BIN)/python -m tests.benchmarks.guard $(if $(RECORD),--record)

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/deptry service
	@$(BIN)/deptry tests deploy contracts/clients --ignore DEP002,DEP004
	@$(MAKE) --no-print-directory contracts-check

# What the tests run must not have changed what is committed.
check: $(STAMP)
	@$(MAKE) --no-print-directory lint
	@before=$$(git status --porcelain 2>&1; git diff 2>&1 | cksum); \
	$(MAKE) --no-print-directory test || exit 1; \
	after=$$(git status --porcelain 2>&1; git diff 2>&1 | cksum); \
	[ "$$before" = "$$after" ] || { echo 'The tests changed the tree:'; git status --short; exit 1; }

# One environment for everything: what is pinned and hashed, and nothing besides.
$(STAMP): pyproject.toml $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Python 3.11 or newer is needed: make PYTHON=python3.x'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory venv-package
	@echo 'Setting up $(VENV) ...'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(INSTALL_LOCKED) $(LOCK)
	@$(PIP) install -qq --no-deps --no-build-isolation --editable .
	@touch $@

# For a machine that runs the service: what is pinned, in an environment of its own. An upgrade is
# the same command.
install:
	@[ -n "$(PREFIX)" ] || { echo 'Where to? make install PREFIX=/opt/courier'; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory venv-package
	@$(PYTHON) -m venv $(PREFIX)
	@sh deploy/install-locked.sh $(PREFIX)/bin/pip deploy/requirements.txt deploy/requirements-build.txt
	@$(PREFIX)/bin/pip install -qq --no-deps --no-build-isolation .

# Debian keeps a part of Python's venv in a package of its own.
.PHONY: venv-package
venv-package:
	@as=$$([ "$$(id -u)" = 0 ] || echo 'sudo -n'); \
	if command -v apt-get >/dev/null && { [ -z "$$as" ] || $$as true 2>/dev/null; }; then \
	  echo "Installing Debian's package python3-venv ..."; \
	  install="$$as env DEBIAN_FRONTEND=noninteractive \
	    apt-get -o DPkg::Lock::Timeout=120 install -qq -y python3-venv"; \
	  { $$install || { $$as apt-get update -qq && $$install; }; } </dev/null >/dev/null; \
	else \
	  echo "Python's venv is missing (Debian, Ubuntu: apt-get install python3-venv)"; exit 1; \
	fi

dashboard: $(STAMP)
	@$(BIN)/python -m deploy.grafana.dashboard

contracts: $(STAMP)
	@$(BIN)/python -m deploy.asyncapi

# `.venv/bin/python -m deploy.compatibility --publish VERSION` records the next one to keep.
contracts-check: $(STAMP)
	@$(BIN)/python -m deploy.compatibility

# From what pyproject.toml allows, for Python 3.11 and every later version. A pin is kept as long as it
# is allowed. With hatchling and editables pip builds the project itself without downloading something
# that is not pinned; what builds the image has the versions of the other lock files.
PINNED = --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  $(if $(UPGRADE),$(if $(filter 1,$(UPGRADE)),--upgrade,--upgrade-package $(UPGRADE))) \
  --custom-compile-command 'make requirements'
requirements: $(STAMP)
	@command -v uv >/dev/null || $(PIP) install -qq uv
	@export PATH="$$PATH:$$PWD/$(BIN)"; \
	uv pip compile pyproject.toml $(PINNED) --output-file deploy/requirements.txt >/dev/null && \
	printf '%s\n' 'hatchling>=1.27' 'editables>=0.5' | \
	uv pip compile pyproject.toml - --extra docker --group test $(PINNED) \
	  --output-file $(LOCK) >/dev/null && \
	echo 'hatchling>=1.27' | \
	uv pip compile - --constraint deploy/requirements.txt --constraint $(LOCK) $(PINNED) \
	  --output-file deploy/requirements-build.txt >/dev/null && \
	uv pip compile --group bench --constraint $(LOCK) $(PINNED) \
	  --output-file deploy/requirements-bench.txt >/dev/null
	@-$(BIN)/python -m deploy.supply.changes

sbom: $(STAMP)
	@$(BIN)/python -m deploy.supply.sbom

licences: $(STAMP)
	@$(BIN)/python -m deploy.supply.licences

audit: $(STAMP)
	@$(BIN)/python -m deploy.supply.audit

# The reports stand in tests/fuzz/report; FUZZ='--seed 500' makes other messages.
fuzz: $(STAMP)
	@$(TESTING) tests.fuzz --decoder 1000000 $(FUZZ)
	@$(TESTING) tests.fuzz --service 100000 $(FUZZ)

clean:
	rm -rf .venv .venv-* .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf build dist .docker *.egg-info
	find service tests -name __pycache__ -type d -prune -exec rm -rf {} +
