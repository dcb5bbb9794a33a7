package mesh

import "fmt"

// writeLoop writes what waits, writeBytes at a time: batches form by themselves
// under load and nothing waits when idle. After a
// BYE it closes its direction only: a socket that is closed while the peer still
// writes is reset, and the peer loses what it had not read yet.
func (l *Link) writeLoop() {
	for range l.wake { // which nobody closes
		if !l.writeAll() {
			break
		}
	}
	if half, ok := l.conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite() // an error means that the other direction is gone too
	}
}

// writeAll writes until nothing waits, or somebody else writes; false when the link has ended.
func (l *Link) writeAll() bool {
	for {
		b, left, ended := l.take()
		if len(b.bytes) == 0 && left == 0 {
			if ended || !l.tellReady(l.idle()) {
				return !ended
			}
			continue
		}
		var err error
		if left > 0 {
			err = l.direct.Flush()
		} else {
			_, err = l.conn.Write(b.bytes)
			l.m.counters.bytesO.Add(uint64(len(b.bytes)))
		}
		ready := l.give(b)
		if err != nil {
			l.writeFailed(fmt.Errorf("write link: %w", err))
			return false
		}
		l.tellReady(ready)
	}
}

// tellReady is false if no lane is ready.
func (l *Link) tellReady(ready [Lanes]bool) (told bool) {
	for lane, is := range ready {
		if is {
			l.m.h.LinkReady(l, Lane(lane))
			told = true
		}
	}
	return told
}

// take gives what the writer has to write: what is left of a direct write, or a block.
func (l *Link) take() (b block, left int, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.w.direct:
		return block{}, 0, false // which wakes the writer in the end
	case l.ended != nil && !l.flush:
		return block{}, 0, true
	case l.w.left > 0:
		return block{}, l.w.left, false
	}
	if b = l.lanes.take(); b.bytes == nil {
		b.bytes, l.last = l.last, nil
	}
	l.w.bytes, l.w.awake = len(b.bytes), len(b.bytes) > 0
	return b, 0, l.ended != nil
}

// give hands a written block back, and tells which lanes were full and have half
// of their room again.
func (l *Link) give(b block) (ready [Lanes]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w.bytes, l.w.left, l.w.last = 0, 0, l.now()
	if b.bytes != nil {
		l.lanes.give(b)
	}
	return l.readyLocked()
}

// idle is give of a writer that has found nothing: a direct write may have refused frames.
func (l *Link) idle() (ready [Lanes]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.w.direct {
		return ready // there is no room yet, and this comes again
	}
	return l.readyLocked()
}

func (l *Link) readyLocked() (ready [Lanes]bool) {
	for lane, is := range l.refused {
		ready[lane] = is && l.lanes.of[lane].bytes < l.m.cfg.QueueBytes/2
		l.refused[lane] = is && !ready[lane]
	}
	return ready
}
