package cluster

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// simClient is a client. What it knows of its session is what it was told.
type simClient struct {
	id     int
	pid    recovery.PID // "" it has no session
	sid    string
	cursor recovery.Cursor
	rooms  map[string]*simRoom
	conn   *simConn
	up     bool
	since  time.Duration // when it last was, or began
	asked  time.Duration // for a new session
	hosts  []wire.NodeID // where its session has been
	begun  bool          // it was served before mirrors had its session
	over   int           // how often its session has gone to the other side of a partition
	overAt time.Duration
}

// simRoom is what a client knows of a room.
type simRoom struct {
	asked  time.Duration
	hosts  []wire.NodeID // where it asked; the last answer it may not have heard
	acked  bool
	ackAt  time.Duration
	left   bool // it has asked to leave
	gone   bool // ... and that is acknowledged
	goneAt time.Duration
}

// simConn is a connection of a client with a node. Both notice its end when they do.
type simConn struct {
	c        *simClient
	rn       *recNode
	broken   bool // nothing gets through
	toNode   time.Duration
	toClient time.Duration
}

func (w *world) toClient(k *simConn, word func(*simClient)) {
	if k == nil || k.broken {
		return
	}
	k.toClient = max(k.toClient, w.now+w.between(100*time.Microsecond, 10*time.Millisecond))
	w.after(k.toClient-w.now, func() {
		if k.c.conn == k && !k.broken {
			word(k.c)
		}
	})
}

func (w *world) toNode(k *simConn, word func(*recNode)) {
	k.toNode = max(k.toNode, w.now+w.between(100*time.Microsecond, 10*time.Millisecond))
	w.on(k.rn.n.id, k.toNode-w.now, func(*simNode) {
		if !k.broken {
			word(k.rn)
		}
	})
}

// connect goes to any node, with what the client has of a session.
func (w *world) connect(c *simClient) {
	nodes := slices.DeleteFunc(w.living(), func(n *simNode) bool { return w.recs[n.id].draining || w.recs[n.id].unable || !n.core.settled })
	if len(nodes) == 0 {
		w.after(100*time.Millisecond, func() { w.connect(c) })
		return
	}
	rn := w.recs[nodes[w.r.IntN(len(nodes))].id]
	k := &simConn{c: c, rn: rn}
	c.conn, c.up = k, false
	pid, cursor := c.pid, c.cursor
	c.asked = w.now
	w.toNode(k, func(rn *recNode) {
		if pid == "" {
			w.open(rn, k)
		} else {
			w.recover(rn, k, pid, cursor)
		}
	})
	w.after(13*time.Second, func() {
		if c.conn == k && !c.up {
			w.hangUp(c, w.between(giveUpDelay, time.Second))
		}
	})
}

// hangUp breaks a client's connection without a word, and has it come back.
func (w *world) hangUp(c *simClient, away time.Duration) {
	if k := c.conn; k != nil {
		k.broken, c.conn, c.up = true, nil, false
		c.since = w.now
		w.on(k.rn.n.id, w.between(0, 500*time.Millisecond), func(*simNode) { w.noticed(k) })
	}
	w.after(away, func() {
		if c.conn == nil {
			w.connect(c)
		}
	})
}

// noticed is the end of a connection at its node.
func (w *world) noticed(k *simConn) {
	rn := k.rn
	for _, s := range slices.Clone(rn.sessions) {
		if s.conn == k {
			w.remove(rn, s)
			w.drive(rn, func() { rn.x.Lost(s.rec.PID) })
		}
	}
	for pid, other := range rn.waiting {
		if other == k {
			w.drive(rn, func() { rn.x.Cancel(pid) })
			w.forget(rn, pid)
		}
	}
}

func (w *world) remove(rn *recNode, s *nodeSession) {
	i := slices.Index(rn.sessions, s)
	if i < 0 {
		return
	}
	rn.sessions = slices.Delete(rn.sessions, i, i+1)
	for _, room := range slices.Sorted(maps.Keys(s.rooms)) {
		w.unwant(rn, room)
	}
}

