package node

import (
	"context"
	"errors"
	"testing"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/wire"
)

type nothing struct{}

func (nothing) Deliver(*Delivery) bool { return true }
func (nothing) Flush()                 {}
func (nothing) Close(bool)             {}

// A node that is asked for answers to an event that it never had says so when
// it has members, who should have had it.
func TestLostQuestionsAreToldFromIdleNodes(t *testing.T) {
	n, err := New(Config{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	n.Namespace("/")
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() { defer close(ran); n.Run(ctx) }()
	defer func() { stop(); <-ran }()
	s, err := n.Open(ctx, SessionConfig{Namespace: "/", Sink: nothing{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Join(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	asked := func(room string, seq uint64) error {
		body, err := wire.Marshal(ackRequest{Seq: seq, Namespace: "/", Rooms: []string{room}, Timeout: 1000})
		if err != nil {
			t.Fatal(err)
		}
		_, err = remote{n}.HandleRequest(ctx, 7, "acks", body)
		return err
	}
	if err := asked("y", 1); err != nil {
		t.Errorf("no members: %v", err)
	}
	if err := asked("x", 1); err != errNotAsked {
		t.Errorf("members: %v", err)
	}
	question := func(seq uint64) { // never claimed but by asked
		remote{n}.HandleMessage(&wire.Message{Origin: 7, Seq: seq, Namespace: "/", Rooms: []string{"x"}, Flags: wire.WantAck, Payload: []byte(`["ask"]`)})
	}
	var later cluster.Later
	question(1)
	if err := asked("x", 1); !errors.As(err, &later) {
		t.Errorf("question that came: %v", err)
	}
	if err := asked("x", 1); err != errNotAsked {
		t.Errorf("asked again: %v", err)
	}
	for seq := range uint64(maxAsksFor - 1) {
		question(seq + 2)
	}
	question(maxAsksFor + 1)
	if err := asked("x", maxAsksFor); !errors.As(err, &later) {
		t.Errorf("at the limit: %v", err)
	}
	if err := asked("x", maxAsksFor+1); err != errFull {
		t.Errorf("beyond the limit: %v", err)
	}
	if _, err := (remote{n}).HandleRequest(ctx, 7, "acks", []byte{0xc1}); err == nil {
		t.Error("nonsense was answered")
	}
}
