package node

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// deafTo writes down how the messages that a session gets begin.
type deafTo struct {
	deaf
	got []string
}

func (d *deafTo) Deliver(x *Delivery) bool {
	if x.Message != nil {
		d.got = append(d.got, string(x.Message.Payload[:min(len(x.Message.Payload), 6)]))
	}
	return true
}

// What comes together waits for a full shard as what comes alone does, and messages for
// servers among it go to them; each session gets the rest in order.
func TestMessagesThatComeTogetherWaitForAFullShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := New(Config{Shards: 2})
		if err != nil {
			t.Fatal(err)
		}
		served := 0
		n.Namespace("/").OnServer("e", func(*ServerEvent) { served++ })
		sink := &deafTo{}
		s := n.newSession(wire.NewSessionID(n.ID()), n.Namespace("/"), SessionConfig{Sink: sink, Affinity: 1})
		if _, err := s.register(); err != nil {
			t.Fatal(err)
		}
		s.admit()
		var list []*wire.Message
		for i, payload := range []string{"1", "big", "3", `["e"]`, "nobody", "5"} {
			m := &wire.Message{Envelope: &wire.Envelope{Origin: 7, Namespace: "/"}, Seq: uint64(i + 1), Payload: []byte(payload)}
			switch payload {
			case "big":
				m.Payload = append(m.Payload, make([]byte, inboxBytes)...)
			case `["e"]`:
				m.Namespace = serverPrefix + "/"
			case "nobody":
				m.Rooms = []string{"nobody"}
			}
			list = append(list, m)
		}
		done := make(chan struct{})
		go func() { remote{n}.HandleMessages(list); close(done) }()
		time.Sleep(time.Hour)
		select {
		case <-done:
			t.Error("the link does not wait for the shard")
		default:
		}
		if items := n.Stats().InboxItems; items != 5 { // hold, join, open, 1 and the big one
			t.Errorf("%d items in the inboxes, want 5", items)
		}
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan struct{})
		go func() { n.Run(ctx); close(ran) }()
		<-done
		synctest.Wait()
		if want := []string{"1", "big\x00\x00\x00", "3", "5"}; !slices.Equal(sink.got, want) {
			t.Errorf("%d messages, want %d in order", len(sink.got), len(want))
		}
		if st := n.Stats(); served != 1 || st.Received != 6 || st.Useless != 1 {
			t.Errorf("%d for servers, %d received, %d useless; want 1, 6 and 1", served, st.Received, st.Useless)
		}
		stop()
		<-ran
	})
}
