package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/meshrt/meshrt/cluster/mesh"
	"github.com/meshrt/meshrt/wire"
)

// do drives one event through the core and applies what comes of it: frames
// under the lock, so that peers see changes in the order they were made, and
// what waits for them by the goroutine of told.
func (c *Cluster) do(event func()) { c.told.add(c.doNow(event)) }

// doNow leaves the calls to its caller.
func (c *Cluster) doNow(event func()) (done []func()) {
	defer c.Flush()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.core.now = c.clock()
	event()
	done = c.applyLocked()
	c.flushLocked()     // behind the messages that the event has sent
	c.congestedLocked() // whoever waits for its end publishes nothing meanwhile
	c.armLocked()
	return done
}

// applyLocked sends frames and returns the calls to make once unlocked.
func (c *Cluster) applyLocked() (done []func()) {
	effects := c.core.take()
	if len(effects) == 0 {
		return nil
	}
	for len(effects) > 0 {
		e, n := &effects[0], 1
		switch {
		case e.done != nil:
			done = append(done, e.done)
		case e.droppable:
			for n < len(effects) && effects[n].droppable && effects[n].to == e.to && effects[n].lane == e.lane {
				n++
			}
			c.sendDataLocked(laneTo{e.to, e.lane}, effects[:n])
		default:
			if l := c.links[e.to]; l != nil {
				if due, _ := l.QueueIn(e.lane, e.frame); due {
					c.due.addLocked(l)
				}
			}
		}
		effects = effects[n:]
	}
	c.core.applied()
	if len(c.full) > 0 {
		clear(c.full)
	}
	return done
}

// sendDataLocked gives messages to a lane of the link to their peer. Of one that is full the
// core is told, once: what comes behind in the same batch waits as well.
func (c *Cluster) sendDataLocked(to laneTo, effects []effect) {
	l := c.links[to.id]
	if l == nil || len(c.full) > 0 && c.full[to] {
		return
	}
	c.spans = c.spans[:0]
	for i := range effects {
		e := &effects[i]
		c.spans = append(c.spans, mesh.Span{Bytes: e.frame, Frames: e.frames, Lent: e.lent})
	}
	taken, due, err := l.QueueAll(to.lane, c.spans, effects[len(effects)-1].more)
	clear(c.spans)
	if due {
		c.due.addLocked(l)
	}
	if err != mesh.ErrFull {
		return
	}
	c.full[to] = true
	for _, e := range effects[taken:] {
		if e.seq > 0 {
			c.core.refused(to.id, to.lane, e.seq)
			return
		}
	}
}

// laneTo is a lane of the link to a peer.
type laneTo struct {
	id   wire.NodeID
	lane mesh.Lane
}

// links is the Cluster as the mesh sees it.
type links struct{ c *Cluster }

func (h links) LinkUp(l *mesh.Link) {
	c, p := h.c, l.Peer()
	c.peering.Lock()
	c.tellMembers(p.ID)
	c.do(func() {
		c.links[p.ID] = l
		delete(c.silent, p.ID)
		delete(c.replaced, p.ID)
		c.core.linkUp(p.ID)
		c.linkUpLocked(l)
		c.introduceLocked(p)
	})
	c.tellLinked(l)
	c.peering.Unlock()
	c.Flush()
	c.tally.linkUp(p.ID, l)
	c.gossip.Meet(p.ID, p.Addr)
	c.log.Info("linked", "peer", p.Name, "addr", p.Addr)
	c.changed()
}

// introduceLocked tells the new peer of all others at once, so that the mesh closes in
// a round trip and not when gossip gets there. The others hear of it at the next tick,
// with all that came since the last: where fifty nodes meet, each alone would be sixty
// thousand frames.
func (c *Cluster) introduceLocked(p mesh.Peer) {
	var others []string
	for id, l := range c.links {
		if id != p.ID {
			others = append(others, l.Peer().Addr)
		}
	}
	if len(others) > 0 {
		c.links[p.ID].SendIn(mesh.LaneControl, wire.AppendPeers(nil, others))
		c.newcomers = append(c.newcomers, p.Addr)
	}
}

