package wire

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"pgregory.net/rapid"
)

func TestNodeIDTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := NodeID(rapid.Uint64Min(1).Draw(t, "id"))
		got, err := ParseNodeID(id.String())
		if err != nil || got != id {
			t.Fatalf("ParseNodeID(%q) = %v, %v", id.String(), got, err)
		}
	})
	for _, bad := range []string{"", "0000000000000", "zzzzzzzzzzzzz", "000000000000g0", "0000000000001"} {
		if id, err := ParseNodeID(bad); err == nil {
			t.Errorf("ParseNodeID(%q) = %v, want an error", bad, id)
		}
	}
}

func TestSessionIDTellsItsNode(t *testing.T) {
	node := NewNodeID()
	s := NewSessionID(node)
	if got := s.Node(); got != node {
		t.Errorf("Node() = %v, want %v", got, node)
	}
	other := SessionID("A")
	if s[31:] == other {
		other = "B"
	}
	for _, room := range []SessionID{"", "lobby", s[1:], s + "x", "!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!", "abcdefghijklmnopqrstuvwxyz012345", s[:31] + other} {
		if got := room.Node(); got != 0 {
			t.Errorf("%q.Node() = %v, want none", room, got)
		}
	}
}

// Reference shapes of the hand-written frames, in go-msgpack's terms.
type (
	refData struct {
		Kind        Kind
		Seq         uint64
		Namespace   string
		Rooms       []string
		Except      []string
		Flags       uint16
		Origin      uint64
		From        string
		Payload     []byte
		Attachments [][]byte
	}
	refHello struct {
		Kind     Kind
		Min, Max uint64
		Node     uint64
		Name     string
		Addr     string
	}
	refGroup struct {
		Namespace string
		Rooms     []string
	}
	refSync struct {
		Kind              Kind
		Frontier, Version uint64
		More              bool
		Groups            []refGroup
		Settled           bool
		High, Low         uint64
	}
	refInterest struct {
		Kind            Kind
		Version         uint64
		On              bool
		Namespace, Room string
	}
)

func reference(t interface{ Fatal(...any) }, v any) []byte {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.StructToArray, h.RawToString = true, true
	var b []byte
	if err := codec.NewEncoderBytes(&b, h).Encode(v); err != nil {
		t.Fatal(err)
	}
	return b
}

func body(b []byte) []byte { return b[frameHeader:] }

func strs(t *rapid.T, name string) []string {
	s := rapid.SliceOfN(rapid.StringN(0, 40, 70000), 0, 20).Draw(t, name)
	if len(s) == 0 {
		return []string{}
	}
	return s
}

func drawMessage(t *rapid.T) *Message {
	return &Message{
		Envelope: &Envelope{
			Namespace:   rapid.String().Draw(t, "ns"),
			Rooms:       strs(t, "rooms"),
			Except:      strs(t, "except"),
			Flags:       Flags(rapid.Uint16().Draw(t, "flags")),
			From:        SessionID(rapid.String().Draw(t, "from")),
			Attachments: [][]byte{{1, 2, 3}, make([]byte, rapid.IntRange(0, 300).Draw(t, "att"))},
		},
		Seq:     rapid.Uint64().Draw(t, "seq"),
		Payload: make([]byte, rapid.SampledFrom([]int{0, 1, 31, 32, 255, 256, 65535, 65536}).Draw(t, "size")),
	}
}

type (
	refNumbers [5]uint64
	refGap     [3]uint64
	refAck     [4]uint64
)

