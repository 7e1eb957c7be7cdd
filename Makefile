# Every CI step and every hook is a target here; `make` alone lists them.
# Needs only Python 3.11 to 3.13 with venv and pip: the rest is installed into .venv.

VENV := .venv
BIN := $(VENV)/bin
SYNCED := $(VENV)/.synced
DELIVERY := $(VENV)/.synced-delivery
UV := uv>=0.9,<0.15
# Options for the command behind a target, e.g. make up ARGS=--detach
ARGS ?=
# Overrides the choice of interpreter for a new environment, e.g. make up PYTHON=/opt/python3.12/bin/python3
PYTHON ?=

# Never download an interpreter, never touch another environment than ours.
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := $(VENV)
# Without bytecode every process compiles every module again: a start takes three times as long.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

##@ Run
.PHONY: up
up: $(SYNCED) ## Run the suite: servers, migrations, services with reload (ARGS=--detach)
	@exec $(BIN)/twelvefold up $(ARGS)

.PHONY: down
down: $(SYNCED) ## End it, wherever it was started
	@exec $(BIN)/twelvefold down $(ARGS)

.PHONY: ps
ps: $(SYNCED) ## What runs: process id, state, uptime, requests, errors, memory
	@exec $(BIN)/twelvefold ps $(ARGS)

.PHONY: restart
restart: $(SYNCED) ## Replace a service's processes without refusing a request (ARGS=api)
	@exec $(BIN)/twelvefold restart $(ARGS)

.PHONY: logs
logs: $(SYNCED) ## What it logs (ARGS="api -f")
	@exec $(BIN)/twelvefold logs $(ARGS)

.PHONY: console
console: $(SYNCED) ## The link to the developer console (ARGS=--open)
	@exec $(BIN)/twelvefold console $(ARGS)

.PHONY: reset
reset: $(SYNCED) ## End it and delete its data (asks; ARGS=--yes does not)
	@exec $(BIN)/twelvefold reset $(ARGS)

##@ Check
.PHONY: check
check: lint types contracts vocabulary generated contract-diff ## Everything but the tests: ruff, mypy, import-linter, generated files

.PHONY: lint
lint: $(SYNCED) ## ruff: rules and format
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

.PHONY: types
types: $(SYNCED) ## mypy, strict
	@$(BIN)/mypy

.PHONY: contracts
contracts: $(SYNCED) ## import-linter: who may import whom
	@$(BIN)/lint-imports --no-logo

.PHONY: vocabulary
vocabulary: $(SYNCED) ## No retired name or word is in the tree, no folder of modules is too long
	@exec $(BIN)/pytest tests/unit/test_vocabulary.py -q -n 0 --no-header

.PHONY: generated
generated: $(SYNCED) ## Lock file, reference pages, dashboards, OpenAPI documents and client are up to date
	@$(BIN)/uv lock --check --quiet
	@$(BIN)/twelvefold reference docs/reference --check
	@$(BIN)/python -m tests.observability.dashboards --check
	@$(BIN)/twelvefold openapi docs/api --check
	@$(BIN)/python -m tests.client.generate --check
	@$(BIN)/python -m tests.charts.reference --check

.PHONY: test
test: $(SYNCED) ## Every test, on real servers (ARGS="tests/unit -k cursor")
	@exec $(BIN)/pytest -n auto --dist loadfile $(ARGS)

.PHONY: test-browser
test-browser: $(SYNCED) ## The console in a real browser (needs chromium; ARGS=--screenshots=docs/console)
	@$(BIN)/uv sync --frozen --quiet --group browser
	@exec $(BIN)/pytest tests/e2e/test_console.py $(ARGS)

.PHONY: coverage
coverage: $(SYNCED) ## The same, and which lines it reaches (coverage.xml)
	@exec $(BIN)/pytest -n auto --dist loadfile --cov --cov-report=term:skip-covered --cov-report=xml $(ARGS)

.PHONY: check-delivery
check-delivery: $(DELIVERY) ## Linters and policy scanners over Dockerfiles, workflows and charts
	@.ci/check-delivery

