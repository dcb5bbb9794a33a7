package node

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestHistoriesAtATimeAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var x histories
		x.init()
		ctx := t.Context()
		for range maxHistories {
			if err := x.enter(ctx); err != nil {
				t.Fatal(err)
			}
		}
		served := make(chan error)
		go func() { served <- x.enter(ctx) }()
		synctest.Wait()
		select {
		case err := <-served:
			t.Fatalf("one more is served: %v", err)
		default:
		}
		x.leave()
		if err := <-served; err != nil {
			t.Errorf("the place that was free: %v", err)
		}
		start := time.Now()
		if err := x.enter(ctx); CodeOf(err) != CodeUnavailable || time.Since(start) != historyLine || x.stats().Refused != 1 {
			t.Errorf("%v after %v, %d counted, want a refusal after %v", err, time.Since(start), x.stats().Refused, historyLine)
		}
	})
}

func TestHistoriesAreCountedByTime(t *testing.T) {
	var x histories
	x.note(History{Messages: make([]HistoryMessage, 3)}, time.Millisecond)
	x.note(History{Missing: make([]Missing, 2)}, 31*time.Millisecond)
	x.note(History{}, time.Minute)
	got := x.stats()
	want := HistoryStats{Answered: 3, Messages: 3, Incomplete: 1, Within: [...]uint64{1, 1, 1, 1, 2, 2, 2, 2}, Sum: time.Minute + 32*time.Millisecond}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
