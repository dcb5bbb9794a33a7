package recovery

import (
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

func message(seq uint64, flags wire.Flags, rooms ...string) *wire.Message {
	return &wire.Message{Envelope: &wire.Envelope{Origin: 7, Flags: flags, Namespace: "/", Rooms: rooms}, Seq: seq, Payload: []byte(`["e"]`)}
}

func TestHistoryKnowsWhatItHasLost(t *testing.T) {
	var h history
	for i := range uint64(10) {
		h.add(message(i+1, 0, "r"), time.Duration(i+1)*time.Second)
	}
	kept := func(behind uint64) int {
		of, i := h.behind(0, behind)
		return of.len() - i
	}
	if h.add(message(3, 0, "r"), time.Minute) {
		t.Error("a message came twice")
	}
	if early := h.trim(4*time.Second, h.size()); early != 0 || h.streams[0].dropped != 3 {
		t.Errorf("%d went before their time, the last number %d; want 0, 3", early, h.streams[0].dropped)
	}
	if early := h.trim(0, 5*message(1, 0, "r").Size()+h.rooms.size()); early != 2 || kept(0) != 5 {
		t.Errorf("%d went before their time, %d are here; want 2, 5", early, kept(0))
	}
	if s := &h.streams[0]; s.dropped != 5 || s.droppedAt != 5*time.Second {
		t.Errorf("the newest that is gone is %d of %v; want 5 of 5s", s.dropped, s.droppedAt)
	}
	if of, i := h.behind(0, 8); kept(8) != 2 || of.at(i).m.Seq != 9 {
		t.Errorf("behind 8 are %d", kept(8))
	}
}

func TestOrderKnowsWhatWasHandedOut(t *testing.T) {
	o := newOrder()
	for i := range uint64(5) {
		o.add(Ref{1, 0, 10 * (i + 1)}, time.Duration(i+1)*time.Second)
		o.add(Ref{}, time.Duration(i+1)*time.Second)
	}
	o.trim(3*time.Second, 100)
	for _, tt := range []struct {
		d, want uint64
		at      time.Duration
		ok      bool
	}{{3, 0, 0, false}, {4, 20, 2 * time.Second, true}, {5, 30, 3 * time.Second, true}, {6, 30, 3 * time.Second, true}, {10, 50, 5 * time.Second, true}, {99, 50, 5 * time.Second, true}} {
		v, at, ok := o.at(tt.d)
		if v[1][0] != tt.want || at != tt.at || ok != tt.ok {
			t.Errorf("at(%d) = %v, %v, %v; want %d, %v, %v", tt.d, v, at, ok, tt.want, tt.at, tt.ok)
		}
	}
	if o.trim(0, 2); o.first != 9 || o.last() != 10 {
		t.Errorf("of two there are %d to %d", o.first, o.last())
	}
}

func TestWantKnowsRoomsExceptionsAndJoins(t *testing.T) {
	w := Want{Namespace: "/", SID: "s", Base: Vector{7: {4}}, In: []string{"", "late", "new", "r", "s"},
		Rooms: map[string]Vector{"": nil, "r": nil, "s": nil, "late": {7: {8}}}}
	except := func(m *wire.Message, rooms ...string) *wire.Message { m.Except = rooms; return m }
	other := message(5, 0, "r")
	other.Namespace = "/other"
	for i, tt := range []struct {
		m    *wire.Message
		want bool
	}{
		{message(5, 0, "r"), true},
		{message(4, 0, "r"), false}, // it has that
		{message(5, 0), true},
		{message(5, 0, "s"), true},
		{message(5, 0, "x"), false},
		{message(5, 0, "late"), false}, // of before its join
		{message(9, 0, "late"), true},
		{message(5, 0, "late", "r"), true},
		{message(9, 0, "new"), false}, // whose join is not acknowledged
		{except(message(5, 0, "r"), "s"), false},
		{except(message(5, 0, "r"), "new"), false},
		{except(message(5, 0, "r"), "x"), true},
		{other, false},
	} {
		if got := w.Due(tt.m); got != tt.want {
			t.Errorf("%d: Due(%v except %v, %d) = %v", i, tt.m.Rooms, tt.m.Except, tt.m.Seq, got)
		}
	}
}
