package node

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshrt/meshrt/node/once"
	"github.com/meshrt/meshrt/wire"
)

// MaxIdempotencyKey is the longest key of IdempotencyKey, in bytes.
const MaxIdempotencyKey = 128

// KeyedStats are counters of publishes with an idempotency key.
type KeyedStats struct {
	First       uint64 // published
	Repeated    uint64 // published before: nothing was done
	Refused     uint64 // the key was used for another message
	Unsure      uint64 // published though a node did not say whether it had
	Unavailable uint64 // another try was under way for too long, or too many were
	Limited     uint64 // refused, as one session had used its share of keys
	Forgotten   uint64 // keys forgotten before their time: once.Limit
	Keys        int    // remembered now
}

// keys are the idempotency keys that this node knows of, and its tries to publish with one.
type keys struct {
	mu     sync.Mutex // a leaf
	table  *once.Table
	trying map[once.Key]*tried
	deaf   map[wire.NodeID]bool // said nothing for all of once.Patience, and were cut off

	noticed chan struct{} // made by the first key, closed when notices come, or might

	first, repeated, refused, unsure, unavailable, limited atomic.Uint64
}

// tried is a try under way.
type tried struct {
	n     uint64 // of its claims
	ended chan struct{}
	news  chan struct{} // capacity one: a notice of its key has come
}

func newKeys(id wire.NodeID, window time.Duration) *keys {
	return &keys{table: once.New(once.Config{ID: id, Window: window}), trying: map[once.Key]*tried{}, deaf: map[wire.NodeID]bool{}}
}

func (k *keys) stats() KeyedStats {
	k.mu.Lock()
	defer k.mu.Unlock()
	return KeyedStats{First: k.first.Load(), Repeated: k.repeated.Load(), Refused: k.refused.Load(), Unsure: k.unsure.Load(),
		Unavailable: k.unavailable.Load(), Limited: k.limited.Load(), Forgotten: k.table.Forgotten(), Keys: k.table.Len()}
}

// IdempotencyKey makes a message happen once, however often and at whichever nodes it is
// published with this key in this namespace: Emit, EmitArgs and Direct do nothing and return nil if
// it has been published in the last two minutes (or Config.Recovery, if that is longer). With a key that was used for
// another message they return an error with CodeInvalid. They ask all other nodes, and so wait for a round trip; for a
// second when a node does not answer, and then publish all the same; and for five seconds at most for
// another try that is under way, which then is an error with CodeUnavailable. Handlers of OnInline
// must not wait so long, see Event.Wait.
//
// A key has 1 to MaxIdempotencyKey bytes; "" is none. Whoever can guess a key can keep its message from being
// published. EmitWithAck takes none.
func (o Operator) IdempotencyKey(key string) Operator {
	o.key = key
	return o
}

// CheckIdempotencyKey says what is wrong with a key, if anything is.
func CheckIdempotencyKey(key string) error {
	if key == "" || len(key) > MaxIdempotencyKey {
		return Errorf(CodeInvalid, "idempotency_key must have 1 to %d bytes", MaxIdempotencyKey)
	}
	return nil
}

// Why a publish with a key did not happen.
var (
	errOtherMessage = Errorf(CodeInvalid, "the idempotency_key was used for another message")
	errUnderway     = Errorf(CodeUnavailable, "another try with this idempotency_key is under way")
	errShare        = Errorf(CodeLimit, "more than %d messages with an idempotency_key in %v", keyShare, once.Window)
	errTooManyTries = Errorf(CodeLimit, "more than %d publishes with an idempotency_key are under way", once.Limit)
)

// send publishes m, once if there is a key. Unless there is an error it calls done, which may be nil, when
// the message has its copies, as publishSafely does; at once if it was published before.
func (o Operator) send(m *wire.Message, done func(error)) error {
	if o.key == "" {
		return o.node.publishSafely(m, o.local, done)
	}
	return o.sendKeyed(m, done)
}

// sendKeyed is apart from send as its function makes an Operator escape.
func (o Operator) sendKeyed(m *wire.Message, done func(error)) error {
	return o.sendOnce(m, done, func(notice *wire.Message) error { return o.node.publishSafely(m, o.local, done, notice) })
}

