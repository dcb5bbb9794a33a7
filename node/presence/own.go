package presence

import (
	"slices"

	"github.com/meshrt/meshrt/wire"
)

// own is the set of this node's sockets in a room that some node follows.
type own struct {
	set      *set
	whole    bool // all sockets that were there before are in it
	scanning bool // ... and are being looked for
	lacks    bool // some had no place in Config.MaxBytes: it is told to nobody
	watchers map[wire.NodeID]struct{}
	wants    map[wire.NodeID]uint64 // who is to be told all, and the version that it has
	jobs     []job
	base     uint64 // the version before pending
	pending  []numbered
}

// numbered is a change and the version that it makes.
type numbered struct {
	change
	version uint64
}

// job is a set on its way to a node, in parts. Changes go in between: a part has the
// entries of its ids that are there at its time, so whoever applies both has the whole.
type job struct {
	to  wire.NodeID
	ids []string // to go
	any bool     // some went
}

// track makes the own set of a room, if there is none.
func (m *Machine) track(t wire.Topic) *own {
	o := m.own[t]
	if o == nil {
		m.counter++
		o = &own{set: newSet(m.counter, 0), watchers: map[wire.NodeID]struct{}{}, wants: map[wire.NodeID]uint64{}}
		m.own[t] = o
		m.busy()
	}
	return o
}

// Unscanned are the rooms of which the owner is to Join all sockets that are there, and then
// to call Scanned. What joins and leaves from now on is to be told as well.
func (m *Machine) Unscanned() (list []wire.Topic) {
	for t, o := range m.own {
		if !o.scanning {
			o.scanning = true
			list = append(list, t)
		}
	}
	return list
}

// Expect says that about so many sockets of a room, which Unscanned has named, are going to Join.
func (m *Machine) Expect(t wire.Topic, count int) {
	if o := m.own[t]; o != nil && len(o.set.entries) == 0 {
		o.set.entries = make(map[string]Entry, min(count, maxHint))
	}
}

// Scanned says that all sockets of a room have been told.
func (m *Machine) Scanned(t wire.Topic) {
	if o := m.own[t]; o != nil && o.scanning && !o.lacks {
		o.whole = true
		m.dirty[t] = struct{}{}
	}
}

// Join says that a socket of this node is in a room. To say it twice is to say it once.
func (m *Machine) Join(t wire.Topic, e Entry) {
	o := m.own[t]
	if o == nil || !e.valid() {
		return
	}
	if _, is := o.set.entries[e.ID]; is {
		return
	}
	if m.bytes+e.cost() > m.cfg.MaxBytes {
		m.lack(t, o)
		return
	}
	m.put(o.set, e)
	m.note(t, o, change{Entry: e})
	if r := m.rooms[t]; r != nil {
		m.enter(t, r, m.cfg.Self, e)
	}
}

// Leave says that it is no more. With returns it may come back, on this or another node
// and with the same id.
func (m *Machine) Leave(t wire.Topic, id, reason string, returns bool) {
	o := m.own[t]
	if o == nil {
		return
	}
	e, was := m.cut(o.set, id)
	if !was {
		return
	}
	reason = reason[:min(len(reason), maxReason)]
	m.note(t, o, change{Entry: Entry{ID: id}, Left: true, Reason: reason, Returns: returns})
	if r := m.rooms[t]; r != nil {
		m.exit(t, r, m.cfg.Self, e, reason, returns)
	}
}

// lack says that the set is not all, as there is no place for more: who follows it is to know.
func (m *Machine) lack(t wire.Topic, o *own) {
	m.stats.Dropped++
	if o.lacks {
		return
	}
	o.lacks, o.whole, o.pending, o.jobs = true, false, nil, nil
	if r := m.rooms[t]; r != nil {
		r.version++
	}
	for id := range o.watchers {
		o.wants[id] = 0
		m.sayLacking(id, t)
	}
}

func (m *Machine) sayLacking(to wire.NodeID, t wire.Topic) {
	m.send(to, t.Namespace, frame{Kind: kindState, Rooms: []state{{Room: t.Room}}})
}

// refill has the own sets looked for anew that were too large, when there is place again.
func (m *Machine) refill() {
	if m.bytes > m.cfg.MaxBytes/10*9 {
		return
	}
	for _, o := range m.own {
		if o.lacks {
			o.lacks, o.scanning = false, false
		}
	}
}

// note gives the set its next version, and keeps the change for those that follow it.
func (m *Machine) note(t wire.Topic, o *own, c change) {
	m.counter++
	before := o.set.version
	o.set.version = m.counter
	if !o.whole || len(o.watchers) == 0 {
		o.pending = nil // those before this one are of no use without it
		return
	}
	m.changed[t] = struct{}{}
	if len(o.pending) == maxPending { // nobody sends them: all are told anew, once somebody does
		m.stats.Dropped += maxPending
		o.pending = nil
		for id := range o.watchers {
			o.wants[id] = 0
		}
	}
	if len(o.pending) == 0 {
		o.base = before
	}
	o.pending = append(o.pending, numbered{c, m.counter})
}

