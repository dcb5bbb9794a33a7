package recovery

import (
	"encoding/base64"
	"encoding/binary"

	"github.com/meshrt/meshrt/wire"
)

// Cursor is a place in what a node has handed to its clients: its D-th message. A
// client tells the last one that it got. The zero Cursor is that of a client that got
// none. It is made once a message and node, not for each client.
type Cursor struct {
	Node wire.NodeID
	D    uint64
	Lag  Lag
}

// place is c without what it says beside: two cursors of one place stand for the same.
func (c Cursor) place() Cursor { return Cursor{Node: c.Node, D: c.D} }

// Lag is what a cursor says for a mirror that does not know its place yet: in which streams something was handed out since
// the last place that mirrors have confirmed, and up to which number. Of a stream it has a hash of the origin, and of
// the number the low bits, as a mirror knows about how far it is. Zero says nothing. See lagForm.
type Lag [2]uint64

// lagForm is how a Lag of so many streams is written: of each its stream, some bits of the hash, and some of the number.
type lagForm struct{ origin, number, bytes uint }

// lagForms are by how many streams there are. With five a cursor has 32 characters.
var lagForms = [...]lagForm{1: {14, 16, 4}, 2: {12, 14, 7}, 3: {11, 11, 9}, 4: {9, 9, 10}, 5: {8, 7, 11}}

// maxLag are the most streams that a cursor speaks of.
const maxLag = len(lagForms) - 1

const streamBits = 2

func (f lagForm) bits() uint { return streamBits + f.origin + f.number }

// lagCount is where the first number of a Lag has how many streams there are: what is below is as long as lagForms say.
const lagCount = 56

// form is how l is written; false when it says nothing.
func (l Lag) form() (n int, f lagForm, ok bool) {
	if n = int(l[0] >> lagCount); n > 0 && n <= maxLag {
		return n, lagForms[n], true
	}
	return 0, f, false
}

// push puts so many bits behind those that are there.
func (l *Lag) push(v uint64, bits uint) {
	l[0], l[1] = l[0]<<bits|l[1]>>(64-bits), l[1]<<bits|v
}

// pop takes off the last bits.
func (l *Lag) pop(bits uint) uint64 {
	v := l[1] & (1<<bits - 1)
	l[0], l[1] = l[0]>>bits, l[1]>>bits|l[0]<<(64-bits)
	return v
}

// Beside a Lag there is less room for the place in a cursor's text: one that does not fit has none.
const (
	placeBytes = 5
	maxPlace   = 1<<(8*placeBytes) - 1
)

const (
	plainBytes = 16
	lagAt      = 8 + placeBytes
	maxCursor  = lagAt + 11
)

var cursorText = base64.RawURLEncoding.Strict()

// String is how clients see c: 22 to 32 characters, in a cluster of any size.
func (c Cursor) String() string {
	var b [maxCursor]byte
	var text [32]byte
	binary.BigEndian.PutUint64(b[:], uint64(c.Node))
	size := uint(plainBytes)
	if _, f, ok := c.Lag.form(); ok && c.D <= maxPlace {
		size = lagAt + f.bytes
		for i := range uint(placeBytes) {
			b[lagAt-1-i] = byte(c.D >> (8 * i))
		}
		for i := size; i > lagAt; i-- {
			b[i-1] = byte(c.Lag.pop(8))
		}
	} else {
		binary.BigEndian.PutUint64(b[8:], c.D)
	}
	n := cursorText.EncodedLen(int(size))
	cursorText.Encode(text[:n], b[:size])
	return string(text[:n])
}

// ParseCursor reads what String made; false for anything else. Clients can make up any
// cursor: it chooses what they are sent of their own rooms, and nothing else.
func ParseCursor(s string) (c Cursor, ok bool) {
	var b [maxCursor]byte
	size := cursorText.DecodedLen(len(s))
	if size > len(b) || size < plainBytes || cursorText.EncodedLen(size) != len(s) {
		return c, false
	}
	// The decoder skips ends of lines: then there are fewer bytes.
	if n, err := cursorText.Decode(b[:size], []byte(s)); err != nil || n != size {
		return c, false
	}
	c.Node = wire.NodeID(binary.BigEndian.Uint64(b[:]))
	if size == plainBytes {
		c.D = binary.BigEndian.Uint64(b[8:])
		return c, true
	}
	for _, x := range b[8:lagAt] {
		c.D = c.D<<8 | uint64(x)
	}
	for n, f := range lagForms {
		if n == 0 || size != int(lagAt+f.bytes) {
			continue
		}
		for _, x := range b[lagAt:size] {
			c.Lag.push(uint64(x), 8)
		}
		if c.Lag[0]>>(max(f.bits()*uint(n), 64)-64) > 0 {
			return Cursor{}, false // more than the streams have
		}
		c.Lag[0] |= uint64(n) << lagCount
		return c, true
	}
	return Cursor{}, false
}
