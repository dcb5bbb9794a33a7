// Package netlab is a network for tests of faults: namespaces with one TUN device
// each, and a wire between them in this process that delays, loses, doubles,
// throttles or cuts what passes, for each direction by itself and changed at any
// time. It stands in for tc netem, which many machines lack. Linux only, root only.
//
// Namespaces have no name, devices go with the files that hold them, and
// processes die with the test: nothing is left behind, not even after kill -9.
//
// Reading order: rule.go (what may be done to a packet, pure), line.go (one
// direction), wire.go (packets from device to device), namespace.go (threads and
// devices), lab.go (Lab).
package netlab
