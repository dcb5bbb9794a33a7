package cluster

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/meshrt/meshrt/wire"
)

// A peer that lacks every hundredth message must not make the log hold all of them, which
// share their memory.
func TestFewMessagesDoNotHoldOnToManyChunks(t *testing.T) {
	c := newCore()
	ready := func(id wire.NodeID, topics ...wire.Topic) {
		c.linkUp(id)
		c.sync(id, wire.Sync{Topics: topics})
		c.granted(id, uint64(c.now), wire.Frontiers{})
	}
	all, few := wire.Topic{Namespace: "/", Room: "all"}, wire.Topic{Namespace: "/", Room: "few"}
	ready(2, all, few)
	ready(3, few) // confirms nothing
	log := &c.logs.of[wire.StreamNormal]
	payload := bytes.Repeat([]byte("x"), 1000)
	var want [][]byte
	for i := range uint64(20_000) {
		m := &wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"all"}}, Payload: payload}
		if i%100 == 0 {
			m.Rooms[0] = "few"
		}
		c.publishOne(m)
		if i%100 == 0 {
			want = append(want, wire.AppendData(nil, m, false))
		}
		c.ackedTo(2, wire.Frontiers{wire.StreamNormal: m.Seq})
		c.applied()
		if held, limit := log.arena.held, 2*log.bytes+5*chunkBytes; held > limit {
			t.Fatalf("after %d messages chunks hold %d bytes, want at most %d", i, held, limit)
		}
	}
	for i, seq := range c.peers[3].streams[wire.StreamNormal].out.refs {
		if got := log.at(seq).frame(); !bytes.Equal(got, want[i]) {
			t.Fatalf("message %d is %x, want %x", seq, got[:40], want[i][:40])
		}
	}
	c.ackedTo(3, wire.Frontiers{wire.StreamNormal: log.last()})
	if log.bytes != 0 || log.arena.held != 0 {
		t.Errorf("empty log counts %d bytes, and %d in chunks", log.bytes, log.arena.held)
	}
}

// Chunks that are filled again must not spoil what waits, and a log that is confirmed as fast
// as it grows must go round in a few.
func TestChunksAreFilledAgain(t *testing.T) {
	c := newCore()
	c.member(2)
	c.member(3)
	log := &c.logs.of[wire.StreamNormal]
	chunks, want := map[*chunk]bool{}, map[uint64][]byte{}
	for i := range 20_000 {
		m := &wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}}, Payload: bytes.Repeat([]byte{byte(i)}, 100+i%400)}
		if i%3 == 0 {
			m.Flags = wire.Volatile
		}
		c.publishOne(m)
		c.applied()
		chunks[log.arena.chunk] = true
		if m.Flags&wire.Volatile == 0 {
			want[m.Seq] = wire.AppendData(nil, m, false)
		}
		if i%1000 != 0 {
			continue
		}
		for _, seq := range c.peers[2].streams[wire.StreamNormal].out.refs {
			if got := log.at(seq).frame(); !bytes.Equal(got, want[seq]) {
				t.Fatalf("message %d is %x, want %x", seq, got[:40], want[seq][:40])
			}
			delete(want, seq)
		}
		c.ackedTo(2, wire.Frontiers{wire.StreamNormal: m.Seq})
		c.ackedTo(3, wire.Frontiers{wire.StreamNormal: m.Seq})
	}
	if len(chunks) > freeChunks {
		t.Errorf("%d chunks were filled, want at most %d", len(chunks), freeChunks)
	}
	if n := len(log.arena.free); n == 0 || n > freeChunks+1 {
		t.Errorf("%d chunks are kept, want 1 to %d", n, freeChunks+1)
	}
}

