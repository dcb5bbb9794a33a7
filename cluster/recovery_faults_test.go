package cluster

import (
	"slices"
	"time"

	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// sever cuts a link for a time, at the end of which each end has taken the other for dead if
// it was not dead or asleep.
func (w *world) sever(l *simLink, downs [2]bool, d time.Duration) {
	if !l.alive {
		return
	}
	l.alive = false
	l.gen++
	gen, ended := l.gen, 0
	for side := range 2 {
		id, other := l.ids[side], l.ids[1-side]
		w.on(id, w.between(time.Millisecond, 2500*time.Millisecond), func(n *simNode) {
			if l.up[side] {
				l.up[side] = false
				w.sim.linkDown(n, other)
			}
			if ended++; ended == 2 && gen == l.gen {
				w.after(max(0, w.between(d, d+time.Second)), func() { w.reconnect(l, gen) })
			}
		})
		if downs[side] {
			w.h.parted(id, other)
			w.on(id, w.between(3*time.Second, 6*time.Second), func(n *simNode) { w.sim.down(n, other) })
		}
	}
}

// freeze stops a node for so long that it is taken for dead.
func (w *world) freeze(n *simNode) {
	d := w.between(8*time.Second, 11*time.Second)
	n.paused = w.now + d
	w.p.suspected[n.id] = true
	for _, l := range w.sortedLinks() {
		side := l.side(n.id)
		if l.ids[side] == n.id {
			w.sever(l, [2]bool{side == 1, side == 0}, 0)
		}
	}
	w.leaveNode(n.id, 3*time.Second)
	w.after(d+6*time.Second, w.oneOwner)
}

// oneOwner looks for sessions that have two, some time after all nodes can talk again.
func (w *world) oneOwner() {
	owner := map[recovery.PID]wire.NodeID{}
	for _, n := range w.living() {
		for _, pid := range w.recs[n.id].x.Owned() {
			if owner[pid] != 0 {
				w.p.problem("two owners: session %s is at %v and %v", pid, owner[pid], n.id)
			}
			owner[pid] = n.id
		}
	}
}

// leaveNode has the clients of a node notice, in time, that it is of no use.
func (w *world) leaveNode(id wire.NodeID, within time.Duration) {
	for _, c := range w.clients {
		if k := c.conn; k != nil && k.rn.n.id == id {
			w.after(w.between(0, within), func() {
				if c.conn == k {
					w.hangUp(c, w.between(0, 2*time.Second))
				}
			})
		}
	}
}

// partition parts some nodes from the rest.
func (w *world) partition() {
	nodes := w.living()
	d := w.between(8*time.Second, 10*time.Second)
	w.split = split{from: w.now, minority: map[wire.NodeID]bool{}}
	for range 1 + w.r.IntN(2) {
		w.split.minority[nodes[w.r.IntN(len(nodes))].id] = true
	}
	for _, l := range w.sortedLinks() {
		if w.split.minority[l.ids[0]] != w.split.minority[l.ids[1]] {
			w.sever(l, [2]bool{true, true}, d-2500*time.Millisecond)
		}
	}
	w.after(d+6*time.Second, w.oneOwner)
}

// died is called for a node that is killed.
func (w *world) died(n *simNode) {
	w.leaveNode(n.id, 100*time.Millisecond)
}

// crash kills a node that acknowledged messages would not be lost with: of two that have them, one.
func (w *world) crash() {
	nodes := w.living()
	n := nodes[w.r.IntN(len(nodes))]
	for _, other := range nodes {
		if _, whole := w.recs[other.id].x.Kept(n.id); whole && other != n {
			w.lastWords(n, other.id)
			w.after(w.between(0, 300*time.Millisecond), func() { w.kill(n, 1<<20) })
			return
		}
	}
	w.after(100*time.Millisecond, func() { w.strike(w.crash) })
}

// lastWords are messages of a node that reach its mirror, and not all others.
func (w *world) lastWords(n *simNode, mirror wire.NodeID) {
	for _, l := range w.sortedLinks() {
		side := l.side(n.id)
		if other := l.ids[1-side]; l.ids[side] == n.id && other != mirror && w.r.IntN(2) == 0 {
			l.last[1-side] = max(l.last[1-side], w.now+time.Second)
		}
	}
	for range 8 {
		w.publish(w.recs[n.id], &wire.Message{Envelope: &wire.Envelope{}, Payload: []byte(`["e"]`)})
	}
}

// bereave parts a node from one other for so long that each takes the other for dead, and kills it around then. Often
// the other one mirrors it, and it is about to choose another.
func (w *world) bereave() {
	links := w.sortedLinks()
	l := links[w.r.IntN(len(links))]
	n := w.nodes[l.ids[w.r.IntN(2)]]
	for _, o := range links {
		side := w.r.IntN(2)
		if _, whole := w.recs[o.ids[1-side]].x.Kept(o.ids[side]); whole && w.r.IntN(2) == 0 {
			l, n = o, w.nodes[o.ids[side]]
		}
	}
	w.p.suspected[l.ids[0]], w.p.suspected[l.ids[1]] = true, true
	w.sever(l, [2]bool{true, true}, 12*time.Second)
	w.after(w.between(3*time.Second, 10*time.Second), func() { w.kill(n, 1<<20) })
}

// crowd starts a node, which some others choose for their mirror, and kills one of those in the midst of that, while
// it does not get through to the new one.
func (w *world) crowd() {
	w.start(1 << 20)
	newcomer, over := w.next, w.now+3*time.Second
	var watch func()
	watch = func() {
		for _, n := range w.living() {
			if !slices.Contains(w.recs[n.id].x.Changing(), newcomer) {
				continue
			}
			l := w.links[[2]wire.NodeID{n.id, newcomer}]
			l.last[1] = max(l.last[1], w.now+time.Second)
			for range 5 {
				w.publish(w.recs[n.id], &wire.Message{Envelope: &wire.Envelope{}, Payload: []byte(`["e"]`)})
			}
			w.after(w.between(5*time.Millisecond, 100*time.Millisecond), func() { w.kill(n, 1<<20) })
			return
		}
		if w.now < over {
			w.after(time.Millisecond, watch)
		}
	}
	watch()
}

// ambush kills a node to which a client has just come back. Nobody must be refused for that.
func (w *world) ambush() {
	w.p.onBack = func(rn *recNode) {
		w.p.onBack = nil
		w.p.strict = true
		w.after(w.between(0, 5*time.Millisecond), func() {
			if !rn.n.dead {
				w.kill(rn.n, 1<<20)
			}
		})
	}
}

// stranger starts a node that has no recovery, and publishes.
func (w *world) stranger() {
	w.unable = true
	w.start(1 << 20)
	id := w.next
	var act func()
	act = func() {
		w.on(id, w.between(20*time.Millisecond, 200*time.Millisecond), func(n *simNode) {
			w.publish(w.recs[id], &wire.Message{Envelope: &wire.Envelope{Flags: priorities[w.r.IntN(3)]}, Payload: []byte(`["e"]`)})
			if !w.calm {
				act()
			}
		})
	}
	act()
}

// rejoin has a client join a room while a node that has published to it cannot be asked for a barrier, and another one
// when it can. Nobody else says anything meanwhile, so that only a barrier says where the room begins for the second.
func (w *world) rejoin() {
	var a, b *simClient
	for _, c := range w.clients {
		switch {
		case !c.up || c.conn == nil:
		case a == nil:
			a = c
		case b == nil && c.host() == a.host():
			b = c
		}
	}
	if b == nil {
		w.after(50*time.Millisecond, func() { w.strike(w.rejoin) })
		return
	}
	links := slices.DeleteFunc(w.sortedLinks(), func(l *simLink) bool { return !slices.Contains(l.ids[:], a.host()) || !w.inOrder(l) })
	if len(links) == 0 {
		w.after(50*time.Millisecond, func() { w.strike(w.rejoin) })
		return
	}
	l := links[w.r.IntN(len(links))]
	w.hush = true
	w.after(9*time.Second, func() { w.hush = false })
	other := w.nodes[l.ids[1-l.side(a.host())]]
	for _, p := range priorities {
		w.publish(w.recs[other.id], &wire.Message{Envelope: &wire.Envelope{Rooms: []string{"late"}, Flags: p}, Payload: []byte(`["e"]`)})
	}
	w.after(100*time.Millisecond, func() { w.sever(l, [2]bool{}, time.Second) })
	w.after(2700*time.Millisecond, func() { w.joinIf(a, "late") })
	until := w.now + 8*time.Second
	w.when(until, func() bool { return a.rooms["late"] != nil && a.rooms["late"].acked && w.inOrder(l) }, func() {
		w.joinIf(b, "late")
		w.when(until, func() bool { return b.rooms["late"] != nil && b.rooms["late"].acked }, func() { w.hangUp(b, 10*time.Millisecond) })
	})
}

func (w *world) joinIf(c *simClient, room string) {
	if c.up && c.conn != nil {
		w.joinRoom(c, room)
	}
}

// when does something once it can, if that is soon.
func (w *world) when(until time.Duration, can func() bool, then func()) {
	if can() {
		then()
	} else if w.now < until {
		w.after(20*time.Millisecond, func() { w.when(until, can, then) })
	}
}

// retire has a node leave in order.
func (w *world) retire() {
	nodes := w.living()
	n := nodes[w.r.IntN(len(nodes))]
	if !w.recs[n.id].unable {
		w.retireNode(n, func() {})
	}
}

// retireNode has one leave, and calls then when it has.
func (w *world) retireNode(n *simNode, then func()) {
	rn := w.recs[n.id]
	rn.draining = true
	w.drive(rn, rn.x.Drain)
	w.leaveNode(n.id, time.Second)
	var wait func()
	wait = func() {
		if len(rn.sessions) == 0 && rn.x.Drained() {
			w.kill(n, 1<<20)
			then()
			return
		}
		w.after(50*time.Millisecond, wait)
	}
	w.after(time.Second, wait)
}

// smallFaults are those that nobody is taken for dead for.
func (w *world) smallFault() {
	nodes, links := w.living(), w.sortedLinks()
	if len(nodes) == 0 || len(links) == 0 {
		return
	}
	switch l := links[w.r.IntN(len(links))]; w.r.IntN(3) {
	case 0:
		if l.alive && l.up[0] && l.up[1] {
			w.cut(l, false)
		}
	case 1:
		side := w.r.IntN(2)
		l.last[side] = max(l.last[side], w.now+w.between(50*time.Millisecond, 2*time.Second))
	case 2:
		n := nodes[w.r.IntN(len(nodes))]
		d := w.between(10*time.Millisecond, 2*time.Second)
		n.paused = w.now + d
	}
}
