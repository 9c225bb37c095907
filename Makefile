# Terrace: `make run` to see it, `make test` to prove it, `make help` for the rest.
SHELL := /bin/bash
export GOFLAGS ?= -buildvcs=false
export CGO_ENABLED := 1
STATE := $(CURDIR)/.terrace
BIN := $(STATE)/bin
GOTOOL := go tool -modfile=$(CURDIR)/tools/go.mod

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

.PHONY: run
run: ## build and run a ministry on this machine; CLUSTER=<context> uses that cluster's API server
	@hack/packages.sh run
	@$(MAKE) --no-print-directory build
	@exec $(BIN)/terrace-standalone --data-dir $(STATE) $(if $(CLUSTER),--cluster $(CLUSTER))

.PHONY: build
build: ## build the binaries, the software token and the software SDF device into .terrace
	@install -d -m 0700 $(STATE) $(BIN)
	@echo "building terrace"
	@go build -o $(BIN)/terrace ./cmd/terrace
	@ln -sf terrace $(BIN)/kubectl-terrace
	@echo "building terrace-standalone (the first time compiles the API server: about 10 minutes)"
	@cd standalone && go build -ldflags "$$(cat ldflags.txt)" -o $(BIN)/ ./cmd/...
	@echo "building the software token"
	@$(MAKE) --no-print-directory -C hack/softtoken all OUT=$(STATE)/softtoken >/dev/null
	@$(MAKE) --no-print-directory -C hack/softsdf all OUT=$(STATE)/softsdf >/dev/null

.PHONY: test
test: ## everything, against real servers
	@hack/packages.sh test
	@$(MAKE) --no-print-directory build
	TERRACE_TESTAPISERVER=$(BIN)/testapiserver TERRACE_BIN=$(BIN) go test -timeout 20m ./...
	cd standalone && go test -timeout 10m -ldflags "$$(cat ldflags.txt)" ./...

.PHONY: generate
generate: ## write deepcopy methods and CRDs
	cd api/v1alpha1 && $(GOTOOL) controller-gen object:headerFile=../../hack/boilerplate.go.txt paths=.
	cd api/v1alpha1 && $(GOTOOL) controller-gen crd paths=. output:crd:dir=../../config/crd

.PHONY: verify
verify: ## generated files, format, vet, lint, layering
	@$(MAKE) --no-print-directory generate >/dev/null
	@git diff --exit-code -- api config/crd || { echo "generated files are stale: run make generate and commit"; exit 1; }
	@test -z "$$(git ls-files --others --exclude-standard -- api config/crd)" || { echo "generated files are not committed"; exit 1; }
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run gofmt -w on these"; exit 1; }
	go mod tidy -diff
	cd standalone && go mod tidy -diff
	go vet ./...
	CGO_ENABLED=0 go build ./internal/device/...
	$(GOTOOL) staticcheck ./...
	@! command -v shellcheck >/dev/null || shellcheck hack/packages.sh .ci/run
	go test -count=1 ./test/layering

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (default 10m)
	@for p in $$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u); do \
	  for f in $$(git grep -ho '^func Fuzz[A-Za-z]*' -- "$$p/*_test.go" | cut -c6-); do \
	    echo "$$p $$f"; go test "./$$p" -run '^$$' -fuzz "^$$f$$" -fuzztime $(or $(FUZZTIME),10m) -fuzzminimizetime 1x || exit 1; done; done

.PHONY: soak
soak: ## kill every process at random for SOAK (default 10m) under a load; needs root, and make build
	TERRACE_TESTAPISERVER=$(BIN)/testapiserver TERRACE_BIN=$(BIN) TERRACE_SOAK=$(or $(SOAK),10m) go test ./test/zones -run TestNothingIsLostNorDoubled -count=1 -v -timeout 60m

.PHONY: bench
bench: ## the benchmarks, with ratios to the raw cost of the cryptography
	go test -run '^$$' -bench . -benchmem ./internal/...
