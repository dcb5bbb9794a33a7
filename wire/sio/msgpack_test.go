package sio_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"pgregory.net/rapid"

	"github.com/meshrt/meshrt/wire"
	"github.com/meshrt/meshrt/wire/sio"
)

// pack is msgpack by another hand.
func pack(v any) string {
	var b bytes.Buffer
	h := &codec.MsgpackHandle{WriteExt: true}
	if err := codec.NewEncoder(&b, h).Encode(v); err != nil {
		panic(err)
	}
	return b.String()
}

// event is a packet whose data is an array of "e" and one value.
func event(value string) string {
	return "\x83" + pack("type") + "\x02" + pack("nsp") + pack("/") + pack("data") + "\x92" + pack("e") + value
}

func TestMessagePackValuesBecomeJSON(t *testing.T) {
	for name, tt := range map[string]struct{ packed, want string }{
		"null":                {"\xc0", `null`},
		"booleans":            {"\x92\xc2\xc3", `[false,true]`},
		"small numbers":       {"\x94\x00\x7f\xff\xe0", `[0,127,-1,-32]`},
		"unsigned":            {"\x94\xcc\xff\xcd\xff\xff\xce\xff\xff\xff\xff\xcf\xff\xff\xff\xff\xff\xff\xff\xff", `[255,65535,4294967295,18446744073709551615]`},
		"signed":              {"\x94\xd0\x80\xd1\x80\x00\xd2\x80\x00\x00\x00\xd3\x80\x00\x00\x00\x00\x00\x00\x00", `[-128,-32768,-2147483648,-9223372036854775808]`},
		"floats":              {"\x92\xca\x3f\x00\x00\x00\xcb\xbf\xf8\x00\x00\x00\x00\x00\x00", `[0.5,-1.5]`},
		"not finite":          {"\x92\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\xca\x7f\x80\x00\x00", `[null,null]`},
		"text":                {"\xa8\"\\\n\x00/\xc3\xa9x", `"\"\\\u000a\u0000/éx"`},
		"long text":           {"\xd9\x01a", `"a"`},
		"map":                 {"\x82\xa1b\x01\xa1a\x02", `{"b":1,"a":2}`},
		"keys of numbers":     {"\x83\x05\x01\xcc\xff\x02\xff\x03", `{"5":1,"255":2,"-1":3}`},
		"undefined":           {"\x92\xd4\x00\x00\x82\xa1a\xd4\x00\x00\xa1b\x01", `[null,{"b":1}]`},
		"date of notepack":    {"\xd7\x00\x00\x00\x01\x8b\xcf\xe5\x68\x00", `"2023-11-14T22:13:20.000Z"`},
		"date before 1970":    {"\xd7\x00\xff\xff\xff\xff\xff\xff\xff\xff", `"1969-12-31T23:59:59.999Z"`},
		"year of six digits":  {"\xd7\x00\x00\x1e\xb2\x08\xc2\xdc\x00\x00", `"+275760-09-13T00:00:00.000Z"`},
		"no date any more":    {"\xd7\x00\x00\x1e\xb2\x08\xc2\xdc\x03\xe8", `null`},
		"timestamp 32":        {"\xd6\xff\x65\x53\xf1\x00", `"2023-11-14T22:13:20.000Z"`},
		"timestamp 64":        {"\xd7\xff\x1d\xcd\x65\x00\x65\x53\xf1\x00", `"2023-11-14T22:13:20.125Z"`},
		"timestamp 96":        {"\xc7\x0c\xff\x07\x73\x59\x40\x00\x00\x00\x00\x65\x53\xf1\x00", `"2023-11-14T22:13:20.125Z"`},
		"deepest":             {strings.Repeat("\x91", wire.MaxDepth-1) + "\x01", strings.Repeat("[", wire.MaxDepth-1) + "1" + strings.Repeat("]", wire.MaxDepth-1)},
		"looks like binary":   {"\x82\xac_placeholder\xc3\xa3num\x00", p0},
		"forms that are long": {"\xdd\x00\x00\x00\x01\xdf\x00\x00\x00\x01\xdb\x00\x00\x00\x01a\xd3\x00\x00\x00\x00\x00\x00\x00\x01", `[{"a":1}]`},
	} {
		p, err := sio.DecodeMessagePack([]byte(event(tt.packed)), 0)
		if want := `["e",` + tt.want + `]`; err != nil || string(p.Data) != want {
			t.Errorf("%s: %s, %v, want %s", name, p.Data, err, want)
		}
	}
}