// forget ends what was done for a client that waits.
func (w *world) forget(rn *recNode, pid recovery.PID) {
	delete(rn.waiting, pid)
	s := rn.arriving[pid]
	if s == nil {
		return
	}
	delete(rn.arriving, pid)
	for _, room := range slices.Sorted(maps.Keys(s.rooms)) {
		w.unwant(rn, room)
	}
}

func (w *world) open(rn *recNode, k *simConn) {
	w.conns++
	pid, sid := recovery.PID(fmt.Sprint("p", w.conns)), fmt.Sprint("s", w.conns)
	s := &nodeSession{rec: recovery.Record{PID: pid, SID: sid}, rooms: map[string]bool{}, conn: k, held: true, joined: map[string]bool{}}
	rn.sessions = append(rn.sessions, s)
	w.drive(rn, func() { rn.x.Open(pid, sid, "/", "u") })
	left := 2
	for _, room := range []string{"", sid} {
		s.rooms[room] = true
		w.want(rn, room, func() {
			if !slices.Contains(rn.sessions, s) {
				return
			}
			w.drive(rn, func() { rn.x.Join(pid, room) })
			if left--; left == 0 {
				w.on(rn.n.id, w.between(0, keepPatience), func(*simNode) { w.begin(rn, s) })
			}
		})
	}
}

// keepPatience is how long a new session waits for its mirrors at most.
const keepPatience = 500 * time.Millisecond

// begin serves a client whose session waits for its mirrors.
func (w *world) begin(rn *recNode, s *nodeSession) {
	if slices.Contains(rn.sessions, s) && s.joined != nil {
		w.p.begun++
		w.drive(rn, func() { rn.x.Begin(s.rec.PID) })
		w.answer(s)
		w.toClient(s.conn, func(c *simClient) { c.begun = true })
	}
}

func (w *world) answer(s *nodeSession) {
	s.joined = nil
	w.release(s, func(c *simClient) { w.welcome(c, s.rec.PID, s.rec.SID) })
}

func (w *world) joinAt(rn *recNode, s *nodeSession, room string) {
	if s.rooms[room] {
		w.drive(rn, func() { rn.x.Join(s.rec.PID, room) })
		return
	}
	s.rooms[room] = true
	w.want(rn, room, func() {
		if slices.Contains(rn.sessions, s) && s.rooms[room] {
			w.drive(rn, func() { rn.x.Join(s.rec.PID, room) })
		}
	})
}

func (w *world) recover(rn *recNode, k *simConn, pid recovery.PID, cursor recovery.Cursor) {
	if rn.waiting[pid] != nil {
		w.drive(rn, func() { rn.x.Cancel(pid) })
		w.forget(rn, pid)
	}
	rn.waiting[pid] = k
	w.drive(rn, func() { rn.x.Recover(pid, cursor) })
}

func (rn *recNode) session(pid recovery.PID) *nodeSession {
	for _, s := range rn.sessions {
		if s.rec.PID == pid {
			return s
		}
	}
	return nil
}

