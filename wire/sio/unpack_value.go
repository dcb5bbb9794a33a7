package sio

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// value writes the next value as JSON; undefined as null.
func (u *unpacker) value() {
	if len(u.in) == 0 {
		u.fail("cut off")
		return
	}
	switch c := u.in[0]; {
	case c < 0x80 || c >= 0xcc && c <= 0xcf:
		u.out = strconv.AppendUint(u.out, u.number(), 10)
	case c < 0x90 || c == 0xde || c == 0xdf:
		u.nest(u.object)
	case c < 0xa0 || c == 0xdc || c == 0xdd:
		u.nest(u.array)
	case c < 0xc0 || c >= 0xd9 && c <= 0xdb:
		u.out = appendJSONString(u.out, u.text())
	case c >= 0xe0:
		u.take(1)
		u.out = strconv.AppendInt(u.out, int64(int8(c)), 10)
	default:
		u.take(1)
		u.scalar(c)
	}
}

// scalar writes the value of a code that has no short form.
func (u *unpacker) scalar(c byte) {
	switch c {
	case 0xc0:
		u.out = append(u.out, "null"...)
	case 0xc2:
		u.out = append(u.out, "false"...)
	case 0xc3:
		u.out = append(u.out, "true"...)
	case 0xc4, 0xc5, 0xc6:
		u.attach(u.take(u.bigEndian(1 << (c - 0xc4))))
	case 0xc7, 0xc8, 0xc9:
		n := u.bigEndian(1 << (c - 0xc7))
		u.extension(int8(u.code()), n, true)
	case 0xca:
		u.float(float64(math.Float32frombits(uint32(u.bigEndian(4)))))
	case 0xcb:
		u.float(math.Float64frombits(u.bigEndian(8)))
	case 0xd0, 0xd1, 0xd2, 0xd3:
		n := uint64(1) << (c - 0xd0)
		shift := 64 - 8*n
		u.out = strconv.AppendInt(u.out, int64(u.bigEndian(n)<<shift)>>shift, 10)
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		u.extension(int8(u.code()), 1<<(c-0xd4), false)
	default:
		u.fail("code that msgpack does not use")
	}
}

// nest calls a container's function one level down.
func (u *unpacker) nest(container func()) {
	if u.depth++; u.depth > wire.MaxDepth {
		u.fail("nested too deep")
		return
	}
	container()
	u.depth--
}

func (u *unpacker) array() {
	u.out = append(u.out, '[')
	for i, n := uint64(0), u.length(0x90, 0xf, 0xdc); i < n && u.err == nil; i++ {
		if i > 0 {
			u.out = append(u.out, ',')
		}
		u.value()
	}
	u.out = append(u.out, ']')
}

func (u *unpacker) object() {
	u.out = append(u.out, '{')
	first := true
	for n := u.length(0x80, 0xf, 0xde); n > 0 && u.err == nil; n-- {
		start := len(u.out)
		if !first {
			u.out = append(u.out, ',')
		}
		u.key()
		u.out = append(u.out, ':')
		if len(u.in) > 2 && u.in[0] == 0xd4 && u.in[1] == 0 { // undefined
			u.take(3)
			u.out = u.out[:start]
			continue
		}
		u.value()
		first = false
	}
	u.out = append(u.out, '}')
}

// key writes the name of a member. JavaScript knows strings alone; others write
// whole numbers, which it would read as their digits.
func (u *unpacker) key() {
	if len(u.in) == 0 {
		u.fail("cut off")
		return
	}
	c := u.in[0]
	if c >= 0xa0 && c < 0xc0 || c >= 0xd9 && c <= 0xdb {
		u.value()
		return
	}
	if c >= 0x80 && c < 0xe0 && (c < 0xcc || c > 0xd3) {
		u.fail("key that is neither text nor a whole number")
		return
	}
	u.out = append(u.out, '"')
	u.value()
	u.out = append(u.out, '"')
}

// attach puts a placeholder for a binary value.
func (u *unpacker) attach(b []byte) {
	if u.err != nil {
		return
	}
	if len(u.attachments) == u.most {
		u.err = fmt.Errorf("more than %d attachments: %w", u.most, ErrLimit)
		u.in = nil
		return
	}
	u.out = fmt.Appendf(u.out, `{"_placeholder":true,"num":%d}`, len(u.attachments))
	u.attachments = append(u.attachments, b)
}

// float writes a number as JavaScript does.
func (u *unpacker) float(f float64) {
	if text, err := json.Marshal(f); err == nil {
		u.out = append(u.out, text...)
	} else { // not finite
		u.out = append(u.out, "null"...)
	}
}

// The types of extensions.
const (
	extNotepack  = 0  // undefined (1 byte), Date (8 bytes), ArrayBuffer (the long forms)
	extTimestamp = -1 // of the msgpack specification
)

func (u *unpacker) extension(typ int8, size uint64, long bool) {
	b := u.take(size)
	switch {
	case u.err != nil:
	case typ == extNotepack && long:
		u.attach(b)
	case typ == extNotepack && size == 1:
		u.out = append(u.out, "null"...)
	case typ == extNotepack && size == 8:
		u.date(time.UnixMilli(int64(binary.BigEndian.Uint64(b))))
	case typ == extTimestamp && size == 4:
		u.date(time.Unix(int64(binary.BigEndian.Uint32(b)), 0))
	case typ == extTimestamp && size == 8:
		v := binary.BigEndian.Uint64(b)
		u.date(time.Unix(int64(v&(1<<34-1)), int64(v>>34)))
	case typ == extTimestamp && size == 12:
		u.date(time.Unix(int64(binary.BigEndian.Uint64(b[4:])), int64(binary.BigEndian.Uint32(b))))
	default:
		u.fail("unknown extension")
	}
}

// date writes what Date.prototype.toJSON gives, which ends 100 million days
// around 1970.
func (u *unpacker) date(t time.Time) {
	const limit = 8_640_000_000_000 // seconds
	t = t.UTC()
	switch s := t.Unix(); {
	case s > limit || s < -limit:
		u.out = append(u.out, "null"...)
	case t.Year() < 0 || t.Year() > 9999:
		u.out = fmt.Appendf(u.out, `"%+07d%s"`, t.Year(), t.Format("-01-02T15:04:05.000Z"))
	default:
		u.out = append(u.out, t.Format(`"2006-01-02T15:04:05.000Z"`)...)
	}
}

// appendJSONString escapes what JSON.stringify escapes. s is valid UTF-8.
func appendJSONString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		if c >= ' ' {
			dst = append(dst, '\\', c)
		} else {
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
	}
	return append(append(dst, s[from:]...), '"')
}