// directOnce is Direct with a key: whether the socket is there matters for the first try only.
func (o Operator) directOnce(id string, owner wire.NodeID, event string, args wire.Args, attachments [][]byte) error {
	o.rooms = []string{id}
	payload, err := joinEvent(event, args, attachments)
	if err != nil {
		return err
	}
	m, err := o.message(payload, attachments)
	if err != nil {
		return err
	}
	return o.sendOnce(m, nil, func(notice *wire.Message) error {
		if !o.node.reachable(wire.SessionID(id), owner, o.namespace) {
			return noSocket(id)
		}
		return o.node.publishSafely(m, o.local, nil, notice)
	})
}

// sendOnce calls publish if the key has not been used, with a message that is to go out behind m, and
// otherwise done.
func (o Operator) sendOnce(m *wire.Message, done func(error), publish func(notice *wire.Message) error) error {
	if err := CheckIdempotencyKey(o.key); err != nil {
		return err
	}
	n, k, h := o.node, once.KeyOf(o.namespace, o.key), once.HashOf(m)
	send := func() (once.Place, error) {
		err := publish(notice(once.Notice{Key: k, Hash: h}, m.Flags))
		return once.Place{Origin: n.ID(), Stream: m.Flags.Stream(), Seq: m.Seq}, err
	}
	v, err := n.attempt(k, h, n.shareOf(o.from), send)
	if v == once.Repeated && done != nil {
		n.whenCopied(k, m, o.local, done)
	}
	return err
}

// attempt is one publish with a key, and what came of it.
func (n *Node) attempt(k once.Key, h once.Hash, of *keyShares, publish func() (once.Place, error)) (once.Verdict, error) {
	for end := time.Now().Add(once.Bound); ; {
		v, a := n.keys.begin(k, h, n.now())
		switch {
		case v == once.Ask && !n.keys.take(of, n.now()):
			n.endTry(k, a, false, once.Place{})
			return once.Full, errShare
		case v == once.Ask:
			return n.try(k, a, end, publish)
		case v == once.Underway && a.wait(end):
		default:
			return v, n.keys.outcome(v)
		}
	}
}

// try asks the other nodes, and publishes if it is this one's turn.
func (n *Node) try(k once.Key, a *tried, end time.Time, publish func() (once.Place, error)) (v once.Verdict, err error) {
	v = n.askAgain(k, a, end)
	published, at := false, once.Place{}
	if v == once.Publish || v == once.Unsure {
		at, err = publish()
		published = err == nil
	}
	if err == nil {
		err = n.keys.outcome(v)
	}
	n.endTry(k, a, published, at)
	if !published && v != once.Repeated && v != once.Other { // others have noted the claim
		n.publish(notice(once.Notice{Key: k, Released: true, N: a.n}, 0), false) // fails when the node ends, and its claims with it
	}
	return v, err
}

// now is the clock of the table.
func (n *Node) now() time.Duration { return time.Since(n.started) }

// begin begins a try, or gives the one that is under way.
func (k *keys) begin(key once.Key, h once.Hash, now time.Duration) (once.Verdict, *tried) {
	k.mu.Lock()
	defer k.mu.Unlock()
	v := k.table.Begin(key, h, now)
	if v == once.Ask {
		k.trying[key] = &tried{n: k.table.Claim(key).N, ended: make(chan struct{}), news: make(chan struct{}, 1)}
	}
	return v, k.trying[key]
}

// endTry lets those of this node go on who wait for a try.
func (n *Node) endTry(key once.Key, a *tried, published bool, at once.Place) {
	k := n.keys
	k.mu.Lock()
	k.table.End(key, published, at, n.now())
	delete(k.trying, key)
	k.mu.Unlock()
	close(a.ended)
}

// wait tells whether a try ended in time.
func (a *tried) wait(end time.Time) bool {
	t := time.NewTimer(time.Until(end))
	defer t.Stop()
	select {
	case <-a.ended:
		return true
	case <-t.C:
		return false
	}
}

// outcome counts what came of a publish, and is what its caller is told.
func (k *keys) outcome(v once.Verdict) error {
	switch v {
	case once.Publish:
		k.first.Add(1)
	case once.Unsure:
		k.unsure.Add(1)
	case once.Repeated:
		k.repeated.Add(1)
	case once.Other:
		k.refused.Add(1)
		return errOtherMessage
	case once.Full:
		k.unavailable.Add(1)
		return errTooManyTries
	default:
		k.unavailable.Add(1)
		return errUnderway
	}
	return nil
}
