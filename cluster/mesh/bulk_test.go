package mesh

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// TestBulkCountsByItself: what waits there takes no room from others, and too much of it ends the link.
func TestBulkCountsByItself(t *testing.T) {
	const limit = 1000
	frame := wire.AppendBye(nil, string(make([]byte, 92)))
	frame[5] = byte(wire.KindIntAck)
	m := New(Config{QueueBytes: limit, ControlBytes: limit, BulkBytes: limit}, nil)
	conn, other := net.Pipe()
	defer other.Close()
	l := newLink(m, conn, &greeted{}, 1) // nobody serves it
	bulk := func(n int) error {
		_, err := l.QueueBulk(slices.Values(slices.Repeat([][]byte{frame}, n)), n*len(frame))
		return err
	}
	if err := bulk(20); err != nil || l.Bulk() != 20*len(frame) {
		t.Errorf("one that is larger than the limit, on an empty lane: %v, %d bytes wait", err, l.Bulk())
	}
	if got := l.Queued(); got != 0 {
		t.Errorf("%d other bytes wait", got)
	}
	if err := l.SendIn(LaneControl, frame); err != nil {
		t.Errorf("control: %v", err)
	}
	if err := bulk(1); !errors.Is(err, ErrFull) {
		t.Errorf("more: %v", err)
	}
	if err := bulk(1); !errors.Is(err, ErrClosed) {
		t.Errorf("then: %v", err)
	}
	if s := m.Stats(); s.Refused != 1 || s.FramesOut[wire.KindIntAck] != 21 {
		t.Errorf("%d refused and %d sent, want 1 and 21", s.Refused, s.FramesOut[wire.KindIntAck])
	}
}

// TestFeaturesAreToldBothWays: to who dials and who accepts.
func TestFeaturesAreToldBothWays(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, func(c *Config) { c.Features = 5 }), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		linked(t, x, y)
		for _, tt := range []struct {
			l    *Link
			want uint64
		}{{x.link(2), 0}, {y.link(1), 5}} {
			if got := tt.l.Features(); got != tt.want || tt.l.Version() != wire.MaxVersion {
				t.Errorf("%s has features %d and version %d, want %d and %d", tt.l.Peer().Name, got, tt.l.Version(), tt.want, wire.MaxVersion)
			}
		}
	})
}

// TestLinkWithAnOlderNode runs at its version.
func TestLinkWithAnOlderNode(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x := b.start(1, func(c *Config) { c.Features = 1 })
		old := b.net.Host("old")
		old.SetNode("old@" + wire.NodeID(5).String())
		ctx, cancel := context.WithCancel(context.Background())
		go old.Run(ctx)
		defer cancel()
		pass(time.Second)
		conn, err := old.DialLink(ctx, x.host.Advertise().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.Write(wire.AppendHello(nil, wire.Hello{MinVersion: 1, MaxVersion: 1, Node: 5, Name: "old", Addr: old.Advertise().String()}))
		pass(time.Second)
		if l := x.link(5); l == nil || l.Version() != 1 || l.Features() != 0 {
			t.Errorf("the link is %+v", l)
		}
	})
}
