package once

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

func all(wire.NodeID) bool { return true }

// published makes t publish k.
func published(t *testing.T, x *Table, k Key, h Hash, now time.Duration) {
	t.Helper()
	if v := x.Begin(k, h, now); v != Ask {
		t.Fatalf("begin: %d", v)
	}
	x.Round(k)
	if v := x.Decide(k, true, now); v != Publish {
		t.Fatalf("decide: %d", v)
	}
	x.End(k, true, Place{}, now)
}

func TestAKeyIsRememberedForTheWindow(t *testing.T) {
	for _, tt := range []struct{ window, want time.Duration }{{0, Window}, {time.Second, Window}, {time.Hour, time.Hour}} {
		x, k := New(Config{ID: 1, Window: tt.window}), KeyOf("/", "k")
		published(t, x, k, Hash{1}, time.Second)
		end := time.Second + tt.want
		for _, now := range []time.Duration{time.Second, end - 1} {
			if v := x.Begin(k, Hash{1}, now); v != Repeated {
				t.Errorf("after %v: %d, want Repeated", now, v)
			}
			if v := x.Begin(k, Hash{2}, now); v != Other {
				t.Errorf("another message after %v: %d, want Other", now, v)
			}
		}
		published(t, x, k, Hash{2}, end)
	}
}

func TestOneTryOfANodeAtATime(t *testing.T) {
	x, k := New(Config{ID: 1}), KeyOf("/", "k")
	for i, want := range []Verdict{Ask, Underway, Underway} {
		if v := x.Begin(k, Hash{byte(i)}, 0); v != want {
			t.Errorf("try %d: %d, want %d", i, v, want)
		}
	}
	x.End(k, false, Place{}, 0)
	if v := x.Begin(k, Hash{9}, 0); v != Ask {
		t.Errorf("after one that published nothing: %d, want Ask", v)
	}
}

func TestLimits(t *testing.T) {
	const limit = 4
	x := New(Config{ID: 1, Limit: limit})
	key := func(i int) Key { return Key{byte(i)} }
	for i := range limit {
		published(t, x, key(i), Hash{}, time.Duration(i))
	}
	x.Asked(2, Claim{Key: key(limit)}, 10, all) // the first one is forgotten for it
	if x.Len() != limit || x.Forgotten() != 1 {
		t.Errorf("%d keys, %d forgotten, want %d and 1", x.Len(), x.Forgotten(), limit)
	}
	if v := x.Begin(key(1), Hash{}, 10); v != Repeated {
		t.Errorf("the second key: %d, want Repeated", v)
	}
	published(t, x, key(0), Hash{}, 10+claimLife) // the second key goes
	if x.Forgotten() != 2 {
		t.Errorf("%d forgotten, want 2", x.Forgotten())
	}
	x.Heard(2, Notice{Key: key(8)}, Place{}, Window+time.Hour)
	if x.Len() != 1 || x.Forgotten() != 2 {
		t.Errorf("after the window %d keys, %d forgotten, want 1 and 2", x.Len(), x.Forgotten())
	}
	for i := range limit {
		if v := x.Begin(key(20+i), Hash{}, 0); v != Ask {
			t.Errorf("try %d: %d, want Ask", i, v)
		}
	}
	if v := x.Begin(key(30), Hash{}, 0); v != Full {
		t.Errorf("one try too many: %d, want Full", v)
	}
}

func TestClaims(t *testing.T) {
	x, k := New(Config{ID: 1}), KeyOf("/", "k")
	for by := range wire.NodeID(maxClaims + 2) {
		x.Asked(10+by, Claim{Key: k}, 0, all)
	}
	if r := x.Asked(5, Claim{Key: k}, 0, all); len(r.Held) != maxClaims || r.Held[0] != 12 {
		t.Errorf("held %v, want the last %d", r.Held, maxClaims)
	}
	x.Heard(19, Notice{Key: k, Released: true}, Place{}, 0)
	if r := x.Asked(5, Claim{Key: k}, 0, func(id wire.NodeID) bool { return id > 16 }); !reflect.DeepEqual(r.Held, []wire.NodeID{17, 18}) {
		t.Errorf("held by linked nodes: %v, want 17 and 18", r.Held)
	}
	if r := x.Asked(6, Claim{Key: k}, claimLife, all); r.Held != nil {
		t.Errorf("held %v after their time", r.Held)
	}
	x.Heard(17, Notice{Key: k, Hash: Hash{7}}, Place{}, 0)
	x.Heard(18, Notice{Key: k, Hash: Hash{8}}, Place{}, 0)
	x.Heard(18, Notice{Key: k, Released: true}, Place{}, 0)
	if r := x.Asked(5, Claim{Key: k}, 0, all); !r.Done || r.Hash != (Hash{7}) || r.Held != nil {
		t.Errorf("after two notices %+v, want the first", r)
	}
}

