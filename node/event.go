package node

import (
	"strconv"
	"sync/atomic"

	"github.com/meshrt/meshrt/wire"
)

// Event is what a client emitted.
type Event struct {
	Session *Session
	Name    string
	// Args are the JSON texts of the arguments, without the name. They and the
	// Attachments, for which they have placeholders, may be kept.
	Args        wire.Args
	Attachments [][]byte

	// AckID and HasAck: the client wants an answer. Set by the protocol.
	AckID  uint64
	HasAck bool

	refusal error // of the protocol
	rest    func()
	acked   atomic.Bool
}

// Arg decodes argument i into v, which must be a pointer. One to a []byte takes
// a binary attachment, one to a json.RawMessage the argument as it came.
func (e *Event) Arg(i int, v any) error {
	return decodeArg("event "+strconv.Quote(e.Name), e.Args, e.Attachments, i, v)
}

// Ack answers the event if the client asked for that. Only the first answer
// counts; it may be given later and from anywhere. It arrives behind all that
// the session was sent before.
func (e *Event) Ack(args ...any) error {
	if !e.HasAck || e.acked.Load() {
		return nil
	}
	list, attachments, err := encodeArgs(args)
	if err != nil || e.acked.Swap(true) {
		return err
	}
	e.Session.tell(&Delivery{Kind: KindAck, AckID: e.AckID, Args: list.Join(), Attachments: attachments})
	return nil
}

// Wait has f run when the handler has returned and before the client's next event is handled, where it
// may wait: for handlers of OnInline, which must not. It is called once, by the handler.
func (e *Event) Wait(f func()) { e.rest = f }

// tell gives d to this session alone, if it is still there.
func (s *Session) tell(d *Delivery) bool {
	s.shard.waitSpace()
	var t turns
	defer func() { s.node.sweep(t) }() // after the lock is free
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	return s.addLocked(&t, item{op: opTell, d: d})
}

// Emit sends an event to this session's client. A client that can be recovered gets it then, if not now.
func (s *Session) Emit(event string, args ...any) error {
	m, err := s.message(event, args)
	switch {
	case err != nil:
		return err
	case s.kept != nil:
		return s.node.publish(m, false)
	}
	s.tell(&Delivery{Message: m})
	return nil
}

// message is event(args...) to this session's client.
func (s *Session) message(event string, args []any) (*wire.Message, error) {
	payload, attachments, err := encodeEvent(event, args)
	if err != nil {
		return nil, err
	}
	m := wire.NewMessage(wire.Envelope{Origin: s.node.ID(), Namespace: s.ns.name, Rooms: []string{string(s.id)}, Attachments: attachments}, payload)
	return m, checkSize(m.Size())
}

// Receive is called by the protocol for every event of the client, by one
// goroutine. Its handler runs when those of the events before have returned,
// which Receive does not wait for, unless very many wait. One of OnInline runs
// within Receive if they have. An event that nobody
// handles is answered with an error if it wants an answer.
func (s *Session) Receive(e *Event) {
	e.Session = s
	s.spoke.Store(true)
	s.node.stats.events.Add(1)
	if e.refusal == nil && s.ns.runsInline(e.Name) && s.backlog.begin() {
		s.handle(e)
		s.handleMore(e)
		return
	}
	if s.backlog.add(e) {
		go s.handleEvents() // Close waits for it
	}
}

// TryReceive is Receive if nobody need wait for that, and if not does nothing: then
// Receive is to be called. A handler of OnInline runs within it, unless publishers wait for
// links and shards now.
func (s *Session) TryReceive(e *Event) (received bool) {
	e.Session = s
	if s.ns.runsInline(e.Name) && s.backlog.begin() {
		if s.mayWait() {
			s.handleMore(nil)
			return false
		}
		s.spoke.Store(true)
		s.node.stats.events.Add(1)
		defer s.handleMore(e)
		s.handle(e)
		return true
	}
	start, added := s.backlog.tryAdd(e)
	if !added {
		return false
	}
	s.spoke.Store(true)
	s.node.stats.events.Add(1)
	if start {
		go s.handleEvents() // Close waits for it
	}
	return true
}

// mayWait says that a publisher, or who joins, would have to wait now.
func (s *Session) mayWait() bool {
	for _, shard := range s.node.shards {
		if shard.full.Load() {
			return true
		}
	}
	s.joins.Do(func() { s.joining = make(chan struct{}, maxJoins) })
	return len(s.joining) == maxJoins || s.node.cluster.Congested()
}

// handleMore finishes an event that was handled inline, if any, and has those handled that came meanwhile.
func (s *Session) handleMore(e *Event) {
	if e != nil && e.rest != nil {
		go func() { // Close waits for it
			s.handleRest(e)
			s.handleEvents()
		}()
		return
	}
	if e := s.backlog.next(); e != nil {
		go func() { // Close waits for it
			s.handle(e)
			s.handleRest(e)
			s.handleEvents()
		}()
	}
}

// handleRest runs what the handler of e has left to do.
func (s *Session) handleRest(e *Event) {
	if e.rest == nil {
		return
	}
	var err error
	defer func() {
		if err != nil {
			e.Ack(ResultOf(err))
		}
	}()
	defer s.node.recoverHandler(s.ID(), e.Name, &err)
	e.rest()
}

// Gone is the protocol's word that its connection is over, which must come before
// Close where Receive may be waiting: that gives its event up, and so do all
// later ones. What was received before is handled still. It takes no lock of the
// node, does not block and may be called from a Sink.
func (s *Session) Gone() { s.backlog.close() }

// Refuse is Receive for what the protocol cannot make an event of: err is its
// answer, in its turn.
func (s *Session) Refuse(e *Event, err error) {
	e.refusal = err
	s.Receive(e)
}

func (s *Session) handleEvents() {
	for e := s.backlog.next(); e != nil; e = s.backlog.next() {
		s.handle(e)
		s.handleRest(e)
	}
}

func (s *Session) handle(e *Event) {
	if err := s.dispatch(e); err != nil {
		e.Ack(ResultOf(err))
	}
}

func (s *Session) dispatch(e *Event) (err error) {
	if e.refusal != nil {
		return e.refusal
	}
	defer s.node.recoverHandler(s.ID(), e.Name, &err)
	if err := CheckEvent(e.Name); err != nil {
		return err
	}
	before, on, rest := s.ns.handlers(e.Name)
	for _, check := range before {
		if err := check(e); err != nil {
			return err
		}
	}
	if on != nil {
		on(e)
		return nil
	}
	for _, h := range rest {
		if h(e) {
			return nil
		}
	}
	s.node.stats.unhandled.Add(1)
	return Errorf(CodeInvalid, "no handler for event %.60q", e.Name)
}
