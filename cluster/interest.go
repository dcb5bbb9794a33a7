package cluster

import (
	"cmp"
	"slices"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// wait is somebody who wants to know when the interest of a version is in force.
type wait struct {
	version uint64
	done    func()
}

// change is when the own interest got a version.
type change struct {
	version uint64
	at      time.Duration
}

// changed notes a new version. Changes that everybody has had long enough to
// acknowledge are forgotten.
func (c *core) changed() {
	c.version++
	c.changes = append(c.changes, change{c.version, c.now})
	n := 0
	for c.now-c.changes[n].at > 2*c.timing.withhold {
		n++
	}
	c.changes = c.changes[n:]
}

// after is when the first change behind a version was; 1 is long ago, 0 never.
func (c *core) after(version uint64) time.Duration {
	if version >= c.version {
		return 0
	}
	i, ok := slices.BinarySearchFunc(c.changes, version+1, func(x change, v uint64) int { return cmp.Compare(x.version, v) })
	if !ok {
		return 1
	}
	return c.changes[i].at
}

// setInterest says that the first local member of t came or the last one left,
// and gives the version that a join must see in force. Saying the same twice
// is a programmer's error that costs a version, nothing else.
func (c *core) setInterest(t wire.Topic, on bool) uint64 {
	c.changed()
	if on {
		c.say(t)
	} else {
		c.unsay(t)
	}
	frame := wire.AppendInterest(nil, wire.Interest{Version: c.version, On: on, Topic: t})
	for id, p := range c.peers {
		if !p.linked {
			continue
		}
		if p.lease.behindSince == 0 {
			p.lease.behindSince = c.now
		}
		if p.opening != nil {
			p.opening.later = append(p.opening.later, frame)
			continue
		}
		c.send(id, frame)
	}
	return c.version
}

// whenInForce calls done when no message can be missed through the interest of
// version any more: every peer has acknowledged it, or trusts none of it.
func (c *core) whenInForce(version uint64, done func()) {
	if c.inForce(version) {
		c.effects = append(c.effects, effect{done: done})
		return
	}
	i := len(c.waits)
	for i > 0 && c.waits[i-1].version > version {
		i--
	}
	c.waits = slices.Insert(c.waits, i, wait{version, done})
	c.hurry()
}

func (c *core) inForce(version uint64) bool {
	return c.breaks(breakJoinAtOnce) || c.settled && version <= c.floor()
}

// floor is the version that is in force at every peer that must have it.
func (c *core) floor() uint64 {
	floor := c.version
	for _, p := range c.peers {
		if c.needs(p) {
			floor = min(floor, p.acked)
		}
	}
	return floor
}

// needs tells whether a join has to wait for the acknowledgement of p: it was
// promised so, or there is a link and p may not know yet that there is this node, so
// that it keeps nothing for it. Without a promise p trusts nothing that it knows of this
// node, and keeps for it what it publishes.
func (c *core) needs(p *peer) bool {
	if p.linked && !p.heard && !c.breaks(breakConfirm) {
		return true
	}
	return c.now < p.lease.promisedUntil && (p.linked || !c.breaks(breakPromiseOfCut))
}

// settle says that the node is linked to the cluster that it started into, or
// has waited long enough. A join that was acknowledged before would promise
// messages of nodes that have not heard of it.
func (c *core) settle() {
	c.settled = true
	c.progress()
}

func (c *core) progress() {
	if !c.settled || len(c.waits) == 0 {
		return
	}
	floor := c.floor()
	for len(c.waits) > 0 && c.waits[0].version <= floor {
		c.effects = append(c.effects, effect{done: c.waits[0].done})
		c.waits[0] = wait{}
		c.waits = c.waits[1:] // not shifted: there may be very many
	}
}

// interest takes one change of a peer's interest. Changes that the last SYNC
// contains already are only acknowledged.
func (c *core) interest(id wire.NodeID, i wire.Interest) {
	p := c.peer(id)
	if !p.synced {
		return // cannot be: SYNC is the first frame of a link
	}
	if i.Version > p.version {
		p.version = i.Version
		if i.On {
			p.topics[i.Topic] = struct{}{}
		} else {
			delete(p.topics, i.Topic)
		}
		c.doubt(p)
	}
	c.send(id, wire.AppendNumber(nil, wire.KindIntAck, p.version))
}

// doubt notes that the peer's interest is another: what waits for it has to be looked at
// before it is sent.
func (c *core) doubt(p *peer) {
	p.looked = 0
	for k := range p.streams {
		p.streams[k].out.unsure = c.logs.of[k].last()
	}
}

// intAck: the peer has this version of the own interest in force.
func (c *core) intAck(id wire.NodeID, version uint64) {
	p := c.peer(id)
	if !p.linked || version < p.acked {
		return
	}
	p.acked = version
	p.lease.behindSince = c.after(version)
	c.progress()
}

// wants tells whether m is for the peer. The last answer is kept for the messages of its run.
func (p *peer) wants(m *wire.Message, run uint64) bool {
	if run == 0 {
		return p.hasAny(p.id, m.Namespace, m.Rooms)
	}
	if run != p.looked {
		p.looked, p.found = run, p.hasAny(p.id, m.Namespace, m.Rooms)
	}
	return p.found
}

// wanted is wants for a frame of the log, of which nothing is kept.
func (c *core) wanted(id wire.NodeID, p *peer, frame []byte) bool {
	namespace, rooms, err := wire.DataTarget(wire.Frame(frame[4:]), c.rooms[:0])
	c.rooms = rooms
	if err == nil && len(rooms) == 1 && c.writer.IsFor(p.looked, namespace, rooms[0]) {
		return p.found
	}
	return p.hasAny(id, namespace, rooms)
}

// hasAny tells whether the peer has members of a room, or is the node of a session that is
// named. No rooms are everyone in the namespace.
func (p *peer) hasAny(id wire.NodeID, namespace string, rooms []string) bool {
	if len(rooms) == 0 {
		_, ok := p.topics[wire.Topic{Namespace: namespace}]
		return ok
	}
	for _, r := range rooms {
		if _, ok := p.topics[wire.Topic{Namespace: namespace, Room: r}]; ok || wire.SessionID(r).Node() == id {
			return true
		}
	}
	return false
}
