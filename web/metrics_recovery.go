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
	e.counter("recovery_unkept_total", "Clients that were served before another node had their session, as none answered in time.", s.Unkept)
	e.counter("recovery_forgotten_total", "Clients that cannot come back any more, as too many others have gone since.", s.Forgotten)
	e.counter("recovery_too_many_total", "Clients that came back and got a new session, as too many were on their way.", s.TooMany)
	e.counter("recovery_too_much_total", "Clients that came back and got a new session, as they lacked too much, or too much was held for all.", s.TooMuch)
	e.counter("recovery_put_off_total", "Times that a client had to wait until others had got what they had missed.", s.PutOff)
	e.counter("recovery_outgrown_total", "Clients that cannot come back, as their rooms and data are too large.", s.Outgrown)
	e.counter("recovery_unmirrored_total", "Messages whose publisher was told, and clients that cannot come back, as no other node took a copy in time.", s.Unmirrored)
	e.counter("recovery_gapped_total", "Clients that cannot come back, as messages of another node were lost.", s.Gapped)
	e.counter("recovery_taken_total", "Clients closed here, as their session lives elsewhere.", s.Taken)
	e.counter("recovery_completed_total", "Messages of nodes that died, from the nodes that had a copy.", s.Completed)
	e.counter("recovery_short_total", "Own messages that left the log before their time, for its size.", s.Short)
	e.counter("recovery_gathers_total", "Times that messages were asked for, for all clients that had come by then.", s.Gathers)
	e.counter("recovery_full_total", "Nodes that were not mirrored here, as enough are.", s.Full)
	e.counter("recovery_evicted_total", "Dead nodes that were forgotten before their time, with their clients' sessions.", s.Evicted)
	e.gauge("recovery_log_bytes", "Bytes of messages that are kept for clients that may miss them, own and those of other nodes.", s.LogBytes)
	e.gauge("recovery_coming", "Clients that wait for their session.", s.Coming)
	e.gauge("recovery_held_bytes", "Bytes of messages that are held for clients that wait.", s.Held)
	e.gauge("recovery_unsent_bytes", "Bytes that clients who came back had missed and have not got yet, of all together.", s.Unsent)
	e.gauge("recovery_unacked", "Messages whose publisher waits until they have a copy.", s.Unacked)
	links := c.s.node.Cluster().Stats()
	e.gauge("mesh_bulk_bytes", "Bytes for other nodes that wait behind messages: what recovery has them keep.", links.BulkBytes)
	e.counter("mesh_bulk_too_large_total", "What recovery had for other nodes and was too large to be sent.", links.TooLarge)
}
