package eio

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"unicode/utf8"
)

// What differs in Engine.IO 3, which clients of Socket.IO 1 and 2 speak. Source:
// docs/engine.io-protocol/v3.md, and packages/engine.io/lib/parser-v3 for what it
// leaves open.
//
//   - A binary message has a type byte too, 4: before its bytes in a websocket
//     frame, and before its base64 in text: "b4AQID".
//   - A payload has the length of each packet in front of it: in text "6:4hello",
//     in UTF-16 code units, and when it holds bytes that are not base64, as bytes:
//     0 for text or 1, the digits of the length in bytes, 255.
//   - The client pings, and the server answers.

// binaryMessageV3 is the type byte of a binary message.
const binaryMessageV3 = Message - '0'

// maxLengthDigits is more than any payload that fits into memory needs.
const maxLengthDigits = 10

// PacketV3 is the open packet that carries h to a client of version 3, which
// knows no MaxPayload.
func (h Handshake) PacketV3() Packet {
	data, err := json.Marshal(struct {
		SID          string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval int      `json:"pingInterval"`
		PingTimeout  int      `json:"pingTimeout"`
	}{h.SID, append([]string{}, h.Upgrades...), h.PingInterval, h.PingTimeout})
	if err != nil {
		panic("eio: " + err.Error()) // strings and integers always encode
	}
	return Packet{Type: Open, Data: data}
}

// AppendBinaryV3 appends a binary message as the bytes of a websocket frame.
func AppendBinaryV3(dst, data []byte) []byte {
	return append(append(dst, byte(binaryMessageV3)), data...)
}

// AppendBase64V3 appends a binary message as text.
func AppendBase64V3(dst, data []byte) []byte {
	return base64.StdEncoding.AppendEncode(append(dst, binaryPrefix, byte(Message)), data)
}

// DecodePacketV3 is DecodePacket for version 3.
func DecodePacketV3(data []byte, binary bool) (Packet, error) {
	switch {
	case binary && (len(data) == 0 || data[0] != byte(binaryMessageV3)):
		return Packet{}, fmt.Errorf("%w: bytes that are no message", ErrMalformed)
	case binary:
		return Packet{Type: Message, Binary: true, Data: data[1:]}, nil
	case len(data) > 0 && data[0] == binaryPrefix:
		if len(data) == 1 || data[1] != byte(Message) {
			return Packet{}, fmt.Errorf("%w: base64 that is no message", ErrMalformed)
		}
		return decodeBase64(data[2:])
	}
	return DecodePacket(data, false)
}

// FrameV3 is a packet as a websocket frame has it.
type FrameV3 struct {
	Binary bool
	Data   []byte
}

// AppendPayloadV3 appends a payload of frames and tells whether it is bytes,
// which it is when one of them is.
func AppendPayloadV3(dst []byte, frames []FrameV3) (body []byte, binary bool) {
	binary = slices.ContainsFunc(frames, func(f FrameV3) bool { return f.Binary })
	for _, f := range frames {
		if !binary {
			dst = append(strconv.AppendInt(dst, int64(codeUnits(f.Data)), 10), ':')
			dst = append(dst, f.Data...)
			continue
		}
		kind := byte(0)
		if f.Binary {
			kind = 1
		}
		dst = append(dst, kind)
		digits := len(dst)
		dst = strconv.AppendInt(dst, int64(len(f.Data)), 10)
		for i := digits; i < len(dst); i++ {
			dst[i] -= '0'
		}
		dst = append(append(dst, 0xff), f.Data...)
	}
	return dst, binary
}

// codeUnits is the length of UTF-8 text in JavaScript.
func codeUnits(text []byte) (n int) {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		n++
		if r > 0xffff {
			n++
		}
		text = text[size:]
	}
	return n
}

// DecodePayloadV3 is DecodePayload for version 3; binary says that body came as
// bytes. A packet without a byte, which is no packet in version 4, is passed over.
func DecodePayloadV3(body []byte, binary bool) iter.Seq2[Packet, error] {
	cut := cutTextV3
	if binary {
		cut = cutBinaryV3
	}
	return func(yield func(Packet, error) bool) {
		if len(body) == 0 {
			yield(Packet{}, fmt.Errorf("%w: empty payload", ErrMalformed))
		}
		for rest := body; len(rest) > 0; {
			one, isBinary, more, err := cut(rest)
			rest = more
			if err == nil && len(one) == 0 {
				continue
			}
			var p Packet
			if err == nil {
				p, err = DecodePacketV3(slices.Clip(one), isBinary)
			}
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

// cutTextV3 cuts "6:4hello" off b.
func cutTextV3(b []byte) (one []byte, binary bool, rest []byte, err error) {
	colon := bytes.IndexByte(b[:min(len(b), maxLengthDigits+1)], ':')
	if colon < 0 {
		return nil, false, nil, fmt.Errorf("%w: no length", ErrMalformed)
	}
	left, err := strconv.ParseUint(string(b[:colon]), 10, 32)
	if err != nil {
		return nil, false, nil, fmt.Errorf("%w: length %q", ErrMalformed, b[:colon])
	}
	b = b[colon+1:]
	end := 0
	for left > 0 && end < len(b) {
		r, size := utf8.DecodeRune(b[end:])
		units := uint64(1)
		if r > 0xffff {
			units = 2
		}
		if units > left {
			break // the length ends within a character
		}
		left -= units
		end += size
	}
	if left > 0 {
		return nil, false, nil, fmt.Errorf("%w: length beyond the payload, or within a character", ErrMalformed)
	}
	return b[:end], false, b[end:], nil
}

// cutBinaryV3 cuts a packet off b, whose first byte tells its kind.
func cutBinaryV3(b []byte) (one []byte, binary bool, rest []byte, err error) {
	kind, n := b[0], uint64(0)
	b = b[1:]
	digits := bytes.IndexByte(b[:min(len(b), maxLengthDigits+1)], 0xff)
	if kind > 1 || digits < 1 {
		return nil, false, nil, fmt.Errorf("%w: no kind or no length", ErrMalformed)
	}
	for _, d := range b[:digits] {
		if d > 9 {
			return nil, false, nil, fmt.Errorf("%w: length", ErrMalformed)
		}
		n = n*10 + uint64(d)
	}
	b = b[digits+1:]
	if n > uint64(len(b)) {
		return nil, false, nil, fmt.Errorf("%w: length beyond the payload", ErrMalformed)
	}
	return b[:n], kind == 1, b[n:], nil
}
