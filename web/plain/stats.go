package plain

import (
	"sync/atomic"

	"github.com/meshrt/meshrt/web/ws"
)

// Stats is what a Server has counted since NewServer. The numbers are read one
// after the other, so they may be off by what happened meanwhile.
type Stats struct {
	Open    int               // connections now
	Opened  uint64            // connections ever
	Closed  map[string]uint64 // connections ended, by reason; those of a "slow client" lost what waited
	Refused map[string]uint64 // requests answered with an HTTP error, by reason

	Commands uint64 // of clients, that the node was given
	Invalid  uint64 // messages of clients that were no command
	Untold   uint64 // events and answers that have no form as plain JSON: no client got them

	MessagesIn, MessagesOut uint64 // text and binary, all kinds
	BytesIn, BytesOut       uint64 // of those, without frame headers
}

// refusal is why a request got no connection.
type refusal int

const (
	refusedShutdown refusal = iota
	refusedNoWebSocket
	refusedByAccept
	refusedHandshake
	refusedEnd // counts them
)

// String is the name to count under.
func (r refusal) String() string {
	return [refusedEnd]string{"server shutting down", "not a websocket", "forbidden", "bad handshake"}[r]
}

// counters are the numbers behind Stats.
type counters struct {
	opened                    atomic.Uint64
	closed                    [reasonEnd]atomic.Uint64
	refused                   [refusedEnd]atomic.Uint64
	commands, invalid, untold atomic.Uint64
	traffic                   ws.Traffic
}

// Stats is a snapshot.
func (s *Server) Stats() Stats {
	c := &s.counters
	stats := Stats{
		Open:   s.roster.Len(),
		Opened: c.opened.Load(),
		Closed: make(map[string]uint64), Refused: make(map[string]uint64),
		Commands: c.commands.Load(), Invalid: c.invalid.Load(), Untold: c.untold.Load(),
		MessagesIn: c.traffic.MessagesIn.Load(), MessagesOut: c.traffic.MessagesOut.Load(),
		BytesIn: c.traffic.BytesIn.Load(), BytesOut: c.traffic.BytesOut.Load(),
	}
	for r := reason(1); r < reasonEnd; r++ {
		stats.Closed[r.String()] = c.closed[r].Load()
	}
	for r := range refusedEnd {
		stats.Refused[r.String()] = c.refused[r].Load()
	}
	return stats
}
