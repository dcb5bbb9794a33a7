// Package port is the one port of a node that other nodes talk to: UDP carries
// gossip datagrams, TCP carries mutual TLS 1.3, and ALPN tells gossip streams,
// links and streams of HTTP apart. It knows who may connect; it does not know what is said.
//
// All keys come from the cluster secret. A node without a secret runs in open
// LAN mode: the same protocol with keys that everybody can derive, and only
// private addresses are bound, let in, dialled or believed.
//
// Reading order: port.go (the whole life of a port), keys.go and identity.go
// (who is who), private.go (the address rule), bind.go, iface.go and
// advertise.go (which sockets, which address), accept.go with gate.go and
// conn.go (a stranger becomes a peer), direct_linux.go, dial.go, packet.go with queue.go
// (datagrams; datagram_linux.go calls the system), stats.go and loglimit.go (what is told about refusals).
// DESIGN.md holds the reasons.
package port
