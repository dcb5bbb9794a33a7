package web

// keyed tells what came of publishes with an idempotency key.
func (c collector) keyed(e emitter) {
	s := c.s.node.Stats().Keyed
	for outcome, n := range map[string]uint64{"first": s.First, "repeated": s.Repeated, "refused": s.Refused, "unsure": s.Unsure, "unavailable": s.Unavailable, "limited": s.Limited} {
		e.counter("idempotent_total", "Publishes with an idempotency key.", n, "outcome", outcome)
	}
	e.counter("idempotent_forgotten_total", "Idempotency keys forgotten before their time.", s.Forgotten)
	e.gauge("idempotent_keys", "Idempotency keys remembered now.", s.Keys)
}
