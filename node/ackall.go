package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/wire"
)

// Acks is what came of an event that asked many clients.
type Acks struct {
	Answers []Answer  // in no order
	Silent  []Silence // clients that were sent the event and did not answer
	Missing []Missing // nodes of whose clients nothing is known
}

// Complete tells that everyone who was asked has answered.
func (a Acks) Complete() bool { return len(a.Silent) == 0 && len(a.Missing) == 0 }

// EmitWithAck sends event(args...) as Emit does, and in order with it, and
// waits for the answer of each client that gets it, in the whole cluster: until
// all have answered, or for the operator's Timeout, or until ctx ends. Clients
// and nodes that go meanwhile delay nobody. Who has not answered is told in
// the Acks; an error says that nothing was sent.
func (o Operator) EmitWithAck(ctx context.Context, event string, args ...any) (Acks, error) {
	if o.key != "" {
		return Acks{}, Errorf(CodeInvalid, "an event that asks for answers takes no idempotency_key")
	}
	m, err := o.event(event, args)
	if err != nil {
		return Acks{}, err
	}
	ctx, cancel := within(ctx, o.timeout)
	defer cancel()
	own, to, err := o.node.publishAsk(m, o.local)
	if err != nil {
		return Acks{}, err
	}
	var acks Acks
	var wg sync.WaitGroup
	if !o.local {
		wg.Go(func() { acks = o.node.gatherAcks(ctx, m, to) })
	}
	answers, silent := own.wait(ctx, o.node.done)
	wg.Wait()
	acks.Answers, acks.Silent = append(answers, acks.Answers...), append(silent, acks.Silent...)
	return acks, nil
}

// publishAsk is publish for a message that is to be answered by the clients of
// this node, and by those of the nodes in to, if they have any.
func (n *Node) publishAsk(m *wire.Message, local bool) (own *ask, to []wire.NodeID, err error) {
	n.slowDown()
	n.stats.published.Add(1)
	m.Flags = m.Flags&^wire.Low | wire.WantAck // the request for the answers would overtake a low one
	var t turns
	defer func() { n.sweep(t) }() // after the lock is free, and behind Flush
	defer n.cluster.Flush()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, nil, ErrClosed
	}
	if !local {
		to = n.cluster.PublishTo(m)
	}
	shards, members := n.shardsLocked(m)
	own = n.newAsk(len(shards))
	if len(shards) > 0 {
		t.pushAll(shards, members, &Delivery{Message: m, AckID: own.id, ask: own})
	}
	return own, to, nil
}

// ackMargin is how much sooner than the asker other nodes end their wait, so
// that what they have by then still arrives: at most this, or a quarter.
const ackMargin = 200 * time.Millisecond

// gatherAcks asks the nodes to which m went for the answers of their clients.
func (n *Node) gatherAcks(ctx context.Context, m *wire.Message, to []wire.NodeID) (acks Acks) {
	nodes := n.concerned(m, to)
	if len(nodes) == 0 {
		return acks
	}
	end, _ := ctx.Deadline()
	left := time.Until(end)
	body, err := wire.Marshal(ackRequest{Seq: m.Seq, Namespace: m.Namespace, Rooms: m.Rooms, Stream: m.Flags.Stream(),
		Timeout: (left - min(left/4, ackMargin)).Milliseconds()})
	if err != nil {
		return Acks{Missing: []Missing{{n.Name(), err.Error()}}}
	}
	var mu sync.Mutex
	acks.Missing = n.askNodes(ctx, nodes, "acks", body, func(_ cluster.NodeInfo, body []byte) error {
		var a ackReply
		if err := wire.Unmarshal(body, &a); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		return a.addTo(&acks)
	})
	return acks
}

// concerned are the nodes in to and those members without a link for whose
// clients m may have been.
func (n *Node) concerned(m *wire.Message, to []wire.NodeID) []cluster.NodeInfo {
	var nodes []cluster.NodeInfo
	for _, i := range n.others() {
		at := slices.Index(to, i.ID)
		if at >= 0 {
			to = slices.Delete(to, at, at+1)
		}
		if at >= 0 || i.State != "up" && n.mayConcern(m, i.ID) {
			nodes = append(nodes, i)
		}
	}
	for _, id := range to { // has just gone
		nodes = append(nodes, cluster.NodeInfo{ID: id, Name: id.String()})
	}
	return nodes
}

