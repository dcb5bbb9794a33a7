package port

import (
	"net/netip"
	"sync"
	"time"
)

const (
	logEvery = time.Minute // between two lines about one remote address
	maxLog   = 1024        // remote addresses remembered; all others share one line
)

// logLimit lets one event per address and minute through and counts the rest.
// Its memory is bounded whatever comes: when the table is full, new addresses
// share the entry of the zero prefix.
type logLimit struct {
	mu      sync.Mutex
	entries map[netip.Prefix]*logEntry
	sweepAt time.Time // before that no entry of a full table has run out
}

type logEntry struct {
	until      time.Time // quiet until then
	suppressed int       // since the last line
}

// allow tells whether to write a line about addr now, and how many events
// before it had none.
func (l *logLimit) allow(addr netip.Prefix) (suppressed int, ok bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(addr, now)
	if now.Before(e.until) {
		e.suppressed++
		return 0, false
	}
	suppressed, e.suppressed = e.suppressed, 0
	e.until = now.Add(logEvery)
	return suppressed, true
}

func (l *logLimit) entry(addr netip.Prefix, now time.Time) *logEntry {
	if e := l.entries[addr]; e != nil {
		return e
	}
	if len(l.entries) >= maxLog {
		l.sweep(now)
	}
	if len(l.entries) >= maxLog {
		addr = netip.Prefix{}
		if e := l.entries[addr]; e != nil {
			return e
		}
	}
	if l.entries == nil {
		l.entries = make(map[netip.Prefix]*logEntry)
	}
	e := &logEntry{}
	l.entries[addr] = e
	return e
}

// sweep forgets the entries that have run out. Under a flood from many
// addresses it walks the table once a minute, not once an event.
func (l *logLimit) sweep(now time.Time) {
	if now.Before(l.sweepAt) {
		return
	}
	l.sweepAt = now.Add(logEvery)
	for addr, e := range l.entries {
		if !now.Before(e.until) {
			delete(l.entries, addr)
		} else if e.until.Before(l.sweepAt) {
			l.sweepAt = e.until
		}
	}
}
