package recovery

import (
	"time"

	"github.com/meshrt/meshrt/wire"
)

// buddy is a node that mirrors this one, as this one sees it.
type buddy struct {
	id     wire.NodeID
	unsent int // messages since it was sent some
	epoch  uint64
	member bool  // of the set, and has been since
	fresh  bool  // it has been sent nothing
	sent   State // on this link, or the last one
	acked  State
	met    uint64 // how many of the peers it was told of
	flight int    // frames that it has not confirmed
	mark   State  // when it has this it has everything
	ready  bool   // it had
}

// What a frame may have, and how many of them wait for a buddy: more than these stay where they are.
const (
	mirrorBytes    = 64 << 10
	mirrorSessions = 128
	maxFlight      = 16
)

// fullFor is for how long a node is not asked again that mirrors as many as it can.
const fullFor = 10 * time.Second

func (b *buddy) unlink() { b.sent, b.flight, b.met = b.acked, 0, 0 }

// whole is the state of this node itself.
func (m *Machine) whole() State { return State{m.log.heads(), m.order.last(), m.version} }

// has tells whether s lacks nothing of other.
func (s State) has(other State) bool {
	return !behind(s.Log, other.Log) && s.D >= other.D && s.Version >= other.Version
}

// Published takes an own message to a recoverable namespace, which is not volatile, under the number that the core
// gave it. Acked follows when mirrors have it.
func (m *Machine) Published(x *wire.Message) {
	m.log.add(x, m.awake())
	m.stats.Short += uint64(m.log.trim(m.awake()-m.gone(), m.cfg.LogBytes))
	for _, b := range m.feeds {
		// One at a time goes at once; those behind it follow together, when it is confirmed or in time.
		if b.unsent++; b.flight == 0 || b.unsent >= m.cfg.FrameEntries {
			m.feed(b, false)
		}
	}
	m.waits.add(RefOf(x))
	m.progress()
}

// feedAll sends all buddies all that is new, the order and sessions too.
func (m *Machine) feedAll() {
	acked := m.version
	for _, b := range m.feeds {
		m.feed(b, true)
		acked = min(acked, b.acked.Version)
	}
	m.forgetChanges(acked)
}

// setBuddy makes a node a buddy, or none with nil.
func (m *Machine) setBuddy(id wire.NodeID, b *buddy) {
	if b == nil {
		delete(m.buddies, id)
	} else {
		m.buddies[id] = b
	}
	m.feeds = nil
	for _, id := range sorted(m.buddies) {
		m.feeds = append(m.feeds, m.buddies[id])
	}
}

// feed sends a buddy what it lacks. Messages go at once; what is said of clients, with all.
func (m *Machine) feed(b *buddy, all bool) {
	for m.peers[b.id].linked && b.flight < maxFlight && (all || b.fresh || b.met < m.met || behind(b.sent.Log, m.log.heads())) {
		f := Mirror{Epoch: b.epoch, Reset: b.fresh, From: b.sent}
		if b.fresh {
			m.beginMirror(&f, &m.log, &m.order)
			b.fresh = false
			m.stats.Resets++
		}
		if b.met < m.met { // before the messages that are for them
			f.Met, b.met = m.metPeers(), m.met
		}
		f.To = f.From
		b.unsent = 0
		m.fillEntries(&f, &m.log)
		if all || f.Reset {
			m.fillOrder(&f, &m.order)
			m.fillSessions(&f)
		}
		if f.To == f.From && !f.Reset && f.Met == nil {
			return
		}
		b.sent = f.To
		b.flight++
		m.send(b.id, f)
	}
}

func (m *Machine) metPeers() map[wire.NodeID]wire.Frontiers {
	met := make(map[wire.NodeID]wire.Frontiers, len(m.peers))
	for id, p := range m.peers {
		if !p.unmet {
			met[id] = p.met
		}
	}
	return met
}

// beginMirror says where a log and an order begin.
func (m *Machine) beginMirror(f *Mirror, log *history, o *order) {
	f.Base, f.BaseAge = o.base.clone(), m.now-o.baseAt
	f.From.D = o.first - 1
	for k := range f.Dropped {
		f.Dropped[k] = Dropped{log.streams[k].dropped, m.awake() - log.streams[k].droppedAt}
	}
}

func (m *Machine) fillEntries(f *Mirror, log *history) {
	bytes, n := 0, 0
	for k := range f.To.Log {
		of, i := log.behind(k, f.To.Log[k])
		n += of.len() - i
	}
	if n > 0 {
		f.Entries = make([]Entry, 0, min(n, m.cfg.FrameEntries))
	}
	for k := range f.To.Log {
		for of, i := log.behind(k, f.To.Log[k]); i < of.len(); i++ {
			if len(f.Entries) == m.cfg.FrameEntries || bytes >= mirrorBytes {
				return
			}
			e := of.at(i)
			bytes += e.m.Size()
			f.Entries = append(f.Entries, Entry{e.m, m.awake() - e.at})
			f.To.Log[k] = e.m.Seq
		}
		f.To.Log[k] = max(f.To.Log[k], log.streams[k].dropped)
	}
}

func (m *Machine) fillOrder(f *Mirror, o *order) {
	if m.breaks(BreakOrder) {
		f.To.D = o.last()
		return
	}
	if f.To.D < o.first-1 { // it lags by more than the whole order: the base says the rest
		f.Base, f.BaseAge, f.From.D, f.To.D = o.base.clone(), m.now-o.baseAt, o.first-1, o.first-1
	}
	for f.To.D < o.last() && len(f.Order) < 4*m.cfg.FrameEntries {
		e := o.entry(f.To.D + 1)
		f.Order = append(f.Order, Placed{e.Ref, m.now - e.at})
		f.To.D++
	}
}

// fillSessions sends each session that changed once, however often it did, and none before the places of the order that its record names:
// a mirror that has it without them takes the last place that it knows for those.
func (m *Machine) fillSessions(f *Mirror) {
	bytes := 0
	for f.To.Version < m.version && len(f.Sessions) < mirrorSessions && bytes < mirrorBytes {
		version := max(f.To.Version+1, m.firstChange)
		pid := *m.changed.at(int(version - m.firstChange))
		s := m.sessions[pid]
		is := s != nil && s.version == version
		if is && s.rec.lastPlace() > f.To.D && f.To.D < m.order.last() {
			return
		}
		if f.To.Version = version; is {
			f.Sessions = append(f.Sessions, Saved{s.rec.clone(), s.state == ended})
			bytes += s.rec.size()
		}
	}
}

// mirrored: a buddy has more.
func (m *Machine) mirrored(from wire.NodeID, f Mirrored) {
	b := m.buddies[from]
	if b == nil || b.epoch != f.Epoch {
		return
	}
	b.flight = max(0, b.flight-1)
	switch {
	case f.Full:
		m.peers[from].full = m.now + fullFor
		m.setBuddy(from, nil)
		m.choose()
		return
	case f.Lost:
		m.startBuddy(from)
		return
	}
	// It may have what was on its way when the last link ended, but nothing that is not here.
	b.acked = b.acked.most(f.State.least(m.whole()))
	b.sent = b.sent.most(b.acked)
	if !b.ready && b.acked.has(b.mark) {
		b.ready = true
		m.choose()
	}
	m.feed(b, false)
	m.confirmed()
	m.progress()
}
