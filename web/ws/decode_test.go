package ws

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// client is a frame as a client sends it.
func client(first byte, data string) []byte {
	b := appendHead(nil, first, len(data))
	b[1] |= 0x80
	b = append(b, "mask"...)
	start := len(b)
	b = append(b, data...)
	for i := range b[start:] {
		b[start+i] ^= "mask"[i%4]
	}
	return b
}

// decodeIn gives what d makes of b in pieces of so many bytes, until an error.
func decodeIn(d *decoder, b []byte, pieces int) (got []message, err error) {
	for piece := range slices.Chunk(slices.Clone(b), pieces) {
		for len(piece) > 0 {
			m, n, err := d.next(piece)
			if err != nil {
				return got, err
			}
			if piece = piece[n:]; m.op != 0 {
				got = append(got, m)
			}
		}
	}
	return got, nil
}

func equal(a, b []message) bool {
	return slices.EqualFunc(a, b, func(a, b message) bool { return a.op == b.op && bytes.Equal(a.data, b.data) })
}

func TestMessagesComeInPiecesOfAnySize(t *testing.T) {
	long := strings.Repeat("0123456789", 7000)
	sent := slices.Concat(
		client(0x81, "hello"), client(0x82, ""), client(0x81, long[:125]), client(0x82, long[:126]), client(0x82, long),
		client(0x01, "one "), client(0x89, "ping"), client(0x00, "two "), client(0x8a, ""), client(0x00, ""), client(0x80, "three"),
		client(0x88, "\x03\xe8bye"))
	want := []message{{Text, []byte("hello")}, {Binary, nil}, {Text, []byte(long[:125])}, {Binary, []byte(long[:126])}, {Binary, []byte(long)},
		{Ping, []byte("ping")}, {pong, nil}, {Text, []byte("one two three")}, {opClose, []byte("\x03\xe8bye")}}
	for _, pieces := range []int{1, 2, 3, 7, 64, 4096, len(sent)} {
		d := decoder{most: len(long)}
		got, err := decodeIn(&d, sent, pieces)
		if err != nil || !equal(got, want) {
			t.Errorf("in pieces of %d: %d messages, error %v, want %d", pieces, len(got), err, len(want))
		}
		if d.within || d.text.op != 0 || d.data != nil || d.part != nil {
			t.Errorf("in pieces of %d: something is kept", pieces)
		}
	}
}

func TestLimitHoldsForAllOfAMessage(t *testing.T) {
	for name, tt := range map[string]struct {
		sent []byte
		want error
	}{
		"at the limit":            {client(0x82, "0123456789"), nil},
		"one over":                {client(0x82, "0123456789a"), errTooBig},
		"by its head alone":       {client(0x82, strings.Repeat("x", 1000))[:9], errTooBig},
		"fragments at the limit":  {slices.Concat(client(0x02, "01234"), client(0x80, "56789")), nil},
		"fragments, one over":     {slices.Concat(client(0x02, "01234"), client(0x80, "56789a")), errTooBig},
		"control frames are none": {slices.Concat(client(0x02, "0123456789"), client(0x89, "x"), client(0x80, "")), nil},
		"length's top bit":        {[]byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, errBreach},
		"longest length":          {[]byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}, errTooBig},
	} {
		d := decoder{most: 10}
		if _, err := decodeIn(&d, tt.sent, len(tt.sent)); !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", name, err, tt.want)
		}
	}
}

// What a head announces is not there yet.
func TestBytesThatAreAnnouncedCostNothing(t *testing.T) {
	d := decoder{most: 1 << 30}
	frame := client(0x82, strings.Repeat("x", 100_000))
	if decodeIn(&d, frame[:10], 1); cap(d.data) > 0 {
		t.Errorf("%d bytes are kept for a head", cap(d.data))
	}
	d = decoder{most: 1 << 30}
	came := 0
	for piece := range slices.Chunk(frame[:90_000], 100) {
		decodeIn(&d, piece, len(piece))
		if came += len(piece); cap(d.data) > 2*came {
			t.Fatalf("%d bytes are kept for %d", cap(d.data), came)
		}
	}
}

// The close frame of a client whose message was refused is behind that.
func TestRefusedMessageIsSkipped(t *testing.T) {
	sent := slices.Concat(client(0x02, strings.Repeat("x", 300)), client(0x80, "y"), client(0x81, "more"), client(0x88, ""))
	d := decoder{most: 10}
	_, n, err := d.next(slices.Clone(sent))
	if err != errTooBig {
		t.Fatalf("error %v, want too big", err)
	}
	d.refuse()
	got, err := decodeIn(&d, sent[n:], 50)
	if want := []message{{op: opClose}}; err != nil || !equal(got, want) {
		t.Errorf("got %v, error %v, want the close frame alone", got, err)
	}
	if d.data != nil {
		t.Error("what is skipped is kept")
	}
}

func TestStatusesOfCloseFrames(t *testing.T) {
	for status, want := range map[uint16]bool{0: false, 999: false, 1000: true, 1003: true, 1004: false, 1005: false, 1006: false,
		1007: true, 1014: true, 1015: false, 2999: false, 3000: true, 4999: true, 5000: false, 65535: false} {
		d := decoder{}
		_, err := decodeIn(&d, client(0x88, string([]byte{byte(status >> 8), byte(status)})), 100)
		if got := err == nil; got != want {
			t.Errorf("%d: %v, want %v", status, got, want)
		}
	}
	d := decoder{}
	if _, err := decodeIn(&d, client(0x88, "\x03\xe8\xff"), 100); err != errBreach {
		t.Errorf("a text that is not UTF-8: %v, want a breach", err)
	}
}

// However the bytes are cut, the result is the same, and within the limits.
func FuzzFrames(f *testing.F) {
	f.Add(client(0x81, "hello"), 1, false)
	f.Add(slices.Concat(client(0x01, "he"), client(0x89, "x"), client(0x80, "llo"), client(0x88, "\x03\xe8")), 3, false)
	f.Add(client(0xc1, "\xcaH\xcd\xc9\xc9\a\x00"), 2, true)
	f.Add([]byte{0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, 5, true)
	f.Fuzz(func(t *testing.T, b []byte, pieces int, packs bool) {
		const most = 1000
		whole, inPieces := decoder{most: most, packs: packs}, decoder{most: most, packs: packs}
		want, wantErr := decodeIn(&whole, b, max(len(b), 1))
		got, err := decodeIn(&inPieces, b, min(max(pieces, 1), 100))
		if err != wantErr || !equal(got, want) {
			t.Errorf("in pieces %v and %v, whole %v and %v", got, err, want, wantErr)
		}
		for _, m := range want {
			if len(m.data) > most {
				t.Errorf("a message of %d bytes", len(m.data))
			}
		}
		if cap(inPieces.data) > 2*len(b) {
			t.Errorf("%d bytes kept of %d", cap(inPieces.data), len(b))
		}
	})
}
