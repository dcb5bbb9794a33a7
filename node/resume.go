package node

// Resume is what a client knows of a session that it had, on whichever node. Clients
// make things up: what it names may be nobody's.
type Resume struct {
	// PID is that session's: see Session.PID. "" is a new session.
	PID string
	// Cursor is Delivery.Cursor of the last event that came, "" if none had one.
	Cursor string
}

// PID is the secret by which the client gets this session back, for Config.Recovery after its
// connection has ended: 22 characters of base64. It is for the client's eyes alone, not
// for logs and lists. It stays the same when a session is recovered. "" when there is no
// recovery, in general or for this session.
func (s *Session) PID() string { return "" }

// Recovered tells that this is the session of SessionConfig.Resume: it has that one's id, rooms and
// data of SetData, and its client gets what it has missed, in order and once, behind the
// KindConnect. Values of Set and Context are not back. OnConnect handlers see it, too; the client may be
// told when Open has returned, as before that it may turn out that something is lost, and
// Open begins a new session.
func (s *Session) Recovered() bool { return false }

// Lost is Close for a client that has ended its connection without a goodbye: a broken connection, a
// heartbeat that is missing, a transport that was closed. It may come back, see
// SessionConfig.Resume. OnDisconnect handlers run now, as with Close. Close is for ends on purpose: a
// disconnect packet, or the server's wish.
func (s *Session) Lost(reason string) { s.Close(reason) }
