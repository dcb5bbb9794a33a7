package engineio

import (
	"maps"
	"sync/atomic"

	"github.com/meshrt/meshrt/web/ws"
)

// Stats is what a Server has counted since NewServer. The numbers are read one
// after the other, so they may be off by what happened meanwhile.
type Stats struct {
	Open     map[string]int    // sessions now, by transport
	Opened   uint64            // sessions ever
	Upgraded uint64            // sessions that moved from polling to a websocket
	Closed   map[Reason]uint64 // sessions ended; those with ReasonSlow lost what waited
	Refused  map[string]uint64 // requests answered with an error, by its official name; "Forbidden" is Accept's and Run's

	Delayed         uint64             // messages that waited for Config.Rate
	Slow            map[ws.Slow]uint64 // those of Closed with ReasonSlow
	VolatileDropped uint64             // groups of SendVolatile that were dropped
	SlowReads       uint64             // see ws.Poller.Slow

	PacketsIn, PacketsOut uint64 // all types, on both transports
	BytesIn, BytesOut     uint64 // of packets as websocket messages, without frame headers, HTTP and base64
}

// counters are the numbers behind Stats that are touched without a lock.
type counters struct {
	opened   atomic.Uint64
	upgraded atomic.Uint64
	closed   [reasonEnd]atomic.Uint64
	refused  [codeEnd]atomic.Uint64
	delayed  atomic.Uint64
	volatile atomic.Uint64
	slow     [ws.SlowEnd]atomic.Uint64
	traffic  ws.Traffic // a packet is a message
}

// Stats takes the Server's lock for a moment.
func (s *Server) Stats() Stats {
	c := &s.counters
	stats := Stats{
		Open:     s.open(),
		Opened:   c.opened.Load(),
		Upgraded: c.upgraded.Load(),
		Closed:   make(map[Reason]uint64),
		Refused:  make(map[string]uint64),
		Delayed:  c.delayed.Load(),
		Slow:     make(map[ws.Slow]uint64),

		VolatileDropped: c.volatile.Load(), SlowReads: s.websockets.Poller.Slow(),
		PacketsIn: c.traffic.MessagesIn.Load(), PacketsOut: c.traffic.MessagesOut.Load(),
		BytesIn: c.traffic.BytesIn.Load(), BytesOut: c.traffic.BytesOut.Load(),
	}
	for r := Reason(1); r < reasonEnd; r++ {
		stats.Closed[r] = c.closed[r].Load()
	}
	for cause := ws.SlowBytes; cause < ws.SlowEnd; cause++ {
		stats.Slow[cause] = c.slow[cause].Load()
	}
	for code := range codeEnd {
		stats.Refused[code.String()] = c.refused[code].Load()
	}
	return stats
}

// open copies the numbers of sessions by transport.
func (s *Server) open() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.using)
}
