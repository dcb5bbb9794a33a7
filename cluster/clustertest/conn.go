package clustertest

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// conn is one end of a stream.
type conn struct {
	net           *Network
	in, out       *pipe
	local, remote net.Addr
	peer          string // node name of the other end
	kept          keeper
}

// newConns is both ends of a new stream from the dialling to the accepting host.
func newConns(dialler, accepter *Host) (*conn, *conn) {
	there := &pipe{way: pair{dialler.name, accepter.name}}
	back := &pipe{way: pair{accepter.name, dialler.name}}
	a, b := net.TCPAddrFromAddrPort(dialler.addr), net.TCPAddrFromAddrPort(accepter.addr)
	near := &conn{net: dialler.net, in: back, out: there, local: a, remote: b, peer: accepter.node()}
	far := &conn{net: dialler.net, in: there, out: back, local: b, remote: a, peer: dialler.node()}
	return near, far
}

// PeerName is what the host at the other end was given by SetNode.
func (c *conn) PeerName() string { return c.peer }

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// Read reads what has arrived.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b)
	return n, c.wrap("read", err)
}

// write waits until all of b is sent, or something goes wrong.
func (c *conn) write(b []byte) (int, error) {
	done := 0
	for {
		n, pause, err := c.tryWrite(b[done:])
		done += n
		switch {
		case err != nil || done == len(b):
			return done, c.wrap("write", err)
		case !pause.none():
			pause.wait()
		}
	}
}

func (c *conn) tryWrite(b []byte) (int, pause, error) {
	c.net.mu.RLock()
	defer c.net.mu.RUnlock()
	return c.out.tryWrite(b, c.net.pathLocked(c.out.way.from, c.out.way.to))
}

// wrap gives errors the form that real connections give them.
func (c *conn) wrap(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// Close ends both directions. The other end reads what was written before, then
// io.EOF; its writes fail one delay later.
func (c *conn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if _, open := c.net.conns[c]; !open {
		return c.wrap("close", net.ErrClosed)
	}
	c.shut()
	return nil
}

func (c *conn) shut() { c.closeLocked(io.EOF, syscall.EPIPE, false) }

func (c *conn) kill() { c.closeLocked(syscall.ECONNRESET, syscall.ECONNRESET, true) }

// closeLocked leaves the pipes to the other end, which may still read. A cut
// holds back the end of the stream as it holds back bytes.
func (c *conn) closeLocked(end, broken error, killed bool) {
	way := c.out.way
	w := c.net.pathLocked(way.from, way.to)
	c.out.finish(end, w, killed)
	c.in.abandon(broken, w)
	delete(c.net.conns, c)
}

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline wakes a Read that waits beyond t.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.Lock()
	defer c.in.Unlock()
	if c.in.unread {
		return c.wrap("set", net.ErrClosed)
	}
	c.in.readUntil = t
	c.in.wake()
	return nil
}

// SetWriteDeadline wakes a Write that waits beyond t.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.Lock()
	defer c.out.Unlock()
	if c.out.unwritten {
		return c.wrap("set", net.ErrClosed)
	}
	c.out.writeUntil = t
	c.out.wake()
	return nil
}
