package sio_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/meshrt/meshrt/wire/sio"
)

const p0, p1 = `{"_placeholder":true,"num":0}`, `{"_placeholder":true,"num":1}`

func packet(t sio.Type, ns, data string, attachments ...string) sio.Packet {
	p := sio.Packet{Type: t, Namespace: ns}
	if data != "" {
		p.Data = []byte(data)
	}
	for _, a := range attachments {
		p.Attachments = append(p.Attachments, []byte(a))
	}
	return p
}

func withAck(id uint64, p sio.Packet) sio.Packet {
	p.AckID, p.HasAck = id, true
	return p
}

func equal(a, b sio.Packet) bool {
	if a.Type != b.Type || a.Namespace != b.Namespace || a.HasAck != b.HasAck || a.AckID != b.AckID ||
		(a.Data == nil) != (b.Data == nil) || !bytes.Equal(a.Data, b.Data) || len(a.Attachments) != len(b.Attachments) {
		return false
	}
	for i := range a.Attachments {
		if !bytes.Equal(a.Attachments[i], b.Attachments[i]) {
			return false
		}
	}
	return true
}

// decode gives d the text and then the attachments of want, as a client sends them.
func decode(d *sio.Decoder, text string, attachments [][]byte) (p sio.Packet, whole bool, err error) {
	p, whole, err = d.Text([]byte(text))
	for _, a := range attachments {
		if err != nil || whole {
			break
		}
		p, whole, err = d.Binary(a)
	}
	return p, whole, err
}

type wireForm struct {
	text   string
	packet sio.Packet
}

// Section "Packet encoding" of the protocol document, the strings of its test
// suite, and the cases of the official parser's own tests.
var official = []wireForm{
	{`0`, packet(sio.Connect, "/", "")},
	{`0{"token":"123"}`, packet(sio.Connect, "/", `{"token":"123"}`)},
	{`0/admin,{"sid":"oSO0OpakMV_3jnilAAAA"}`, packet(sio.Connect, "/admin", `{"sid":"oSO0OpakMV_3jnilAAAA"}`)},
	{`0/custom,`, packet(sio.Connect, "/custom", "")},
	{`1`, packet(sio.Disconnect, "/", "")},
	{`1/admin,`, packet(sio.Disconnect, "/admin", "")},
	{`2["foo"]`, packet(sio.Event, "/", `["foo"]`)},
	{`2["message-back",1,"2",{"3":[true]}]`, packet(sio.Event, "/", `["message-back",1,"2",{"3":[true]}]`)},
	{`2/admin,["bar"]`, packet(sio.Event, "/admin", `["bar"]`)},
	{`2/custom,["auth",{"token":"abc"}]`, packet(sio.Event, "/custom", `["auth",{"token":"abc"}]`)},
	{`212["foo"]`, withAck(12, packet(sio.Event, "/", `["foo"]`))},
	{`2/test,1["a",1,{}]`, withAck(1, packet(sio.Event, "/test", `["a",1,{}]`))},
	{`2[1,"a",{}]`, packet(sio.Event, "/", `[1,"a",{}]`)},
	{`3456[1,"2",{"3":[false]}]`, withAck(456, packet(sio.Ack, "/", `[1,"2",{"3":[false]}]`))},
	{`3/admin,13["bar"]`, withAck(13, packet(sio.Ack, "/admin", `["bar"]`))},
	{`312[]`, withAck(12, packet(sio.Ack, "/", `[]`))},
	{`4{"message":"Not authorized"}`, packet(sio.ConnectError, "/", `{"message":"Not authorized"}`)},
	{`4/random,{"message":"Invalid namespace"}`, packet(sio.ConnectError, "/random", `{"message":"Invalid namespace"}`)},
	{`4"Unauthorized"`, packet(sio.ConnectError, "/", `"Unauthorized"`)},
	{`51-["baz",` + p0 + `]`, packet(sio.Event, "/", `["baz",`+p0+`]`, "\x01\x02\x03\x04")},
	{`52-/admin,["baz",` + p0 + `,` + p1 + `]`, packet(sio.Event, "/admin", `["baz",`+p0+`,`+p1+`]`, "\x01\x02", "\x03\x04")},
	{`52-["message-back",` + p0 + `,` + p1 + `]`, packet(sio.Event, "/", `["message-back",`+p0+`,`+p1+`]`, "\x01\x02\x03", "\x04\x05\x06")},
	{`61-15["bar",` + p0 + `]`, withAck(15, packet(sio.Ack, "/", `["bar",`+p0+`]`, "\x01\x02\x03\x04"))},
	{`61-/admin,1[` + p0 + `]`, withAck(1, packet(sio.Ack, "/admin", `[`+p0+`]`, ""))},
	{`62-789[` + p0 + `,` + p1 + `]`, withAck(789, packet(sio.Ack, "/", `[`+p0+`,`+p1+`]`, "\x01\x02\x03", "\x04\x05\x06"))},
}

