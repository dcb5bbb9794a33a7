package eio_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/meshrt/meshrt/wire/eio"
)

// decode collects a payload up to its first error.
func decode(body []byte) (ps []eio.Packet, err error) {
	for p, err := range eio.DecodePayload(body) {
		if err != nil {
			return ps, err
		}
		ps = append(ps, p)
	}
	return ps, nil
}

func same(a, b []eio.Packet) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func TestPayloadsOfTheProtocolDocumentEncodeAndDecode(t *testing.T) {
	for _, tt := range []struct {
		wire    string
		packets []eio.Packet
	}{
		{"4hello", []eio.Packet{text(eio.Message, "hello")}},
		{"4hello\x1e2\x1e4world", []eio.Packet{text(eio.Message, "hello"), text(eio.Ping, ""), text(eio.Message, "world")}},
		{"4hello\x1ebAQIDBA==", []eio.Packet{text(eio.Message, "hello"), binary(1, 2, 3, 4)}},
		{"4test1\x1e4test2\x1e4test3", []eio.Packet{text(eio.Message, "test1"), text(eio.Message, "test2"), text(eio.Message, "test3")}},
		{"0\x1e1\x1e2probe\x1e3probe\x1e4test", []eio.Packet{
			text(eio.Open, ""), text(eio.Close, ""), text(eio.Ping, "probe"), text(eio.Pong, "probe"), text(eio.Message, "test")}},
	} {
		if got := string(eio.AppendPayload(nil, tt.packets...)); got != tt.wire {
			t.Errorf("AppendPayload = %q, want %q", got, tt.wire)
		}
		got, err := decode([]byte(tt.wire))
		if err != nil || !same(got, tt.packets) {
			t.Errorf("DecodePayload(%q) = %+v, %v, want %+v", tt.wire, got, err, tt.packets)
		}
	}
}

func TestPayloadEndsAtItsFirstMalformedPacket(t *testing.T) {
	for _, tt := range []struct {
		wire  string
		whole int // packets before the error
	}{
		{"", 0}, {"{", 0}, {`["a123", "a456"]`, 0}, {"\x1e4hello", 0},
		{"4hello\x1e", 1}, {"4a\x1e\x1e4b", 1}, {"4a\x1e4b\x1eabc\x1e4c", 2}, {"4a\x1eb*\x1e4c", 1},
	} {
		var whole, failed int
		for _, err := range eio.DecodePayload([]byte(tt.wire)) {
			switch {
			case err == nil && failed == 0:
				whole++
			case errors.Is(err, eio.ErrMalformed):
				failed++
			default:
				t.Errorf("%q: yields after its error, or a foreign error: %v", tt.wire, err)
			}
		}
		if whole != tt.whole || failed != 1 {
			t.Errorf("%q: %d packets and %d errors, want %d and 1", tt.wire, whole, failed, tt.whole)
		}
	}
}

func TestPayloadCanBeLeftAndWalkedAgain(t *testing.T) {
	seq := eio.DecodePayload([]byte("4a\x1e4b"))
	for range 2 {
		for p, err := range seq {
			if err != nil || string(p.Data) != "a" {
				t.Errorf("first packet %+v, %v, want a", p, err)
			}
			break
		}
	}
}

// The data of a packet belongs to whoever gets it, who may append to it.
func TestPacketsOfAPayloadDoNotOverlap(t *testing.T) {
	var got []string
	for p, err := range eio.DecodePayload([]byte("4a\x1e4b\x1e4c")) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(append(p.Data, "xxxx"...)))
	}
	if want := []string{"axxxx", "bxxxx", "cxxxx"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A POST of a million separators, or of a million pings, must not cost a slice of
// a million packets (the amplification of Phoenix's CVE-2026-32689).
func TestPayloadCostsNoMemoryForPacketsThatNobodyAskedFor(t *testing.T) {
	for name, body := range map[string][]byte{
		"separators": bytes.Repeat([]byte{eio.Separator}, 1_000_000),
		"pings":      bytes.Repeat([]byte{'2', eio.Separator}, 500_000),
	} {
		allocs := testing.AllocsPerRun(3, func() {
			for range eio.DecodePayload(body) {
			}
		})
		if allocs > 8 {
			t.Errorf("%s: %v allocations for a body of %d bytes, want a handful for its error", name, allocs, len(body))
		}
	}
}

func TestDecodeOfAppendIsThePayload(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(packets(), 1, 20).Draw(t, "packets")
		got, err := decode(eio.AppendPayload(nil, want...))
		if err != nil || !same(got, want) {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
	})
}

func TestHandshakeHasExactlyTheFiveMembers(t *testing.T) {
	for _, tt := range []struct {
		handshake eio.Handshake
		want      string
	}{
		{eio.Handshake{SID: "lv_VI97HAXpY6yYWAAAC", Upgrades: []string{"websocket"}, PingInterval: 25000, PingTimeout: 20000, MaxPayload: 1000000},
			`0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`},
		{eio.Handshake{SID: "a"}, `0{"sid":"a","upgrades":[],"pingInterval":0,"pingTimeout":0,"maxPayload":0}`},
	} {
		if got := string(eio.AppendPacket(nil, tt.handshake.Packet())); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func FuzzDecodePayload(f *testing.F) {
	for _, s := range []string{"", "4hello\x1e2\x1e4world", "4hello\x1ebAQIDBA==", "\x1e\x1e", "4a\x1e", "abc"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		ps, err := decode(body)
		if size := len(bytes.Split(body, []byte{eio.Separator})); len(ps) > size {
			t.Fatalf("%d packets out of %d pieces", len(ps), size)
		}
		if err != nil {
			return
		}
		again, err := decode(eio.AppendPayload(nil, ps...))
		if err != nil || !same(again, ps) {
			t.Fatalf("%q: decoded %+v, encoded and decoded %+v, %v", body, ps, again, err)
		}
	})
}
