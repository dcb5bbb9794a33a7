// Package wire holds the values that nodes exchange and the frames that carry
// them over a link. It does no I/O of its own beyond reading frames from an
// io.Reader and knows no time, lock or goroutine.
//
// # A link in order
//
// Both ends of a fresh link send HELLO first and read the other's HELLO before
// anything else; the versions they state decide whether they can talk. Then
// each sends SYNC, its whole interest in one or more parts, and from the last
// part on INTEREST for each change. DATA flows to a peer only after its SYNC.
// PING and PONG prove that the link lives; BYE says that its end is wanted.
//
//	A                              B
//	HELLO  ---------------------->
//	       <----------------------  HELLO
//	SYNC   ---------------------->          (frontier, interest of A)
//	       <----------------------  SYNC
//	       <----------------------  INTACK  (version of A's interest in force at B)
//	DATA   ---------------------->          (only rooms that B wants)
//
// # Bytes
//
// A frame is a 4-byte big-endian length of what follows, then a msgpack array
// whose first element is the Kind. Arrays only ever grow at their end, and a
// reader skips elements and kinds that it does not know, so that neighbouring
// versions talk. DESIGN.md lists every frame with its elements.
//
// Reading order: id.go (who), message.go (what), frame.go (kinds and the
// reader), body.go and data.go (one type a frame), msgpack.go (the bytes by
// hand), args.go (the JSON text inside a message).
package wire
