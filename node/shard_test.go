package node

import (
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
	return &Session{id: wire.NewSessionID(1), ns: ns, shard: s, sink: deaf{}, spots: map[wire.Topic]int{}}
}

func TestShardForgetsDroppedSessions(t *testing.T) {
	s := newShard(&counters{})
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
				d := &Delivery{Message: &wire.Message{Payload: make([]byte, inboxBytes-64)}}
				s.push(item{op: opMessage, d: d})
			},
		} {
			s := newShard(&counters{})
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
			s.take(nil)
			<-passed
		}
	})
}

func TestClosedShardHoldsNobody(t *testing.T) {
	s := newShard(&counters{})
	s.push(item{d: &Delivery{Message: &wire.Message{Payload: make([]byte, inboxBytes+1)}}})
	s.close()
	s.waitSpace()
	s.push(item{op: opTell, d: &Delivery{}})
	if s.waiting() != 0 {
		t.Error("a closed shard collects items")
	}
}
