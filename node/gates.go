package node

import (
	"sync"

	"github.com/meshrt/meshrt/wire"
)

// priorities are the orders that one node publishes in.
var priorities = [...]wire.Flags{wire.High, 0, wire.Low}

// gate is one order of messages: of a node, in a priority.
type gate struct {
	origin wire.NodeID
	stream wire.Stream
}

func gateOf(m *wire.Message) gate { return gate{m.Origin, m.Flags.Stream()} }

// gates say which messages a session that moves gets from this node: at the old
// one those before the barrier of their gate, at the new one those behind it.
type gates struct {
	arriving bool
	gone     chan struct{} // closed by the shard when nothing is delivered any more

	mu     sync.Mutex // a leaf
	behind map[gate]bool
	missed map[gate]bool // of the new node: messages before a barrier
	wanted []wire.NodeID // whose barriers must come
	all    chan struct{} // closed when they have; nil once it is
}

func newGates(arriving bool) *gates {
	return &gates{arriving: arriving, gone: make(chan struct{}), behind: map[gate]bool{}, missed: map[gate]bool{}}
}

// takes tells whether m is this node's to deliver. What no other node sees is.
func (g *gates) takes(m *wire.Message) bool {
	if m.Seq == 0 {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	x := gateOf(m)
	if g.arriving && !g.behind[x] {
		g.missed[x] = true
	}
	return g.behind[x] == g.arriving
}

// pass is a barrier.
func (g *gates) pass(m *wire.Message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.behind[gateOf(m)] = true
	g.settleLocked()
}

// expect says, once, whose barriers must come, and gives what is closed when they have.
func (g *gates) expect(origins []wire.NodeID) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make(chan struct{})
	g.wanted, g.all = origins, all
	g.settleLocked()
	return all
}

func (g *gates) settleLocked() {
	if g.all == nil {
		return
	}
	for _, o := range g.wanted {
		for _, p := range priorities {
			if !g.behind[gate{o, p.Stream()}] {
				return
			}
		}
	}
	close(g.all)
	g.all = nil
}

// lost tells whether a message was left to the old node whose barrier has never
// come, though its node is there: one that joined the cluster in between.
func (g *gates) lost(here func(wire.NodeID) bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for x := range g.missed {
		if !g.behind[x] && here(x.origin) {
			return true
		}
	}
	return false
}
