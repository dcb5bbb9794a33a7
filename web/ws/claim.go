package ws

// Claim gives the caller the right to write g with Write, at once: nobody writes, and g
// is one message in one piece. The caller holds what keeps others from queueing: g goes
// before all that is queued later, so nothing may wait.
func (c *Conn) Claim(g *Group) bool {
	return g.framed && g.size <= maxDirect && !c.packs && c.tap.raw != nil && c.turn.claim()
}

// Write writes g of who has claimed that, as far as the socket takes it without waiting,
// and reports whether it is out. If not, the caller counts it among what is being written
// and calls WriteLater. Of the Handler it calls Take alone, as FlushNow does, when more
// was queued meanwhile.
func (c *Conn) Write(g *Group) (out bool) {
	if !c.writePiece(g) {
		return false
	}
	c.cfg.Traffic.MessagesOut.Add(1)
	c.cfg.Traffic.BytesOut.Add(uint64(g.size))
	if !c.turn.release() {
		c.flushTurn()
	}
	return true
}

// WriteLater leaves to the writer what Write has not written.
func (c *Conn) WriteLater() { go c.write() }

// writePiece is writeDirect without a batch, for a group that is one piece.
func (c *Conn) writePiece(g *Group) bool {
	if !c.tap.out.tryLock() { // a pong does not get out
		c.pending.batch = []*Group{g}
		return false
	}
	frame := g.encoded[0]
	n := c.tap.tryLocked(g.encoded)
	if n == frame.size() {
		c.tap.out.unlock()
		return true
	}
	p := &c.pending
	p.batch, p.torn = []*Group{g}, n > 0
	if p.torn {
		p.rest = []encoded{frame.from(n)}
	} else {
		c.tap.out.unlock()
	}
	return false
}
