package plain

import (
	"sync/atomic"

	"github.com/meshrt/meshrt/web/ws"
)

// Stats is what a Server has counted since NewServer. The numbers are read one
// after the other, so they may be off by what happened meanwhile. All but Streams
// is of websockets.
type Stats struct {
	Open    int               // connections now
	Opened  uint64            // connections ever
	Closed  map[string]uint64 // connections ended, by reason; those of a "slow client" lost what waited
	Refused map[string]uint64 // requests answered with an HTTP error, by reason

	Commands uint64 // of clients, that the node was given
	Invalid  uint64 // messages of clients that were no command
	Delayed  uint64 // messages that waited for Config.Rate

	Slow            map[ws.Slow]uint64 // those of Closed with "slow client"
	VolatileDropped uint64             // volatile events that a client did not get

	Untold uint64 // events and answers that have no form as plain JSON: no client got them

	MessagesIn, MessagesOut uint64 // text and binary, all kinds
	BytesIn, BytesOut       uint64 // of those, without frame headers

	Streams StreamStats
}

// StreamStats is the same of event streams.
type StreamStats struct {
	Open    int               // streams now
	Opened  uint64            // streams ever
	Closed  map[string]uint64 // streams ended, by reason; those of a "slow client" lost what waited
	Refused map[string]uint64 // requests that got no session, by reason

	Slow            map[ws.Slow]uint64
	VolatileDropped uint64

	Untold    uint64 // events that have no form: no client got them
	EventsOut uint64
	BytesOut  uint64 // of those, without the framing of HTTP
}

// refusal is why a request got no connection or stream.
type refusal int

const (
	refusedNoWebSocket refusal = iota // websockets only: up to here, and the next
	refusedHandshake

	refusedShutdown // both
	refusedByAccept

	refusedRequest // streams only, from here
	refusedNoStream
	refusedByNode
	refusedUnavailable
	refusedGone
	refusedEnd // counts them
)

// refusals are the names to count under.
var refusals = [refusedEnd]string{
	refusedNoWebSocket: "not a websocket",
	refusedHandshake:   "bad handshake",
	refusedShutdown:    "server shutting down",
	refusedByAccept:    "forbidden",
	refusedRequest:     "bad request",
	refusedNoStream:    "cannot stream",
	refusedByNode:      "connection refused",
	refusedUnavailable: "unavailable",
	refusedGone:        "client gone",
}

// counters are the numbers behind Stats.
type counters struct {
	sockets, streams           endpoint
	commands, invalid, delayed atomic.Uint64
}

// endpoint is what both kinds of clients count.
type endpoint struct {
	open           atomic.Int64
	opened, untold atomic.Uint64
	volatile       atomic.Uint64
	slow           [ws.SlowEnd]atomic.Uint64
	closed         [reasonEnd]atomic.Uint64
	refused        [refusedEnd]atomic.Uint64
	traffic        ws.Traffic
}

func (e *endpoint) enter() {
	e.opened.Add(1)
	e.open.Add(1)
}

func (e *endpoint) leave(why reason) {
	e.closed[why].Add(1)
	e.open.Add(-1)
}

// Stats is a snapshot.
func (s *Server) Stats() Stats {
	c := &s.counters
	e := &c.sockets
	return Stats{
		Open: int(e.open.Load()), Opened: e.opened.Load(), Closed: e.closedBy(socketReasons),
		Refused:  e.refusedBy(refusedNoWebSocket, refusedByAccept),
		Commands: c.commands.Load(), Invalid: c.invalid.Load(), Delayed: c.delayed.Load(), Untold: e.untold.Load(),
		MessagesIn: e.traffic.MessagesIn.Load(), MessagesOut: e.traffic.MessagesOut.Load(),
		BytesIn: e.traffic.BytesIn.Load(), BytesOut: e.traffic.BytesOut.Load(),
		Slow: e.slowBy(), VolatileDropped: e.volatile.Load(),
		Streams: c.streams.streamStats(),
	}
}

func (e *endpoint) streamStats() StreamStats {
	return StreamStats{
		Open: int(e.open.Load()), Opened: e.opened.Load(), Closed: e.closedBy(streamReasons),
		Slow: e.slowBy(), VolatileDropped: e.volatile.Load(),
		Refused: e.refusedBy(refusedShutdown, refusedEnd-1), Untold: e.untold.Load(),
		EventsOut: e.traffic.MessagesOut.Load(), BytesOut: e.traffic.BytesOut.Load(),
	}
}

// closedBy names those that can happen, also while they have not.
func (e *endpoint) closedBy(reasons []reason) map[string]uint64 {
	m := make(map[string]uint64)
	for _, r := range reasons {
		m[r.String()] = e.closed[r].Load()
	}
	return m
}

func (e *endpoint) slowBy() map[ws.Slow]uint64 {
	m := make(map[ws.Slow]uint64)
	for cause := ws.SlowBytes; cause < ws.SlowEnd; cause++ {
		m[cause] = e.slow[cause].Load()
	}
	return m
}

func (e *endpoint) refusedBy(first, last refusal) map[string]uint64 {
	m := make(map[string]uint64)
	for r := first; r <= last; r++ {
		m[refusals[r]] = e.refused[r].Load()
	}
	return m
}
