package mesh

import (
	"context"
	"errors"
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
// dial before it dials itself: where both can dial, one connection is enough.
const politeness = 500 * time.Millisecond

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
		if m.cfg.ID > target.ID && !m.pause(ctx, p, politeness) {
			continue
		}
		start := time.Now()
		linked, err := m.dial(ctx, linkCtx, target)
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
			m.dropIdleLocked()
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

// dial makes one attempt; linked tells that there was a link, which has ended.
func (m *Mesh) dial(ctx, linkCtx context.Context, target Peer) (linked bool, err error) {
	dctx, cancel := context.WithTimeout(ctx, m.cfg.HandshakeTimeout)
	defer cancel()
	conn, err := m.cfg.Net.DialLink(dctx, target.Addr)
	if err != nil {
		return false, err
	}
	hello, err := m.greet(dctx, conn, target.ID)
	if err != nil {
		conn.Close()
		return false, err
	}
	return m.serve(linkCtx, newLink(m, conn, hello, m.cfg.ID))
}