func (w *world) applySession(rn *recNode, e recovery.Effect) {
	switch e := e.(type) {
	case recovery.Joined:
		if s := rn.session(e.PID); s != nil {
			w.joinedAt(rn, s, e.Room)
		}
	case recovery.Left:
		if s := rn.session(e.PID); s != nil {
			w.tell(s, func(c *simClient) { c.leftRoom(e.Room, w.now) })
		}
	case recovery.Arrive:
		w.arrive(rn, e.Record)
	case recovery.Admit:
		w.admit(rn, e)
	case recovery.Recovered:
		w.recovered(rn, e.PID)
	case recovery.Refused:
		k := rn.waiting[e.PID]
		w.forget(rn, e.PID)
		w.p.refusals[e.Reason]++
		strict := w.p.strict && e.Reason == "the cursor is too old" && w.cfg.LogBytes == 0 && w.cfg.OrderEntries == 0 && w.cfg.Window > 10*time.Second
		w.toClient(k, func(c *simClient) {
			if slices.Contains(w.owed, c) && !c.begun { // who was served early is not promised to come back
				w.p.problem("refused: session %s at %v, as %s, though no node has failed", e.PID, w.now, e.Reason)
			}
			if strict && !c.begun {
				w.p.problem("refused: session %s at %v, though one node has died at a time", e.PID, w.now)
			}
			w.refused(c, k)
		})
	case recovery.Close:
		if s := rn.session(e.PID); s != nil {
			w.remove(rn, s)
			s.held = false
			w.toClient(s.conn, func(c *simClient) { w.hangUp(c, w.between(0, 300*time.Millisecond)) })
		}
	}
}

func (w *world) joinedAt(rn *recNode, s *nodeSession, room string) {
	if s.joined != nil && (room == "" || room == s.rec.SID) {
		if s.joined[room] = true; len(s.joined) == 2 {
			w.answer(s)
		}
		return
	}
	w.tell(s, func(c *simClient) {
		if r := c.rooms[room]; r != nil && !r.left {
			r.acked, r.ackAt = true, w.now
		}
	})
}

func (w *world) arrive(rn *recNode, rec recovery.Record) {
	k := rn.waiting[rec.PID]
	w.p.arriving(w, rec.PID)
	s := &nodeSession{rec: rec, rooms: map[string]bool{}, conn: k, held: true}
	rn.arriving[rec.PID] = s
	left := len(rec.Rooms)
	for _, room := range slices.Sorted(maps.Keys(rec.Rooms)) {
		s.rooms[room] = true
		w.want(rn, room, func() {
			if left--; left == 0 && rn.arriving[rec.PID] == s {
				w.drive(rn, func() { rn.x.Arrived(rec.PID) })
			}
		})
	}
}

func (w *world) admit(rn *recNode, e recovery.Admit) {
	s := rn.arriving[e.Record.PID]
	delete(rn.arriving, e.Record.PID)
	s.admit = e
	if n := len(e.Replay); n > 0 {
		s.last = e.D + uint64(n)
	}
	rn.sessions = append(rn.sessions, s)
}

func (w *world) recovered(rn *recNode, pid recovery.PID) {
	delete(rn.waiting, pid)
	s := rn.session(pid)
	if s == nil {
		return
	}
	answer := s.queue
	s.queue = nil
	w.release(s, func(c *simClient) { w.back(c, rn) })
	for i, m := range s.admit.Replay {
		cursor := recovery.Cursor{Node: rn.n.id, D: s.admit.D + 1 + uint64(i)}
		w.toClient(s.conn, func(c *simClient) { w.p.replayed++; w.p.got(w, c, m, cursor) })
	}
	for _, word := range answer {
		w.toClient(s.conn, word)
	}
}

// release answers a client, and then tells it what has come meanwhile.
func (w *world) release(s *nodeSession, answer func(*simClient)) {
	s.held = false
	w.toClient(s.conn, answer)
	for _, word := range s.queue {
		w.toClient(s.conn, word)
	}
	s.queue = nil
}

// What clients do when they are told something.

func (w *world) welcome(c *simClient, pid recovery.PID, sid string) {
	c.pid, c.sid, c.cursor, c.up, c.since, c.begun, c.over = pid, sid, recovery.Cursor{}, true, w.now, false, 0
	c.hosts = []wire.NodeID{c.conn.rn.n.id}
	c.rooms = map[string]*simRoom{"": {asked: c.asked, hosts: c.hosts, acked: true, ackAt: w.now}}
	w.p.fresh++
}

