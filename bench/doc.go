// Package bench loads a Socket.IO 4 server, or the plain websocket of meshrt, with
// many clients and counts what they get: latency from the time at which a message
// was due, and exactly which messages were lost, doubled or out of order. It is
// what meshrt bench runs. DESIGN.md says what is measured and what is not.
//
// Reading order: config.go (what is asked), plan.go (who gets what, and when),
// stamp.go, tally.go, histogram.go (all pure), dialect.go (what the protocols say),
// client.go, publish.go, run.go (a run), scenario.go (each scenario), report.go and
// table.go (what comes out), usage.go (what the servers used).
package bench