// A frame that is larger than its message said is on its own, and spoils no other.
func TestFramesOfAllSizesStayWhole(t *testing.T) {
	c := newCore()
	c.member(2)
	log := &c.logs.of[wire.StreamNormal]
	var want [][]byte
	for i := range 3000 {
		m := &wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}}, Payload: bytes.Repeat([]byte{byte(i)}, i*7%(chunkFrame+500))}
		c.publishOne(m)
		want = append(want, wire.AppendData(nil, m, false))
	}
	for i, seq := range c.peers[2].streams[wire.StreamNormal].out.refs {
		if got := log.at(seq).frame(); !bytes.Equal(got, want[i]) {
			t.Fatalf("message %d differs", seq)
		}
	}
}

// Whoever waits for the end of congestion publishes nothing meanwhile.
func TestCongestionEndsWithoutAPublish(t *testing.T) {
	c, err := New(Config{LogBytes: 10_000}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.do(func() {
		c.core.linkUp(2)
		c.core.sync(2, wire.Sync{Topics: []wire.Topic{{Namespace: "/", Room: "r"}}})
	})
	for range 50 {
		c.Publish(&wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}}, Payload: make([]byte, 100)})
	}
	if !c.Congested() {
		t.Fatal("not congested")
	}
	c.do(func() { c.core.ackedTo(2, wire.Frontiers{wire.StreamNormal: 50}) })
	if c.Congested() {
		t.Error("still congested though all is confirmed")
	}
}

// The last answer about a room is kept until the peer's interest changes.
func TestWantsFollowsTheInterest(t *testing.T) {
	c := newCore()
	c.linkUp(2)
	c.sync(2, wire.Sync{})
	c.granted(2, uint64(c.now), wire.Frontiers{})
	topic := wire.Topic{Namespace: "/", Room: "r"}
	got := ""
	for v := range uint64(4) {
		for range 2 {
			got += fmt.Sprint(len(c.publishOne(&wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}}})))
		}
		c.interest(2, wire.Interest{Version: v + 1, On: v%2 == 0, Topic: topic})
	}
	c.sync(2, wire.Sync{Version: 9, Topics: []wire.Topic{topic}})
	got += fmt.Sprint(len(c.publishOne(&wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}}})))
	if want := "001100111"; got != want {
		t.Errorf("nodes reached: %s, want %s", got, want)
	}
}

// A link may still write what the log has let go of: the log was full, or a peer confirmed what it
// has not got.
func TestLentChunksAreNotFilledAgain(t *testing.T) {
	c := newCore()
	c.linkUp(2)
	c.sync(2, wire.Sync{Topics: []wire.Topic{{Namespace: "/", Room: "r"}}})
	c.granted(2, uint64(c.now), wire.Frontiers{})
	c.applied()
	publish := func() effect {
		c.applied()
		c.publishOne(&wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}}, Payload: make([]byte, 1000)})
		return c.take()[0]
	}
	first := publish()
	first.lent.Add(1)
	want := bytes.Clone(first.frame)
	for range 2 {
		for range 1000 {
			publish()
			c.ackedTo(2, wire.Frontiers{wire.StreamNormal: c.logs.of[wire.StreamNormal].last()})
		}
		if !bytes.Equal(first.frame, want) {
			t.Fatal("a frame was written over that a link has")
		}
		want = first.frame
		first.lent.Add(-1)
	}
}

// What a burst needed is let go of when it is over.
func TestAQuietLogKeepsNoChunks(t *testing.T) {
	c := newCore()
	c.member(2)
	log := &c.logs.of[wire.StreamNormal]
	burst := func() {
		for range 2000 {
			c.publishOne(&wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}}, Payload: make([]byte, 1000)})
			c.applied()
		}
		c.ackedTo(2, wire.Frontiers{wire.StreamNormal: log.last()})
	}
	for range 20 {
		burst()
		c.tick()
	}
	if n := len(log.arena.free); n < 30 {
		t.Errorf("%d chunks are kept between bursts, want all that one takes", n)
	}
	for range 10 {
		c.tick()
	}
	if n := len(log.arena.free); n != 0 {
		t.Errorf("%d chunks are kept for nothing", n)
	}
}