func TestMessagePackBinaryBecomesAttachments(t *testing.T) {
	p, err := sio.DecodeMessagePack([]byte(event("\x93\xc4\x01a\x81\xa1k\xc5\x00\x01b\xc7\x02\x00cd")), 0)
	want := packet(sio.Event, "/", `["e",[`+p0+`,{"k":`+p1+`},{"_placeholder":true,"num":2}]]`, "a", "b", "cd")
	if err != nil || !equal(p, want) {
		t.Errorf("got %+v, %v, want %+v", p, err, want)
	}
	if _, err := sio.DecodeMessagePack([]byte(event("\x9a"+strings.Repeat("\xc4\x00", 10))), 0); err != nil {
		t.Errorf("ten attachments: %v", err)
	}
	if _, err := sio.DecodeMessagePack([]byte(event("\x9b"+strings.Repeat("\xc4\x00", 11))), 0); !errors.Is(err, sio.ErrLimit) {
		t.Errorf("eleven attachments: %v, want ErrLimit", err)
	}
}

// TestOfficialMessagePackPackets are those of the official client, as notepack writes them.
func TestOfficialMessagePackPackets(t *testing.T) {
	members := func(m ...string) string { return string([]byte{0x80 | byte(len(m))}) + strings.Join(m, "") }
	kind := func(b byte) string { return pack("type") + string([]byte{b}) }
	nsp := func(s string) string { return pack("nsp") + pack(s) }
	const undefined = "\xd4\x00\x00"
	for name, tt := range map[string]struct {
		packed string
		want   sio.Packet
	}{
		"connect":             {members(kind(0), pack("data")+undefined, nsp("/")), packet(sio.Connect, "/", "")},
		"connect with auth":   {members(kind(0), pack("data")+"\x81\xa5token\xa1x", nsp("/a")), packet(sio.Connect, "/a", `{"token":"x"}`)},
		"disconnect":          {members(kind(1), nsp("/")), packet(sio.Disconnect, "/", "")},
		"nil for no data":     {members(kind(1), pack("data")+"\xc0", nsp("/")), packet(sio.Disconnect, "/", "")},
		"options":             {members(kind(2), pack("data")+"\x91\xa1e", pack("options")+"\x81\xa8compress\xc3", nsp("/")), packet(sio.Event, "/", `["e"]`)},
		"ack wanted":          {members(kind(2), pack("data")+"\x91\xa1e", pack("id")+"\x07", nsp("/")), withAck(7, packet(sio.Event, "/", `["e"]`))},
		"ack not wanted":      {members(kind(2), pack("data")+"\x91\xa1e", pack("id")+undefined, nsp("/")), packet(sio.Event, "/", `["e"]`)},
		"ack":                 {members(kind(3), pack("data")+"\x90", pack("id")+"\xcd\x01\xc8", nsp("/")), withAck(456, packet(sio.Ack, "/", `[]`))},
		"event with a number": {members(kind(2), pack("data")+"\x91\x05", nsp("/")), packet(sio.Event, "/", `[5]`)},
	} {
		p, err := sio.DecodeMessagePack([]byte(tt.packed), 0)
		if err != nil || !equal(p, tt.want) {
			t.Errorf("%s: %+v, %v, want %+v", name, p, err, tt.want)
		}
	}
}

