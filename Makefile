# EVCS: the operations platform for electric-vehicle charging. `make` lists what it can do.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := bin
TOOLS := $(CURDIR)/$(BIN)/tools
GOFUMPT_VERSION := v0.12.0
GOLANGCI_VERSION := v2.15.0
BENCHSTAT_VERSION := v0.0.0-20260908200009-22c9c6c9d4da
GORELEASER_VERSION := v2.12.7

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
DATE ?= $(shell git log -1 --format=%cI 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)
export CGO_ENABLED ?= 0

# what the tests asked and were answered, for validators of other languages
SESSION := $(CURDIR)/$(BIN)/session.jsonl
FUZZTIME ?= 30s
KILLS ?= 200

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build evcsd and evcsctl into bin/
	go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/evcsd ./cmd/evcsctl

.PHONY: run
run: build ## Run evcsd on ./data (SQLite), REST :8080, device port :8085
	./$(BIN)/evcsd serve --dataDir data

.PHONY: demo
demo: build ## The main job in a minute: a day of charging with simulated chargers, then the dashboard
	@go run ./scripts/demo -evcsd $(BIN)/evcsd -evcsctl $(BIN)/evcsctl

.PHONY: check
check: fmt-check vet ## What must pass before a commit: format, vet, architecture, all tests on SQLite
	go test ./...

