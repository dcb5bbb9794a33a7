package ws

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// DefaultDeflateThreshold is the smallest message that is compressed, in bytes, as
// the official server's perMessageDeflate.threshold.
const DefaultDeflateThreshold = 1024

// Deflater compresses messages for websockets that have negotiated
// permessage-deflate (RFC 7692), always without context takeover: then a message is
// compressed once for all clients, and none costs the memory of a window. One is
// shared by the servers of a process; its methods may be called concurrently.
type Deflater struct {
	threshold int
	// idle has the compressors, nil for one not made yet: each has about 1 MB, and
	// more than there are processors would not be faster.
	idle chan *flate.Writer

	messages, in, out atomic.Uint64
}

// NewDeflater compresses messages of threshold bytes and more.
func NewDeflater(threshold int) *Deflater {
	n := runtime.GOMAXPROCS(0)
	d := &Deflater{threshold: threshold, idle: make(chan *flate.Writer, n)}
	for range n {
		d.idle <- nil
	}
	return d
}

// DeflateStats is what a Deflater has compressed: messages, whatever the number of
// their clients.
type DeflateStats struct {
	Messages          uint64
	BytesIn, BytesOut uint64 // before and after
}

// Stats is a snapshot. The nil Deflater has compressed nothing.
func (d *Deflater) Stats() DeflateStats {
	if d == nil {
		return DeflateStats{}
	}
	return DeflateStats{Messages: d.messages.Load(), BytesIn: d.in.Load(), BytesOut: d.out.Load()}
}

// The first bits of a frame (RFC 6455, section 5.2; RFC 7692, section 7.2.3.1).
const (
	finBit        = 0x80
	compressedBit = 0x40
)

// deflateTail ends each compressed message, and is not sent (RFC 7692, section 7.2.1).
var deflateTail = []byte{0, 0, 0xff, 0xff}

// wants says that a frame of g may be worth compressing, and that nobody has yet.
func (d *Deflater) wants(g *Group) bool {
	return !g.raw && !g.deflated.done.Load() && slices.ContainsFunc(g.Frames(), d.takes)
}

func (d *Deflater) takes(f Frame) bool { return f.Opcode != Ping && len(f.Data) >= d.threshold }

// frame is f as a whole compressed frame, or nil when that would not be smaller.
func (d *Deflater) frame(f Frame) []byte {
	if !d.takes(f) {
		return nil
	}
	var text bytes.Buffer
	w := <-d.idle
	if w == nil {
		w, _ = flate.NewWriter(&text, flate.BestSpeed) // fails for a level that does not exist
	} else {
		w.Reset(&text)
	}
	w.Write(f.Data) // to memory: neither fails
	w.Flush()
	d.idle <- w
	data := bytes.TrimSuffix(text.Bytes(), deflateTail)
	if len(data) >= len(f.Data) {
		return nil
	}
	d.messages.Add(1)
	d.in.Add(uint64(len(f.Data)))
	d.out.Add(uint64(len(data)))
	return append(frameHead(finBit|compressedBit|byte(f.Opcode), len(data)), data...)
}

// frameHead is the head of a frame that is not masked, as a server's are, with room
// for its data.
func frameHead(first byte, size int) []byte {
	return appendHead(make([]byte, 0, maxHead+size), first, size)
}

// maxHead is the longest head, in bytes.
const maxHead = 10

// headSize is how long the head of a frame of size bytes is.
func headSize(size int) int {
	switch {
	case size <= 125:
		return 2
	case size <= math.MaxUint16:
		return 4
	}
	return maxHead
}

func appendHead(head []byte, first byte, size int) []byte {
	head = append(head, first)
	switch {
	case size <= 125:
		return append(head, byte(size))
	case size <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(head, 126), uint16(size))
	}
	return binary.BigEndian.AppendUint64(append(head, 127), uint64(size))
}

// deflated are the frames of a Group as they go out compressed.
type deflated struct {
	once   sync.Once
	done   atomic.Bool
	frames [][]byte // by frame; nil for one that goes out as it is
}

// deflate gives the compressed frame of each frame, made by the first to ask.
func (g *Group) deflate(d *Deflater) [][]byte {
	g.deflated.once.Do(func() {
		defer g.deflated.done.Store(true)
		g.deflated.frames = make([][]byte, len(g.Frames()))
		if g.raw {
			return
		}
		for i, f := range g.Frames() {
			g.deflated.frames[i] = d.frame(f)
		}
	})
	return g.deflated.frames
}
