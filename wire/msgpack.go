package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"
)

// The msgpack of the hot frames is appended and parsed by hand, byte for byte
// what go-msgpack writes for the same values (TestHandWrittenFrames): a tenth
// of its cost and no allocation (MESH §4).

// ErrMalformed reports a frame that is not what its kind says.
var ErrMalformed = errors.New("wire: malformed frame")

func appendUint(b []byte, v uint64) []byte {
	switch {
	case v < 1<<7:
		return append(b, byte(v))
	case v < 1<<8:
		return append(b, 0xcc, byte(v))
	case v < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(v))
	case v < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), v)
}

func appendUints(b []byte, vs []uint64) []byte {
	for _, v := range vs {
		b = appendUint(b, v)
	}
	return b
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0xc3)
	}
	return append(b, 0xc2)
}

func appendString(b []byte, s string) []byte {
	n := len(s)
	switch {
	case n < 1<<5:
		b = append(b, 0xa0|byte(n))
	case n < 1<<8:
		b = append(b, 0xd9, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n))
	}
	return append(b, s...)
}

func appendBin(b, p []byte) []byte {
	n := len(p)
	switch {
	case n < 1<<8:
		b = append(b, 0xc4, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0xc5), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xc6), uint32(n))
	}
	return append(b, p...)
}

func appendArray(b []byte, n int) []byte {
	switch {
	case n < 1<<4:
		return append(b, 0x90|byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 0xdc), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xdd), uint32(n))
}

func appendStrings(b []byte, ss []string) []byte {
	b = appendArray(b, len(ss))
	for _, s := range ss {
		b = appendString(b, s)
	}
	return b
}

// parser walks one frame body. After a value of the wrong type or beyond the
// end it is bad for good and yields zero values; callers look once, at the end.
type parser struct {
	b   []byte
	at  uint // what is left begins here
	bad bool
}

func (p *parser) fail() { p.bad, p.at = true, uint(len(p.b)) }

// left is how many bytes are left.
func (p *parser) left() uint64 { return uint64(uint(len(p.b)) - p.at) }

func (p *parser) take(n uint64) []byte {
	if n > p.left() {
		p.fail()
		return nil
	}
	from := p.at
	p.at += uint(n)
	return p.b[from:p.at:p.at]
}

func (p *parser) byte() byte {
	if p.at >= uint(len(p.b)) {
		p.fail()
		return 0
	}
	c := p.b[p.at]
	p.at++
	return c
}

// be reads a big-endian number of 1, 2, 4 or 8 bytes.
func (p *parser) be(n uint64) uint64 {
	switch b := p.take(n); len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	case 8:
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (p *parser) uint() uint64 {
	switch c := p.byte(); {
	case c < 0x80:
		return uint64(c)
	case c == 0xce && p.left() >= 4: // the number of nearly every message
		n := binary.BigEndian.Uint32(p.b[p.at:])
		p.at += 4
		return uint64(n)
	case c >= 0xcc && c <= 0xcf:
		return p.be(1 << (c - 0xcc))
	}
	p.fail()
	return 0
}

func (p *parser) bool() bool {
	switch p.byte() {
	case 0xc2:
		return false
	case 0xc3:
		return true
	}
	p.fail()
	return false
}

// string is a view of the frame's own bytes: a frame is never reused, so the
// view lives as long as anybody holds it.
func (p *parser) string() string {
	var v []byte
	switch c := p.byte(); {
	case c&0xe0 == 0xa0:
		v = p.take(uint64(c & 0x1f))
	case c >= 0xd9 && c <= 0xdb:
		v = p.take(p.be(1 << (c - 0xd9)))
	default:
		p.fail()
	}
	if len(v) == 0 {
		return "" // and holds no frame
	}
	return unsafe.String(unsafe.SliceData(v), len(v))
}

func (p *parser) bin() []byte {
	c := p.byte()
	if c == 0xc4 {
		return p.take(uint64(p.byte()))
	}
	if c > 0xc4 && c <= 0xc6 {
		return p.take(p.be(1 << (c - 0xc4)))
	}
	p.fail()
	return nil
}

// array is the number of elements that follow. Each needs a byte at least, so
// a number above the bytes that are left is a lie and nothing is allocated for it.
func (p *parser) array() int {
	var n uint64
	switch c := p.byte(); {
	case c&0xf0 == 0x90:
		n = uint64(c & 0xf)
	case c == 0xdc:
		n = p.be(2)
	case c == 0xdd:
		n = p.be(4)
	case c == 0xc0: // nil
	default:
		p.fail()
	}
	if n > p.left() {
		p.fail()
		return 0
	}
	return int(n)
}

func (p *parser) strings() []string { return p.stringsIn(new([]string)) }

// stringsIn is strings in an array of several, if it has room for them.
func (p *parser) stringsIn(list *[]string) []string {
	n := p.array()
	if n == 0 {
		return nil
	}
	free := *list
	ss := free[len(free):]
	if n > cap(ss) {
		ss = make([]string, 0, n)
	} else {
		ss = ss[:0:n]
		*list = free[:len(free)+n]
	}
	for ; n > 0 && !p.bad; n-- {
		ss = append(ss, p.string())
	}
	return ss
}

// begin opens a frame body of at least fields elements after the kind, which
// is checked, and tells how many more there are: those that came later, of which the
// ones that a newer version added are ignored.
func (p *parser) begin(k Kind, fields int) (more int) {
	n := p.array()
	if n < 1+fields || Kind(p.uint()) != k {
		p.fail()
	}
	return n - 1 - fields
}

// frontiers reads those behind the first, of which a frame may have none.
func (p *parser) frontiers(first uint64, more int) Frontiers {
	f := Frontiers{first}
	for i := 1; i < len(f) && i <= more; i++ {
		f[i] = p.uint()
	}
	return f
}

func (p *parser) err(k Kind) error {
	if p.bad {
		return fmt.Errorf("%v: %w", k, ErrMalformed)
	}
	return nil
}
