package engineio

import "time"

// heartbeat is the arithmetic of the protocol's liveness check, without a timer: a
// ping goes out an interval after the handshake and after each pong, and the
// client is dead when a timeout after a ping there was no pong. The times are
// exact, without slack: clients and the official suite count on them. The time in
// which we do not read the client is none of the timeout's: its pong may be in the
// socket's buffer, behind a message that we have not acted on.
type heartbeat struct {
	interval, timeout time.Duration
	byClient          bool // it pings, and is dead an interval after the last ping: no ping is ever due

	due     time.Time     // when the timer must fire
	awaited bool          // a ping is out and its pong is not in
	held    time.Time     // since then, or since the ping, we do not read; zero when we do
	credit  time.Duration // for which we did not, since the ping
}

// beat is what to do when the timer has fired.
type beat int

const (
	beatEarly beat = iota // a pong came while the timer fired: wait on
	beatPing              // send a ping
	beatDead              // the pong is late
	beatHeld              // the pong may be there, unread: fire again when due
)

// alive starts the next interval: at the handshake and at each pong, asked for or
// not, as the official server has it.
func (h *heartbeat) alive(now time.Time) {
	h.awaited, h.credit = h.byClient, 0
	h.due = now.Add(h.interval)
}

// hold starts a time in which we do not read the client.
func (h *heartbeat) hold(now time.Time) { h.held = now }

// release ends it.
func (h *heartbeat) release(now time.Time) {
	if h.awaited && !h.held.IsZero() {
		h.credit += now.Sub(h.held)
	}
	h.held = time.Time{}
}

// extend moves the end of the timeout by the time in which we did not read. While
// we do not, it is a whole timeout away.
func (h *heartbeat) extend(now time.Time) {
	if h.awaited {
		h.due = h.due.Add(h.credit)
		h.credit = 0
		if !h.held.IsZero() {
			h.held = now
			h.due = now.Add(h.timeout)
		}
	}
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
		if h.extend(now); now.Before(h.due) {
			return beatHeld
		}
		return beatDead
	}
	h.awaited, h.credit = true, 0
	if !h.held.IsZero() {
		h.held = now
	}
	if now.Sub(h.due) > h.timeout/10 {
		h.due = now
	}
	h.due = h.due.Add(h.timeout)
	return beatPing
}

// dead says that the pong is late at now, if the timer is too.
func (h *heartbeat) dead(now time.Time) bool {
	return h.awaited && !now.Before(h.due.Add(h.credit)) && h.held.IsZero()
}
