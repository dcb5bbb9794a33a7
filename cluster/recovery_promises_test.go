package cluster

import (
	"fmt"
	"slices"
	"time"

	checker "github.com/meshrt/meshrt/cluster/history"
	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// clientPromises knows what clients were promised, and tells what was not kept: G1, G3, G4 and G6 of MESH §6.
type clientPromises struct {
	promises  checker.Promises[*simClient, wire.NodeID]
	order     map[*simClient]*checker.Order[int, wire.NodeID]
	at        map[sent]time.Duration // when it was published
	of        map[sent]*wire.Message
	copies    map[sent]int                            // of those that are acknowledged
	handed    map[*simClient]map[sent]recovery.Cursor // with which cursor it came first
	twice     map[*simClient][]recovery.Cursor        // what was handed out behind these may come again
	vague     map[recovery.Cursor]bool                // which did not say all that mirrors lacked
	suspected map[wire.NodeID]bool                    // taken for dead while they slept
	onBack    func(*recNode)
	strict    bool // whoever is refused for his cursor has found a fault
	problems  []string

	acks, unacked, excused, early     int
	vaguely, woken, crossed           int // messages that came twice: as a cursor did not say them, of who was not dead, through a partition
	cursors, saying                   int // handed out, and those that say more than a place
	fresh, begun, recovered, replayed int
	refusals                          map[string]int
}

func newClientPromises() *clientPromises {
	return &clientPromises{order: map[*simClient]*checker.Order[int, wire.NodeID]{}, at: map[sent]time.Duration{}, of: map[sent]*wire.Message{}, copies: map[sent]int{},
		handed: map[*simClient]map[sent]recovery.Cursor{}, twice: map[*simClient][]recovery.Cursor{}, refusals: map[string]int{}, suspected: map[wire.NodeID]bool{}, vague: map[recovery.Cursor]bool{}}
}

func (p *clientPromises) problem(format string, args ...any) {
	if len(p.problems) < 5 {
		p.problems = append(p.problems, fmt.Sprintf(format, args...))
	}
}

// due tells whether a client has a join, acknowledged at that time, that a message is for.
func (c *simClient) due(m *wire.Message, at time.Duration) bool {
	in := func(room string) bool { r := c.rooms[room]; return r != nil && r.acked && r.ackAt <= at && !r.left }
	for _, x := range m.Except {
		if x == c.sid || c.rooms[x] != nil { // if it is one, or may be
			return false
		}
	}
	return c.pid != "" && (len(m.Rooms) == 0 && in("") || slices.ContainsFunc(m.Rooms, in))
}

func (w *world) hasMet(id, other wire.NodeID) bool {
	_, ok := w.met[[2]wire.NodeID{id, other}]
	return ok
}

// host is where the client's session is, or was last.
func (c *simClient) host() wire.NodeID { return c.hosts[len(c.hosts)-1] }

func (p *clientPromises) published(w *world, m *wire.Message) {
	x := sentAs(m)
	p.at[x], p.of[x] = w.now, m
	for _, c := range w.clients {
		// G2 is for a connected cluster: a node that has not met the one where the client is yet owes that one nothing
		if c.due(m, w.now) && (m.Origin == c.host() || w.hasMet(m.Origin, c.host())) {
			p.promises.Add(x, c)
		}
	}
}

func (p *clientPromises) acked(origin wire.NodeID, k wire.Stream, seq uint64, copies int) {
	p.acks++
	p.copies[sent{Origin: origin, Seq: seq, Priority: uint8(k)}] = copies + 1
}

func (p *clientPromises) got(w *world, c *simClient, m *wire.Message, cursor recovery.Cursor) {
	x := sentAs(m)
	c.cursor = cursor
	if p.order[c] == nil {
		p.order[c], p.handed[c] = &checker.Order[int, wire.NodeID]{}, map[sent]recovery.Cursor{}
	}
	switch p.order[c].Deliver(c.id, x) {
	case checker.Duplicate:
		was := p.handed[c][x]
		// "duplicates: what was handed out and not mirrored may come again, if the cursor had no room to say it"
		switch {
		case slices.ContainsFunc(p.twice[c], func(k recovery.Cursor) bool { return k.Node == was.Node && was.D > k.D && was.D>>63 == 0 }):
			p.vaguely++
		// "or what a node had published that was taken for dead, and was not"
		case was.Node == m.Origin && (p.suspected[m.Origin] || w.split.excuses(p.at[x], m.Origin, c)):
			p.woken++
		// "and a client that goes over in the midst of a partition, or back, may get again what it got"
		case c.over > 0 && w.split.excuses(p.at[x], m.Origin, c), c.over > 1 && p.at[x] <= c.overAt:
			p.crossed++
		default:
			p.problem("duplicate: client %d got %v twice, first with %v, then with %v at %v", c.id, x, was, cursor, w.now)
		}
	case checker.Reordered:
		if w.split.excuses(p.at[x], m.Origin, c) || !c.due(m, p.at[x]) {
			p.excused++ // G1 is for members: from the ack of the join until it asks to leave
			break
		}
		p.problem("order: client %d got %v of %v except %v, published %v, after later ones at %v", c.id, x, m.Rooms, m.Except, p.at[x], w.now)
	default:
		p.handed[c][x] = cursor
	}
	p.promises.Keep(x, c)
	p.phantom(w, c, m)
}

// phantom looks for messages that are not for a client.
func (p *clientPromises) phantom(w *world, c *simClient, m *wire.Message) {
	at := p.at[sentAs(m)]
	rooms := m.Rooms
	if len(rooms) == 0 {
		rooms = []string{""}
	}
	if slices.Contains(m.Except, c.sid) {
		p.problem("phantom: client %d got %v, which excepts it", c.id, sentAs(m))
	}
	early := false
	for _, room := range rooms {
		switch r := c.rooms[room]; {
		case r == nil || r.gone && r.goneAt < at:
		case at >= r.asked:
			return
		// "or what was not acked by a dead node with two mirrors, of which one has it"
		case w.mayBeEarly(m.Origin, r, at), w.cfg.Copies > 2 && w.nodes[m.Origin].dead && p.copies[sentAs(m)] < 2:
			p.early++
			return
		default:
			early = true
		}
	}
	if early {
		p.problem("early: client %d got %v of %v, published %v, before it asked for the room, at %v", c.id, sentAs(m), rooms, at, w.now)
		return
	}
	p.problem("phantom: client %d got %v of %v, which it is not in, at %v", c.id, sentAs(m), rooms, w.now)
}

// linkDelay is the most that a message takes on a link that is in order: up to 5 ms, behind those before it.
const linkDelay = 10 * time.Millisecond

// roughMore is for how much longer than watch says a way is not in order: it looks now and then, and takes a stall for over that ends before it
// looks again.
const roughMore = 2 * watchEvery

// mayBeEarly tells whether a message of before a join may come. "One that was on its way when a client joined may come to it, and one
// from a node whose barrier the join could not have, as the way was not in order then; nothing from before the two nodes had met."
func (w *world) mayBeEarly(origin wire.NodeID, r *simRoom, at time.Duration) bool {
	if r.asked-at < linkDelay {
		return true
	}
	until := w.now
	if r.acked {
		until = r.ackAt
	}
	return slices.ContainsFunc(r.hosts, func(host wire.NodeID) bool {
		if met, ok := w.met[[2]wire.NodeID{origin, host}]; origin == host || !ok || at < met {
			return false
		}
		return slices.ContainsFunc(w.rough[[2]wire.NodeID{min(origin, host), max(origin, host)}], func(s span) bool {
			return s.from <= until && s.to >= r.asked-linkDelay-roughMore
		})
	})
}

// cursor notes one that was handed out.
func (p *clientPromises) cursor(c recovery.Cursor, vague bool) {
	p.cursors++
	if c.Lag != (recovery.Lag{}) {
		p.saying++
	}
	if vague {
		p.vague[c] = true
	}
}

// arriving: a session is on its way. What its last node had handed out and mirrors do not know may come twice, if
// its client's cursor could not say it.
func (p *clientPromises) arriving(w *world, pid recovery.PID) {
	for _, c := range w.clients {
		if c.pid != pid || !p.vague[c.cursor] {
			continue
		}
		for _, n := range w.nodes {
			if k, whole := w.recs[n.id].x.Kept(c.cursor.Node); whole && !n.dead {
				p.twice[c] = append(p.twice[c], recovery.Cursor{Node: c.cursor.Node, D: k.D})
			}
		}
	}
}

func (p *clientPromises) gap(c *simClient, origin wire.NodeID) {
	p.promises.Leave(c, func(m sent) bool { return m.Origin != origin })
}

// changed: the client has asked to be in other rooms. What those take away it may get or not.
func (p *clientPromises) changed(c *simClient) {
	p.promises.Leave(c, func(x sent) bool { return c.due(p.of[x], p.at[x]) })
}

func (p *clientPromises) forget(c *simClient) {
	p.promises.Forget(c)
	delete(p.order, c)
	delete(p.handed, c)
	delete(p.twice, c)
}

// finish looks at what has not come: it must be unacknowledged, of a node that is dead.
func (p *clientPromises) finish(w *world) {
	for c, m := range p.promises.Open() {
		switch {
		// "not promised: messages acked with no copy or not at all when their node dies", or is taken for dead
		case (w.nodes[m.Origin].dead || p.suspected[m.Origin]) && p.copies[m] < 2:
			p.unacked++
		case w.split.excuses(p.at[m], m.Origin, c):
			p.excused++
		default:
			what := "lost"
			if len(c.hosts) > 1 {
				what = "falsely recovered"
			}
			p.problem("%s: client %d, which was at %v, has not got %v of %v except %v, published %v, copies %d", what, c.id, c.hosts, m, p.of[m].Rooms, p.of[m].Except, p.at[m], p.copies[m]-1)
		}
	}
	for _, c := range w.clients {
		if !c.up {
			p.problem("stuck: client %d has had no session since %v", c.id, c.since)
		}
	}
	for x := range p.at {
		if n := w.nodes[x.Origin]; p.copies[x] == 0 && !n.dead && !w.recs[n.id].unable {
			p.problem("stuck: %v was never acknowledged", x)
		}
	}
}

// split is a partition.
type split struct {
	from, to time.Duration // to: when all links across it are up again
	healed   bool
	minority map[wire.NodeID]bool
}

// crossed tells whether a client comes to a node from the other side, while both go on alone.
func (s *split) crossed(c *simClient, to wire.NodeID, now time.Duration) bool {
	return s.minority != nil && now > s.from && (now < s.to || !s.healed) && s.minority[c.hosts[len(c.hosts)-1]] != s.minority[to]
}

// longestDelay is how late a message may be at most without a partition: a stall and then a sleep, 2 s each. If it was published
// so long before one it may be caught in it.
const longestDelay = 4 * time.Second

// excuses: "not promised: order or completeness across a partition that outlasts detection", of a message from the other side of a
// node where the client has been.
func (s *split) excuses(at time.Duration, origin wire.NodeID, c *simClient) bool {
	return s.minority != nil && at > s.from-longestDelay && (at < s.to || !s.healed) && slices.ContainsFunc(c.hosts, func(h wire.NodeID) bool { return s.minority[h] != s.minority[origin] })
}
