package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowed is the order of the packages, DESIGN.md: each row lists what a
// package may import of this module. Packages for tests have a row too; only
// test files may import those of forTests.
var allowed = map[string][]string{
	"":                    {"bench", "cluster", "cluster/port", "node", "node/relay", "web", "web/api", "web/config", "web/engineio", "web/plain", "web/socketio", "wire"},
	"wire":                {},
	"wire/eio":            {},
	"wire/sio":            {"wire"},
	"wire/plain":          {"wire"},
	"bench/swarm":         {},
	"bench":               {"bench/swarm", "wire/eio", "wire/sio"},
	"bench/peers":         {"bench"},
	"cluster/port":        {},
	"cluster/gossip":      {"wire"},
	"cluster/mesh":        {"wire"},
	"cluster":             {"cluster/gossip", "cluster/mesh", "cluster/recovery", "wire"},
	"cluster/clustertest": {},
	"cluster/history":     {},
	"cluster/recovery":    {"wire"},
	"cluster/netlab":      {},
	"node/presence":       {"wire"},
	"node":                {"cluster", "cluster/recovery", "node/once", "node/presence", "wire"},
	"node/once":           {"wire"},
	"node/relay":          {"node", "wire", "wire/plain"},
	"web/ws":              {},
	"web/engineio":        {"web/ws", "wire/eio"},
	"web/socketio":        {"node", "web/engineio", "wire", "wire/eio", "wire/sio"},
	"web/plain":           {"node", "web/ws", "wire", "wire/plain"},
	"web/forward":         {"cluster", "web/engineio", "web/ws", "wire"},
	"web/api":             {"cluster", "node", "wire", "wire/plain"},
	"web/ui":              {},
	"web/config":          {"cluster/gossip", "wire"},
	"web":                 {"cluster", "node", "web/api", "web/engineio", "web/forward", "web/plain", "web/socketio", "web/ui", "web/ws", "wire"},
	"web/webtest":         {},
	"web/e2e":             {},
	"web/e2e/comeback":    {},
	"web/e2e/tutorials":   {"cluster", "cluster/port", "node", "web", "wire"},
	"web/e2e/conformance": {"node", "node/relay", "web", "web/config", "web/engineio", "web/plain", "web/socketio", "wire", "wire/eio"},
	"web/e2e/torture":     {},
}

var forTests = []string{"cluster/clustertest", "cluster/history", "cluster/netlab", "web/webtest"}

const module = "github.com/meshrt/meshrt"

func TestImportsFollowTheOrderOfPackages(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.Trim(strings.TrimPrefix(fields[0], module), "/")
		may, ok := allowed[pkg]
		if !ok {
			t.Errorf("package %s has no row in the table", pkg)
			continue
		}
		seen++
		for _, imp := range fields[1:] {
			name, ours := strings.CutPrefix(imp, module+"/")
			if !ours {
				continue
			}
			if !slices.Contains(may, name) {
				t.Errorf("%s imports %s, against the order of packages", pkg, name)
			}
			if slices.Contains(forTests, name) && !slices.Contains(forTests, pkg) {
				t.Errorf("%s imports %s outside its tests", pkg, name)
			}
		}
	}
	if seen < 5 {
		t.Errorf("go list named %d packages only", seen)
	}
}