func TestOfficialPacketsEncodeAndDecode(t *testing.T) {
	for _, tt := range official {
		if got := string(sio.Append([]byte("4"), tt.packet)); got != "4"+tt.text {
			t.Errorf("Append(%+v) = %q, want %q", tt.packet, got, "4"+tt.text)
		}
		var d sio.Decoder
		got, whole, err := decode(&d, tt.text, tt.packet.Attachments)
		if err != nil || !whole || !equal(got, tt.packet) {
			t.Errorf("decoding %q = %+v, %v, %v, want %+v", tt.text, got, whole, err, tt.packet)
		}
	}
}

// What Append never writes and clients may still send.
func TestOtherFormsDecode(t *testing.T) {
	long := "/" + strings.Repeat("n", sio.MaxNamespace-1)
	for _, tt := range []wireForm{
		{`0/custom`, packet(sio.Connect, "/custom", "")},
		{`0/,{}`, packet(sio.Connect, "/", "{}")},
		{`0/admin?token=1&x=/y,{}`, packet(sio.Connect, "/admin?token=1&x=/y", "{}")},
		{`1/custom`, packet(sio.Disconnect, "/custom", "")},
		{`17`, withAck(7, packet(sio.Disconnect, "/", ""))},
		{`2007["a"]`, withAck(7, packet(sio.Event, "/", `["a"]`))},
		{`29007199254740991["a"]`, withAck(sio.MaxAckID, packet(sio.Event, "/", `["a"]`))},
		{"2[ \"a\"\n, 1 ] ", packet(sio.Event, "/", "[ \"a\"\n, 1 ] ")},
		{`2[""]`, packet(sio.Event, "/", `[""]`)},
		{`2["a",12345678901234567890,"\ud800"]`, packet(sio.Event, "/", `["a",12345678901234567890,"\ud800"]`)},
		{`2` + long + `,["a"]`, packet(sio.Event, long, `["a"]`)},
		{`3["no id"]`, packet(sio.Ack, "/", `["no id"]`)},
		{`4`, packet(sio.ConnectError, "/", "")},
		{`50-["a",` + p0 + `]`, packet(sio.Event, "/", `["a",`+p0+`]`)}, // nothing to stand for: data
		{`502-["a",` + p1 + `,` + p0 + `]`, packet(sio.Event, "/", `["a",`+p1+`,`+p0+`]`, "0", "1")},
	} {
		var d sio.Decoder
		got, whole, err := decode(&d, tt.text, tt.packet.Attachments)
		if err != nil || !whole || !equal(got, tt.packet) {
			t.Errorf("decoding %q = %+v, %v, %v, want %+v", tt.text, got, whole, err, tt.packet)
		}
	}
}

func TestOnlyEventsAndAcksHaveAttachments(t *testing.T) {
	p := packet(sio.ConnectError, "", `{"message":"no"}`, "a")
	if got, want := string(sio.Append(nil, p)), `4{"message":"no"}`; got != want {
		t.Errorf("Append(%+v) = %q, want %q", p, got, want)
	}
}

func TestTypeNames(t *testing.T) {
	for typ, want := range map[sio.Type]string{
		sio.Connect: "connect", sio.Disconnect: "disconnect", sio.Event: "event", sio.Ack: "ack",
		sio.ConnectError: "connect error", '5': "Type(0x35)", 0: "Type(0x0)",
	} {
		if got := typ.String(); got != want {
			t.Errorf("Type(%#x).String() = %q, want %q", byte(typ), got, want)
		}
	}
}

// TestAppendDoesNotAllocate: an event is encoded once a node, and its payload is
// copied and not read.
func TestAppendDoesNotAllocate(t *testing.T) {
	p := withAck(456, packet(sio.Event, "/custom", `["e","`+strings.Repeat("x", 1000)+`",`+p0+`]`, "a"))
	buf := sio.Append(nil, p)
	if n := testing.AllocsPerRun(100, func() { buf = sio.Append(buf[:0], p) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
