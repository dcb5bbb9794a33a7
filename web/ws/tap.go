package ws

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// errHungUp is the end of the stream, whether in order or within a message.
var errHungUp = errors.New("ws: the client hung up")

// tap is the connection under a websocket. It gives us what coder/websocket keeps
// to itself: deadlines, the difference between the end of a message and the end of
// the stream, and when something came.
//
// A deadline in the past stops a blocked reader and writer at once, from any
// goroutine. A context would cost a timer and an AfterFunc per write, and
// websocket.Conn.CloseNow waits up to 15 s for a Close in progress instead of
// breaking it.
type tap struct {
	net.Conn
	opened time.Time
	last   atomic.Int64    // nanoseconds after opened: see touch
	raw    syscall.RawConn // to write without waiting; nil where that cannot be
	closed atomic.Bool     // Close was called

	// out is held while a frame is on its way out. Whoever leaves a part of one to the
	// writer leaves it held, so that nothing falls into the frame.
	out  lock
	dead error // why nothing more goes out; guarded by out

	mu     sync.Mutex
	ending bool // endBy has set the last deadline
}

// lock is a mutex that goes to those who wait in the order in which they came: a pong
// gets its turn between two frames of a long queue.
type lock chan struct{}

func (l lock) lock()   { l <- struct{}{} }
func (l lock) unlock() { <-l }

func (l lock) tryLock() bool {
	select {
	case l <- struct{}{}:
		return true
	default:
		return false
	}
}

// Read never returns io.EOF. coder/websocket v1.8.15 takes one in the middle of a
// message for the message's end, when it comes between two reads of a frame or
// between two fragments (read.go, msgReader.Read): half a message would pass for
// a whole one. TestMessageThatIsCutShortIsNotReceived marks the places.
func (c *tap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.touch()
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errHungUp
	}
	return n, err
}

// touch marks the client as heard of, now.
func (c *tap) touch() { c.last.Store(int64(time.Since(c.opened))) }

// heard is when touch was called last.
func (c *tap) heard() time.Time { return c.opened.Add(time.Duration(c.last.Load())) }

// Write writes a control frame of the library's: each is one Write, and the library
// ends the connection after 5 s without it. Nothing may follow a close frame (RFC
// 6455, section 5.5.1).
func (c *tap) Write(p []byte) (int, error) {
	c.out.lock()
	defer c.out.unlock()
	c.writeBy(time.Time{}) // an older write's deadline may have passed long ago
	err := c.writeLocked(p)
	if err != nil {
		return 0, err
	}
	if len(p) > 0 && p[0] == finBit|opClose {
		c.dead = net.ErrClosed
	}
	return len(p), nil
}

const opClose = 0x8 // RFC 6455, section 5.2

// writeFrames writes frames until deadline, and changes them. They begin within one if
// torn: then out is held already. As long as the socket takes it they go out together.
// When it is full each is waited for by itself, so that a pong waits for no more than
// one.
func (c *tap) writeFrames(frames []encoded, torn bool, deadline time.Time) error {
	for len(frames) > 0 {
		if !torn {
			c.out.lock()
		}
		var err error
		if frames, torn = after(frames, c.tryLocked(frames)); len(frames) > 0 {
			c.writeBy(deadline)
			err = c.writeLocked(frames[0].head, frames[0].data)
			frames, torn = frames[1:], false
		}
		c.out.unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// writeLocked writes pieces of one frame, whatever time it takes. What failed may be
// out in part: then nothing else may follow.
func (c *tap) writeLocked(pieces ...[]byte) error {
	for _, p := range pieces {
		if c.dead == nil && len(p) > 0 {
			_, c.dead = c.Conn.Write(p)
		}
	}
	if c.dead != nil && c.closed.Load() { // by the library: its reason counts
		return net.ErrClosed
	}
	return c.dead
}

// Close is the library's, after the closing handshake and when it has none.
func (c *tap) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

// writeBy gives the writes that follow until t, unless the end is near anyway. The
// zero time is no limit. Whoever calls it holds out.
func (c *tap) writeBy(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ending {
		c.SetWriteDeadline(t) // fails on a closed conn only, as the write will
	}
}

// endBy stops all reads and writes at t, for good.
func (c *tap) endBy(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	c.SetDeadline(t)
}

// cut closes the connection without a word. tls.Conn.Close would wait up to 5 s to
// tell a client that does not read.
func (c *tap) cut() { Cut(c.Conn) }

// Cut closes a connection at once, without a word of TLS.
func Cut(c net.Conn) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	c.Close()
}

// hijacker is a ResponseWriter whose hijacked connection is a tap.
type hijacker struct {
	http.ResponseWriter
	tap *tap // after Hijack
}

// Hijack leaves buffered input in place: websocket.Accept reads it before the tap.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	raw, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.tap = &tap{Conn: raw, opened: time.Now(), raw: rawConn(raw), out: make(lock, 1)}
	rw.Writer.Reset(h.tap) // it would write past the tap, and hold http.Server's connection
	return h.tap, rw, nil
}
