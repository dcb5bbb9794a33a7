package node

import (
	"encoding/json"
	"sync"

	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// Sink is what a protocol gives a session. Its methods are called by one
// goroutine at a time, never after Close: by the session's shard, or by who has
// just sent something. They must neither block nor call back into the node.
type Sink interface {
	// Deliver queues d for the client. False means that it is lost to this
	// client: its queue is full, or it is gone. The protocol then ends the
	// connection by itself and says so with Session.Close.
	Deliver(d *Delivery) bool
	// Flush lets the client have what was queued. It comes once after a sweep
	// over many deliveries.
	Flush()
	// Close ends the session at the server's wish, after what was queued. With
	// connection also the transport below it ends.
	Close(connection bool)
}

// Prompt is a Sink that is quicker when it is told that nothing more comes for now.
type Prompt interface {
	// DeliverNow is Deliver and Flush.
	DeliverNow(d *Delivery) bool
}

// Kind says what a Delivery is.
type Kind uint8

const (
	KindEvent   Kind = iota // Message; with an AckID the client is to answer it, see Session.ReceiveAck
	KindAck                 // AckID, Args, Attachments: the answer to a client's event
	KindConnect             // Session is open; always its first delivery
	kindEnd                 // a Disconnect that waits; no Sink sees it
)

// Delivery is one thing to tell a client. It is immutable and may be shared by
// thousands of sessions.
type Delivery struct {
	Kind    Kind
	flag    bool // of kindEnd: the connection too
	Message *wire.Message
	Session *Session
	AckID   uint64
	// Args is the JSON text of an ack's argument list.
	Args        json.RawMessage
	Attachments [][]byte
	// Shared has that list, if it is one that others get, too; see Answerer.
	Shared *SharedAck

	handed chan struct{}   // closed when the Sink has Shared
	ask    *ask            // of an event that is to be answered
	place  recovery.Cursor // among all that the node has handed out
	named  bool            // has an ID, though no place

	encoded [formats]struct {
		once  sync.Once
		value any
	}
}

// Format numbers the encodings that are made once per Delivery and shared by
// all sessions of a protocol.
type Format uint8

// The formats in use. Another protocol takes the next number.
const (
	FormatSocketIO Format = iota
	FormatPlain
	FormatMessagePack // of Socket.IO clients with that parser
	formats
)

// Encoded is the delivery in a protocol's format. The first call makes it with
// encode; it is never made for a protocol that no member speaks.
func (d *Delivery) Encoded(f Format, encode func(*Delivery) any) any {
	e := &d.encoded[f]
	e.once.Do(func() { e.value = encode(d) })
	return e.value
}

// Cursor is what a client that got d has got, in 22 to 32 characters of base64 (RFC 4648 §5): it comes
// back with that of the last event that has one, see Resume. It is the same for all
// clients of the node, so it may be a part of what Encoded makes. "" for what is not
// recovered: volatile events, those that want an answer or are for one client of this
// node alone, acks, and all while Config.Recovery is 0.
func (d *Delivery) Cursor() string {
	if d.place.D == 0 {
		return ""
	}
	return d.place.String()
}

// ID is that of the message in Namespace.History: who gets one from there and live has it twice. "" for
// what has no Cursor, and so is in no history. It is the same at all nodes and at most 32 characters.
func (d *Delivery) ID() string {
	if d.place.D == 0 && !d.named {
		return ""
	}
	return historyID(recovery.RefOf(d.Message))
}

// size is what d costs while it waits, in bytes.
func (d *Delivery) size() int {
	if d.Message != nil {
		return d.Message.Size()
	}
	n := 64
	if d.Shared == nil { // else it waits anyway
		n += len(d.Args)
	}
	for _, a := range d.Attachments {
		n += len(a)
	}
	return n
}
