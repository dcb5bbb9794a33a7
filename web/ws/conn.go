package ws

import (
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
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

// Config is what a Conn needs. All fields but Poller and Deflater must be set,
// and none changes any more: connections share it.
type Config struct {
	// MaxPayload is the largest message of a client, in bytes. A larger one is
	// CauseTooBig.
	MaxPayload int
	// WriteTimeout is how long one batch may take to write; longer is CauseSlow.
	WriteTimeout time.Duration
	// Poller waits for input. Nil, each connection has a goroutine for that.
	Poller *Poller
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
	// Go, Flush and FlushNow; calls never overlap. Nothing left and no more to come is
	// the end, for which End says how.
	Take() (batch []*Group, open bool)
	// Failed says that the connection cannot go on, and why; also after End, when
	// it means nothing any more. A handler that does not call End is cut.
	Failed(cause Cause)
	// Ended comes once and last, when the connection is closed and nothing of the
	// Handler runs any more. It may block.
	Ended()
}

// Trier is what a Handler may be besides: TryReceived is Received for a text, if that
// waits for nobody. False means that nothing was done, and that Received comes with the
// same message. It runs where a Poller waits for all its connections: a mutex that nobody
// holds for long is fine, and what takes long has the connections read elsewhere for a while.
type Trier interface {
	TryReceived(text []byte) (done bool)
}

// Conn is one websocket. End and Flush may be called from anywhere, with locks
// held: they never block and never call back. FlushNow never blocks.
type Conn struct {
	// What a write needs is together in one line of the processor's cache, to the
	// tap's raw.
	turn   turn // who writes what Take hands out; see FlushNow
	packs  bool // the client takes compressed messages
	failed bool // a Take that FlushNow called has panicked; of who has the turn
	cfg    *Config
	tap    tap

	remote string
	guest  Guest  // nil mostly
	early  []byte // what came behind the handshake; nil once received

	in      decoder     // of who reads
	busy    atomic.Bool // the Handler keeps us from reading
	hungUp  atomic.Bool // the stream has ended, behind what is to be read
	reading reading     // where the connection is parked
	place   int32       // where in the Poller, from 1; guarded by that

	handler Handler
	pending pending // of who has the turn

	parts  atomic.Int32 // of Go that have not ended
	silent latch        // nothing is read any more

	once   sync.Once
	status Status // as text and by, set before ended is
	text   string
	by     time.Time // when all must be over
	ended  latch
}

// Go serves h on the connection, once. It returns when h.Opened has: what follows
// runs on goroutines of the connection, which are there while there is something to do,
// and the last of them calls h.Ended.
func (c *Conn) Go(h Handler) {
	c.handler = h
	c.parts.Store(2) // reading, and writing with the end
	c.flushTurn()    // what was queued before
	switch {
	case !c.open():
		c.silence()
	case c.cfg.Poller.add(c) != nil:
		go c.read()
	default:
		if again, last := c.reading.rest(); again || last {
			go c.readParked(nil)
		}
	}
}

// partEnds is the end of reading, or of writing.
func (c *Conn) partEnds() {
	if c.parts.Add(-1) > 0 {
		return
	}
	if c.guest != nil {
		c.guest.Left()
	}
	c.handler.Ended()
}

// Reject closes a connection that is not served, with a close frame, and calls ended
// when that is done.
func (c *Conn) Reject(status Status, text string, ended func()) {
	c.in.refuse()
	c.End(status, text)
	c.Go(rejected(ended))
}

// rejected is the Handler of a connection that has none.
type rejected func()

func (rejected) Opened()                           {}
func (rejected) Received([]byte, bool)             {}
func (rejected) Take() (batch []*Group, open bool) { return nil, false }
func (rejected) Failed(Cause)                      {}
func (ended rejected) Ended()                      { ended() }

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
		c.status, c.text, c.by = status, text, deadline
		c.tap.endBy(deadline)
		c.ended.set()
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
	case <-c.ended.whenSet():
	}
}

// fail tells the Handler of the end. The first reason counts there, and here.
func (c *Conn) fail(cause Cause) {
	c.handler.Failed(cause)
	c.End(0, "")
}

// guard runs a part of the session, and reports whether it returned. One that ends its
// goroutine (runtime.Goexit) has failed as one that panics.
func (c *Conn) guard(part func()) (ok bool) {
	defer func() {
		if !ok {
			c.fail(CausePanic)
		}
	}()
	return Guard(c.cfg.Logger, c.remote, part)
}

// over says that End was called.
func (c *Conn) over() bool { return c.ended.isSet() }

// cut says that it was called without a status.
func (c *Conn) cut() bool { return c.over() && c.status == 0 }

// hangUp waits for End and closes the connection, which stops the reader.
func (c *Conn) hangUp() {
	<-c.ended.whenSet()
	if c.status != 0 {
		c.goodbye()
	}
	nobody := c.reading.stop()
	c.cfg.Poller.remove(c)
	if c.status == 0 {
		c.tap.cut()
	} else {
		c.tap.Close() // of TLS, with a word
	}
	if nobody {
		c.silence()
	}
	c.partEnds()
}
