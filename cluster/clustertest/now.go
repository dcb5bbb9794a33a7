package clustertest

import "sync"

// keeper is what a conn keeps of writes that wait for nothing, as a port.Conn does.
type keeper struct {
	mu   sync.Mutex // held while a write waits
	now  bool
	rest []byte
}

// BeginNow makes Write wait for nothing until EndNow, see port.Conn.
func (c *conn) BeginNow() bool {
	if !c.kept.mu.TryLock() {
		return false
	}
	defer c.kept.mu.Unlock()
	c.kept.now = len(c.kept.rest) == 0
	return c.kept.now
}

// EndNow tells how many bytes are kept.
func (c *conn) EndNow() (left int) {
	c.kept.mu.Lock()
	defer c.kept.mu.Unlock()
	c.kept.now = false
	return len(c.kept.rest)
}

// Flush waits until they are sent.
func (c *conn) Flush() error {
	c.kept.mu.Lock()
	defer c.kept.mu.Unlock()
	return c.flushLocked()
}

func (c *conn) flushLocked() error {
	if len(c.kept.rest) == 0 {
		return nil
	}
	n, err := c.write(c.kept.rest)
	c.kept.rest = c.kept.rest[n:]
	return err
}

// Write returns when all of b is sent, or with the number of bytes that were.
func (c *conn) Write(b []byte) (int, error) {
	c.kept.mu.Lock()
	defer c.kept.mu.Unlock()
	if c.kept.now {
		n := 0
		if len(c.kept.rest) == 0 {
			n, _, _ = c.tryWrite(b) // an error comes with Flush
		}
		c.kept.rest = append(c.kept.rest, b[n:]...)
		return len(b), nil
	}
	if err := c.flushLocked(); err != nil {
		return 0, err
	}
	return c.write(b)
}
