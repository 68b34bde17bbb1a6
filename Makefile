# Hayauma. `make help` lists what can be made. Needs Go, make and a POSIX sh.

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LINT_VERSION := v2.15.0
LINT     := bin/golangci-lint-$(LINT_VERSION)
S3_VERSION := v1.8.0
S3       := bin/versitygw-$(S3_VERSION)

KILLS    ?= 50
CUTS     ?= 1000
MESSAGES ?= 100000
RELAYED  ?= 500000
DEFERRED ?= 1000000
SEEDS    ?= 1000
SEED     ?=
BENCH    ?=
FUZZTIME ?= 10s
TIMEOUT  ?= 20m
PKGS     ?= ./...

.DEFAULT_GOAL := help
.PHONY: help build run demo check test test-setup crash power outages history sim memory move mutants lint fuzz bench \
	generate generate-check fmt fmt-check tidy-check vet archtest cover clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  variables: KILLS=$(KILLS) (crash)  CUTS=$(CUTS) (power)  MESSAGES=$(MESSAGES) (move)  SEEDS=$(SEEDS) SEED= (sim)  RELAYED=$(RELAYED) DEFERRED=$(DEFERRED) (memory)  BENCH="-rounds 3" (bench)  FUZZTIME=$(FUZZTIME) (fuzz)  TIMEOUT=$(TIMEOUT) PKGS=$(PKGS) (test)"

build: ## build bin/hayauma, a static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/hayauma ./cmd/hayauma

run: build ## run a development server in ./data on loopback ports, and say how to use it
	bin/hayauma dev --data data

demo: build ## drive two servers in a temporary folder: submit, relay, read, trace
	bin/hayauma demo

check: fmt-check vet tidy-check generate-check lint archtest ## format, vet, lint, generated files, layering and sizes

test: build test-setup $(S3) ## every test; with CI=true a skipped one is a failure
	HAYAUMA_BIN="$(CURDIR)/bin/hayauma" TIMEOUT=$(TIMEOUT) PKGS="$(PKGS)" sh scripts/test.sh

test-setup: # on Debian as root, installs the programs that tests drive
	sh scripts/test-setup.sh

crash: build ## kill the server KILLS times under load; nothing confirmed may be lost
	HAYAUMA_BIN="$(CURDIR)/bin/hayauma" HAYAUMA_KILLS=$(KILLS) \
		$(GO) test -count=1 -timeout 90m -v -run Crash ./test/...

outages: build $(S3) ## kill, cut off and fail over PostgreSQL under load, and have S3 fail
	HAYAUMA_BIN="$(CURDIR)/bin/hayauma" HAYAUMA_KILLS=$(KILLS) \
		$(GO) test -count=1 -timeout 90m -v -run TestOutage ./test/crash

history: build ## 50,000 random operations on both SQL engines beside a model
	$(GO) test -count=1 -timeout 30m -v -run TestHistory ./test/history

sim: ## live through SEEDS runs of trouble with queue and relay, step by step; SEED=n repeats one
	HAYAUMA_SEEDS=$(SEEDS) HAYAUMA_SEED=$(SEED) \
		$(GO) test -count=1 -timeout 60m -v -run TestSimulation ./test/sim

memory: build ## weigh a server that has relayed RELAYED messages, and one where DEFERRED recipients wait
	HAYAUMA_BIN="$(CURDIR)/bin/hayauma" HAYAUMA_RELAYED=$(RELAYED) \
		$(GO) test -count=1 -timeout 90m -v -run TestMemoryOfARelay ./test/e2e
	HAYAUMA_BIN="$(CURDIR)/bin/hayauma" HAYAUMA_DEFERRED=$(DEFERRED) \
		$(GO) test -count=1 -timeout 90m -v -run TestMemoryOfDeferred ./test/e2e

move: build $(S3) ## copy MESSAGES messages to PostgreSQL and S3 and back, killed in the middle
	HAYAUMA_BIN="$(CURDIR)/bin/hayauma" HAYAUMA_COPY=$(MESSAGES) \
		$(GO) test -count=1 -timeout 90m -v ./test/move

power: build ## rebuild the disk as after a power loss at CUTS moments; nothing confirmed may be lost
	HAYAUMA_BIN="$(CURDIR)/bin/hayauma" HAYAUMA_CUTS=$(CUTS) \
		$(GO) test -count=1 -timeout 90m -v -run TestPowerLoss ./test/power

mutants: ## plant each known fault in a copy; its proof must turn red
	$(GO) run ./test/mutants

lint: $(LINT) ## golangci-lint over everything
	$(LINT) run ./...
	cd tools && ../$(LINT) run --config ../.golangci.yml ./...

# Built from source once for each version; tools/go.mod pins it.
$(LINT):
	CGO_ENABLED=0 $(GO) build -C tools -trimpath -o ../$(LINT) github.com/golangci/golangci-lint/v2/cmd/golangci-lint

# The S3 server of the tests, pinned and built as the linter is.
$(S3):
	CGO_ENABLED=0 $(GO) build -C tools -trimpath -o ../$(S3) github.com/versity/versitygw/cmd/versitygw

fuzz: ## run every fuzz target for FUZZTIME, one after the other
	FUZZTIME=$(FUZZTIME) sh scripts/fuzz.sh

bench: build $(S3) ## measure against Postfix and Dovecot (where installed) in one run
	CGO_ENABLED=0 $(GO) build -o bin/withengines ./test/withengines
	bin/withengines $(GO) run ./test/load/cmd/load bench -hayauma bin/hayauma $(BENCH)

generate: ## write the generated files anew
	$(GO) generate ./...

fmt: ## format all Go files
	gofmt -w $$(find . -name '*.go' -not -path './bin/*' -not -path './data/*')

cover: ## test coverage, as coverage.html
	$(GO) test -coverprofile=coverage.out -coverpkg=./internal/... ./...
	$(GO) tool cover -html=coverage.out -o coverage.html
	$(GO) tool cover -func=coverage.out | tail -n 1

clean: ## remove what was built (not ./data)
	rm -rf bin coverage.out coverage.html

fmt-check: # parts of check
	@out=$$(gofmt -d $$(find . -name '*.go' -not -path './bin/*' -not -path './data/*')) && \
		test -z "$$out" || { printf '%s\n' "$$out"; echo "gofmt: run make fmt" >&2; exit 1; }

vet:
	$(GO) vet ./...
	cd tools && $(GO) vet ./testreport

tidy-check:
	$(GO) mod tidy -diff

generate-check:
	sh scripts/generate-check.sh

archtest:
	$(GO) test -count=1 ./internal/archtest
