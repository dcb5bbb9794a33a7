package bench

import (
	"fmt"
	"math"
	"time"
)

// plan is who is there and who gets what. Connections have ids: the publishers
// first, then the subscribers, room by room, then the slow ones. With joins, those that are
// together in one room are together in the following ones too. A stream is what one publisher
// sends to one room, numbered from 0; those of a room have ids beside each other.
type plan struct {
	rooms, perRoom int // subscribers
	joins          int // rooms of each subscriber
	publishers     int
	slow           int
	streams        int // of each room
}

func newPlan(c Config) plan {
	p := plan{rooms: c.Rooms, perRoom: c.Clients, joins: c.Joins, publishers: c.Publishers, slow: c.Slow, streams: c.Publishers}
	if c.Scenario == Rooms {
		p.streams = 1
	}
	return p
}

func (p plan) subscribers() int { return p.rooms / p.joins * p.perRoom }

func (p plan) conns() int { return p.publishers + p.subscribers() + p.slow }

// room is the first of a connection; -1 for a publisher, which is in none.
func (p plan) room(id int) int {
	switch {
	case id < p.publishers:
		return -1
	case p.isSlow(id):
		return 0
	}
	return (id - p.publishers) / p.perRoom * p.joins
}

func (p plan) isSlow(id int) bool { return id >= p.publishers+p.subscribers() }

func (p plan) allStreams() int { return p.rooms * p.streams }

// publisher is the id of the connection that sends a stream.
func (p plan) publisher(stream int) int { return stream % p.publishers }

func (p plan) roomOf(stream int) int { return stream / p.streams }

// tallies is how many tallies a subscriber has whose first room that is, and the
// stream of its first.
func (p plan) tallies(room int) (first, count int) { return room * p.streams, p.joins * p.streams }

// roomName is unique to a run, so that runs beside each other do not mix.
func roomName(run uint32, room int) string { return fmt.Sprintf("bench-%08x-%d", run, room) }

// schedule is when messages are due, whatever becomes of those before: open loop.
type schedule struct {
	start int64   // nanoseconds of Swarm.Now
	rate  float64 // a second
}

// at is when message i is due, from 0.
func (s schedule) at(i int64) int64 {
	return s.start + int64(float64(i)*(float64(time.Second)/s.rate))
}

// count is how many messages are due before t: i is one of them if at(i) < t.
func (s schedule) count(t int64) int64 {
	if t <= s.start {
		return 0
	}
	n := int64(math.Ceil(float64(t-s.start) / (float64(time.Second) / s.rate)))
	for n > 0 && s.at(n-1) >= t { // what rounding did
		n--
	}
	for s.at(n) < t {
		n++
	}
	return n
}
