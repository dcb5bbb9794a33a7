package mesh

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// pulse is the clock of all links of a mesh. One for each of them would wake the process as often.
type pulse struct {
	mu    sync.Mutex
	last  time.Time
	timer *time.Timer // nil before Run
}

// Beat does what time brings to links: it says PING on those on which nothing was sent since the last
// time, and ends those that are silent. Run does so every Heartbeat; who has frames to send
// to all peers that often calls it behind them, so that it costs no more wakes and PINGs.
// More often than that does nothing.
func (m *Mesh) Beat() { m.beat(m.cfg.Heartbeat + m.cfg.Heartbeat/4) } // who beats may be late

// beat is Beat, after which the mesh beats by itself if nobody else does before next.
func (m *Mesh) beat(next time.Duration) {
	m.pulse.mu.Lock()
	defer m.pulse.mu.Unlock()
	now := time.Now()
	if m.pulse.timer == nil || now.Sub(m.pulse.last) < m.cfg.Heartbeat/10*9 {
		return
	}
	m.pulse.last = now
	m.pulse.timer.Reset(next)
	for _, l := range m.Links() {
		l.beat()
	}
}

// runBeats beats until ctx ends, unless others do.
func (m *Mesh) runBeats(ctx context.Context) {
	t := time.NewTimer(m.cfg.Heartbeat)
	defer t.Stop()
	m.pulse.mu.Lock()
	m.pulse.timer = t
	m.pulse.mu.Unlock()
	for {
		select {
		case <-t.C:
			m.beat(m.cfg.Heartbeat)
		case <-ctx.Done():
			return
		}
	}
}

// beat says something if nothing was said since the last one, and listens.
func (l *Link) beat() {
	l.mu.Lock()
	spoke := l.spoke
	l.spoke = false
	if l.w.due { // whoever was to write may have forgotten
		l.w.due = false
		l.pokeLocked()
	}
	l.mu.Unlock()
	if !spoke {
		l.sendNow(wire.AppendNumber(nil, wire.KindPing, uint64(l.now())))
	}
	l.watch.beat(l)
}

// watch ends a link when nothing arrived for Silence. The other side says something four times a
// second, so silence is trouble. While the Handler holds the reader back nothing is held against the peer.
type watch struct {
	mu      sync.Mutex
	on      bool
	seen    uint64 // bytes
	renewal renewal
}

func (w *watch) begin(l *Link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l.heard.Store(l.now())
	w.on, w.renewal.l = true, l
}

// stop: nothing is dialled any more.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on = false
	w.renewal.stop()
}

func (w *watch) beat(l *Link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.on {
		return
	}
	if bytes := l.in.bytes.Load(); bytes != w.seen || l.handling.Load() {
		w.seen = bytes
		l.heard.Store(l.now())
		w.renewal.stop()
	}
	switch quiet := time.Duration(l.now() - l.heard.Load()); {
	case quiet > l.m.cfg.Silence:
		l.end(fmt.Errorf("nothing read for %v: %w", quiet.Round(time.Millisecond), ErrSilent))
		w.on = false
	case quiet > l.m.cfg.Silence/renewAfter && l.dialler == l.m.cfg.ID:
		w.renewal.dial()
	}
}
