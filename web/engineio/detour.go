package engineio

import (
	"context"
	"net/http"
	"time"
)

// Detour tells of a request that another server has taken from its client and
// passed on. What carries it may end without the client knowing, or wanting, that.
// The zero value is a request that came by itself.
type Detour struct {
	// Leaving ends when the other server is about to stop. A poll that waits is
	// answered then, with a noop for want of anything else, so that the client polls
	// again on another way; a websocket is closed as with ReasonShutdown, but one
	// that the session has not moved to leaves it on polling.
	Leaving context.Context
	// Lost ends when the other server cannot be reached any more. It must end before
	// the context of the request does for that reason. A poll that waited is
	// forgotten, as the client may be there and poll again; the heartbeat finds out.
	// A session whose last answer went that way ends, unless its client has polled
	// since: nobody knows whether it got the answer.
	Lost context.Context
}

type detourKey struct{}

// Request is r with what d tells.
func (d Detour) Request(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), detourKey{}, d))
}

// onDetour tells whether another server has passed r on.
func onDetour(r *http.Request) bool {
	_, ok := r.Context().Value(detourKey{}).(Detour)
	return ok
}

// detourOf is the way on which r has come.
func detourOf(r *http.Request) Detour {
	d, _ := r.Context().Value(detourKey{}).(Detour)
	if d.Leaving == nil {
		d.Leaving = context.Background()
	}
	if d.Lost == nil {
		d.Lost = context.Background()
	}
	return d
}

// doubt is of an answer that may not have arrived.
type doubt struct{ stop func() bool }

// unsure says that only the next poll will tell whether the last answer has
// arrived: it is lost with the server that passed it on. Socket.mu is held.
func (p *polling) unsure(lost context.Context) {
	s := p.socket
	if lost.Done() == nil || s.reason != 0 || s.transport != transport(p) {
		return
	}
	d := &doubt{}
	p.doubt = d
	d.stop = context.AfterFunc(lost, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if p.doubt == d {
			s.endLocked(ReasonTransportError)
		}
	})
}

// sure ends the doubt. Socket.mu is held.
func (p *polling) sure() {
	if p.doubt != nil {
		p.doubt.stop()
		p.doubt = nil
	}
}

// leave asks next for an answer to g, whatever there is.
func (p *polling) leave(g *poll) {
	p.socket.mu.Lock()
	defer p.socket.mu.Unlock()
	g.leaving = true
}

// newsTime is how long the news that another server is lost may take, more than a
// client that is quick to poll again through a third one.
const newsTime = 250 * time.Millisecond

// outlast waits a moment for the end of a poll whose way may just have broken: the
// news of that and the next poll of the client race. Socket.mu is held, but let go
// of meanwhile.
func (p *polling) outlast(old *poll) {
	if old == nil || old.way.Lost.Done() == nil {
		return
	}
	late := false
	defer time.AfterFunc(newsTime, func() {
		p.socket.mu.Lock()
		defer p.socket.mu.Unlock()
		late = true
		p.changed.Broadcast()
	}).Stop()
	for p.waiting == old && p.writing == nil && p.socket.reason == 0 && !late {
		p.changed.Wait()
	}
}
