# Needs only make and Python >= 3.11 (with venv and pip). Everything else comes as wheels into .venv.
PYTHON ?= python3
BIN := .venv/bin
STATE ?= .fleet/local
TENANTS ?= acme,globex
# By content, so that a fresh clone or a touched file installs nothing anew.
STAMP := .venv/.installed-$(shell cat pyproject.toml requirements.lock | cksum | cut -d' ' -f1)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
PYTEST := $(BIN)/pytest --quiet

HISTORIES := test
# Sets are walked in one order, or a history could not be told again.
RANDOM_PYTEST = PYTHONHASHSEED=0 FLEETLB_HISTORIES=$(HISTORIES) REPLAY='$(REPLAY)' SEED='$(SEED)' $(PYTEST) tests/random

IPVS_PYTEST := $(BIN)/python -m pytest --quiet -p no:cacheprovider -m ipvs
IPVS_TESTS ?= tests/contract tests/ipvs tests/e2e_ipvs
FINDINGS := conformance-results
# A network of its own, so that IPv6 and low ports are to be had without being root.
PRIVATE_NETWORK := unshare --user --map-root-user --net sh -c 'ip link set lo up && exec "$$@"' sh
# The container engine that is there, or else one of its own for as long as the command runs.
ENGINE := deploy/containers/engine.sh run
LAB_MEMORY ?= 6G
LAB_SECONDS ?= 2700

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup up down demo bench test check fmt format lint type imports fast random simulate soak owners schedules test-the-tests \
	unit component contract scenario \
	integration e2e screenshots drills lab ipvs test-ipvs-host test-upstream test-in-cluster bench-ipvs bench-failover bench-tracing bench-commands conformance \
	conformance-envoy conformance-ipvs \
	wheel images compose-demo test-containers schemas dashboards charts helm clean

