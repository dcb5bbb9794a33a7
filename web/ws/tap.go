package ws

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// errHungUp is the end of the stream, whether in order or within a message.
var errHungUp = errors.New("ws: the client hung up")

// tap is the connection under a websocket: frames that are not torn, deadlines, and
// when something came. A deadline in the past stops a blocked reader and writer at
// once, from any goroutine.
type tap struct {
	// out is held while a frame is on its way out. Whoever leaves a part of one to the
	// writer leaves it held, so that nothing falls into the frame.
	out  lock
	dead error      // why nothing more goes out; guarded by out
	raw  controller // to write without waiting; nil where that cannot be

	net.Conn
	opened time.Time
	last   atomic.Int64 // nanoseconds after opened: see touch

	mu     sync.Mutex
	ending bool // endBy has set the last deadline
}

// controller gives the descriptor of a connection: syscall.RawConn, without waiting.
type controller interface {
	Control(f func(fd uintptr)) error
}

// Read never returns io.EOF: the end of the stream is the same everywhere.
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

const opClose = 0x8 // RFC 6455, section 5.2

// writeFrames writes frames, and changes them. They have timeout, and as long again for each 64 KiB of a
// frame that is larger. They begin within one if
// torn: then out is held already. As long as the socket takes it they go out together.
// When it is full each is waited for by itself, so that a pong waits for no more than
// one.
func (c *tap) writeFrames(frames []encoded, torn bool, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	for len(frames) > 0 {
		if !torn {
			c.out.lock()
		}
		var err error
		if frames, torn = after(frames, c.tryLocked(frames)); len(frames) > 0 {
			deadline, err = c.writeLong(frames[0], deadline, timeout)
			frames, torn = frames[1:], false
		}
		c.out.unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// writeLong writes one frame by a deadline, which is later for a large one, and gives that for what follows.
func (c *tap) writeLong(f encoded, deadline time.Time, timeout time.Duration) (time.Time, error) {
	c.writeBy(deadline)
	err := c.writeLocked(f.head)
	for first := true; len(f.data) > 0 && err == nil; first = false {
		if !first {
			deadline = time.Now().Add(timeout)
			c.writeBy(deadline)
		}
		n := min(len(f.data), batchBytes)
		err = c.writeLocked(f.data[:n])
		f.data = f.data[n:]
	}
	return deadline, err
}

// writeLocked writes pieces of one frame, whatever time it takes. What failed may be
// out in part: then nothing else may follow.
func (c *tap) writeLocked(pieces ...[]byte) error {
	for _, p := range pieces {
		if c.dead == nil && len(p) > 0 {
			_, c.dead = c.Conn.Write(p)
		}
	}
	return c.dead
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
