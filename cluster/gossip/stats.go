package gossip

import "sync/atomic"

// Stats counts since New. Members and Health are of now.
type Stats struct {
	Members int
	// Health is memberlist's opinion of this node itself: 0 is healthy, up to 8
	// when it is too slow or too cut off to judge others.
	Health int

	Joins, JoinErrors     uint64 // attempts; those that failed
	Lookups, LookupErrors uint64 // of names among the seeds
	// Refused counts what was said about nodes and not believed: bad metadata,
	// an address that is not allowed, more than 4096 members.
	Refused uint64
	// Conflicts counts one name at two addresses.
	Conflicts uint64
	// PacketsOut tells when to rotate the secret: before 2^32 under one key.
	PacketsIn, PacketsOut uint64
	PacketErrors          uint64 // reads and writes that failed
	PacketsRefused        uint64 // of another cluster name or secret, or damaged
	MessagesDropped       uint64 // the queue of 4096 was full
	StreamsRefused        uint64 // more than 256 came in at a time
	LearnDropped          uint64 // addresses given to Learn that were no ip:port, or too many at once
	Forgotten             uint64 // addresses dropped because 4096 are remembered already
	PeersFileErrors       uint64 // of Config.PeersFile: writes that failed
}

// counters is what Stats is made of.
type counters struct {
	joins, joinErrors, lookups, lookupErrors     atomic.Uint64
	refused, conflicts                           atomic.Uint64
	packetsIn, packetsOut, packetErrors          atomic.Uint64
	packetsRefused, messagesDropped              atomic.Uint64
	streamsRefused, learnDropped, forgottenAddrs atomic.Uint64
	peersFileErrors                              atomic.Uint64
}

// Stats may be called at any time.
func (g *Gossip) Stats() Stats {
	c := &g.count
	s := Stats{
		Members: g.table.count(),
		Joins:   c.joins.Load(), JoinErrors: c.joinErrors.Load(),
		Lookups: c.lookups.Load(), LookupErrors: c.lookupErrors.Load(),
		Refused: c.refused.Load(), Conflicts: c.conflicts.Load(),
		PacketsIn: c.packetsIn.Load(), PacketsOut: c.packetsOut.Load(),
		PacketErrors: c.packetErrors.Load(), PacketsRefused: c.packetsRefused.Load(),
		MessagesDropped: c.messagesDropped.Load(), StreamsRefused: c.streamsRefused.Load(),
		LearnDropped: c.learnDropped.Load(), Forgotten: c.forgottenAddrs.Load(),
		PeersFileErrors: c.peersFileErrors.Load(),
	}
	if ml := g.list.Load(); ml != nil {
		s.Health = ml.GetHealthScore()
	}
	return s
}
