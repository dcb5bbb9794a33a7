package gossip

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
	"github.com/meshrt/meshrt/wire"
)

// largest is a meta whose every field is as long as it gets.
func largest() meta {
	return meta{
		Min: math.MaxUint8, Max: math.MaxUint8, Boot: math.MaxUint64,
		Region: strings.Repeat("r", maxRegion), Flags: math.MaxUint8, Settings: math.MaxUint64,
	}
}

func TestMetaIsSmall(t *testing.T) {
	b, err := largest().encode()
	if err != nil || len(b) >= maxMeta {
		t.Errorf("the largest metadata has %d bytes, %v; want less than %d", len(b), err, maxMeta)
	}
	m := largest()
	m.Region = strings.Repeat("r", maxMeta)
	if _, err := m.encode(); err == nil {
		t.Error("metadata that is too long was encoded")
	}
}

// The bytes are what other versions read: they must not change.
func TestMetaOnTheWire(t *testing.T) {
	got, err := meta{Min: 1, Max: 2, Boot: 0x0102030405060708, Region: "eu", Flags: flagDraining, Settings: 300}.encode()
	want := []byte("\x96\x01\x02\xcf\x01\x02\x03\x04\x05\x06\x07\x08\xa2eu\x01\xcd\x01\x2c")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got % x, %v, want % x", got, err, want)
	}
}

func TestMetaRoundTrip(t *testing.T) {
	for _, m := range []meta{{}, {Max: 1}, {Min: 3, Max: 3, Boot: 1, Region: "é"}, largest()} {
		b, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeMeta(b); got != m || err != nil {
			t.Errorf("%+v came back as %+v, %v", m, got, err)
		}
	}
}