.PHONY: contract-diff
contract-diff: $(SYNCED) ## No change breaks clients of the released contract, unless declared
	@$(BIN)/python -m tests.contract.compatibility docs/api/released.json docs/api/api.json docs/api/breaking.toml

.PHONY: contract
contract: $(SYNCED) ## The running edge against its document (CONTRACT_CASES=20000, ARGS=--base-url=…)
	@exec $(BIN)/pytest tests/contract $(ARGS)

.PHONY: attack
attack: $(SYNCED) ## Hostile and racing clients at full count, with a table of figures (some minutes)
	@ATTACK_SCALE=full exec $(BIN)/pytest tests/attack -q $(ARGS)

.PHONY: bench-jobs
bench-jobs: $(SYNCED) ## What durability costs a job, beside bare arq in one run (ARGS="--rounds 5")
	@exec $(BIN)/python -m tests.bench.jobs $(ARGS)

.PHONY: charts-test
charts-test: $(DELIVERY) ## Charts by Helm's own engine: schemas, invariants, planted faults (ARGS="-k network")
	@exec $(BIN)/pytest tests/charts -n auto $(ARGS)

.PHONY: cluster-test
cluster-test: $(DELIVERY) ## The suite on the cluster of KUBECONFIG (TAG=… REPOSITORY=… CLUSTER_TEST_KEEP=1)
	@exec $(BIN)/pytest tests/cluster -m "not endurance" -n 0 -v $(ARGS)

.PHONY: cluster-endurance
cluster-endurance: $(DELIVERY) ## What takes longer there: disturbances under load, autoscaling, rotations
	@exec $(BIN)/pytest tests/cluster -m endurance -n 0 -v $(ARGS)

.PHONY: cluster-rollouts
cluster-rollouts: $(DELIVERY) ## Rollouts under load, good, bad and killed (ARGS="--only good --into docs/guides/rollout.md")
	@exec $(BIN)/python -m tests.cluster.rollouts $(ARGS)

.PHONY: parity
parity: $(SYNCED) ## The same suites on embedded servers, a distribution's, and a cluster: one table
	@exec $(BIN)/python -m tests.parity $(ARGS)

.PHONY: chaos
chaos: $(SYNCED) ## Break everything at once, and account for it (ARGS="--seed 1 --minutes 5")
	@exec $(BIN)/python -m tests.chaos $(ARGS)

.PHONY: trace-audit
trace-audit: $(SYNCED) ## 5,000 mixed requests, each one connected trace (AUDITED_REQUESTS=300)
	@AUDITED_REQUESTS=$${AUDITED_REQUESTS:-5000} exec $(BIN)/pytest tests/e2e/test_telemetry.py -n 0 $(ARGS)

.PHONY: alerts-test
alerts-test: $(SYNCED) promtool ## Alert rules and dashboards: promtool's unit tests, schema, PromQL
	@exec $(BIN)/pytest tests/observability -n 0 $(ARGS)

# Debian's package without installing it: no daemon, and no root where the package lists are there.
.PHONY: promtool
promtool: $(BIN)/uv ## Fetch promtool, where it is missing and this is a Debian
	@set -u; \
	if [ -x $(BIN)/promtool ] || command -v promtool >/dev/null; then exit 0; fi; \
	if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then \
	  echo "promtool is missing and cannot be fetched here: its tests will be skipped" >&2; exit 0; \
	fi; \
	there=$$(mktemp -d); trap 'rm -rf "$$there"' EXIT; here=$$(pwd); chmod 755 "$$there"; cd "$$there"; \
	apt-get download -qq prometheus >/dev/null 2>&1 \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq >/dev/null 2>&1 && apt-get download -qq prometheus >/dev/null 2>&1; } \
	  || { echo "promtool cannot be fetched: its tests will be skipped" >&2; exit 0; }; \
	dpkg-deb -x prometheus_*.deb . && install usr/bin/promtool "$$here/$(BIN)/promtool"

