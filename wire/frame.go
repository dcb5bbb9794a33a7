package wire

import (
	"encoding/binary"
)

// Kind is the first element of a frame. DESIGN.md has each with its elements.
type Kind uint8

const (
	KindHello    Kind = 1 + iota // who speaks, which versions; first on a link
	KindSync                     // the sender's whole interest, in parts
	KindInterest                 // one change of the sender's interest
	KindIntAck                   // version of the receiver's interest that the sender has in force
	KindData                     // a message
	KindPing                     // are you there? the sender's clock
	KindPong                     // the clock of the PING that it answers
	KindPeers                    // nodes that the sender is linked to
	KindBye                      // the link ends on purpose, with the reason
	KindRequest                  // a question to the receiver
	KindReply                    // the answer to a REQUEST
	KindAsk                      // may I go on trusting your interest? the asker's clock, and its frontier
	KindGrant                    // yes, and the clock of the ASK; the granter's frontier
	KindAck                      // what the sender has processed of the receiver's messages
	KindGap                      // messages of the sender that the receiver may have wanted are gone
	KindCounts                   // how many members the sender has in some rooms
	KindConfirm                  // requests of the sender with lower ids are over
	KindRecovery                 // a part of a frame of cluster/recovery; since version 2
)

var kindNames = [...]string{"?", "hello", "sync", "interest", "intack", "data", "ping", "pong", "peers", "bye", "request", "reply", "ask", "grant", "ack", "gap", "counts", "confirm", "recovery"}

// Kinds is the number of kinds that this version knows, for tables of counters.
const Kinds = len(kindNames)

// String is the name of k, which is also its metric label.
func (k Kind) String() string {
	if int(k) < Kinds {
		return kindNames[k]
	}
	return kindNames[0]
}

const (
	// MaxFrame limits the body of one frame, in bytes. It is checked before
	// anything is allocated.
	MaxFrame = 16 << 20
	// MaxMessage limits the payload and attachments of one message, in bytes,
	// so that with its rooms it always fits a frame.
	MaxMessage = 12 << 20

	frameHeader = 4
)

// startFrame leaves room for the length that endFrame fills in.
func startFrame(dst []byte) ([]byte, int) {
	return append(dst, 0, 0, 0, 0), len(dst)
}

func endFrame(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-frameHeader))
	return dst
}

// Frame is the body of one frame: a msgpack array that starts with its kind.
type Frame []byte

// Kind tells which Decode function reads f. A body that is no array, or an
// empty one, is kind 0, which no node sends.
func (f Frame) Kind() Kind {
	if len(f) > 1 && f[0] > 0x90 && f[0] < 0xa0 && f[1] < 0x80 {
		return Kind(f[1]) // a short array, a small number: all that are sent today
	}
	p := parser{b: f}
	if p.array() == 0 {
		return 0
	}
	k := p.uint()
	if k >= 1<<8 {
		return 0
	}
	return Kind(k)
}