// wanted: a node follows a room from now on, of which it has the set of a version.
func (m *Machine) wanted(from wire.NodeID, t wire.Topic, version uint64) {
	if m.own[t] == nil && len(m.own) >= 2*m.cfg.MaxRooms {
		m.stats.Refused++
		return
	}
	o := m.track(t)
	o.watchers[from] = struct{}{}
	o.wants[from] = version
	m.dirty[t] = struct{}{}
	if o.lacks {
		m.sayLacking(from, t)
	}
}

func (o *own) unwant(id wire.NodeID) {
	delete(o.watchers, id)
	delete(o.wants, id)
	o.jobs = slices.DeleteFunc(o.jobs, func(j job) bool { return j.to == id })
}

// emit says what there is to say of an own set, one part to each that wants all of it. It
// tells whether there is more.
func (m *Machine) emit(t wire.Topic, o *own) (more bool) {
	if !o.whole {
		return false // Scanned comes, some time
	}
	m.emitDeltas(t, o)
	for id, known := range o.wants {
		delete(o.wants, id)
		o.jobs = slices.DeleteFunc(o.jobs, func(j job) bool { return j.to == id })
		if known == o.set.version {
			m.send(id, t.Namespace, frame{Kind: kindState, Rooms: []state{o.state(t)}})
			continue
		}
		j := job{to: id, ids: make([]string, 0, len(o.set.entries))}
		for e := range o.set.entries {
			j.ids = append(j.ids, e)
		}
		o.jobs = append(o.jobs, j)
		m.stats.Snapshots++
	}
	rest := o.jobs[:0]
	for _, j := range o.jobs {
		if m.emitPart(t, o, &j); len(j.ids) > 0 {
			rest = append(rest, j)
		}
	}
	clear(o.jobs[len(rest):])
	o.jobs = rest
	return len(rest) > 0
}

func (o *own) state(t wire.Topic) state {
	return state{Room: t.Room, Version: o.set.version, Sum: o.set.sum}
}

func (m *Machine) emitDeltas(t wire.Topic, o *own) {
	base, list := o.base, o.pending
	o.pending = nil
	if len(o.watchers) == 0 {
		return
	}
	for len(list) > 0 {
		f := frame{Kind: kindDelta, Room: t.Room, Base: base}
		for size := 0; len(list) > 0 && len(f.Changes) < partEntries && size < partBytes; list = list[1:] {
			f.Changes = append(f.Changes, list[0].change)
			size += list[0].Entry.cost() + len(list[0].Reason)
			f.Version = list[0].version
		}
		base = f.Version
		m.out.Send = append(m.out.Send, Send{Namespace: t.Namespace, Rooms: []string{t.Room}, Payload: f.encode()})
		m.stats.Deltas++
		m.deltas++
	}
}

func (m *Machine) emitPart(t wire.Topic, o *own, j *job) {
	f := frame{Kind: kindPart, Room: t.Room, Version: o.set.version, First: !j.any, Count: uint32(len(o.set.entries))}
	j.any = true
	for size := 0; len(j.ids) > 0 && len(f.Entries) < partEntries && size < partBytes; j.ids = j.ids[1:] {
		if e, ok := o.set.entries[j.ids[0]]; ok {
			f.Entries = append(f.Entries, e)
			size += e.cost()
		}
	}
	if len(j.ids) == 0 {
		f.Last, f.Sum = true, o.set.sum
	}
	m.send(j.to, t.Namespace, f)
}

// digest says what all own sets are that somebody follows.
func (m *Machine) digest() {
	list := map[string][]state{}
	for t, o := range m.own {
		if len(o.watchers) == 0 || !o.whole {
			continue
		}
		m.emitDeltas(t, o) // what is behind the state is in it
		list[t.Namespace] = append(list[t.Namespace], o.state(t))
	}
	m.sendRooms(kindState, list, func(namespace string, f frame) {
		var rooms []string
		for _, s := range f.Rooms {
			rooms = append(rooms, s.Room)
		}
		m.out.Send = append(m.out.Send, Send{Namespace: namespace, Rooms: rooms, Payload: f.encode()})
	})
}

// dropOwn lets go of own sets that nobody follows.
func (m *Machine) dropOwn() {
	for t, o := range m.own {
		if len(o.watchers) == 0 && m.rooms[t] == nil {
			m.free(o.set)
			delete(m.own, t)
			delete(m.dirty, t)
			delete(m.changed, t)
		}
	}
}
