package main

import "fmt"

// of is a median: that of a metric in a measurement of a server.
type of struct{ measurement, server, metric string }

// bar is a promise: what a median, or its ratio to another one, may be.
type bar struct {
	title   string
	what    of
	over    of // zero: what itself
	limit   float64
	atLeast bool // else at most
}

func ours(measurement, metric string) of { return of{measurement, nameMeshrt, metric} }

// ratio is a promise about meshrt over another server.
func ratio(title, measurement, metric, server string, limit float64) bar {
	return bar{title: title, what: ours(measurement, metric), over: of{measurement, server, metric}, limit: limit}
}

// atMost is a promise about meshrt alone.
func atMost(title, measurement, metric string, limit float64) bar {
	return bar{title: title, what: ours(measurement, metric), limit: limit}
}

func (b bar) least() bar {
	b.atLeast = true
	return b
}

// bars are the promises.
var bars = []bar{
	ratio("fan-out: CPU a delivery, of Socket.IO with Redis", "fanout", cpu, nameRedis, 0.5),
	ratio("fan-out: CPU a delivery, of the floor", "fanout", cpu, nameFloor, 1.4),
	ratio("fan-out: p50, of Socket.IO with Redis", "fanout", p50, nameRedis, 1),
	atMost("fan-out: p99, ms", "fanout", p99, 25),
	ratio("ramp, 1,000 clients: deliveries/s, of Socket.IO with Redis", "ramp-1000", rate, nameRedis, 5).least(),
	ratio("ramp, 3,000 clients: deliveries/s, of Socket.IO with Redis", "ramp-3000", rate, nameRedis, 5).least(),
	atMost("ramp, 1,000 clients: deliveries/s", "ramp-1000", rate, 1_000_000).least(),
	atMost("p99 at half of that rate, 1,000 clients, ms", "ramp-1000", halfP99, 25),
	atMost("p99 at half of that rate, 3,000 clients, ms", "ramp-3000", halfP99, 25),
	ratio("rooms: CPU a delivery, of Socket.IO with Redis", "rooms", cpu, nameRedis, 0.33),
	ratio("hop: p50, of Socket.IO with Redis", "hop", p50, nameRedis, 0.3),
	ratio("hop: CPU a message, of Socket.IO with Redis", "hop", cpu, nameRedis, 0.25),
	atMost("one stream: messages/s", "stream", rate, 150_000).least(),
	atMost("idle, 10,000 clients: bytes a connection", "idle", memory, 8000),
	atMost("idle, 18,000 clients: bytes a connection", "idle-18000", memory, 8000),
	atMost("connect: CPU us a connection", "connect", cpu, 120),
	{title: "p99 with a client that does not read, of without", what: ours("slow", slowP99), over: ours("slow", p99), limit: 1.1},
	{title: "CPU a delivery of 10 nodes, of 3", what: ours("nodes-10", cpu), over: ours("nodes-3", cpu), limit: 1.3},
}

// value is what is measured of a promise; ok is false while it is not.
func (b bar) value(r *Results) (v float64, ok bool) {
	v, ok = r.median(b.what.measurement, b.what.server, b.what.metric)
	if !ok || b.over == (of{}) {
		return v, ok
	}
	base, ok := r.median(b.over.measurement, b.over.server, b.over.metric)
	if !ok || base <= 0 || v < 0 {
		return 0, false
	}
	return v / base, true
}

// holds judges a value; a latency of what never came, below 0, does not.
func (b bar) holds(v float64) bool {
	if b.atLeast {
		return v >= b.limit
	}
	return v >= 0 && v <= b.limit
}

// text is the bar itself.
func (b bar) text() string {
	sign := "≤"
	if b.atLeast {
		sign = "≥"
	}
	if b.over != (of{}) {
		return fmt.Sprintf("%s %g×", sign, b.limit)
	}
	return sign + " " + thousands(b.limit)
}
