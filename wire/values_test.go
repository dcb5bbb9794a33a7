package wire

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// TestValuesAreWhatWasAppended: and nothing of them is left.
func TestValuesAreWhatWasAppended(t *testing.T) {
	b := AppendUint(nil, 1<<40)
	b = AppendText(AppendBool(b, true), "text")
	b = AppendNil(AppendBin(b, []byte("bin")))
	b = AppendArray(b, 2)
	b = AppendUint(AppendUint(b, 1), 2)
	m := NewMessage(Envelope{Origin: 7, Namespace: "/", Rooms: []string{"r"}}, []byte(`["e"]`))
	m.Seq = 3
	v := ReadValues(AppendInBin(b, m))
	if n, is, s := v.Uint(), v.Bool(), v.Text(); n != 1<<40 || !is || s != "text" {
		t.Errorf("got %d, %v, %q", n, is, s)
	}
	if p, nilly, not := v.Bin(), v.Nil(), v.Nil(); string(p) != "bin" || !nilly || not {
		t.Errorf("got %q, nil %v, nil again %v", p, nilly, not)
	}
	if n, x, y := v.Array(), v.Uint(), v.Uint(); n != 2 || x != 1 || y != 2 {
		t.Errorf("got %d elements, %d and %d", n, x, y)
	}
	got, err := DecodeData(v.Bin(), 1)
	if err != nil || got.Origin != 7 || got.Seq != 3 || string(got.Payload) != `["e"]` {
		t.Errorf("got %v, %v", got, err)
	}
	if v.Failed() || v.Err() != nil || len(v.Rest()) > 0 {
		t.Errorf("failed %v, left %x", v.Err(), v.Rest())
	}
	if v.Uint(); !errors.Is(v.Err(), ErrMalformed) {
		t.Errorf("a value behind the end: %v", v.Err())
	}
}

// TestSkipPassesAnyValue: of newer versions too.
func TestSkipPassesAnyValue(t *testing.T) {
	long := string(make([]byte, 70000))
	for _, x := range []any{nil, true, 1, -1, -200, 1 << 20, int64(-1 << 40), uint64(1 << 40), 1.5, float32(1.5), "", "short", long[:200], long[:300], long, []byte{1}, []byte(long[:300]), []byte(long),
		[]any{}, []any{1, "x", []any{2}}, make([]int, 20), make([]int, 70000), map[string]any{"a": []any{1}}, map[int]int{1: 1}} {
		b := AppendUint(reference(t, x), 5)
		v := ReadValues(b)
		if v.Skip(1); v.Uint() != 5 || v.Err() != nil {
			t.Errorf("%.20v (%x...): %v", x, b[0], v.Err())
		}
		v = ReadValues(b[:len(b)-2])
		if v.Skip(1); len(b) > 2 && v.Err() == nil {
			t.Errorf("%.20v: its last byte was not missed", x)
		}
	}
	for n := range 3 { // ext of every width
		b := append([]byte{0xd4 + byte(n), 1}, make([]byte, 1<<n)...)
		v := ReadValues(append(b, 5))
		if v.Skip(1); v.Uint() != 5 || v.Err() != nil {
			t.Errorf("ext of %d bytes: %v", 1<<n, v.Err())
		}
	}
}

// TestSkipEndsSoon: a count that is a lie, and one in the other without an end.
func TestSkipEndsSoon(t *testing.T) {
	for _, b := range [][]byte{{0xdd, 0xff, 0xff, 0xff, 0xff}, {0xdf, 0xff, 0xff, 0xff, 0xff}, {0xc1}, {}, bytes.Repeat([]byte{0x91}, 1<<20)} {
		v := ReadValues(b)
		if v.Skip(1); v.Err() == nil {
			t.Errorf("%.10x: no error", b)
		}
	}
	v := ReadValues([]byte{1})
	if v.Skip(1 << 62); v.Err() == nil {
		t.Error("more values than bytes: no error")
	}
}

// FuzzSkip: it takes as many bytes as go-msgpack does, where that reads the value.
func FuzzSkip(f *testing.F) {
	f.Add([]byte{0x92, 1, 0x81, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		v := ReadValues(b)
		v.Skip(1)
		if len(v.Rest()) > len(b) {
			t.Fatal("more is left than there was")
		}
		ext := func(c byte) bool { return c >= 0xc7 && c <= 0xc9 || c >= 0xd4 && c <= 0xd8 }
		if v.Failed() || slices.ContainsFunc(b, ext) {
			return // the library takes a byte more than the specification has for an ext of none
		}
		var raw codec.Raw
		h := &codec.MsgpackHandle{WriteExt: true}
		h.Raw = true
		d := codec.NewDecoderBytes(b, h)
		if err := d.Decode(&raw); err == nil && d.NumBytesRead() != len(b)-len(v.Rest()) {
			t.Fatalf("%x: took %d bytes, not %d", b, len(b)-len(v.Rest()), d.NumBytesRead())
		}
	})
}
