# Everything that is done with the repository. `make help` lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

export CARGO_TERM_COLOR ?= auto

TYPESCRIPT := client-sdk/typescript
INTEROP := server/tests/interop
CHAOS := --workspace --bin pitturu-chaos --example terminal --features pitturu-chaos/server
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Asked for by the targets that need it.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_SECONDS ?= 60
ARGS ?=

# In the order in which a mistake shows soonest. Clippy and rustdoc share what they check of the dependencies; the
# steps from test-rust on share one build.
STEPS := setup format deny lint-typescript test-typescript test-typescript-packages clippy rustdoc test-rust test-traces schemas-check test-typescript-real

NODE_FOLDERS := $(patsubst %/package-lock.json,%,$(wildcard $(TYPESCRIPT)/package-lock.json $(INTEROP)/package-lock.json))
NODE_STAMPS := $(addsuffix /node_modules/.package-lock.json,$(NODE_FOLDERS))

##@ Use

.PHONY: run
run: ## Build and start the server for development, and print where to connect and what to do next
	cargo build --locked --bin pitturu
	@exec $(TARGET)/debug/pitturu --dev $(ARGS)

.PHONY: chat
chat: ## Start the terminal chat client in Rust; twice at once for two people
	cargo build --locked --package pitturu-client --example terminal
	@exec $(TARGET)/debug/examples/terminal $(ARGS)

.PHONY: chat-node
chat-node: $(TYPESCRIPT)/dist/node.js ## Start the chat example in Node: ARGS="ws://127.0.0.1:7350 Mina lobby"
	@exec node $(TYPESCRIPT)/examples/chat.mjs $(ARGS)

.PHONY: test
test: ## Install what the tests need into the project's folders, and run every check and test
	@.ci/steps $(STEPS)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^##@/ { print "\n" substr($$0, 5) } /^[a-z-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Parts of make test

.PHONY: check
check: format clippy layout ## Format, lints and layout: before each commit

.PHONY: setup
setup: $(NODE_STAMPS) ## Install npm and PyPI packages in the project's folders, and on Debian Chromium, iproute2, promtool and proxies
	@.ci/setup

%/node_modules/.package-lock.json: %/package-lock.json
	npm ci --prefix $* --no-audit --no-fund
	@touch $@

.PHONY: format
format: ## Check the format of Rust code
	cargo fmt --all --check

.PHONY: deny
deny: ## Check licences, sources and banned crates of the dependencies
	@.ci/deny

.PHONY: clippy
clippy: ## Lint all Rust code; a warning is an error
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --package pitturu-chaos --package pitturu-server --package pitturu-store \
		--features pitturu-chaos/server,pitturu-server/otlp --all-targets -- -D warnings

.PHONY: layout
layout: ## Test who may name what, and the length of files and functions
	cargo test --locked --test layout

.PHONY: rustdoc
rustdoc: ## Build the documentation of Rust code; a warning is an error
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --lib --examples

.PHONY: build
build: ## Build all programs, examples and tests of the workspace
	cargo build --locked --workspace --all-targets

# Tests of the server run players that use it.
$(TYPESCRIPT)/dist/node.js: $(TYPESCRIPT)/node_modules/.package-lock.json $(TYPESCRIPT)/tsconfig.build.json \
		$(TYPESCRIPT)/tsconfig.cjs.json $(TYPESCRIPT)/package.json \
		$(shell find $(TYPESCRIPT)/src -name '*.ts')
	npm run --silent --prefix $(TYPESCRIPT) build

.PHONY: test-rust
test-rust: $(TYPESCRIPT)/dist/node.js ## Run the Rust tests, those with other programs' clients among them
	cargo test --locked --workspace --no-fail-fast

# A second server, over the libraries that are built already. The next step links the first one again.
.PHONY: test-traces
test-traces: ## Test traces, with a server that is built with them
	cargo test --locked --workspace --features pitturu-server/otlp --test traces

.PHONY: schemas-check
schemas-check: build ## Check that what is derived from the protocol tables is fresh
	$(TARGET)/debug/pitturu-schemas check

.PHONY: lint-typescript
lint-typescript: ## Build and lint the TypeScript SDK
	npm run --prefix $(TYPESCRIPT) build
	npm run --prefix $(TYPESCRIPT) lint

