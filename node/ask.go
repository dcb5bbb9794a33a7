package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// Limits of acks. Beyond MaxAcks an event that asks is not delivered to that
// session; beyond maxAnswerBytes the answers of a node's clients to one event
// are thrown away. Either is told as the Reason of a Silence.
const (
	// MaxAcks is how many answers of one session may be waited for at a time.
	MaxAcks = 1000
	// maxAnswerBytes fits into the answer of one node to another (wire.MaxBody).
	maxAnswerBytes = 8 << 20
)

// Reasons of a Silence.
const (
	silenceTimeout  = "timeout"
	silenceGone     = "client is gone"
	silenceReadOnly = "client cannot answer" // an event stream
	silenceLimit    = "limit"
)

// Answer is what a client answered to an event.
type Answer struct {
	Socket string // id of its session
	// Args are the JSON texts of the arguments, with placeholders for the Attachments.
	Args        wire.Args
	Attachments [][]byte
}

// Arg decodes argument i into v, as Event.Arg does.
func (a Answer) Arg(i int, v any) error { return decodeArg("answer", a.Args, a.Attachments, i, v) }

// Silence is a client that was sent an event and did not answer it.
type Silence struct {
	Socket string // id of its session
	Reason string // timeout, "client is gone", "client cannot answer", limit
}

// ask gathers the answers of this node's clients to one event. The shards say
// who gets the event, each for its sessions and in the order of everything
// else that they deliver; then the answers come from the clients' readers.
type ask struct {
	id    uint64 // the number that clients see, the same for all of them
	stats *counters
	done  chan struct{} // closed when nothing is waited for

	// mu is held around Session.acks.mu, never the other way round.
	mu      sync.Mutex
	shards  int // that have not delivered the event yet
	waiting map[*Session]struct{}
	answers []Answer
	silent  []Silence
	bytes   int  // of answers
	ended   bool // nothing changes any more

	unclaimed *time.Timer // of another node's: ends it if no request comes
}

// newAsk is for an event that so many shards will deliver.
func (n *Node) newAsk(shards int) *ask {
	a := &ask{id: n.asks.Add(1), stats: &n.stats, done: make(chan struct{}), shards: shards, waiting: map[*Session]struct{}{}}
	if shards == 0 {
		a.ended = true
		close(a.done)
	}
	return a
}

// expect makes x one of those that are waited for. False means that the event
// is not to be delivered to it.
func (a *ask) expect(x *Session) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return true // too late to hear the answer, which no event needs
	}
	why := silenceReadOnly
	if x.handshake.Protocol != "sse" {
		why = x.acks.add(a)
	}
	if why == "" {
		a.waiting[x] = struct{}{}
		return true
	}
	a.silent = append(a.silent, Silence{string(x.id), why})
	return why == silenceReadOnly
}

// delivered says that one shard has seen the event.
func (a *ask) delivered() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shards--
	a.settleLocked()
}

// answer takes what x, which is waited for no more, has answered.
func (a *ask) answer(x *Session, answer Answer) {
	size := 64
	for _, b := range answer.Attachments {
		size += len(b)
	}
	for _, b := range answer.Args {
		size += len(b)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.waiting[x]; !ok {
		a.stats.acksIgnored.Add(1) // its end has just come
		return
	}
	delete(a.waiting, x)
	if a.bytes += size; a.bytes > maxAnswerBytes {
		a.bytes -= size
		a.silent = append(a.silent, Silence{answer.Socket, silenceLimit})
		a.stats.acksRefused.Add(1)
	} else {
		a.answers = append(a.answers, answer)
	}
	a.settleLocked()
}

// gone takes note of the end of x.
func (a *ask) gone(x *Session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.waiting[x]; !ok {
		return
	}
	delete(a.waiting, x)
	a.silent = append(a.silent, Silence{string(x.id), silenceGone})
	a.settleLocked()
}

func (a *ask) settleLocked() {
	if !a.ended && a.shards == 0 && len(a.waiting) == 0 {
		a.ended = true
		close(a.done)
	}
}

// wait returns when all have answered or are gone, or ctx or the node ends. Who
// has not answered by then is waited for no more.
func (a *ask) wait(ctx context.Context, stop <-chan struct{}) ([]Answer, []Silence) {
	select {
	case <-a.done:
	case <-ctx.Done():
	case <-stop:
	}
	return a.end(silenceTimeout)
}

// end lets nobody wait any more, for the reason why.
func (a *ask) end(why string) ([]Answer, []Silence) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	for x := range a.waiting {
		x.acks.remove(a.id)
		a.silent = append(a.silent, Silence{string(x.id), why})
	}
	clear(a.waiting)
	return a.answers, a.silent
}

