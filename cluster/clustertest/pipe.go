package clustertest

import (
	"net"
	"os"
	"syscall"
	"time"
)

// bufferSize is what one direction of a stream holds, on the way and unread, in
// bytes. A writer blocks beyond it.
const bufferSize = 1 << 20

// pipe is one direction of a stream.
type pipe struct {
	gate
	way  pair
	sent []segment // only the first is looked at, so nothing overtakes it
	size int       // bytes in sent

	unread     bool // the reader's end is closed
	unwritten  bool // the writer's end is closed
	broken     news // what the writer learns from the reader's host
	readUntil  time.Time
	writeUntil time.Time
}

// segment is what arrives at one time: bytes, or the end of the stream.
type segment struct {
	data []byte
	end  error // io.EOF, or a reset
	at   time.Time
	held bool // sent while the way was cut; at is not yet known
}

// news is an error that travels against the stream to its writer.
type news struct {
	err  error
	at   time.Time
	held bool
}

func (p *pipe) read(b []byte) (int, error) {
	for {
		n, pause, err := p.tryRead(b)
		if pause.none() {
			return n, err
		}
		pause.wait()
	}
}

// tryRead reads what has arrived, or says what to wait for.
func (p *pipe) tryRead(b []byte) (int, pause, error) {
	p.Lock()
	defer p.Unlock()
	now := time.Now()
	switch {
	case p.unread:
		return 0, pause{}, net.ErrClosed
	case passed(p.readUntil, now):
		return 0, pause{}, os.ErrDeadlineExceeded
	case len(b) == 0:
		return 0, pause{}, nil
	case len(p.sent) == 0 || p.sent[0].held:
		return 0, pause{p.next(), [2]time.Time{p.readUntil}}, nil
	case p.sent[0].at.After(now):
		return 0, pause{p.next(), [2]time.Time{p.readUntil, p.sent[0].at}}, nil
	case p.sent[0].end != nil:
		return 0, pause{}, p.sent[0].end
	}
	return p.take(b, now), pause{}, nil
}

// take moves bytes that have arrived to b.
func (p *pipe) take(b []byte, now time.Time) int {
	n := 0
	for n < len(b) && len(p.sent) > 0 {
		s := &p.sent[0]
		if s.held || s.end != nil || s.at.After(now) {
			break
		}
		m := copy(b[n:], s.data)
		n += m
		if s.data = s.data[m:]; len(s.data) == 0 {
			p.sent[0] = segment{}
			p.sent = p.sent[1:]
		}
	}
	p.size -= n
	p.wake()
	return n
}

// tryWrite sends as much of b as there is room for, or says what to wait for.
// w is the state of the way, which must not change meanwhile: the caller holds
// the network's lock.
func (p *pipe) tryWrite(b []byte, w path) (int, pause, error) {
	p.Lock()
	defer p.Unlock()
	now := time.Now()
	switch {
	case p.unwritten:
		return 0, pause{}, net.ErrClosed
	case p.broken.err != nil && !p.broken.held && !p.broken.at.After(now):
		return 0, pause{}, p.broken.err
	case passed(p.writeUntil, now):
		return 0, pause{}, os.ErrDeadlineExceeded
	}
	n := min(len(b), bufferSize-p.size)
	if n == 0 && len(b) > 0 {
		return 0, pause{p.next(), [2]time.Time{p.writeUntil, p.broken.at}}, nil
	}
	p.push(segment{data: b[:n]}, w, now)
	return n, pause{}, nil
}

// push sends s behind all that was sent. Bytes that arrive together with the
// segment before become part of it.
func (p *pipe) push(s segment, w path, now time.Time) {
	s.held = w.cut
	if !s.held {
		s.at = now.Add(w.delay)
	}
	p.size += len(s.data)
	if k := len(p.sent) - 1; k >= 0 && p.sent[k].joins(s) {
		p.sent[k].data = append(p.sent[k].data, s.data...)
	} else {
		s.data = append([]byte(nil), s.data...)
		p.sent = append(p.sent, s)
	}
	p.wake()
}

// joins tells whether o arrives together with s. What is held arrives together
// after the heal.
func (s *segment) joins(o segment) bool {
	return s.end == nil && o.end == nil && s.held == o.held && s.at.Equal(o.at)
}

// healed is told that a way is open again: its segments and news arrive at t.
func (p *pipe) healed(way pair, t time.Time) {
	p.Lock()
	defer p.Unlock()
	for i := range p.sent {
		if way == p.way && p.sent[i].held {
			p.sent[i].held, p.sent[i].at = false, t
		}
	}
	if back := (pair{p.way.to, p.way.from}); way == back && p.broken.held {
		p.broken.held, p.broken.at = false, t
	}
	p.wake()
}

// finish ends the writer's side: the reader finds end behind what was sent. A
// killed writer cannot send again what a cut held back.
func (p *pipe) finish(end error, w path, killed bool) {
	p.Lock()
	defer p.Unlock()
	if p.unwritten {
		return
	}
	p.unwritten = true
	if killed {
		p.dropHeld()
	}
	p.push(segment{end: end}, w, time.Now())
}

func (p *pipe) dropHeld() {
	for i, s := range p.sent {
		if s.held {
			p.sent = p.sent[:i] // what follows a held segment is held too
			break
		}
	}
	p.size = 0
	for _, s := range p.sent {
		p.size += len(s.data)
	}
}

// abandon ends the reader's side: the writer learns it over the way back, and
// until then writes into a buffer that nobody reads.
func (p *pipe) abandon(err error, back path) {
	p.Lock()
	defer p.Unlock()
	if p.unread {
		return
	}
	p.unread = true
	p.sent, p.size = nil, 0
	if p.broken.err == nil {
		p.broken = news{err: err, held: back.cut}
		if !back.cut {
			p.broken.at = time.Now().Add(back.delay)
		}
	}
	p.wake()
}

// reset breaks both ends at once.
func (p *pipe) reset() {
	p.Lock()
	defer p.Unlock()
	now := time.Now()
	p.sent, p.size = []segment{{end: syscall.ECONNRESET, at: now}}, 0
	p.broken = news{err: syscall.ECONNRESET, at: now}
	p.wake()
}
