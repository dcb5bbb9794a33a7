//go:build !linux

package swarm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// engine is what holds the goroutines.
type engine struct {
	ctx   context.Context // ends with Run
	end   context.CancelFunc
	mu    sync.Mutex // so that no reader starts when Run waits for them
	wg    sync.WaitGroup
	count int
}

// sock is the system's side of a connection.
type sock struct {
	conn   net.Conn // nil before it is connected
	loop   int
	paused bool
}

func (s *Swarm) open(count int) error {
	s.ctx, s.end = context.WithCancel(context.Background())
	s.count = count
	return nil
}

// Loop is a number under that of loops. Here several goroutines may have the same.
func (c *Conn) Loop() int { return c.loop }

// Busy is not known here: 0.
func (s *Swarm) Busy() (nanoseconds int64) { return 0 }

// Run serves the connections until ctx is done, closes them and returns after
// their goroutines ended.
func (s *Swarm) Run(ctx context.Context) error {
	<-ctx.Done()
	s.mu.Lock()
	s.end()
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}

func (s *Swarm) dial(c *Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return ErrClosed
	}
	c.loop = c.ID % s.count
	s.conns[c.ID].Store(c)
	s.wg.Go(func() {
		if err := c.run(s.ctx); err != nil && s.ctx.Err() == nil {
			c.ended(err)
		}
	})
	return nil
}

func (c *Conn) run(ctx context.Context) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", c.target.Addr.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if c.target.TLS {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // Target says so
	}
	c.mu.Lock()
	c.conn = conn
	c.mu.Unlock()
	if c.target.Split == nil {
		if err := c.Write(request(c.target.Host, c.target.Path)); err != nil {
			return err
		}
	}
	buf := make([]byte, maxResponse)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if err := c.take(append(c.rest, buf[:n]...), c.swarm.Now()); err != nil {
			return err
		}
		if c.paused { // set by its handler, in this goroutine
			<-ctx.Done()
			return nil
		}
	}
}

// Pause stops reading from c for ever. Only the handler may call it, for the same c.
func (c *Conn) Pause() error {
	c.paused = true
	return nil
}

// writeTimeout is how long a server may not read.
const writeTimeout = 5 * time.Second

// Write sends bytes that are whole frames, AppendFrame. Here it waits for the
// system: who does not read for 5 s is given up, and slows the caller down until then.
func (c *Conn) Write(frames []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return ErrClosed
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return ErrClosed // by Run, or by its reader
	}
	_, err := c.conn.Write(frames)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.conn.Close() // what was written may end within a frame
		return fmt.Errorf("the server does not read: %w", err)
	}
	return err
}
