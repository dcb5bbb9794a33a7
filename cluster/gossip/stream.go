package gossip

import (
	"errors"
	"net"
	"sync"
)

// maxStreams limits the streams that came in and are not yet closed. Peers have
// proved that they know the secret, so this is for mishaps; the rest is closed
// at once and counted.
const maxStreams = 256

// stream is a connection that memberlist has in use.
type stream struct {
	net.Conn
	in   bool
	of   *streams
	once sync.Once
}

// Write closes the stream when it fails: memberlist forgets to when the label
// cannot be written.
func (s *stream) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	if err != nil {
		s.Close()
	}
	return n, err
}

// Close may be called again.
func (s *stream) Close() error {
	s.once.Do(func() { s.of.forget(s) })
	return s.Conn.Close()
}

// streams is all that are open, so that Shutdown ends those who wait for one.
type streams struct {
	mu     sync.Mutex
	open   map[*stream]struct{}
	coming int
	closed bool
}

var errTooMany = errors.New("too many gossip streams")

// add takes c over. On an error c is closed.
func (ss *streams) add(c net.Conn, in bool) (*stream, error) {
	s := &stream{Conn: c, in: in, of: ss}
	if err := ss.admit(s); err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

func (ss *streams) admit(s *stream) error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	switch {
	case ss.closed:
		return net.ErrClosed
	case s.in && ss.coming >= maxStreams:
		return errTooMany
	case s.in:
		ss.coming++
	}
	ss.open[s] = struct{}{}
	return nil
}

func (ss *streams) forget(s *stream) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.open, s)
	if s.in {
		ss.coming--
	}
}

func (ss *streams) close() {
	ss.mu.Lock()
	ss.closed = true
	all := ss.open
	ss.open = make(map[*stream]struct{})
	ss.mu.Unlock()
	for s := range all {
		s.Close()
	}
}
