package engineio

import (
	"net/http"
	"net/url"

	"github.com/meshrt/meshrt/web/ws"
)

// Handler is the layer above: it is told of each session.
type Handler interface {
	// Opened is called once per session, after the open packet was queued, on
	// polling sent, and before any packet is acted on; the session waits for it.
	// The socket may be used at once. The Receiver must not be nil.
	Opened(s *Socket) Receiver
}

// Receiver gets what happens on one session. A panic in it ends that session with
// ReasonPanic, and no other.
type Receiver interface {
	// Received is called with each message, on the goroutine of the websocket or
	// of the POST: calls never overlap, and the next packet waits for the return,
	// pongs too. The receiver owns data. Text is valid UTF-8.
	Received(data []byte, binary bool)
	// Closed is called exactly once, after the last Received has returned and when
	// nothing more can be written, with no lock held.
	Closed(reason Reason)
}

// Trier is what a Receiver may be besides: TryReceived is Received for a text, if that
// waits for nobody; see ws.Trier. False means that nothing was done.
type Trier interface {
	TryReceived(text []byte) (done bool)
}

// Ender is what a Receiver may be besides: Ending is called at most once, when the
// session has ended while Received runs, which may be waiting for something that
// comes only after Closed. It must not block, nor call the Socket: locks are held.
type Ender interface{ Ending() }

// Request is what stays of the HTTP request that opened a session. It does not
// keep the connection or the body alive.
type Request struct {
	Host       string
	RemoteAddr string
	URL        *url.URL // may hold a client's token: not for logs
	Header     http.Header
	TLS        bool // it came over TLS to this server, not to a proxy before it
}

func requestOf(m ws.Memo) *Request {
	return &Request{Host: m.Host(), RemoteAddr: m.RemoteAddr, URL: m.URL(), Header: m.Header(), TLS: m.TLS}
}
