package sio

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/meshrt/meshrt/wire"
)

var errNoJSON = errors.New("no valid JSON")

// AppendMessagePack appends p as one message for clients with
// socket.io-msgpack-parser. p.Data must be valid JSON; attachments stand where
// their placeholders are, and as data where those do not fit the attachments.
//
// Whole numbers of up to 64 bits are integers; larger ones are floats, which is
// how JavaScript reads them in JSON. Lone surrogates, which UTF-8 cannot
// write, become U+FFFD.
func AppendMessagePack(dst []byte, p Packet) ([]byte, error) {
	members := byte(2)
	if len(p.Data) > 0 {
		members++
	}
	if p.HasAck {
		members++
	}
	namespace := p.Namespace
	if namespace == "" {
		namespace = "/"
	}
	dst = append(dst, 0x80|members)
	dst = appendPackedString(dst, "type")
	dst = append(dst, byte(p.Type-Connect))
	dst = appendPackedString(dst, "nsp")
	dst = appendPackedString(dst, namespace)
	if p.HasAck {
		dst = appendPackedString(dst, "id")
		dst = appendPackedUint(dst, p.AckID)
	}
	if len(p.Data) == 0 {
		return dst, nil
	}
	dst = appendPackedString(dst, "data")
	return appendPackedJSON(dst, p.Data, p.Attachments)
}

// appendPackedJSON appends a JSON text as msgpack.
func appendPackedJSON(dst, text []byte, attachments [][]byte) ([]byte, error) {
	if !wire.ValidJSON(text) {
		return nil, errNoJSON
	}
	k := packer{text: text, out: dst, lengths: countElements(text)}
	if found, err := wire.Placeholders(text, len(attachments)); err == nil {
		k.placeholders, k.attachments = found, attachments
	}
	k.value()
	return k.out, nil
}

// packer writes a valid JSON text as msgpack. Its depth is that which
// encoding/json takes.
type packer struct {
	text         []byte
	at           int // next byte of text
	out          []byte
	lengths      []int // of the containers that follow, in the order of their starts
	placeholders []wire.Placeholder
	attachments  [][]byte
}

// space moves on to the next token, and is its first byte.
func (k *packer) space() byte {
	for {
		switch c := k.text[k.at]; c {
		case ' ', '\t', '\n', '\r', ',', ':':
			k.at++
		default:
			return c
		}
	}
}

func (k *packer) value() {
	c := k.space()
	if len(k.placeholders) > 0 && k.placeholders[0].Start == k.at {
		p := k.placeholders[0]
		k.placeholders = k.placeholders[1:]
		k.out = appendPackedBytes(k.out, k.attachments[p.Num])
		k.at = p.End
		for range countElements(k.text[p.Start:p.End]) {
			k.lengths = k.lengths[1:]
		}
		return
	}
	switch c {
	case '[':
		k.container(0x90, 0xdc, 1)
	case '{':
		k.container(0x80, 0xde, 2)
	case '"':
		k.string()
	case 'n':
		k.word(4, 0xc0)
	case 'f':
		k.word(5, 0xc2)
	case 't':
		k.word(4, 0xc3)
	default:
		k.number()
	}
}

func (k *packer) word(n int, code byte) {
	k.at += n
	k.out = append(k.out, code)
}

// container writes an array, or with two values an element, a map.
func (k *packer) container(fix, code16 byte, values int) {
	n := k.lengths[0]
	k.lengths = k.lengths[1:]
	switch {
	case n < 1<<4:
		k.out = append(k.out, fix|byte(n))
	case n < 1<<16:
		k.out = binary.BigEndian.AppendUint16(append(k.out, code16), uint16(n))
	default:
		k.out = binary.BigEndian.AppendUint32(append(k.out, code16+1), uint32(n))
	}
	k.at++
	for range n * values {
		k.value()
	}
	k.space()
	k.at++
}

func (k *packer) string() {
	start, escaped := k.at, false
	for k.at++; k.text[k.at] != '"'; k.at++ {
		if k.text[k.at] == '\\' {
			escaped = true
			k.at++
		}
	}
	k.at++
	s := string(k.text[start+1 : k.at-1])
	if escaped {
		json.Unmarshal(k.text[start:k.at], &s) // valid as a part of valid JSON
	}
	k.out = appendPackedString(k.out, strings.ToValidUTF8(s, "\ufffd"))
}

func (k *packer) number() {
	start := k.at
	for k.at < len(k.text) && strings.IndexByte("+-0123456789.eE", k.text[k.at]) >= 0 {
		k.at++
	}
	text := string(k.text[start:k.at])
	if v, err := strconv.ParseUint(text, 10, 64); err == nil {
		k.out = appendPackedUint(k.out, v)
	} else if v, err := strconv.ParseInt(text, 10, 64); err == nil && v < 0 { // not -0
		k.out = appendPackedInt(k.out, v)
	} else {
		f, _ := strconv.ParseFloat(text, 64) // out of range it is infinite, as in JavaScript
		k.out = binary.BigEndian.AppendUint64(append(k.out, 0xcb), math.Float64bits(f))
	}
}

// countElements tells how many elements, or members, each array and object of a
// valid JSON text has, in the order in which they begin: msgpack wants the
// number first, and this is one pass however deep they nest.
func countElements(text []byte) (counts []int) {
	var open []int // indexes into counts
	empty := false // the innermost has begun and has no element yet
	for i := 0; i < len(text); i++ {
		c := text[i]
		if empty && c > ' ' {
			empty = false
			if c != ']' && c != '}' {
				counts[open[len(open)-1]]++
			}
		}
		switch c {
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			open = append(open, len(counts))
			counts = append(counts, 0)
			empty = true
		case ']', '}':
			open = open[:len(open)-1]
		case ',':
			counts[open[len(open)-1]]++
		}
	}
	return counts
}

func appendPackedUint(b []byte, v uint64) []byte {
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

// appendPackedInt is for negative numbers.
func appendPackedInt(b []byte, v int64) []byte {
	switch {
	case v >= -1<<5:
		return append(b, byte(v))
	case v >= math.MinInt8:
		return append(b, 0xd0, byte(v))
	case v >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(b, 0xd1), uint16(v))
	case v >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(b, 0xd2), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(v))
}

func appendPackedString(b []byte, s string) []byte {
	if len(s) < 1<<5 {
		b = append(b, 0xa0|byte(len(s)))
	} else {
		b = appendPackedLength(b, 0xd9, len(s))
	}
	return append(b, s...)
}

func appendPackedBytes(b, p []byte) []byte {
	return append(appendPackedLength(b, 0xc4, len(p)), p...)
}

// appendPackedLength writes the code of 8 bits, or one of the next two, and a length.
func appendPackedLength(b []byte, code byte, n int) []byte {
	switch {
	case n < 1<<8:
		return append(b, code, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, code+1), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, code+2), uint32(n))
}
