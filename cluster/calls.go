package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/meshrt/meshrt/cluster/gossip"
	"github.com/meshrt/meshrt/cluster/mesh"
	"github.com/meshrt/meshrt/wire"
)

// Call asks one node and waits for its answer, until ctx ends or the node is
// down: one that died delays nobody (G9), and one whose link breaks is asked again on
// the next link, behind everything that this node has published before the call. It
// does what it is asked once at most. ErrBusy is the answer of a node that has too many
// requests, and of a link that has no room for this one; ErrNotLinked is for nodes that
// are down, ErrGone for those that go down meanwhile. Requests to this node itself
// are not for Call.
func (c *Cluster) Call(ctx context.Context, to wire.NodeID, method string, body []byte) ([]byte, error) {
	return c.call(ctx, &question{to: to, method: method, body: body}, true)
}

// Query is Call for what need not wait for messages: it may overtake them.
func (c *Cluster) Query(ctx context.Context, to wire.NodeID, method string, body []byte) ([]byte, error) {
	return c.call(ctx, &question{to: to, method: method, body: body}, false)
}

func (c *Cluster) call(ctx context.Context, q *question, behind bool) ([]byte, error) {
	if len(q.body) > wire.MaxBody {
		return nil, fmt.Errorf("request of %d bytes, allowed are %d", len(q.body), wire.MaxBody)
	}
	q.done = make(chan reply, 1)
	if err := c.ask(ctx, q, behind); err != nil {
		return nil, err
	}
	select {
	case r := <-q.done:
		return r.body, r.err
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		c.questions.end(q)
		return nil, ctx.Err()
	}
}

// ask puts a question on its way, or lets it wait for a link.
func (c *Cluster) ask(ctx context.Context, q *question, behind bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock()
	if p := c.core.peers[q.to]; p == nil || p.down {
		return ErrNotLinked
	}
	if behind {
		for k := range q.behind {
			q.behind[k] = c.core.logs.of[k].last()
		}
	}
	if end, ok := ctx.Deadline(); ok {
		q.until = now + time.Until(end)
	}
	if err := c.questions.add(q, now); err != nil {
		return err
	}
	full := false
	c.questions.flushTo(q.to, c.core.isSaid, func(x *question) bool {
		err := c.askLocked(x)
		full = full || x == q && err == mesh.ErrFull
		return err == nil
	})
	if full {
		c.questions.end(q)
		return ErrBusy
	}
	return nil
}

// askLocked puts a question on the link. One that has ended has its LinkDown soon.
func (c *Cluster) askLocked(q *question) error {
	r := wire.Request{ID: q.id, Method: q.method, Body: q.body, After: c.core.saidTo(q.to, q.behind)}
	if q.until > 0 {
		r.Timeout = uint64(max((q.until - c.clock()).Milliseconds(), 1))
	}
	return c.links[q.to].Try(wire.AppendRequest(nil, r))
}

// flushLocked says what may be said by now.
func (c *Cluster) flushLocked() {
	if c.questions.unsent > 0 {
		for id := range c.questions.peers {
			c.questions.flushTo(id, c.core.isSaid, func(q *question) bool { return c.askLocked(q) == nil })
		}
	}
}

// isSaid tells whether the own messages up to some numbers that a peer lacks are on
// the link to it, and that link is in step. For 0 any link will do.
func (c *core) isSaid(to wire.NodeID, upTo wire.Frontiers) bool {
	if upTo == (wire.Frontiers{}) {
		return true
	}
	p := c.peers[to]
	if p == nil || !p.synced {
		return false
	}
	for k := range p.streams {
		if o := &p.streams[k].out; o.sent < len(o.refs) && o.refs[o.sent] <= upTo[k] {
			return false
		}
	}
	return true
}

// saidTo are the last messages up to some numbers that are on the link to a peer, and
// that it has not confirmed.
func (c *core) saidTo(to wire.NodeID, upTo wire.Frontiers) (last wire.Frontiers) {
	for k := range last {
		o := &c.peers[to].streams[k].out
		n, found := slices.BinarySearch(o.refs[:o.sent], upTo[k])
		if found {
			n++
		}
		if n > 0 {
			last[k] = o.refs[n-1]
		}
	}
	return last
}

// answered ends the call that a REPLY is for. One that comes after its asker
// has given up is nobody's.
func (c *Cluster) answered(from wire.NodeID, r wire.Reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.questions.answered(from, r.ID)
	if q == nil {
		return
	}
	answer := reply{body: r.Body}
	if r.Error != "" {
		answer = reply{err: errors.New(strings.Clone(r.Error))}
		if r.Error == ErrBusy.Error() {
			answer.err = ErrBusy
		}
	}
	q.done <- answer
}

