// Package once lets a publish that is repeated happen once in a cluster: of all nodes, those
// that a client tries with one key, one publishes. It is a table without lock, clock or
// socket; its owner, package node, asks the other nodes and tells it the time.
//
// Reading order: once.go (words), table.go (what a node knows), round.go (who may publish), codec.go. DESIGN.md has the reasons.
package once

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/meshrt/meshrt/wire"
)

// Key names one publish in the whole cluster.
type Key [16]byte

// Hash tells one message from another. It is no secret, and no proof against who looks for two of one.
type Hash [16]byte

// KeyOf is the key that a client has chosen in a namespace, which has no comma.
func KeyOf(namespace, key string) (k Key) {
	sum := sha256.Sum256([]byte(namespace + "," + key))
	copy(k[:], sum[:])
	return k
}

// HashOf is that of what a message says and to which rooms. Who sent it and who is excepted are left out: a
// client that has connected again has another id.
func HashOf(m *wire.Message) (h Hash) {
	s := sha256.New()
	count(s, len(m.Rooms))
	for _, r := range m.Rooms {
		part(s, []byte(r))
	}
	part(s, m.Payload)
	for _, a := range m.Attachments {
		part(s, a)
	}
	copy(h[:], s.Sum(nil))
	return h
}

func count(s hash.Hash, n int) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	s.Write(b[:])
}

func part(s hash.Hash, p []byte) {
	count(s, len(p))
	s.Write(p)
}

// Verdict is what is to be done about a publish.
type Verdict uint8

const (
	// Ask: it is this node's try now. Begin a Round, ask the others, Decide.
	Ask Verdict = iota
	// Underway: another try of this node is under way; wait for its End.
	Underway
	// Full: too many tries are under way.
	Full
	// Again: nobody knows yet; ask again in a while.
	Again
	// Publish: nobody else has or will. End has to follow.
	Publish
	// Unsure is Publish though a node did not say what it knows.
	Unsure
	// Repeated: it has been published.
	Repeated
	// Other: the key was used for another message.
	Other
)

// Claim is the question of a node that is about to publish with a key, for the N-th time that it tries with any.
type Claim struct {
	Key Key
	N   uint64
}

// Place is where a message was published: the Seq-th of a stream of a node.
type Place struct {
	Origin wire.NodeID
	Stream wire.Stream
	Seq    uint64
}

// Reply is what a node knows of a key that another one claims.
type Reply struct {
	Done bool
	Hash Hash  // of what was published, with Done
	At   Place // ... zero if it is not known
	Mine bool  // it publishes itself now, or is about to
	// Held are others that have claimed it, and that the node may hear more of.
	Held []wire.NodeID
}

// Notice tells all nodes what came of a claim. One of a publish goes out right behind the message, in
// its stream.
type Notice struct {
	Key      Key
	Hash     Hash
	Released bool // nothing was published, and the claimer claims it no more
	// N is that of the claim, with Released. Notices wait behind messages, and the next claim does not: it may be there before.
	N uint64
}
