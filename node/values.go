package node

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"

	"github.com/meshrt/meshrt/wire"
)

// Set keeps a value of the application with the session.
func (s *Session) Set(key, value any) { s.data.Store(key, value) }

// Get is the value that Set kept, nil if none.
func (s *Session) Get(key any) any {
	v, _ := s.data.Load(key)
	return v
}

// MaxData limits what SetData keeps, in bytes.
const MaxData = 16 << 10

// SetData keeps v, as JSON, where lists of the whole cluster show it: a user's
// name, say. nil keeps nothing. Values for this node alone are better kept by
// Set, which does not encode them. A session that is recovered has it, unless its node
// died within some 20 ms of the change.
func (s *Session) SetData(v any) error {
	if v == nil {
		return s.tellData(nil)
	}
	text, err := wire.MarshalJSON(v)
	switch {
	case err != nil:
		return Errorf(CodeInvalid, "data of session: %v", err)
	case len(text) > MaxData:
		return Errorf(CodeLimit, "data of session: %d bytes, allowed are %d", len(text), MaxData)
	}
	raw := json.RawMessage(bytes.Clone(text))
	return s.tellData(&raw)
}

func (s *Session) tellData(raw *json.RawMessage) error {
	var calls []func()
	defer func() { s.node.afterwards(calls) }()
	s.lockSettled()
	defer s.node.mu.Unlock()
	if s.movedTo != 0 {
		return ErrClosed
	}
	s.told.Store(raw)
	if r := s.node.recovery; r != nil && r.open.has(s) {
		r.atLocked().SetData(s.kept.pid, s.Data())
		calls = r.applyLocked()
	}
	return nil
}

// Data is the JSON of what SetData kept, nil if nothing. It must not be changed.
func (s *Session) Data() json.RawMessage {
	if p := s.told.Load(); p != nil {
		return *p
	}
	return nil
}

// Context ends when the session does: for what is done for this client alone.
func (s *Session) Context() context.Context { return s.life.context() }

// life is a context that is made when it is first asked for: most sessions of
// a relay never need one.
type life struct {
	mu     sync.Mutex // a leaf
	ctx    context.Context
	cancel context.CancelFunc
	ended  bool
}

func (l *life) context() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil {
		l.ctx, l.cancel = context.WithCancel(context.Background())
		if l.ended {
			l.cancel()
		}
	}
	return l.ctx
}

func (l *life) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.cancel != nil {
		l.cancel()
	}
}
