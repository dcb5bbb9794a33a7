package cluster_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// recoveryNode is what a node is to a Cluster and a recovery.Machine: it owns the machine and has sessions. It checks that
// what it hears of other nodes has the order that is promised.
type recoveryNode struct {
	*member
	t    *testing.T
	born time.Time

	mu       sync.Mutex // above those of the cluster
	x        *recovery.Machine
	sessions map[recovery.PID]*recoverySession
	rooms    map[string]int // members
	acked    map[uint64]int // copies, by number in the normal stream
	later    []func()       // with the lock free
	heard    []string       // of nodes
	states   map[wire.NodeID]nodeState
}

// recoverySession is one with its client, who keeps what it gets.
type recoverySession struct {
	rooms   map[string]bool
	got     []string
	cursor  recovery.Cursor
	joined  map[string]bool
	outcome string // of its recovery
}

// nodeState is what was heard of a node last.
type nodeState struct{ member, linked, able bool }

func newRecoveryNode(t *testing.T, id wire.NodeID) *recoveryNode {
	n := &recoveryNode{t: t, born: time.Now(), sessions: map[recovery.PID]*recoverySession{}, rooms: map[string]int{}, acked: map[uint64]int{}, states: map[wire.NodeID]nodeState{}}
	n.x = recovery.New(recovery.Config{ID: id, Wants: n.wants})
	return n
}

// recovering is together for nodes with recovery, but for those that are off.
func recovering(t *testing.T, count int, off func(i int) bool, f func(t *testing.T, net *clustertest.Network, m []*member)) {
	together(t, count, func(i int, cfg *cluster.Config) {
		if off == nil || !off(i) {
			cfg.Recovery = newRecoveryNode(t, cfg.ID)
		}
	}, func(t *testing.T, net *clustertest.Network, m []*member) {
		stop := make(chan struct{})
		var ticks sync.WaitGroup
		for _, m := range m {
			if m.rec != nil {
				ticks.Go(func() { m.rec.ticks(stop) })
			}
		}
		time.Sleep(3 * time.Second)
		f(t, net, m)
		close(stop)
		ticks.Wait()
	})
}

func (n *recoveryNode) ticks(stop <-chan struct{}) {
	t := time.NewTicker(recovery.TickEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			n.drive(func() { n.x.Tick(); n.x.Unsent(0) })
		case <-stop:
			return
		}
	}
}

// drive makes a call on the machine and does what comes of it, all under one hold of the lock.
func (n *recoveryNode) drive(call func()) {
	n.mu.Lock()
	n.x.At(1 + time.Since(n.born))
	call()
	for effects := n.x.Take(); len(effects) > 0; effects = n.x.Take() {
		for _, e := range effects {
			n.apply(e)
		}
	}
	later := n.later
	n.later = nil
	n.mu.Unlock()
	n.Flush()
	for _, f := range later {
		f()
	}
}

func (n *recoveryNode) apply(e recovery.Effect) {
	switch e := e.(type) {
	case recovery.Send:
		n.SendFrame(e.To, e.Frame)
	case recovery.Barrier:
		for _, p := range []wire.Flags{wire.High, 0, wire.Low} {
			n.Publish(wire.NewRound(e.To, p, e.Round))
		}
	case recovery.Supply:
		if n.Supply(e.Message) {
			n.hand(e.Message)
		}
	case recovery.Completed:
		n.Skip(e.Origin, e.Heads)
		n.x.Reached(e.Origin, e.Heads)
	case recovery.Skip:
		n.Skip(e.Origin, e.Heads)
	case recovery.Acked:
		n.acked[e.Seq] = e.Copies
	case recovery.Joined:
		n.sessions[e.PID].joined[e.Room] = true
	case recovery.Arrive:
		n.arrive(e.Record)
	case recovery.Admit:
		s := n.sessions[e.Record.PID]
		for i, m := range e.Replay {
			s.got, s.cursor = append(s.got, string(m.Payload)), recovery.Cursor{Node: n.ID(), D: e.D + 1 + uint64(i)}
		}
		s.rooms = map[string]bool{}
		for room := range e.Record.Rooms {
			s.rooms[room] = true
		}
	case recovery.Recovered:
		n.sessions[e.PID].outcome = "recovered"
	case recovery.Refused:
		n.sessions[e.PID].outcome = e.Reason
	}
}

// wants is for this node's own sessions too.
func (n *recoveryNode) wants(id wire.NodeID, m *wire.Message) bool {
	if id != n.ID() {
		return n.MayWant(id, m)
	}
	return slices.ContainsFunc(slices.Collect(maps.Values(n.sessions)), func(s *recoverySession) bool { return s.gets(m) })
}

func (s *recoverySession) gets(m *wire.Message) bool {
	return slices.ContainsFunc(m.Rooms, func(r string) bool { return s.rooms[r] })
}

func (n *recoveryNode) hand(m *wire.Message) {
	cursor := n.x.Handed(m)
	for _, s := range n.sessions {
		if s.gets(m) {
			s.got, s.cursor = append(s.got, string(m.Payload)), cursor
		}
	}
}

