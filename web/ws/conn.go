package ws

import (
	"log/slog"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// CloseTimeout bounds what a graceful end may take: writing what still waits and
// the closing handshake. Clients on a bad mobile link need about two round trips;
// a server that stops waits this long for clients that do not answer.
const CloseTimeout = 3 * time.Second

// Defaults for the configuration of servers.
const (
	DefaultMaxPayload  = 1_000_000 // bytes, as Socket.IO's maxHttpBufferSize
	DefaultQueueBytes  = 1 << 20   // bytes
	DefaultQueueGroups = 64 << 10  // groups
)

// Config is what a Conn needs. All fields but Deflater must be set.
type Config struct {
	// MaxPayload is the largest message of a client, in bytes. A larger one is
	// CauseTooBig.
	MaxPayload int
	// WriteTimeout is how long one batch may take to write; longer is CauseSlow.
	WriteTimeout time.Duration
	// Deflater compresses for clients that take compressed messages, and lets them
	// send such. Nil, no compression is negotiated.
	Deflater *Deflater
	// Traffic is what the Conn counts in; those of a server share one.
	Traffic *Traffic
	// Logger gets the panics of Handlers, at Error.
	Logger *slog.Logger
}

// Traffic counts messages. Control frames are none.
type Traffic struct {
	MessagesIn, MessagesOut atomic.Uint64
	BytesIn, BytesOut       atomic.Uint64 // of the messages, without frame headers
}

// Handler is the session on a Conn. A panic in a method is logged and becomes
// CausePanic; no other connection suffers.
type Handler interface {
	// Opened comes first and may block: what is queued goes out meanwhile, and
	// nothing is read before it returns.
	Opened()
	// Received is called with each message. Calls never overlap, and nothing more
	// is read before it returns. The handler owns data; text is valid UTF-8.
	Received(data []byte, binary bool)
	// Take hands out what is to be written next, in order, and says whether more may
	// come. It is asked again after each batch, which is cleared then, and for
	// Serve, Flush and FlushNow; calls never overlap. Nothing left and no more to come is
	// the end, for which End says how.
	Take() (batch []*Group, open bool)
	// Failed says that the connection cannot go on, and why; also after End, when
	// it means nothing any more. A handler that does not call End is cut.
	Failed(cause Cause)
}

// Conn is one websocket. End and Flush may be called from anywhere, with locks
// held: they never block and never call back. FlushNow never blocks.
type Conn struct {
	cfg    Config
	remote string
	ws     *websocket.Conn
	tap    *tap
	packs  bool        // the client takes compressed messages
	busy   atomic.Bool // the Handler keeps us from reading

	turn    turn    // who writes what Take hands out; see FlushNow
	handler Handler // and what follows: of who has the turn
	pending pending
	failed  bool // a Take that FlushNow called has panicked

	closed sync.WaitGroup // one, from Serve until the connection is closed

	once   sync.Once
	status Status // as text, set before ended is closed
	text   string
	ended  chan struct{}
}

// Accept answers a request for a websocket. It judges no web origin. After an
// error the request has been answered, with a status that fits.
func Accept(w http.ResponseWriter, r *http.Request, cfg Config) (*Conn, error) {
	h := &hijacker{ResponseWriter: w}
	// Inflating is memory and work that a client makes us spend. The library's read
	// limit counts what comes out of it.
	mode := websocket.CompressionDisabled
	if cfg.Deflater != nil {
		mode = websocket.CompressionNoContextTakeover
	}
	conn, err := websocket.Accept(h, r, &websocket.AcceptOptions{
		// The server has judged the origin, by one rule for all protocols.
		InsecureSkipVerify: true,
		CompressionMode:    mode,
		// The library compresses nothing: it would for each client anew.
		CompressionThreshold: math.MaxInt,
	})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(int64(cfg.MaxPayload))
	c := &Conn{cfg: cfg, remote: r.RemoteAddr, ws: conn, tap: h.tap, ended: make(chan struct{})}
	c.packs = w.Header().Get("Sec-WebSocket-Extensions") != ""
	c.busy.Store(true)
	c.turn.take() // Serve gives it up
	return c, nil
}

// Serve is the life of the connection, once: it returns when the connection is
// closed and nothing of h runs any more. The caller's goroutine reads. Another one
// writes what FlushNow has not, while there is such, and closes.
func (c *Conn) Serve(h Handler) {
	c.handler = h
	c.closed.Add(1)
	c.flushTurn() // what was queued before
	c.guard(h, func() {
		h.Opened()
		c.fail(h, c.read(h))
	})
	c.closed.Wait()
}

// Reject closes a connection that is not served, with a close frame.
func (c *Conn) Reject(status Status, text string) {
	c.End(status, text)
	c.hangUp()
}

// End ends the connection; the first call counts. With a status what waits is
// written, then a close frame with status and text, of which at most 123 bytes are
// sent, and its answer awaited: all that within CloseTimeout. With status 0 the
// connection is cut at once.
func (c *Conn) End(status Status, text string) {
	c.once.Do(func() {
		deadline := time.Unix(1, 0) // long ago: whoever reads or writes stops
		if status != 0 {
			deadline = time.Now().Add(CloseTimeout)
		}
		if len(text) > maxCloseText {
			text = strings.ToValidUTF8(text[:maxCloseText], "")
		}
		c.status, c.text = status, text
		c.tap.endBy(deadline)
		close(c.ended)
		c.Flush() // writes what waits, and closes
	})
}

// maxCloseText is what RFC 6455, section 5.5, leaves beside a status, in bytes.
const maxCloseText = 125 - 2

// Heard is when something last came from the client, a pong too. While the Handler
// keeps the connection from being read, that is now: the silence is ours.
func (c *Conn) Heard() time.Time {
	if c.busy.Load() {
		return time.Now()
	}
	return c.tap.heard()
}

// Wait waits for d, or for the end.
func (c *Conn) Wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.ended:
	}
}

// fail tells h of the end. The first reason counts there, and here.
func (c *Conn) fail(h Handler, cause Cause) {
	h.Failed(cause)
	c.End(0, "")
}

// guard runs a part of Serve.
func (c *Conn) guard(h Handler, part func()) {
	if !Guard(c.cfg.Logger, c.remote, part) {
		c.fail(h, CausePanic)
	}
}

// over says that End was called.
func (c *Conn) over() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// hangUp waits for End and closes the connection, which stops the reader. A
// graceful end waits for the client's close frame: closing at once, with unread
// input, makes the kernel reset the connection, and the client loses what was
// written last.
func (c *Conn) hangUp() {
	<-c.ended
	if c.status == 0 {
		c.tap.cut()
		c.ws.CloseNow() // for what the library holds
		return
	}
	c.ws.Close(websocket.StatusCode(c.status), c.text) // an error says how the client took it
}