// introduce tells everybody of the links that came up since the last tick.
func (c *Cluster) introduce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.newcomers) == 0 {
		return
	}
	frame := wire.AppendPeers(nil, c.newcomers)
	for _, l := range c.links {
		l.SendIn(mesh.LaneControl, frame)
	}
	c.newcomers = nil
}

func (h links) LinkReady(l *mesh.Link, lane mesh.Lane) {
	h.c.do(func() { h.c.core.ready(l.Peer().ID, lane) })
}

func (h links) LinkDown(l *mesh.Link, err error) {
	c, p := h.c, l.Peer()
	c.peering.Lock()
	c.do(func() { c.linkGoneLocked(p, l.Heard(), err) })
	if r := c.cfg.Recovery; r != nil {
		r.Unlinked(p.ID)
	}
	c.peering.Unlock()
	c.Flush()
	c.tally.linkDown(p.ID, mesh.Left(err))
	if mesh.Routine(err) {
		c.log.Info("link ended", "peer", p.Name, "reason", err)
	} else {
		c.log.Warn("link lost", "peer", p.Name, "addr", p.Addr, "err", err)
	}
	c.changed()
}

// linkGoneLocked is what becomes of a peer without its link, on which it was heard last at heard.
func (c *Cluster) linkGoneLocked(p mesh.Peer, heard time.Time, err error) {
	delete(c.links, p.ID)
	if !mesh.Left(err) {
		c.silent[p.ID] = heard
	}
	if errors.Is(err, mesh.ErrReplaced) {
		c.replaced[p.ID] = c.core.now
	}
	delete(c.aside.parts, p.ID)
	c.core.linkDown(p.ID, mesh.Left(err))
	c.linkDownLocked(p.ID, mesh.Left(err))
	c.holdLocked(func() { delete(c.held, p.ID) }) // they are said again
}

func (h links) HandleFrames(l *mesh.Link, fs []wire.Frame) error {
	for len(fs) > 0 {
		n := 0
		for n < len(fs) && fs[n].Kind() == wire.KindData {
			n++
		}
		var err error
		if n > 0 {
			err = h.data(l.Peer().ID, fs[:n])
		} else {
			n, err = 1, h.control(l, fs[0])
		}
		if err != nil {
			return err
		}
		fs = fs[n:]
	}
	return nil
}

// control takes a frame that is no message.
func (h links) control(l *mesh.Link, f wire.Frame) error {
	id, c := l.Peer().ID, h.c
	switch k := f.Kind(); k {
	case wire.KindSync:
		s, err := wire.DecodeSync(f)
		if err != nil {
			return err
		}
		c.do(func() { c.core.sync(id, s) })
		if !s.More {
			c.checkName(l.Peer(), s.Settled)
			c.changed()
		}
	case wire.KindInterest:
		i, err := wire.DecodeInterest(f)
		if err != nil {
			return err
		}
		c.do(func() { c.core.interest(id, i) })
	case wire.KindIntAck, wire.KindAck, wire.KindGap:
		return h.number(l, f)
	case wire.KindAsk, wire.KindGrant:
		at, frontiers, err := wire.DecodeLease(f, k)
		if err != nil {
			return err
		}
		if k == wire.KindAsk {
			c.do(func() { c.core.asked(id, at, frontiers) })
		} else {
			c.do(func() {
				if c.core.granted(id, at, frontiers) {
					l.Measured(c.core.now - time.Duration(at))
				}
			})
		}
	default:
		return h.other(l, f)
	}
	return nil
}

// checkName ends a node that starts with a name that is in use. Never a vote: one
// that is past its start keeps its name, and of two that start the lower id does.
func (c *Cluster) checkName(p mesh.Peer, settled bool) {
	switch {
	case p.Name != c.cfg.Name:
	case !c.hasSettled() && (settled || p.ID < c.cfg.ID):
		c.fail(fmt.Errorf("%w: %q, at %s", ErrNameTaken, p.Name, p.Addr))
	default:
		c.log.Warn("another node has the name of this one", "peer", p.Name, "addr", p.Addr)
	}
}