func TestMessagePackThatMakesNoSenseIsRefused(t *testing.T) {
	base := pack("nsp") + "\xa1/" + pack("data") + "\x91\xa1e"
	for name, packed := range map[string]string{
		"nothing":                 "",
		"no map":                  "\x90",
		"text":                    "\xa22[",
		"no type":                 "\x82" + base,
		"no namespace":            "\x82" + pack("type") + "\x02" + pack("data") + "\x91\xa1e",
		"unknown type":            "\x83" + pack("type") + "\x05" + base,
		"type as a float":         "\x83" + pack("type") + "\xcb\x40\x00\x00\x00\x00\x00\x00\x00" + base,
		"type twice":              "\x84" + pack("type") + "\x02" + pack("type") + "\x02" + base,
		"namespace without slash": "\x83" + pack("type") + "\x02" + pack("nsp") + "\xa1a" + pack("data") + "\x91\xa1e",
		"namespace too long":      "\x83" + pack("type") + "\x02" + pack("nsp") + pack("/"+strings.Repeat("n", sio.MaxNamespace)) + pack("data") + "\x91\xa1e",
		"negative id":             "\x84" + pack("type") + "\x02" + pack("id") + "\xff" + base,
		"id above 2^53":           "\x84" + pack("type") + "\x02" + pack("id") + "\xcf\x00\x20\x00\x00\x00\x00\x00\x00" + base,
		"event without data":      "\x82" + pack("type") + "\x02" + pack("nsp") + "\xa1/",
		"reserved event":          "\x83" + pack("type") + "\x02" + pack("nsp") + "\xa1/" + pack("data") + "\x91" + pack("disconnect"),
		"data of a disconnect":    "\x83" + pack("type") + "\x01" + base,
		"bytes behind":            event("\x01") + "\x00",
		"cut off":                 event("\xa5abcd"),
		"length that lies":        event("\xdd\xff\xff\xff\xff"),
		"map that lies":           event("\xdf\xff\xff\xff\xff\xa1a"),
		"binary that lies":        event("\xc6\xff\xff\xff\xff"),
		"not UTF-8":               event("\xa1\xff"),
		"key that is a list":      event("\x81\x90\x01"),
		"key that is undefined":   event("\x81\xd4\x00\x00\x01"),
		"foreign extension":       event("\xd4\x07\x00"),
		"unused code":             event("\xc1"),
		"too deep":                event(strings.Repeat("\x91", wire.MaxDepth) + "\x01"),
		"too deep in an option":   "\x84" + pack("type") + "\x02" + base + pack("options") + strings.Repeat("\x91", 10000) + "\x01",
		"placeholder too many":    event("\x92\xc4\x00\x82\xac_placeholder\xc3\xa3num\x00"),
	} {
		if p, err := sio.DecodeMessagePack([]byte(packed), 0); !errors.Is(err, sio.ErrMalformed) {
			t.Errorf("%s: %+v, %v, want ErrMalformed", name, p, err)
		}
	}
}

func TestMessagePackOfAPacket(t *testing.T) {
	for _, tt := range []struct {
		packet sio.Packet
		want   string // hexadecimal
	}{
		{packet(sio.Disconnect, "/", ""), "82a474797065 01 a36e7370 a12f"},
		{packet(sio.Connect, "/a", `{"sid":"x"}`), "83a474797065 00 a36e7370 a22f61 a464617461 81 a3736964 a178"},
		{withAck(300, packet(sio.Ack, "", `[]`)), "84a474797065 03 a36e7370 a12f a26964 cd012c a464617461 90"},
		{packet(sio.Event, "/", ` [ "e" , { } , [ ] , { "a" : [ `+p1+` , `+p0+` ] } ] `, "x", "y"),
			"83a474797065 02 a36e7370 a12f a464617461 94 a165 80 90 81 a161 92 c40179 c40178"},
		{packet(sio.Event, "/", `["e",`+p0+`]`), "83a474797065 02 a36e7370 a12f a464617461 92 a165 82 ac5f706c616365686f6c646572 c3 a36e756d 00"},
		{packet(sio.Event, "/", `["\u00e9\ud83d\ude00\ud800"]`), "83a474797065 02 a36e7370 a12f a464617461 91 a9 c3a9 f09f9880 efbfbd"},
		{packet(sio.Event, "/", `["e",-0,1.0,-129,18446744073709551616,1e999]`), "83a474797065 02 a36e7370 a12f a464617461 96 a165" +
			"cb8000000000000000 cb3ff0000000000000 d1ff7f cb43f0000000000000 cb7ff0000000000000"},
	} {
		got, err := sio.AppendMessagePack([]byte{}, tt.packet)
		if want := strings.ReplaceAll(tt.want, " ", ""); err != nil || hex.EncodeToString(got) != want {
			t.Errorf("%+v: %x, %v, want %s", tt.packet, got, err, want)
		}
	}
	if _, err := sio.AppendMessagePack(nil, packet(sio.Event, "/", `["e"`)); err == nil {
		t.Error("data that is no JSON is taken")
	}
}

// TestMessagePackReadsLikeTheJSON compares with JSON, through another library.
func TestMessagePackReadsLikeTheJSON(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) any { return drawValue(t, 4) })
	rapid.Check(t, func(t *rapid.T) {
		want := []any{"e", value.Draw(t, "value")}
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		packed, err := sio.AppendMessagePack(nil, packet(sio.Event, "/", string(text)))
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Data any `codec:"data"`
		}
		h := &codec.MsgpackHandle{}
		h.RawToString = true
		h.MapType = reflect.TypeFor[map[string]any]()
		if err := codec.NewDecoderBytes(packed, h).Decode(&got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if fmt.Sprint(got.Data) != fmt.Sprint(want) {
			t.Fatalf("%s reads as %v", text, got.Data)
		}
		p, err := sio.DecodeMessagePack(packed, 0)
		if err != nil || !sameJSON(p.Data, text) {
			t.Fatalf("%s comes back as %s, %v", text, p.Data, err)
		}
	})
}

