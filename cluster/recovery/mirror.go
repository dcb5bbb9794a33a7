package recovery

import (
	"slices"

	"github.com/meshrt/meshrt/wire"
)

// buddy is a node that mirrors this one, as this one sees it.
type buddy struct {
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
	r := RefOf(x)
	for _, id := range sorted(m.buddies) {
		m.feed(id, false)
	}
	m.wait(wait{stream: r.Stream, seq: r.Seq, done: func(copies int) { m.do(Acked{r.Stream, r.Seq, copies}) }})
}

// feedAll sends all buddies all that is new, the order and sessions too.
func (m *Machine) feedAll() {
	for _, id := range sorted(m.buddies) {
		m.feed(id, true)
	}
	acked := m.version
	for _, b := range m.buddies {
		acked = min(acked, b.acked.Version)
	}
	m.forgetChanges(acked)
}

// feed sends a buddy what it lacks. Messages go at once; what is said of clients, with all.
func (m *Machine) feed(id wire.NodeID, all bool) {
	b := m.buddies[id]
	for m.peers[id].linked && b.flight < maxFlight {
		f := Mirror{Epoch: b.epoch, Reset: b.fresh, From: b.sent}
		if b.fresh {
			f.Base, f.BaseAge = m.order.base.clone(), m.now-m.order.baseAt
			f.From.D = m.order.first - 1
			for k := range f.Dropped {
				f.Dropped[k] = Dropped{m.log.streams[k].dropped, m.awake() - m.log.streams[k].droppedAt}
			}
			b.fresh = false
			m.stats.Resets++
		}
		if b.met < m.met { // before the messages that are for them
			f.Met, b.met = m.metPeers(), m.met
		}
		f.To = f.From
		m.fillEntries(&f)
		if all || f.Reset {
			m.fillOrder(&f)
			m.fillSessions(&f)
		}
		if f.To == f.From && !f.Reset && f.Met == nil {
			return
		}
		b.sent = f.To
		b.flight++
		m.send(id, f)
	}
}

func (m *Machine) metPeers() map[wire.NodeID]wire.Frontiers {
	met := make(map[wire.NodeID]wire.Frontiers, len(m.peers))
	for id, p := range m.peers {
		met[id] = p.met
	}
	return met
}

func (m *Machine) fillEntries(f *Mirror) {
	bytes := 0
	for k := range f.To.Log {
		for _, e := range m.log.after(k, f.To.Log[k]) {
			if len(f.Entries) == m.cfg.FrameEntries || bytes >= mirrorBytes {
				return
			}
			bytes += e.m.Size()
			f.Entries = append(f.Entries, Entry{e.m, m.awake() - e.at})
			f.To.Log[k] = e.m.Seq
		}
		f.To.Log[k] = max(f.To.Log[k], m.log.streams[k].dropped)
	}
}

func (m *Machine) fillOrder(f *Mirror) {
	o := &m.order
	if m.breaks(BreakOrder) {
		f.To.D = o.last()
		return
	}
	if f.To.D < o.first-1 { // it lags by more than the whole order: the base says the rest
		f.Base, f.BaseAge, f.From.D, f.To.D = o.base.clone(), m.now-o.baseAt, o.first-1, o.first-1
	}
	for f.To.D < o.last() && len(f.Order) < 4*m.cfg.FrameEntries {
		e := o.entries[f.To.D+1-o.first]
		f.Order = append(f.Order, Placed{e.Ref, m.now - e.at})
		f.To.D++
	}
}

// fillSessions sends each session that changed once, however often it did.
func (m *Machine) fillSessions(f *Mirror) {
	for f.To.Version < m.version && len(f.Sessions) < mirrorSessions {
		f.To.Version = max(f.To.Version+1, m.firstChange)
		pid := m.changed[f.To.Version-m.firstChange]
		if s := m.sessions[pid]; s != nil && s.version == f.To.Version {
			f.Sessions = append(f.Sessions, Saved{s.rec.clone(), s.state == ended})
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
	if f.Lost {
		m.startBuddy(from)
		return
	}
	b.acked = b.acked.most(f.State)
	if !b.ready && b.acked.has(b.mark) {
		b.ready = true
		m.choose()
	}
	m.feed(from, false)
	m.progress()
}

// wait is for mirrors to have an own message, or a version of the sessions.
type wait struct {
	stream  wire.Stream
	seq     uint64
	version uint64
	done    func(copies int)
}

// doubt: a mirror had taken this node for dead. What it did not have up to then is not promised to
// anybody any more, for sessions were recovered without it.
func (m *Machine) doubt(heads wire.Frontiers) {
	if m.breaks(BreakDoubt) {
		return
	}
	var over []wait
	m.waits = slices.DeleteFunc(m.waits, func(w wait) bool {
		is := w.seq > heads[w.stream]
		if is {
			over = append(over, w)
		}
		return is
	})
	for _, w := range over {
		w.done(0)
	}
}

func (m *Machine) wait(w wait) {
	m.waits = append(m.waits, w)
	m.progress()
}

// progress ends the waits that are over. Nobody is told while there is no mirror that all nodes know of,
// unless there is no other node.
func (m *Machine) progress() {
	if len(m.waits) == 0 {
		return
	}
	have, ok := m.everywhere()
	if m.breaks(BreakAck) {
		have, ok = m.whole(), true
	}
	if !ok {
		return
	}
	var over []wait
	m.waits = slices.DeleteFunc(m.waits, func(w wait) bool {
		is := w.seq <= have.Log[w.stream] && (w.version <= have.Version || m.breaks(BreakJoin))
		if is {
			over = append(over, w)
		}
		return is
	})
	for _, w := range over {
		w.done(len(m.set))
	}
}

// everywhere is what all have that must; false while one of them is dead, which may be alive and speak for this
// node. While buddies change, the old ones and the new ones must.
func (m *Machine) everywhere() (have State, ok bool) {
	have = m.whole()
	for _, id := range m.set {
		b := m.buddies[id]
		if b == nil || !b.member || !m.peers[id].able() {
			return have, false
		}
		have = b.acked.least(have)
	}
	if m.proposal != nil && !m.breaks(BreakJoint) {
		for _, id := range m.proposal.set {
			b := m.buddies[id]
			if b == nil {
				return have, false
			}
			have = b.acked.least(have)
		}
	}
	return have, !m.unsure && (len(m.set) > 0 || m.alone())
}

// alone tells whether nobody could mirror this node. One that has just started waits for its first buddy.
func (m *Machine) alone() bool {
	for _, p := range m.peers {
		if p.able() && !p.draining {
			return false
		}
	}
	return true
}

func (s State) least(other State) State {
	for k := range s.Log {
		s.Log[k] = min(s.Log[k], other.Log[k])
	}
	s.D, s.Version = min(s.D, other.D), min(s.Version, other.Version)
	return s
}
