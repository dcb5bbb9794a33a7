package engineio

import (
	"net/http"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

// webSocket is the transport of a session whose packets are messages of one
// websocket, of which it is the ws.Handler.
type webSocket struct {
	socket *Socket
	conn   *ws.Conn
}

// serveWebSocket begins a session that opens on a websocket, which goes on when the
// request has been served.
func (s *Server) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	conn := s.accept(w, r)
	if conn == nil {
		s.cfg.Left(r.RemoteAddr)
		return
	}
	s.roster.Stay()
	if s.versionOf(r.URL.Query()) == 3 {
		time.Sleep(legacyPause)
	}
	t := &webSocket{conn: conn}
	t.socket = newSocket(s, s.cfg.NewSID(), ws.Remember(r), t)
	if err := s.register(t.socket); err != nil {
		reason := s.turnedAway(t.socket, err)
		conn.Reject(reasons[reason].status, reason.String(), func() {
			s.cfg.Left(t.socket.request.RemoteAddr)
			s.roster.Leave()
		})
		return
	}
	t.socket.start()
	conn.Go(t)
}

// accept makes the websocket handshake, or answers the request and returns nil.
func (s *Server) accept(w http.ResponseWriter, r *http.Request) *ws.Conn {
	conn, err := ws.Accept(w, r, &s.websockets)
	if err != nil {
		s.counters.refused[codeBadRequest].Add(1)
		s.cfg.Logger.Debug("engineio: websocket handshake failed", "addr", r.RemoteAddr, "err", err)
		return nil
	}
	return conn
}

// Opened implements ws.Handler.
func (t *webSocket) Opened() { t.socket.open() }

// Received implements ws.Handler.
func (t *webSocket) Received(data []byte, binary bool) {
	reason := ReasonParseError
	if packet, err := t.socket.decode(data, binary); err == nil {
		reason = t.socket.receive(packet)
	}
	if reason != 0 {
		t.socket.end(reason)
	}
}

// TryReceived implements ws.Trier.
func (t *webSocket) TryReceived(text []byte) (done bool) { return t.socket.tryReceive(text) }

// Take implements ws.Handler.
func (t *webSocket) Take() ([]*ws.Group, bool) { return t.socket.take() }

// Failed implements ws.Handler.
func (t *webSocket) Failed(cause ws.Cause) { t.socket.end(causes[cause]) }

// Ended implements ws.Handler.
func (t *webSocket) Ended() {
	defer t.socket.server.roster.Leave()
	t.socket.finish()
}

// name implements transport.
func (t *webSocket) name() string { return WebSocket }

// flush implements transport.
func (t *webSocket) flush() { t.conn.Flush() }

// websocket implements transport.
func (t *webSocket) websocket() *ws.Conn { return t.conn }

// writable implements transport.
func (t *webSocket) writable() bool { return !t.socket.out.Writing() }

// end implements transport.
func (t *webSocket) end(reason Reason) { t.conn.End(reasons[reason].status, reason.String()) }
