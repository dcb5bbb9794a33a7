package mesh

import (
	"context"
	"errors"
	"net"
	"time"
)

// peer is what the mesh knows of one node; guarded by Mesh.mu.
type peer struct {
	Peer
	wanted   bool          // named by SetPeers
	dialling bool          // keep runs for it
	link     *Link         // nil while there is none
	changed  chan struct{} // closed and renewed by poke
}

func (p *peer) poke() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// politeness is how long the node with the higher id waits for the other to
// dial before it dials itself: where both can dial, one connection is enough. While
// links of this node keep coming up it waits on, mostPolite at most: a node that meets
// fifty others at once, or shares its processors with them, takes seconds to be dialled
// by them all, and a second handshake with each would make it longer still.
const (
	politeness = 500 * time.Millisecond
	mostPolite = 3 * time.Second
)

// stable is how long a link must have lived to be dialled again at once. Two
// nodes that end each other's links for a reason would make thousands else.
const stable = 5 * time.Second

// keep dials a wanted peer whenever it has no link, until it is wanted no
// more or ctx ends.
func (m *Mesh) keep(ctx, linkCtx context.Context, p *peer) {
	var b backoff
	for {
		target, ok := m.waitUnlinked(ctx, p)
		if !ok {
			return
		}
		if m.cfg.ID > target.ID && !m.letDial(ctx, p) {
			continue
		}
		start := time.Now()
		linked, err := m.dial(ctx, linkCtx, p, target, b.attempts > 0)
		if linked && time.Since(start) > stable {
			b.reset()
			continue
		}
		if ctx.Err() == nil && !errors.Is(err, ErrDuplicate) {
			m.cfg.Logger.Debug("cannot link", "peer", target.Name, "addr", target.Addr, "err", err)
		}
		m.pause(ctx, p, b.next())
	}
}

// waitUnlinked blocks until p has no link; false when it is not to be dialled
// any more.
func (m *Mesh) waitUnlinked(ctx context.Context, p *peer) (Peer, bool) {
	for {
		m.mu.Lock()
		if !p.wanted || ctx.Err() != nil {
			p.dialling = false
			m.changedLocked(p)
			m.mu.Unlock()
			return Peer{}, false
		}
		target, linked, changed := p.Peer, p.link != nil, p.changed
		m.mu.Unlock()
		if !linked {
			return target, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// pause waits d and tells whether p is still unlinked then. It returns early
// when a link came or ctx ended.
func (m *Mesh) pause(ctx context.Context, p *peer, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		m.mu.Lock()
		linked, wanted, changed := p.link != nil, p.wanted, p.changed
		m.mu.Unlock()
		if linked || !wanted || ctx.Err() != nil {
			return false
		}
		select {
		case <-t.C:
			return true
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// letDial waits for the other side to dial, and tells whether p is still unlinked.
func (m *Mesh) letDial(ctx context.Context, p *peer) bool {
	for waited, d := time.Duration(0), politeness; d > 0 && waited < mostPolite; d = politeness - m.quiet() {
		if !m.pause(ctx, p, d) {
			return false
		}
		waited += d
	}
	return true
}

// quiet is how long ago the last link came up.
func (m *Mesh) quiet() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Since(m.lastUp)
}

// dial makes one attempt; linked tells that there was a link, which has ended.
func (m *Mesh) dial(ctx, linkCtx context.Context, p *peer, target Peer, failing bool) (linked bool, err error) {
	done := m.turns.take(ctx, failing)
	defer done()
	if !m.pause(ctx, p, 0) {
		return false, ErrDuplicate // the other side was faster, or this is the end
	}
	conn, hello, err := m.reach(ctx, target)
	if err != nil {
		return false, err
	}
	done()
	for next := (&successor{conn, hello}); next != nil; {
		l := newLink(m, next.conn, next.hello, m.cfg.ID)
		linked, err = m.serve(linkCtx, l)
		next = l.successor()
	}
	return linked, err
}

// reach connects and says HELLO. Each has its own time: what came through TLS is not thrown
// away because it took long.
func (m *Mesh) reach(ctx context.Context, target Peer) (net.Conn, *greeted, error) {
	dctx, cancel := context.WithTimeout(ctx, m.cfg.HandshakeTimeout)
	defer cancel()
	conn, err := m.cfg.Net.DialLink(dctx, target.Addr)
	if err != nil {
		return nil, nil, err
	}
	hctx, cancel := context.WithTimeout(ctx, m.cfg.HandshakeTimeout)
	defer cancel()
	hello, err := m.greet(hctx, conn, target.ID)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, hello, nil
}
