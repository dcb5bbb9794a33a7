package history_test

import (
	"testing"

	"github.com/meshrt/meshrt/cluster/history"
)

type message = history.Message[string]

func TestOrderToldApart(t *testing.T) {
	var o history.Order[int, string]
	for i, tt := range []struct {
		at   int
		m    message
		want history.Verdict
	}{
		{1, message{Origin: "a", Seq: 1}, history.InOrder},
		{1, message{Origin: "a", Seq: 3}, history.InOrder}, // 2 was for others
		{1, message{Origin: "a", Seq: 3}, history.Duplicate},
		{1, message{Origin: "a", Seq: 2}, history.Reordered},
		{1, message{Origin: "a", Seq: 2}, history.Duplicate},
		{1, message{Origin: "b", Seq: 1}, history.InOrder},
		{2, message{Origin: "a", Seq: 1}, history.InOrder},
		{1, message{Origin: "a", Seq: 2, Priority: 1}, history.InOrder}, // overtakes the others
		{1, message{Origin: "a", Seq: 1, Priority: 1}, history.Reordered},
	} {
		if got := o.Deliver(tt.at, tt.m); got != tt.want {
			t.Errorf("%d: %v at %d: %v, want %v", i, tt.m, tt.at, got, tt.want)
		}
	}
	for seq, want := range map[uint64]bool{1: true, 2: true, 3: false, 4: false} {
		if got := o.Overtaken(1, message{Origin: "a", Seq: seq}); got != want {
			t.Errorf("message %d is overtaken: %v", seq, got)
		}
	}
	if o.Overtaken(2, message{Origin: "b", Seq: 1}) || o.Overtaken(3, message{Origin: "a", Seq: 1}) {
		t.Error("what nobody sent is overtaken")
	}
	if o.Forget(1); o.Deliver(1, message{Origin: "a", Seq: 3}) != history.InOrder {
		t.Error("a receiver was not forgotten")
	}
}

func TestPromisesStayOpenUntilKept(t *testing.T) {
	var p history.Promises[int, string]
	one, two := message{Origin: "a", Seq: 1}, message{Origin: "a", Seq: 2}
	p.Keep(one, 1) // never promised
	for _, to := range []int{1, 2, 3} {
		p.Add(one, to)
	}
	p.Add(two, 1)
	p.Keep(one, 1)
	p.Keep(one, 1)
	p.Forget(2)
	p.Add(one, 4)
	p.Leave(4, func(m message) bool { return m != one })
	p.Leave(3, func(m message) bool { return m == one })
	got := map[int]message{}
	for to, m := range p.Open() {
		got[to] = m
		p.Forget(to)
	}
	if len(got) != 2 || got[1] != two || got[3] != one || p.Kept != 1 {
		t.Errorf("%v is open, %d kept", got, p.Kept)
	}
	for to := range p.Open() {
		t.Errorf("%d has open promises", to)
	}
}
