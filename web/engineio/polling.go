package engineio

import (
	"errors"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

// raceTime is how long a request waits for another that its client has sent just
// before, or together with it: they come on several connections, and in any order.
// The official server reads all connections in one thread and sees them in order
// mostly; its protocol suite counts on that.
const raceTime = 50 * time.Millisecond

// polling is the transport of a session whose packets are in the bodies of HTTP
// requests: one GET of the client waits for what the server has, and one POST at a
// time brings what the client has.
type polling struct {
	socket *Socket
	opened chan struct{} // closed when Handler.Opened has returned

	// The rest is guarded by Socket.mu.
	changed sync.Cond // of writing, posting and what follows; L is Socket.mu
	waiting *poll     // the GET that waits for packets
	writing *poll     // the GET whose answer is on its way
	posting *post     // the POST that is read or acted on
	doubt   *doubt    // the last answer may be lost; nil mostly
	lingers bool      // the session has ended, and one more GET may fetch the last packets
}

// servePolling opens a session. Its first answer is the open packet alone: clients
// read it before they know of a session.
func (s *Server) servePolling(w http.ResponseWriter, r *http.Request) {
	if !s.roster.Enter() { // for the session, which outlives this request
		s.cfg.Left(r.RemoteAddr)
		s.refuse(w, errShutdown)
		return
	}
	g := newPoll(w, r)
	p := &polling{opened: make(chan struct{}), waiting: g}
	p.socket = newSocket(s, s.cfg.NewSID(), ws.Remember(r), p)
	p.changed.L = &p.socket.mu
	if err := s.register(p.socket); err != nil {
		s.roster.Leave()
		s.cfg.Left(r.RemoteAddr)
		s.refuse(w, answerTo(s.turnedAway(p.socket, err)))
		return
	}
	p.socket.start()
	p.answer(g, r)
	p.open()
}

// open tells the layer above. Nothing is received before it has returned.
func (p *polling) open() {
	defer close(p.opened)
	s := p.socket
	if !s.server.guard(s, s.open) {
		s.end(ReasonPanic)
	}
}

// name implements transport.
func (p *polling) name() string { return Polling }

// flush implements transport.
func (p *polling) flush() {
	if p.waiting != nil {
		p.waiting.poke()
	}
}

// websocket implements transport.
func (p *polling) websocket() *ws.Conn { return nil }

// writable implements transport. As there, a client between two polls is not.
func (p *polling) writable() bool { return p.waiting != nil && p.writing == nil }

// end implements transport.
func (p *polling) end(reason Reason) {
	linger := reasons[reason].linger
	p.lingers = linger > 0
	p.sure()
	p.hurry(reason)
	p.flush()
	go p.close(linger) // counted in by servePolling
}

// hurry bounds the requests that are under way when the session ends: the body of
// the POST is read no more, and the answer to the GET is written like any last
// words.
func (p *polling) hurry(reason Reason) {
	past := time.Unix(1, 0)
	if p.posting != nil && p.posting.reading {
		p.posting.rc.SetReadDeadline(past)
	}
	switch {
	case p.writing == nil:
	case reason.graceful():
		p.writing.rc.SetWriteDeadline(time.Now().Add(ws.CloseTimeout))
	default:
		p.writing.rc.SetWriteDeadline(past)
	}
}

// close waits until all of the session is through, after end.
func (p *polling) close(linger time.Duration) {
	s := p.socket
	defer s.server.roster.Leave()
	defer time.AfterFunc(linger, p.giveUp).Stop()
	<-p.opened
	s.mu.Lock()
	for p.lingers || p.waiting != nil || !p.still() {
		p.changed.Wait()
	}
	s.mu.Unlock()
	s.finish()
}

// still says that no request carries packets.
func (p *polling) still() bool { return p.writing == nil && p.posting == nil }

// giveUp ends the wait for one more GET.
func (p *polling) giveUp() {
	p.socket.mu.Lock()
	defer p.socket.mu.Unlock()
	p.lingers = false
	p.changed.Broadcast()
}

// serveRequest serves a request of a session that is known.
func (s *Server) serveRequest(w http.ResponseWriter, r *http.Request, socket *Socket) {
	p, ok := socket.polling()
	if !ok {
		s.refuse(w, codeBadRequest)
		return
	}
	switch r.Method {
	case http.MethodGet:
		p.serveGet(w, r)
	case http.MethodPost:
		p.servePost(w, r)
	default:
		s.refuse(w, codeBadMethod)
	}
}

// failure is what the error of an answer means.
func failure(err error) Reason {
	switch {
	case err == nil, errors.Is(err, http.ErrNotSupported): // a ResponseWriter that hides its Flush
		return 0
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ReasonSlow
	}
	return ReasonTransportError
}