// mayConcern tells whether clients of that node may be meant: always, unless m
// is for single sessions of others. A session that has moved there is announced.
func (n *Node) mayConcern(m *wire.Message, id wire.NodeID) bool {
	return len(m.Rooms) == 0 || n.cluster.Wants(id, m.Namespace, m.Rooms) || slices.ContainsFunc(m.Rooms, func(r string) bool {
		owner := wire.SessionID(r).Node()
		return owner == 0 || owner == id
	})
}

// What nodes ask and answer; arrays on the wire, so fields are only appended.
type (
	ackRequest struct {
		Seq       uint64 // of the message, which comes before it on the same link
		Namespace string
		Rooms     []string
		Timeout   int64 // milliseconds
		Stream    wire.Stream
	}
	ackReply struct {
		Answers []ackEntry
		Silent  []Silence
	}
	ackEntry struct {
		Socket      string
		Args        []byte // JSON text of the list
		Attachments [][]byte
	}
)

func (r ackReply) addTo(acks *Acks) error {
	for _, e := range r.Answers {
		args, err := wire.SplitArgs(e.Args)
		if err != nil {
			return err
		}
		acks.Answers = append(acks.Answers, Answer{e.Socket, args, e.Attachments})
	}
	acks.Silent = append(acks.Silent, r.Silent...)
	return nil
}

// asksFor are the asks of other nodes' messages, by the node, the stream and the number
// of the message. Node.mu guards it.
type asksFor map[askKey]*ask

type askKey struct {
	origin wire.NodeID
	stream wire.Stream
	seq    uint64
}

const (
	// maxAsksFor limits the messages of other nodes whose answers are gathered
	// at a time. Beyond it clients get the event as one that asks for nothing.
	maxAsksFor = 4096
	// claimTimeout is how long the request for the answers may come behind its
	// message: it is the next but few on the same link.
	claimTimeout = 10 * time.Second
)

var (
	errNotAsked = errors.New("the event did not arrive")
	errFull     = errors.New("too many answers are waited for")
)

// askForLocked makes d, another node's, which so many shards will deliver, a question
// to the clients.
func (n *Node) askForLocked(d *Delivery, shards int) {
	if len(n.asksFor) >= maxAsksFor {
		n.stats.acksRefused.Add(1)
		return
	}
	d.ask = n.newAsk(shards)
	d.AckID = d.ask.id
	key := askKey{d.Message.Origin, d.Message.Flags.Stream(), d.Message.Seq}
	n.asksFor[key] = d.ask
	d.ask.unclaimed = time.AfterFunc(claimTimeout, func() {
		n.forgetAsk(key)
		d.ask.end(silenceTimeout)
	})
}

func (n *Node) forgetAsk(key askKey) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.asksFor, key)
}

// answerAsk gives the answers of this node's clients to the node that asked.
func (n *Node) answerAsk(from wire.NodeID, q ackRequest) (any, error) {
	key := askKey{from, q.Stream, q.Seq}
	n.mu.Lock()
	a := n.asksFor[key]
	shards, _ := n.shardsLocked(wire.NewMessage(wire.Envelope{Namespace: q.Namespace, Rooms: q.Rooms}, nil))
	members := len(shards) > 0
	full := len(n.asksFor) >= maxAsksFor
	n.mu.Unlock()
	switch {
	case a != nil && a.unclaimed.Stop():
	case members && full:
		return nil, errFull
	case members:
		return nil, errNotAsked
	default:
		return ackReply{}, nil // its last member has just left
	}
	return nil, cluster.Later(func(ctx context.Context) ([]byte, error) {
		defer n.forgetAsk(key)
		wait := time.Duration(q.Timeout) * time.Millisecond
		if end, ok := ctx.Deadline(); ok { // less is left when a link had to come back
			left := time.Until(end)
			wait = min(wait, left-min(left/4, ackMargin))
		}
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		answers, silent := a.wait(ctx, n.done)
		reply := ackReply{Silent: silent}
		for _, x := range answers {
			reply.Answers = append(reply.Answers, ackEntry{x.Socket, x.Args.Join(), x.Attachments})
		}
		return wire.Marshal(reply)
	})
}
