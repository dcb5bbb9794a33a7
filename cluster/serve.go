package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/meshrt/meshrt/cluster/mesh"
	"github.com/meshrt/meshrt/wire"
)

// maxServing limits the requests of one peer that are served at a time; one
// more is answered with ErrBusy. Questions to clients come in bursts of hundreds,
// each served in no time; more than this are a fault.
const maxServing = 1024

// Later, as the error of HandleRequest, is called for the answer when the
// request has given its place up to others: for answers that take long, as
// those of people do. Whoever uses it has a limit of its own. Its ctx is that of HandleRequest.
type Later func(ctx context.Context) ([]byte, error)

// Error makes Later an error; nobody is to see it.
func (Later) Error() string { return "the answer comes later" }

// server answers the requests of all peers.
type server struct {
	mu      sync.Mutex
	ctx     context.Context // of Run; nil before and after
	serving map[wire.NodeID]int
	wg      sync.WaitGroup
}

// held are requests that have overtaken messages before them, by asker.
type held map[wire.NodeID][]wire.Request

// add takes one more, up to maxServing.
func (h held) add(from wire.NodeID, r wire.Request) bool {
	if len(h[from]) >= maxServing {
		return false
	}
	h[from] = append(h[from], r)
	return true
}

// take gives those back that wait for nothing any more.
func (h held) take(from wire.NodeID, frontiers wire.Frontiers) (ready []wire.Request) {
	h[from] = slices.DeleteFunc(h[from], func(r wire.Request) bool {
		if reached(frontiers, r.After) {
			ready = append(ready, r)
			return true
		}
		return false
	})
	if len(h[from]) == 0 {
		delete(h, from)
	}
	return ready
}

func reached(frontiers, after wire.Frontiers) bool {
	for k := range after {
		if frontiers[k] < after[k] {
			return false
		}
	}
	return true
}

// holdLocked makes a change of held, and says outside the lock whether any are.
func (c *Cluster) holdLocked(change func()) {
	change()
	c.holding.Store(len(c.held) > 0)
}

// request serves a request, or holds it back until the messages before it have been
// handled.
func (c *Cluster) request(l *mesh.Link, r wire.Request) {
	from := l.Peer().ID
	c.mu.Lock()
	ready, full := reached(c.core.peer(from).frontiers(), r.After), false
	if !ready {
		c.holdLocked(func() { full = !c.held.add(from, r) })
	}
	c.mu.Unlock()
	switch {
	case full:
		l.SendIn(mesh.LaneControl, sayBusy(r.ID))
	case ready:
		c.serve(l, r)
	}
}

// release serves what has been held back for the messages of a peer that have just been
// handled, by the reader of its link.
func (c *Cluster) release(from wire.NodeID) {
	if !c.holding.Load() {
		return
	}
	var ready []wire.Request
	c.mu.Lock()
	l := c.links[from]
	c.holdLocked(func() { ready = c.held.take(from, c.core.peer(from).frontiers()) })
	c.mu.Unlock()
	for _, r := range ready {
		c.serve(l, r)
	}
}

// serve answers one request beside the link's reader, which has more to read. One that
// was begun before is not done again: its answer goes by the link that is there when it
// is ready, and once more if it is there already.
func (c *Cluster) serve(l *mesh.Link, r wire.Request) {
	s, from := &c.server, l.Peer().ID
	c.mu.Lock()
	isNew, frame := c.answers.begin(from, r.ID)
	c.mu.Unlock()
	if !isNew {
		if frame != nil {
			c.tell(l, r.ID, frame)
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx := s.ctx
	if ctx == nil || s.serving[from] >= maxServing {
		c.reply(from, r.ID, sayBusy(r.ID))
		return
	}
	s.serving[from]++
	s.wg.Go(func() { c.reply(from, r.ID, wire.AppendReply(nil, c.work(ctx, from, r))) })
}

func sayBusy(id uint64) []byte {
	return wire.AppendReply(nil, wire.Reply{ID: id, Error: ErrBusy.Error()})
}

// maxTimeout keeps what a peer says of its patience within what a clock counts.
const maxTimeout = uint64(24 * time.Hour / time.Millisecond)

// work makes the answer.
func (c *Cluster) work(ctx context.Context, from wire.NodeID, r wire.Request) wire.Reply {
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(min(r.Timeout, maxTimeout))*time.Millisecond)
		defer cancel()
	}
	body, err := c.h.HandleRequest(ctx, from, r.Method, r.Body)
	c.server.left(from)
	var later Later
	if errors.As(err, &later) {
		body, err = later(ctx)
	}
	switch {
	case err != nil:
		return wire.Reply{ID: r.ID, Error: err.Error()}
	case len(body) > wire.MaxBody:
		return wire.Reply{ID: r.ID, Error: "the answer is too large"}
	}
	return wire.Reply{ID: r.ID, Body: body}
}

// reply keeps an answer and says it, if there is a link.
func (c *Cluster) reply(to wire.NodeID, id uint64, frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers.done(to, id, frame, c.clock())
	if l := c.links[to]; l != nil {
		c.tell(l, id, frame)
	}
}

// tell puts an answer on a link, or says that there is no room for it.
func (c *Cluster) tell(l *mesh.Link, id uint64, frame []byte) {
	if l.Try(frame) == mesh.ErrFull {
		l.SendIn(mesh.LaneControl, sayBusy(id))
	}
}

func (s *server) left(from wire.NodeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving[from]--; s.serving[from] == 0 {
		delete(s.serving, from)
	}
}

// busy tells whether requests are served, those for Later left out.
func (s *server) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.serving) > 0
}

// open lets requests in until the function that it returns is called, which
// waits for those under way.
func (s *server) open(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx = ctx
	return func() {
		s.mu.Lock()
		s.ctx = nil
		s.mu.Unlock()
		cancel()
		s.wg.Wait()
	}
}