// giveUp ends calls to a node that is gone.
func giveUp(list []*question) {
	for _, q := range list {
		q.done <- reply{err: ErrGone}
	}
}

// linkUpLocked and linkDownLocked tell questions what core is told.
func (c *Cluster) linkUpLocked(l *mesh.Link) {
	floor := c.questions.linkUp(l.Peer().ID, c.core.now)
	l.SendIn(mesh.LaneControl, wire.AppendNumber(nil, wire.KindConfirm, floor))
}

func (c *Cluster) linkDownLocked(id wire.NodeID, left bool) {
	giveUp(c.questions.linkDown(id, left, c.core.now))
}

// meetLocked forgets the questions and answers of nodes that are neither members
// nor linked.
func (c *Cluster) meetLocked(members map[wire.NodeID]bool) {
	for id := range c.questions.peers {
		if !members[id] && c.links[id] == nil {
			giveUp(c.questions.down(id))
			c.answers.down(id)
		}
	}
}

// confirmed: a peer asks no more for what is below floor, and remembers what it does.
func (c *Cluster) confirmed(from wire.NodeID, floor uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.questions.peer(from, c.clock()).remembers = true
	c.answers.confirmed(from, floor)
}

// confirmEvery is how often peers are told which answers they may forget.
const confirmEvery = 200 * time.Millisecond // less than a round of questions, with which it goes

// tend does for calls what time brings.
func (c *Cluster) tend(ctx context.Context, probes *sync.WaitGroup) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock()
	c.answers.tick(now)
	if now-c.confirmedAt >= confirmEvery {
		c.confirmedAt = now
		c.questions.confirms(func(to wire.NodeID, floor uint64) {
			c.links[to].SendIn(mesh.LaneControl, wire.AppendNumber(nil, wire.KindConfirm, floor))
		})
	}
	for _, id := range c.questions.probes(now) {
		probes.Go(func() { c.probe(ctx, id) })
	}
}

// probeTimeout is what a probe may take. Who does not answer may be there all the same.
const probeTimeout = 3 * time.Second

// probe dials a node without a link, to see whether its process is there at all. The
// mesh dials too, but the node with the higher id is too polite to tell in time.
func (c *Cluster) probe(ctx context.Context, id wire.NodeID) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	refused := false
	for _, m := range c.gossip.Members() {
		if m.ID == id {
			refused = c.refuses(ctx, m)
		}
	}
	if c.probed(id, refused) {
		c.tally.died(id)
	}
}

func (c *Cluster) probed(id wire.NodeID, refused bool) (gone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	giveUp(c.questions.probed(id, refused, c.clock()))
	p := c.questions.peers[id]
	return p != nil && p.gone
}

// A packet of a dial that is lost is sent again after a second (RFC 6298, section 2), as
// long as a question may take to hear of a death. So a probe dials again when there is no
// answer after probeHedge, and probeDials times in all.
const (
	probeDials = 3
	probeHedge = 120 * time.Millisecond
)

// refuses tells whether nobody has the address of a node, or another one does.
func (c *Cluster) refuses(ctx context.Context, m gossip.Member) bool {
	ctx, cancel := context.WithCancel(ctx)
	var dials sync.WaitGroup
	defer dials.Wait()
	defer cancel()
	found := make(chan finding, probeDials)
	for left, open := probeDials, 0; ; {
		var next <-chan time.Time
		if left > 0 {
			left, open = left-1, open+1
			dials.Go(func() { found <- c.look(ctx, m) })
			next = time.After(probeHedge)
		}
		select {
		case f := <-found:
			if open--; f != foundNothing || open+left == 0 {
				return f == foundGone
			}
		case <-next:
		}
	}
}

// finding is what one dial of a probe has come to.
type finding uint8

const (
	foundNothing finding = iota // no answer
	foundThere
	foundGone
)

func (c *Cluster) look(ctx context.Context, m gossip.Member) finding {
	conn, err := c.cfg.Net.DialLink(ctx, m.Addr)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return foundGone
	case err != nil:
		return foundNothing
	}
	defer conn.Close()
	if named, ok := conn.(interface{ PeerName() string }); ok && !strings.HasSuffix(named.PeerName(), "@"+m.ID.String()) {
		return foundGone
	}
	return foundThere
}
