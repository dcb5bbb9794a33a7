package recovery

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// BenchmarkMirror is the frame that a busy node sends: 256 messages of 128 bytes, and the places of as many in its order.
func BenchmarkMirror(b *testing.B) {
	f := Mirror{Epoch: 1}
	node := wire.NewNodeID()
	for i := range uint64(256) {
		m := wire.NewMessage(wire.Envelope{Origin: node, Namespace: "/", Rooms: []string{"room-42"}, From: "s"}, []byte(fmt.Sprintf(`["message","%s"]`, strings.Repeat("x", 114))))
		m.Seq = 1e6 + i
		f.Entries = append(f.Entries, Entry{m, time.Millisecond})
		f.Order = append(f.Order, Placed{Ref{node, 0, m.Seq}, time.Millisecond})
	}
	buf := AppendFrame(nil, f)
	each := func(b *testing.B, do func()) {
		b.ReportAllocs()
		for b.Loop() {
			do()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/message")
		b.ReportMetric(float64(len(buf))/256, "bytes/message")
	}
	b.Run("append", func(b *testing.B) { each(b, func() { buf = AppendFrame(buf[:0], f) }) })
	b.Run("decode", func(b *testing.B) {
		each(b, func() {
			if _, err := DecodeFrame(buf); err != nil {
				b.Fatal(err)
			}
		})
	})
}
