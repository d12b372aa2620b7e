SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

DURATION ?= 2m
SECONDS ?= 60
EXECUTIONS ?=
SEEDS ?= 10000
FIRST ?= 0
ONLY ?=
RUNS ?= 5
# A backtrace of the runtime's own frames pushes what failed out of sight.
export RUST_BACKTRACE := 0
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)

.PHONY: help demo test check lint chart-lint crds manifests reference bench bench-control e2e node-e2e fuzz soak mutants orders-db hot-row docs dashboard image image-reproducible setup gameday kind-demo kind-e2e kind-down sbom

help: ## Lists the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Installs what is missing (prometheus, etcd, PostgreSQL and its exporter, Helm's library), or says how to
	@scripts/setup.sh
	@scripts/helm.sh setup

demo: ## The operator on a simulated service, with a live view (DURATION=30s is shorter)
	@scripts/setup.sh prometheus
	@cargo build --package e2e --bin demo
	@cargo run --quiet --package e2e --bin demo -- --duration $(DURATION)

test: setup ## All tests; those that need real servers run where their binaries are found
ifdef NEXTEST
	cargo nextest run --workspace
else
	cargo test --workspace
endif
	cargo test --workspace --doc --quiet
	cargo test --package e2e --features otel --test traces

check: lint test ## All that CI runs

lint: chart-lint ## Formatting, lints, docs, shell scripts, the chart, licences
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --package e2e --features otel --test traces -- -D warnings
	# As a release is built: an incremental build, as all others here are, does not see every cycle in what it would inline.
	CARGO_INCREMENTAL=0 cargo --config 'profile.dev.package.plimsoll.opt-level=3' check --package plimsoll --lib --quiet
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	@if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh .ci/run; else echo "shellcheck is not installed: scripts are not linted"; fi
	@if command -v cargo-deny >/dev/null; then cargo deny check bans licenses sources; else echo "cargo-deny is not installed: licences are not checked"; fi

chart-lint: ## Helm's own lint of the chart, where Helm or its library is there
	@scripts/helm.sh setup
	@scripts/helm.sh lint charts/plimsoll --strict || test $$? = 69

crds: ## Writes crds/ and the chart's copy from the types
	for kind in scalingpolicies connectionbudgets; do \
	  cargo run --quiet -- crd --name $$kind.plimsoll.dev > crds/$$kind.plimsoll.dev.yaml || exit 1; \
	done
	cp crds/*.yaml charts/plimsoll/files/crds/

manifests: ## Writes deploy/ from the chart
	@scripts/manifests.sh

reference: ## Writes docs/reference.md from the types
	@cargo run --quiet --package e2e --bin reference > target/reference.md
	@cp target/reference.md docs/reference.md

bench: setup ## What a decision, a simulated day, a report and the whole operator cost, in time and memory (some twenty minutes)
	cargo bench --bench decision -- --verbose
	cargo bench --bench offline
	cargo build --release --bin plimsoll
	cargo run --quiet --package e2e --bin operator-cost -- --policies 0
	cargo run --quiet --package e2e --bin operator-cost -- --policies 1000 --pods 10
	cargo run --quiet --package e2e --bin operator-cost -- --policies 10000
	cargo run --quiet --package e2e --bin operator-cost -- --policies 1000 --floor real

bench-control: ## How good the control is, on real load curves beside HPA and an oracle; writes docs/benchmarks.md
	cargo bench --bench control

e2e: setup ## The scenarios on the double and on real servers, with what they print
	cargo test --package e2e --tests -- --nocapture --test-threads=1

soak: ## The operator under fire: SEEDS=100000 worlds with faults; SEED=7 replays one and tells what happened
ifdef SEED
	cargo build --package e2e --bin soak
	cargo run --quiet --package e2e --bin soak -- --seed $(SEED)
else
	cargo build --profile soak --package e2e --bin soak
	cargo run --quiet --profile soak --package e2e --bin soak -- --seeds $(SEEDS) --first $(FIRST)
endif

mutants: ## Breaks each rule of connection budgets and of the operator in turn: a test or a seed must notice (ONLY="rule 4")
	cargo run --quiet --package e2e --bin mutants -- --only "$(ONLY)"

orders-db: setup ## Three services on a real PostgreSQL, with an HPA's rules and with Plimsoll: RUNS=5, five minutes each
	cargo build --package e2e --bins
	cargo run --quiet --package e2e --bin orders-db -- --runs $(RUNS)

hot-row: setup ## One hot row in a real PostgreSQL, with an HPA's rules and with Plimsoll; a quarter of an hour
	cargo build --package e2e --bins
	cargo run --quiet --package e2e --bin hot-row

docs: setup ## Writes docs/describe from a run on real servers
	cargo run --quiet --package e2e --bin describe-pages

dashboard: ## Draws the dashboard from a run on real servers, for the docs
	DASHBOARD_PICTURE=docs/pictures/dashboard.svg cargo test --package e2e --test observability every_query

gameday: ## Plays a failure mode of the runbook: SCENARIO=flapping; lists them when none is named
	@cargo build --quiet --package e2e --bin gameday
	@cargo run --quiet --package e2e --bin gameday -- $(SCENARIO)

node-e2e: setup ## The chart on a real node: kubelet and containerd, where they are installed (root only; BINARY= runs a program that is built already)
	cargo test --package e2e --test real_node -- --nocapture

kind-demo: ## Plimsoll on a kind cluster, with Prometheus, PostgreSQL, a service and load (needs Docker)
	@scripts/kind.sh demo

kind-e2e: ## The scenarios on a kind cluster, which is taken away at the end (needs Docker)
	@scripts/kind.sh e2e

kind-down: ## Takes the kind cluster away
	@scripts/kind.sh down

fuzz: ## Every fuzz target for SECONDS=60 or for EXECUTIONS=10000000, where cargo-fuzz is installed
	@EXECUTIONS=$(EXECUTIONS) scripts/fuzz.sh $(SECONDS)

sbom: ## Prints the bill of materials as CycloneDX JSON
	@scripts/sbom.sh

image: ## Builds the container image plimsoll:dev with buildah, podman or docker
	@scripts/image.sh

image-reproducible: ## Builds the image twice, in two places, from nothing: one digest must come of it (needs buildah)
	@scripts/reproducible.sh
