package eio_test

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/meshrt/meshrt/wire/eio"
)

func text(t eio.Type, data string) eio.Packet { return eio.Packet{Type: t, Data: []byte(data)} }

func binary(data ...byte) eio.Packet {
	return eio.Packet{Type: eio.Message, Binary: true, Data: data}
}

func equal(a, b eio.Packet) bool {
	return a.Type == b.Type && a.Binary == b.Binary && bytes.Equal(a.Data, b.Data)
}

// The examples are those of the protocol document and of the official parser's suite.
func TestPacketsOfTheProtocolDocumentEncodeAndDecode(t *testing.T) {
	for _, tt := range []struct {
		wire   string
		packet eio.Packet
	}{
		{`0{"sid":"lv_VI97HAXpY6yYWAAAC"}`, text(eio.Open, `{"sid":"lv_VI97HAXpY6yYWAAAC"}`)},
		{"1", text(eio.Close, "")},
		{"2", text(eio.Ping, "")},
		{"2probe", text(eio.Ping, "probe")},
		{"3", text(eio.Pong, "")},
		{"3probe", text(eio.Pong, "probe")},
		{"4", text(eio.Message, "")},
		{"4hello", text(eio.Message, "hello")},
		{"4€", text(eio.Message, "€")},
		{"5", text(eio.Upgrade, "")},
		{"6", text(eio.Noop, "")},
		{"bAQIDBA==", binary(1, 2, 3, 4)},
		{"b", binary()},
	} {
		if got := string(eio.AppendPacket(nil, tt.packet)); got != tt.wire {
			t.Errorf("AppendPacket(%v %q) = %q, want %q", tt.packet.Type, tt.packet.Data, got, tt.wire)
		}
		got, err := eio.DecodePacket([]byte(tt.wire), false)
		if err != nil || !equal(got, tt.packet) {
			t.Errorf("DecodePacket(%q) = %+v, %v, want %+v", tt.wire, got, err, tt.packet)
		}
	}
}

func TestBinaryFrameIsAMessageWhateverItHolds(t *testing.T) {
	for _, data := range []string{"", "2probe", "abc", "\x00\xff"} {
		got, err := eio.DecodePacket([]byte(data), true)
		if want := binary([]byte(data)...); err != nil || !equal(got, want) {
			t.Errorf("DecodePacket(%q, binary) = %+v, %v, want %+v", data, got, err, want)
		}
	}
}

func TestBase64IsReadAsTheClientsWriteIt(t *testing.T) {
	for _, wire := range []string{"bAQIDBA==", "bAQIDBA", "bAQIDBA==\n", "bAQID\nBA==\r\n"} {
		got, err := eio.DecodePacket([]byte(wire), false)
		if want := binary(1, 2, 3, 4); err != nil || !equal(got, want) {
			t.Errorf("DecodePacket(%q) = %+v, %v, want %+v", wire, got, err, want)
		}
	}
}

func TestMalformedPacketsAreRefused(t *testing.T) {
	for _, wire := range []string{"", "a123", "7", "/", "\x1e", "{}", "\xff4", "bA", "b*", "bAQ=ID"} {
		if got, err := eio.DecodePacket([]byte(wire), false); !errors.Is(err, eio.ErrMalformed) {
			t.Errorf("DecodePacket(%q) = %+v, %v, want ErrMalformed", wire, got, err)
		}
	}
}

func TestAppendPacketKeepsWhatIsThere(t *testing.T) {
	if got := string(eio.AppendPacket([]byte("x"), binary(1))); got != "xbAQ==" {
		t.Errorf("got %q, want xbAQ==", got)
	}
}

func TestTypesAreNamedAsInTheProtocol(t *testing.T) {
	for typ, want := range map[eio.Type]string{
		eio.Open: "open", eio.Close: "close", eio.Ping: "ping", eio.Pong: "pong",
		eio.Message: "message", eio.Upgrade: "upgrade", eio.Noop: "noop", 0: "Type(0x0)",
	} {
		if got := typ.String(); got != want {
			t.Errorf("Type %d = %q, want %q", typ, got, want)
		}
	}
}

// packets draws any packet; text never holds a separator, see AppendPayload.
func packets() *rapid.Generator[eio.Packet] {
	return rapid.Custom(func(t *rapid.T) eio.Packet {
		typ := eio.Type(rapid.ByteRange(byte(eio.Open), byte(eio.Noop)).Draw(t, "type"))
		data := rapid.SliceOf(rapid.Byte()).Draw(t, "data")
		bin := typ == eio.Message && rapid.Bool().Draw(t, "binary")
		if !bin {
			data = bytes.ReplaceAll(data, []byte{eio.Separator}, nil)
		}
		return eio.Packet{Type: typ, Binary: bin, Data: data}
	})
}

func TestDecodeOfAppendIsThePacket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := packets().Draw(t, "packet")
		got, err := eio.DecodePacket(eio.AppendPacket(nil, want), false)
		if err != nil || !equal(got, want) {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
	})
}

func FuzzDecodePacket(f *testing.F) {
	for _, s := range []string{"", "2probe", "4hello", "bAQIDBA==", "bAQ\nID", "b=", "9", "\x1e"} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, binary bool) {
		p, err := eio.DecodePacket(data, binary)
		if err != nil {
			return
		}
		if len(p.Data) > len(data) {
			t.Fatalf("%d bytes of data out of %d", len(p.Data), len(data))
		}
		again, err := eio.DecodePacket(eio.AppendPacket(nil, p), false)
		if err != nil || !equal(again, p) {
			t.Fatalf("%q: decoded %+v, encoded and decoded %+v, %v", data, p, again, err)
		}
	})
}