// A notice waits behind messages, and the next claim of the same node may come before it.
func TestANoticeEndsNoClaimOfLater(t *testing.T) {
	x, k := New(Config{ID: 1}), KeyOf("/", "k")
	for n := range uint64(3) {
		x.Asked(2, Claim{k, n + 1}, 0, all)
	}
	x.Heard(2, Notice{Key: k, Released: true, N: 2}, Place{}, 0)
	if r := x.Asked(5, Claim{Key: k}, 0, all); !reflect.DeepEqual(r.Held, []wire.NodeID{2}) {
		t.Errorf("held %v, want node 2's, of its third try", r.Held)
	}
	x.Heard(2, Notice{Key: k, Released: true, N: 3}, Place{}, 0)
	if r := x.Asked(6, Claim{Key: k}, 0, all); !reflect.DeepEqual(r.Held, []wire.NodeID{5}) {
		t.Errorf("held %v, want none of node 2", r.Held)
	}
	for _, want := range []uint64{1, 2} {
		other := KeyOf("/", "other")
		if x.Begin(other, Hash{}, 0); x.Claim(other).N != want {
			t.Errorf("try %d is number %d", want, x.Claim(other).N)
		}
		x.End(other, false, Place{}, 0)
	}
}

func TestKeysAndHashesDiffer(t *testing.T) {
	keys := map[Key]bool{}
	for _, k := range [][2]string{{"/", "a"}, {"/a", ""}, {"/", "b"}, {"/b", "a"}, {"/", "a,a"}, {"/a", "a"}} {
		keys[KeyOf(k[0], k[1])] = true
	}
	if len(keys) != 6 {
		t.Errorf("%d keys of 6", len(keys))
	}
	message := func(e wire.Envelope, payload string) *wire.Message { return wire.NewMessage(e, []byte(payload)) }
	same := HashOf(message(wire.Envelope{Rooms: []string{"a", "b"}, Except: []string{"x"}, From: "x", Flags: wire.High}, `["e"]`))
	if HashOf(message(wire.Envelope{Rooms: []string{"a", "b"}, Except: []string{"y"}, From: "y"}, `["e"]`)) != same {
		t.Error("a client that has connected again says another message")
	}
	for _, m := range []*wire.Message{
		message(wire.Envelope{Rooms: []string{"a"}}, `["e"]`), message(wire.Envelope{Rooms: []string{"ab"}}, `["e"]`),
		message(wire.Envelope{Rooms: []string{"a", "b"}}, `["f"]`), message(wire.Envelope{}, `["e"]`),
		message(wire.Envelope{Rooms: []string{"a", "b"}, Attachments: [][]byte{{1}}}, `["e"]`),
	} {
		if HashOf(m) == same {
			t.Errorf("%v has the hash of another message", m)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(AppendReply(nil, Reply{Done: true, Hash: Hash{1}, Held: []wire.NodeID{1, 1 << 63}}))
	f.Add(AppendReply(nil, Reply{Mine: true, Held: make([]wire.NodeID, maxClaims+1)}))
	f.Add(AppendNotice(nil, Notice{Key: Key{1}, Hash: Hash{2}, Released: true, N: 7}))
	f.Add(AppendClaim(nil, Claim{Key{3}, 7}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := DecodeReply(b); err == nil {
			again, err := DecodeReply(AppendReply(nil, r))
			if err != nil || !reflect.DeepEqual(again, r) || len(r.Held) > maxClaims {
				t.Errorf("%+v became %+v, %v", r, again, err)
			}
		}
		if n, err := DecodeNotice(b); err == nil {
			if again, err := DecodeNotice(AppendNotice(nil, n)); err != nil || again != n {
				t.Errorf("%+v became %+v, %v", n, again, err)
			}
		}
		if k, err := DecodeClaim(b); err == nil && !bytes.HasPrefix(b, AppendClaim(nil, k)) {
			t.Errorf("claim %x of %x", k, b)
		}
	})
}

func TestWhatIsShortIsMalformed(t *testing.T) {
	reply := AppendReply(nil, Reply{Held: []wire.NodeID{1}})
	for n := range reply {
		if _, err := DecodeReply(reply[:n]); err == nil {
			t.Errorf("%d bytes of a reply", n)
		}
	}
	full := AppendNotice(nil, Notice{})
	for n := range full {
		if _, err := DecodeNotice(full[:n]); err == nil {
			t.Errorf("%d bytes of a notice", n)
		}
	}
	if _, err := DecodeClaim(make([]byte, 23)); err == nil {
		t.Error("23 bytes of a claim")
	}
}
