package plain

import "time"

// heartbeat is the arithmetic of the liveness check, without a timer. A client
// that was silent for an interval is pinged; one that stays silent for a timeout
// after that is dead. Whatever comes from it counts, not pongs alone. The times are
// exact, without slack.
type heartbeat struct {
	interval, timeout time.Duration

	pinged time.Time // when the last ping went out; zero before the first
}

// beat is what to do.
type beat int

const (
	beatNone beat = iota
	beatPing
	beatDead
)

// check says what is due at now for a client that was heard last at heard, and how
// long to wait for the next check.
func (h *heartbeat) check(now, heard time.Time) (due beat, wait time.Duration) {
	if heard.Before(h.pinged) {
		if wait = h.pinged.Add(h.timeout).Sub(now); wait <= 0 {
			return beatDead, 0
		}
		return beatNone, wait
	}
	if wait = heard.Add(h.interval).Sub(now); wait > 0 {
		return beatNone, wait
	}
	h.pinged = now
	// A timeout is longer than the interval here and there: the ping after an
	// answer that came at once would be late.
	return beatPing, min(h.interval, h.timeout)
}
