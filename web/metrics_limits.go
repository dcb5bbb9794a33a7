package web

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
	e.gauge("client_sockets", "TCP connections of clients.", open)
	e.gauge("client_sockets_half_open", "TCP connections of clients that have not sent a request.", halfOpen)
}
