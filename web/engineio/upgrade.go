package engineio

import (
	"context"
	"net/http"
	"time"

	"github.com/meshrt/meshrt/web/ws"
	"github.com/meshrt/meshrt/wire/eio"
)

// probeData is in the ping of a client that upgrades, and in our pong.
const probeData = "probe"

var probeGroup = NewGroup(eio.Packet{Type: eio.Pong, Data: []byte(probeData)})

// upgrade is a websocket to which a session on polling may move, and its transport
// once it has. Before, the session knows it as Socket.probe.
type upgrade struct {
	webSocket
	polling *polling
	timer   *time.Timer // UpgradeTimeout
	stay    func() bool // undoes what closes the websocket when the server on its way leaves
	moved   bool        // the reader's: what comes are packets of the session

	// Guarded by Socket.mu.
	answered bool // the client has sent its probe: its polls must return
	pong     bool // the answer to the probe waits
}

// serveUpgrade serves a websocket for a session that is known. When the session
// cannot move, the handshake is made all the same, as in the official server:
// clients expect a close, not an error.
func (s *Server) serveUpgrade(w http.ResponseWriter, r *http.Request, socket *Socket) {
	conn := s.accept(w, r)
	if conn == nil {
		return
	}
	u := &upgrade{webSocket: webSocket{socket: socket, conn: conn}}
	s.roster.Stay()
	if !u.begin() {
		conn.Reject(ws.StatusRefused, "the session cannot upgrade", s.roster.Leave)
		return
	}
	u.stay = context.AfterFunc(detourOf(r).Leaving, u.leave)
	conn.Go(u)
}

// Ended implements ws.Handler.
func (u *upgrade) Ended() {
	defer u.socket.server.roster.Leave()
	u.stay()
	u.fail(0, "")
	u.settle()
}

// begin makes u the probe of the session. A session on a websocket has none, and
// one at a time is enough.
func (u *upgrade) begin() bool {
	s := u.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.transport.(*polling)
	if !ok || s.reason != 0 || s.probe != nil {
		return false
	}
	u.polling = p
	s.probe = u
	u.timer = time.AfterFunc(s.server.cfg.UpgradeTimeout, func() { u.fail(ws.StatusRefused, "the upgrade took too long") })
	return true
}

// fail gives the websocket up, unless the session has moved to it. The session
// goes on with polling.
func (u *upgrade) fail(status ws.Status, text string) {
	s := u.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.probe == candidate(u) {
		u.drop(status, text)
	}
}

// probed implements candidate.
func (u *upgrade) probed() bool { return u.answered }

// drop is fail with the lock held; it implements candidate.
func (u *upgrade) drop(status ws.Status, text string) {
	u.socket.probe = nil
	u.timer.Stop()
	u.conn.End(status, text)
}

// leave ends the websocket in order, and the session with it once it has moved.
func (u *upgrade) leave() {
	s := u.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.probe == candidate(u):
		u.drop(ws.StatusGoingAway, ReasonShutdown.String())
	case s.transport == transport(u):
		s.endLocked(ReasonShutdown)
	}
}

// settle finishes a session that has moved, once its last requests are through
// as well.
func (u *upgrade) settle() {
	s, p := u.socket, u.polling
	if !u.isTransport() {
		return
	}
	<-p.opened
	s.mu.Lock()
	for !p.still() {
		p.changed.Wait()
	}
	s.mu.Unlock()
	s.finish()
}

// isTransport says that the session has moved.
func (u *upgrade) isTransport() bool {
	u.socket.mu.Lock()
	defer u.socket.mu.Unlock()
	return u.socket.transport == transport(u)
}

// Opened implements ws.Handler. The session is open long since.
func (u *upgrade) Opened() {}

// Received implements ws.Handler.
func (u *upgrade) Received(data []byte, binary bool) {
	if u.moved {
		u.webSocket.Received(data, binary)
		return
	}
	packet, err := eio.DecodePacket(data, binary)
	switch {
	case err == nil && packet.Type == eio.Ping && string(packet.Data) == probeData:
		u.answer()
	case err == nil && packet.Type == eio.Upgrade:
		u.move()
	default:
		u.fail(ws.StatusProtocolError, "neither a probe nor an upgrade")
	}
}

// TryReceived implements ws.Trier.
func (u *upgrade) TryReceived(text []byte) (done bool) {
	return u.moved && u.webSocket.TryReceived(text)
}

// answer answers the probe. Polls return from now on.
func (u *upgrade) answer() {
	s := u.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	u.pong, u.answered = true, true
	u.conn.Flush()
	u.polling.flush()
}

// move makes u the transport of the session, in one step: from here on requests
// of polling are refused, and whoever ends the session ends u. What the client has
// sent before, in a POST, is received before anything of the websocket is.
func (u *upgrade) move() {
	s, p := u.socket, u.polling
	s.mu.Lock()
	if s.probe != candidate(u) { // gave up, or the session has ended
		s.mu.Unlock()
		return
	}
	s.probe = nil
	u.timer.Stop()
	u.moved = true
	s.transport = u
	s.server.countMove()
	s.server.roster.Leave() // of the session: now it is the websocket's request that counts
	p.sure()
	if g := p.waiting; g != nil {
		p.waiting = nil
		g.poke() // to be refused
	}
	s.mu.Unlock()

	<-p.opened
	s.mu.Lock()
	for p.posting != nil {
		p.changed.Wait()
	}
	s.mu.Unlock()
	u.conn.Flush()
}

// Take implements ws.Handler. What is on its way to the client in the answer to a
// poll goes before anything on the websocket.
func (u *upgrade) Take() ([]*Group, bool) {
	s, p := u.socket, u.polling
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case u.pong:
		u.pong = false
		return []*Group{probeGroup}, true
	case s.transport != transport(u):
		return nil, true
	}
	for p.writing != nil {
		p.changed.Wait()
	}
	return s.takeLocked(), s.reason == 0
}

// Failed implements ws.Handler. A websocket that breaks before the session has
// moved is no loss.
func (u *upgrade) Failed(cause ws.Cause) {
	if u.isTransport() {
		u.webSocket.Failed(cause)
	}
}

// websocket implements transport. While the answer to a poll is on its way Take
// waits; no other begins after the move.
func (u *upgrade) websocket() *ws.Conn {
	if u.polling.writing != nil {
		return nil
	}
	return u.conn
}

// end implements transport.
func (u *upgrade) end(reason Reason) {
	u.polling.hurry(reason)
	u.webSocket.end(reason)
}