// TestHandWrittenFrames: what is appended by hand is what go-msgpack writes.
func TestHandWrittenFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		same := func(what string, got, want []byte) {
			if !bytes.Equal(body(got), want) {
				t.Fatalf("%s:\n got %x\nwant %x", what, body(got), want)
			}
		}
		same("data", AppendData(nil, m, false), reference(t, refData{KindData, m.Seq, m.Namespace, m.Rooms, m.Except,
			uint16(m.Flags), 0, string(m.From), m.Payload, m.Attachments}))
		h := Hello{rapid.Uint64().Draw(t, "min"), 3, NodeID(rapid.Uint64().Draw(t, "node")), "n1", "10.0.0.1:7946", 0}
		same("hello", AppendHello(nil, h), reference(t, refHello{KindHello, h.MinVersion, 3, uint64(h.Node), h.Name, h.Addr}))
		frontiers := Frontiers{h.MinVersion, m.Seq, 5}
		same("ask", AppendLease(nil, KindAsk, m.Seq, frontiers), reference(t, refNumbers{uint64(KindAsk), m.Seq, h.MinVersion, m.Seq, 5}))
		same("ack", AppendAck(nil, frontiers), reference(t, refAck{uint64(KindAck), h.MinVersion, m.Seq, 5}))
		same("gap", AppendGap(nil, Gap{m.Seq, StreamLow}), reference(t, refGap{uint64(KindGap), m.Seq, 2}))
		same("interest", AppendInterest(nil, Interest{m.Seq, true, Topic{"/", "r"}}), reference(t, refInterest{KindInterest, m.Seq, true, "/", "r"}))
		same("counts", AppendCounts(nil, Counts{2, []Count{{Topic{"/", ""}, m.Seq}, {Topic{"/", "r"}, 0}, {Topic{"/x", "r"}, 9}}}),
			reference(t, []any{KindCounts, 2, []any{[]any{"/", []any{"", m.Seq, "r", 0}}, []any{"/x", []any{"r", 9}}}}))
		same("sync", AppendSync(nil, Sync{Frontiers{1, m.Seq, 3}, m.Seq, false, []Topic{{"/", ""}, {"/", "r"}, {"/x", "r"}}, true}),
			reference(t, refSync{KindSync, 1, m.Seq, false, []refGroup{{"/", []string{"", "r"}}, {"/x", []string{"r"}}}, true, m.Seq, 3}))
	})
}

func TestDataRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		m.Origin = NodeID(rapid.Uint64Min(1).Draw(t, "origin"))
		relayed := rapid.Bool().Draw(t, "relayed")
		got, err := DecodeData(body(AppendData(nil, m, relayed)), 7)
		if err != nil {
			t.Fatal(err)
		}
		want := *m
		if !relayed {
			want.Origin = 7
		}
		if len(want.Rooms) == 0 {
			want.Rooms = nil
		}
		if len(want.Except) == 0 {
			want.Except = nil
		}
		if !reflect.DeepEqual(*got, want) {
			t.Fatalf("got %+v, want %+v", *got, want)
		}
	})
}

