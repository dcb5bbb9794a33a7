// Package recovery is what lets a client lose nothing when its connection or its
// node dies (MESH §6, G4 and G6): each node keeps what it has published and what it has
// handed to its clients, mirrors both and its sessions to buddies, and whoever takes a
// session over replays exactly what its client lacks, or says that it cannot.
//
// It is a state machine: what happened goes in as a method call, what is to be done
// comes out as effects. It has no lock, clock or socket. Its owner sets the time with At
// before each call, and applies what Take gives before it makes the next. Frames to one
// peer must arrive in order, or get lost with the link. See DESIGN.md.
package recovery