.PHONY: bench
bench: $(SYNCED) ## What observability costs, by CPU per request (ARGS="--rounds 20 --only sampling")
	@exec $(BIN)/python -m tests.bench.observability $(ARGS)

include .ci/delivery.mk

##@ Write
.PHONY: format
format: $(SYNCED) ## Format, and mend what ruff can mend
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

.PHONY: openapi
openapi: $(SYNCED) ## Write the OpenAPI documents to docs/api
	@$(BIN)/twelvefold openapi docs/api

.PHONY: client
client: $(SYNCED) ## Write the Python client from docs/api/api.json (after `make openapi`)
	@$(BIN)/python -m tests.client.generate

.PHONY: contract-release
contract-release: $(SYNCED) ## Take the present OpenAPI document as the released contract
	@cp docs/api/api.json docs/api/released.json

.PHONY: docs
docs: $(SYNCED) ## Write the generated pages of docs/reference and the dashboards
	@$(BIN)/twelvefold reference docs/reference
	@$(BIN)/python -m tests.observability.dashboards

.PHONY: docs-site
docs-site: $(SYNCED) ## Build the documentation site into dist/site/html, with strict links
	@$(BIN)/python docs/build.py

.PHONY: docs-serve
docs-serve: $(SYNCED) ## Serve the documentation site on this machine
	@$(BIN)/python docs/build.py --serve

.PHONY: changelog
changelog: $(SYNCED) ## Move docs/changes into docs/changelog.md (ARGS="--version 2026.11.28-b71ae79")
	@$(BIN)/towncrier build --yes $(ARGS)

.PHONY: base
base: ## Copy the base image that Dependabot keeps (.github/base.Dockerfile) into the Dockerfiles
	@base=$$(sed -n 's/^FROM //p' .github/base.Dockerfile); \
	sed -i.bak "s|^ARG BASE_IMAGE=.*|ARG BASE_IMAGE=$$base|" services/Dockerfile libs/Dockerfile; \
	rm services/Dockerfile.bak libs/Dockerfile.bak

.PHONY: charts-render
charts-render: $(DELIVERY) ## Write what production gets to dist/rendered (ARGS=staging)
	@$(BIN)/python -m tests.charts.manifests $(or $(ARGS),production) dist/rendered/$(or $(ARGS),production)

.PHONY: charts-docs
charts-docs: $(SYNCED) ## Write the charts' README tables and schemas from their values
	@$(BIN)/python -m tests.charts.reference

.PHONY: lock
lock: $(BIN)/uv ## Resolve the dependencies again (ARGS=--upgrade)
	@$(BIN)/uv lock $(ARGS)

##@ Set up
.PHONY: sync
sync: $(SYNCED) ## Install everything as locked (other targets do it themselves)

.PHONY: clean
clean: ## Delete the environment and the caches, not the data of `up`
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
	@find libs services tests -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  %-17s %s\n", $$1, $$2 }' Makefile .ci/delivery.mk

# One stamp for the whole environment: a warm run looks at a few timestamps and installs nothing.
$(SYNCED): $(BIN)/uv uv.lock pyproject.toml $(wildcard libs/*/pyproject.toml services/*/pyproject.toml)
	@echo "Installing the locked packages into $(VENV)"
	@$(BIN)/uv sync --frozen --quiet
	@touch $@

# What only tests of the delivery need, on top.
$(DELIVERY): $(SYNCED)
	@echo "Installing Helm's engine, schemas and linters into $(VENV)"
	@$(BIN)/uv sync --frozen --quiet --inexact --group delivery
	@touch $@

$(BIN)/uv:
	@set -eu; \
	fits='import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'; \
	found=; \
	for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python); do \
	  if "$$python" -c "$$fits" 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Twelvefold needs Python 3.11, 3.12 or 3.13 with venv and pip; found: $$($(or $(PYTHON),python3) --version 2>/dev/null || echo none)" >&2; \
	  exit 1; \
	fi; \
	echo "Creating $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv $(VENV); \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '$(UV)'
	@touch $@
