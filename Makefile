# make run    three nodes on this machine, joined, with the chat demo
# make test   everything that CI checks; installs what it needs where it may
# make build  one static binary, bin/meshrt

GO      ?= go
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
FUZZ    ?= 10s
E2E     := web/e2e

.PHONY: run build test fmt lint unit fuzz e2e deps clean

run: build
	@HTTP=$(HTTP) API=$(API) BIND=$(BIND) deploy/three-nodes

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.commit=$(COMMIT)' -o bin/meshrt .

# In order: cheap first. Each part says its name when it begins.
test: lint unit fuzz e2e

fmt:
	gofmt -w $$(git ls-files '*.go')

lint:
	@echo '== lint'
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt differs: $$out"; exit 1; fi
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# Needs neither root nor npm.
unit:
	@echo '== unit tests with the race detector'
	$(GO) test -race ./...

# Every fuzz target for a moment; make fuzz FUZZ=10m looks for more.
fuzz:
	@echo '== fuzz targets, $(FUZZ) each'
	@set -e; for pkg in $$($(GO) list -f '{{.Dir}}' ./...); do \
	  for f in $$(grep -ho '^func Fuzz[A-Za-z0-9]*' $$pkg/*_test.go 2>/dev/null | sed 's/func //'); do \
	    $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZ) -fuzzminimizetime 10x $$pkg; \
	  done; \
	done

# Real processes, the official npm clients, a browser.
e2e: build deps
	@echo '== end to end'
	MESHRT_E2E=1 $(GO) test -count=1 -v -timeout 15m ./$(E2E)/...

deps:
	@$(E2E)/deps

clean:
	rm -rf bin $(E2E)/node_modules
