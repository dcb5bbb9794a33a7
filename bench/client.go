package bench

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshrt/meshrt/bench/swarm"
)

// client is one connection, of its loop.
type client struct {
	stage   stage
	room    int    // that it joins; -1 for none
	more    int    // rooms that it joins after that
	first   uint32 // stream of the first tally
	tallies []tally
	due     int64 // when it was to connect, nanoseconds of Swarm.Now
}

// meter counts what the clients of one loop get.
type meter struct {
	latency, joining                      Histogram
	unique, doubled, late, stray, damaged atomic.Int64
}

// crowd is the clients of a run, and what they get: the handler of its swarm.
type crowd struct {
	plan    plan
	dialect dialect
	stamper stamper
	rooms   []string // names
	clients []client
	meters  []meter // by loop
	// from is the time from which due messages count for latency.
	from atomic.Int64
	// slots is taken for each connect that is under way.
	slots chan struct{}
	// arrived has an element after a message came, when it is not nil.
	arrived chan struct{}

	joined, failed, lost atomic.Int64 // connections; lost ones had joined
	cut                  atomic.Int64 // slow ones
	mu                   sync.Mutex
	first                error // the first of failed and lost
}

func newCrowd(c Config, p plan, run uint32) *crowd {
	w := &crowd{plan: p, dialect: newDialect(c), stamper: newStamper(run, c.Size), clients: make([]client, p.conns()),
		meters: make([]meter, c.Loops), slots: make(chan struct{}, maxHandshakes)}
	if c.Scenario == Connect {
		w.slots = make(chan struct{}, p.conns()) // open loop: none waits for another
	}
	if c.Unlimited {
		w.arrived = make(chan struct{}, 1)
	}
	for i := range p.rooms {
		w.rooms = append(w.rooms, roomName(run, i))
	}
	tallies := make([]tally, p.subscribers()*p.joins*p.streams)
	for id := range w.clients {
		c := &w.clients[id]
		if c.room = p.room(id); id < p.publishers || p.isSlow(id) {
			continue
		}
		first, count := p.tallies(c.room)
		c.first, c.tallies, c.more = uint32(first), tallies[:count:count], p.joins-1
		tallies = tallies[count:]
	}
	return w
}

// Opened implements swarm.Handler: the server speaks first.
func (w *crowd) Opened(*swarm.Conn) {}

// Message implements swarm.Handler.
func (w *crowd) Message(c *swarm.Conn, data []byte, binary bool, at int64) {
	s, found, whole := w.stamper.find(data)
	if !found {
		w.control(c, data, binary, at)
		return
	}
	m := &w.meters[c.Loop()]
	if w.plan.isSlow(c.ID) {
		return // it was read before the pause
	}
	if !whole {
		m.damaged.Add(1)
		return
	}
	switch w.clients[c.ID].add(s) {
	case fresh:
	case late:
		m.late.Add(1)
	case doubled:
		m.doubled.Add(1)
		return
	case stray:
		m.stray.Add(1)
		return
	}
	if s.due >= w.from.Load() {
		m.latency.Record(time.Duration(at - s.due))
	}
	m.unique.Add(1)
	if w.arrived != nil {
		select {
		case w.arrived <- struct{}{}:
		default:
		}
	}
}

func (c *client) add(s stamp) verdict {
	i := s.stream - c.first // wraps below first
	if i >= uint32(len(c.tallies)) {
		return stray
	}
	return c.tallies[i].add(s.number)
}

// control is for all that is no message of the run.
func (w *crowd) control(c *swarm.Conn, data []byte, binary bool, at int64) {
	client, room := &w.clients[c.ID], ""
	if client.stage == gone {
		return
	}
	if client.room >= 0 {
		room = w.rooms[client.room]
	}
	next, reply, err := w.dialect.hear(client.stage, data, binary, room)
	if err == nil && next == ready && client.stage < ready && client.more > 0 {
		client.more--
		client.room++
		next, reply = joining, w.dialect.join(w.rooms[client.room])
	}
	if err == nil && reply != nil {
		err = c.Send(swarm.Text, reply, uint32(at))
	}
	if err != nil {
		w.refused(c.ID, err)
		return
	}
	if client.stage < ready && next == ready {
		w.meters[c.Loop()].joining.Record(time.Duration(at - client.due))
		w.joined.Add(1)
		<-w.slots
		if w.plan.isSlow(c.ID) {
			_ = c.Pause() // else it has ended, and Closed is next
		}
	}
	client.stage = next
}

// Closed implements swarm.Handler.
func (w *crowd) Closed(c *swarm.Conn, err error) {
	if w.plan.isSlow(c.ID) && w.clients[c.ID].stage == ready {
		w.cut.Add(1) // as it may be
		return
	}
	if w.clients[c.ID].stage == ready {
		w.lost.Add(1)
	}
	w.refused(c.ID, err)
}

// refused notes an error, which is the end of a client that has not joined.
func (w *crowd) refused(id int, err error) {
	w.note(id, err)
	if client := &w.clients[id]; client.stage < ready {
		client.stage = gone
		w.failed.Add(1)
		<-w.slots
	}
}

// note keeps the first thing that went wrong.
func (w *crowd) note(id int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first == nil {
		w.first = fmt.Errorf("connection %d: %w", id, err)
	}
}

// noted is the first thing that went wrong, nil for none.
func (w *crowd) noted() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first
}

// total adds a counter up over the loops.
func (w *crowd) total(counter func(*meter) *atomic.Int64) (n int64) {
	for i := range w.meters {
		n += counter(&w.meters[i]).Load()
	}
	return n
}

func (w *crowd) unique() int64 {
	return w.total(func(m *meter) *atomic.Int64 { return &m.unique })
}

// latencies copies the histograms of messages, or with joins those of connections.
func (w *crowd) latencies(joins bool) Counts {
	var list []*Histogram
	for i := range w.meters {
		if joins {
			list = append(list, &w.meters[i].joining)
		} else {
			list = append(list, &w.meters[i].latency)
		}
	}
	return Sum(list...)
}