help: ## Show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 18

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fleetlb needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	@echo "== installing into .venv"
	$(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@rm -f .venv/.installed-* && touch $@

setup: $(STAMP) ## Make .venv with the fleetlb command, and find or build the control plane (once, about 4 minutes)
	@$(BIN)/fleetlb local setup

up: setup ## Start a local fleet (STATE=.fleet/local TENANTS=acme,globex) and return when it is ready
	@$(BIN)/fleetlb local up --state $(STATE) --tenants $(TENANTS) --detach

down: $(STAMP) ## Stop it
	@$(BIN)/fleetlb local down --state $(STATE)

demo: setup ## Show the whole way of a Service on a local fleet (ONCE=1: leave at the end)
	@$(BIN)/fleetlb demo $(if $(ONCE),--once)

bench: setup ## Measure a local fleet
	@$(BIN)/fleetlb bench

test: check fast random simulate integration ipvs e2e ## Everything, as CI runs it; stops at the first failure

check: format lint type imports ## What needs no test run: format, lint, types, import law

fmt: $(STAMP) ## Format the code and repair what ruff can
	$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

format: $(STAMP) ## Is the code formatted?
	@echo "== format"; $(BIN)/ruff format --check .

lint: $(STAMP) ## ruff and codespell
	@echo "== lint"; $(BIN)/ruff check . && $(BIN)/codespell

type: $(STAMP) ## mypy, strict
	@echo "== types"; $(BIN)/mypy

imports: $(STAMP) ## The import law
	@echo "== imports"; $(BIN)/lint-imports

fast: $(STAMP) ## Unit, component, contract and scenario tests in one run
	@echo "== unit, component, contract, scenario"; $(PYTEST) -m "not ipvs" tests/unit tests/component tests/contract tests/scenario

random: $(STAMP) ## Random histories of a manager (REPLAY= tells one of them again, SEED= begins at it)
	@echo "== random"; $(RANDOM_PYTEST)

simulate: $(STAMP) ## A whole fleet in one thread, killed after each effect (REPLAY= plays one again, SEED= begins at it)
ifdef REPLAY
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.simulation $(REPLAY)
else
	@echo "== simulate"; PYTHONHASHSEED=0 FLEETLB_HISTORIES=$(HISTORIES) SEED='$(SEED)' $(PYTEST) tests/simulation
endif

soak: HISTORIES := soak
soak: LAB_SECONDS := 36000
soak: random simulate owners schedules ## The last two, who answers on layer 2, and schedules of failures in the lab, for hours

owners: $(STAMP) # a part of `fast`, and longer in `soak`
	@echo "== owners"; FLEETLB_HISTORIES=$(HISTORIES) $(PYTEST) -n 2 tests/unit/fleetlb_dataplane_programmer/ownership

test-the-tests: $(STAMP) ## Are the seeded bugs caught? (BUGS="word word" takes those whose name holds one)
	@$(BIN)/python -m tests.seeded_bugs $(BUGS)

unit component contract scenario: $(STAMP)
	@echo "== $@"; $(PYTEST) -m "not ipvs" tests/$@

integration: setup helm ## Tests against real API servers, NATS and Envoy, four at a time: they mostly wait
	@echo "== integration"; $(PYTEST) -n 4 tests/integration

e2e: setup ## Tests of the whole local fleet
	@echo "== e2e"; $(PYTEST) tests/e2e

screenshots: setup ## Write docs/images anew: the page of a local fleet at work, in a real Chromium
	@$(BIN)/python -m tests.screenshots

drills: setup ## Wipe NATS, a node, the hub's objects, put its etcd back; print how long until all is as it was
	@echo "== drills"; $(PYTEST) tests/e2e/test_disasters.py tests/e2e/test_restore.py

helm: $(STAMP) ## Build Helm, if it is not there (once, about 2 minutes)
	@deploy/helm/fetch.sh >/dev/null

schedules: setup lab ## Failures, drains and wishes by chance on three real nodes (REPLAY= plays a schedule again, SEED= begins at it)
	@echo "== schedules"; LAB_MEMORY=2G LAB_SECONDS=$(LAB_SECONDS) deploy/lab/run.sh env FLEETLB_HISTORIES=$(HISTORIES) \
		SEED='$(SEED)' REPLAY='$(REPLAY)' $(IPVS_PYTEST) tests/ipvs/test_group_schedules.py

lab: ## Build the lab's kernel and tools, if they are not there (once, about 6 minutes)
	@deploy/lab/build.sh

ipvs: setup lab ## Tests on a real IPVS, in a kernel of their own (LAB_SECONDS=2700 bounds them)
	@echo "== ipvs"; LAB_MEMORY=$(LAB_MEMORY) LAB_SECONDS=$(LAB_SECONDS) deploy/lab/run.sh $(IPVS_PYTEST) $(IPVS_TESTS)

test-upstream: setup ## Kubernetes' own LoadBalancer tests on a cluster of yours: KUBECONFIG= E2E_TEST= RANGE= (docs/conformance-upstream.md)
	@$(BIN)/python -m tests.upstream

test-in-cluster: setup ## What pods of a cluster of yours reach at LoadBalancers' addresses: KUBECONFIG= RANGE= (docs/conformance-upstream.md)
	@$(BIN)/python -m tests.upstream.in_cluster

test-ipvs-host: setup ## The same in this host's kernel: needs root, ip_vs, ipvsadm and nft
	@echo "== ipvs, on this host"; $(IPVS_PYTEST) $(IPVS_TESTS)

conformance: ## The Kubernetes contract, line by line, on both engines; writes docs/conformance.md
	@rm -rf $(FINDINGS)
	-@$(MAKE) --no-print-directory conformance-envoy
	-@$(MAKE) --no-print-directory conformance-ipvs
	@$(BIN)/python -m tests.conformance.report docs/conformance.md $(FINDINGS)/envoy.json $(FINDINGS)/ipvs.json

conformance-envoy: setup ## The contract on Envoy alone
	@echo "== conformance, on Envoy"
	@$(PRIVATE_NETWORK) $(PYTEST) tests/conformance --engine envoy --outcomes $(FINDINGS)/envoy.json

conformance-ipvs: setup lab ## The contract on IPVS alone, in the lab
	@echo "== conformance, on IPVS"
	@LAB_MEMORY=$(LAB_MEMORY) LAB_SECONDS=$(LAB_SECONDS) LAB_KEEP=$(FINDINGS) deploy/lab/run.sh \
		$(IPVS_PYTEST) tests/conformance --engine ipvs --outcomes /run/out/keep/ipvs.json

bench-ipvs: setup lab ## Measure the IPVS engine in the lab; the figures stay in bench-results/
	@LAB_MEMORY=$(LAB_MEMORY) LAB_SECONDS=$(LAB_SECONDS) LAB_KEEP=bench-results deploy/lab/run.sh \
		$(BIN)/python -m tests.bench kernel --output /run/out/keep --load "$$(cut -d' ' -f1-3 /proc/loadavg)"
	@$(BIN)/python -m tests.bench host

bench-failover: setup lab ## Measure what clients miss when a node fails, on layer 2 and by BGP, in the lab (RUNS=20)
	@LAB_MEMORY=2G LAB_SECONDS=6000 deploy/lab/run.sh $(BIN)/python -m tests.bench.failover --runs $(or $(RUNS),20)

bench-commands: $(STAMP) ## Measure how soon commands tell their options, and what a plan costs a manager
	@$(BIN)/python -m tests.bench.options && $(BIN)/python -m tests.bench.rehearsing

bench-tracing: setup ## Measure what sending spans away costs, on two fleets side by side; the figures stay in bench-results/
	@$(BIN)/python -m tests.bench.tracing

wheel: $(STAMP) ## Build dist/fleetlb-VERSION-py3-none-any.whl
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python deploy/containers/wheel.py dist

images: setup ## Build the images of the services, and lists of what is in them (IMAGE_PREFIX=fleetlb BASE_IMAGE=; docs/containers.md)
	@echo "== images"; $(ENGINE) deploy/containers/build.sh

compose-demo: setup ## Start compose.yaml, send a packet through a Service's address, and take everything down again
	@$(ENGINE) sh -c 'deploy/containers/build.sh && deploy/compose/demo.sh'

test-containers: setup ## Tests of the images and of compose.yaml's fleet: hardened, killed, cut off
	@echo "== containers"; $(ENGINE) sh -c 'deploy/containers/build.sh && $(PYTEST) tests/containers'

schemas: $(STAMP) ## Write proto-schemas/, deploy/crds and tables in docs/ anew from the Python code
	$(BIN)/python deploy/schemas/generate.py

dashboards: $(STAMP) ## Write deploy/dashboards/*.json anew from the modules beside them
	$(BIN)/python deploy/dashboards/generate.py

charts: $(STAMP) ## Write what is generated of the Helm charts anew: copies in them, schemas, READMEs, deploy/install
	$(BIN)/python deploy/helm/generate_charts.py

clean: ## Remove caches and build results; .venv, fleets and the cached control plane stay
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist bench-results \
		upstream-results $(FINDINGS)
	find libs services tests -name __pycache__ -type d -prune -exec rm -rf {} +
