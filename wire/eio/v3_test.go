package eio_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/meshrt/meshrt/wire/eio"
)

func TestOpenPacketOfVersion3KnowsNoMaxPayload(t *testing.T) {
	h := eio.Handshake{SID: "x", PingInterval: 300, PingTimeout: 200, MaxPayload: 1000000}
	const want = `{"sid":"x","upgrades":[],"pingInterval":300,"pingTimeout":200}`
	if p := h.PacketV3(); p.Type != eio.Open || string(p.Data) != want {
		t.Errorf("%v %s, want %s", p.Type, p.Data, want)
	}
}

// describe is packets as text: type and data, b and bytes in hexadecimal.
func describe(p eio.Packet) string {
	if p.Binary {
		return fmt.Sprintf("b%x", p.Data)
	}
	return string(p.Type) + string(p.Data)
}

func TestPayloadsOfVersion3(t *testing.T) {
	text := func(s string) eio.FrameV3 { return eio.FrameV3{Data: []byte(s)} }
	bin := func(s string) eio.FrameV3 { return eio.FrameV3{Binary: true, Data: []byte("\x04" + s)} }
	for _, tt := range []struct {
		name    string
		frames  []eio.FrameV3
		body    string
		binary  bool
		packets string
	}{
		{"text", []eio.FrameV3{text("4hello")}, "6:4hello", false, "4hello"},
		{"several", []eio.FrameV3{text("4test1"), text("3"), text("4")}, "6:4test11:31:4", false, "4test1 3 4"},
		{"code units", []eio.FrameV3{text("4é€"), text("4😀")}, "3:4é€3:4😀", false, "4é€ 4😀"},
		{"base64", []eio.FrameV3{text("4hello"), {Data: eio.AppendBase64V3(nil, []byte{1, 2, 3, 4})}}, "6:4hello10:b4AQIDBA==", false, "4hello b01020304"},
		{"bytes", []eio.FrameV3{text("4hello"), bin("\x01\x02\x03\x04")}, "\x00\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04", true, "4hello b01020304"},
		{"text among bytes", []eio.FrameV3{text("4é"), bin(strings.Repeat("x", 99))}, "\x00\x03\xff4é\x01\x01\x00\x00\xff\x04" + strings.Repeat("x", 99), true, "4é b" + strings.Repeat("78", 99)},
	} {
		body, binary := eio.AppendPayloadV3(nil, tt.frames)
		if string(body) != tt.body || binary != tt.binary {
			t.Errorf("%s: %q %v, want %q %v", tt.name, body, binary, tt.body, tt.binary)
		}
		var got []string
		for p, err := range eio.DecodePayloadV3(body, binary) {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			got = append(got, describe(p))
		}
		if strings.Join(got, " ") != tt.packets {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.packets)
		}
	}
}

func TestPayloadsOfVersion3ThatMakeNoSense(t *testing.T) {
	for _, tt := range []struct {
		body   string
		binary bool
	}{
		{"", false}, {"abc", false}, {"4hello", false}, {":4", false}, {"7:4hello", false}, {"-1:4", false}, {"1e0:4", false},
		{"6:4hello6", false}, {"2:4😀", false}, {"99999999999999999999:4", false}, {"1:7", false}, {"2:b5", false}, {"1:b", false}, {"3:b4!", false},
		{"", true}, {"\x02\x01\xff4", true}, {"\x00\xff4", true}, {"\x00\x01", true}, {"\x00\x0a\xff4", true}, {"\x00\x02\xff4", true},
		{"\x01\x01\xff\x05", true}, {"\x00" + strings.Repeat("\x09", 30) + "\xff4", true},
	} {
		var last error
		for _, err := range eio.DecodePayloadV3([]byte(tt.body), tt.binary) {
			last = err
		}
		if !errors.Is(last, eio.ErrMalformed) {
			t.Errorf("%q, binary %v: %v, want ErrMalformed", tt.body, tt.binary, last)
		}
	}
	for _, one := range []string{"", "\x03", "\x05x"} {
		if _, err := eio.DecodePacketV3([]byte(one), true); !errors.Is(err, eio.ErrMalformed) {
			t.Errorf("frame %q: %v", one, err)
		}
	}
}

// FuzzPayloadV3: no body panics, and what is taken is the same when it is
// written and read again.
func FuzzPayloadV3(f *testing.F) {
	f.Add([]byte("6:4hello10:b4AQIDBA=="), false)
	f.Add([]byte("\x00\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04"), true)
	f.Add([]byte("3:4😀0:"), false)
	f.Fuzz(func(t *testing.T, body []byte, binary bool) {
		var frames []eio.FrameV3
		var want, got []string
		for p, err := range eio.DecodePayloadV3(body, binary) {
			if err != nil {
				if !errors.Is(err, eio.ErrMalformed) {
					t.Fatal(err)
				}
				return
			}
			if !p.Binary && !utf8.Valid(p.Data) {
				return // the session ends
			}
			want = append(want, describe(p))
			if p.Binary {
				frames = append(frames, eio.FrameV3{Binary: true, Data: eio.AppendBinaryV3(nil, p.Data)})
			} else {
				frames = append(frames, eio.FrameV3{Data: eio.AppendPacket(nil, p)})
			}
		}
		if len(frames) == 0 {
			return
		}
		again, bytesNow := eio.AppendPayloadV3(nil, frames)
		for p, err := range eio.DecodePayloadV3(bytes.Clone(again), bytesNow) {
			if err != nil {
				t.Fatalf("%q was written as %q: %v", body, again, err)
			}
			got = append(got, describe(p))
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("%q: %q, want %q", body, got, want)
		}
	})
}
