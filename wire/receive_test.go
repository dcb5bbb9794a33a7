package wire

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"unsafe"
)

// again gives the same bytes for ever, a TLS record at a time.
type again struct {
	src []byte
	at  int
}

func (a *again) Read(b []byte) (int, error) {
	n := copy(b[:min(len(b), 16<<10)], a.src[a.at:])
	a.at = (a.at + n) % len(a.src)
	return n, nil
}

// BenchmarkReceive is what a received message of 128 bytes takes up to its Handler, without
// TLS and locks: those of one room behind each other, and of rooms in turn.
func BenchmarkReceive(b *testing.B) {
	ballast := make([]byte, 4<<20) // as the program has
	defer runtime.KeepAlive(ballast)
	for _, rooms := range []int{1, 3} {
		b.Run(fmt.Sprintf("rooms=%d", rooms), func(b *testing.B) {
			var src []byte
			for i := range 3000 {
				src = AppendData(src, &Message{Envelope: &Envelope{Namespace: "/", Rooms: []string{fmt.Sprint("room", i%rooms)}}, Seq: uint64(1<<20 + i), Payload: bytes.Repeat([]byte("x"), 128)}, false)
			}
			r := NewReader(&again{src: src})
			var fs []Frame
			var ms []*Message
			b.ReportAllocs()
			for n := 0; n < b.N; n += len(fs) {
				for fs = fs[:0]; len(fs) == 0 || len(fs) < 128 && r.Whole(); {
					var err error
					if fs, _, err = r.Batch(fs, 128); err != nil {
						b.Fatal(err)
					}
				}
				var err error
				if ms, err = AppendMessages(ms[:0], fs, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestMessagesFitTheirAllocation: what the comment on group counts on.
func TestMessagesFitTheirAllocation(t *testing.T) {
	const header = 8 // of an allocation with pointers; classes are in internal/runtime/gc/sizeclasses.go
	if got := unsafe.Sizeof(group{}); got > 1024-header {
		t.Errorf("a group has %d bytes", got)
	}
}

// TestEnvelopesAreSharedByOneGroup: messages for one room have one envelope for each group,
// which holds on to no other; those for rooms in turn have one each.
func TestEnvelopesAreSharedByOneGroup(t *testing.T) {
	for _, tt := range []struct{ messages, rooms, envelopes int }{
		{1, 1, 1}, {5, 1, 1}, {together, 1, 1}, {together + 1, 1, 2}, {128, 1, 6}, {10, 2, 10}, {23, 3, 23}, {128, 128, 128},
	} {
		var fs []Frame
		for i := range tt.messages {
			m := &Message{Envelope: &Envelope{Namespace: "/", Rooms: []string{fmt.Sprint(i % tt.rooms)}}, Seq: uint64(i), Payload: []byte(`["e"]`)}
			fs = append(fs, body(AppendData(nil, m, false)))
		}
		ms, err := AppendMessages(nil, fs, 1)
		if err != nil {
			t.Fatal(err)
		}
		got := map[*Envelope]bool{}
		for i, m := range ms {
			got[m.Envelope] = true
			if m.Rooms[0] != fmt.Sprint(i%tt.rooms) {
				t.Fatalf("message %d is for %q", i, m.Rooms)
			}
		}
		if len(got) != tt.envelopes {
			t.Errorf("%d messages for %d rooms have %d envelopes, want %d", tt.messages, tt.rooms, len(got), tt.envelopes)
		}
	}
}
