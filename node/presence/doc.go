// Package presence is who is present in which room, on all nodes: as a plain value
// without lock, clock, goroutine or socket. Package node owns one Machine, tells it
// what happens and does what it says.
//
// Each node owns the entries of its own sockets, and nobody else changes them; the
// others have copies. Nothing is kept or sent for rooms that nobody asks for. A node
// that is asked for a room wants it of all others (want), and each answers with its entries
// in parts, then tells every change (delta) for as long as it is wanted, and now and
// then what its entries should come to (state). Every set has a version, so that a copy knows
// when it lacks something, whatever the reason, and wants all anew.
//
// Reading order: entry.go (Entry, set), frame.go (what nodes tell one another), machine.go
// (Machine), own.go (the own sets), copies.go (those of others), view.go (members, as users
// see them: grace, events, lists). DESIGN.md has the reasons.
package presence
