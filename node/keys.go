package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/node/once"
	"github.com/meshrt/meshrt/wire"
)

// nextRound is the time to the next question when nobody knows yet.
const nextRound = 20 * time.Millisecond

// askAgain asks the other nodes until they agree, or the end; then it is Again.
func (n *Node) askAgain(key once.Key, a *tried, end time.Time) once.Verdict {
	k, start := n.keys, time.Now()
	for {
		n.askRound(key, a)
		k.mu.Lock()
		v := k.table.Decide(key, time.Since(start) < once.Patience, n.now())
		k.mu.Unlock()
		if v != once.Again || time.Now().After(end) {
			return v
		}
		pause := time.NewTimer(nextRound)
		select {
		case <-pause.C:
		case <-a.news:
			pause.Stop()
		}
	}
}

// askRound asks all other nodes once. It ends early when one of them knows the end of it.
func (n *Node) askRound(key once.Key, a *tried) {
	k := n.keys
	k.mu.Lock()
	k.table.Round(key)
	question := once.AppendClaim(nil, k.table.Claim(key))
	k.mu.Unlock()
	others := n.others()
	if len(others) == 0 {
		return
	}
	n.wantNotices()
	ctx, cancel := context.WithTimeout(context.Background(), once.Patience)
	defer cancel()
	var wg sync.WaitGroup
	for _, node := range others {
		if k.skips(key, node) {
			continue
		}
		wg.Go(func() {
			body, err := n.cluster.Query(ctx, node.ID, onceMethod, question)
			if k.said(key, node, body, err, ctx.Err() == context.DeadlineExceeded) {
				cancel()
			}
		})
	}
	all := make(chan struct{})
	go func() { defer close(all); wg.Wait() }()
	select {
	case <-all:
	case <-a.news:
		cancel()
		<-all
	}
}

// skips tells whether a node is not to be waited for: it is cut off, and said nothing before.
func (k *keys) skips(key once.Key, node cluster.NodeInfo) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if node.State != "cut" {
		delete(k.deaf, node.ID)
	}
	if !k.deaf[node.ID] {
		return false
	}
	k.table.Unheard(key)
	return true
}

// said takes the answer of a node. With end no other answer is needed.
func (k *keys) said(key once.Key, node cluster.NodeInfo, body []byte, err error, late bool) (end bool) {
	var r once.Reply
	if err == nil {
		r, err = once.DecodeReply(body)
	} else if strings.HasPrefix(err.Error(), "unknown method") {
		err = nil // a version that knows no keys, and so has used none
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err == nil:
		k.table.Answered(key, node.ID, r)
	case errors.Is(err, cluster.ErrGone) || errors.Is(err, cluster.ErrNotLinked):
		k.table.Gone(key, node.ID)
	case errors.Is(err, context.Canceled):
		k.table.Cut(key)
	default:
		k.table.Silent(key, node.ID)
		if late && node.State == "cut" {
			k.deaf[node.ID] = true
		}
	}
	return r.Done
}

// onceMethod is the question to other nodes, and onceTopic where notices go.
const (
	onceMethod = "once"
	onceServer = "once" // no namespace, which has a slash
	onceTopic  = serverPrefix + onceServer
)

// noticesWait is how long the first key of a node waits until the notices of all others are known to
// come; it takes a round trip, and much longer only when a node is cut off.
const noticesWait = 200 * time.Millisecond

// wantNotices makes sure that the notices of others come. Where no key is ever used, nobody asks for any.
func (n *Node) wantNotices() {
	k := n.keys
	k.mu.Lock()
	first := k.noticed == nil
	if first {
		k.noticed = make(chan struct{})
	}
	noticed := k.noticed
	k.mu.Unlock()
	if first {
		n.mu.Lock()
		version := n.cluster.SetInterest(wire.Topic{Namespace: onceTopic}, true)
		n.mu.Unlock()
		settle := sync.OnceFunc(func() { close(noticed) })
		n.cluster.WhenInForce(version, settle)
		time.AfterFunc(noticesWait, settle)
	}
	<-noticed
}

// notice is a message to all nodes that want notices, in the stream of those flags.
func notice(of once.Notice, flags wire.Flags) *wire.Message {
	return wire.NewMessage(wire.Envelope{Namespace: onceTopic, Flags: flags & (wire.High | wire.Low)}, once.AppendNotice(nil, of))
}

// heardNotice takes one of another node.
func (n *Node) heardNotice(m *wire.Message) {
	of, err := once.DecodeNotice(m.Payload)
	if err != nil {
		n.log.Warn("notice of another node makes no sense", "peer", m.Origin, "err", err)
		return
	}
	k, at := n.keys, once.Place{}
	if m.Seq > 1 { // right behind its message
		at = once.Place{Origin: m.Origin, Stream: m.Flags.Stream(), Seq: m.Seq - 1}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.table.Heard(m.Origin, of, at, n.now())
	if a := k.trying[of.Key]; a != nil {
		select {
		case a.news <- struct{}{}:
		default:
		}
	}
}

// answerOnce answers another node that claims a key.
func (n *Node) answerOnce(from wire.NodeID, body []byte) ([]byte, error) {
	claim, err := once.DecodeClaim(body)
	if err != nil {
		return nil, err
	}
	n.wantNotices()
	var up []wire.NodeID
	for _, i := range n.others() {
		if i.State == "up" {
			up = append(up, i.ID)
		}
	}
	k := n.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.table.Asked(from, claim, n.now(), func(id wire.NodeID) bool { return slices.Contains(up, id) })
	return once.AppendReply(nil, r), nil
}
