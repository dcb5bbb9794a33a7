package ws

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestDrainOverSpreadsTheEnds(t *testing.T) {
	for _, tt := range []struct {
		sessions   int
		over       time.Duration
		atLeast    time.Duration
		atMost     time.Duration
		halfBefore time.Duration // when half of them have ended, at the latest
	}{
		{100_000, 20 * time.Second, 19 * time.Second, 20 * time.Second, 10 * time.Second},
		{10_000, 20 * time.Second, 16 * time.Second, 20 * time.Second, 10 * time.Second},
		{600, 20 * time.Second, 11900 * time.Millisecond, 12 * time.Second, 6 * time.Second}, // 50 a second
		{100, 20 * time.Second, 6900 * time.Millisecond, 7 * time.Second, 3500 * time.Millisecond},
		{15, 20 * time.Second, 6500 * time.Millisecond, 7 * time.Second, 3500 * time.Millisecond},
		{2, 20 * time.Second, time.Second, time.Second, 0},
		{100, time.Second, 900 * time.Millisecond, time.Second, 500 * time.Millisecond},
		{1, 20 * time.Second, 0, 0, 0},
		{0, 20 * time.Second, 0, 0, 0},
		{100_000, 0, 0, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			var r Roster[int, int]
			for i := range tt.sessions {
				if err := r.Add(i, i); err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			var half time.Duration
			var order []int
			r.DrainOver(t.Context(), tt.over, func(s int) {
				if order = append(order, s); len(order) == tt.sessions/2 {
					half = time.Since(began)
				}
			})
			took := time.Since(began)
			if took < tt.atLeast || took > tt.atMost || half > tt.halfBefore {
				t.Errorf("%d over %v took %v, half of them %v", tt.sessions, tt.over, took, half)
			}
			if len(order) > 100 && slices.IsSorted(order) {
				t.Error("the order is that of their keys")
			}
			slices.Sort(order)
			if order = slices.Compact(order); len(order) != tt.sessions {
				t.Errorf("%d of %d sessions were ended", len(order), tt.sessions)
			}
			if r.Enter() || r.Add(-1, -1) != ErrDraining {
				t.Error("a request or a session got in")
			}
		})
	}
}

func TestDrainOverWaitsForNobodyWhoHasGone(t *testing.T) {
	for _, tt := range []struct {
		sessions, stay  int
		atLeast, atMost time.Duration
	}{
		{3333, 0, time.Second, time.Second + 2*drainTick},
		{100, 0, time.Second, time.Second + 7*drainTick},
		{10_000, 1000, 2800 * time.Millisecond, 3 * time.Second}, // 500 a second all the time; 50 or so went before
	} {
		synctest.Test(t, func(t *testing.T) {
			var r Roster[int, int]
			for i := range tt.sessions {
				r.Add(i, i)
			}
			began := time.Now()
			time.AfterFunc(time.Second, func() {
				for i := tt.stay; i < tt.sessions; i++ {
					r.Remove(i)
				}
			})
			r.DrainOver(t.Context(), 20*time.Second, func(int) {})
			if took := time.Since(began); took < tt.atLeast || took > tt.atMost {
				t.Errorf("%d sessions, of which all but %d went after a second, took %v", tt.sessions, tt.stay, took)
			}
		})
	}
}

// However few there are, no second has many of them, and few take no more than 7 s, nor for longer than asked for.
func TestNoSecondOfADrainHasManyOfTheEnds(t *testing.T) {
	for n := 1; n < 3000; n += 1 + n/10 {
		for _, over := range []time.Duration{20 * time.Second, 4 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				var r Roster[int, int]
				for i := range n {
					r.Add(i, i)
				}
				began := time.Now()
				var ends []time.Duration
				r.DrainOver(t.Context(), over, func(int) { ends = append(ends, time.Since(began)) })
				most, first := 0, 0
				for i, at := range ends {
					for ends[first] <= at-time.Second+drainTick { // so much sooner may one be than its turn
						first++
					}
					most = max(most, i-first+1)
				}
				allowed := (n + 6) / 7
				if over < 7*time.Second {
					allowed = n*int(time.Second)/int(over) + 1
				}
				if most > allowed {
					t.Errorf("%d of %d ended within a second of %v, want %d at most", most, n, over, allowed)
				}
				if took := ends[n-1]; took > over || n < 350 && took > 7*time.Second {
					t.Errorf("%d over %v took %v", n, over, took)
				}
			})
		}
	}
}
