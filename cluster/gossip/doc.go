// Package gossip knows which nodes are alive. It is the only package that names
// memberlist, which does the detection (SWIM); this package adds what memberlist
// leaves to its users: names that are never reused, metadata that is checked,
// and joining again for ever, without which a long partition never heals.
//
// A member that is reported gone is a hint: the caller keeps it while a link to
// it lives (MESH §0.4).
//
// Reading order: gossip.go (the life of a Gossip), config.go and profile.go,
// member.go with meta.go (what is said about a node), table.go (who is alive),
// delegate.go (memberlist's callbacks), transport.go with stream.go (memberlist
// on our network), rejoin.go (the loop) with plan.go, target.go and seed.go
// (which address when, pure), learn.go, keys.go, logs.go, reason.go, stats.go.
// DESIGN.md holds the reasons.
package gossip
