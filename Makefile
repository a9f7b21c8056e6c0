# Weir. `make help` lists the targets.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := build
.NOTPARALLEL:

GO       ?= go
FUZZTIME ?= 20s
# What bench-compare writes and bench-report reads.
RESULTS  ?= bin/bench.json
# Tools are pinned here and built on use, so that go.mod holds only what Weir itself needs.
LINT := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
VULN := $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0

E2E  := ./cmd/internal/e2e
UNIT  = $$($(GO) list ./... | grep -v '/e2e$$')
# The pages that the binary writes about itself.
PAGES := config metrics cli
# Set where a program that some tests need is missing and cannot be installed (see .ci/deps).
SKIP  = $$(bash .ci/deps --skip)

.PHONY: build run test check deps fmt fmt-check vet lint unit race fuzz bench docs check-docs e2e race-e2e torture soak simulate bench-compare bench-calibrate bench-report bench-gate cover vuln clean help

build: ## build bin/weir
	$(GO) build -trimpath -o bin/weir ./cmd/weir

run: build ## build Weir and run its demo
	./bin/weir demo

test: deps fmt-check vet lint check-docs unit race e2e ## the gate: everything a change must pass

check: test ## the same as test

deps: ## install what the tests need (root, Debian), or say what is left out
	@bash .ci/deps

fmt: ## format the code
	$(LINT) fmt

fmt-check:
	@$(LINT) fmt --diff || { echo 'not formatted: run make fmt'; exit 1; }

vet:
	$(GO) vet ./... && $(GO) vet -tags browser $(E2E)

lint: ## run the linters
	$(LINT) run

unit:
	@skip=$(SKIP); $(GO) test $${skip:+-skip "$$skip"} $(UNIT)

race: ## run the tests under the race detector, in random order
	@if command -v gcc >/dev/null; then skip=$(SKIP); \
		CGO_ENABLED=1 $(GO) test -race -shuffle=on $${skip:+-skip "$$skip"} $(UNIT); \
	else echo 'race: left out, there is no C compiler'; fi

e2e: ## run the built binary against real servers
	@skip=$(SKIP); $(GO) test -count=1 -timeout 10m $${skip:+-skip "$$skip"} $(E2E)

race-e2e: ## the same with a binary built for the race detector
	WEIR_E2E_RACE=1 CGO_ENABLED=1 $(GO) test -count=1 -timeout 20m -skip 'Row21_SlowReader|Row25' $(E2E)

torture: ## the long forms of the e2e tests: 1,000 reloads, bodies of 2 GiB and the like
	WEIR_E2E_LONG=1 $(GO) test -count=1 -timeout 60m -v -run 'Reload|Row|LargeBodies' $(E2E)

.PHONY: browser
browser: ## show pages to Chromium: events, WebSocket, cache, seeking, dictionaries (apt-get install chromium)
	@bash .ci/deps --need chromium
	$(GO) test -tags browser -count=1 -run Chromium $(E2E)

.PHONY: bench-torture
bench-torture: build ## misbehave in every way for DURATION, 10m without; SEED=n plays one again
	./bin/weir bench torture --duration $(or $(DURATION),10m) $(if $(SEED),--seed $(SEED))

.PHONY: kill-cache
kill-cache: ## kill a process 200 times that writes the cache on disk
	$(GO) test ./l7/cache/disk -run TestRow51_Killed -v -timeout 30m -disk.kills 200

soak: ## random L4 sessions against a checksum oracle, for DURATION, 10m without
	$(GO) test ./l4 -run TestSoak -v -timeout 24h -soak $(or $(DURATION),10m)

simulate: ## live through 100,000 sessions in a simulated kernel
	$(GO) test ./l4 -run TestSimulation -v -timeout 30m -sim.seeds 100000

fuzz: ## run every fuzz target for FUZZTIME
	@for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

bench: ## run the micro-benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-compare: build ## compare with nginx, HAProxy and Caddy; SCENARIO=a,b ROUNDS=n DURATION=5s APPEND=1 BINARY=traefik=FILE
	@bash .ci/deps --need nginx haproxy
	./bin/weir bench compare --build-caddy $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(BINARY),--binary $(BINARY)) $(if $(DURATION),--duration $(DURATION)) $(if $(APPEND),--append) \
		--commit "$$(git describe --always --dirty)" --output $(RESULTS)

bench-calibrate: build ## compare the load generator with wrk, h2load and iperf3, in docs/calibration.md; ROUNDS=n
	@bash .ci/deps --need wrk h2load iperf3 nginx
	@{ printf '# Calibration of the load generator\n\nThis page is written by `make bench-calibrate`; do not edit it.\n\n' && \
		./bin/weir bench calibrate $(if $(ROUNDS),--rounds $(ROUNDS)); } >bin/calibration.md
	@mv bin/calibration.md docs/calibration.md && cat docs/calibration.md

bench-report: ## write docs/benchmarks.md and .html from what bench-compare has measured
	$(GO) run ./cmd/bench-report $(RESULTS)

bench-gate: ## fail if a micro-benchmark allocates more, or is more than 5% slower than BASE
	$(GO) run ./bench/gate $(if $(BASE),-base $(BASE))

docs: build ## write the generated pages of docs/
	@for page in $(PAGES); do ./bin/weir docs $$page >docs/$$page.md || exit 1; done

check-docs: build ## fail if a generated page is stale
	@for page in $(PAGES); do \
		./bin/weir docs $$page | diff -u docs/$$page.md - || { echo "docs/$$page.md is stale: run make docs"; exit 1; }; \
	done

cover: ## write coverage.out and print the total
	$(GO) test -coverpkg=./... -coverprofile=coverage.out $(UNIT) && $(GO) tool cover -func=coverage.out | tail -1

vuln: ## look for known vulnerabilities (asks the vulnerability database)
	$(VULN) ./...

clean: ## remove what make built
	rm -rf bin coverage.out

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
