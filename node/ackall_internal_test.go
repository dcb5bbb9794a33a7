package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/wire"
)

type nothing struct{}

func (nothing) Deliver(*Delivery) bool { return true }
func (nothing) Flush()                 {}
func (nothing) Close(bool)             {}

// withSession runs f in a bubble with a session in room x of a node.
func withSession(t *testing.T, f func(t *testing.T, n *Node, s *Session)) {
	synctest.Test(t, func(t *testing.T) {
		n, err := New(Config{Shards: 1})
		if err != nil {
			t.Fatal(err)
		}
		n.Namespace("/")
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan struct{})
		go func() { defer close(ran); n.Run(ctx) }()
		s, err := n.Open(ctx, SessionConfig{Namespace: "/", Sink: nothing{}})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Join(ctx, "x"); err != nil {
			t.Fatal(err)
		}
		f(t, n, s)
		stop()
		<-ran
	})
}

// asked is the request of node 7 for the answers to its message seq.
func asked(t *testing.T, n *Node, room string, seq uint64) error {
	body, err := wire.Marshal(ackRequest{Seq: seq, Namespace: "/", Rooms: []string{room}, Timeout: 1000})
	if err != nil {
		t.Fatal(err)
	}
	_, err = remote{n}.HandleRequest(t.Context(), 7, "acks", body)
	return err
}

// question is message seq of node 7, for which no request need come.
func question(n *Node, seq uint64) {
	remote{n}.HandleMessages([]*wire.Message{{Envelope: &wire.Envelope{Origin: 7, Namespace: "/", Rooms: []string{"x"}, Flags: wire.WantAck}, Seq: seq, Payload: []byte(`["ask"]`)}})
}

// A node that is asked for answers to an event that it never had says so when
// it has members, who should have had it.
func TestLostQuestionsAreToldFromIdleNodes(t *testing.T) {
	withSession(t, func(t *testing.T, n *Node, _ *Session) {
		if err := asked(t, n, "y", 1); err != nil {
			t.Errorf("no members: %v", err)
		}
		if err := asked(t, n, "x", 1); err != errNotAsked {
			t.Errorf("members: %v", err)
		}
		var later cluster.Later
		question(n, 1)
		if err := asked(t, n, "x", 1); !errors.As(err, &later) {
			t.Errorf("question that came: %v", err)
		}
		if err := asked(t, n, "x", 1); err != errNotAsked {
			t.Errorf("asked again: %v", err)
		}
		if _, err := (remote{n}).HandleRequest(t.Context(), 7, "acks", []byte{0xc1}); err == nil {
			t.Error("nonsense was answered")
		}
	})
}

// Each priority has numbers of its own.
func TestQuestionsOfTwoPrioritiesMayHaveOneNumber(t *testing.T) {
	withSession(t, func(t *testing.T, n *Node, _ *Session) {
		remote{n}.HandleMessages([]*wire.Message{{Envelope: &wire.Envelope{Origin: 7, Namespace: "/", Rooms: []string{"x"}, Flags: wire.WantAck | wire.High}, Seq: 1, Payload: []byte(`["ask"]`)}})
		if err := asked(t, n, "x", 1); err != errNotAsked {
			t.Errorf("the normal question that did not come: %v", err)
		}
		question(n, 1)
		var later cluster.Later
		if err := asked(t, n, "x", 1); !errors.As(err, &later) {
			t.Errorf("the normal question that came: %v", err)
		}
		body, err := wire.Marshal(ackRequest{Seq: 1, Namespace: "/", Rooms: []string{"x"}, Timeout: 1000, Stream: wire.StreamHigh})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = (remote{n}).HandleRequest(t.Context(), 7, "acks", body); !errors.As(err, &later) {
			t.Errorf("the high question: %v", err)
		}
	})
}

func TestQuestionsOfOtherNodesAreLimited(t *testing.T) {
	withSession(t, func(t *testing.T, n *Node, _ *Session) {
		for seq := range uint64(maxAsksFor + 1) {
			question(n, seq+1)
		}
		var later cluster.Later
		if err := asked(t, n, "x", maxAsksFor); !errors.As(err, &later) {
			t.Errorf("at the limit: %v", err)
		}
		if err := asked(t, n, "x", maxAsksFor+1); err != errFull {
			t.Errorf("beyond the limit: %v", err)
		}
	})
}

// The request for its answers may never come: the asker has died.
func TestUnclaimedQuestionsAreForgotten(t *testing.T) {
	withSession(t, func(t *testing.T, n *Node, s *Session) {
		question(n, 1)
		waiting := func() (asks, owed int) {
			synctest.Wait()
			n.mu.Lock()
			defer n.mu.Unlock()
			s.acks.mu.Lock()
			defer s.acks.mu.Unlock()
			return len(n.asksFor), len(s.acks.owed)
		}
		if asks, owed := waiting(); asks != 1 || owed != 1 {
			t.Fatalf("%d questions, %d answers owed, want one each", asks, owed)
		}
		time.Sleep(claimTimeout + time.Second)
		if asks, owed := waiting(); asks != 0 || owed != 0 {
			t.Errorf("%d questions, %d answers owed, want none", asks, owed)
		}
		if err := asked(t, n, "x", 1); err != errNotAsked {
			t.Errorf("asked too late: %v", err)
		}
	})
}

func TestPagesOfLargeSessionsAreShort(t *testing.T) {
	withSession(t, func(t *testing.T, n *Node, s *Session) {
		for range 99 {
			s, err := n.Open(t.Context(), SessionConfig{Namespace: "/", Sink: nothing{}})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.SetData(strings.Repeat("x", MaxData-2)); err != nil {
				t.Fatal(err)
			}
		}
		page := n.localSockets(socketQuery{Target: target{Namespace: "/"}, Limit: MaxPage})
		size := 0
		for _, e := range page.Sockets {
			size += e.size()
		}
		if size > maxPageBytes || size < maxPageBytes-2*MaxData || !page.More {
			t.Errorf("page of %d bytes, more: %v", size, page.More)
		}
	})
}
