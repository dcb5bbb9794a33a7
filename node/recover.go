package node

import (
	"context"
	"maps"
	"strings"
	"time"

	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// recoverer is the owner of a recovery.Machine: nil in a Node without recovery. Everything in it is
// guarded by Node.mu. A call of the machine and the effects of it are one hold of the lock; what
// is to be done without it is gathered in calls.
type recoverer struct {
	n       *Node
	x       *recovery.Machine
	started time.Time
	open    residents
	quiet   *quiet
	unsent  unsent
	coming  map[recovery.PID]*comeback // who wants a session back
	unacked map[stamp]func(error)      // own messages for whose copies somebody waits
	calls   []func()
	last    uint64 // place in the order
	stats   RecoveryStats
}

// stamp is the number of an own message.
type stamp struct {
	stream wire.Stream
	seq    uint64
}

// RecoveryStats are counters since New, and the state of now.
type RecoveryStats struct {
	Recovered uint64            // sessions
	Replayed  uint64            // deliveries to them of what they had missed
	Refused   map[string]uint64 // by reason: clients that got a new session instead
	Unkept    uint64            // sessions that were served before another node had them, as none answered
	Forgotten uint64            // sessions whose client could have come back, ended as too many had gone
	Gapped    uint64            // sessions that cannot be recovered any more, as messages of another node were lost
	Taken     uint64            // sessions that were closed here as they live elsewhere
	Completed uint64            // messages of nodes that have died, from their mirrors
	Short     uint64            // own messages that left the log before their time
	LogBytes  int               // of messages that are kept, own and other nodes'
	Coming    int               // clients that wait for their session
	Unacked   int               // messages whose publisher waits for their copies
	Gathers   uint64            // times that messages were asked for, for all clients that had come by then
	TooMany   uint64            // of Refused, as too many were on their way
	TooMuch   uint64            // ... as they lacked too much, or what is held for clients was at its limit
	Full      uint64            // nodes that were not mirrored, as enough are
	Evicted   uint64            // dead nodes that were forgotten before their time, with their sessions
	// Unmirrored are messages and sessions for which nobody waits any more, as no other node took a copy.
	Unmirrored uint64
	Outgrown   uint64 // sessions that cannot be recovered any more, as their rooms and data are too large
	Held       int    // bytes of messages that are held for clients that come
	Unsent     int    // bytes of replays that clients who are back have not got yet
	PutOff     uint64 // times that a client had to wait for that
}

func newRecoverer(n *Node, cfg Config) *recoverer {
	if cfg.Recovery <= 0 {
		return nil
	}
	r := &recoverer{n: n, started: time.Now(), quiet: newQuiet(cfg.Recovery, cfg.Shards),
		open: residents{by: map[recovery.PID]*Session{}}, coming: map[recovery.PID]*comeback{},
		unacked: map[stamp]func(error){}, stats: RecoveryStats{Refused: map[string]uint64{}}}
	r.x = recovery.New(recovery.Config{ID: cfg.Cluster.ID, Window: cfg.Recovery, LogBytes: cfg.RecoveryBytes, ReplayBytes: cfg.ReplayBytes,
		UnsentBytes: cfg.UnsentReplays, Wants: r.wants})
	return r
}

// atLocked is the machine, with the time of now.
func (r *recoverer) atLocked() *recovery.Machine {
	r.x.At(1 + time.Since(r.started))
	return r.x
}

// drive makes calls of the machine, and does what comes of them.
func (r *recoverer) drive(call func(x *recovery.Machine)) {
	r.n.mu.Lock()
	call(r.atLocked())
	calls := r.applyLocked()
	r.n.mu.Unlock()
	r.n.afterwards(calls)
}

// afterwards is what follows a hold of Node.mu in which the machine was called.
func (n *Node) afterwards(calls []func()) {
	if n.recovery == nil {
		return
	}
	n.cluster.Flush()
	run(calls)
}

func run(calls []func()) {
	for _, f := range calls {
		f()
	}
}

// applyLocked does what the machine wants done, in order. The caller calls afterwards with what it gives, once the
// lock is free.
func (r *recoverer) applyLocked() (calls []func()) {
	for effects := r.x.Take(); len(effects) > 0; effects = r.x.Take() {
		for _, e := range effects {
			r.apply(e)
		}
	}
	calls, r.calls = r.calls, nil
	return calls
}

func (r *recoverer) apply(e recovery.Effect) {
	switch e := e.(type) {
	case recovery.Send:
		r.n.cluster.SendFrame(e.To, e.Frame)
	case recovery.Barrier:
		r.barrier(e)
	case recovery.Supply:
		if r.n.cluster.Supply(e.Message) {
			r.hand(e.Message)
		}
	case recovery.Completed:
		r.n.cluster.Skip(e.Origin, e.Heads)
		r.x.Reached(e.Origin, e.Heads)
	case recovery.Skip:
		r.n.cluster.Skip(e.Origin, e.Heads)
	case recovery.Acked:
		r.acked(e)
	case recovery.Joined:
		r.settle(e.PID, e.Room, func(k *kept) map[string][]func(error) { return k.joins })
	case recovery.Left:
		r.settle(e.PID, e.Room, func(k *kept) map[string][]func(error) { return k.leaves })
	case recovery.Arrive:
		r.arrive(e.Record)
	case recovery.Admit:
		r.admit(e)
	case recovery.Recovered:
		r.recovered(e.PID)
	case recovery.Refused:
		r.refuse(e.PID, e.Reason)
	case recovery.Close:
		r.takenOver(e.PID, e.Reason)
	}
}

// recoverable tells whether m is kept for who may miss it. What wants an answer is not, as with the official
// server, nor is what may be dropped anyway. What is for nodes, and not for clients, is in no namespace of theirs.
func recoverable(m *wire.Message) bool {
	return m.Flags&(wire.Volatile|wire.WantAck|wire.Barrier) == 0 && strings.HasPrefix(m.Namespace, "/")
}

// publishLocked takes an own message that has its number. d is its delivery, nil when nobody here
// gets it; done is called when it has its copies, see EmitSafe.
func (r *recoverer) publishLocked(m *wire.Message, d *Delivery, done func(error)) {
	if !recoverable(m) {
		r.callWith(done, nil)
		return
	}
	x := r.atLocked()
	r.awaitCopies(m, done)
	x.Published(m)
	r.place(x, m, d)
}

// place puts a message in the order of all that the node hands out.
func (r *recoverer) place(x *recovery.Machine, m *wire.Message, d *Delivery) {
	c := x.Handed(m)
	r.last = c.D
	if d != nil {
		d.place = c
	}
}

// lastPlace is that of the last message that was handed out here, 0 without recovery: who joins a room gets what has a later one. mu is held.
func (n *Node) lastPlace() uint64 {
	if n.recovery == nil {
		return 0
	}
	return n.recovery.last
}

// receiveLocked takes a message of another node.
func (r *recoverer) receiveLocked(m *wire.Message, d *Delivery) {
	if round, is := wire.RoundOf(m); is {
		r.x.Passed(recovery.RefOf(m), round)
	} else if recoverable(m) {
		r.place(r.x, m, d)
	}
}

// hand gives a message that a mirror had to those that it is for.
func (r *recoverer) hand(m *wire.Message) {
	r.n.stats.received.Add(1)
	d := &Delivery{Message: m}
	to, members := r.n.shardsLocked(m)
	r.place(r.x, m, d)
	for _, s := range to {
		s.push(item{op: opMessage, d: d, members: int32(members)})
	}
}

// barrier marks, in each stream, what was published before. It is for a session id of the
// other node that nobody has, so that it goes there and nowhere else.
func (r *recoverer) barrier(e recovery.Barrier) {
	for _, p := range priorities {
		r.n.cluster.Publish(wire.NewRound(e.To, p, e.Round))
	}
}

// wants is recovery.Config.Wants.
func (r *recoverer) wants(peer wire.NodeID, m *wire.Message) bool {
	if peer == r.n.ID() {
		to, _ := r.n.shardsLocked(m)
		return len(to) > 0
	}
	return r.n.cluster.MayWant(peer, m)
}

// runRecovery gives the machine its time until ctx ends.
func (n *Node) runRecovery(ctx context.Context) {
	t := time.NewTicker(recovery.TickEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			n.recovery.drive(func(x *recovery.Machine) {
				x.Tick()
				n.recovery.quietLocked(x)
				n.recovery.unsentLocked(x)
			})
		case <-ctx.Done():
			return
		}
	}
}

