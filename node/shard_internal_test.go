package node

import (
	"testing"

	"github.com/meshrt/meshrt/wire"
)

// A client that comes wakes its shard once: for the news that it is connected. What is
// pushed for nobody's sake alone is applied in its turn, and not put off without end.
func TestShardIsNotWokenForMembersAlone(t *testing.T) {
	s := newShard(0, &counters{})
	<-s.wake // by newShard
	s.take()
	x := &Session{id: "x"}
	awake := func(what string, want bool) {
		t.Helper()
		if got := len(s.wake) > 0; got != want {
			t.Errorf("%s: woken %v, want %v", what, got, want)
		}
	}
	s.push(item{op: opHold, session: x})
	s.push(item{op: opJoin, session: x, topic: wire.Topic{Namespace: "/"}})
	awake("a member", false)
	s.push(item{op: opLeave, session: x})
	awake("news", true)
	if got := s.take(); len(got) != 3 || got[0].op != opHold || got[2].op != opLeave {
		t.Errorf("the shard got %v, want all in order", got)
	}
	<-s.wake
	s.push(item{op: opDrop, session: x})
	awake("while it takes", false)
	for len(s.take()) > 0 { // until nothing is left
	}
	for range maxQuiet - 1 {
		s.push(item{op: opJoin, session: x})
	}
	awake("as many members as may wait", false)
	s.push(item{op: opJoin, session: x})
	awake("one more", true)
}
