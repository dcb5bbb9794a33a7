package forward

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

// tunnelBuffer is the bytes that one direction of a websocket holds while it waits.
const tunnelBuffer = 4 << 10

// hijacker is the ResponseWriter of an exchange.
type hijacker struct {
	http.ResponseWriter
	x       *exchange
	timeout time.Duration
}

// Unwrap is for http.ResponseController.
func (h *hijacker) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// Hijack is the proxy's, for a websocket.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.x.answered = true
	var early io.Reader // what the client sent right after its handshake
	if n := rw.Reader.Buffered(); n > 0 {
		b, _ := rw.Reader.Peek(n)
		early = &prefix{b: append([]byte(nil), b...)}
	}
	// The proxy closes the other side only, when ctx ends, and might wait for a
	// client that does not read.
	context.AfterFunc(h.x.ctx, func() { conn.Close() })
	return &tunnel{Conn: conn, x: h.x, early: early, timeout: h.timeout}, rw, nil
}

// tunnel is the client's connection. Its CloseWrite is hidden: when the other node
// has closed, both sides of a websocket have said all, and a client that does not
// hang up must not keep the tunnel.
type tunnel struct {
	net.Conn
	x       *exchange
	early   io.Reader
	timeout time.Duration // for a write to the client
}

// prefix reads b once.
type prefix struct{ b []byte }

func (p *prefix) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.b)
	p.b = p.b[n:]
	return n, nil
}

// WriteTo copies to the other node, with a smaller buffer than io.Copy takes.
func (t *tunnel) WriteTo(w io.Writer) (int64, error) {
	var sent int64
	if t.early != nil {
		n, err := io.Copy(w, t.early)
		if sent = n; err != nil {
			return sent, err
		}
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{t.Conn}, make([]byte, tunnelBuffer))
	// The client has hung up. The other node hears of it and closes, but for one that
	// has fallen silent, which gossip may have alive for long.
	end := time.AfterFunc(ws.CloseTimeout, func() { t.x.cancel(nil) })
	context.AfterFunc(t.x.ctx, func() { end.Stop() })
	return sent + n, err
}

// ReadFrom is WriteTo for the way back.
func (t *tunnel) ReadFrom(r io.Reader) (int64, error) {
	return io.CopyBuffer(patient{t.Conn, t.timeout}, struct{ io.Reader }{r}, make([]byte, tunnelBuffer))
}

// patient writes with a timeout: the other node cannot see how slow a client reads.
type patient struct {
	conn    net.Conn
	timeout time.Duration
}

func (p patient) Write(b []byte) (int, error) {
	p.conn.SetWriteDeadline(time.Now().Add(p.timeout))
	return p.conn.Write(b)
}
