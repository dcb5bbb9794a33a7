// Package comeback kills or restarts nodes under official Socket.IO clients and holds what these got
// against what recovery promises (make torture SCENARIO=recovery): a client that is told
// that it was recovered has each message of its room, once and in the order of its
// publisher.
//
// Reading order: run_test.go (a run), servers_test.go (nodes, or a peer's), balancer_test.go
// (round robin), clients_test.go (clients/comeback.mjs), refusals_test.go (what nodes say of whom
// they did not recover), judge.go (the verdict), bars.go (what is promised), table.go.
package comeback
