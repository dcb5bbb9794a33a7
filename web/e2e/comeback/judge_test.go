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
		h.connected(i, 1, false, true)
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
	type counts struct{ Lost, Reordered, Foreign, Twice, Unasked, Never, Missed int }
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
		"recovered, one is missing": {func(h *history) {
			h.lost(3, 103_500)
			h.connected(3, 106_000, true, true)
			h.got(3, 0, 1, 2, 3, 4, 6, 7, 8)
		}, counts{Lost: 1}},
		"recovered, one twice": {func(h *history) {
			h.lost(3, 103_500)
			h.connected(3, 104_000, true, true)
			h.got(3, 0, 1, 2, 3, 3, 4, 5, 6, 7, 8)
		}, counts{Twice: 1}},
		"recovered, an old one twice": {func(h *history) {
			h.lost(3, 104_500)
			h.connected(3, 104_900, true, true)
			h.got(3, 0, 1, 2, 3, 4, 0, 5, 6, 7, 8)
		}, counts{Twice: 1, Unasked: 1}},
		"new, and it missed some": {func(h *history) {
			h.lost(3, 112_000)
			h.connected(3, 115_000, false, true)
			h.joined(3, 116_000)
			h.got(3, 0, 1)
		}, counts{}},
		"new, and it missed what came meanwhile": {func(h *history) {
			h.lost(3, 103_500)
			h.connected(3, 106_200, false, true)
			h.joined(3, 106_500)
			h.got(3, 0, 1, 2, 3, 8)
		}, counts{Missed: 3}},
		"lost again on the way back": {func(h *history) {
			h.lost(3, 103_500)
			h.lost(3, 104_000)
			h.connected(3, 104_500, true, true)
			h.got(3, 0, 1, 2, 3, 4, 5, 6, 7, 8)
		}, counts{}},
		"never back": {func(h *history) { h.lost(3, 112_000); h.got(3, 0, 1) }, counts{Never: 1}},
	} {
		h := run()
		tt.happens(h)
		v := h.judge()
		if got := (counts{v.lost, v.reordered, v.foreign, v.twice, v.twiceUnasked, v.never, v.missed}); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v: %q", name, got, tt.want, v.problems)
		}
	}
}

func TestShareIsOfThoseWithinTheWindow(t *testing.T) {
	h := run()
	h.got(3, 0, 1, 2, 3, 4, 5, 6, 7, 8)
	for i, away := range []int64{1000, 60_000, 60_001} {
		h.lost(i, 200_000)
		h.connected(i, 200_000+away, i == 0, true)
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

// A rolling restart is held to more than kills: each promise must be missed when it is broken, by one.
func TestBarsOfARestart(t *testing.T) {
	even := func() *history { // ten reconnects, two in each second
		h := run()
		h.got(3, 0, 1, 2, 3, 4, 5, 6, 7, 8)
		for k := range int64(10) {
			h.lost(1, 200_000+k*500)
			h.connected(1, 200_100+k*500, true, true)
		}
		return h
	}
	for name, tt := range map[string]struct {
		happens      func(h *history)
		kill, broken int
		worst        float64
	}{
		"all is well":   {func(h *history) {}, 0, 0, 0.2},
		"not recovered": {func(h *history) { h.lost(2, 250_000); h.connected(2, 250_100, false, true); h.joined(2, 250_200) }, 1, 1, 0.2},
		"too late to be recovered": {func(h *history) {
			h.lost(2, 250_000)
			h.connected(2, 310_001, false, true)
			h.joined(2, 310_100)
		}, 0, 0, 0.2},
		"one twice": {func(h *history) {
			h.lost(3, 108_500)
			h.connected(3, 108_600, true, true)
			h.clients[3].receipts = append(h.clients[3].receipts, receipt{message{0, 1, 8}, 108_700})
		}, 1, 1, 0.2},
		"many in one second": {func(h *history) { h.lost(2, 202_500); h.connected(2, 202_900, true, true) }, 0, 1, 3. / 11},
		"one is never back":  {func(h *history) { h.lost(2, 250_000) }, 1, 1, 0.2},
	} {
		h := even()
		tt.happens(h)
		v := h.judge()
		v.rounds(h, []span{{190_000, 210_000}, {210_000, 220_000}})
		if kill, broken := v.broken("kill"), v.broken("restart"); len(kill) != tt.kill || len(broken) != tt.broken || v.worst != tt.worst {
			t.Errorf("%s: kills: %q, want %d; a restart: %q, want %d; worst second %v, want %v", name, kill, tt.kill, broken, tt.broken, v.worst, tt.worst)
		}
	}
	for _, fault := range []string{"kill", "restart"} {
		if got := newHistory(1, 1, time.Minute).judge().broken(fault); len(got) != 1 {
			t.Errorf("%s: nobody was moved: %q, want that nothing was shown", fault, got)
		}
	}
	if got := (&verdict{reconnects: 1, twice: 3, allowed: 3}).broken("kill"); len(got) != 0 {
		t.Errorf("what may come twice is %q", got)
	}
}

func TestReasonsAreCounted(t *testing.T) {
	h := run()
	for i, secret := range []bool{true, false, false} {
		h.lost(i, 200_000)
		h.connected(i, 201_000, false, secret)
	}
	v := h.judge()
	v.refusals = map[string]int{"it took too long": 3, "a": 2, "b": 2}
	want := "| not recovered | times |\n|---|---|\n| it took too long | 3 |\n| (clients that had no secret to come back with) | 2 |\n| a | 2 |\n| b | 2 |\n"
	if got := v.reasons(); v.anew != 3 || got != want {
		t.Errorf("%d, %q", v.anew, got)
	}
	if got := (&verdict{}).reasons(); got != "" {
		t.Errorf("all were recovered: %q", got)
	}
}

func TestTheBusiestSecondBeginsAnywhere(t *testing.T) {
	for _, tt := range []struct {
		times []int64
		want  int
	}{{nil, 0}, {[]int64{5}, 1}, {[]int64{1999, 1000}, 2}, {[]int64{1000, 2000}, 1}, {[]int64{900, 1950, 1800, 2750, 1700, 950}, 4}} {
		if got := busiest(tt.times); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.times, got, tt.want)
		}
	}
}
