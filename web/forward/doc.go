// Package forward lets any node take any request of an Engine.IO client: the id
// of a session names its node, and a request that lands elsewhere is passed on to
// it, over HTTP between nodes. So a balancer needs no stickiness. A node that drains passes
// on clients that come to it.
//
// Reading order: sid.go (ids that route and cannot be forged), forward.go (Config,
// the life of a Forwarder), out.go with peer.go and tunnel.go (requests for other
// nodes), open.go (clients that come to a node that drains), in.go (requests from other
// nodes), stats.go. DESIGN.md has the reasons.
package forward
