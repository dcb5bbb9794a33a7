package cluster

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// Whoever publishes looks at the clock: ticks may be late.
func TestTrustEndsWithoutATick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.do(func() {
			c.core.linkUp(2)
			c.core.sync(2, wire.Sync{})
			c.core.granted(2, uint64(c.core.now), wire.Frontiers{})
		})
		message := &wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}}, Payload: []byte(`["e"]`)}
		if to := c.PublishTo(message); len(to) != 0 {
			t.Errorf("sent to %v, want nobody", to)
		}
		time.Sleep(lanTiming.lease)
		if to := c.PublishTo(message); len(to) != 1 {
			t.Errorf("kept for %v, want the peer that cannot be trusted any more", to)
		}
	})
}

// The clock is read for a message that a peer does not want, and only then.
func TestTheTimeMattersForWhoWouldBeLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for id := range wire.NodeID(2) {
			c.do(func() {
				c.core.linkUp(2 + id)
				c.core.sync(2+id, wire.Sync{Topics: []wire.Topic{{Namespace: "/", Room: "r"}, {Namespace: "/", Room: fmt.Sprint(id)}}})
				c.core.granted(2+id, uint64(c.core.now), wire.Frontiers{})
			})
		}
		time.Sleep(lanTiming.lease)
		before := c.core.now
		for _, tt := range []struct {
			room string
			read bool
		}{{"r", false}, {"0", true}} {
			if to := c.PublishTo(&wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{tt.room}}}); len(to) != 2 {
				t.Errorf("room %s: for %v, want both peers, that may not be trusted", tt.room, to)
			}
			if read := c.core.now != before; read != tt.read {
				t.Errorf("room %s: the clock was read: %v, want %v", tt.room, read, tt.read)
			}
		}
	})
}

// A peer that never had a link may have been promised messages all the same.
func TestWhatIsDroppedForAPeerThatWasNeverLinkedIsTold(t *testing.T) {
	x := newFakeMesh(t, 2)
	x.join(2, "r")
	x.do(1, func(c *core) { c.member(2) })
	x.publish(1, "r")
	x.do(1, func(c *core) { c.down(2) })
	x.link(1, 2)
	x.settle()
	x.publish(1, "r")
	x.settle()
	if got := numbers(x.got[2]); fmt.Sprint(got) != "[2]" || x.cores[2].counts.gaps != 1 {
		t.Errorf("got %v and was told of %d gaps, want 2 and 1", got, x.cores[2].counts.gaps)
	}
}

func TestMessagesThatAreSentAgainAreCounted(t *testing.T) {
	x := newFakeMesh(t, 2)
	x.join(2, "r")
	x.link(1, 2)
	x.settle()
	x.publish(1, "r")
	x.publish(1, "r") // both are on their way
	x.cut(1, 2)
	x.publish(1, "r")
	x.link(1, 2)
	x.settle()
	if got := x.cores[1].counts.resent; got != 2 {
		t.Errorf("%d messages are said to have been sent again, want 2", got)
	}
}

// What nobody lacks is let go of, and what is over the limit is, whoever lacks it;
// then the peer is told.
func TestTheLogIsBounded(t *testing.T) {
	x := newFakeMesh(t, 3)
	x.join(2, "r")
	x.join(3, "r")
	x.link(1, 2)
	x.link(1, 3)
	x.settle()
	x.cut(1, 2)
	c := x.cores[1]
	c.logs.limit = 10 * (entryBytes + 100)
	for range 30 {
		m := &wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}}, Payload: bytes.Repeat([]byte("x"), 60)}
		x.do(1, func(c *core) { c.publishOne(m) })
	}
	x.settle()
	if c.logs.bytes() > c.logs.limit || c.counts.lost[0] == 0 {
		t.Errorf("the log has %d bytes, allowed are %d; %d lost", c.logs.bytes(), c.logs.limit, c.counts.lost[0])
	}
	x.link(1, 2)
	x.settle()
	x.sleep(lanTiming.ask)
	x.settle()
	got := numbers(x.got[2])
	if c2 := x.cores[2]; len(got) == 0 || got[len(got)-1] != 30 || c2.counts.gaps != 1 || int(c.counts.lost[0])+len(got) != 30 {
		t.Errorf("node 2 got %v and was told of %d gaps", got, c2.counts.gaps)
	}
	if got := len(x.got[3]); got != 30 {
		t.Errorf("node 3 got %d messages, want 30", got)
	}
	if c.logs.bytes() != 0 || c.logs.of[0].count != 0 {
		t.Errorf("the log keeps %d bytes that nobody lacks", c.logs.bytes())
	}
}

// Where many peers are cut off, what each lacks is noted for each.
func TestTheLogIsBoundedForManyPeers(t *testing.T) {
	c := newCore()
	c.settle()
	c.logs.limit = 1 << 20
	for id := range wire.NodeID(200) {
		c.member(id + 1)
	}
	for range 20_000 {
		c.publishOne(&wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}}, Payload: []byte(`["e"]`)})
		c.applied()
	}
	kept := len(c.logs.of[0].ring) * entryBytes
	for _, p := range c.peers {
		kept += cap(p.streams[0].out.refs) * 8
	}
	if kept > 2*c.logs.limit {
		t.Errorf("the log and what refers to it take %d bytes, allowed are %d", kept, c.logs.limit)
	}
	for id := range wire.NodeID(200) {
		c.down(id + 1)
	}
	if c.logs.bytes() != 0 {
		t.Errorf("the log counts %d bytes that nobody lacks", c.logs.bytes())
	}
}

// What waits for a peer goes as it lies in memory, many messages a frame of the core, and what
// the link does not take is sent again from there.
func TestWaitingMessagesAreSentTogether(t *testing.T) {
	c := newCore()
	c.linkUp(2)
	c.sync(2, wire.Sync{Topics: []wire.Topic{{Namespace: "/", Room: "r"}}})
	var want []byte
	for i := range 3000 {
		m := &wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}}, Payload: make([]byte, 10+i%100)}
		c.publishOne(m)
		want = wire.AppendData(want, m, false)
	}
	c.applied()
	c.granted(2, uint64(c.now), wire.Frontiers{})
	var got []byte
	for spans := 0; len(got) < len(want); spans++ {
		e := c.take()[0]
		if spans > 2*len(want)/chunkBytes+2 || !e.more && len(got)+len(e.frame) < len(want) || len(e.frame) > flushBytes+200 {
			t.Fatalf("span %d has %d messages in %d bytes, and more: %v", spans, e.frames, len(e.frame), e.more)
		}
		if spans == 1 { // the link is full
			c.refused(2, e.lane, e.seq)
		} else {
			got = append(got, e.frame...)
		}
		c.applied()
		c.ready(2, e.lane)
	}
	if !bytes.Equal(got, want) {
		t.Error("the frames are others than those that were published")
	}
}
