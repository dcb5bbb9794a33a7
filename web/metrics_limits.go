package web

import "github.com/meshrt/meshrt/web/ws"

// limits tells how often each limit was in force.
func (c collector) limits(e emitter, rooms uint64) {
	const hits, help = "limit_hits_total", "Clients refused, closed or held back by a limit."
	for limit, n := range c.s.admission.counts() {
		e.counter(hits, help, n, "limit", limit)
	}
	e.counter(hits, help, c.s.socketio.Stats().Engine.Delayed+c.s.plain.Stats().Delayed, "limit", "rate")
	e.counter(hits, help, rooms, "limit", "max-rooms-per-conn")
	open, halfOpen, closed := c.s.gate.stats()
	for limit, n := range closed {
		e.counter(hits, help, n, "limit", limit)
	}
	packed := c.s.deflater.Stats()
	e.counter("compressed_messages_total", "Messages compressed for websocket clients, once for all of them.", packed.Messages)
	e.counter("compressed_bytes_total", "Bytes of compressed messages.", packed.BytesIn, "stage", "before")
	e.counter("compressed_bytes_total", "Bytes of compressed messages.", packed.BytesOut, "stage", "after")
	e.counter("origins_refused_total", "Requests of web pages that -origins does not allow.", c.s.origins.refused.Load())
	e.gauge("client_sockets", "TCP connections of clients.", open)
	e.gauge("client_sockets_half_open", "TCP connections of clients that have not sent a request.", halfOpen)
}

// slow tells which clients were too slow, by cause, and what they did not get for it.
func (c collector) slow(e emitter) {
	io, plain := c.s.socketio.Stats().Engine, c.s.plain.Stats()
	for _, p := range []struct {
		protocol string
		slow     map[ws.Slow]uint64
		volatile uint64
	}{{"socket.io", io.Slow, io.VolatileDropped}, {"websocket", plain.Slow, plain.VolatileDropped}, {"sse", plain.Streams.Slow, plain.Streams.VolatileDropped}} {
		for cause, n := range p.slow {
			e.counter("slow_consumers_total", "Clients cut for not reading.", n, "protocol", p.protocol, "cause", cause.String())
		}
		e.counter("volatile_dropped_total", "Volatile messages that a client did not get.", p.volatile, "protocol", p.protocol)
	}
	e.counter("slow_reads_total", "How often handling messages took so long that goroutines of their own read clients for a while.", io.SlowReads)
}
