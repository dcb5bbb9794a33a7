package node

import (
	"context"
	"sync/atomic"
	"time"
)

// Limits of History: it makes all nodes look and one copy much, and any client may ask.
const (
	// maxHistories are asked for at a time on a node; those beyond it wait in line, for so long at most: many come at
	// once when a node has died.
	maxHistories = 32
	historyLine  = 5 * time.Second
	// A client has historyBurst at once, and one more each historyEvery; what is over waits, and what the client says next
	// waits for it, so that it is slowed down and loses nothing.
	historyBurst = 100
	historyEvery = 50 * time.Millisecond
)

var errHistoryBusy = Errorf(CodeUnavailable, "too many ask for history at this node: try again in a moment")

// HistoryBuckets are the bounds of HistoryStats.Within.
var HistoryBuckets = [...]time.Duration{time.Millisecond, 3 * time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond,
	100 * time.Millisecond, 300 * time.Millisecond, time.Second, 3 * time.Second}

// HistoryStats are counters of what was asked for here since New.
type HistoryStats struct {
	Answered   uint64 // histories
	Messages   uint64 // in them
	Incomplete uint64 // of Answered, those that name a node in Missing
	Refused    uint64 // as too many were asked for at a time
	Waited     uint64 // histories that came sooner behind others of the same client than they may
	Within     [len(HistoryBuckets)]uint64
	Sum        time.Duration // of all Answered, time in line included
}

// histories bounds what is asked for here, and counts it.
type histories struct {
	places                                          chan struct{} // one for each that is under way
	answered, messages, incomplete, refused, waited atomic.Uint64
	within                                          [len(HistoryBuckets)]atomic.Uint64
	sum                                             atomic.Int64
}

func (x *histories) init() { x.places = make(chan struct{}, maxHistories) }

// enter waits for a place. The caller calls leave.
func (x *histories) enter(ctx context.Context) error {
	select {
	case x.places <- struct{}{}:
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, historyLine)
	defer cancel()
	select {
	case x.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		x.refused.Add(1)
		return errHistoryBusy
	}
}

func (x *histories) leave() { <-x.places }

// note counts an answer that took so long.
func (x *histories) note(h History, took time.Duration) {
	x.answered.Add(1)
	x.messages.Add(uint64(len(h.Messages)))
	if len(h.Missing) > 0 {
		x.incomplete.Add(1)
	}
	x.sum.Add(int64(took))
	for i, limit := range HistoryBuckets {
		if took <= limit {
			x.within[i].Add(1)
		}
	}
}

func (x *histories) stats() HistoryStats {
	s := HistoryStats{Answered: x.answered.Load(), Messages: x.messages.Load(), Incomplete: x.incomplete.Load(), Refused: x.refused.Load(),
		Waited: x.waited.Load(), Sum: time.Duration(x.sum.Load())}
	for i := range s.Within {
		s.Within[i] = x.within[i].Load()
	}
	return s
}

// asking is how often a session asks for history: the time up to which what it has asked for counts.
type asking struct{ until atomic.Int64 }

// next counts one more, and says how long it has to wait.
func (a *asking) next(now time.Duration) time.Duration {
	for {
		before := a.until.Load()
		after := max(before, int64(now)) + int64(historyEvery)
		if a.until.CompareAndSwap(before, after) {
			return max(0, time.Duration(after)-now-historyBurst*historyEvery)
		}
	}
}

// paceHistory waits until the session may ask again, or is gone.
func (s *Session) paceHistory(ctx context.Context) error {
	wait := s.asking.next(s.node.now())
	if wait == 0 {
		return nil
	}
	s.node.histories.waited.Add(1)
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return errHistoryBusy
	case <-s.Context().Done():
		return errHistoryBusy
	}
}
