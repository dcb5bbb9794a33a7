package node

import (
	"context"
	"fmt"
	"testing"

	"github.com/meshrt/meshrt/node/presence"
	"github.com/meshrt/meshrt/wire"
)

// The end of a node waits for what its members did last, and not for sets that others have just asked for, however many parts these have.
func TestEndOfANodeDoesNotWaitForSetsOnTheirWay(t *testing.T) {
	const members = 20_000
	n, err := New(Config{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	p, room := &n.presences, wire.Topic{Namespace: "/", Room: "room"}
	other := presence.New(presence.Config{Self: 7})
	ask := func(link int64) {
		other.Follow([]presence.Peer{{ID: n.ID(), Up: true, Link: link}})
		for _, s := range other.Take().Send {
			if err := p.m.Receive(7, s.Namespace, s.Payload); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.m.Follow([]presence.Peer{{ID: 7, Up: true, Link: 1}})
	if err := other.Watch(room); err != nil {
		t.Fatal(err)
	}
	ask(1)
	n.stepPresence(t.Context()) // there is nobody
	for i := range members {
		p.m.Join(room, presence.Entry{ID: fmt.Sprint(i)})
	}
	ask(2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.m.Hurry()
	n.stepPresence(ctx)
	s := p.m.Stats()
	if parts := len(p.m.Take().Send); s.Deltas < members/1000 || s.Snapshots == 0 || parts == 0 {
		t.Errorf("%d deltas of %d changes were told, and all parts of %d sets but %d; want all deltas, and parts left", s.Deltas, members, s.Snapshots, parts)
	}
}
