package swarm

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestParseFrame(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, tt := range []struct {
		name, in string
		want     frame
		n        int
	}{
		{"nothing", "", frame{}, 0},
		{"half a header", "\x81", frame{}, 0},
		{"empty", "\x81\x00", frame{true, Text, []byte{}}, 2},
		{"RFC 6455 section 5.7: Hello", "\x81\x05Hello", frame{true, Text, []byte("Hello")}, 7},
		{"one byte missing", "\x81\x05Hell", frame{}, 0},
		{"another behind", "\x82\x02ab\x81\x05", frame{true, Binary, []byte("ab")}, 4},
		{"first fragment", "\x01\x03Hel", frame{false, Text, []byte("Hel")}, 5},
		{"last fragment", "\x80\x02lo", frame{true, continuation, []byte("lo")}, 4},
		{"ping", "\x89\x05Hello", frame{true, Ping, []byte("Hello")}, 7},
		{"16 bits of length", "\x81\x7e\x01\x2c" + long, frame{true, Text, []byte(long)}, 304},
		{"half of 16 bits", "\x81\x7e\x01", frame{}, 0},
		{"64 bits of length", "\x81\x7f\x00\x00\x00\x00\x00\x00\x01\x2c" + long, frame{true, Text, []byte(long)}, 310},
		{"half of 64 bits", "\x81\x7f\x00\x00\x00\x00\x00\x00\x01", frame{}, 0},
		{"the longest", "\x81\x7f\x00\x00\x00\x00\x00\x20\x00\x00", frame{}, 0},
	} {
		f, n, err := parseFrame([]byte(tt.in))
		if err != nil || n != tt.n || n > 0 && (f.fin != tt.want.fin || f.op != tt.want.op || !bytes.Equal(f.payload, tt.want.payload)) {
			t.Errorf("%s: %v, %d, %v, want %v, %d", tt.name, f, n, err, tt.want, tt.n)
		}
	}
}

func TestFramesThatBreakTheProtocolAreRefused(t *testing.T) {
	for name, in := range map[string]string{
		"masked":              "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
		"compressed":          "\xc1\x00",
		"opcode 3":            "\x83\x00",
		"opcode 11":           "\x8b\x00",
		"ping in pieces":      "\x09\x00",
		"long ping":           "\x89\x7e\x00\x7e",
		"over the limit":      "\x81\x7f\x00\x00\x00\x00\x00\x20\x00\x01",
		"length over 63 bits": "\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
	} {
		if f, n, err := parseFrame([]byte(in)); !errors.Is(err, ErrProtocol) || n != 0 {
			t.Errorf("%s: %v, %d, %v, want ErrProtocol", name, f, n, err)
		}
	}
}

// TestAppendFrame: what a client sends, unmasked, is what a server would send.
func TestAppendFrame(t *testing.T) {
	for _, size := range []int{0, 1, 7, 8, 9, 125, 126, 127, 65535, 65536, 100_001} {
		payload := bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7}, size/7+1)[:size]
		b := AppendFrame([]byte("before"), Text, payload, 0xdeadbeef)[len("before"):]
		if b[1]&0x80 == 0 {
			t.Fatalf("%d bytes: not masked", size)
		}
		b[1] &^= 0x80
		head := len(b) - size
		key := bytes.Clone(b[head-4 : head])
		for i := range payload { // section 5.3, octet by octet
			b[head+i] ^= key[i%4]
		}
		b = append(b[:head-4], b[head:]...)
		if f, n, err := parseFrame(b); err != nil || n != len(b) || !f.fin || f.op != Text || !bytes.Equal(f.payload, payload) {
			t.Errorf("%d bytes come back as %d, %v", size, len(f.payload), err)
		}
	}
	// Section 5.7: a single-frame masked text message.
	if got, want := AppendFrame(nil, Text, []byte("Hello"), 0x3d21fa37), "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"; string(got) != want {
		t.Errorf("Hello is %q, want %q", got, want)
	}
}

// all is the messages in b, however it is cut.
func all(b []byte, cut int) (list []string, err error) {
	var a assembler
	var held []byte
	for len(b) > 0 {
		take := min(max(cut, 1), len(b))
		held, b = append(held, b[:take]...), b[take:]
		for {
			m, n, err := a.next(held)
			if err != nil {
				return list, err
			}
			if n == 0 {
				break
			}
			if m.op != continuation {
				list = append(list, string(rune('0'+m.op))+string(m.data))
			}
			held = held[n:]
		}
	}
	return list, nil
}

func TestAssembler(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     string
		fails    bool
	}{
		{"two", "\x81\x01a\x82\x01b", "1a 2b", false},
		{"in pieces with a ping between", "\x01\x03Hel\x89\x01p\x00\x01l\x80\x01o\x81\x01x", "9p 1Hello 1x", false},
		{"a piece of nothing", "\x81\x01a\x80\x01b", "1a", true},
		{"a message in a message", "\x01\x01a\x81\x01b", "", true},
		{"close", "\x88\x02\x03\xe8", "8\x03\xe8", false},
	} {
		for cut := 1; cut <= len(tt.in); cut++ {
			list, err := all([]byte(tt.in), cut)
			if got := strings.Join(list, " "); got != tt.want || (err != nil) != tt.fails {
				t.Errorf("%s, in pieces of %d: %q, %v, want %q, fails: %v", tt.name, cut, got, err, tt.want, tt.fails)
			}
		}
	}
}

func TestMessagesInPiecesHaveALimit(t *testing.T) {
	var a assembler
	piece := append([]byte{0x01, 127, 0, 0, 0, 0, 0, 16, 0, 0}, make([]byte, MaxMessage/2)...)
	for i := range 3 {
		_, _, err := a.next(piece)
		if (err != nil) != (i == 2) {
			t.Fatalf("piece %d: %v", i, err)
		}
		piece[0] = 0
	}
}

// FuzzAssembler: whatever a server sends, in whatever pieces it is read.
func FuzzAssembler(f *testing.F) {
	f.Add([]byte("\x01\x03Hel\x89\x01p\x80\x02lo\x81\x7e\x00\x01x"), 3)
	f.Add([]byte("\x81\x7f\x00\x00\x00\x00\x00\x20\x00\x00"), 1)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		whole, err := all(b, len(b))
		pieces, err2 := all(b, cut)
		if strings.Join(whole, "|") != strings.Join(pieces, "|") || (err == nil) != (err2 == nil) {
			t.Errorf("read at once %q, %v; in pieces of %d %q, %v", whole, err, cut, pieces, err2)
		}
	})
}
