package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain is the floor when this program starts itself as one.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "floor" {
		fail(runFloor(os.Args[2]))
	}
	os.Exit(m.Run())
}

// TestPeers: the whole way through, with one node of the official server. The figures
// of so short a run are not looked at.
func TestPeers(t *testing.T) {
	if os.Getenv("MESHRT_E2E") == "" {
		t.Skip("make e2e runs this test")
	}
	out := filepath.Join(t.TempDir(), "results")
	o := options{root: "../..", only: "fanout", peers: nameMeshrt + "," + nameSingle + "," + nameFloor, span: 2 * time.Second, runs: 1, out: out}
	if err := o.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var r Results
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if missing := r.of("install", nameSingle).Errors; len(missing) > 0 && os.Getenv("CI") != "true" {
		t.Skipf("no official server: %s", missing)
	}
	for _, server := range []string{nameMeshrt, nameSingle, nameFloor} {
		used, ok := r.median("fanout", server, cpu)
		if n, _ := r.median("fanout", server, lost); !ok || used <= 0 || n != 0 {
			t.Errorf("%s: %v us a delivery, %v lost\n%s", server, used, n, text)
		}
	}
}

func TestChoose(t *testing.T) {
	for _, tt := range []struct {
		only, peers    string
		list, kinds    int // at least
		refused, first bool
	}{
		{"", "", 1, 4, false, true},
		{"fan", "floor", 1, 1, false, false},
		{"fanout", "meshrt,floor", 1, 2, false, true},
		{"nothing", "", 0, 0, true, false},
		{"", "nobody", 0, 0, true, false},
	} {
		list, kinds, err := choose(tt.only, tt.peers)
		if (err != nil) != tt.refused || len(list) < tt.list || len(kinds) < tt.kinds {
			t.Errorf("choose(%q, %q): %d, %d, %v", tt.only, tt.peers, len(list), len(kinds), err)
		}
		if len(kinds) > 0 && (kinds[0].name == nameMeshrt) != tt.first {
			t.Errorf("choose(%q, %q) begins with %s", tt.only, tt.peers, kinds[0].name)
		}
	}
}

// TestWhatCannotBeInstalledIsTold: the others are measured all the same.
func TestWhatCannotBeInstalledIsTold(t *testing.T) {
	r := &rig{log: slog.New(slog.DiscardHandler), results: &Results{}}
	broken := func(context.Context, *site) error { return errors.New("no network") }
	list := r.install(t.Context(), []server{{name: nameNATS, install: broken}, {name: nameFloor, install: nothing}})
	if len(list) != 1 || list[0].name != nameFloor {
		t.Errorf("left: %v", list)
	}
	if page := r.results.markdown(); !strings.Contains(page, "install, nats: 1 of 1, no network") {
		t.Errorf("not told:\n%s", page)
	}
}
