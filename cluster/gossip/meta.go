package gossip

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

const (
	// maxMeta limits what this node says about itself, in bytes: metadata goes
	// with every alive message, and several of them share a packet.
	maxMeta = 200
	// maxForeignMeta is memberlist's own limit. It does not check it on the way
	// in, where a newer version may say more than this one.
	maxForeignMeta = 512
)

// flagDraining is set in meta.Flags while a node sends its clients away.
const flagDraining = 1 << 0

var errMeta = errors.New("malformed metadata")

// meta is what each node says about itself: a msgpack array in this order. A
// newer version may append elements and set further flags; nothing may change
// its place. It is readable by all that have the gossip key: nothing secret.
type meta struct {
	Min, Max uint8 // versions of the link protocol
	Boot     uint64
	Region   string
	Flags    uint8
	Settings uint64
}

// fields is how many elements the first version has.
const fields = 6

// metaHandle is never changed.
var metaHandle = func() *codec.MsgpackHandle {
	h := new(codec.MsgpackHandle)
	h.StructToArray, h.WriteExt = true, true
	return h
}()

func (m meta) encode() ([]byte, error) {
	var b []byte
	if err := codec.NewEncoderBytes(&b, metaHandle).Encode(m); err != nil {
		return nil, fmt.Errorf("encode metadata: %w", err)
	}
	if len(b) > maxMeta {
		return nil, fmt.Errorf("metadata has %d bytes, at most %d are possible", len(b), maxMeta)
	}
	return b, nil
}

// decodeMeta reads what a stranger says. The form of the array is checked here:
// the codec would also take a map, or an array that is too short.
func decodeMeta(b []byte) (meta, error) {
	var m meta
	if len(b) > maxForeignMeta || arrayLen(b) < fields {
		return m, errMeta
	}
	dec := codec.NewDecoderBytes(b, metaHandle)
	if err := dec.Decode(&m); err != nil || dec.NumBytesRead() != len(b) {
		return meta{}, errMeta
	}
	if m.Min > m.Max || len(m.Region) > maxRegion || !utf8.ValidString(m.Region) {
		return meta{}, errMeta
	}
	return m, nil
}

// arrayLen is the number of elements of a msgpack array, zero for all else.
// 0xdc has a length of two bytes; the one of four, 0xdd, is never needed.
func arrayLen(b []byte) int {
	switch {
	case len(b) > 0 && b[0]&0xf0 == 0x90:
		return int(b[0] & 0xf)
	case len(b) > 2 && b[0] == 0xdc:
		return int(b[1])<<8 | int(b[2])
	}
	return 0
}
