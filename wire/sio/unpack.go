package sio

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// DecodeMessagePack reads a packet of a client with socket.io-msgpack-parser: a
// msgpack map with the members type and nsp, and data and id if there are any.
// Others are passed over. A packet is one message; its binary values become
// p.Attachments, at most maxAttachments (0 means DefaultMaxAttachments), and the
// rest p.Data, as JSON text. That text is at most six times as long as data, and
// p.Attachments alias data.
//
// What JSON has no word for becomes what JSON.stringify makes of it: undefined
// is null in arrays and left out of maps, numbers that are not finite are null, a
// date is its ISO 8601 text, be it notepack's or msgpack's own extension. Whole
// numbers of 64 bits keep all their digits. Refused are other extensions, keys
// that are neither text nor whole numbers, text that is not UTF-8, more than
// wire.MaxDepth levels, and bytes behind the map.
func DecodeMessagePack(data []byte, maxAttachments int) (Packet, error) {
	if maxAttachments == 0 {
		maxAttachments = DefaultMaxAttachments
	}
	u := unpacker{in: data, most: maxAttachments}
	p := u.packet()
	if u.err == nil && len(u.in) > 0 {
		u.fail("bytes behind the packet")
	}
	if u.err == nil {
		u.err = checkData(p.Type, p.Data, len(p.Attachments))
	}
	if u.err != nil {
		return Packet{}, fmt.Errorf("msgpack of %d bytes: %w", len(data), u.err)
	}
	return p, nil
}

// unpacker writes msgpack values as JSON. After the first error it is bad for
// good: there is nothing left to read, and callers look at err once.
type unpacker struct {
	in          []byte // what is left
	out         []byte // JSON text
	attachments [][]byte
	most        int // attachments
	depth       int
	err         error
}

func (u *unpacker) fail(what string) {
	if u.err == nil {
		u.err = fmt.Errorf("%s: %w", what, ErrMalformed)
	}
	u.in = nil
}

// packet reads the map that a packet is. Each member that counts may be there once:
// of two, others would believe the last. The others are not noted: there may be
// hundreds of thousands.
func (u *unpacker) packet() (p Packet) {
	seen := map[string]bool{"type": false, "nsp": false, "id": false, "data": false}
	for n := u.length(0x80, 0xf, 0xde); n > 0 && u.err == nil; n-- {
		name := u.text()
		if again, counts := seen[name]; again {
			u.fail("member twice")
		} else if counts {
			seen[name] = true
		}
		switch name {
		case "type":
			if t := u.number(); t <= uint64(ConnectError-Connect) {
				p.Type = Connect + Type(t)
			} else {
				u.fail("unknown type")
			}
		case "nsp":
			if p.Namespace = u.text(); !strings.HasPrefix(p.Namespace, "/") || len(p.Namespace) > MaxNamespace {
				u.fail("invalid namespace")
			}
		case "id":
			p.AckID, p.HasAck = u.ackID()
		case "data":
			p.Data, p.Attachments = u.data()
		default:
			u.skip()
		}
	}
	if !seen["type"] || !seen["nsp"] {
		u.fail("no type or no namespace")
	}
	return p
}

// ackID reads the id, which JavaScript leaves undefined when it wants no answer.
func (u *unpacker) ackID() (id uint64, ok bool) {
	if u.absent() {
		return 0, false
	}
	if id = u.number(); id > MaxAckID {
		u.fail("ack id too large")
	}
	return id, true
}

func (u *unpacker) data() ([]byte, [][]byte) {
	if u.absent() {
		return nil, nil
	}
	u.value()
	return u.out, u.attachments
}

// skip passes over a value that means nothing, such as the options of the
// official client.
func (u *unpacker) skip() {
	over := unpacker{in: u.in, most: u.most, depth: u.depth}
	over.value()
	u.in, u.err = over.in, over.err
}

// absent takes undefined or nil, which stand for a member that is not there.
func (u *unpacker) absent() bool {
	switch {
	case len(u.in) > 0 && u.in[0] == 0xc0:
		u.take(1)
		return true
	case len(u.in) > 1 && u.in[0] == 0xd4 && u.in[1] == 0:
		u.take(3)
		return true
	}
	return false
}

// take is the next n bytes, or nil when there are fewer.
func (u *unpacker) take(n uint64) []byte {
	if n > uint64(len(u.in)) {
		u.fail("cut off")
		return nil
	}
	b := u.in[:n:n]
	u.in = u.in[n:]
	return b
}

// bigEndian reads a number of n bytes.
func (u *unpacker) bigEndian(n uint64) (v uint64) {
	for _, c := range u.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (u *unpacker) code() byte {
	if b := u.take(1); b != nil {
		return b[0]
	}
	return 0xc1 // never used
}

// number reads a whole number that is not negative.
func (u *unpacker) number() uint64 {
	switch c := u.code(); {
	case c < 0x80:
		return uint64(c)
	case c >= 0xcc && c <= 0xcf:
		return u.bigEndian(1 << (c - 0xcc))
	}
	u.fail("no whole number")
	return 0
}

// text reads a string.
func (u *unpacker) text() string {
	switch c := u.code(); {
	case c&0xe0 == 0xa0:
		return u.utf8(uint64(c & 0x1f))
	case c >= 0xd9 && c <= 0xdb:
		return u.utf8(u.bigEndian(1 << (c - 0xd9)))
	}
	u.fail("no string")
	return ""
}

func (u *unpacker) utf8(n uint64) string {
	b := u.take(n)
	if !utf8.Valid(b) {
		u.fail("invalid UTF-8")
	}
	return string(b)
}

// length reads the head of an array or map: short form, mask of its length, and
// the code of the 16 bit form. Each element takes a byte at least, so that a
// length above the bytes that are left is a lie.
func (u *unpacker) length(fix, mask, code16 byte) uint64 {
	var n uint64
	switch c := u.code(); {
	case c&^mask == fix:
		n = uint64(c & mask)
	case c == code16:
		n = u.bigEndian(2)
	case c == code16+1:
		n = u.bigEndian(4)
	default:
		u.fail("not the container that was expected")
	}
	if n > uint64(len(u.in)) {
		u.fail("cut off")
		return 0
	}
	return n
}
