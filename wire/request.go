package wire

import (
	"bytes"
	"fmt"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// Request is a question of one node to another; Method says what Body is.
type Request struct {
	ID     uint64 // the asker's, for the reply
	Method string
	Body   []byte
	// Timeout is for how many more milliseconds the asker waits; 0 if it does not say.
	Timeout uint64
	// After are the messages of the asker that come before: the highest number in each
	// stream, 0 none. Lanes of a link may overtake each other.
	After Frontiers
}

// Reply answers a Request. With an Error there is no Body.
type Reply struct {
	ID    uint64
	Error string
	Body  []byte
}

// MaxBody limits the body of a request or a reply, in bytes.
const MaxBody = MaxFrame - 1024

// AppendRequest appends a REQUEST frame.
func AppendRequest(dst []byte, r Request) []byte {
	dst, start := startFrame(dst)
	fields := 4
	switch {
	case r.After != Frontiers{}:
		fields += 1 + len(r.After)
	case r.Timeout > 0:
		fields++
	}
	dst = appendUint(appendUint(appendArray(dst, fields), uint64(KindRequest)), r.ID)
	dst = appendBin(appendString(dst, r.Method), r.Body)
	if fields > 4 {
		dst = appendUint(dst, r.Timeout)
	}
	for _, number := range r.After[:max(fields-5, 0)] {
		dst = appendUint(dst, number)
	}
	return endFrame(dst, start)
}

// DecodeRequest reads a REQUEST frame.
func DecodeRequest(f Frame) (Request, error) {
	p := parser{b: f}
	p.begin(KindRequest, 3)
	r := Request{ID: p.uint(), Method: p.string(), Body: p.bin()}
	if p.left() > 0 {
		r.Timeout = p.uint()
	}
	if p.left() > 0 {
		for k := range r.After {
			r.After[k] = p.uint()
		}
	}
	return r, p.err(KindRequest)
}

// AppendReply appends a REPLY frame.
func AppendReply(dst []byte, r Reply) []byte {
	dst, start := startFrame(dst)
	dst = appendUint(appendUint(appendArray(dst, 4), uint64(KindReply)), r.ID)
	dst = appendBin(appendString(dst, r.Error), r.Body)
	return endFrame(dst, start)
}

// DecodeReply reads a REPLY frame.
func DecodeReply(f Frame) (Reply, error) {
	p := parser{b: f}
	p.begin(KindReply, 3)
	r := Reply{ID: p.uint(), Error: p.string(), Body: p.bin()}
	return r, p.err(KindReply)
}

// handle makes structs into arrays: compact, and a newer version may append
// fields. MaxInitLen keeps a length on the wire from sizing an allocation.
func handle() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.StructToArray, h.RawToString, h.MaxInitLen = true, true, 1024
	return h
}

// Marshal is the body of a request or a reply. Fields of v are told by their
// order, so they may only be appended.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	if err := codec.NewEncoder(&b, handle()).Encode(v); err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	return b.Bytes(), nil
}

// Unmarshal reads what Marshal wrote into v, which must be a pointer.
func Unmarshal(b []byte, v any) (err error) {
	defer func() { // the library reports some malformed input by a panic
		if r := recover(); r != nil {
			err = fmt.Errorf("wire: %v: %w", r, ErrMalformed)
		}
	}()
	if err := codec.NewDecoderBytes(b, handle()).Decode(v); err != nil {
		return fmt.Errorf("wire: %w", err)
	}
	return nil
}
