package node

import (
	"crypto/rand"
	"encoding/base64"

	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// Resume is what a client knows of a session that it had, on whichever node. Clients
// make things up: what it names may be nobody's.
type Resume struct {
	// PID is that session's: see Session.PID. "" is a new session.
	PID string
	// Cursor is Delivery.Cursor of the last event that came, "" if none had one.
	Cursor string
}

// pidBytes is the entropy of a PID, and pidLen the length of its text.
const (
	pidBytes = 16
	pidLen   = 22
)

func newPID() recovery.PID {
	var b [pidBytes]byte
	rand.Read(b[:])
	return recovery.PID(base64.RawURLEncoding.EncodeToString(b[:]))
}

// parse reads what a client has come with. False for what no node has made.
func (r Resume) parse() (pid recovery.PID, c recovery.Cursor, ok bool) {
	if len(r.PID) != pidLen {
		return "", c, false
	}
	if b, err := base64.RawURLEncoding.Strict().DecodeString(r.PID); err != nil || len(b) != pidBytes {
		return "", c, false
	}
	if r.Cursor != "" {
		if c, ok = recovery.ParseCursor(r.Cursor); !ok {
			return "", c, false
		}
	}
	return recovery.PID(r.PID), c, true
}

// PID is the secret by which the client gets this session back, for Config.Recovery after its
// connection has ended: 22 characters of base64. It is for the client's eyes alone, not
// for logs and lists. It stays the same when a session is recovered. "" when there is no
// recovery, in general or for this session.
func (s *Session) PID() string {
	if s.kept == nil {
		return ""
	}
	return string(s.kept.pid)
}

// Recovered tells that this is the session of SessionConfig.Resume: it has that one's id, rooms and
// data of SetData, and its client gets what it has missed, in order and once, behind the
// KindConnect. Values of Set and Context are not back. OnConnect handlers see it, too, and they run for it, unlike the official server's
// middlewares: their error refuses the client, whose session waits for the next try; who is not the user of before, see SetUser, gets a new one.
// Rooms and data are there when they run, and what they change is changed: a Join adds, a Leave takes away, SetData replaces. The client may be
// told with its KindConnect, as before that it may turn out that something is lost, and
// Open begins a new session, for which the handlers run again.
func (s *Session) Recovered() bool { return s.kept != nil && s.kept.recovered }

// Lost is Close for a client that has ended its connection without a goodbye: a broken connection, a
// heartbeat that is missing, a transport that was closed. It may come back, see
// SessionConfig.Resume. OnDisconnect handlers run now, as with Close. Close is for ends on purpose: a
// disconnect packet, or the server's wish.
func (s *Session) Lost(reason string) {
	if s.markClosed(reason, true) {
		s.finish(reason)
	}
}

// Cutter is what a Sink may be besides: it can end the client's connection without a word, so that
// the client comes back by itself. One that cannot is closed with its connection. What holds for Close holds for it.
type Cutter interface {
	Cut()
}

// kept is what recovery has to do with a session. What is not said to be fixed is guarded by Node.mu.
type kept struct {
	pid       recovery.PID // fixed
	recovered bool         // fixed
	outside   bool         // its shard has it in no room of these yet
	enters    map[string]struct{}
	joins     map[string][]func(error)
	leaves    map[string][]func(error)
	at        int    // in residents.list
	heard     uint64 // place of its last delivery when quiet looked at it

	replay *replay
	unsent *unsentReplay // fixed when its shard has the replay; nil it is empty
}

// keep makes s a session that can be recovered.
func (s *Session) keep(pid recovery.PID, recovered bool) {
	s.kept = &kept{pid: pid, recovered: recovered, outside: true}
}

// outside tells whether the shard of s is to know of its rooms later. Node.mu is held.
func (s *Session) outside() bool { return s.kept != nil && s.kept.outside }

// enterLocked makes a session that was outside a member of its rooms at its shard, all at
// once: from this place in the order on.
func (s *Session) enterLocked() {
	s.kept.outside = false
	s.pushLocked(item{op: opHold})
	s.pushLocked(item{op: opJoin, topic: wire.Topic{Namespace: s.ns.name}})
	for r := range s.kept.enters {
		s.pushLocked(item{op: opJoin, topic: wire.Topic{Namespace: s.ns.name, Room: r}})
	}
	s.kept.enters = nil
}
