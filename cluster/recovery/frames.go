package recovery

import (
	"time"

	"github.com/meshrt/meshrt/wire"
)

// Frame is what machines tell each other: one of the types of this file. Receivers do not change them.
type Frame interface{ frame() }

// State is how far a mirror is with what it mirrors.
type State struct {
	Log     wire.Frontiers // of the own messages
	D       uint64         // of the order
	Version uint64         // of the sessions
}

// Mirror is a part of what a node has its buddies keep: what lies between From and To.
type Mirror struct {
	Epoch    uint64 // of this transfer: what is confirmed of an earlier one means nothing
	Reset    bool   // the receiver begins anew
	Dropped  [wire.Streams]Dropped
	Met      map[wire.NodeID]wire.Frontiers // how far the sender was when it came to know its peers; nil as before
	Base     Vector
	BaseAge  time.Duration
	From, To State
	Entries  []Entry
	Order    []Placed
	Sessions []Saved
}

// Dropped is what has left a log: up to Seq, and how long ago the newest of it was published.
type Dropped struct {
	Seq uint64
	Age time.Duration
}

// Entry is a message and how long ago it was published.
type Entry struct {
	Message *wire.Message
	Age     time.Duration
}

// Placed is an entry of the order and how long ago it was handed out.
type Placed struct {
	Ref
	Age time.Duration
}

// Saved is a session as it is now, or that it has ended.
type Saved struct {
	Record
	Ended bool
}

// Mirrored: the sender has all up to State. Lost: it has nothing, so begin anew. Full: it mirrors as many as it can, so
// take another one.
type Mirrored struct {
	Epoch uint64
	State State
	Lost  bool
	Full  bool
}

// Reopened precedes all that a mirror confirms once more to a node that it has taken for dead: others
// may have gone on without what it did not have then.
type Reopened struct{ Heads wire.Frontiers }

// Buddies are who mirrors the sender, or will once all that are linked to it know. The receiver
// confirms Gen.
type Buddies struct {
	Gen uint64
	Set []wire.NodeID
}

// BuddiesKnown confirms Buddies.
type BuddiesKnown struct{ Gen uint64 }

// Drop: the receiver mirrors the sender no more.
type Drop struct{}

// Draining: the sender is about to leave, and mirrors nobody anew.
type Draining struct{}

// AskTail asks who mirrors Origin, which the sender takes for dead. Nonce is of this death.
type AskTail struct {
	Origin wire.NodeID
	Nonce  uint64
}

// Tail answers AskTail. Gen is the highest generation of Origin's buddies that the sender knows; one that Speaks
// has everything of it. It is sent when the sender has closed the stream as well.
type Tail struct {
	Origin wire.NodeID
	Nonce  uint64
	Gen    uint64
	Speaks bool
}

// FetchTail asks for the part behind From of what the sender wants of Origin.
type FetchTail struct {
	Origin wire.NodeID
	Nonce  uint64
	From   wire.Frontiers
}

// TailEntries are messages of a dead node in order: what lies between From and To. All have come when To is Heads.
type TailEntries struct {
	Origin          wire.NodeID
	Nonce           uint64
	From, To, Heads wire.Frontiers
	Entries         []*wire.Message
}

// AskBarrier wants a barrier from the receiver: behind it, in each stream, comes nothing that
// the receiver published before this frame came.
type AskBarrier struct{ Round uint64 }

// Lookup asks who has a session.
type Lookup struct {
	ID  uint64
	PID PID
}

// Found answers Lookup. Mirrors tell whom they mirror, and since which generation of buddies.
type Found struct {
	ID    uint64
	Kind  FoundKind
	Claim Claim
	Owner wire.NodeID
	Gen   uint64
}

// FoundKind is what a node has of a session.
type FoundKind uint8

const (
	FoundNothing FoundKind = iota
	FoundOwner             // it is the receiver's to take over
	FoundMirror            // its owner is dead, and the sender mirrors it
	FoundAlive             // the sender mirrors it, but does not take its owner for dead
)

// Take asks an owner, or the mirror of a dead one, for a session. Age is how long ago the client came.
type Take struct {
	ID     uint64
	PID    PID
	Cursor Cursor
	Age    time.Duration
}

// Granted hands a session over.
type Granted struct {
	ID     uint64
	Record Record
	Want   Want
	Since  time.Duration // ago: what it lacks was published later
}

// Denied: the session cannot be had. Final when the client lacks what is gone.
type Denied struct {
	ID    uint64
	Final bool
}

// Done: the sender has a session that the receiver gave to it, or could have given, with this claim, and mirrors have it too. Release:
// it will not have it.
type (
	Done struct {
		PID   PID
		Claim Claim
	}
	Release struct{ PID PID }
)

// Fetch asks for what sessions lack of one origin: the receiver, or a dead node that it mirrors. Those of a gather have the same ID.
type Fetch struct {
	ID     uint64
	Round  uint64      // of the barrier that is to follow the first part; 0 none
	Origin wire.NodeID // 0 of none: who is there, and nothing else
	Places []Place
	Rooms  []Rooms
	// From and Heads are of the part before: what lies between them is to follow. 0 for the first.
	From, Heads wire.Frontiers
}

// Place is how far sessions are in the streams of an origin, as far as a node knew that was their owner then; 0 several were.
type Place struct {
	Owner wire.NodeID
	At    wire.Frontiers
}

// Rooms are those of a namespace. "" is the namespace itself.
type Rooms struct {
	Namespace string
	Names     []string
}

// Fetched answers Fetch. Members are the nodes that the sender knows, but itself, and those that died lately; nil not asked for.
type Fetched struct {
	ID       uint64
	Sections []Section
	Members  map[wire.NodeID]Member
}

// Member is a node as another one sees it.
type Member struct {
	Down    bool
	Unable  bool   // it has no recovery: what it published is nowhere
	Gen     uint64 // of its buddies
	Mirrors uint64 // generation as of which the sender mirrors it, and may speak for it; 0 it does not
	// Of one that is dead, and of which the sender has got all that was for it: how far its mirror had it, and for how long it is dead.
	Heads wire.Frontiers
	Dead  time.Duration
}

// Section is a part of what sessions lack of one origin: what lies between From and To. All has come when To is Heads, which is how
// far the origin was when the first part was asked for. Nothing is for a session of before where the origin was, as Starts say, when it
// came to know its owner.
type Section struct {
	Origin          wire.NodeID
	Starts          []Place
	Gen             uint64
	From, To, Heads wire.Frontiers
	Dropped         [wire.Streams]Dropped
	Entries         []Entry
}

// Claims are of sessions that the sender claimed from nodes which were taken for dead.
type Claims struct{ Of map[PID]Claim }

func (Mirror) frame()       {}
func (Mirrored) frame()     {}
func (Reopened) frame()     {}
func (Buddies) frame()      {}
func (BuddiesKnown) frame() {}
func (Drop) frame()         {}
func (Draining) frame()     {}
func (AskTail) frame()      {}
func (Tail) frame()         {}
func (FetchTail) frame()    {}
func (TailEntries) frame()  {}
func (AskBarrier) frame()   {}
func (Lookup) frame()       {}
func (Found) frame()        {}
func (Take) frame()         {}
func (Granted) frame()      {}
func (Denied) frame()       {}
func (Fetch) frame()        {}
func (Fetched) frame()      {}
func (Done) frame()         {}
func (Release) frame()      {}
func (Claims) frame()       {}