.PHONY: fmt-check
fmt-check: $(TOOLS)/gofumpt
	@out=$$($(TOOLS)/gofumpt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not gofumpt-clean:"; echo "$$out"; exit 1; fi

.PHONY: vet
vet:
	go vet ./...

.PHONY: test
test: fmt-check vet ## Everything CI runs: both engines, race detector, whole program, CLI scripts, documents, lint
	@mkdir -p $(BIN) && rm -f $(SESSION)
	scripts/with-compiler scripts/with-postgres env CGO_ENABLED=1 EVCS_REQUIRE_POSTGRES=1 EVCS_TEST_RECORD=$(SESSION) go test -race -shuffle=on -timeout 40m ./...
	$(MAKE) build
	scripts/openapi-check $(SESSION)
	$(MAKE) lint

.PHONY: test-document
test-document: build ## The OpenAPI document and a session of the contract's tests before validators that are not ours (Redocly, Ajv)
	scripts/openapi-check

.PHONY: test-leaks
test-leaks: ## Remove one scope after the other; the cross-tenant sweep must find each
	scripts/leaks

.PHONY: test-postgres
test-postgres: ## The store and whole-program tests on a throw-away PostgreSQL cluster
	EVCS_REQUIRE_POSTGRES=1 scripts/with-postgres go test -count=1 ./internal/store/... ./internal/charging/... ./internal/cashier/... ./internal/closing/... ./internal/evcstest/...

.PHONY: test-browser
test-browser: build ## The pages of evcsd in Chromium: documents, sign-in, a call (EVCS_TEST_SHOTS=DIR keeps the pictures)
	scripts/test-browser

.PHONY: lint
lint: $(TOOLS)/golangci-lint ## Run golangci-lint at its pinned version (the first build of the tool takes minutes)
	$(TOOLS)/golangci-lint run ./...

.PHONY: generate
generate: ## Print docs/openapi.yaml, docs/cli, docs/tui.md keys and other documents from the code
	go test ./internal/httpapi ./internal/cli ./internal/tui -run 'Document|Docs|Golden' -update

.PHONY: verify
verify: ## Fail if a printed document differs from the code
	go test ./internal/httpapi ./internal/cli ./internal/tui -run 'Document|Docs|Golden'

.PHONY: bench-recon
bench-recon: ## Days of 1 and 10 million rows with seeded differences beside a bare hash join (needs 10 GB of disk)
	mkdir -p $(BIN)/recon && go build -o $(BIN)/bench-recon ./bench/recon
	$(BIN)/bench-recon -rows 1000000 -rounds 3 -dir $(BIN)/recon/1m
	$(BIN)/bench-recon -rows 1000000 -rounds 3 -gz -store -dir $(BIN)/recon/1ms
	scripts/with-postgres sh -c '$(BIN)/bench-recon -rows 1000000 -rounds 3 -gz -store -dsn "$$EVCS_TEST_POSTGRES" -dir $(BIN)/recon/1mp'
	$(BIN)/bench-recon -rows 10000000 -rounds 1 -gz -dir $(BIN)/recon/10m

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (30s)
	@set -e; for pkg in $$(grep -rl --include='*_test.go' '^func Fuzz' internal | xargs -n1 dirname | sort -u); do \
	  for name in $$(grep -h -o '^func Fuzz[A-Za-z0-9_]*' $$pkg/*_test.go | sed 's/^func //'); do \
	    echo "== $$pkg $$name"; go test ./$$pkg -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME); done; done

.PHONY: bench
bench: build ## Benchmarks and load figures into bench/results (benchstat text); PostgreSQL with fsync, unless it is given
	EVCS_TEST_POSTGRES_FSYNC=on scripts/with-postgres scripts/bench

.PHONY: torture
torture: build ## Crash test, the long run: KILLS (200) SIGKILLs on SQLite, a quarter of it on a PostgreSQL that is killed too
	go build -o $(BIN)/torture ./bench/torture
	@code=0; \
	$(BIN)/torture -evcsd $(BIN)/evcsd -engine sqlite -kills $(KILLS) -full 10 -results bench/results || code=1; \
	scripts/with-postgres $(BIN)/torture -evcsd $(BIN)/evcsd -engine postgres -kills $$(( $(KILLS) / 4 )) -dbkills 5 -results bench/results || code=1; \
	exit $$code

.PHONY: torture-broken
torture-broken: build ## The crash test must fail: an evcsd that answers before its commit loses acknowledged starts
	go build -tags ackfirst -o $(BIN)/evcsd-broken ./cmd/evcsd
	! go run ./bench/torture -evcsd $(BIN)/evcsd -under $(BIN)/evcsd-broken -engine sqlite -kills 15 -chargers 60 -drain 15s

.PHONY: cover
cover: ## Coverage by package (SQLite)
	go test -coverprofile=coverage.out ./internal/... && go tool cover -func=coverage.out | tail -1

.PHONY: release-dry
release-dry: $(TOOLS)/goreleaser ## Build the release archives and packages without publishing
	$(TOOLS)/goreleaser release --snapshot --clean

.PHONY: migration
migration: ## Create the next numbered migration: make migration NAME=add_something
	@test -n "$(NAME)" || { echo "usage: make migration NAME=add_something"; exit 2; }
	@n=$$(ls migrations/*.sql | sed 's/.*\///; s/_.*//' | sort -n | tail -1); f=migrations/$$(printf '%04d' $$((10#$$n + 1)))_$(NAME).sql; \
	  echo "-- What and why." > $$f; echo "created $$f"

.PHONY: tools
tools: $(TOOLS)/gofumpt $(TOOLS)/golangci-lint $(TOOLS)/benchstat ## Install the pinned tools into bin/tools

# A tool of the pinned version that is installed already is used as it is.
define install_tool
	@mkdir -p $(TOOLS); have=$$(command -v $(1) || true); \
	if [ -n "$$have" ] && go version -m "$$have" | grep -q "	$(3)	"; then ln -sf "$$have" $(TOOLS)/$(1); \
	else GOBIN=$(TOOLS) go install $(2)@$(3); fi
endef

$(TOOLS)/gofumpt:
	$(call install_tool,gofumpt,mvdan.cc/gofumpt,$(GOFUMPT_VERSION))
$(TOOLS)/golangci-lint:
	$(call install_tool,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint,$(GOLANGCI_VERSION))
$(TOOLS)/benchstat:
	$(call install_tool,benchstat,golang.org/x/perf/cmd/benchstat,$(BENCHSTAT_VERSION))
$(TOOLS)/goreleaser:
	$(call install_tool,goreleaser,github.com/goreleaser/goreleaser/v2,$(GORELEASER_VERSION))