func drawValue(t *rapid.T, depth int) any {
	kinds := 6
	if depth == 0 {
		kinds = 4
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return rapid.StringN(0, 40, -1).Draw(t, "string")
	case 1:
		return rapid.Int64().Draw(t, "int")
	case 2:
		return rapid.Float64Range(0.1, math.MaxFloat32).Filter(func(f float64) bool { return f != math.Trunc(f) }).Draw(t, "float")
	case 3:
		return rapid.Bool().Draw(t, "bool")
	case 4:
		list := []any{}
		for range rapid.IntRange(0, 20).Draw(t, "length") {
			list = append(list, drawValue(t, depth-1))
		}
		return list
	}
	m := map[string]any{}
	for range rapid.IntRange(0, 20).Draw(t, "length") {
		m[rapid.String().Draw(t, "key")] = drawValue(t, depth-1)
	}
	return m
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// FuzzMessagePack: no input panics or has more attachments than allowed, and what
// is taken is the same packet after AppendMessagePack.
func FuzzMessagePack(f *testing.F) {
	for _, tt := range official {
		if p, whole, err := decode(&sio.Decoder{}, tt.text, tt.packet.Attachments); err == nil && whole {
			packed, _ := sio.AppendMessagePack(nil, p)
			f.Add(packed)
		}
	}
	f.Add([]byte(event("\x93\xc4\x01a\x81\xa1k\xc5\x00\x01b\xc7\x02\x00cd")))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := sio.DecodeMessagePack(data, 0)
		if err != nil {
			if !errors.Is(err, sio.ErrMalformed) && !errors.Is(err, sio.ErrLimit) {
				t.Fatalf("unnamed error %v", err)
			}
			return
		}
		if p.Data != nil && !json.Valid(p.Data) || len(p.Data) > 6*len(data)+40*len(p.Attachments) || len(p.Attachments) > sio.DefaultMaxAttachments {
			t.Fatalf("data %q with %d attachments", p.Data, len(p.Attachments))
		}
		packed, err := sio.AppendMessagePack(nil, p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := sio.DecodeMessagePack(packed, 0)
		if err != nil || !equal(again, p) {
			t.Fatalf("%+v comes back as %+v, %v", p, again, err)
		}
	})
}

// FuzzMessagePackOfJSON: every valid text can be written, and what is read of it
// stays as it is from then on.
func FuzzMessagePackOfJSON(f *testing.F) {
	f.Add([]byte(`["e",{"a":[1,-2.5e3,"\ud800",null,true]},[[],{}]]`), 0)
	f.Add([]byte(`["e",`+p0+`]`), 1)
	f.Fuzz(func(t *testing.T, text []byte, n int) {
		p := sio.Packet{Type: sio.Ack, Namespace: "/", Data: text, Attachments: make([][]byte, min(max(n, 0), 10))}
		packed, err := sio.AppendMessagePack(nil, p)
		if err != nil {
			if json.Valid(text) && len(text) > 0 {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		once, err := sio.DecodeMessagePack(packed, 0)
		if err != nil {
			return // too deep, or no list
		}
		packed, err = sio.AppendMessagePack(nil, once)
		twice, err2 := sio.DecodeMessagePack(packed, 0)
		if err != nil || err2 != nil || !equal(once, twice) {
			t.Fatalf("%q is read as %+v and then as %+v, %v, %v", text, once, twice, err, err2)
		}
	})
}

func BenchmarkMessagePack(b *testing.B) {
	p := packet(sio.Event, "/", `["message","`+strings.Repeat("x", 114)+`"]`)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sio.AppendMessagePack(nil, p)
		}
	})
	packed, _ := sio.AppendMessagePack(nil, p)
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sio.DecodeMessagePack(packed, 0)
		}
	})
}

// Members that mean nothing are passed over without a trace, however many.
func TestUnknownMembersCostNoMemory(t *testing.T) {
	const n = 100_000
	data := binary.BigEndian.AppendUint32([]byte{0xdf}, n+2)
	data = append(data, "\xa4type\x01\xa3nsp\xa1/"...)
	for i := range n {
		data = append(data, 0xa3, byte(i&0x7f), byte(i>>7&0x7f), byte(i>>14), 0xc0)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := sio.DecodeMessagePack(data, 0); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if cost := after.TotalAlloc - before.TotalAlloc; cost > 8*uint64(len(data)) {
		t.Errorf("%d bytes of memory for %d bytes", cost, len(data))
	}
}
