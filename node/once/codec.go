package once

import (
	"encoding/binary"
	"errors"

	"github.com/meshrt/meshrt/wire"
)

// ErrMalformed reports what is no claim, reply or notice.
var ErrMalformed = errors.New("once: malformed")

// On the wire: fixed fields, big-endian, and bits in one byte. What a later version appends is not
// looked at.
const (
	bitDone = 1 << iota
	bitMine
	bitReleased
)

// AppendClaim appends the question of a node that claims a key.
func AppendClaim(b []byte, c Claim) []byte {
	return binary.BigEndian.AppendUint64(append(b, c.Key[:]...), c.N)
}

// DecodeClaim reads AppendClaim.
func DecodeClaim(b []byte) (c Claim, err error) {
	if len(b) < len(c.Key)+8 {
		return c, ErrMalformed
	}
	copy(c.Key[:], b)
	c.N = binary.BigEndian.Uint64(b[len(c.Key):])
	return c, nil
}

// AppendReply appends an answer to a claim.
func AppendReply(b []byte, r Reply) []byte {
	var bits byte
	if r.Done {
		bits |= bitDone
	}
	if r.Mine {
		bits |= bitMine
	}
	held := r.Held[:min(len(r.Held), maxClaims)]
	b = append(append(b, bits), r.Hash[:]...)
	b = append(b, byte(len(held)))
	for _, id := range held {
		b = binary.BigEndian.AppendUint64(b, uint64(id))
	}
	b = append(binary.BigEndian.AppendUint64(b, uint64(r.At.Origin)), byte(r.At.Stream))
	return binary.BigEndian.AppendUint64(b, r.At.Seq)
}

// DecodeReply reads AppendReply.
func DecodeReply(b []byte) (r Reply, err error) {
	const fixed = 1 + len(r.Hash) + 1
	if len(b) < fixed {
		return r, ErrMalformed
	}
	r.Done, r.Mine = b[0]&bitDone != 0, b[0]&bitMine != 0
	copy(r.Hash[:], b[1:])
	n := int(b[fixed-1])
	const place = 8 + 1 + 8
	if b = b[fixed:]; n > maxClaims || len(b) < 8*n+place || b[8*n+8] >= wire.Streams {
		return Reply{}, ErrMalformed
	}
	for i := range n {
		r.Held = append(r.Held, wire.NodeID(binary.BigEndian.Uint64(b[8*i:])))
	}
	b = b[8*n:]
	r.At = Place{wire.NodeID(binary.BigEndian.Uint64(b)), wire.Stream(b[8]), binary.BigEndian.Uint64(b[9:])}
	return r, nil
}

// AppendNotice appends a notice.
func AppendNotice(b []byte, n Notice) []byte {
	var bits byte
	if n.Released {
		bits |= bitReleased
	}
	b = append(append(append(b, bits), n.Key[:]...), n.Hash[:]...)
	return binary.BigEndian.AppendUint64(b, n.N)
}

// DecodeNotice reads AppendNotice.
func DecodeNotice(b []byte) (n Notice, err error) {
	const fixed = 1 + len(n.Key) + len(n.Hash)
	if len(b) < fixed+8 {
		return n, ErrMalformed
	}
	n.Released = b[0]&bitReleased != 0
	copy(n.Key[:], b[1:])
	copy(n.Hash[:], b[1+len(n.Key):])
	n.N = binary.BigEndian.Uint64(b[fixed:])
	return n, nil
}
