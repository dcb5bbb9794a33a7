package recovery

import (
	"slices"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// gather fetches what sessions lack that have arrived at about the same time: once for all of them.
type gather struct {
	m        *Machine
	id       uint64
	round    uint64
	next     time.Duration         // when it asks again who is there
	asked    map[wire.NodeID]retry // for the next part, by origin
	attempts []*attempt
	left     int // of the attempts, those that are not given up
	rooms    []Rooms
	topics   map[wire.Topic]struct{}
	living   map[wire.NodeID]*section               // of the living, by them
	dead     map[wire.NodeID]*section               // of the dead, by mirrors
	members  map[wire.NodeID]map[wire.NodeID]Member // by who told it last
	buffer   []*wire.Message                        // that came live
	held     int                                    // bytes
}

// Why nobody is recovered: more would have to be held, or sent, than there are limits for; or others did not answer.
const (
	tooMuch = "too much is missing"
	tooLong = "it took too long"
)

// section is what has come of one, part by part.
type section struct {
	Section
	from  wire.NodeID   // who gives it
	at    time.Duration // when its first part came; 0 it has not
	whole bool
	// orphan is when it died, of one of which nobody has a copy any more; 0 somebody has. There are no entries, and who lacks
	// something of it is refused.
	orphan time.Duration
}

// How many gathers there are at a time: who arrives meanwhile waits for the next, for which all are asked together. And how many
// rooms one asks for, about.
const (
	maxGathers  = 4
	gatherRooms = 8192
)

// gather begins for those that have arrived.
func (m *Machine) gather() {
	for len(m.gathers) < maxGathers && len(m.arrived) > 0 && !m.paused {
		m.nextID++
		g := &gather{m: m, id: m.nextID, round: m.nextID, next: m.now + retryEvery, asked: map[wire.NodeID]retry{}, topics: map[wire.Topic]struct{}{}, living: map[wire.NodeID]*section{},
			dead: map[wire.NodeID]*section{}, members: map[wire.NodeID]map[wire.NodeID]Member{}}
		for len(m.arrived) > 0 && len(g.topics) < gatherRooms {
			g.add(m.arrived[0])
			m.arrived = m.arrived[1:]
		}
		if g.left == 0 {
			continue
		}
		m.stats.Gathers++
		m.gathers = append(m.gathers, g)
		g.ask()
	}
}

// add takes an attempt in, unless it has been given up meanwhile.
func (g *gather) add(a *attempt) {
	if a.over() || a.phase != arrived {
		return
	}
	a.phase, a.gather = fetching, g
	g.attempts = append(g.attempts, a)
	g.left++
	var names []string
	for room := range a.granted.Want.Rooms {
		t := wire.Topic{Namespace: a.granted.Want.Namespace, Room: room}
		if _, ok := g.topics[t]; !ok {
			g.topics[t] = struct{}{}
			names = append(names, room)
		}
	}
	slices.Sort(names)
	i := slices.IndexFunc(g.rooms, func(r Rooms) bool { return r.Namespace == a.granted.Want.Namespace })
	if i < 0 {
		i = len(g.rooms)
		g.rooms = append(g.rooms, Rooms{Namespace: a.granted.Want.Namespace})
	}
	g.rooms[i].Names = append(g.rooms[i].Names, names...)
}

// places are how far the sessions are of one origin: for each owner, those that have nothing of it, and the least of the others.
func (g *gather) places(origin wire.NodeID) (places []Place) {
	add := func(owner wire.NodeID, at wire.Frontiers) {
		none := at == wire.Frontiers{}
		for i := range places {
			if p := &places[i]; p.Owner == owner && none == (p.At == wire.Frontiers{}) {
				for k := range at {
					p.At[k] = min(p.At[k], at[k])
				}
				return
			}
		}
		places = append(places, Place{owner, at})
	}
	for _, a := range g.attempts {
		w := &a.granted.Want
		add(w.Owner, w.Base[origin])
		for _, floor := range w.Rooms {
			if floor != nil {
				add(w.Owner, floor[origin])
			}
		}
	}
	return places
}

// ask asks everybody for what has not come, and who is there: that changes.
func (g *gather) ask() {
	for _, id := range g.m.able() {
		if s := g.living[id]; s != nil && s.whole || g.m.now < g.asked[id].next {
			g.m.send(id, Fetch{ID: g.id})
		} else {
			g.askPart(id, id, s)
		}
	}
	for _, id := range sorted(g.dead) {
		if s := g.dead[id]; !s.whole && g.m.now >= g.asked[id].next {
			g.askPart(s.from, id, s)
		}
	}
}

// askPart asks for the next part of a section, or the first.
func (g *gather) askPart(of, origin wire.NodeID, s *section) {
	r := g.asked[origin]
	r.asked(g.m.now)
	g.asked[origin] = r
	f := Fetch{ID: g.id, Origin: origin, Places: g.places(origin), Rooms: g.rooms}
	if s != nil && s.at > 0 {
		f.From, f.Heads = s.To, s.Heads
	} else if of == origin {
		f.Round = g.round
	}
	g.m.send(of, f)
}

func (m *Machine) fetched(from wire.NodeID, f Fetched) {
	for _, g := range m.gathers {
		if g.id != f.ID {
			continue
		}
		for i := range f.Sections {
			g.takePart(from, &f.Sections[i])
		}
		if f.Members != nil {
			g.members[from] = f.Members
			g.chooseMirrors()
		}
		g.check()
		return
	}
}

// takePart takes a part that was asked for. Of a living node the first is the one before the barrier: those that it gives
// when it is asked again are later.
func (g *gather) takePart(from wire.NodeID, p *Section) {
	s := g.dead[p.Origin]
	if p.Origin == from {
		if s = g.living[from]; s == nil {
			s = &section{from: from}
			g.living[from] = s
		}
	}
	switch {
	case s == nil || s.from != from || s.whole || s.at > 0 && p.From != s.To:
		return
	case s.at == 0 && p.From != wire.Frontiers{}:
		return // of an answer before
	case s.at == 0:
		s.Section, s.at = *p, max(g.m.now, 1)
	default:
		for k := range p.Dropped {
			if p.Dropped[k].Seq > s.To[k] { // it went while the parts were on their way
				s.Dropped[k] = p.Dropped[k]
			}
		}
		s.To = p.To
		s.Entries = append(s.Entries, p.Entries...)
	}
	for _, e := range p.Entries {
		g.held += e.Message.Size()
	}
	delete(g.asked, p.Origin)
	s.whole = !behind(s.To, s.Heads) || g.m.breaks(BreakParts)
	if !s.whole {
		g.askPart(from, p.Origin, s)
	}
}

// chooseMirrors asks for what a dead node has published, by the mirror of the last generation that has told of itself.
func (g *gather) chooseMirrors() {
	for _, from := range sorted(g.members) {
		if p := g.m.peers[from]; from != g.m.id && (p == nil || !p.able()) {
			continue
		}
		for _, id := range sorted(g.members[from]) {
			gen := g.members[from][id].Mirrors
			if s := g.dead[id]; gen > 0 && (s == nil || s.Gen < gen || !s.whole && !g.speaks(s.from)) {
				g.dead[id] = &section{from: from, Section: Section{Gen: gen}}
				delete(g.asked, id)
				g.askPart(from, id, g.dead[id])
			}
		}
	}
}

// speaks tells whether a mirror is there still.
func (g *gather) speaks(id wire.NodeID) bool {
	p := g.m.peers[id]
	return id == g.m.id || p != nil && p.able()
}

// live keeps what comes while sessions are on their way.
func (g *gather) live(x *wire.Message) {
	if wanted(x, g.topics) {
		g.buffer = append(g.buffer, x)
		g.held += x.Size()
	}
}

func (g *gather) tick() {
	if g.m.now < g.next {
		return
	}
	g.next = g.m.now + retryEvery
	g.ask()
	g.check()
}

// linked: what was on the way to a peer may be lost.
func (g *gather) linked(id wire.NodeID) {
	delete(g.dead, id)
	for origin, s := range g.dead {
		if s.from == id {
			delete(g.asked, origin)
		}
	}
	delete(g.asked, id)
	g.next = 0
}

// known are the nodes of which there may be messages, as far as anybody says. One is dead when all say so: where it
// is alive it may go on with other mirrors.
func (g *gather) known() map[wire.NodeID]Member {
	all := map[wire.NodeID]Member{}
	for from, members := range g.members {
		if p := g.m.peers[from]; from != g.m.id && (p == nil || p.down) {
			continue
		}
		for id, k := range members {
			if old, ok := all[id]; ok {
				k = Member{Down: k.Down && old.Down, Unable: k.Unable || old.Unable, Gen: max(k.Gen, old.Gen),
					Mirrors: max(k.Mirrors, old.Mirrors), Heads: most(k.Heads, old.Heads), Dead: shorter(k.Dead, old.Dead)}
			}
			all[id] = k
		}
	}
	delete(all, g.m.id)
	return all
}

// orphan tells whether the mirrors of a dead node have died as well, but somebody knows how far it was: who has got
// all of it does not need a copy.
func (k Member) orphan() bool {
	return k.Down && k.Mirrors < k.Gen && k.Dead > 0
}

// shorter is the lesser of those that are known.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// checkGathers looks whether what they wait for is here.
func (m *Machine) checkGathers() {
	for _, g := range slices.Clone(m.gathers) {
		g.check()
	}
}

// check begins when everything is there.
func (g *gather) check() {
	m := g.m
	switch {
	case g.left == 0:
		m.endGather(g)
		return
	case m.held() > m.cfg.HoldBytes:
		m.stats.TooMuch += uint64(g.left)
		g.refuse(tooMuch)
		return
	case !m.breaks(BreakSections) && !g.answered():
		return
	}
	parts, ok := g.parts()
	if !ok || !m.breaks(BreakLive) && slices.ContainsFunc(parts, func(s *section) bool { return !g.reached(s) }) {
		return
	}
	m.endGather(g)
	m.admitAll(g, parts)
}

// answered tells whether all that are living have given what they have.
func (g *gather) answered() bool {
	return !slices.ContainsFunc(g.m.able(), func(id wire.NodeID) bool { s := g.living[id]; return s == nil || !s.whole })
}

// parts are the sections of all that may have published something; false while one is missing.
func (g *gather) parts() (parts []*section, ok bool) {
	m := g.m
	for _, id := range sorted(g.living) {
		if s := g.living[id]; s.whole {
			parts = append(parts, s)
		}
	}
	known := g.known()
	for _, id := range sorted(known) {
		k, s := known[id], g.dead[id]
		if k.Unable && !m.breaks(BreakUnable) {
			g.refuse(refusedUnable)
			return nil, false
		}
		if l := g.living[id]; l != nil && l.whole || k.Unable {
			continue // it is alive and has answered; if it has died since, the rest comes with its tail
		}
		switch {
		case !k.Down && !m.breaks(BreakSections): // others have not noticed yet that it is dead, or it is new
			return nil, false
		case s != nil && s.whole && (s.Gen >= k.Gen || m.breaks(BreakGen)):
			parts = append(parts, s)
		case k.orphan():
			parts = append(parts, &section{Section: Section{Origin: id, Heads: k.Heads}, whole: true, orphan: m.now - k.Dead})
		case k.Gen > 0 && !m.breaks(BreakSections):
			return nil, false
		}
	}
	return parts, true
}

// reached tells whether nothing more comes of what is replayed. Of a dead node another mirror may have had less,
// of what was not acknowledged.
func (g *gather) reached(s *section) bool {
	p := g.m.peers[s.Origin]
	if s.Origin != g.m.id && (p == nil || p.unmet) {
		return true // this node has never met it
	}
	return g.m.order.current.reaches(s.Origin, s.Heads) || p != nil && p.tail != nil && p.tail.done
}

// held are the bytes of messages that are kept for sessions on their way.
func (m *Machine) held() (bytes int) {
	for _, g := range m.gathers {
		bytes += g.held
	}
	return bytes
}

// refuse gives all up.
func (g *gather) refuse(reason string) {
	for _, a := range g.attempts {
		if !a.over() {
			g.m.refuse(a.pid, reason)
		}
	}
}

func (m *Machine) endGather(g *gather) {
	m.gathers = slices.DeleteFunc(m.gathers, func(x *gather) bool { return x == g })
	m.gather()
}
