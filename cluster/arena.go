package cluster

import (
	"bytes"
	"sync/atomic"
)

// arena is where the frames of the log are: many in one allocation, as long as they are
// small. A chunk lives as long as one of its frames, so few that stay could hold on to
// much: the log counts what its chunks hold (held) and copies those out (tidy).
//
// A chunk without frames is filled again: a log that is confirmed as fast as it grows goes
// round in memory that a cache holds, and leaves nothing to the garbage collector. So a frame
// is good until its message leaves the log, or that of a volatile message until the next publish.
type arena struct {
	chunk *chunk // that is being filled
	held  int    // bytes of all chunks with frames
	free  []*chunk
	spare int // so many of free were not needed since the last trim
}

// chunk is one allocation of many frames.
type chunk struct {
	bytes  []byte
	frames int          // that the log refers to
	live   int          // their bytes
	lent   atomic.Int32 // links that have parts of it to write
	alone  bool         // one frame, which is counted with the log
}

const (
	chunkBytes = 64 << 10
	chunkFrame = chunkBytes / 16 // larger frames are on their own
	// freeChunks is how many chunks without frames are kept, of those that were needed
	// lately: as much as a publisher is ahead when the scheduler lets sender and receiver
	// take turns of some milliseconds.
	freeChunks = 128
)

// room is where a frame of about size bytes is to be appended, and the chunk that it is in.
func (a *arena) room(size int) ([]byte, *chunk) {
	if size > chunkFrame {
		c := &chunk{bytes: make([]byte, 0, size), alone: true}
		return c.bytes, c
	}
	if a.chunk == nil || cap(a.chunk.bytes)-len(a.chunk.bytes) < size {
		a.next()
	}
	b := a.chunk.bytes
	return b[len(b):], a.chunk
}

// next begins to fill another chunk, or the same again.
func (a *arena) next() {
	if a.chunk != nil && a.chunk.unused() {
		a.free = append(a.free, a.chunk)
	}
	last := len(a.free) - 1
	if last < 0 {
		a.chunk = &chunk{bytes: make([]byte, 0, chunkBytes)}
		return
	}
	a.chunk, a.free[last], a.free = a.free[last], nil, a.free[:last]
	a.spare = min(a.spare, last)
	a.chunk.bytes = a.chunk.bytes[:0]
}

// placed says that frame was appended to the room in c. One that was larger than room was
// asked for is somewhere else.
func (a *arena) placed(frame []byte, c *chunk) entry {
	at := len(c.bytes)
	if len(frame) > cap(c.bytes)-at {
		return alone(frame)
	}
	c.bytes = c.bytes[:at+len(frame)]
	return entry{chunk: c, at: uint32(at), size: uint32(len(frame))}
}

func alone(frame []byte) entry {
	return entry{chunk: &chunk{bytes: frame, alone: true}, size: uint32(len(frame))}
}

// unused tells that c may be filled again.
func (c *chunk) unused() bool { return c.frames == 0 && c.lent.Load() == 0 }

// keep and leave say that the log refers to a frame, or does so no more.
func (a *arena) keep(e entry) {
	c := e.chunk
	if c == nil || c.alone {
		return
	}
	if c.frames++; c.frames == 1 {
		a.held += cap(c.bytes)
	}
	c.live += int(e.size)
}

func (a *arena) leave(e *entry) {
	c := e.chunk
	if c == nil || c.alone {
		return
	}
	c.live -= int(e.size)
	if c.frames--; c.frames > 0 {
		return
	}
	a.held -= cap(c.bytes)
	if c != a.chunk && len(a.free) < freeChunks && c.unused() {
		a.free = append(a.free, c)
	}
}

// trim lets go of half of the free chunks that have not been needed since the last time: a
// node that has become quiet keeps none.
func (a *arena) trim() {
	keep := len(a.free) - (a.spare+1)/2
	clear(a.free[keep:])
	a.free = a.free[:keep]
	a.spare = keep
}

// sparse tells that less than half of c is in use.
func (c *chunk) sparse() bool { return c != nil && !c.alone && c.live < cap(c.bytes)/2 }

// tidy copies the frames out of chunks that are mostly unused, when chunks hold on to
// more than twice what the log counts. At least as much has been let go of since the last
// time, so that it costs little.
func (l *outLog) tidy() {
	if l.arena.held <= 2*l.bytes+4*chunkBytes {
		return
	}
	for i := range l.count {
		if e := &l.ring[(l.head+i)&(len(l.ring)-1)]; e.chunk.sparse() && e.chunk != l.arena.chunk {
			l.arena.leave(e)
			own := alone(bytes.Clone(e.frame()))
			e.chunk, e.at = own.chunk, 0
		}
	}
}
