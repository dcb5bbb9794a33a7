# make run    three nodes on this machine, joined, with the chat demo
# make test   everything that CI checks; installs what it needs where it may
# make build  one static binary, bin/meshrt

GO      ?= go
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
FUZZ    ?= 10s
SEEDS   ?= 1000
E2E     := web/e2e
T       ?= 2m
SEED    ?= 1
RUN     ?= TestTorture|TestTenMinutes
PICTURES ?= $(CURDIR)/web/ui/pictures

TARGETS := linux/amd64 linux/arm64 linux/arm darwin/arm64 windows/amd64

.PHONY: run build client cross test fmt lint unit sim fuzz e2e torture loss measure recovery-cost bench-peers deps pictures clean

run: build
	@HTTP=$(HTTP) API=$(API) BIND=$(BIND) deploy/three-nodes

build: client
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.commit=$(COMMIT)' -o bin/meshrt .

# The official client's bundles, which the program serves. Without npm it is
# built without them.
client:
	@if command -v npm >/dev/null; then $(E2E)/deps npm && cp $(E2E)/node_modules/socket.io-client/dist/socket.io.*js $(E2E)/node_modules/socket.io-client/dist/socket.io.*map web/socketio/client/; \
	else echo 'no npm: built without /socket.io/socket.io.js'; fi

# Every platform that meshrt is made for, in bin; each under 20 MB.
cross:
	@echo '== cross builds'
	@set -e; for t in $(TARGETS); do \
	  out=bin/meshrt-$$(echo $$t | tr / -); \
	  GOOS=$${t%/*} GOARCH=$${t#*/} GOARM=7 CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.commit=$(COMMIT)' -o $$out .; \
	  size=$$(wc -c < $$out); echo "$$out: $$size bytes"; [ $$size -lt 20000000 ]; \
	done

# In order: cheap first. Each part says its name when it begins. Fuzzing and the
# simulation are shorter than alone, so that the whole stays under 15 minutes.
test: FUZZ = 3s
test: SEEDS = 200
test: lint unit sim cross fuzz e2e torture

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

# The protocol between nodes, and the recovery of clients, in 1,000 simulated clusters each, and without
# each of their rules.
sim:
	@echo '== simulation of the mesh'
	MESHRT_SIM=$(SEEDS) $(GO) test -count=1 -v -timeout 20m -run 'TestSimulation' ./cluster