func (w *world) back(c *simClient, rn *recNode) {
	c.up, c.since = true, w.now
	if w.split.crossed(c, rn.n.id, w.now) { // "not promised: a join or leave acknowledged on a side without the old mirrors"
		for _, r := range c.rooms {
			r.acked = r.acked && r.ackAt < w.split.from
			r.gone = r.gone && r.goneAt < w.split.from
		}
		w.p.changed(c)
		c.over, c.overAt = c.over+1, w.now
	}
	c.hosts = append(c.hosts, rn.n.id)
	w.p.recovered++
	if w.p.onBack != nil {
		w.p.onBack(rn)
	}
	for _, room := range slices.Sorted(maps.Keys(c.rooms)) { // what it was not told, it asks again
		if r := c.rooms[room]; r.left && !r.gone {
			w.leaveRoom(c, room)
		} else if !r.left && !r.acked {
			w.joinRoom(c, room)
		}
	}
}

func (w *world) refused(c *simClient, k *simConn) {
	w.p.forget(c)
	c.pid, c.rooms, c.asked = "", nil, w.now
	w.toNode(k, func(rn *recNode) { w.open(rn, k) })
}

func (c *simClient) leftRoom(room string, now time.Duration) {
	if r := c.rooms[room]; r != nil && r.left {
		r.gone, r.goneAt = true, now
	}
}

func (w *world) joinRoom(c *simClient, room string) {
	if r := c.rooms[room]; r == nil || r.gone {
		c.rooms[room] = &simRoom{asked: w.now, hosts: []wire.NodeID{c.conn.rn.n.id}}
	} else if r.left || r.acked {
		return
	} else {
		r.hosts = append(r.hosts, c.conn.rn.n.id)
	}
	w.p.changed(c)
	k := c.conn
	w.toNode(k, func(rn *recNode) {
		if s := rn.session(c.pid); s != nil && s.conn == k {
			w.joinAt(rn, s, room)
		}
	})
}

func (w *world) leaveRoom(c *simClient, room string) {
	c.rooms[room].left = true
	w.p.changed(c)
	k := c.conn
	w.toNode(k, func(rn *recNode) {
		s := rn.session(c.pid)
		if s == nil || s.conn != k {
			return
		}
		if s.rooms[room] {
			delete(s.rooms, room)
			w.unwant(rn, room)
		}
		w.drive(rn, func() { rn.x.Leave(c.pid, room) })
	})
}

// giveUpDelay is what a client takes for another connection at least. It is longer than the way to a node may be, or the node
// of the one before would take that for the later.
const giveUpDelay = 15 * time.Millisecond

func (w *world) clientAct(c *simClient) {
	if w.hush {
		return
	}
	if !c.up {
		if c.conn != nil && w.r.IntN(8) == 0 {
			w.hangUp(c, w.between(giveUpDelay, 3*giveUpDelay)) // it tries another one
		}
		return
	}
	room := recRooms[w.r.IntN(len(recRooms))]
	switch k := w.r.IntN(100); {
	case k < 70:
		m := &wire.Message{Envelope: &wire.Envelope{Rooms: []string{room}, Flags: priorities[w.r.IntN(3)]}, Payload: []byte(`["e"]`)}
		switch w.r.IntN(8) {
		case 0:
			m.Rooms = nil
		case 1:
			m.Rooms = recRooms[:2]
		case 2:
			m.Flags |= wire.Volatile
		case 3, 4:
			m.Except = []string{c.sid}
		case 5:
			m.Except = []string{recRooms[3]}
		}
		w.toNode(c.conn, func(rn *recNode) { w.publish(rn, m) })
	case k < 82:
		w.joinRoom(c, room)
	case k < 88:
		if r := c.rooms[room]; r != nil && r.acked && !r.left {
			w.leaveRoom(c, room)
		}
	default:
		away := w.between(time.Millisecond, 800*time.Millisecond)
		if w.r.IntN(10) == 0 {
			away = w.between(time.Second, 6*time.Second)
		}
		w.hangUp(c, away)
	}
}

var recRooms = []string{"r0", "r1", "r2", "r3"}
