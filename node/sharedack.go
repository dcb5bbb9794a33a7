package node

import (
	"context"
	"encoding/json"
	"sync"
)

// SharedAck is the argument list of an ack that may be large and is the same for many clients: made once, and
// shared while it waits for them. It is immutable.
type SharedAck struct {
	args    json.RawMessage
	encoded [formats]struct {
		once  sync.Once
		value any
	}
}

// Args is its JSON text.
func (a *SharedAck) Args() json.RawMessage { return a.args }

// Encoded is what a protocol makes of it for all its clients, as Delivery.Encoded is.
func (a *SharedAck) Encoded(f Format, encode func(*SharedAck) any) any {
	e := &a.encoded[f]
	e.once.Do(func() { e.value = encode(a) })
	return e.value
}

// Answerer is what a Sink may be besides: it takes a Delivery.Shared whatever waits for the client, and
// says when that is out.
type Answerer interface {
	// Answered is closed when no answer waits for the client any more, or it is gone; nil: none does now.
	Answered() <-chan struct{}
}

// AckShared is Ack with a SharedAck, which may be larger than what may wait for a client. It does not wait
// for it to be out: a handler that makes such answers calls Session.WaitAnswered before.
func (e *Event) AckShared(a *SharedAck) {
	if !e.HasAck || e.acked.Swap(true) {
		return
	}
	handed := make(chan struct{})
	e.Session.answer.Store(&handed)
	e.Session.tell(&Delivery{Kind: KindAck, AckID: e.AckID, Args: a.args, Shared: a, handed: handed})
}

// WaitAnswered returns when the client has been sent what AckShared gave it, so that one answer at most
// waits for a client that asks and does not read. ErrClosed: the session or its node has ended.
func (s *Session) WaitAnswered(ctx context.Context) error {
	handed := s.answer.Load()
	if handed == nil {
		return nil
	}
	if err := s.until(ctx, *handed); err != nil {
		return err
	}
	if a, ok := s.sink.(Answerer); ok {
		if out := a.Answered(); out != nil {
			if err := s.until(ctx, out); err != nil {
				return err
			}
		}
	}
	s.answer.CompareAndSwap(handed, nil)
	return nil
}

func (s *Session) until(ctx context.Context, over <-chan struct{}) error {
	select {
	case <-over:
		return nil
	case <-s.Context().Done():
		return ErrClosed
	case <-s.node.done:
		return ErrClosed
	case <-ctx.Done():
		return &Error{Code: CodeLimit, Message: "an answer still waits for this client to read it: ask again then", Err: ErrNotNow}
	}
}
