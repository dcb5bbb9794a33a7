package node

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/meshrt/meshrt/node/presence"
	"github.com/meshrt/meshrt/wire"
)

// who is the user of a session; it does not change once others may see it.
type who struct {
	user string
	info json.RawMessage
}

// Limits of SetUser, in bytes.
const (
	MaxUser     = presence.MaxUser
	MaxUserInfo = presence.MaxInfo // of the JSON
)

// SetUser says who the client is: lists of sockets and of presence show user, "" for nobody in
// particular, and info, as JSON, nil for none. Sockets of one user count as one member of a room.
// It is for handlers of OnConnect: when they have returned, others have seen who it is, and
// it is an error.
//
// With Config.Recovery a client gets its session back only as the same user, or nobody again: else a new session begins, for
// which the handlers run once more. That is decided when they have returned, see Session.Recovered.
func (s *Session) SetUser(user string, info any) error {
	w := &who{user: user}
	if info != nil {
		text, err := wire.MarshalJSON(info)
		if err != nil {
			return Errorf(CodeInvalid, "info of user: %v", err)
		}
		w.info = append(json.RawMessage(nil), text...)
	}
	switch {
	case len(user) > MaxUser:
		return Errorf(CodeLimit, "name of user: %d bytes, allowed are %d", len(user), MaxUser)
	case !utf8.ValidString(user):
		return Errorf(CodeInvalid, "name of user is not valid UTF-8")
	case len(w.info) > MaxUserInfo:
		return Errorf(CodeLimit, "info of user: %d bytes, allowed are %d", len(w.info), MaxUserInfo)
	}
	var calls []func()
	defer func() { s.node.afterwards(calls) }()
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	if s.state != sessionOpening {
		return Errorf(CodeInvalid, "the user of a session is set while it connects")
	}
	s.who = w
	if r := s.node.recovery; r != nil && r.open.has(s) {
		r.atLocked().SetUser(s.kept.pid, user)
		calls = r.applyLocked()
	}
	return nil
}

// User is what SetUser said, "" if nothing.
func (s *Session) User() (user string, info json.RawMessage) {
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	return s.userLocked()
}

func (s *Session) userLocked() (user string, info json.RawMessage) {
	if s.who == nil {
		return "", nil
	}
	return s.who.user, s.who.info
}
