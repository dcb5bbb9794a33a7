package ws

import (
	"slices"
	"sync"
)

// FlushNow is Flush that takes one batch and writes it itself, as far as the socket
// takes it without waiting: a goroutine for each client costs as much as the write,
// and its stack more than all else. What is left is the writer's, and whatever comes
// later waits behind it. It calls Take, with nothing held, and nothing else of the
// Handler.
//
// Who writes has the turn, and hands it to the writer with what is left, so that
// batches go out one after the other, whoever takes them. There is no turn before
// Go and after the last batch. Below it tap.out is held until a frame is out,
// against the pongs and close frames of who reads. Neither is waited for here, and
// a frame that is cut leaves both to the writer. Only connections with a descriptor
// of their own are written to here, on Linux; the others have writers.
func (c *Conn) FlushNow() {
	if c.turn.take() {
		c.flushTurn()
	}
}

// flushTurn is FlushNow of who has the turn.
func (c *Conn) flushTurn() {
	done := false
	if c.tap.raw != nil && !Guard(c.cfg.Logger, c.remote, func() { done = c.writeNow() }) {
		c.failed = true // the writer says so: nobody is called back here
	}
	if !done || !c.turn.release() {
		go c.write()
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

// maxDirect is the largest batch that is written at once, in bytes: some 10 us. More
// would hold up all whom the caller has yet to write to.
const maxDirect = batchBytes

// isQuick says that nobody has to wait for a write of batch.
func (c *Conn) isQuick(batch []*Group) bool {
	size := 0
	for _, g := range batch {
		if c.packs && c.cfg.Deflater.wants(g) { // takes long, once for all clients
			return false
		}
		size += g.size
	}
	return size <= maxDirect
}

// writeDirect writes batch, or leaves what the socket does not take pending. Errors
// are left to the writer, too: it tries again and gets them.
func (c *Conn) writeDirect(batch []*Group) bool {
	p := &c.pending
	p.batch = batch
	if !c.isQuick(batch) {
		return false
	}
	frames := batch[0].encode() // shared, as it mostly is
	if len(batch) > 1 || c.packs {
		list := lists.Get().(*[]encoded)
		frames = c.encode((*list)[:0], batch)
		defer giveListBack(list, frames)
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

// lists are of frames that one write has: it allocates nothing.
var lists = sync.Pool{New: func() any { return new([]encoded) }}

// longestList is the longest list that is kept, in frames: two for each group.
const longestList = 2 * batchGroups

func giveListBack(list *[]encoded, frames []encoded) {
	if cap(frames) <= longestList {
		clear(frames)
		*list = frames[:0]
		lists.Put(list)
	}
}
