package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/meshrt/meshrt/cluster/mesh"
	"github.com/meshrt/meshrt/wire"
)

// Why a Call has no answer.
var (
	ErrNotLinked = errors.New("node is not linked")
	ErrGone      = errors.New("node went away")
	ErrBusy      = errors.New("node is busy")
)

// maxServing limits the requests of one peer that are served at a time; one
// more is answered with ErrBusy. Questions to clients come in bursts of hundreds,
// each served in no time; more than this are a fault.
const maxServing = 1024

// Later, as the error of HandleRequest, is called for the answer when the
// request has given its place up to others: for answers that take long, as
// those of people do. Whoever uses it has a limit of its own. It ends with Run.
type Later func(ctx context.Context) ([]byte, error)

// Error makes Later an error; nobody is to see it.
func (Later) Error() string { return "the answer comes later" }

// calls are the requests of this node that wait for an answer. Cluster.mu
// guards them.
type calls struct {
	last    uint64
	waiting map[uint64]*call
}

type call struct {
	to   wire.NodeID
	done chan reply // capacity one
}

type reply struct {
	body []byte
	err  error
}

// Call asks one node and waits for its answer, until ctx ends or the node's
// link does: a node that died delays nobody (G9). ErrBusy is the answer of a node that
// has too many requests, and of a link that has no room for this one. Requests to this node itself
// are not for Call.
func (c *Cluster) Call(ctx context.Context, to wire.NodeID, method string, body []byte) ([]byte, error) {
	if len(body) > wire.MaxBody {
		return nil, fmt.Errorf("request of %d bytes, allowed are %d", len(body), wire.MaxBody)
	}
	id, w, err := c.ask(to, method, body)
	if err != nil {
		return nil, err
	}
	select {
	case r := <-w.done:
		return r.body, r.err
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.calls.waiting, id)
		return nil, ctx.Err()
	}
}

func (c *Cluster) ask(to wire.NodeID, method string, body []byte) (uint64, *call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.links[to]
	if l == nil {
		return 0, nil, ErrNotLinked
	}
	c.calls.last++
	id, w := c.calls.last, &call{to: to, done: make(chan reply, 1)}
	switch l.Try(wire.AppendRequest(nil, wire.Request{ID: id, Method: method, Body: body})) {
	case nil:
	case mesh.ErrFull:
		return 0, nil, ErrBusy
	default:
		return 0, nil, ErrNotLinked
	}
	c.calls.waiting[id] = w
	return id, w, nil
}

// answered ends the call that a REPLY is for. One that comes after its asker
// has given up is nobody's.
func (c *Cluster) answered(from wire.NodeID, r wire.Reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.calls.waiting[r.ID]
	if w == nil || w.to != from {
		return
	}
	delete(c.calls.waiting, r.ID)
	answer := reply{body: r.Body}
	if r.Error != "" {
		answer = reply{err: errors.New(strings.Clone(r.Error))}
		if r.Error == ErrBusy.Error() {
			answer.err = ErrBusy
		}
	}
	w.done <- answer
}

// goneLocked ends the calls that wait for a node whose link ended.
func (c *calls) goneLocked(id wire.NodeID) {
	for k, w := range c.waiting {
		if w.to == id {
			delete(c.waiting, k)
			w.done <- reply{err: ErrGone}
		}
	}
}

// server answers the requests of all peers.
type server struct {
	mu      sync.Mutex
	ctx     context.Context // of Run; nil before and after
	serving map[wire.NodeID]int
	wg      sync.WaitGroup
}

// serve answers one request beside the link's reader, which has more to read.
func (c *Cluster) serve(l *mesh.Link, r wire.Request) {
	s, from := &c.server, l.Peer().ID
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx := s.ctx
	if ctx == nil || s.serving[from] >= maxServing {
		l.Send(wire.AppendReply(nil, wire.Reply{ID: r.ID, Error: ErrBusy.Error()}), false)
		return
	}
	s.serving[from]++
	s.wg.Go(func() {
		body, err := c.h.HandleRequest(ctx, from, r.Method, r.Body)
		s.left(from)
		var later Later
		if errors.As(err, &later) {
			body, err = later(ctx)
		}
		answer := wire.Reply{ID: r.ID, Body: body}
		switch {
		case err != nil:
			answer.Body, answer.Error = nil, err.Error()
		case len(body) > wire.MaxBody:
			answer.Body, answer.Error = nil, "the answer is too large"
		}
		if l.Try(wire.AppendReply(nil, answer)) == mesh.ErrFull {
			l.Send(wire.AppendReply(nil, wire.Reply{ID: r.ID, Error: ErrBusy.Error()}), false)
		} // the asker learns of an ended link by itself
	})
}

func (s *server) left(from wire.NodeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving[from]--; s.serving[from] == 0 {
		delete(s.serving, from)
	}
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
