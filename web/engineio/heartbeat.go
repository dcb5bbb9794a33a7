package engineio

import "time"

// heartbeat is the arithmetic of the protocol's liveness check, without a timer: a
// ping goes out an interval after the handshake and after each pong, and the
// client is dead when a timeout after a ping there was no pong. The times are
// exact, without slack: clients and the official suite count on them.
type heartbeat struct {
	interval, timeout time.Duration

	due     time.Time // when the timer must fire
	awaited bool      // a ping is out and its pong is not in
}

// beat is what to do when the timer has fired.
type beat int

const (
	beatEarly beat = iota // a pong came while the timer fired: wait on
	beatPing              // send a ping
	beatDead              // the pong is late
)

// alive starts the next interval: at the handshake and at each pong, asked for or
// not, as the official server has it.
func (h *heartbeat) alive(now time.Time) {
	h.awaited = false
	h.due = now.Add(h.interval)
}

// fired says what is due at now, and when to fire next. The timeout starts when the
// ping was due: a timer that is a little late takes nothing from the exact time at
// which a dead client is gone. One that is very late, as the whole process stood
// still, leaves the client all of it.
func (h *heartbeat) fired(now time.Time) beat {
	switch {
	case now.Before(h.due):
		return beatEarly
	case h.awaited:
		return beatDead
	}
	h.awaited = true
	if now.Sub(h.due) > h.timeout/10 {
		h.due = now
	}
	h.due = h.due.Add(h.timeout)
	return beatPing
}

// dead says that the pong is late at now, if the timer is too.
func (h *heartbeat) dead(now time.Time) bool { return h.awaited && !now.Before(h.due) }
