package node

// release opens a session: d comes first, then what waited. One for which more
// came than may wait has lost some of it and is ended.
func (s *shard) release(x *Session, d *Delivery) {
	pending := x.pending
	x.held, x.pending = false, nil
	delete(s.gated, x)
	if d != nil { // else its client is connected already: it has moved here
		s.give(x, d)
	}
	more := len(pending) > maxHeld
	pending = pending[:min(len(pending), maxHeld)]
	if k := x.kept; k != nil && k.replay != nil {
		var missed []due
		missed, pending = k.replay.missed(pending)
		k.replay = nil
		for _, p := range missed {
			s.give(x, p.delivery())
		}
		if k.unsent != nil {
			k.unsent.given.Store(true)
		}
	}
	for _, p := range pending {
		s.give(x, p)
	}
	switch {
	case more && x.kept != nil:
		s.cut(x) // and gets it when it is back
	case more:
		s.end(x, true)
	}
}

// maxHeld limits the deliveries that wait for a session to be open.
const maxHeld = 4096

// end closes a session's Sink behind what was delivered; nothing comes after.
func (s *shard) end(x *Session, connection bool) {
	switch {
	case x.dropped:
	case x.held:
		x.pending = append(x.pending, &Delivery{Kind: kindEnd, flag: connection})
	default:
		s.drop(x)
		x.sink.Flush()
		x.sink.Close(connection)
	}
}

// cut ends the connection of a session that goes on elsewhere.
func (s *shard) cut(x *Session) {
	if x.dropped {
		return
	}
	s.drop(x)
	if c, ok := x.sink.(Cutter); ok {
		c.Cut()
	} else {
		x.sink.Close(true)
	}
}