// number takes the frames that tell how far the peer is.
func (h links) number(l *mesh.Link, f wire.Frame) error {
	id, c := l.Peer().ID, h.c
	switch k := f.Kind(); k {
	case wire.KindIntAck:
		v, err := wire.DecodeNumber(f, k)
		if err != nil {
			return err
		}
		c.do(func() { c.core.intAck(id, v) })
		if !c.hasSettled() {
			c.changed()
		}
	case wire.KindAck:
		v, err := wire.DecodeAck(f)
		if err != nil {
			return err
		}
		c.do(func() { c.core.ackedTo(id, v) })
	case wire.KindGap:
		g, err := wire.DecodeGap(f)
		if err != nil {
			return err
		}
		news := c.gap(id, g)
		c.release(id)
		if news {
			c.log.Warn("messages of a peer are lost: its log did not reach back to the break", "peer", l.Peer().Name, "priority", g.Stream.String(), "up to", g.Seq)
		}
	}
	return nil
}

// other takes the frames that are not about messages and interest.
func (h links) other(l *mesh.Link, f wire.Frame) error {
	switch f.Kind() {
	case wire.KindPeers:
		addrs, err := wire.DecodePeers(f)
		if err != nil {
			return err
		}
		h.c.gossip.Learn(addrs...)
	case wire.KindRequest:
		r, err := wire.DecodeRequest(f)
		if err != nil {
			return err
		}
		h.c.request(l, r)
	case wire.KindReply:
		r, err := wire.DecodeReply(f)
		if err != nil {
			return err
		}
		h.c.answered(l.Peer().ID, r)
	case wire.KindCounts:
		counts, err := wire.DecodeCounts(f)
		if err != nil {
			return err
		}
		h.c.tally.told(l.Peer().ID, counts)
	case wire.KindConfirm:
		floor, err := wire.DecodeNumber(f, wire.KindConfirm)
		if err != nil {
			return err
		}
		h.c.confirmed(l.Peer().ID, floor)
	case wire.KindRecovery:
		return h.c.recoveryPart(l.Peer().ID, f)
	case wire.KindHello:
		return fmt.Errorf("second hello: %w", wire.ErrMalformed)
	}
	return nil // kinds of newer versions are skipped
}

// batch has the messages that a link hands over at a time, as the Handler gets them. To make one for each
// message touched a quarter of a page of memory, which a calm node has to get from the system.
type batch [128]*wire.Message

var batches = sync.Pool{New: func() any { return new(batch) }}

func (b *batch) giveBack() {
	clear(b[:])
	batches.Put(b)
}

// data takes messages that came together: all are accepted in one hold of the lock, and
// then handled one by one. So those that are confirmed may be so many ahead of the Handler.
func (h links) data(id wire.NodeID, fs []wire.Frame) error {
	few := batches.Get().(*batch)
	defer few.giveBack()
	messages, err := wire.AppendMessages(few[:0], fs, id)
	fresh := 0
	h.c.mu.Lock()
	p := h.c.core.peer(id)
	for i, m := range messages {
		if !h.c.core.accept(p, m.Flags.Stream(), m.Seq) {
			continue
		}
		if fresh != i { // most are new, and to write a pointer costs while the collector runs
			messages[fresh] = m
		}
		fresh++
	}
	h.c.applyLocked() // an ACK now and then
	h.c.mu.Unlock()
	h.c.Flush()
	if dropped := len(messages) - fresh; dropped > 0 {
		h.c.duplicates.Add(uint64(dropped))
	}
	if fresh > 0 {
		h.c.h.HandleMessages(messages[:fresh])
	}
	h.c.release(id)
	return err
}

// changed makes follow look again.
func (c *Cluster) changed() {
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

// acceptor lets the mesh stop accepting before the network ends.
type acceptor struct {
	Network
	conns chan net.Conn
}

// run hands links on until the network has ended.
func (a *acceptor) run(ctx context.Context) {
	for {
		conn, err := a.Network.AcceptLink()
		if err != nil {
			return // Network.Run says why
		}
		select {
		case a.conns <- conn:
		case <-ctx.Done():
			conn.Close()
		}
	}
}

// AcceptLink implements mesh.Network.
func (a *acceptor) AcceptLink(ctx context.Context) (net.Conn, error) {
	select {
	case conn := <-a.conns:
		return conn, nil
	case <-ctx.Done():
		return nil, net.ErrClosed
	}
}
