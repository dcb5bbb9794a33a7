package wire

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// NodeID names one run of one node: 64 random bits drawn at process start (the
// "boot" of MESH §2). A restarted node is a new NodeID, so nothing that was
// said by or about an earlier run can be mistaken for the present one.
// Zero is no node.
type NodeID uint64

// nodeText is base32 with the digits and lower-case letters: a NodeID is part
// of a memberlist name and of log lines, where case gets lost.
var nodeText = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// NewNodeID draws a fresh NodeID.
func NewNodeID() NodeID {
	for {
		var b [8]byte
		rand.Read(b[:])
		if id := NodeID(binary.BigEndian.Uint64(b[:])); id != 0 {
			return id
		}
	}
}

// String is the 13 characters that ParseNodeID reads back.
func (id NodeID) String() string { return string(id.Append(make([]byte, 0, 13))) }

// Append appends the text of String.
func (id NodeID) Append(dst []byte) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(id))
	return nodeText.AppendEncode(dst, b[:])
}

// ParseNodeID reads the text form of a NodeID.
func ParseNodeID(s string) (NodeID, error) {
	b, err := nodeText.DecodeString(s)
	if err != nil || len(b) != 8 {
		return 0, fmt.Errorf("wire: %.20q is no node id", s)
	}
	id := NodeID(binary.BigEndian.Uint64(b))
	if id == 0 || id.String() != s { // the last character has a spare bit
		return 0, fmt.Errorf("wire: %.20q is no node id", s)
	}
	return id, nil
}

// SessionID names one client in one namespace, in public: other clients see it
// and send to it, so it grants nothing. It tells the node that owns the
// session, which is why a message to a single session needs no interest table.
type SessionID string

// A session id is base64url of the node, random bytes and a checksum. The
// checksum tells ids from names of rooms: nobody's room has such a name by chance.
const (
	sessionRandom = 12 // bytes; 96 bits never meet twice
	sessionBody   = 8 + sessionRandom
	sessionBytes  = sessionBody + 4
	sessionLen    = sessionBytes / 3 * 4
)

// NewSessionID draws a session id on the given node.
func NewSessionID(node NodeID) SessionID {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, sessionBytes), uint64(node))
	b = b[:sessionBody]
	rand.Read(b[8:])
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return SessionID(base64.RawURLEncoding.EncodeToString(b))
}

// Node is the node that s was made on, zero when s is no session id.
func (s SessionID) Node() NodeID {
	if len(s) != sessionLen {
		return 0
	}
	var b [sessionBytes]byte
	// The decoder skips ends of lines: then there are fewer bytes.
	if n, err := base64.RawURLEncoding.Decode(b[:], []byte(s)); err != nil || n != len(b) ||
		crc32.ChecksumIEEE(b[:sessionBody]) != binary.BigEndian.Uint32(b[sessionBody:]) {
		return 0
	}
	return NodeID(binary.BigEndian.Uint64(b[:8]))
}
