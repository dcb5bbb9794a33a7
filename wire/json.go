package wire

import (
	"encoding/binary"
	"encoding/json"
	"math/bits"
)

// ValidJSON is json.Valid, made for what clients send: arrays of a few strings. Every message of a client passes here twice, when it comes in and, as the
// arguments of a verb, when it goes on; the standard library calls a function for each byte.
func ValidJSON(text []byte) bool {
	v := validator{b: text}
	end := v.value(skipSpace(text, 0), MaxDepth)
	if v.deep {
		return json.Valid(text) // allows more, without a stack
	}
	return end >= 0 && skipSpace(text, end) == len(text)
}

// validator walks one JSON text (RFC 8259). Its methods take the index at which something
// must begin and give the index behind it, or bad.
type validator struct {
	b    []byte
	deep bool // nested deeper than the walk goes: bad says nothing then
}

const bad = -1

func (v *validator) value(i, depth int) int {
	if i >= len(v.b) {
		return bad
	}
	switch v.b[i] {
	case '"':
		return v.string(i)
	case '[':
		return v.array(i, depth-1)
	case '{':
		return v.object(i, depth-1)
	case 't':
		return v.literal(i, "true")
	case 'f':
		return v.literal(i, "false")
	case 'n':
		return v.literal(i, "null")
	}
	return v.number(i)
}

func (v *validator) array(i, depth int) int {
	if v.deep = v.deep || depth < 0; v.deep {
		return bad
	}
	if i = skipSpace(v.b, i+1); i < len(v.b) && v.b[i] == ']' {
		return i + 1
	}
	for {
		if i = v.value(i, depth); i == bad {
			return bad
		}
		switch i = skipSpace(v.b, i); {
		case i == len(v.b):
			return bad
		case v.b[i] == ']':
			return i + 1
		case v.b[i] != ',':
			return bad
		}
		i = skipSpace(v.b, i+1)
	}
}

func (v *validator) object(i, depth int) int {
	if v.deep = v.deep || depth < 0; v.deep {
		return bad
	}
	if i = skipSpace(v.b, i+1); i < len(v.b) && v.b[i] == '}' {
		return i + 1
	}
	for {
		if i = v.member(i, depth); i == bad {
			return bad
		}
		switch i = skipSpace(v.b, i); {
		case i == len(v.b):
			return bad
		case v.b[i] == '}':
			return i + 1
		case v.b[i] != ',':
			return bad
		}
		i = skipSpace(v.b, i+1)
	}
}

// member is a name, a colon and a value.
func (v *validator) member(i, depth int) int {
	if i >= len(v.b) || v.b[i] != '"' {
		return bad
	}
	if i = v.string(i); i == bad {
		return bad
	}
	if i = skipSpace(v.b, i); i == len(v.b) || v.b[i] != ':' {
		return bad
	}
	return v.value(skipSpace(v.b, i+1), depth)
}

func (v *validator) string(i int) int {
	for i++; ; {
		i += plain(v.b[i:])
		switch {
		case i == len(v.b) || v.b[i] < ' ':
			return bad
		case v.b[i] == '"':
			return i + 1
		}
		if i = v.escape(i + 1); i == bad {
			return bad
		}
	}
}

// escape is what follows a backslash.
func (v *validator) escape(i int) int {
	if i == len(v.b) {
		return bad
	}
	switch v.b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
	default:
		return bad
	}
	if len(v.b)-i < 5 {
		return bad
	}
	for _, c := range v.b[i+1 : i+5] {
		if lower := c | 0x20; (c < '0' || c > '9') && (lower < 'a' || lower > 'f') {
			return bad
		}
	}
	return i + 5
}

func (v *validator) literal(i int, want string) int {
	if len(v.b)-i < len(want) || string(v.b[i:i+len(want)]) != want {
		return bad
	}
	return i + len(want)
}

func (v *validator) number(i int) int {
	if v.b[i] == '-' {
		i++
	}
	if i < len(v.b) && v.b[i] == '0' {
		i++
	} else if i = v.digits(i); i == bad {
		return bad
	}
	if i < len(v.b) && v.b[i] == '.' {
		if i = v.digits(i + 1); i == bad {
			return bad
		}
	}
	if i < len(v.b) && v.b[i]|0x20 == 'e' {
		if i++; i < len(v.b) && (v.b[i] == '+' || v.b[i] == '-') {
			i++
		}
		return v.digits(i)
	}
	return i
}

// digits are one or more.
func (v *validator) digits(i int) int {
	from := i
	for i < len(v.b) && v.b[i] >= '0' && v.b[i] <= '9' {
		i++
	}
	if i == from {
		return bad
	}
	return i
}

// plain is how many bytes b has before the first quote, backslash or control character,
// which is where a string ends or needs a look. It looks at eight at a time: a byte is
// less than n when subtracting n borrows, and the lowest such one is never mistaken.
func plain(b []byte) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; len(b)-i >= 8; i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^ones*'"', x^ones*'\\'
		found := ((x-ones*' ')&^x | (quote-ones)&^quote | (slash-ones)&^slash) & high
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// Plain tells that b stands for itself in a JSON string and is ASCII.
func Plain[T ~string | ~[]byte](b T) bool {
	for i := range len(b) {
		if c := b[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
