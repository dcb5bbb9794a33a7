package engineio

import (
	"errors"
	"net/http"

	"github.com/meshrt/meshrt/web/ws"
)

// webSocket is the transport of a session whose packets are messages of one
// websocket, of which it is the ws.Handler.
type webSocket struct {
	socket *Socket
	conn   *ws.Conn
}

// serveWebSocket is the whole life of a session that opens on a websocket.
func (s *Server) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := ws.Accept(w, r, ws.Config{MaxPayload: s.cfg.MaxPayload, WriteTimeout: s.cfg.PingTimeout,
		Traffic: &s.counters.traffic, Logger: s.cfg.Logger})
	if err != nil { // has been answered
		s.counters.refused[codeBadRequest].Add(1)
		s.cfg.Logger.Debug("engineio: websocket handshake failed", "addr", r.RemoteAddr, "err", err)
		return
	}
	t := &webSocket{conn: conn}
	t.socket = newSocket(s, newRequest(r), t)
	if err := s.register(t.socket); err != nil {
		t.turnAway(err)
		return
	}
	t.socket.start()
	conn.Serve(t)
	t.socket.finish()
}

// turnAway closes the websocket of a session that could not be registered.
func (t *webSocket) turnAway(err error) {
	reason := ReasonShutdown
	if errors.Is(err, ws.ErrTaken) {
		reason = ReasonPanic
		t.socket.server.cfg.Logger.Error("engineio: Config.NewSID gave an id that is in use", "addr", t.socket.request.RemoteAddr)
	}
	t.conn.Reject(reasons[reason].status, reason.String())
}

// Opened implements ws.Handler.
func (t *webSocket) Opened() { t.socket.receiver = t.socket.server.handler.Opened(t.socket) }

// Received implements ws.Handler.
func (t *webSocket) Received(data []byte, binary bool) { t.socket.receive(data, binary) }

// Take implements ws.Handler.
func (t *webSocket) Take() ([]*ws.Group, bool) { return t.socket.take() }

// Failed implements ws.Handler.
func (t *webSocket) Failed(cause ws.Cause) { t.socket.end(causes[cause]) }

// name implements transport.
func (t *webSocket) name() string { return WebSocket }

// flush implements transport.
func (t *webSocket) flush() { t.conn.Flush() }

// end implements transport.
func (t *webSocket) end(reason Reason) { t.conn.End(reasons[reason].status, reason.String()) }
