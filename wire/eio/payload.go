package eio

import (
	"bytes"
	"iter"
	"slices"
)

// Separator stands between the packets of a payload, section "Packet encoding".
const Separator = 0x1e

// AppendPayload appends ps, joined with Separator, to dst. The protocol has no
// escape for a Separator within text: the caller sends none, or the receiver
// reads two packets. JSON text never holds one outside of an escape.
func AppendPayload(dst []byte, ps ...Packet) []byte {
	for i, p := range ps {
		if i > 0 {
			dst = append(dst, Separator)
		}
		dst = AppendPacket(dst, p)
	}
	return dst
}

// DecodePayload yields the packets of body in order. It splits as it goes, so a
// body costs no memory for packets that nobody has asked for yet: the number of
// packets has no limit but the length of body. Each Packet is as DecodePacket
// makes it and keeps body alive; appending to its Data does not touch the next.
//
// The first malformed packet is yielded as an error that wraps ErrMalformed, and
// is the last. An empty packet is malformed, and so is an empty body: thousands
// of separators end at the first.
func DecodePayload(body []byte) iter.Seq2[Packet, error] {
	return func(yield func(Packet, error) bool) {
		rest := body // a Seq may be walked twice
		for more := true; more; {
			var one []byte
			one, rest, more = bytes.Cut(rest, []byte{Separator})
			p, err := DecodePacket(slices.Clip(one), false)
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}
