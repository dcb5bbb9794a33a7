package ws

import (
	"net"
	"runtime"
	"testing"
	"time"
)

// sink is a connection that takes everything and has no descriptor.
type sink struct {
	net.Conn
	bytes int
}

func (s *sink) Write(p []byte) (int, error)      { s.bytes += len(p); return len(p), nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// One group may be all that waited for a session that has moved here.
func TestLongBatchesCostNoMemoryOfTheirOwn(t *testing.T) {
	frames := make([]encoded, 10_000)
	for i := range frames {
		frames[i] = Frame{Text, []byte("a")}.encode()
	}
	var before, after runtime.MemStats
	s := &sink{}
	c := &tap{Conn: s}
	runtime.ReadMemStats(&before)
	if err := c.writeFrames(frames, false, time.Minute); err != nil || s.bytes != 3*len(frames) {
		t.Errorf("wrote %d bytes (%v), want %d", s.bytes, err, 3*len(frames))
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("writing %d frames took %d bytes of memory", len(frames), got)
	}
}
