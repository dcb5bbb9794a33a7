package forward

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/meshrt/meshrt/wire"
)

// A session id is base64url of the node that has the session, random bytes and a
// truncated HMAC-SHA256 of both. The random part is what lets its holder act for
// the client; the rest routes, and lets any node drop what nobody has drawn.
const (
	randomBytes = 14 // 112 bits
	bodyBytes   = 8 + randomBytes
	macBytes    = 8  // who guesses has one chance in 2^64 to be passed on, and then finds no session
	sidLen      = 40 // of text: a multiple of 4, so no bit of it is without a meaning
)

// ids draws and judges the ids of sessions.
type ids struct {
	node wire.NodeID
	keys func() [][]byte // the first signs, all are accepted
}

func (m ids) draw() string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, bodyBytes+sha256.Size), uint64(m.node))
	b = b[:bodyBytes]
	rand.Read(b[8:])
	return base64.RawURLEncoding.EncodeToString(sign(m.keys()[0], b)[:bodyBytes+macBytes])
}

// sign appends the whole HMAC of body to it.
func sign(key, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	return mac.Sum(body)
}

// owner is the node that has drawn sid, zero if none of this cluster has.
func (m ids) owner(sid string) wire.NodeID {
	if len(sid) != sidLen {
		return 0
	}
	var b [bodyBytes + macBytes]byte
	// The decoder skips ends of lines: then there are fewer bytes.
	if n, err := base64.RawURLEncoding.Decode(b[:], []byte(sid)); err != nil || n != len(b) {
		return 0
	}
	for _, key := range m.keys() {
		body := append(make([]byte, 0, bodyBytes+sha256.Size), b[:bodyBytes]...)
		if hmac.Equal(sign(key, body)[bodyBytes:bodyBytes+macBytes], b[bodyBytes:]) {
			return wire.NodeID(binary.BigEndian.Uint64(b[:8]))
		}
	}
	return 0
}

// randomKey is for a node without a cluster.
func randomKey() []byte {
	key := make([]byte, sha256.Size)
	rand.Read(key)
	return key
}