.PHONY: test-typescript
test-typescript: ## Run the TypeScript SDK's own tests
	npm run --prefix $(TYPESCRIPT) test

.PHONY: test-typescript-packages
test-typescript-packages: ## Install the packed TypeScript SDK into fresh projects, compile, bundle and run them
	npm run --prefix $(TYPESCRIPT) test:packages

.PHONY: test-typescript-real
test-typescript-real: build ## Run the TypeScript SDK against a real server
	npm run --prefix $(TYPESCRIPT) test:real

##@ Now and then

.PHONY: schemas
schemas: ## Write anew what is derived from the protocol tables
	cargo run --locked --bin pitturu-schemas -- write

.PHONY: test-typescript-next
test-typescript-next: $(TYPESCRIPT)/node_modules/.package-lock.json ## Install the packed TypeScript SDK into Next.js and run it (large downloads)
	npm run --prefix $(TYPESCRIPT) test:next

.PHONY: docs
docs: ## Build and open the documentation of Rust code
	cargo doc --locked --workspace --no-deps --open

# A target that is named keeps the compiler's macros, which it loads, out of what is static. Random numbers come from the system's call:
# a static program would not find that there is one, and take them from /dev, which an empty root has not.
.PHONY: build-static
build-static: ## Build a server like a release that needs no library of the machine (Linux), and check that
	RUSTFLAGS='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"' \
		cargo build --locked --release --bin pitturu --target $(HOST)
	@.ci/static-program $(TARGET)/$(HOST)/release/pitturu

.PHONY: release-static
release-static: build-static ## The same, and run it in an empty root
	@.ci/empty-root $(TARGET)/$(HOST)/release/pitturu

.PHONY: bench
bench: ## Measure frames, fan-out and outbox: time and allocations. ARGS picks by name
	cargo bench --locked --package pitturu-protocol --package pitturu-server --bench frames --bench fanout -- $(ARGS)

.PHONY: bench-movements
bench-movements: ## Measure movements of points per second on this disk, beside SQLite: ARGS="--help"
	cargo bench --locked --package pitturu-server --bench movements -- $(ARGS)

.PHONY: loadtest
loadtest: ## Build server and load generator like a release, and run the generator: ARGS="run --help"
	cargo build --locked --release --bin pitturu --bin loadtest
	@exec $(TARGET)/release/loadtest $(ARGS)

.PHONY: chaos
chaos: ## Break a server by seed, and check all that its clients were told: ARGS="--minutes 60 --seed 7"
	cargo build --locked $(CHAOS)
	@exec $(TARGET)/debug/pitturu-chaos $(ARGS)

.PHONY: chaos-undone
chaos-undone: ## Leave protections of the server out one by one, and see that make chaos would notice
	$(MAKE) chaos ARGS="--must-find --minutes 10 --undo settle_before_publish --only full-sync,slow-sync,reset,pause"
	$(MAKE) chaos ARGS="--must-find --minutes 10 --undo reserve_then_decide --only short-queue,slow-sync"
	$(MAKE) chaos ARGS="--must-find --minutes 10 --undo numbered_openings --only reset,stall,pause"
	$(MAKE) chaos ARGS="--must-find --minutes 10 --undo signal_deduplication --only abort,kill,slow-sync,midnight"
	$(MAKE) chaos ARGS="--must-find --minutes 10 --undo lasting_keys --only kill,abort,reset"
	$(MAKE) chaos ARGS="--must-find --minutes 10 --undo keys_across_seasons --only midnight,reset,slow-sync"
	$(MAKE) chaos ARGS="--must-find --minutes 10 --undo reserve_then_decide,load_barrier --only short-queue,slow-sync"
	$(MAKE) ledger ARGS="--short --must-find --undo signal_deduplication"
	$(MAKE) ledger ARGS="--short --must-find --undo lasting_keys"

.PHONY: ledger
ledger: ## Move a million points at random under kills, and compare all books with a model: ARGS="--seed 7"
	cargo build --locked $(CHAOS)
	@exec $(TARGET)/debug/pitturu-chaos ledger $(ARGS)

.PHONY: fuzz
fuzz: ## Fuzz every target of the protocol for FUZZ_SECONDS each (needs nightly Rust)
	@.ci/fuzz $(FUZZ_SECONDS)
