package comeback

import (
	"reflect"
	"testing"
	"time"
)

// run is a history of two members of a room, and a third client in another one: client 0
// publishes numbers 0 to 9, a second apart, of which the last is never acknowledged.
func run() *history {
	h := newHistory(4, 3, time.Minute)
	for i := range h.clients {
		h.connected(i, 1, false)
		h.joined(i, 2)
	}
	for n := range 10 {
		p := &published{at: 100_000 + int64(n)*1000, acked: 100_010 + int64(n)*1000}
		if n == 9 {
			p.acked = 0
		}
		h.sent[message{0, 1, n}] = p
	}
	return h
}

func (h *history) got(i int, numbers ...int) {
	for k, n := range numbers {
		h.clients[i].receipts = append(h.clients[i].receipts, receipt{message{0, 1, n}, 100_001 + int64(k)*1000})
	}
}

// The judge must see each kind of mistake, and take nothing for one that is none.
func TestJudgeSeesWhatIsWrong(t *testing.T) {
	type counts struct{ Lost, Reordered, Foreign, Twice, Unasked, Never int }
	for name, tt := range map[string]struct {
		happens func(h *history)
		want    counts
	}{
		"all is well":               {func(h *history) { h.got(3, 0, 1, 2, 3, 4, 5, 6, 7, 8) }, counts{}},
		"what was not acked came":   {func(h *history) { h.got(3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9) }, counts{}},
		"one is missing":            {func(h *history) { h.got(3, 0, 1, 2, 4, 5, 6, 7, 8) }, counts{Lost: 1}},
		"the last are missing":      {func(h *history) { h.got(3, 0, 1, 2, 3, 4, 5) }, counts{Lost: 3}},
		"out of order":              {func(h *history) { h.got(3, 0, 1, 3, 2, 4, 5, 6, 7, 8) }, counts{Reordered: 1}},
		"twice on one connection":   {func(h *history) { h.got(3, 0, 1, 2, 2, 3, 4, 5, 6, 7, 8) }, counts{Twice: 1, Unasked: 1}},
		"what nobody published":     {func(h *history) { h.got(3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 77) }, counts{Foreign: 1}},
		"a message of another room": {func(h *history) { h.got(3, 0, 1, 2, 3, 4, 5, 6, 7, 8); h.got(1, 4) }, counts{Foreign: 1}},
		"its own message":           {func(h *history) { h.got(3, 0, 1, 2, 3, 4, 5, 6, 7, 8); h.got(0, 4) }, counts{Foreign: 1}},
		"recovered, one is missing": {func(h *history) { h.lost(3, 103_500); h.connected(3, 106_000, true); h.got(3, 0, 1, 2, 3, 4, 6, 7, 8) }, counts{Lost: 1}},
		"recovered, one twice": {func(h *history) {
			h.lost(3, 103_500)
			h.connected(3, 104_000, true)
			h.got(3, 0, 1, 2, 3, 3, 4, 5, 6, 7, 8)
		}, counts{Twice: 1}},
		"recovered, an old one twice": {func(h *history) {
			h.lost(3, 104_500)
			h.connected(3, 104_900, true)
			h.got(3, 0, 1, 2, 3, 4, 0, 5, 6, 7, 8)
		}, counts{Twice: 1, Unasked: 1}},
		"new, and it missed some": {func(h *history) {
			h.lost(3, 112_000)
			h.connected(3, 115_000, false)
			h.joined(3, 116_000)
			h.got(3, 0, 1)
		}, counts{}},
		"lost again on the way back": {func(h *history) {
			h.lost(3, 103_500)
			h.lost(3, 104_000)
			h.connected(3, 104_500, true)
			h.got(3, 0, 1, 2, 3, 4, 5, 6, 7, 8)
		}, counts{}},
		"never back": {func(h *history) { h.lost(3, 112_000); h.got(3, 0, 1) }, counts{Never: 1}},
	} {
		h := run()
		tt.happens(h)
		v := h.judge()
		if got := (counts{v.lost, v.reordered, v.foreign, v.twice, v.twiceUnasked, v.never}); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v: %q", name, got, tt.want, v.problems)
		}
	}
}

func TestShareIsOfThoseWithinTheWindow(t *testing.T) {
	h := run()
	h.got(3, 0, 1, 2, 3, 4, 5, 6, 7, 8)
	for i, away := range []int64{1000, 60_000, 60_001} {
		h.lost(i, 200_000)
		h.connected(i, 200_000+away, i == 0)
		h.joined(i, 300_000)
	}
	v := h.judge()
	if v.reconnects != 3 || v.within != 2 || v.recovered != 1 || v.share() != 0.5 {
		t.Errorf("%+v", v)
	}
	if got := percentile([]int64{3, 1, 2}, 0.5); got != 2*time.Millisecond {
		t.Errorf("the middle of 1, 2 and 3 is %v", got)
	}
}
