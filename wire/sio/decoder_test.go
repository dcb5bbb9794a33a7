package sio_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meshrt/meshrt/wire"
	"github.com/meshrt/meshrt/wire/sio"
)

func TestMalformedTextIsRefused(t *testing.T) {
	bad := []string{
		// the protocol's test suite
		`abc`, `2{}`, `2abc["message-with-ack",1,"2",{"3":[false]}]`,
		// the official parser's tests
		`442["some","data"`, `0/admin,"invalid"`, `0[]`, `1/admin,{}`, `2/admin,"invalid`, `2/admin,{}`,
		`2[{"toString":"foo"}]`, `2[true,"foo"]`, `2[null,"bar"]`, `5`, `51`, `5a-`, `51.23-`, `999`,
		// types
		``, ` `, `7`, `7["a"]`, `70-{}`, `8`, `/`, "\x00", `-1`, "2\xff",
		// numbers that only JavaScript takes
		`5-["a"]`, `5 1-["a",` + p0 + `]`, `5+1-["a",` + p0 + `]`, `51e0-["a",` + p0 + `]`, `5-1-["a"]`, `2 ["a"]`, `21 ["a"]`, `2-1["a"]`,
		// payloads
		`2`, `3`, `2/admin`, `2/admin,`, `212`, `3/admin,13`, `50-`, `0null`, `0/admin,null`, `1[]`, `3{}`, `3"a"`, `4[]`, `41["a"]`,
		`2[]`, `2["a"`, `2["a"]]`, `2["a"]["b"]`, `2["a",]`, `2[1e999]`, `2["a",01]`, "2[\"a\nb\"]", `2["a"]x`, `4"a`,
		`2["a",` + strings.Repeat("[", 10001) + strings.Repeat("]", 10001) + `]`,
		// placeholders
		`51-["a"]`, `51-["a",` + p1 + `]`, `51-["a",` + p0 + `,` + p0 + `]`, `52-["a",` + p0 + `]`, `61-1[]`,
		`51-["a",{"_placeholder":true,"num":"0"}]`, `51-[` + p0 + `]`,
		// UTF-8
		"2[\"a\xff\"]", "2/\xff,[\"a\"]", "0{\"\xc3\":1}",
	}
	for _, name := range reserved {
		bad = append(bad, `2["`+name+`"]`, `21["`+name+`",1]`, `51-["`+name+`",`+p0+`]`)
	}
	bad = append(bad, `2["\u0063onnect"]`)
	for _, text := range bad {
		var d sio.Decoder
		p, whole, err := d.Text([]byte(text))
		if !errors.Is(err, sio.ErrMalformed) || whole || p.Data != nil {
			t.Errorf("Text(%.60q) = %+v, %v, %v, want ErrMalformed", text, p, whole, err)
		}
	}
}

func TestLimitsHoldAtTheirEdge(t *testing.T) {
	binary := func(n string, count int) string {
		text := `["a"`
		for i := range count {
			text += strings.Replace(`,{"_placeholder":true,"num":N}`, "N", string(rune('0'+i)), 1)
		}
		return "5" + n + "-" + text + "]"
	}
	ns := "/" + strings.Repeat("n", sio.MaxNamespace-1)
	for _, tt := range []struct {
		name string
		d    sio.Decoder
		text string
		ok   bool
	}{
		{"default attachments", sio.Decoder{}, strings.Replace(binary("10", 10), `:}`, `:9}`, 1), true},
		{"one more", sio.Decoder{}, binary("11", 10), false},
		{"attachments", sio.Decoder{MaxAttachments: 2}, binary("2", 2), true},
		{"one attachment more", sio.Decoder{MaxAttachments: 2}, binary("3", 3), false},
		{"attachments beyond uint64", sio.Decoder{}, binary("18446744073709551617", 1), false},
		{"no attachments allowed", sio.Decoder{MaxAttachments: -1}, binary("1", 1), false},
		{"namespace", sio.Decoder{}, "0" + ns, true},
		{"namespace and comma", sio.Decoder{}, "0" + ns + ",", true},
		{"namespace too long", sio.Decoder{}, "0" + ns + "n", false},
		{"namespace too long, comma", sio.Decoder{}, "0" + ns + "n,{}", false},
		{"ack id", sio.Decoder{}, `29007199254740991["a"]`, true},
		{"ack id too large", sio.Decoder{}, `29007199254740992["a"]`, false},
		{"ack id beyond uint64", sio.Decoder{}, `218446744073709551617["a"]`, false},
		{"bytes of text", sio.Decoder{MaxBytes: 6}, `2["a"]`, true},
		{"text too long", sio.Decoder{MaxBytes: 5}, `2["a"]`, false},
	} {
		_, _, err := tt.d.Text([]byte(tt.text))
		if tt.ok && err != nil || !tt.ok && !errors.Is(err, sio.ErrLimit) {
			t.Errorf("%s: Text(%.40q) = %v, want ok %v", tt.name, tt.text, err, tt.ok)
		}
	}
}

