package engineio

import (
	"net/http"
	"strconv"
	"time"

	"github.com/meshrt/meshrt/web/ws"
	"github.com/meshrt/meshrt/wire/eio"
)

// The packets of our own that answer a poll. A client takes a close packet for a
// transport that was closed, and connects again; a noop, for nothing.
var (
	closeGroup = NewGroup(eio.Packet{Type: eio.Close})
	noopGroup  = NewGroup(eio.Packet{Type: eio.Noop})
)

// poll is one GET.
type poll struct {
	w    http.ResponseWriter
	rc   *http.ResponseController
	way  Detour
	wake chan struct{} // capacity 1: ask next again

	// Guarded by Socket.mu.
	noopAt  time.Time // not before, a noop
	leaving bool      // a noop rather than nothing
	noop    bool      // the answer is one
	arrived bool      // the next poll tells so, though write is not through yet
}

func newPoll(w http.ResponseWriter, r *http.Request) *poll {
	return &poll{w: w, rc: http.NewResponseController(w), way: detourOf(r), wake: make(chan struct{}, 1)}
}

func (g *poll) poke() {
	select {
	case g.wake <- struct{}{}:
	default: // is awake
	}
}

func (p *polling) serveGet(w http.ResponseWriter, r *http.Request) {
	g := newPoll(w, r)
	if err := p.admitGet(g); err != nil {
		p.socket.server.refuse(w, err)
		return
	}
	p.answer(g, r)
}

// admitGet makes g the poll that waits. Two at once end the session: the client
// would not know the order of their answers.
func (p *polling) admitGet(g *poll) error {
	s := p.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	p.outlast(p.waiting)
	if s.heartbeat.dead(time.Now()) {
		s.endLocked(ReasonPingTimeout)
	}
	switch {
	case s.transport != transport(p):
		return codeBadRequest
	case s.reason != 0 && !p.lingers:
		return codeUnknownSID
	case p.waiting != nil:
		s.endLocked(ReasonTransportError)
		return codeBadRequest
	}
	p.waiting = g
	p.sure()
	if p.writing != nil {
		p.writing.arrived = true
	}
	if s.probe != nil && s.probe.probed() { // the upgrade itself may be on its way
		g.noopAt = time.Now().Add(raceTime)
	}
	return nil
}

// answer waits until there is something for g, and writes it.
func (p *polling) answer(g *poll, r *http.Request) {
	leaving := g.way.Leaving.Done()
	for {
		groups, wait, err := p.next(g)
		if err != nil {
			p.socket.server.refuse(g.w, err)
			return
		}
		if len(groups) > 0 {
			p.answered(g, p.write(g, groups))
			return
		}
		var again <-chan time.Time
		if wait > 0 {
			again = time.After(wait)
		}
		select {
		case <-g.wake:
		case <-again:
		case <-leaving:
			p.leave(g)
			leaving = nil
		case <-r.Context().Done():
			p.lost(g)
			return
		}
	}
}

// next is the answer to g, or nothing yet. Then it must be asked again after a
// wake, and after wait unless that is 0. A client that upgrades gets a noop for
// want of anything else: it moves when its last poll is back.
func (p *polling) next(g *poll) (groups []*Group, wait time.Duration, err error) {
	s := p.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case p.waiting != g:
		return nil, 0, codeBadRequest // the client has moved to a websocket, and left it behind
	case p.writing != nil: // its answer comes first
		return nil, 0, nil
	case p.lingers && s.reason == ReasonShutdown && !s.out.Empty():
		// The close is for the next poll. A payload with both closes the official client before it looks at the
		// events, which it keeps until it is connected again: then it has said already that it lacks them.
		return p.hand(g, s.takeAllLocked()), 0, nil
	case s.reason != 0:
		p.lingers = false
		return p.hand(g, append(s.takeAllLocked(), s.reason.lastGroup())), 0, nil
	case !s.out.Empty():
		return p.hand(g, s.takeAllLocked()), 0, nil
	case g.leaving:
		g.noop = true
		return p.hand(g, []*Group{noopGroup}), 0, nil
	case s.probe != nil && s.probe.probed():
		if wait = time.Until(g.noopAt); wait > 0 {
			return nil, wait, nil
		}
		g.noop = true
		return p.hand(g, []*Group{noopGroup}), 0, nil
	}
	return nil, 0, nil
}

// hand makes g the poll that is being answered. The next one may come before we
// know that this one is through.
func (p *polling) hand(g *poll, groups []*Group) []*Group {
	p.waiting, p.writing = nil, g
	timeout := p.socket.server.cfg.PingTimeout
	if p.socket.reason != 0 {
		timeout = ws.CloseTimeout
	}
	g.rc.SetWriteDeadline(time.Now().Add(timeout))
	return groups
}

// write sends the answer to g, all of it: what net/http would keep in its buffer
// until the handler returns might fail unseen.
func (p *polling) write(g *poll, groups []*Group) error {
	traffic := &p.socket.server.counters.traffic
	for _, group := range groups {
		traffic.MessagesOut.Add(uint64(len(group.Frames())))
		traffic.BytesOut.Add(uint64(group.Size()))
	}
	body, mediaType := p.socket.payload(groups)
	h := g.w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if _, err := g.w.Write(body); err != nil {
		return err
	}
	return g.rc.Flush()
}

// appendPayload appends the packets of groups, whose text frames are packets as a
// payload has them.
func appendPayload(dst []byte, groups []*Group) []byte {
	for _, g := range groups {
		for _, f := range g.Frames() {
			if len(dst) > 0 {
				dst = append(dst, eio.Separator)
			}
			if f.Opcode == ws.Binary {
				dst = eio.AppendPacket(dst, eio.Packet{Type: eio.Message, Binary: true, Data: f.Data})
			} else {
				dst = append(dst, f.Data...)
			}
		}
	}
	return dst
}

// answered says that g is through.
func (p *polling) answered(g *poll, err error) {
	s := p.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.writing != g {
		return
	}
	p.writing = nil
	s.out.Written()
	if reason := failure(err); reason != 0 {
		s.endLocked(reason)
	} else if !g.noop && !g.arrived {
		p.unsure(g.way.Lost)
	}
	p.flush()
	p.changed.Broadcast()
}

// lost says that the client has hung up on g. It may have been answered already by
// something between us, so that what waits has no way: the session ends. But a
// client whose way to us broke need not know.
func (p *polling) lost(g *poll) {
	s := p.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.waiting == g {
		p.waiting = nil
		if g.way.Lost.Err() == nil {
			s.endLocked(ReasonTransportError)
		}
		p.changed.Broadcast()
	}
}
