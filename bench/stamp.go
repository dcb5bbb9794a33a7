package bench

import (
	"bytes"
	"fmt"
)

// stamp is what every message carries, so that whoever gets it knows which it is
// and when it was due.
type stamp struct {
	stream uint32 // of the plan
	number uint32 // in its stream, from 0
	due    int64  // nanoseconds of Swarm.Now
}

// The text of a stamp: the marker, which names the run, then hexadecimal digits:
//
//	mb1.RRRRRRRR.SSSSSSSS.NNNNNNNN.TTTTTTTTTTTTTTTT...........
//
// filled up with dots to the size of a message.
const (
	markerSize = 13
	// MinSize is that of a stamp, in bytes.
	MinSize = markerSize + 8 + 1 + 8 + 1 + 16
)

// stamper writes and finds the stamps of one run.
type stamper struct {
	marker []byte
	fill   []byte // dots
	size   int    // of a message
}

func newStamper(run uint32, size int) stamper {
	return stamper{fmt.Appendf(nil, "mb1.%08x.", run), bytes.Repeat([]byte("."), size-MinSize), size}
}

// append appends the message for s: printable, nothing that JSON escapes.
func (m stamper) append(dst []byte, s stamp) []byte {
	dst = append(dst, m.marker...)
	dst = append(appendHex(dst, uint64(s.stream), 8), '.')
	dst = append(appendHex(dst, uint64(s.number), 8), '.')
	dst = appendHex(dst, uint64(s.due), 16)
	return append(dst, m.fill...)
}

// find looks for a message of this run in what a server sent. found tells that one
// is there, whole that it is as it was sent: data is its closing quote later.
func (m stamper) find(text []byte) (s stamp, found, whole bool) {
	i := bytes.Index(text, m.marker)
	if i < 0 {
		return stamp{}, false, false
	}
	b := text[i:]
	if len(b) <= m.size || b[m.size] != '"' {
		return stamp{}, true, false
	}
	b = b[markerSize:m.size]
	if b[8] != '.' || b[17] != '.' || !bytes.Equal(b[34:], m.fill) {
		return stamp{}, true, false
	}
	stream, ok1 := readHex(b[:8])
	number, ok2 := readHex(b[9:17])
	due, ok3 := readHex(b[18:34])
	return stamp{uint32(stream), uint32(number), int64(due)}, true, ok1 && ok2 && ok3
}

const digits = "0123456789abcdef"

func appendHex(dst []byte, v uint64, width int) []byte {
	for shift := 4 * (width - 1); shift >= 0; shift -= 4 {
		dst = append(dst, digits[v>>shift&15])
	}
	return dst
}

// readHex reads digits as appendHex writes them.
func readHex(b []byte) (v uint64, ok bool) {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		v = v<<4 | uint64(c)
	}
	return v, true
}
