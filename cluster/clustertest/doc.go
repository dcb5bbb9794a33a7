// Package clustertest is a network in memory, for tests of what runs on a
// cluster port: packets that get lost, streams that are delayed, hosts that are
// cut off, killed and started again. A Host has the methods of cluster/port.Port.
//
// It works inside a testing/synctest bubble and outside. Inside, make the
// Network in the bubble. It starts no goroutine, and nothing blocks while it
// holds a lock, so a bubble's clock always goes on.
//
// Reading order: network.go (hosts, cuts, delays), host.go (the life of a
// host), dial.go, packet.go (packets), pipe.go (one direction of a stream),
// conn.go (both), gate.go (how things wait).
package clustertest