// unsentLocked says what clients have not got of their replays.
func (r *recoverer) unsentLocked(x *recovery.Machine) {
	if r.unsent.bytes > 0 {
		r.unsent.look(time.Since(r.started))
	}
	x.Unsent(r.unsent.bytes)
}

// drainPatience is how long a node that stops waits for its mirrors, and for who takes what it mirrors of nodes that have died: 64 MiB
// of each at most. It is more than a change of mirrors takes.
const drainPatience = 5 * time.Second

// drain returns when the others have all that is kept here, some time after stop has ended, or when run ends.
func (n *Node) drain(stop, run context.Context) {
	select {
	case <-stop.Done():
	case <-run.Done():
		return
	}
	n.recovery.drive((*recovery.Machine).Drain)
	t := time.NewTicker(recovery.TickEvery)
	defer t.Stop()
	for patience := time.After(drainPatience); ; {
		drained := false
		n.recovery.drive(func(x *recovery.Machine) { drained = x.Drained() })
		if drained {
			return
		}
		select {
		case <-t.C:
		case <-patience:
			n.log.Warn("stopping, though other nodes do not have all that clients may come back for")
			return
		case <-run.Done():
			return
		}
	}
}

// statsLocked is a snapshot.
func (r *recoverer) statsLocked() RecoveryStats {
	s, x := r.stats, r.x.Stats()
	s.Refused = maps.Clone(s.Refused)
	s.Completed, s.Short, s.Forgotten, s.Coming, s.Unacked = x.Completed, x.Short, x.Forgotten, len(r.coming), len(r.unacked)
	s.Gathers, s.TooMany, s.TooMuch, s.Full, s.Evicted, s.Outgrown, s.Unmirrored, s.Held = x.Gathers, x.TooMany, x.TooMuch, x.Full, x.Evicted, x.Outgrown, x.Unmirrored, x.Held
	s.Unsent, s.PutOff = r.unsent.bytes, x.PutOff
	s.LogBytes = r.x.LogBytes()
	return s
}

// callWith has f called with err when the lock is free.
func (r *recoverer) callWith(f func(error), err error) {
	if f != nil {
		r.calls = append(r.calls, func() { f(err) })
	}
}
