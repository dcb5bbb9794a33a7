package wire

// Values reads the msgpack of a body that another package defines, as frames are read here: after a value of
// another type, or beyond the end, all that follow are zero, and Err tells it. Strings and byte strings are views of the
// body. Nothing is allocated.
type Values struct{ p parser }

// ReadValues begins at the first value of b.
func ReadValues(b []byte) Values { return Values{parser{b: b}} }

// Uint is the next value, an unsigned integer of any width.
func (v *Values) Uint() uint64 { return v.p.uint() }

// Bool is the next value.
func (v *Values) Bool() bool { return v.p.bool() }

// Text is the next value, a string.
func (v *Values) Text() string { return v.p.string() }

// Bin is the next value, a byte string.
func (v *Values) Bin() []byte { return v.p.bin() }

// Array is how many elements the array that is next has: its values follow. It is never more than the
// bytes that are left. Nil is an array of none.
func (v *Values) Array() int { return v.p.array() }

// Nil takes the next value if it is nil.
func (v *Values) Nil() bool {
	if v.p.left() == 0 || v.p.b[v.p.at] != 0xc0 {
		return false
	}
	v.p.at++
	return true
}

// Skip passes over n values of any type, with all that is in them.
func (v *Values) Skip(n int) {
	for left := uint64(max(n, 0)); left > 0 && !v.p.bad; left-- {
		more := v.p.pass()
		if more > v.p.left() { // each needs a byte
			v.p.fail()
		}
		left += more
	}
}

// Rest are the bytes that have not been read.
func (v *Values) Rest() []byte { return v.p.b[v.p.at:] }

// Fail makes all that follow zero, and Err tell it: a value is none that its place allows.
func (v *Values) Fail() { v.p.fail() }

// Failed tells whether Err is an error.
func (v *Values) Failed() bool { return v.p.bad }

// Err is nil, or wraps ErrMalformed.
func (v *Values) Err() error {
	if v.p.bad {
		return ErrMalformed
	}
	return nil
}

// pass takes one value and tells how many follow that are in it. msgpack, formats overview.
func (p *parser) pass() (inside uint64) {
	switch c := p.byte(); {
	case c < 0x80 || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3:
	case c < 0x90:
		return 2 * uint64(c&0xf)
	case c < 0xa0:
		return uint64(c & 0xf)
	case c < 0xc0:
		p.take(uint64(c & 0x1f))
	case c >= 0xc4 && c <= 0xc6:
		p.take(p.be(1 << (c - 0xc4)))
	case c >= 0xc7 && c <= 0xc9:
		p.take(p.be(1<<(c-0xc7)) + 1)
	case c == 0xca || c == 0xd2:
		p.take(4)
	case c == 0xcb || c == 0xd3:
		p.take(8)
	case c >= 0xcc && c <= 0xcf:
		p.take(1 << (c - 0xcc))
	case c == 0xd0 || c == 0xd1:
		p.take(1 << (c - 0xd0))
	case c >= 0xd4 && c <= 0xd8:
		p.take(1 + 1<<(c-0xd4))
	case c >= 0xd9 && c <= 0xdb:
		p.take(p.be(1 << (c - 0xd9)))
	case c == 0xdc || c == 0xdd:
		return p.be(2 << (c - 0xdc))
	case c == 0xde || c == 0xdf:
		return 2 * p.be(2<<(c-0xde))
	default: // 0xc1 is never used
		p.fail()
	}
	return 0
}

// AppendUint appends an unsigned integer in as few bytes as it needs.
func AppendUint(dst []byte, v uint64) []byte { return appendUint(dst, v) }

// AppendBool appends a truth value.
func AppendBool(dst []byte, v bool) []byte { return appendBool(dst, v) }

// AppendText appends a string.
func AppendText(dst []byte, s string) []byte { return appendString(dst, s) }

// AppendBin appends a byte string.
func AppendBin(dst, b []byte) []byte { return appendBin(dst, b) }

// AppendArray begins an array of n elements, which are to follow.
func AppendArray(dst []byte, n int) []byte { return appendArray(dst, n) }

// AppendNil appends nil.
func AppendNil(dst []byte) []byte { return append(dst, 0xc0) }

// AppendInBin appends a message as a byte string that has its DATA frame, with its origin.
func AppendInBin(dst []byte, m *Message) []byte {
	return AppendData(append(dst, 0xc6), m, true) // the length of a frame is that of the byte string
}
