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

// What is given back is what a burst has left, when it is over.
func TestMemoryIsGivenBackWhenClientsHaveStoppedToCome(t *testing.T) {
	const mb = 1 << 20
	for name, tt := range map[string]struct {
		heap  heap
		ticks []uint64 // what was made in each
		want  []bool
	}{
		"a burst":            {heap{live: 64 * mb, there: 100 * mb}, []uint64{50 * mb, 0, 0}, []bool{false, false, true}},
		"heartbeats":         {heap{live: 64 * mb, there: 100 * mb}, []uint64{2 * mb, 2 * mb, 2 * mb}, []bool{false, true, true}},
		"messages":           {heap{live: 64 * mb, there: 100 * mb}, []uint64{2*mb + 1, 2*mb + 1, 2*mb + 1}, []bool{false, false, false}},
		"a pause too short":  {heap{live: 64 * mb, there: 100 * mb}, []uint64{0, 50 * mb, 0, 50 * mb}, []bool{false, false, false, false}},
		"nothing to give":    {heap{live: 64 * mb, there: 80 * mb}, []uint64{0, 0, 0}, []bool{false, false, false}},
		"a little too much":  {heap{live: 64 * mb, there: 80*mb + 1}, []uint64{0, 0, 0}, []bool{false, true, true}},
		"small, nothing":     {heap{live: 2 * mb, there: 4 * mb}, []uint64{0, 0, 0}, []bool{false, false, false}},
		"small, after a lot": {heap{live: 2 * mb, there: 8 * mb}, []uint64{0, 0, 0}, []bool{false, true, true}},
	} {
		var c calm
		for i, made := range tt.ticks {
			tt.heap.made += made
			if got := c.due(tt.heap); got != tt.want[i] {
				t.Errorf("%s, tick %d: %v, want %v", name, i, got, tt.want[i])
			}
		}
	}
}

func TestHeapIsRead(t *testing.T) {
	if h := readHeap(); h.made == 0 || h.there == 0 {
		t.Errorf("read %+v", h)
	}
}
