package ws

import "slices"

// FlushNow is Flush that takes one batch and writes it itself, as far as the socket
// takes it without waiting: waking a goroutine for each client costs as much as the
// write. What is left is the writer's, and whatever comes later waits behind it. It
// calls Take, with nothing held, and nothing else of the Handler.
//
// Who writes has the turn: the writer always but when it sleeps with nothing to do.
// So batches go out one after the other, whoever takes them, and there is no turn
// before Serve and after the last batch. Below it tap.out is held until a frame is
// out, against the pongs and close frames of the library. Neither is waited for
// here, and a batch that is cut leaves both orders to the writer. Only connections with a descriptor of their
// own are written to here, on Linux; the others' writers are woken.
func (c *Conn) FlushNow() {
	if c.tap.raw == nil || !c.turn.TryLock() {
		c.Flush()
		return
	}
	done := c.pending.batch != nil // by whoever left it: the writer knows
	if !done && !Guard(c.cfg.Logger, c.remote, func() { done = c.writeNow() }) {
		c.failed = true // the writer says so: nobody is called back here
	}
	c.turn.Unlock()
	if !done {
		c.Flush()
	}
}

// writeNow reports whether nothing is left for the writer.
func (c *Conn) writeNow() (done bool) {
	batch, open := c.handler.Take()
	if len(batch) == 0 {
		return open
	}
	if !c.writeDirect(batch) {
		return false
	}
	c.written(batch)
	// Asked again, Take knows that the batch is out. More waits only when it is more
	// than a batch: a shard must not write for ever to one client.
	more, open := c.handler.Take()
	c.pending.batch = more
	return len(more) == 0 && open
}

// writeDirect writes batch, or leaves what the socket does not take pending. Errors
// are left to the writer, too: it tries again and gets them.
func (c *Conn) writeDirect(batch []*Group) bool {
	p := &c.pending
	p.batch = batch
	for _, g := range batch {
		if c.packs && c.cfg.Deflater.wants(g) { // takes long, once for all clients
			return false
		}
	}
	frames := batch[0].encode() // shared, as it mostly is
	if len(batch) > 1 || c.packs {
		frames = c.encode(nil, batch)
	}
	if !c.tap.out.tryLock() { // a pong does not get out
		return false
	}
	n := c.tap.tryLocked(frames)
	if n < size(frames) {
		p.rest, p.torn = after(slices.Clone(frames), n)
	}
	if !p.torn {
		c.tap.out.unlock()
	}
	if len(p.rest) > 0 {
		return false
	}
	p.batch = nil
	return true
}
