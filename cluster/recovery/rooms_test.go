package recovery

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// heapAfter is what f adds to the heap, in bytes.
func heapAfter(f func()) int {
	heap := func() uint64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := heap()
	f()
	return int(heap()) - int(before)
}

// raceDetector is set when that is on: what memory takes is not measured then.
var raceDetector bool

// What LogBytes says of the index is at least what it takes, whatever has come and gone: many rooms, one room, rooms
// that were many and are few.
func TestIndexTakesNoMoreThanIsCounted(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector takes memory of its own")
	}
	envelope := func(room string) *wire.Envelope {
		return &wire.Envelope{Origin: 7, Namespace: "/", Rooms: []string{room}}
	}
	const all = 60_000
	one := envelope("r")
	for _, tt := range []struct {
		name string
		to   func(i int) *wire.Envelope
		drop int // of them at the end
	}{
		{"a room for each", func(i int) *wire.Envelope { return envelope(fmt.Sprint("room ", i)) }, 0},
		{"a room for each, half of them gone", func(i int) *wire.Envelope { return envelope(fmt.Sprint("room ", i)) }, all / 2},
		{"a room for each, most of them gone", func(i int) *wire.Envelope { return envelope(fmt.Sprint("room ", i)) }, all - all/20},
		{"one room", func(int) *wire.Envelope { return one }, 0},
		{"one room, half of it gone", func(int) *wire.Envelope { return one }, all / 2},
		{"one room, most of it gone", func(int) *wire.Envelope { return one }, all - 10},
		{"rooms of ten", func(i int) *wire.Envelope { return envelope(fmt.Sprint("room ", i/10)) }, all / 3},
	} {
		messages := make([]*wire.Message, all)
		for i := range messages {
			messages[i] = &wire.Message{Envelope: tt.to(i), Seq: uint64(i + 1), Payload: []byte(`["e"]`)}
		}
		var h history
		took := heapAfter(func() {
			for i, m := range messages {
				h.index(m, uint64(i))
			}
			for i, m := range messages[:tt.drop] {
				h.unindex(m, uint64(i))
			}
		})
		counted := h.rooms.size()
		t.Logf("%s: %d bytes, %d counted", tt.name, took, counted)
		if took > counted+16<<10 { // the rest of the test
			t.Errorf("%s: the index takes %d bytes, and %d are counted", tt.name, took, counted)
		}
		runtime.KeepAlive(messages)
		runtime.KeepAlive(&h)
	}
}

// A room is found under a name of its own: it outlives the message that brought it, of whose frame that one's are views.
func TestRoomsHoldNoFrames(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector takes memory of its own")
	}
	const rooms, large = 20, 1 << 20
	for _, namespace := range []string{"", "/"} {
		var h history
		took := heapAfter(func() {
			for i := range uint64(rooms) {
				m := &wire.Message{Envelope: &wire.Envelope{Origin: 7, Namespace: namespace, Rooms: []string{fmt.Sprint("room ", i)}}, Seq: i + 1, Payload: make([]byte, large)}
				b := wire.AppendData(nil, m, true)
				m, err := wire.DecodeData(b[4:], 7) // behind its length
				if err != nil {
					t.Fatal(err)
				}
				h.add(m, 0)
			}
			for i := range uint64(rooms) {
				m := message(rooms+i+1, 0, fmt.Sprint("room ", i))
				m.Namespace = namespace
				h.add(m, 1)
			}
			h.trim(1, large)
		})
		if n := h.streams[0].entries.len(); n != rooms || len(h.rooms.of) != rooms || took > large {
			t.Errorf("%d small messages to %d rooms take %d bytes", n, len(h.rooms.of), took)
		}
		runtime.KeepAlive(&h)
	}
}

// At the limit one message goes for each that comes, and the index counts.
func TestLogBytesIsALimitOfMessagesAndIndex(t *testing.T) {
	const limit = 100_000
	for _, rooms := range []int{1, 100_000} {
		m := New(Config{ID: 7, LogBytes: limit})
		m.At(time.Second)
		fits, i := 0, uint64(0)
		for ; fits == 0 || i < uint64(3*fits); i++ {
			m.Published(message(i+1, 0, fmt.Sprint("room ", int(i)%rooms)))
			m.Take()
			if got := m.LogBytes(); got > limit {
				t.Fatalf("%d rooms: %d bytes after %d messages, allowed are %d", rooms, got, i+1, limit)
			}
			if fits == 0 && m.stats.Short > 0 {
				fits = int(i)
			}
		}
		kept := m.log.streams[0].entries.len()
		each := message(1, 0, "room 10000").Size()
		t.Logf("%d rooms: %d messages fit, %d are here", rooms, fits, kept)
		if fits*each > limit || rooms > 1 && fits*each > limit/2 || kept < fits*9/10 {
			t.Errorf("%d rooms: %d messages fitted, and %d are kept", rooms, fits, kept)
		}
		if m.Past(PastQuery{Topic: wire.Topic{Namespace: "/", Room: fmt.Sprint("room ", int(i-1)%rooms)}}).ways == nil {
			t.Errorf("%d rooms: the newest is not found", rooms)
		}
	}
}