func TestMaxBytesCountsTextAndAttachmentsOfOnePacket(t *testing.T) {
	text := `52-["a",` + p0 + `,` + p1 + `]`
	d := sio.Decoder{MaxBytes: len(text) + 5}
	for range 2 { // the second packet starts from zero
		p, whole, err := decode(&d, text, [][]byte{[]byte("abc"), []byte("de")})
		if err != nil || !whole || len(p.Attachments) != 2 {
			t.Fatalf("at the limit: %+v, %v, %v", p, whole, err)
		}
	}
	_, whole, err := decode(&d, text, [][]byte{[]byte("abc"), []byte("def")})
	if whole || !errors.Is(err, sio.ErrLimit) {
		t.Errorf("over the limit: %v, %v, want ErrLimit", whole, err)
	}
	if _, _, err := d.Binary(nil); !errors.Is(err, sio.ErrMalformed) {
		t.Errorf("Binary after an error = %v: the packet was kept", err)
	}
}

func TestNothingComesBetweenAPacketAndItsAttachments(t *testing.T) {
	var d sio.Decoder
	if _, _, err := d.Binary([]byte("a")); !errors.Is(err, sio.ErrMalformed) {
		t.Errorf("binary without a packet: %v", err)
	}
	if _, whole, err := d.Text([]byte(`52-["a",` + p0 + `,` + p1 + `]`)); whole || err != nil {
		t.Fatal(whole, err)
	}
	if _, whole, err := d.Binary([]byte("a")); whole || err != nil {
		t.Fatal(whole, err)
	}
	if _, _, err := d.Text([]byte(`2["b"]`)); !errors.Is(err, sio.ErrMalformed) {
		t.Errorf("text instead of an attachment: %v", err)
	}
	if _, whole, err := d.Text([]byte(`2["b"]`)); !whole || err != nil {
		t.Errorf("text after the error: %v, %v; the broken packet was kept", whole, err)
	}
	if _, _, err := decode(&d, `51-["a",`+p0+`]`, [][]byte{[]byte("a")}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Binary([]byte("b")); !errors.Is(err, sio.ErrMalformed) {
		t.Errorf("one attachment too many: %v", err)
	}
}

func TestAttachmentsKeepTheirOrder(t *testing.T) {
	want := packet(sio.Event, "/", `["a",`+p1+`,`+p0+`]`, "first", "second")
	var d sio.Decoder
	got, whole, err := decode(&d, string(sio.Append(nil, want)), want.Attachments)
	if err != nil || !whole || !equal(got, want) {
		t.Errorf("got %+v, %v, %v, want %+v", got, whole, err, want)
	}
}

// TestDecodedDataCannotGrowOverItsNeighbour: an append to Data must not write
// into the buffer that the caller gave.
func TestDecodedDataCannotGrowOverItsNeighbour(t *testing.T) {
	buf := []byte(`2["a"]NEXT`)
	var d sio.Decoder
	p, _, err := d.Text(buf[:6])
	if err != nil {
		t.Fatal(err)
	}
	_ = append(p.Data, "!!!!"...)
	if string(buf) != `2["a"]NEXT` {
		t.Errorf("buffer is now %q", buf)
	}
}

func drawPacket(t *rapid.T) sio.Packet {
	p := sio.Packet{
		Type:      rapid.SampledFrom([]sio.Type{sio.Connect, sio.Disconnect, sio.Event, sio.Ack, sio.ConnectError}).Draw(t, "type"),
		Namespace: "/" + rapid.StringMatching(`([^,]{0,20})`).Draw(t, "namespace"),
	}
	if rapid.Bool().Draw(t, "ack") {
		p.AckID, p.HasAck = rapid.Uint64Max(sio.MaxAckID).Draw(t, "id"), true
	}
	switch p.Type {
	case sio.Connect:
		p.Data = rapid.SampledFrom([][]byte{nil, []byte(`{}`), []byte(`{"token":"1"}`)}).Draw(t, "data")
	case sio.ConnectError:
		p.Data = []byte(`{"message":"no"}`)
	case sio.Event, sio.Ack:
		drawArgs(t, &p)
	}
	return p
}

func drawArgs(t *rapid.T, p *sio.Packet) {
	args := []any{rapid.String().Draw(t, "first")}
	for _, s := range rapid.SliceOfN(rapid.String(), 0, 5).Draw(t, "args") {
		args = append(args, map[string]any{s: []string{s}})
	}
	for i := range rapid.IntRange(0, sio.DefaultMaxAttachments).Draw(t, "attachments") {
		args = append(args, map[string]any{"_placeholder": true, "num": i})
		p.Attachments = append(p.Attachments, rapid.SliceOf(rapid.Byte()).Draw(t, "attachment"))
	}
	p.Data, _ = json.Marshal(args)
}

func TestDecodeOfAppendIsIdentity(t *testing.T) {
	var d sio.Decoder // one for all: no packet leaves a trace
	rapid.Check(t, func(t *rapid.T) {
		want := drawPacket(t)
		if name, _ := sio.EventName(want.Data); wire.ReservedEvent(name) {
			t.Skip("reserved")
		}
		got, whole, err := decode(&d, string(sio.Append(nil, want)), want.Attachments)
		if err != nil || !whole || !equal(got, want) {
			t.Fatalf("%q decodes to %+v, %v, %v, want %+v", sio.Append(nil, want), got, whole, err, want)
		}
	})
}

// FuzzDecoder: no input panics or holds more attachments than allowed, and what
// a Decoder takes is the same packet after Append.
func FuzzDecoder(f *testing.F) {
	for _, tt := range official {
		f.Add([]byte(tt.text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var d sio.Decoder
		p, whole, err := d.Text(text)
		for n := 0; err == nil && !whole; n++ {
			if n == sio.DefaultMaxAttachments {
				t.Fatalf("%q waits for more than %d attachments", text, n)
			}
			p, whole, err = d.Binary([]byte{byte(n)})
		}
		if err != nil {
			if !errors.Is(err, sio.ErrMalformed) && !errors.Is(err, sio.ErrLimit) {
				t.Fatalf("%q: unnamed error %v", text, err)
			}
			return
		}
		if p.Data != nil && !json.Valid(p.Data) {
			t.Fatalf("%q: data %q is not JSON", text, p.Data)
		}
		again, whole, err := decode(&d, string(sio.Append(nil, p)), p.Attachments)
		if err != nil || !whole || !equal(again, p) {
			t.Fatalf("%q decodes to %+v and after Append to %+v, %v, %v", text, p, again, whole, err)
		}
	})
}

func BenchmarkDecoder(b *testing.B) {
	text := []byte(`2["message","` + strings.Repeat("x", 114) + `"]`)
	var d sio.Decoder
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := d.Text(text); err != nil {
			b.Fatal(err)
		}
	}
}
