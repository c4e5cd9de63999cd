# What a person or CI runs. `make` alone lists the targets.

CARGO ?= cargo
FUZZ_SECONDS ?= 60
GO ?= go
ARGO := tests/conformance/argo

# The labelled telemetry that verdicts are measured on, where it is at hand.
HALDANE_CORPUS ?= $(wildcard $(CURDIR)/../shared/corpus)
ifneq ($(HALDANE_CORPUS),)
export HALDANE_CORPUS
endif

# Where cargo builds, and where the benchmarks keep their figures.
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
PEERS := $(TARGET)/bench-peers

.DEFAULT_GOAL := help
.PHONY: help build-datasets tools deny-tool advisories test properties simulate evaluate check fmt fmt-check clippy doc deny bench bench-peers bench-service peers-tools rules fuzz fuzz-smoke openapi conformance types fixtures clients schemathesis haldane-bin example go-tool docs browser notebooks soak

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

check: ## all that CI runs
	.ci/run

test: tools ## install what is missing, then run every test
	$(CARGO) test --workspace --features datasets

# The end-to-end test starts a real Prometheus. The binary is all it needs: no service has to run, and none is configured.
tools: ## install what the tests need (Rust by rustup, Prometheus from the distribution's packages)
	@command -v $(CARGO) >/dev/null || { \
	  echo 'Rust is missing: install rustup from https://rustup.rs, the toolchain itself follows from rust-toolchain.toml' >&2; exit 1; }
	@if command -v prometheus >/dev/null && command -v promtool >/dev/null; then :; \
	elif ! command -v apt-get >/dev/null; then \
	  echo 'prometheus and promtool are missing, and there is no apt-get to install them with:' >&2; \
	  echo 'put both from https://prometheus.io/download/ (2.40 or newer) on the PATH' >&2; exit 1; \
	else \
	  if [ "$$(id -u)" -eq 0 ]; then sudo=; \
	  elif command -v sudo >/dev/null; then sudo=sudo; \
	  else echo 'prometheus is missing; installing it takes root: apt-get install prometheus' >&2; exit 1; fi; \
	  $$sudo apt-get update -qq && \
	  $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends prometheus; \
	fi

fmt: ## format the sources
	$(CARGO) fmt --all

fmt-check: ## fail where the sources are not formatted
	$(CARGO) fmt --all --check

clippy: ## lint everything, warnings are errors; without and with the datasets feature
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --workspace --all-targets --locked --features datasets -- -D warnings

doc: ## build the documentation, warnings are errors
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked --document-private-items

deny: deny-tool ## check licences, duplicate versions and sources of every dependency
	$(CARGO) deny --locked check bans licenses sources

advisories: deny-tool ## check every dependency against the advisory database, which this downloads
	$(CARGO) deny --locked check advisories

deny-tool: ## install cargo-deny where it is missing (compiles for some minutes)
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny

build-datasets: ## build the program that also reads and writes Parquet, and has the source `dataset` (polars compiles for minutes)
	$(CARGO) build --release --locked --bin haldane --features datasets

evaluate: ## measure the judges on the labelled corpus (HALDANE_CORPUS=FOLDER), and fail where a floor is broken
	@[ -n '$(HALDANE_CORPUS)' ] || { echo 'HALDANE_CORPUS names no folder: give the one that has cases.jsonl.gz' >&2; exit 1; }
	$(CARGO) build --release --locked --bin haldane
	$(or $(CARGO_TARGET_DIR),target)/release/haldane evaluate '$(HALDANE_CORPUS)' --floors fixtures/evaluate/floors.yaml

# HALDANE_REPLAY_MB: the length of the recording that is replayed (64).
bench: ## time metrics, canaries, requests in process and a replay (5 minutes)
	$(CARGO) bench --locked -p haldane-judges --bench judgement
	$(CARGO) bench --locked -p haldane --bench request --bench replay
	@python3 benches/table.py judgement '$(TARGET)'

