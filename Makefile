# Every command a person types. `make` alone explains them.

CARGO ?= cargo
DATA  ?= data

.DEFAULT_GOAL := help
.PHONY: help run build test test-scaled test-clients conformance fuzz lint fmt proto openapi bench ci clean

help: ## Explain the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Build and start all eight services on the embedded store (data in ./data)
	@exec target/release/lightning up --data $(DATA)

build: ## Build the release binary at target/release/lightning
	$(CARGO) build --release --locked -p lightning

test: ## Run every test that needs nothing but the Rust toolchain
	$(CARGO) test --workspace --locked

test-scaled: ## Start PostgreSQL on loopback (installs it with apt when root), get grpcio from PyPI, run what needs them
	./deploy/test-scaled.sh

test-clients: ## Run other people's OpenID Connect clients (npm, PyPI, Chromium from Debian) against a running mesh
	./deploy/test-clients.sh

conformance: ## Run protobuf's official conformance suite on the JSON codec (runner from PyPI)
	./gateway/transcode/conformance.sh

CASES ?= 1000000
SEED  ?=

fuzz: ## Compare the JSON codec with its oracles on random contracts (CASES=1000000 SEED=fresh)
	$(CARGO) run --quiet --release --locked -p lightning-transcode --example fuzz -- $(CASES) $(SEED)

lint: ## Check formatting, clippy and the contract
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(MAKE) proto

fmt: ## Format the code
	$(CARGO) fmt --all

proto: ## Lint the contract (buf, from PyPI buf-bin)
	./deploy/buf.sh lint

openapi: ## Print the OpenAPI document
	@$(CARGO) run --quiet --locked -p lightning -- openapi

bench: build ## Print the figures: the JSON codec's, then start, memory, requests per second, size
	$(CARGO) bench --locked -p lightning-transcode --bench codec --bench codec_allocations
	$(CARGO) bench --locked -p lightning-mesh --bench identity --bench authorization
	./deploy/bench-peers.sh $(CARGO) bench --locked -p lightning --bench auth --bench edge --bench mesh

ci: ## Run what the build server runs
	.ci/run

clean: ## Remove what was built
	$(CARGO) clean
