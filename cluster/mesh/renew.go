package mesh

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// A connection that has lost its packets for two seconds sends the next after three: TCP
// doubles its patience each time (RFC 6298, section 5.5), and the link would be given up for
// silence when the network has long been well again. So the node that dialled dials anew beside a
// silent link. The first new connection takes the link's place; the other side
// gives way to it as to any newer one of the same dialler.
const (
	renewAfter = 2 // renewing begins after this part of Silence: after a third, one packet in five lost makes links change for nothing
	renewDials = 4 // that may be on their way at a time, one more each Heartbeat
)

// successor is a connection that takes the place of a link.
type successor struct {
	conn  net.Conn
	hello *greeted
}

// renewal is the dialling beside a silent link. It belongs to watch.
type renewal struct {
	l      *Link
	ctx    context.Context
	cancel context.CancelFunc
	open   atomic.Int32
	hello  atomic.Bool // one says or has said HELLO: two would replace each other at the other side
}

// dial begins one more attempt unless there are enough.
func (r *renewal) dial() {
	if r.ctx == nil {
		r.ctx, r.cancel = context.WithCancel(context.Background())
	}
	if r.open.Load() >= renewDials {
		return
	}
	r.open.Add(1)
	ctx := r.ctx
	r.l.beside.Go(func() {
		defer r.open.Add(-1)
		r.attempt(ctx)
	})
}

// attempt is one dial, and a HELLO if it is the first to get so far.
func (r *renewal) attempt(ctx context.Context) {
	m, target := r.l.m, r.l.peer
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Silence/renewAfter)
	defer cancel()
	conn, err := m.cfg.Net.DialLink(ctx, target.Addr)
	if err != nil {
		return
	}
	if r.hello.CompareAndSwap(false, true) {
		// Not to be stopped: the other side has it for the link once it has read HELLO, and
		// ends the old one at once.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.cfg.Silence/renewAfter)
		defer cancel()
		if hello, err := m.greet(ctx, conn, target.ID); err == nil {
			r.l.giveWay(&successor{conn, hello})
			return
		}
		r.hello.Store(false)
	}
	conn.Close()
}

// stop ends the attempts: the link has been heard, or has ended.
func (r *renewal) stop() {
	if r.cancel != nil {
		r.cancel()
		r.ctx, r.cancel = nil, nil
	}
}

// giveWay ends the link for s, if it has not ended yet.
func (l *Link) giveWay(s *successor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = s
	l.m.cfg.Logger.Info("a silent peer answered a new connection", "peer", l.peer.Name, "silent", time.Duration(l.now()-l.heard.Load()).Round(time.Millisecond))
	l.endByLocked(ErrReplaced, false, time.Unix(1, 0))
}

// successor is what the link, which is down, has given way to.
func (l *Link) successor() *successor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}