# KAYENTA_LIB: the folder of an installed Kayenta's jars (/opt/kayenta/lib in its container image); without it Kayenta's own judge is left out.
bench-peers: peers-tools ## time SciPy, numba, R and the JVM beside both judges on the same arms
	$(CARGO) bench --locked -p haldane-judges --bench peers -- '$(PEERS)'
	python3 -m venv '$(PEERS)/venv' && '$(PEERS)/venv/bin/pip' install --quiet --requirement benches/peers/requirements.txt
	'$(PEERS)/venv/bin/python' benches/peers/scipy_numba.py '$(PEERS)'
	Rscript benches/peers/wilcox.R '$(PEERS)'
	mvn --quiet --batch-mode --file benches/peers/jvm/pom.xml dependency:copy-dependencies -DoutputDirectory='$(PEERS)/jvm'
	javac -cp '$(PEERS)/jvm/*' -d '$(PEERS)/jvm' benches/peers/jvm/Timing.java benches/peers/jvm/CommonsMath.java
	java -cp '$(PEERS)/jvm:$(PEERS)/jvm/*' CommonsMath '$(PEERS)'
	@rm -f '$(PEERS)/kayenta.json'
ifneq ($(KAYENTA_LIB),)
	javac -cp '$(PEERS)/jvm:$(KAYENTA_LIB)/*' -d '$(PEERS)/jvm' benches/peers/jvm/Kayenta.java
	java -cp '$(PEERS)/jvm:$(KAYENTA_LIB)/*' Kayenta '$(PEERS)'
endif
	@python3 benches/table.py peers '$(PEERS)'

peers-tools:
	@for tool in Rscript:r-base-core python3:python3-venv javac:default-jdk-headless mvn:maven; do \
	  command -v $${tool%%:*} >/dev/null || { \
	    echo "$${tool%%:*} is missing: apt-get install --no-install-recommends $${tool#*:}" >&2; exit 1; }; done

# The load and the service share the machine; nothing else should.
bench-service: tools ## put the release program under load, alone and before a real Prometheus (5 minutes)
	ulimit -n 8192 2>/dev/null; $(CARGO) bench --locked -p haldane --bench service

# SOAK_MINUTES: how long (60).
soak: ## put everything on the release program at once, failing stores among it, and fail where what it holds grows (an hour)
	ulimit -n 8192 2>/dev/null; $(CARGO) bench --locked -p haldane --bench service -- soak $(or $(SOAK_MINUTES),60)

# HALDANE_CASES: random canaries a property (100,000); HALDANE_SEED=N judges and shows one alone.
properties: ## judge random canaries of every kind and fail where something that must always hold does not (hours)
	HALDANE_CASES=$(or $(HALDANE_CASES),100000) $(CARGO) test --release -p haldane-judges --test judge invariants -- --nocapture

# HALDANE_RUNS: runs a cell (2,000); the tables are kept in fixtures/simulation/README.md.
simulate: ## judge simulated ratios and print false alarms and power, failing where a goal is missed (minutes)
	$(CARGO) test --release -p haldane-judges --test judge simulation -- --ignored --nocapture --test-threads 1

rules: tools ## test the alerts of deploy/prometheus with promtool
	cd deploy/prometheus && promtool check rules alerts.yaml && promtool test rules alerts_test.yaml

fuzz-smoke: ## run every fuzz target on its corpus and on a few changes of it (a minute)
	$(CARGO) test --locked --test fuzz

# FUZZ_TARGET: a word of one target's name; without it all of them, at the same time. FUZZ_SECONDS: how long each.
fuzz: ## fuzz every target for FUZZ_SECONDS (60), each time from another seed
	HALDANE_FUZZ_SECONDS=$(FUZZ_SECONDS) HALDANE_FUZZ_SEED=$$(date +%s) $(CARGO) test --release --locked --test fuzz -- $(FUZZ_TARGET)

openapi: ## write the OpenAPI document that is committed
	$(CARGO) run --quiet -- openapi > openapi/haldane.json.new
	mv openapi/haldane.json.new openapi/haldane.json

# HALDANE_BIN names another program to test; then none is built. SCREENSHOTS=FOLDER keeps pictures of the pages.
browser: ## open the pages in Chromium and look for what a person would (needs Node)
	@command -v node >/dev/null && command -v npm >/dev/null || { echo 'Node and npm are missing: apt-get install nodejs npm' >&2; exit 1; }
	@command -v "$${CHROMIUM:-chromium}" >/dev/null || { \
	  command -v apt-get >/dev/null || { echo 'chromium is missing, and there is no apt-get to install it with' >&2; exit 1; }; \
	  if [ "$$(id -u)" -eq 0 ]; then sudo=; else sudo=sudo; fi; \
	  $$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium; }
	@[ -n "$(HALDANE_BIN)" ] || $(CARGO) build --locked --bin haldane
	cd tests/browser && npm ci --silent
	cd tests/browser && HALDANE_BIN='$(or $(HALDANE_BIN),$(TARGET)/debug/haldane)' node --test

