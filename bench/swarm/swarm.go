package swarm

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is for what is asked of a connection or swarm that has ended.
var ErrClosed = errors.New("closed")

const (
	// MaxConns limits the connections of a swarm: the addresses and ports of loopback.
	MaxConns = 2_000_000
	// maxPending limits what waits for a server that does not read, in bytes of one
	// connection; over it the connection ends.
	maxPending = 16 << 20
	// MaxLoops limits the loops.
	MaxLoops = 64
)

// Handler is told what happens to connections. Calls for one connection come one
// after the other, from its loop, whose other connections wait meanwhile.
type Handler interface {
	// Opened says that the websocket is open.
	Opened(c *Conn)
	// Message is a text or binary message, read at the time at of Swarm.Now. data is
	// valid until Message returns.
	Message(c *Conn, data []byte, binary bool, at int64)
	// Closed says that c ended, but for Run's end. It is the last call for c, and the
	// only one when c never opened.
	Closed(c *Conn, err error)
}

// Swarm is a set of connections. Its methods may be called from any goroutine.
type Swarm struct {
	handler Handler
	epoch   time.Time
	ids     atomic.Int64
	conns   []atomic.Pointer[Conn] // by id; ids are not used again
	engine                         // what differs between systems
}

// New makes a swarm for at most max connections, with that many loops. It makes
// sure that the process may have the descriptors.
func New(max, loops int, h Handler) (*Swarm, error) {
	if max < 1 || max > MaxConns {
		return nil, fmt.Errorf("%d connections: want 1 to %d", max, MaxConns)
	}
	if loops < 1 || loops > MaxLoops {
		return nil, fmt.Errorf("%d loops: want 1 to %d", loops, MaxLoops)
	}
	if err := raiseLimit(max); err != nil {
		return nil, err
	}
	s := &Swarm{handler: h, epoch: time.Now(), conns: make([]atomic.Pointer[Conn], max)}
	if err := s.open(loops); err != nil {
		return nil, err
	}
	return s, nil
}

// Now is the swarm's clock: nanoseconds, monotonic, from its beginning.
func (s *Swarm) Now() int64 { return int64(time.Since(s.epoch)) }

// Dial begins a connection; the handler hears how it goes. Ids count from 0 in the
// order of the calls that succeed or fail. Call it while Run runs.
func (s *Swarm) Dial(t Target) (*Conn, error) {
	id := int(s.ids.Add(1) - 1)
	if id >= len(s.conns) {
		return nil, fmt.Errorf("connection %d of at most %d", id+1, len(s.conns))
	}
	c := &Conn{ID: id, swarm: s, target: t}
	if err := s.dial(c); err != nil {
		return nil, fmt.Errorf("dial %v: %w", t.Addr, err)
	}
	return c, nil
}

// Conn is one connection.
type Conn struct {
	ID     int // from 0, by the order of Dial
	swarm  *Swarm
	target Target

	// Of the loop:
	opened bool
	asm    assembler
	rest   []byte // what was read of a frame that is not whole

	mu sync.Mutex
	sock
}

// Send sends one message. It does not block: what the system does not take waits.
func (c *Conn) Send(op Opcode, payload []byte, mask uint32) error {
	return c.Write(c.Append(nil, op, payload, mask))
}

// Append appends a message as it is written on this connection: as a frame, but for
// bare TCP.
func (c *Conn) Append(dst []byte, op Opcode, payload []byte, mask uint32) []byte {
	if c.target.Split != nil {
		return append(dst, payload...)
	}
	return AppendFrame(dst, op, payload, mask)
}

// take hands out what b holds and keeps what is left of it.
func (c *Conn) take(b []byte, at int64) error {
	for len(b) > 0 {
		n, err := c.step(b, at)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		b = b[n:]
	}
	c.rest = append(c.rest[:0], b...)
	if len(b) == 0 && cap(c.rest) > maxResponse {
		c.rest = nil
	}
	return nil
}

// step hands out the first message of b, of which it takes n bytes; 0 when it is
// not whole.
func (c *Conn) step(b []byte, at int64) (n int, err error) {
	if c.target.Split != nil {
		return c.split(b, at)
	}
	if !c.opened {
		if n, err = parseResponse(b); n > 0 && err == nil {
			c.opened = true
			c.swarm.handler.Opened(c)
		}
		return n, err
	}
	m, n, err := c.asm.next(b)
	if err != nil || n == 0 {
		return 0, err
	}
	switch m.op {
	case Text, Binary:
		c.swarm.handler.Message(c, m.data, m.op == Binary, at)
	case Ping:
		err = c.Send(Pong, m.data, uint32(at))
	case Close:
		err = closeError(m.data)
	}
	return n, err
}

// split is step for bare TCP.
func (c *Conn) split(b []byte, at int64) (n int, err error) {
	if !c.opened {
		c.opened = true
		c.swarm.handler.Opened(c)
	}
	n, err = c.target.Split(b)
	switch {
	case err != nil:
		return 0, err
	case n > 0:
		c.swarm.handler.Message(c, b[:n], false, at)
	case len(b) >= MaxMessage:
		return 0, fmt.Errorf("message over %d bytes: %w", MaxMessage, ErrProtocol)
	}
	return n, nil
}

// ended tells the handler.
func (c *Conn) ended(err error) {
	c.swarm.conns[c.ID].Store(nil)
	c.swarm.handler.Closed(c, err)
}