// TestOlderReaderSkipsNewerFields: arrays grow at their end only.
func TestOlderReaderSkipsNewerFields(t *testing.T) {
	b := reference(t, struct {
		Kind            Kind
		Version         uint64
		On              bool
		Namespace, Room string
		Extra           []string
	}{KindInterest, 9, true, "/", "r", []string{"later"}})
	got, err := DecodeInterest(b)
	if want := (Interest{9, true, Topic{"/", "r"}}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// TestFramesWithoutStreams: what ends before the streams of the priorities is about
// the normal one.
func TestFramesWithoutStreams(t *testing.T) {
	want := Frontiers{300}
	frontier := []byte{0xcd, 0x01, 0x2c}
	if _, got, err := DecodeLease(append([]byte{0x93, byte(KindAsk), 7}, frontier...), KindAsk); err != nil || got != want {
		t.Errorf("ask: %v, %v", got, err)
	}
	if got, err := DecodeAck(append([]byte{0x92, byte(KindAck)}, frontier...)); err != nil || got != want {
		t.Errorf("ack: %v, %v", got, err)
	}
	if got, err := DecodeGap(append([]byte{0x92, byte(KindGap)}, frontier...)); err != nil || got != (Gap{Seq: 300}) {
		t.Errorf("gap: %v, %v", got, err)
	}
	if got, err := DecodeSync(append(append([]byte{0x96, byte(KindSync)}, frontier...), 9, 0xc2, 0x90, 0xc3)); err != nil || got.Frontiers != want || !got.Settled {
		t.Errorf("sync: %+v, %v", got, err)
	}
	if got, err := DecodeGap([]byte{0x93, byte(KindGap), 7, Streams}); err == nil {
		t.Errorf("a gap in a stream that there is not: %v", got)
	}
}

func TestStreamOfFlags(t *testing.T) {
	for flags, want := range map[Flags]Stream{0: StreamNormal, Volatile: StreamNormal, High | WantAck: StreamHigh, Low | Volatile: StreamLow, High | Low: StreamHigh} {
		if got := flags.Stream(); got != want {
			t.Errorf("%b: %v, want %v", flags, got, want)
		}
	}
}

// TestLargeInterestComesInParts: no SYNC frame is much larger than syncPart.
func TestLargeInterestComesInParts(t *testing.T) {
	var topics []Topic
	for range 3000 {
		topics = append(topics, Topic{"/", strings.Repeat("r", 50)})
	}
	r := NewReader(bytes.NewReader(AppendSync(nil, Sync{Frontiers: Frontiers{4, 6, 7}, Version: 5, Topics: topics})))
	var got []Topic
	for parts := 1; ; parts++ {
		f, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if len(f) > syncPart+1000 {
			t.Errorf("part of %d bytes", len(f))
		}
		s, err := DecodeSync(f)
		if err != nil || s.Frontiers != (Frontiers{4, 6, 7}) || s.Version != 5 {
			t.Fatalf("%+v, %v", s, err)
		}
		if got = append(got, s.Topics...); !s.More {
			if parts < 2 {
				t.Error("one part only")
			}
			break
		}
	}
	if !reflect.DeepEqual(got, topics) {
		t.Errorf("got %d topics, want %d", len(got), len(topics))
	}
}

func TestReaderRefusesLyingLengths(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []byte
		want error
	}{
		{"empty", nil, io.EOF},
		{"half a length", []byte{0, 0}, io.ErrUnexpectedEOF},
		{"zero length", []byte{0, 0, 0, 0}, ErrMalformed},
		{"over the limit", []byte{1, 0, 0, 1}, ErrMalformed},
		{"cut short", []byte{0, 0, 0, 9, 1}, io.ErrUnexpectedEOF},
	} {
		if _, err := NewReader(bytes.NewReader(tt.in)).Next(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// TestArrayLengthIsNotTrusted: a frame that claims 2^32 rooms allocates nothing for them.
func TestArrayLengthIsNotTrusted(t *testing.T) {
	f := Frame(appendString(appendUint(appendUint(appendArray(nil, 1+dataFields), uint64(KindData)), 1), "/"))
	f = append(f, 0xdd, 0xff, 0xff, 0xff, 0xff)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := DecodeData(f, 1); err == nil {
			t.Error("accepted")
		}
	}); n > 5 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(body(AppendData(nil, &Message{Envelope: &Envelope{Namespace: "/", Rooms: []string{"r"}, Attachments: [][]byte{{1}}}, Seq: 1, Payload: []byte(`["e"]`)}, false)))
	f.Add(body(AppendHello(nil, Hello{1, 1, 5, "n", "a:1", 0})))
	f.Add(body(AppendSync(nil, Sync{Frontiers{1}, 2, false, []Topic{{"/", ""}, {"/a", "b"}}, true})))
	f.Add(body(AppendInterest(nil, Interest{1, true, Topic{"/", "r"}})))
	f.Add(body(AppendPeers(nil, []string{"a:1"})))
	f.Add(body(AppendLease(nil, KindAsk, 1, Frontiers{1, 2, 3})))
	f.Add(body(AppendAck(nil, Frontiers{1, 2, 3})))
	f.Add(body(AppendGap(nil, Gap{1, StreamLow})))
	f.Add(body(AppendCounts(nil, Counts{CountsWhole, []Count{{Topic{"/", ""}, 5}, {Topic{"/a", "b"}, 0}}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		fr := Frame(b)
		_ = fr.Kind().String()
		if m, err := DecodeData(fr, 1); err == nil {
			if _, is := RoundOf(m); is && m.Flags&Barrier == 0 {
				t.Fatalf("%+v is taken for a barrier", m)
			}
			again, err := DecodeData(body(AppendData(nil, m, true)), 1)
			if err != nil || again.Seq != m.Seq || !bytes.Equal(again.Payload, m.Payload) {
				t.Fatalf("re-encoding changed %+v to %+v, %v", m, again, err)
			}
		}
		if s, err := DecodeSync(fr); err == nil {
			if _, err := DecodeSync(body(AppendSync(nil, s))); err != nil {
				t.Fatal(err)
			}
		}
		if c, err := DecodeCounts(fr); err == nil {
			again, err := DecodeCounts(body(AppendCounts(nil, c)))
			if err != nil || len(again.Counts) != len(c.Counts) {
				t.Fatalf("re-encoding changed %+v to %+v, %v", c, again, err)
			}
		}
		DecodeHello(fr)
		DecodeInterest(fr)
		DecodePeers(fr)
		DecodeBye(fr)
		if r, err := DecodeRequest(fr); err == nil {
			var v struct{ A, B []string }
			Unmarshal(r.Body, &v)
		}
		DecodeReply(fr)
		DecodeRecovery(fr)
		DecodeNumber(fr, KindPing)
		DecodeLease(fr, KindAsk)
		DecodeAck(fr)
		if g, err := DecodeGap(fr); err == nil {
			_ = g.Stream.String()
		}
	})
}

func TestRequestsAndRepliesRoundTrip(t *testing.T) {
	q := Request{ID: 7, Method: "rooms", Body: []byte{1, 2}}
	if got, err := DecodeRequest(body(AppendRequest(nil, q))); err != nil || !reflect.DeepEqual(got, q) {
		t.Errorf("got %+v, %v, want %+v", got, err, q)
	}
	q.After = Frontiers{1, 2, 300}
	if got, err := DecodeRequest(body(AppendRequest(nil, q))); err != nil || !reflect.DeepEqual(got, q) {
		t.Errorf("got %+v, %v, want %+v", got, err, q)
	}
	q.Timeout = 300
	if got, err := DecodeRequest(body(AppendRequest(nil, q))); err != nil || !reflect.DeepEqual(got, q) {
		t.Errorf("got %+v, %v, want %+v", got, err, q)
	}
	a := Reply{ID: 7, Error: "no", Body: []byte{3}}
	if got, err := DecodeReply(body(AppendReply(nil, a))); err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("got %+v, %v, want %+v", got, err, a)
	}
}

func TestCountsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Counts{Part: CountsPart(rapid.Uint64Range(0, 7).Draw(t, "part"))}
		for range rapid.IntRange(0, 40).Draw(t, "n") {
			topic := Topic{rapid.SampledFrom([]string{"/", "/a", ""}).Draw(t, "ns"), rapid.String().Draw(t, "room")}
			c.Counts = append(c.Counts, Count{topic, rapid.Uint64().Draw(t, "members")})
		}
		if got, err := DecodeCounts(body(AppendCounts(nil, c))); err != nil || !reflect.DeepEqual(got, c) {
			t.Fatalf("got %+v, %v, want %+v", got, err, c)
		}
	})
	odd := []byte{0x93, 16, 0, 0x91, 0x92, 0xa1, '/', 0x91, 0xa1, 'r'}
	if _, err := DecodeCounts(odd); err == nil {
		t.Error("a room without a count is taken")
	}
}

func TestBodiesGrowAtTheirEnd(t *testing.T) {
	type older struct{ A int }
	type newer struct {
		A int
		B []string
	}
	b, err := Marshal(newer{5, []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	var o older
	if err := Unmarshal(b, &o); err != nil || o.A != 5 {
		t.Errorf("an older reader got %+v, %v", o, err)
	}
	b, _ = Marshal(older{6})
	var n newer
	if err := Unmarshal(b, &n); err != nil || n.A != 6 || n.B != nil {
		t.Errorf("a newer reader got %+v, %v", n, err)
	}
	if err := Unmarshal([]byte{0xdd, 0xff, 0xff, 0xff, 0xff}, &n); err == nil {
		t.Error("a lying length is taken")
	}
}

func BenchmarkData(b *testing.B) {
	m := &Message{Envelope: &Envelope{Namespace: "/", Rooms: []string{"room-42"}, Except: []string{string(NewSessionID(5))}, From: NewSessionID(5)}, Seq: 1234567, Payload: []byte(`["message","` + strings.Repeat("x", 114) + `"]`)}
	buf := AppendData(nil, m, false)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = AppendData(buf[:0], m, false)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := DecodeData(body(buf), 1); err != nil {
				b.Fatal(err)
			}
		}
	})
}
