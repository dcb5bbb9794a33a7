package engineio

import (
	"context"
	"net/http"
	"time"

	"github.com/meshrt/meshrt/web/ws"
	"github.com/meshrt/meshrt/wire/eio"
)

// Incoming is a session of another server whose client has opened a websocket
// here, and which may come here. Its methods are called by one goroutine; all may block.
type Incoming interface {
	// Probed says that the client has sent its probe: its polls there must return.
	Probed()
	// Move brings the session over: s is what it is here. After an error the
	// websocket is closed, and the session is lost.
	Move(s *Socket) (Moved, error)
	// GiveUp says that nothing came of the websocket. It comes instead of Move, and
	// the session stays where it is.
	GiveUp()
}

// Moved is a session that has come.
type Moved struct {
	Receiver Receiver
	// Body is what waits for the client, as the body of an answer to a poll has it.
	Body []byte
	// Begin is called once that is queued: what comes later may be sent from then
	// on. An error ends the session.
	Begin func() error
}

// arrival is a websocket to which a session of another server may move, and its
// transport once it has.
type arrival struct {
	webSocket
	from  Incoming
	timer *time.Timer // UpgradeTimeout
	stay  func() bool // undoes what closes the websocket when the server ends
	asked bool        // the reader's: the client has sent its probe
	begun bool        // the reader's: what comes are packets of the session

	// Guarded by Socket.mu.
	pong   bool // the answer to the probe waits
	moving bool // the session is, or was, moved
	ready  bool // ... and is here
	failed bool // it stays where it is
}

// fetch reports whether a websocket for a session that is not known here was
// served, as the session may move here. What another server has passed on may not.
func (s *Server) fetch(w http.ResponseWriter, r *http.Request, sid string) bool {
	query := r.URL.Query()
	if s.cfg.Fetch == nil || onDetour(r) || s.serve[WebSocket] == nil || query.Get("transport") != WebSocket || !ws.IsUpgrade(r) ||
		s.versionOf(query) != 4 || !s.roster.Enter() {
		return false
	}
	defer s.roster.Leave()
	in, ok := s.cfg.Fetch(r, sid)
	if !ok {
		return false
	}
	if s.cfg.Accept != nil && s.cfg.Accept(r) != nil {
		in.GiveUp() // the server that has the session is asked
		return false
	}
	if conn := s.accept(w, r); conn != nil {
		s.serveArrival(conn, r, sid, in)
		return true
	}
	in.GiveUp()
	s.cfg.Left(r.RemoteAddr)
	return true
}

func (s *Server) serveArrival(conn *ws.Conn, r *http.Request, sid string, in Incoming) {
	a := &arrival{webSocket: webSocket{conn: conn}, from: in}
	a.socket = newSocket(s, sid, ws.Remember(r), a)
	a.timer = time.AfterFunc(s.cfg.UpgradeTimeout, func() { a.fail(ws.StatusRefused, "the upgrade took too long") })
	a.stay = context.AfterFunc(s.ending, func() { a.fail(ws.StatusGoingAway, ReasonShutdown.String()) })
	s.roster.Stay()
	conn.Go(a)
}

// Ended implements ws.Handler.
func (a *arrival) Ended() {
	s := a.socket.server
	defer s.roster.Leave()
	a.stay()
	if a.fail(0, ""); a.came() {
		a.socket.finish()
		return
	}
	a.from.GiveUp()
	s.cfg.Left(a.socket.request.RemoteAddr)
}

// fail gives the websocket up, unless the session moves.
func (a *arrival) fail(status ws.Status, text string) {
	a.socket.mu.Lock()
	defer a.socket.mu.Unlock()
	if !a.moving {
		a.failed = true
		a.timer.Stop()
		a.conn.End(status, text)
	}
}

// came says that the session has come, or was to.
func (a *arrival) came() bool {
	a.socket.mu.Lock()
	defer a.socket.mu.Unlock()
	return a.moving
}

// Opened implements ws.Handler.
func (a *arrival) Opened() {}

// Received implements ws.Handler.
func (a *arrival) Received(data []byte, binary bool) {
	if a.begun {
		a.webSocket.Received(data, binary)
		return
	}
	packet, err := eio.DecodePacket(data, binary)
	switch {
	case err == nil && packet.Type == eio.Ping && string(packet.Data) == probeData:
		if a.answer(); !a.asked {
			a.asked = true
			a.from.Probed()
		}
	case err == nil && packet.Type == eio.Upgrade:
		a.move()
	default:
		a.fail(ws.StatusProtocolError, "neither a probe nor an upgrade")
	}
}

// TryReceived implements ws.Trier.
func (a *arrival) TryReceived(text []byte) (done bool) {
	return a.begun && a.webSocket.TryReceived(text)
}

// answer answers the probe.
func (a *arrival) answer() {
	a.socket.mu.Lock()
	defer a.socket.mu.Unlock()
	a.pong = true
	a.conn.Flush()
}

// move brings the session here, once. The client waits, and is not read meanwhile.
func (a *arrival) move() {
	s := a.socket
	s.mu.Lock()
	if a.failed || a.moving {
		s.mu.Unlock()
		return
	}
	a.moving = true
	a.timer.Stop()
	s.mu.Unlock()
	if err := s.server.register(s); err != nil { // the server ends, or the id is here after all
		s.mu.Lock()
		a.moving, a.failed = false, true
		s.mu.Unlock()
		a.conn.End(ws.StatusGoingAway, ReasonShutdown.String())
		return
	}
	m, err := a.from.Move(s)
	if err != nil {
		s.server.cfg.Logger.Debug("engineio: session did not come", "addr", s.request.RemoteAddr, "err", err)
		s.end(ReasonTransportClose)
		return
	}
	a.begin(m)
	if err := m.Begin(); err != nil {
		s.end(ReasonTransportClose)
	}
	a.begun = true
	a.conn.Flush()
}

// begin lets the session live here, and queues what it has brought: before all that
// comes later, as it is in the order of its priorities already.
func (a *arrival) begin(m Moved) {
	s := a.socket
	var packets []eio.Packet
	for p, err := range eio.DecodePayload(m.Body) {
		if err == nil {
			packets = append(packets, p)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a.ready, s.receiver = true, m.Receiver
	s.server.counters.upgraded.Add(1)
	if s.reason != 0 {
		return
	}
	if len(packets) > 0 {
		s.out.Push(NewGroup(packets...).At(ws.Fence))
	}
	s.heartbeat.alive(time.Now())
	s.timer = time.AfterFunc(time.Until(s.heartbeat.due), s.fired)
}

// Take implements ws.Handler.
func (a *arrival) Take() ([]*Group, bool) {
	s := a.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case a.pong:
		a.pong = false
		return []*Group{probeGroup}, true
	case !a.ready:
		return nil, s.reason == 0 && !a.failed
	}
	return s.takeLocked(), s.reason == 0
}

// Failed implements ws.Handler. A websocket that breaks before the session moves is
// no loss.
func (a *arrival) Failed(cause ws.Cause) {
	if a.came() {
		a.webSocket.Failed(cause)
	}
}
