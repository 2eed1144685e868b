# A target per room; `make help` lists them. Set-up targets read nothing and write to standard error, so that messages piped into
# `make run` reach the host and standard output holds replies only.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup toolchain lock build engine image run check format lint types unused arrows test unit replay engine-test contracts security supply-chain bench long clean

BUILD := runner-image/build
NODE = $$($(BUILD)/pinned-node.sh)
BIN = PATH="$$(dirname "$(NODE)"):$$PATH" node_modules/.bin
QUIET = </dev/null >&2
# The sandbox suite runs on both engines; `engine.sh podman` starts the second one.
ENGINES = HERMIT_TEST_PODMAN_SOCKET=/run/hermit-podman/podman.sock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: toolchain build engine image ## everything `run` and `test` need: dependencies, bundles, container engine, runner image

toolchain: ## install the pinned Node and the dependencies from the lockfile
	@$(BUILD)/toolchain.sh

lock: ## after a change in package.json: bring package-lock.json in step
	@npm install --package-lock-only --ignore-scripts $(QUIET)
	@"$(NODE)" $(BUILD)/complete-lock.ts $(QUIET)

build: toolchain ## bundle host and runner into dist/
	@"$(NODE)" $(BUILD)/bundle.ts $(QUIET)

engine: build ## find a container engine; as root on Debian, Ubuntu, Raspberry Pi OS: install and start one
	@$(BUILD)/engine.sh $(QUIET)

image: engine ## build the runner image, if its inputs changed
	@"$(NODE)" $(BUILD)/image.ts $(QUIET)

run: image ## start the host; lines typed or piped in are messages of the main group
	@./hermit run $(ARGS)

check: format lint types unused arrows ## format, lint, types, unused code, arrows between rooms

format: toolchain ## is every file formatted? (`make format FIX=1` formats)
	@$(BIN)/biome format $(if $(FIX),--write,) . >&2

lint: toolchain ## lint with types
	@$(BIN)/oxlint --type-aware >&2

types: toolchain ## check the types
	@$(BIN)/tsc -p . >&2

unused: toolchain ## unused files, exports, dependencies
	@$(BIN)/knip >&2

arrows: toolchain ## which room may import which
	@$(BIN)/depcruise --config .dependency-cruiser.mjs --output-type err host runner-image contracts bench security >&2

test: image ## everything: check, unit, contracts, engine and security tests, on a real engine
	@$(MAKE) -s check
	@$(MAKE) -s supply-chain
	@$(BUILD)/engine.sh podman $(QUIET)
	@$(ENGINES) $(BIN)/vitest run

unit: build ## what needs no engine and takes seconds
	@$(BIN)/vitest run --project unit

contracts: build ## the recordings, tables and every scenario, and rules tried on thousands of cases
	@$(BIN)/vitest run --project contracts

replay: toolchain ## play the recorded scenarios against our host; ARGS as of `hermit replay`, e.g. `make replay ARGS=--json`
	@"$(NODE)" host/main.ts replay $(ARGS)

engine-test: image ## tests on a real engine
	@$(BUILD)/engine.sh podman $(QUIET)
	@$(ENGINES) $(BIN)/vitest run --project engine

security: image ## every attack there is, in real sandboxes, with a table of what stopped each
	@HERMIT_TEST_TABLE=1 $(BIN)/vitest run --project engine security/attacks security/policies

supply-chain: toolchain ## what Hermit is made of: integrity, licences, install scripts, advisories, image, bill of materials
	@"$(NODE)" security/supply-chain/main.ts </dev/null

bench: image ## measure; results in bench/results/latest.json
	@"$(NODE)" bench/harness/main.ts $(ARGS)

long: image ## what takes longer than a test may: 500 rounds of kill -9, a simulated day of 10,000 tasks, a million cases of each fuzz, all recordings in real sandboxes
	@HERMIT_KILL_ROUNDS=500 HERMIT_KILL_RESULT=bench/results/kill-9.json $(BIN)/vitest run --project engine security/crash
	@HERMIT_SIMULATED_TASKS=10000 $(BIN)/vitest run --project contracts host/scheduling/simulated-day
	@HERMIT_FUZZ_CASES=1000000 $(BIN)/vitest run --project contracts fuzz.test
	@HERMIT_ENGINE_REPLAY=all $(BIN)/vitest run --project engine host/replay

clean: ## remove what was built; dependencies and images stay
	@rm -rf dist
