package cluster

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/mesh"
	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// TestFramesOfRecoveryHaveALimit at both ends, and their parts are put together for each peer.
func TestFramesOfRecoveryHaveALimit(t *testing.T) {
	c, err := New(Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.aside.limit = 10
	for _, part := range []struct {
		from wire.NodeID
		text string
		more bool
		want string
	}{{1, "abc", true, ""}, {2, "xyz", true, ""}, {1, "def", true, ""}, {2, "!", false, "xyz!"}, {1, "ghij", false, "abcdefghij"}, {1, "k", false, "k"}, {2, "", false, ""}} {
		whole, err := c.assemble(part.from, []byte(part.text), part.more)
		if err != nil || string(whole) != part.want {
			t.Errorf("%+v: got %q, %v", part, whole, err)
		}
	}
	if _, err := c.assemble(1, make([]byte, 11), false); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("one part over the limit: %v", err)
	}
	c.assemble(1, make([]byte, 6), true)
	if _, err := c.assemble(1, make([]byte, 5), true); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("two parts over the limit: %v", err)
	}
	if len(c.aside.parts) != 1 {
		t.Errorf("parts of %d nodes are kept, want of one", len(c.aside.parts))
	}
}

// TestRecoveryWithoutANetwork: a node is told nothing, and nothing is known.
func TestRecoveryWithoutANetwork(t *testing.T) {
	c, err := New(Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := wire.NewMessage(wire.Envelope{Origin: 5, Namespace: "/"}, nil)
	m.Seq = 1
	c.SendFrame(5, recovery.Drop{})
	c.Skip(5, wire.Frontiers{1})
	if c.Supply(m) || !c.MayWant(5, m) {
		t.Error("a message of a node that was never there is new, or that one would not want it")
	}
}

// TestSuppliedMessagesCountAsProcessed: neither what is supplied nor what is skipped is taken again from a link.
func TestSuppliedMessagesCountAsProcessed(t *testing.T) {
	c := newCore()
	c.member(5)
	message := func(seq uint64) *wire.Message {
		m := wire.NewMessage(wire.Envelope{Origin: 5, Namespace: "/"}, nil)
		m.Seq = seq
		return m
	}
	accept := func(seq uint64) bool { return c.accept(c.peers[5], wire.StreamNormal, seq) }
	c.linkUp(5)
	accept(1)
	c.linkDown(5, false)
	c.down(5)
	if c.supplied(message(1)) || !c.supplied(message(3)) || c.supplied(message(2)) {
		t.Error("what was there is new, or what was not is not")
	}
	c.skip(5, wire.Frontiers{5})
	c.skip(5, wire.Frontiers{4, 7})
	c.member(5)
	if got := slices.Collect(func(yield func(bool) bool) {
		for seq := range uint64(7) {
			yield(accept(seq))
		}
	}); !slices.Equal(got, []bool{false, false, false, false, false, false, true}) || c.peers[5].streams[wire.StreamHigh].frontier != 7 {
		t.Errorf("then %v are new", got)
	}
}

// TestPartsOfABrokenLinkAreForgotten: what comes on the next one is no end of them.
func TestPartsOfABrokenLinkAreForgotten(t *testing.T) {
	c, err := New(Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.core.linkUp(5)
	c.assemble(5, []byte("old"), true)
	c.mu.Lock()
	c.linkGoneLocked(mesh.Peer{ID: 5}, time.Now(), mesh.ErrSilent)
	c.mu.Unlock()
	if whole, err := c.assemble(5, []byte("new"), false); err != nil || string(whole) != "new" {
		t.Errorf("got %q, %v", whole, err)
	}
}