func (n *recoveryNode) messages(list []*wire.Message) {
	n.drive(func() {
		for _, m := range list {
			if !n.states[m.Origin].linked {
				n.t.Errorf("node %d has a message of node %d without a link", n.ID(), m.Origin)
			}
			if round, is := wire.RoundOf(m); is {
				n.x.Passed(recovery.RefOf(m), round)
			} else {
				n.hand(m)
			}
		}
	})
}

// say publishes to a room.
func (n *recoveryNode) say(room, text string) {
	n.drive(func() {
		m := wire.NewMessage(wire.Envelope{Namespace: "/", Rooms: []string{room}}, []byte(text))
		n.Publish(m)
		n.x.Published(m)
		n.hand(m)
	})
}

// connect opens a session in a room.
func (n *recoveryNode) connect(pid recovery.PID, room string) {
	sid := string(wire.NewSessionID(n.ID()))
	n.drive(func() {
		n.sessions[pid] = &recoverySession{rooms: map[string]bool{"": true, room: true, sid: true}, joined: map[string]bool{}}
		n.x.Open(pid, sid, "/", "")
		for _, r := range []string{"", room, sid} {
			n.enter(r, func() { n.x.Join(pid, r) })
		}
	})
}

// enter raises the interest in a room and calls done, under the lock, when it is in force.
func (n *recoveryNode) enter(room string, done func()) {
	n.rooms[room]++
	var version uint64
	if n.rooms[room] == 1 {
		version = n.SetInterest(wire.Topic{Namespace: "/", Room: room}, true)
	}
	n.later = append(n.later, func() { n.WhenInForce(version, func() { n.drive(done) }) })
}

// back has the client of a session come with its cursor.
func (n *recoveryNode) back(pid recovery.PID, c recovery.Cursor) {
	n.drive(func() {
		n.sessions[pid] = &recoverySession{joined: map[string]bool{}}
		n.x.Recover(pid, c)
	})
}

func (n *recoveryNode) arrive(rec recovery.Record) {
	left := len(rec.Rooms)
	for room := range rec.Rooms {
		n.enter(room, func() {
			if left--; left == 0 {
				n.x.Arrived(rec.PID)
			}
		})
	}
}

// session is how one is now; its maps are not to be read while it changes.
func (n *recoveryNode) session(pid recovery.PID) recoverySession {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := *n.sessions[pid]
	s.got = slices.Clone(s.got)
	return s
}

func (n *recoveryNode) acks() map[uint64]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.acked)
}

func (n *recoveryNode) news() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.heard)
}

// hears notes what is heard of a node, and that it may be.
func (n *recoveryNode) hears(id wire.NodeID, what string, may func(s nodeState) bool, then func(s *nodeState), call func()) {
	n.drive(func() {
		s := n.states[id]
		if !may(s) {
			n.t.Errorf("node %d hears that node %d is %s, which is %+v", n.ID(), id, what, s)
		}
		then(&s)
		n.states[id] = s
		n.heard = append(n.heard, fmt.Sprintf("%d %s", id, what))
		call()
	})
}

func (n *recoveryNode) Member(id wire.NodeID, met wire.Frontiers) {
	n.hears(id, "member", func(s nodeState) bool { return !s.member && !s.linked }, func(s *nodeState) { s.member = true }, func() { n.x.Member(id, met) })
}

func (n *recoveryNode) Unable(id wire.NodeID, is bool) {
	n.hears(id, map[bool]string{true: "unable", false: "able"}[is], func(s nodeState) bool { return s.member && !s.linked }, func(s *nodeState) { s.able = !is }, func() { n.x.Unable(id, is) })
}

func (n *recoveryNode) Linked(id wire.NodeID) {
	n.hears(id, "linked", func(s nodeState) bool { return s.member && !s.linked }, func(s *nodeState) { s.linked = true }, func() { n.x.Linked(id) })
}

func (n *recoveryNode) Unlinked(id wire.NodeID) {
	n.hears(id, "unlinked", func(s nodeState) bool { return s.linked }, func(s *nodeState) { s.linked = false }, func() { n.x.Unlinked(id) })
}

func (n *recoveryNode) Down(id wire.NodeID) {
	n.hears(id, "down", func(s nodeState) bool { return s.member && !s.linked }, func(s *nodeState) { s.member = false }, func() { n.x.Down(id) })
}

func (n *recoveryNode) Gap(id wire.NodeID) {
	n.hears(id, "gap", func(s nodeState) bool { return s.linked }, func(*nodeState) {}, func() { n.x.Gap(id) })
}

func (n *recoveryNode) Frame(from wire.NodeID, f recovery.Frame) {
	n.drive(func() {
		if s := n.states[from]; !s.linked || !s.able {
			n.t.Errorf("node %d has a %T of node %d, which is %+v", n.ID(), f, from, s)
		}
		n.x.Frame(from, f)
	})
}
