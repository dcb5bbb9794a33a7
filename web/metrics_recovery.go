package web

// recovery tells what became of clients that came back, with -recovery.
func (c collector) recovery(e emitter) {
	if c.s.node.Recovery() == 0 {
		return
	}
	s := c.s.node.Stats().Recovery
	e.counter("recovery_recovered_total", "Clients that got their session back, with all that they had missed.", s.Recovered)
	for reason, n := range s.Refused {
		e.counter("recovery_refused_total", "Clients that came back and got a new session, by why.", n, "reason", reason)
	}
	e.counter("recovery_replayed_total", "Messages to clients that had missed them.", s.Replayed)
	e.counter("recovery_unkept_total", "Clients that cannot come back, as other nodes did not answer when they came.", s.Unkept)
	e.counter("recovery_forgotten_total", "Clients that cannot come back any more, as too many others have gone since.", s.Forgotten)
	e.counter("recovery_taken_total", "Clients closed here, as their session lives elsewhere.", s.Taken)
	e.counter("recovery_completed_total", "Messages of nodes that died, from the nodes that had a copy.", s.Completed)
	e.counter("recovery_short_total", "Own messages that left the log before their time, for its size.", s.Short)
	e.gauge("recovery_log_bytes", "Bytes of messages that are kept for clients that may miss them, own and those of other nodes.", s.LogBytes)
	e.gauge("recovery_coming", "Clients that wait for their session.", s.Coming)
	e.gauge("recovery_unacked", "Messages whose publisher waits until they have a copy.", s.Unacked)
}
