package node

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/wire"
)

type deaf struct{}

func (deaf) Deliver(*Delivery) bool { return true }
func (deaf) Flush()                 {}
func (deaf) Close(bool)             {}

func newTestSession(s *shard, ns *Namespace) *Session {
	return &Session{id: wire.NewSessionID(1), ns: ns, shard: s, sink: deaf{}}
}

func TestShardForgetsDroppedSessions(t *testing.T) {
	s := newShard(0, &counters{})
	ns := &Namespace{name: "/"}
	for range 3 {
		x := newTestSession(s, ns)
		for _, it := range []item{{op: opHold, session: x}, {op: opOpen, session: x, d: &Delivery{Kind: KindConnect}},
			{op: opJoin, session: x, topic: wire.Topic{Namespace: "/"}}, {op: opJoin, session: x, topic: wire.Topic{Namespace: "/", Room: "r"}},
			{op: opDrop, session: x}, {op: opJoin, session: x, topic: wire.Topic{Namespace: "/", Room: "late"}}} {
			s.apply(&it)
		}
	}
	if len(s.members) != 0 || len(s.byID) != 0 {
		t.Errorf("%d topics and %d sessions remembered", len(s.members), len(s.byID))
	}
}

// TestFullInboxMakesPublishersWait: at the limit nobody waits, beyond it
// everybody, until the shard has taken what is there.
func TestFullInboxMakesPublishersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for what, fill := range map[string]func(s *shard){
			"items": func(s *shard) {
				for range inboxItems {
					s.push(item{op: opLeave})
				}
			},
			"bytes": func(s *shard) {
				d := &Delivery{Message: &wire.Message{Envelope: &wire.Envelope{}, Payload: make([]byte, inboxBytes-64)}}
				s.push(item{op: opMessage, d: d})
			},
		} {
			s := newShard(0, &counters{})
			fill(s)
			s.waitSpace() // exactly at the limit
			s.push(item{op: opTell, d: &Delivery{}})
			passed := make(chan bool)
			go func() { s.waitSpace(); close(passed) }()
			select {
			case <-passed:
				t.Errorf("%s: nobody waits beyond the limit", what)
			case <-time.After(time.Minute):
			}
			s.take()
			<-passed
		}
	})
}

func TestClosedShardHoldsNobody(t *testing.T) {
	s := newShard(0, &counters{})
	s.push(item{d: &Delivery{Message: &wire.Message{Envelope: &wire.Envelope{}, Payload: make([]byte, inboxBytes+1)}}})
	s.close()
	s.waitSpace()
	s.push(item{op: opTell, d: &Delivery{}})
	if s.waiting() != 0 {
		t.Error("a closed shard collects items")
	}
}

// A message comes to the shards that may have members, and to no other.
func TestMessageWakesTheShardsOfItsMembersOnly(t *testing.T) {
	n, err := New(Config{Shards: 3})
	if err != nil {
		t.Fatal(err)
	}
	n.Namespace("/")
	var sessions []*Session
	for i := range 3 {
		s := n.newSession(wire.NewSessionID(n.ID()), n.Namespace("/"), SessionConfig{Sink: deaf{}, Affinity: Affinity(i)})
		if _, err := s.register(); err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, s)
	}
	join := func(i int, room string) {
		if _, err := sessions[i].join([]string{room}); err != nil {
			t.Fatal(err)
		}
	}
	join(1, "one")
	join(1, "two")
	join(2, "two")
	join(0, "was two")
	join(2, "was two")
	sessions[0].Leave("was two")
	join(2, "again")
	sessions[2].Leave("again")
	join(1, "again")
	id := func(i int) string { return sessions[i].ID() }
	for _, tt := range []struct {
		rooms []string
		want  []int // shards
	}{
		{nil, []int{0, 1, 2}}, {[]string{"none"}, nil}, {[]string{"one"}, []int{1}}, {[]string{"one", "again", "none", id(1)}, []int{1}},
		{[]string{"two"}, []int{0, 1, 2}}, {[]string{"was two"}, []int{0, 1, 2}}, {[]string{id(2)}, []int{2}}, {[]string{"one", id(2)}, []int{0, 1, 2}},
	} {
		var got []int
		to, _ := n.shardsLocked(&wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: tt.rooms}})
		for _, s := range to {
			got = append(got, s.number)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("rooms %q: shards %v, want %v", tt.rooms, got, tt.want)
		}
	}
}
