package wire

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
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
				src = AppendData(src, &Message{Seq: uint64(1<<20 + i), Namespace: "/", Rooms: []string{fmt.Sprint("room", i%rooms)}, Payload: bytes.Repeat([]byte("x"), 128)}, false)
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
