package wire

import (
	"encoding/binary"
	"iter"
)

// FeatureRecovery in Hello.Features: the node has recovery on, so that it is to be sent RECOVERY frames.
const FeatureRecovery = 1 << 0

const (
	// MaxRecovery limits the body of a frame of recovery, in bytes. Parts of one that is longer are malformed.
	MaxRecovery = 128 << 20
	// recoveryPart is the most of it that goes in one RECOVERY frame: so what is said of heartbeats and messages
	// waits for no more than it does for other messages.
	recoveryPart = 60 << 10
	// recoveryHeader is the length of what precedes the part: that of the frame, the array, the kind, more, and the length of the part in
	// four bytes, as there is room for it before it is known.
	recoveryHeader = frameHeader + 3 + 5
)

// StartRecovery leaves room for what precedes a body, which is to be appended: for RecoveryFrames.
func StartRecovery(dst []byte) []byte { return append(dst, make([]byte, recoveryHeader)...) }

// RecoveryFrames are the RECOVERY frames for the body in b, which began as StartRecovery(nil), in order: as many as it needs. Each is good until the
// next one, which is made in the place of its end: nothing is copied.
func RecoveryFrames(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for more := true; more; {
			end := min(len(b), recoveryHeader+recoveryPart)
			more = end < len(b)
			frame := b[:end:end]
			beginRecovery(frame, more)
			if !yield(frame) {
				return
			}
			b = b[end-recoveryHeader:]
		}
	}
}

// beginRecovery writes what precedes the part in its place.
func beginRecovery(frame []byte, more bool) {
	b := binary.BigEndian.AppendUint32(frame[:0], uint32(len(frame)-frameHeader))
	b = appendBool(append(b, 0x93, byte(KindRecovery)), more)
	binary.BigEndian.AppendUint32(append(b, 0xc6), uint32(len(frame)-recoveryHeader))
}

// DecodeRecovery reads a RECOVERY frame: a part of a body, as a view of f, and whether more follow.
func DecodeRecovery(f Frame) (part []byte, more bool, err error) {
	p := parser{b: f}
	p.begin(KindRecovery, 2)
	more = p.bool()
	part = p.bin()
	return part, more, p.err(KindRecovery)
}

// NewRound makes a barrier of recovery, which is to be published: it goes to the node to alone, whatever its interest, in the stream of a
// priority. Round is told to the receiver (RoundOf).
func NewRound(to NodeID, priority Flags, round uint64) *Message {
	return NewMessage(Envelope{Namespace: "/", Rooms: []string{string(NewSessionID(to))}, Flags: priority | Barrier}, binary.BigEndian.AppendUint64(nil, round))
}

// RoundOf is the round of a barrier of recovery; false for other messages, and for barriers that part what the nodes
// of a session that moves deliver: those have no payload.
func RoundOf(m *Message) (round uint64, is bool) {
	if m.Flags&Barrier == 0 || len(m.Payload) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(m.Payload), true
}
