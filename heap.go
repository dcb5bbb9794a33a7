package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// heapFloor is the heap, in bytes, below which the garbage collector does not run. A node with
// few clients uses 2 MB, for which it would run after each 4 MB of messages: ten thousand
// small ones of another node, whose receiver would spend a third of its time on that.
const heapFloor = 8 << 20

// raiseHeap raises the heap at which the garbage collector runs next to heapFloor, and a larger
// one by half of that, as long as what it returns is kept: memory that counts and is never
// touched, so that the system gives none for it. Whoever has set the collector's own variables,
// GOGC or GOMEMLIMIT, gets what they say, and nil is returned.
func raiseHeap(getenv func(string) string) []byte {
	if getenv("GOGC") != "" || getenv("GOMEMLIMIT") != "" {
		return nil
	}
	return make([]byte, heapFloor/2) // the collector runs when the heap has doubled
}

// The pace of giveBack: an eighth of the heap in four seconds is what heartbeats of a full node
// leave behind, and a quarter of it is worth a collection, of which calm nodes have time for one
// each eight seconds at most.
const (
	calmTick  = time.Second
	calmTicks = 2  // in a row, before anything is given back
	calmShare = 32 // a tick is calm with less new memory than this part of the heap
	giveShare = 4  // what can be given back is worth it from this part of the heap on
)

// giveBack returns memory to the system once clients have stopped to come, until ctx ends.
// What their coming took is some kilobytes a client, more than what they need when they are idle, and the
// collector would come by for it when the heap has doubled: with idle clients, in an hour.
func giveBack(ctx context.Context) {
	tick := time.NewTicker(calmTick)
	defer tick.Stop()
	var c calm
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if c.due(readHeap()) {
			debug.FreeOSMemory()
		}
	}
}

// heap is the state of the heap, in bytes.
type heap struct {
	made  uint64 // since the start
	live  uint64 // by the last collection
	there uint64 // taken from the system, but for what is between objects
}

func readHeap() heap {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(samples)
	return heap{samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64() + samples[3].Value.Uint64()}
}

// calm finds the moment at which memory can be given back.
type calm struct {
	made  uint64 // by the last tick
	ticks int    // that were calm, in a row
}

func (c *calm) due(h heap) bool {
	made := h.made - c.made
	c.made = h.made
	if c.ticks++; made > max(h.live, heapFloor)/calmShare {
		c.ticks = 0
	}
	return c.ticks >= calmTicks && h.there > h.live+max(h.live, heapFloor)/giveShare
}
