package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// A node without clients must not collect after each few thousand messages, unless its
// operator wants it to.
func TestHeapHasAFloor(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	for name, tt := range map[string]struct {
		set  string
		want bool
	}{
		"nothing is set":    {"", true},
		"GOGC is set":       {"GOGC", false},
		"GOMEMLIMIT is set": {"GOMEMLIMIT", false},
	} {
		kept := raiseHeap(func(name string) string {
			if name == tt.set {
				return "100"
			}
			return ""
		})
		if got := kept != nil; got != tt.want {
			t.Errorf("%s: raised %v, want %v", name, got, tt.want)
		}
		if !tt.want {
			continue
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		if m.NextGC < heapFloor {
			t.Errorf("%s: the collector runs at %d bytes, want %d at least", name, m.NextGC, heapFloor)
		}
		runtime.KeepAlive(kept)
	}
}
