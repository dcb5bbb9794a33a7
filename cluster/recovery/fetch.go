package recovery

import "github.com/meshrt/meshrt/wire"

// part counts what one of a section or a tail has. The rest waits until the receiver asks for more.
type part struct{ bytes, looks int }

// lookBytes is as much as it costs to look at a message that is not wanted, in bytes of one that is.
const lookBytes = 32

func (p *part) full(limit int) bool { return p.bytes >= limit || p.looks*lookBytes >= limit }

// fetch gives a part of what sessions lack of this node, or of a dead one that it mirrors.
func (m *Machine) fetch(from wire.NodeID, f Fetch) {
	answer := Fetched{ID: f.ID}
	switch x := m.mirrors[f.Origin]; {
	case f.Origin == m.id:
		heads := m.log.heads()
		if from == m.id {
			heads = m.order.current[m.id] // what is published and not handed out yet comes live
		}
		answer.Sections = []Section{m.section(&m.log, heads, f, m.metPeers())}
	case x != nil && m.closed(f.Origin) && m.speaksFor(f.Origin):
		s := m.section(&x.log, x.log.heads(), f, x.met)
		s.Gen = x.gen
		answer.Sections = []Section{s}
	}
	if f.Origin == 0 || f.Round > 0 {
		answer.Members = m.seen()
	}
	if from != m.id && f.Round > 0 {
		m.do(Barrier{from, f.Round})
	}
	m.send(from, answer)
}

// seen are the nodes that this one knows, as it sees them.
func (m *Machine) seen() map[wire.NodeID]Member {
	all := make(map[wire.NodeID]Member, len(m.peers))
	for id, p := range m.peers {
		k := Member{Down: p.down, Unable: p.unable, Gen: p.gen}
		if m.closed(id) && m.speaksFor(id) {
			k.Mirrors = m.mirrors[id].gen
		}
		if p.down && p.tail != nil && p.tail.done {
			k.Heads, k.Dead = p.tail.heads, max(m.now-p.since, 1)
		}
		all[id] = k
	}
	return all
}

// begins is from where on messages of an origin are for sessions that were at a place of an owner. It is not
// known of one that the origin has never met: it may have died before the origin started, see attempt.start.
func begins(origin wire.NodeID, p Place, starts []Place) (f wire.Frontiers, known bool) {
	if p.Owner == origin || p.Owner == 0 {
		return f, true
	}
	for _, s := range starts {
		if s.Owner == p.Owner {
			return s.At, true
		}
	}
	return f, p.At != f
}

// starts are how far an origin was when it came to know the owners of places.
func (m *Machine) starts(of []Place, met map[wire.NodeID]wire.Frontiers) (starts []Place) {
	for _, p := range of {
		at, ok := met[p.Owner]
		if m.breaks(BreakMet) {
			at, ok = wire.Frontiers{}, true
		}
		if ok {
			starts = append(starts, Place{p.Owner, at})
		}
	}
	return starts
}

// section is a part of what is asked for.
func (m *Machine) section(log *history, heads wire.Frontiers, f Fetch, met map[wire.NodeID]wire.Frontiers) Section {
	s := Section{Origin: f.Origin, From: f.From, Heads: f.Heads, Starts: m.starts(f.Places, met)}
	if s.Heads == (wire.Frontiers{}) {
		s.Heads = heads
	}
	lowest := s.Heads
	for _, p := range f.Places {
		start, _ := begins(f.Origin, p, s.Starts)
		at := most(p.At, start)
		for k := range lowest {
			lowest[k] = min(lowest[k], at[k])
		}
	}
	for k := range log.streams {
		s.Dropped[k] = Dropped{log.streams[k].dropped, m.awake() - log.streams[k].droppedAt}
	}
	m.fillPart(&s, log, most(f.From, lowest), f.topics())
	return s
}

// fillPart walks through a log until the part is full.
func (m *Machine) fillPart(s *Section, log *history, at wire.Frontiers, topics map[wire.Topic]struct{}) {
	var p part
	s.To = at
	for k := range at {
		for of, i := log.behind(k, at[k]); i < of.len() && of.at(i).m.Seq <= s.Heads[k]; i++ {
			if p.full(m.cfg.PartBytes) {
				return
			}
			e := of.at(i)
			p.looks++
			if wanted(e.m, topics) || m.breaks(BreakFilter) {
				p.bytes += e.m.Size()
				s.Entries = append(s.Entries, Entry{e.m, m.awake() - e.at})
			}
			s.To[k] = e.m.Seq
		}
		s.To[k] = max(s.To[k], s.Heads[k])
	}
}

func (f *Fetch) topics() map[wire.Topic]struct{} {
	topics := map[wire.Topic]struct{}{}
	for _, r := range f.Rooms {
		for _, name := range r.Names {
			topics[wire.Topic{Namespace: r.Namespace, Room: name}] = struct{}{}
		}
	}
	return topics
}

// wanted tells whether m is for a member of one of these rooms, whoever is excepted.
func wanted(m *wire.Message, topics map[wire.Topic]struct{}) bool {
	if len(m.Rooms) == 0 {
		_, ok := topics[wire.Topic{Namespace: m.Namespace}]
		return ok
	}
	for _, r := range m.Rooms {
		if _, ok := topics[wire.Topic{Namespace: m.Namespace, Room: r}]; ok {
			return true
		}
	}
	return false
}