// acks are the asks for which a session owes an answer.
type acks struct {
	mu     sync.Mutex // a leaf
	owed   map[uint64]*ask
	paid   chan struct{} // closed when nothing is owed; made by none
	closed bool
}

// add notes that the session owes a an answer, or says why it cannot.
func (c *acks) add(a *ask) (why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return silenceGone
	case len(c.owed) >= MaxAcks:
		a.stats.acksRefused.Add(1)
		return silenceLimit
	case c.owed == nil:
		c.owed = map[uint64]*ask{}
	}
	c.owed[a.id] = a
	return ""
}

// remove is the ask of that number, which is owed nothing any more, or nil.
func (c *acks) remove(id uint64) *ask {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.owed[id]
	delete(c.owed, id)
	if len(c.owed) == 0 && c.paid != nil {
		close(c.paid)
		c.paid = nil
	}
	return a
}

// none tells how many answers are owed, and is closed when there are none. It is for
// the end of a session, after which no ask comes.
func (c *acks) none() (owed int, paid <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.owed) > 0 {
		c.paid = make(chan struct{})
	}
	return len(c.owed), c.paid
}

// close lets all who wait for x know that it is gone.
func (c *acks) close(x *Session) {
	c.mu.Lock()
	owed := c.owed
	c.owed, c.closed = nil, true
	if c.paid != nil {
		close(c.paid)
		c.paid = nil
	}
	c.mu.Unlock()
	for _, a := range owed {
		a.gone(x)
	}
}

// EmitWithAck sends an event to this session's client and waits for its
// answer: until ctx ends, and then the error is ctx's, or until the client is
// gone, which is ErrGone. What comes later, twice or unasked is ignored. At
// most MaxAcks answers of a session can be waited for at a time.
//
// A handler may ask its own client: answers are read while it runs, and the
// client's next events wait for it to return. OnConnect handlers may not, as
// their client is not connected yet; a goroutine of theirs may.
func (s *Session) EmitWithAck(ctx context.Context, event string, args ...any) (Answer, error) {
	m, err := s.message(event, args)
	if err != nil {
		return Answer{}, err
	}
	if err := ctx.Err(); err != nil {
		return Answer{}, noAnswer(err.Error(), err)
	}
	a := s.node.newAsk(1)
	if !s.tell(&Delivery{Message: m, AckID: a.id, ask: a}) {
		return Answer{}, noAnswer(silenceGone, ErrGone)
	}
	answers, silent := a.wait(ctx, s.node.done)
	switch {
	case len(answers) == 1:
		return answers[0], nil
	case len(silent) == 1 && silent[0].Reason == silenceGone:
		return Answer{}, noAnswer(silenceGone, ErrGone)
	case len(silent) == 1 && silent[0].Reason == silenceReadOnly:
		return Answer{}, noAnswer(silenceReadOnly, ErrReadOnly)
	case len(silent) == 1 && silent[0].Reason == silenceLimit:
		return Answer{}, Errorf(CodeLimit, "more than %d answers of the client, or %d bytes, are waited for", MaxAcks, maxAnswerBytes)
	case ctx.Err() != nil:
		return Answer{}, noAnswer(ctx.Err().Error(), ctx.Err())
	}
	return Answer{}, noAnswer("the node stops", ErrClosed)
}

// Why a client did not answer; the other reasons are the context's.
var (
	ErrGone     = errors.New("client is gone")
	ErrReadOnly = errors.New("client cannot answer") // it reads an event stream
)

func noAnswer(why string, err error) error {
	return &Error{Code: CodeUnavailable, Message: "no answer: " + why, Err: err}
}

// ReceiveAck is called by the protocol for every answer of the client to an
// event whose Delivery had that AckID. It does not block.
func (s *Session) ReceiveAck(id uint64, args wire.Args, attachments [][]byte) {
	a := s.acks.remove(id)
	switch {
	case a == nil && s.owing > 0:
		s.owing--
		s.node.passAck(s, id, args, attachments)
		return
	case a == nil:
		s.node.stats.acksIgnored.Add(1)
		return
	}
	a.answer(s, Answer{Socket: string(s.id), Args: args, Attachments: attachments})
}