# Every fuzz target for a moment; make fuzz FUZZ=10m looks for more. The go command
# now and then takes the end of its own time for a failure (golang/go#75804): without
# a failing input that target runs again.
fuzz:
	@echo '== fuzz targets, $(FUZZ) each'
	@set -e; for pkg in $$($(GO) list -f '{{.Dir}}' ./...); do \
	  for f in $$(grep -ho '^func Fuzz[A-Za-z0-9]*' $$pkg/*_test.go 2>/dev/null | sed 's/func //'); do \
	    run="$(GO) test -run ^$$ -fuzz ^$$f$$ -fuzztime $(FUZZ) -fuzzminimizetime 10x $$pkg"; \
	    out=$$($$run 2>&1) || { echo "$$out"; case "$$out" in \
	      *'Failing input'*) exit 1;; *'context deadline exceeded'*) out=$$($$run 2>&1) || { echo "$$out"; exit 1; };; *) exit 1;; esac; }; \
	    echo "$$f: $$(echo "$$out" | grep -o 'execs: [0-9]*' | tail -1)"; \
	  done; \
	done

# Real processes, the official npm clients, a browser.
e2e: build deps
	@echo '== end to end'
	MESHRT_E2E=1 $(GO) test -count=1 -v -p 1 -timeout 15m ./$(E2E)/... ./bench/peers

# Five nodes and their clients, killed, paused, cut off and slowed down for T by the
# chance of SEED, in namespaces of cluster/netlab: Linux, and root or sudo.
# FAULT=partition tries those faults only; T=10m and more try all of them, TABLE=file.md
# gets the table for a page. make torture T=1h is for a night.
# SCENARIO=recovery kills nodes of three on this machine under 300 official clients, and needs
# neither root nor Linux; PEER=socketio does that to Socket.IO with its adapter for Redis streams. FAULT=restart restarts
# the nodes instead, each in turn with SIGTERM: nobody may notice. Its balancer asks /readyz, BALANCER=blind does not.
# FAULT=cut ends connections alone. BREAK=drop, double, reorder or claim has clients lie: that must be noticed.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -n)
ifeq ($(SCENARIO),recovery)
torture: build deps
	@echo '== torture, $(SCENARIO), $(T), seed $(SEED)'
	@[ '$(PEER)' != socketio ] || [ -d bench/peers/node_modules ] || npm --prefix bench/peers ci --silent --no-audit --no-fund
	@[ '$(PEER)' != socketio ] || command -v redis-server >/dev/null || { echo 'PEER=socketio needs redis-server'; exit 1; }
	SCENARIO=$(SCENARIO) PEER='$(PEER)' FAULT='$(FAULT)' MESHRT=$(CURDIR)/bin/meshrt MESHRT_TORTURE=$(T) SEED=$(SEED) TABLE='$(abspath $(TABLE))' \
	  $(GO) test -count=1 -v -timeout 24h -run TestKilledNodes ./$(E2E)/comeback
else
torture: build
	@echo '== torture, $(T), seed $(SEED)'
	@if ! [ -c /dev/net/tun ] || ! $(SUDO) true 2>/dev/null; then \
	  echo 'skipped: it needs Linux with /dev/net/tun, and root'; [ "$$CI" != true ]; exit; fi; \
	set -e; for t in ./cluster/netlab ./$(E2E)/torture; do \
	  $(GO) test -c -o bin/$${t##*/}.test $$t; \
	done; \
	$(SUDO) env CI="$$CI" bin/netlab.test -test.timeout 2m; \
	$(SUDO) env CI="$$CI" MESHRT=$(CURDIR)/bin/meshrt MESHRT_TORTURE=$(T) SEED=$(SEED) FAULT='$(FAULT)' TABLE='$(TABLE)' bin/torture.test -test.v -test.timeout 24h -test.run '$(RUN)'
endif

# A fifth of all packets is lost for T, and no node may be declared dead: make loss T=10m.
loss:
	@$(MAKE) torture RUN=TestMeasureLoss T=$(T)

# What the promises about time are, each ten times: about ten minutes, and T of packet loss.
measure:
	@$(MAKE) torture RUN=TestMeasure T=$(T)

# What messages and sessions cost with recovery off and on, about three times T: the table of node/DESIGN.md. Linux.
recovery-cost:
	MESHRT_E2E=1 MESHRT_COST=$(T) $(GO) test -count=1 -v -timeout 1h -run TestCostOfRecovery ./$(E2E)

# meshrt beside Socket.IO with Redis, NATS and the least that a server can do, about half an
# hour: writes bench/RESULTS.md. Some of it prints only: make bench-peers ONLY=fanout,hop PEERS=meshrt,nats T=8s N=5
bench-peers:
	@mkdir -p bin
	$(GO) build -o bin/bench-peers ./bench/peers
	@bin/bench-peers -only '$(ONLY)' -peers '$(PEERS)' -t $(if $(filter command line,$(origin T)),$(T),5s) -n $(or $(N),3) -lock '$(LOCK)' \
	  -out '$(or $(OUT),$(if $(ONLY)$(PEERS),,bench/RESULTS))'

deps:
	@$(E2E)/deps

# The pictures of the chat in the README, made anew.
pictures: build deps
	cd $(E2E) && MESHRT=$(CURDIR)/bin/meshrt SHOTS=$(PICTURES) node clients/pictures.mjs

clean:
	rm -rf bin $(E2E)/node_modules bench/peers/node_modules
