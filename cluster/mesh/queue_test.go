package mesh

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

func TestFullQueueRefusesDroppableFramesAndThenEnds(t *testing.T) {
	const limit = 1000
	m := New(Config{QueueBytes: limit, ControlBytes: 2 * limit}, nil)
	conn, other := net.Pipe()
	defer other.Close()
	l := newLink(m, conn, &greeted{}, 1) // nobody serves it: as if the writer hung in a Write
	frame := wire.AppendBye(nil, string(make([]byte, 90)))
	frame[5] = byte(wire.KindIntAck)
	l.w.bytes = limit - len(frame)
	if err := l.Send(frame, true); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if err := l.Send(frame, true); !errors.Is(err, ErrFull) {
		t.Errorf("over the limit: %v, want ErrFull", err)
	}
	if err := l.Send(frame, false); err != nil {
		t.Errorf("control frame over the limit: %v", err)
	}
	for range 20 {
		if err := l.Send(frame, false); errors.Is(err, ErrFull) {
			if err := l.Send(frame, false); !errors.Is(err, ErrClosed) {
				t.Errorf("after the end: %v, want ErrClosed", err)
			}
			if got := m.Stats().Refused; got != 2 {
				t.Errorf("%d refused, want 2", got)
			}
			return
		}
	}
	t.Error("control frames without end")
}

func TestLinkThatRefusedSaysWhenItTakesMore(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, func(c *Config) { c.QueueBytes = 1000 }), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		l := x.link(2)
		frame := bytes.Repeat(wire.AppendNumber(nil, wire.KindIntAck, 1), 30) // several in one call
		for l.Send(frame, true) == nil {
		}
		pass(time.Second)
		if got := x.ready.Load(); got != 1 {
			t.Errorf("LinkReady came %d times, want once", got)
		}
		if err := l.Send(frame, true); err != nil {
			t.Errorf("then: %v", err)
		}
		pass(time.Second)
		if got := x.ready.Load(); got != 1 {
			t.Errorf("LinkReady came %d times though nothing was refused", got)
		}
	})
}

// TestSendAllTakesWhatFits and says when there is room for more, asked or refused.
func TestSendAllTakesWhatFits(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, func(c *Config) { c.QueueBytes = 100 }), b.start(2, nil)
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		l := x.link(2)
		var frames []Span
		for i := range uint64(100) {
			frames = append(frames, Span{Bytes: wire.AppendNumber(nil, wire.KindIntAck, i), Frames: 1}) // 7 bytes
		}
		taken, err := l.SendAll(LaneNormal, frames, false)
		if taken != 14 || !errors.Is(err, ErrFull) {
			t.Errorf("took %d, %v, want 14 and ErrFull", taken, err)
		}
		pass(time.Second)
		if taken, err := l.SendAll(LaneNormal, frames[taken:taken+3], true); taken != 3 || err != nil {
			t.Errorf("then took %d, %v, want 3", taken, err)
		}
		pass(time.Second)
		if got, ready := y.got(1), x.ready.Load(); len(got) != 17 || got[16] != 16 || ready != 2 {
			t.Errorf("got %v and LinkReady %d times, want 17 numbers and twice", got, ready)
		}
	})
}

func TestSlowHandlerHoldsTheLinkBackWithoutBreakingIt(t *testing.T) {
	bubble(t, func(t *testing.T, b *lab) {
		x, y := b.start(1, nil), b.start(2, nil)
		y.block = make(chan struct{})
		x.mesh.SetPeers([]Peer{y.peer()})
		pass(time.Second)
		x.link(2).Send(wire.AppendNumber(nil, wire.KindIntAck, 1), true)
		pass(5 * time.Second)
		close(y.block)
		pass(10 * time.Second)
		linked(t, x, y)
		if len(x.log) != 1 || len(y.log) != 1 {
			t.Errorf("links broke: %v, %v", x.log, y.log)
		}
	})
}
