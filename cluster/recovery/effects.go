package recovery

import "github.com/meshrt/meshrt/wire"

// Effect is something for the owner of a Machine to do: one of the types of this file.
type Effect interface{ effect() }

// Send gives a frame to the link to a peer; without one it is lost.
type Send struct {
	To    wire.NodeID
	Frame Frame
}

// Barrier has this node publish a barrier of Round to To in each stream.
type Barrier struct {
	To    wire.NodeID
	Round uint64
}

// Supply is a message of a dead node. It takes the way of one that came over a link: the
// core accepts it, or knows it already, and then it is handed to the clients.
type Supply struct{ Message *wire.Message }

// Skip has the core take the messages of a dead node up to Heads as processed: should it be back, it must
// not send them.
type Skip struct {
	Origin wire.NodeID
	Heads  wire.Frontiers
}

// Completed follows the Supply of a tail: when those are handed out, Reached is to be called, and what
// holds for Skip holds here.
type Completed struct {
	Origin wire.NodeID
	Heads  wire.Frontiers
}

// Acked: an own message is at so many other nodes. 0 when there are none, or, Doubted, when a mirror had taken this node for
// dead: then others may have gone on without the message; or when none had it in AckPatience.
type Acked struct {
	Stream  wire.Stream
	Seq     uint64
	Copies  int
	Doubted bool
}

// Joined: from now on the session misses nothing of the room, whichever node dies. The client may know.
type Joined struct {
	PID  PID
	Room string
}

// Left: nothing of the room comes to the session any more, wherever it is recovered.
type Left struct {
	PID  PID
	Room string
}

// Arrive asks the owner to authenticate whoever comes with a session, and to announce its
// rooms. When those are in force it calls Arrived, or Reject.
type Arrive struct{ Record Record }

// Admit makes a session a member of its rooms here, from this moment on. Its client gets, after
// Recovered, first Replay, the i-th with cursor {own id, D+1+i}, and then what comes now.
type Admit struct {
	Record Record
	D      uint64
	Replay []*wire.Message
	Bytes  int // what it takes until it has left for its client, about: see Unsent
}

// Recovered: the client may be told that nothing is missing.
type Recovered struct{ PID PID }

// Refused: the client gets a new session, and is told so.
type Refused struct {
	PID    PID
	Reason string
}

// Close ends a session here: it lives elsewhere, or may not be recovered any more.
type Close struct {
	PID    PID
	Reason string
}

func (Send) effect()      {}
func (Barrier) effect()   {}
func (Supply) effect()    {}
func (Skip) effect()      {}
func (Completed) effect() {}
func (Acked) effect()     {}
func (Joined) effect()    {}
func (Left) effect()      {}
func (Arrive) effect()    {}
func (Admit) effect()     {}
func (Recovered) effect() {}
func (Refused) effect()   {}
func (Close) effect()     {}
