package port

import (
	"net"
	"sync"
	"sync/atomic"
)

// outlet is what TLS writes to: the socket, or for a while what of it does not wait. A TLS
// record that the socket took a part of must be finished before anything else goes out,
// so what is left of it is kept here and goes before whatever is written next.
type outlet struct {
	conn   net.Conn
	socket *rawSocket // nil where nothing can be written without waiting

	mu   sync.Mutex  // held while a write waits
	now  bool        // no write waits
	rest []byte      // of what was written meanwhile
	torn atomic.Bool // the last record is out in part
}

// begin makes writes wait no longer, until end. It is false, and does nothing, if one waits
// now or something is left of one.
func (o *outlet) begin() bool {
	if o.socket == nil || !o.mu.TryLock() {
		return false
	}
	defer o.mu.Unlock()
	o.now = len(o.rest) == 0 && !o.torn.Load()
	return o.now
}

// end tells how many bytes are left, which the next write or flush has to wait for.
func (o *outlet) end() (left int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now = false
	return len(o.rest)
}

func (o *outlet) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.now {
		n := 0
		if len(o.rest) == 0 {
			n = o.socket.tryWrite(b)
		}
		if n < len(b) {
			o.rest = append(o.rest, b[n:]...)
			o.torn.Store(true)
		}
		return len(b), nil
	}
	if err := o.flushLocked(); err != nil {
		return 0, err
	}
	return o.writeLocked(b)
}

// flush waits until what is left is out.
func (o *outlet) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.flushLocked()
}

func (o *outlet) flushLocked() error {
	if len(o.rest) == 0 {
		return nil
	}
	n, err := o.writeLocked(o.rest)
	if o.rest = o.rest[n:]; len(o.rest) == 0 {
		o.rest = nil
	}
	return err
}

// writeLocked waits. What failed may be out in part: then nothing may follow.
func (o *outlet) writeLocked(b []byte) (n int, err error) {
	if n = o.socket.write(b); n < len(b) {
		var more int
		more, err = o.conn.Write(b[n:])
		n += more
	}
	o.torn.Store(err != nil)
	return n, err
}