docs: ## write the pages that are made of schemas (docs/config.md)
	$(CARGO) run --quiet -- schema --markdown > docs/config.md.new
	mv docs/config.md.new docs/config.md

# HALDANE_BIN names another program to test; then none is built.
conformance: tools go-tool ## drive Argo Rollouts' own metric providers against Haldane (needs Go)
	@[ -n "$(HALDANE_BIN)" ] || $(CARGO) build --locked --bin haldane
	cd $(ARGO) && HALDANE_BIN='$(abspath $(or $(HALDANE_BIN),$(or $(CARGO_TARGET_DIR),target)/debug/haldane))' \
	  $(GO) test -count=1 -timeout 60m ./...

# CARGO_FEATURES: those of a build that is there already.
types: tools ## hold every shape of reply to Deck's and Referee's TypeScript types (needs Node)
	@command -v node >/dev/null && command -v npm >/dev/null || { echo 'Node and npm are missing: apt-get install nodejs npm' >&2; exit 1; }
	tests/conformance/types/fetch.sh
	$(CARGO) test --locked $(CARGO_FEATURES) --test it kayenta::types -- --ignored

# HALDANE_BIN names another program to test, here and below; then none is built.
clients: haldane-bin ## generate clients in Python and TypeScript and have each judge a canary (needs Python and Node)
	@command -v node >/dev/null && command -v npm >/dev/null || { echo 'Node and npm are missing: apt-get install nodejs npm' >&2; exit 1; }
	HALDANE_BIN='$(BIN)' tests/conformance/clients/run.sh

schemathesis: haldane-bin ## hold the service to both of its OpenAPI documents (needs Python; two minutes)
	HALDANE_BIN='$(BIN)' timeout 600 tests/conformance/schemathesis/run.sh

# NOTEBOOKS_WRITE=1 puts what came out in the place of what is committed.
notebooks: haldane-bin ## execute the notebooks and hold what is committed to what comes out (needs Python; two minutes)
	python3 -m venv '$(TARGET)/notebooks-venv' && '$(TARGET)/notebooks-venv/bin/pip' install --quiet --requirement notebooks/requirements.txt
	HALDANE_BIN='$(BIN)' '$(TARGET)/notebooks-venv/bin/python' notebooks/run.py '$(TARGET)/notebooks' $(if $(NOTEBOOKS_WRITE),--write)

BIN := $(abspath $(or $(HALDANE_BIN),$(TARGET)/debug/haldane))

haldane-bin:
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { echo 'Python is missing, or its venv is: apt-get install python3-venv' >&2; exit 1; }
	@[ -n "$(HALDANE_BIN)" ] || $(CARGO) build --locked --bin haldane

example: go-tool ## test the example services of examples (needs Go)
	cd examples/latency && $(GO) vet ./... && $(GO) test -count=1 ./...
	cd examples/demo-shop && test -z "$$(gofmt -l .)" && $(GO) vet ./... && $(GO) test -count=1 ./...

fixtures: tools go-tool ## record the canaries of fixtures/datasets again (a minute)
	cd examples/demo-shop && $(GO) run . record
	python3 -m venv '$(TARGET)/fixtures-venv' && '$(TARGET)/fixtures-venv/bin/pip' install --quiet --requirement examples/demo-shop/requirements.txt
	'$(TARGET)/fixtures-venv/bin/python' examples/demo-shop/tables.py fixtures/datasets

# Argo Rollouts says which Go it needs, through go.mod. GOTOOLCHAIN: what is installed, not what Go would download.
go-tool:
	@needed=$$(sed -n 's/^go //p' $(ARGO)/go.mod); \
	found=$$(GOTOOLCHAIN=local $(GO) env GOVERSION 2>/dev/null | sed 's/^go//'); \
	if [ -z "$$found" ]; then \
	  echo "Go is missing: install $$needed or newer from https://go.dev/dl/" >&2; exit 1; \
	elif [ "$$(printf '%s\n' "$$needed" "$$found" | sort -V | head -n 1)" != "$$needed" ]; then \
	  echo "Go $$found is too old (Debian's is): install $$needed or newer from https://go.dev/dl/" >&2; exit 1; \
	fi