func TestMetaOfANewerVersionIsRead(t *testing.T) {
	var b []byte
	newer := []any{1, 9, uint64(7), "eu", 0xff, 5, "more", map[string]int{"x": 1}, nil}
	if err := codec.NewEncoderBytes(&b, metaHandle).Encode(newer); err != nil {
		t.Fatal(err)
	}
	want := meta{Min: 1, Max: 9, Boot: 7, Region: "eu", Flags: 0xff, Settings: 5}
	if got, err := decodeMeta(b); got != want || err != nil {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestMalformedMetaIsRefused(t *testing.T) {
	good, _ := meta{Min: 1, Max: 2, Boot: 7, Region: "eu"}.encode()
	long, _ := meta{Min: 1, Max: 2, Boot: 7, Region: strings.Repeat("r", maxRegion+1)}.encode()
	for name, b := range map[string][]byte{
		"empty":              {},
		"text":               []byte("hello"),
		"too few elements":   {0x95, 1, 2, 7, 0xa0, 0},
		"a map":              {0x86, 1, 2, 7, 0xa0, 0, 0},
		"cut off":            good[:len(good)-1],
		"something behind":   append(bytes.Clone(good), 0),
		"min above max":      {0x96, 2, 1, 7, 0xa0, 0, 0},
		"negative":           {0x96, 0xff, 1, 7, 0xa0, 0, 0},
		"version over 255":   {0x96, 0, 0xcd, 1, 0, 7, 0xa0, 0, 0},
		"number for region":  {0x96, 1, 2, 7, 9, 0, 0},
		"region too long":    long,
		"region not UTF-8":   {0x96, 1, 2, 7, 0xa1, 0xff, 0, 0},
		"elements that lie":  {0xdc, 0xff, 0xff, 1, 2, 7, 0xa0, 0, 0},
		"four byte length":   {0xdd, 0, 0, 0, 6, 1, 2, 7, 0xa0, 0, 0},
		"more than 512 byte": append(append([]byte{0x97}, good[1:]...), append([]byte{0xc5, 2, 0}, make([]byte, 512)...)...),
	} {
		if m, err := decodeMeta(b); err == nil {
			t.Errorf("%s: read as %+v", name, m)
		}
	}
	if _, err := decodeMeta(good); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

func FuzzMeta(f *testing.F) {
	b, _ := largest().encode()
	f.Add(b)
	f.Add([]byte("\x96\x01\x02\xcf\x01\x02\x03\x04\x05\x06\x07\x08\xa2eu\x01\xcd\x01\x2c"))
	f.Add([]byte{0xdc, 0xff, 0xff, 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			return
		}
		again, err := m.encode()
		if err != nil {
			t.Fatalf("% x was read as %+v, which has no form: %v", b, m, err)
		}
		if m2, err := decodeMeta(again); m2 != m || err != nil {
			t.Fatalf("%+v came back as %+v, %v", m, m2, err)
		}
	})
}

// strange is a node as it may come from the network.
func strange(name string, ip []byte, port uint16, meta []byte) *memberlist.Node {
	return &memberlist.Node{Name: name, Addr: ip, Port: port, Meta: meta}
}

func TestReadMemberRefuses(t *testing.T) {
	id := wire.NodeID(7)
	good, _ := meta{Min: 1, Max: 2, Boot: 7}.encode()
	name, ip := memberName("a", id), []byte{10, 0, 0, 1}
	mapped := append(bytes.Repeat([]byte{0}, 10), 0xff, 0xff, 10, 0, 0, 1)
	for _, tt := range []struct {
		name string
		n    *memberlist.Node
		addr string // of the member; empty: refused
	}{
		{"IPv4", strange(name, ip, 7946, good), "10.0.0.1:7946"},
		{"IPv4 in IPv6", strange(name, mapped, 1, good), "10.0.0.1:1"},
		{"IPv6", strange(name, bytes.Repeat([]byte{0xfd}, 16), 1, good), "[fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd]:1"},
		{"no boot", strange("a", ip, 7946, good), ""},
		{"no name", strange("@"+id.String(), ip, 7946, good), ""},
		{"bad boot", strange("a@b", ip, 7946, good), ""},
		{"bad name", strange(memberName("a b", id), ip, 7946, good), ""},
		{"two boots", strange(name+"@"+id.String(), ip, 7946, good), ""},
		{"name of 64 bytes", strange(memberName(strings.Repeat("a", 64), id), ip, 7946, good), ""},
		{"boot of another", strange(memberName("a", 8), ip, 7946, good), ""},
		{"no metadata", strange(name, ip, 7946, nil), ""},
		{"no address", strange(name, nil, 7946, good), ""},
		{"half an address", strange(name, ip[:3], 7946, good), ""},
		{"unspecified", strange(name, make([]byte, 4), 7946, good), ""},
		{"multicast", strange(name, []byte{224, 0, 0, 1}, 7946, good), ""},
		{"port 0", strange(name, ip, 0, good), ""},
	} {
		m, at, err := readMember(tt.n)
		switch {
		case tt.addr == "" && err == nil:
			t.Errorf("%s: read as %+v", tt.name, m)
		case tt.addr != "" && (err != nil || m.Addr != tt.addr || at.String() != tt.addr || m.ID != id || m.Name != "a"):
			t.Errorf("%s: %+v at %v, %v", tt.name, m, at, err)
		}
	}
}

func FuzzReadMember(f *testing.F) {
	good, _ := meta{Min: 1, Max: 2, Boot: 7}.encode()
	f.Add(memberName("a", 7), []byte{10, 0, 0, 1}, uint16(7946), good)
	f.Fuzz(func(t *testing.T, name string, ip []byte, port uint16, b []byte) {
		m, at, err := readMember(strange(name, ip, port, b))
		if err != nil {
			return
		}
		if memberName(m.Name, m.ID) != name || !at.IsValid() || at.Port() == 0 || len(m.Region) > maxRegion {
			t.Fatalf("%q %v %d % x was read as %+v", name, ip, port, b, m)
		}
	})
}
