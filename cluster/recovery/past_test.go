package recovery

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// The index is that of what is here, whatever has come and gone.
func TestRoomsOfALogAreThoseOfItsMessages(t *testing.T) {
	var h history
	r := rand.New(rand.NewPCG(1, 2))
	var seq [wire.Streams]uint64
	for i := range 5000 {
		flags := []wire.Flags{0, wire.High, wire.Low}[r.IntN(3)]
		k := flags.Stream()
		seq[k] += 1 + uint64(r.IntN(2))
		h.add(message(seq[k], flags, fmt.Sprint("r", r.IntN(30)), fmt.Sprint("r", r.IntN(30)), string(wire.NewSessionID(7))), time.Duration(i))
		if r.IntN(20) == 0 {
			h.trim(time.Duration(i-r.IntN(300)), 300*h.streams[0].entries.len())
		}
		if i%500 > 0 {
			continue
		}
		want := map[roomKey]int{}
		for k := range h.streams {
			of := &h.streams[k].entries
			for i := range of.len() {
				m := of.at(i).m
				want[roomKey{wire.Topic{Namespace: "/", Room: m.Rooms[0]}, wire.Stream(k)}]++
				if m.Rooms[1] != m.Rooms[0] {
					want[roomKey{wire.Topic{Namespace: "/", Room: m.Rooms[1]}, wire.Stream(k)}]++
				}
			}
		}
		if len(want) != len(h.rooms.of) {
			t.Fatalf("%d rooms, want %d", len(h.rooms.of), len(want))
		}
		bytes := 0
		for key, n := range want {
			at := h.rooms.of[key]
			if at == nil || at.len() != n {
				t.Fatalf("%v has not %d messages", key, n)
			}
			bytes += key.bytes() + at.bytes()
		}
		if h.rooms.bytes != bytes {
			t.Fatalf("%d bytes are counted, want %d", h.rooms.bytes, bytes)
		}
	}
	if h.trim(time.Hour, 0); len(h.rooms.of) > 0 || h.rooms.bytes > 0 || h.rooms.most > fewRooms {
		t.Errorf("%d rooms of an empty log, %d bytes and places for %d", len(h.rooms.of), h.rooms.bytes, h.rooms.most)
	}
}

func TestWalkThroughThePastStopsOftenAndEnds(t *testing.T) {
	m := New(Config{ID: 7, LogBytes: 1 << 30})
	m.At(time.Second)
	const all = pastLooks + 2*pastStep
	for i := range uint64(all) {
		m.Published(message(i+1, 0, "r"))
	}
	m.Take()
	at := wire.Topic{Namespace: "/", Room: "r"}
	p, calls := m.Past(PastQuery{Topic: at, Limit: 10, Skip: func(*wire.Message) bool { return true }}), 1
	for ; !m.Walk(p); calls++ {
	}
	if calls != pastLooks/pastStep+1 || !p.More || len(m.Found(p)) > 0 {
		t.Errorf("%d calls, more %v, found %d", calls, p.More, len(m.Found(p)))
	}
	p = m.Past(PastQuery{Topic: at, Limit: all, Bytes: 1 << 30})
	m.Walk(p)
	m.At(2 * time.Second)
	m.log.trim(m.awake(), 1<<30) // all that the walk has not seen goes, but for the next
	for !m.Walk(p) {
	}
	if found := m.Found(p); len(found) != pastStep+1 || p.More || found[pastStep].Message.Seq != all-pastStep || found[0].Age != time.Second {
		t.Errorf("found %d, more %v", len(found), p.More)
	}
}

// A room of which something is said now and then is found among many messages to others.
func BenchmarkPastOfAQuietRoom(b *testing.B) {
	m := New(Config{ID: 7, LogBytes: 1 << 30})
	m.At(time.Second)
	for i := range uint64(400_000) {
		m.Published(message(i+1, 0, fmt.Sprint("r", i%8000)))
	}
	m.Take()
	for b.Loop() {
		p := m.Past(PastQuery{Topic: wire.Topic{Namespace: "/", Room: "r7"}, Limit: 50, Bytes: 1 << 20})
		for !m.Walk(p) {
		}
		if len(m.Found(p)) != 50 {
			b.Fatal("not all")
		}
	}
}
