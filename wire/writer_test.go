package wire

import (
	"bytes"
	"fmt"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// TestWriterWritesWhatAppendDataDoes: whatever came before, the frame is the same.
func TestWriterWritesWhatAppendDataDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w DataWriter
		var runs []string // what each run is for
		few := func(name string) *rapid.Generator[string] {
			return rapid.SampledFrom([]string{"", "a", "b", "ab", name})
		}
		for range 30 {
			m := &Message{Envelope: &Envelope{
				Namespace: few("ns").Draw(t, "ns"),
				Rooms:     rapid.SliceOfN(few("room"), 0, 2).Draw(t, "rooms"),
				Flags:     Flags(rapid.SampledFrom([]uint16{0, 1, 300}).Draw(t, "flags")),
				From:      SessionID(few("from").Draw(t, "from")),
			}, Seq: rapid.Uint64().Draw(t, "seq"), Payload: make([]byte, rapid.SampledFrom([]int{0, 130, 300, 70000}).Draw(t, "size"))}
			if rapid.Bool().Draw(t, "more") {
				m.Except, m.Attachments = []string{"x"}, [][]byte{{1}}
			}
			run := w.Run(m)
			if run == 0 {
				if len(m.Rooms) == 1 && m.Except == nil {
					t.Fatalf("%+v is of no run", m.Envelope)
				}
				continue
			}
			key := fmt.Sprintf("%+v", *m.Envelope)
			if run > uint64(len(runs)) {
				runs = append(runs, key)
			}
			if run != uint64(len(runs)) || runs[run-1] != key || !w.IsFor(run, m.Namespace, m.Rooms[0]) || w.IsFor(run, m.Namespace, m.Rooms[0]+"x") || w.IsFor(run-1, m.Namespace, m.Rooms[0]) {
				t.Fatalf("%s is of run %d: %q", key, run, runs)
			}
			before := []byte("before")
			if got, want := w.Append(before, m), AppendData(before, m, false); !bytes.Equal(got, want) {
				t.Fatalf("%s:\n got %x\nwant %x", key, got, want)
			}
		}
	})
}

// TestWriterKeepsNothingOfAMessage: its strings may be views of something large.
func TestWriterKeepsNothingOfAMessage(t *testing.T) {
	var w DataWriter
	room := []byte("room")
	m := &Message{Envelope: &Envelope{Namespace: "/", Rooms: []string{unsafe.String(&room[0], len(room))}}}
	run := w.Run(m)
	copy(room, "moor")
	if !w.IsFor(run, "/", "room") || w.Run(m) == run {
		t.Error("the writer looks at the bytes of a message that it was given before")
	}
	if got := testing.AllocsPerRun(10, func() { room[0]++; w.Run(m) }); got > 0 {
		t.Errorf("%v allocations for a message of another room", got)
	}
}
