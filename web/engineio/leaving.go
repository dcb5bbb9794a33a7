package engineio

import (
	"context"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

// moveTimeout is how long a session that has stopped here may take to go on at
// another server. Its client waits for that, and has nothing to fall back on.
const moveTimeout = 5 * time.Second

// Leaving is a session on polling whose client has opened its websocket at
// another server: what moves there is the session, as an upgrade moves it to
// another transport here. First it is the candidate of the session, whose polls go on,
// and once it is frozen its transport, which carries nothing.
type Leaving struct {
	socket  *Socket
	polling *polling
	to      any // who takes it
	timer   *time.Timer

	// Guarded by Socket.mu.
	answered bool // the client has sent its probe there
	frozen   bool
}

// candidate is where a session on polling may move to.
type candidate interface {
	// probed says that the client has sent its probe, so that its polls must return.
	probed() bool
	// drop gives the move up; the session stays on polling. Socket.mu is held.
	drop(status ws.Status, text string)
}

// Leave lets a session of this server go to another, which to
// names by a comparable value. It reports whether the session may: it is known, on polling, no
// other websocket tries the same, and its client speaks the current version. After
// Config.UpgradeTimeout without Freeze it stays.
func (s *Server) Leave(sid string, to any) bool {
	socket, ok := s.roster.EnterFor(sid)
	if !ok {
		return false
	}
	defer s.roster.Leave()
	socket.mu.Lock()
	defer socket.mu.Unlock()
	p, ok := socket.transport.(*polling)
	if !ok || socket.reason != 0 || socket.probe != nil || socket.legacy {
		return false
	}
	l := &Leaving{socket: socket, polling: p, to: to}
	socket.probe = l
	l.timer = time.AfterFunc(s.cfg.UpgradeTimeout, l.Abort)
	return true
}

// LeavingTo is the session that Leave has let go, while it is on its way.
func (s *Server) LeavingTo(sid string, to any) (*Leaving, bool) {
	socket, ok := s.roster.EnterFor(sid)
	if !ok {
		return nil, false
	}
	defer s.roster.Leave()
	socket.mu.Lock()
	defer socket.mu.Unlock()
	l, ok := socket.probe.(*Leaving)
	if !ok {
		l, ok = socket.transport.(*Leaving)
	}
	return l, ok && l.to == to
}

// probed implements candidate.
func (l *Leaving) probed() bool { return l.answered }

// drop implements candidate.
func (l *Leaving) drop(ws.Status, string) {
	l.socket.probe = nil
	l.timer.Stop()
}

// Probed says that the client has sent its probe: its polls return from now on.
func (l *Leaving) Probed() {
	l.socket.mu.Lock()
	defer l.socket.mu.Unlock()
	l.answered = true
	l.polling.flush()
}

// Freeze stops the session: requests of polling are refused, and what the client has
// sent before is received when it returns, which is for the end of ctx at the latest.
// What is sent to the client waits for Take. It gives the session's Receiver, or
// reports that the session has ended or stays.
func (l *Leaving) Freeze(ctx context.Context) (Receiver, bool) {
	s, p := l.socket, l.polling
	s.mu.Lock()
	if s.probe != candidate(l) || s.reason != 0 {
		s.mu.Unlock()
		return nil, false
	}
	s.probe, s.transport, l.frozen = nil, l, true
	l.timer.Reset(moveTimeout)
	p.sure()
	if g := p.waiting; g != nil {
		p.waiting = nil
		g.poke() // to be refused
	}
	s.mu.Unlock()
	defer context.AfterFunc(ctx, l.Abort)()

	<-p.opened
	s.mu.Lock()
	defer s.mu.Unlock()
	for !p.still() {
		p.changed.Wait()
	}
	return s.receiver, s.reason == 0
}

// Receiver is that of the session, which must be frozen.
func (l *Leaving) Receiver() Receiver { return l.socket.receiver }

// Take ends the session here with ReasonMoved and gives what waits for the client,
// as the body of an answer to a poll has it. It reports whether the session was there.
func (l *Leaving) Take() (body []byte, ok bool) {
	s := l.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason != 0 || !l.frozen {
		return nil, false
	}
	body = appendPayload(nil, s.takeAllLocked())
	s.endLocked(ReasonMoved)
	return body, true
}

// Abort gives the move up. A session that is frozen ends: its client has left
// polling behind.
func (l *Leaving) Abort() {
	s := l.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.probe == candidate(l):
		l.drop(0, "")
	case s.transport == transport(l):
		s.endLocked(ReasonTransportClose)
	}
}

// name implements transport.
func (l *Leaving) name() string { return Polling }

// flush implements transport.
func (l *Leaving) flush() {}

// websocket implements transport.
func (l *Leaving) websocket() *ws.Conn { return nil }

// writable implements transport. What is volatile is left out, as between two polls.
func (l *Leaving) writable() bool { return false }

// end implements transport.
func (l *Leaving) end(reason Reason) {
	l.timer.Stop()
	l.polling.hurry(reason)
	go l.polling.close(0) // counted in by servePolling
}
