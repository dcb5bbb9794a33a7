package plain

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/meshrt/meshrt/wire"
)

var errNoName = errors.New("its name is no string")

// AppendEvent appends the frame for m. The room is told when m is for exactly
// one, which may not be a single session; id and cursor "" are left out. m.Payload must
// be valid JSON, on which it depends that the frame is. It fails on a payload
// that is no event or does not fit its attachments.
func AppendEvent(dst []byte, m *wire.Message, id, cursor string) ([]byte, error) {
	name, args, err := split(m)
	if err != nil {
		return dst, fmt.Errorf("event as plain JSON: %w", err)
	}
	return appendEvent(dst, m, name, args, id, cursor), nil
}

// AppendAsk is AppendEvent for an event that the client is to answer with an ack
// command of that id. It has neither id nor cursor of its own: nobody is asked twice.
func AppendAsk(dst []byte, m *wire.Message, id uint64) ([]byte, error) {
	dst, err := AppendEvent(dst, m, "", "")
	if err != nil {
		return dst, err
	}
	dst = append(dst[:len(dst)-1], `,"ack":`...) // before its }
	return append(strconv.AppendUint(dst, id, 10), '}'), nil
}

func appendEvent(dst []byte, m *wire.Message, name []byte, args wire.Args, id, cursor string) []byte {
	dst = slices.Grow(dst, 128+len(m.Payload)) // enough for most
	dst = append(dst, `{"type":"event"`...)
	if len(m.Rooms) == 1 && wire.SessionID(m.Rooms[0]).Node() == 0 {
		dst = appendMember(dst, "room", m.Rooms[0])
	}
	dst = append(append(dst, `,"event":`...), name...)
	dst = appendArgs(dst, args)
	if m.From != "" {
		dst = appendMember(dst, "from", string(m.From))
	}
	if id != "" {
		dst = appendMember(dst, "id", id)
	}
	if cursor != "" {
		dst = appendMember(dst, "cursor", cursor)
	}
	return append(dst, '}')
}

// split is the name of the event in m, as JSON text, and its arguments.
func split(m *wire.Message) (name []byte, args wire.Args, err error) {
	payload, err := inline(m.Payload, m.Attachments)
	if err != nil {
		return nil, nil, err
	}
	if args, err = wire.SplitArgs(payload); err != nil {
		return nil, nil, err
	}
	if len(args) == 0 || len(args[0]) == 0 {
		return nil, nil, errNoName
	}
	switch c := args[0][0]; {
	case c == '"':
		return args[0], args[1:], nil
	case c == '-' || c >= '0' && c <= '9':
		// Socket.IO has numbers for names; clients of ours always get a string.
		return slices.Concat([]byte{'"'}, args[0], []byte{'"'}), args[1:], nil
	}
	return nil, nil, errNoName
}

// inline is text with its placeholders replaced by the attachments in base64.
// All other bytes stay.
func inline(text []byte, attachments [][]byte) ([]byte, error) {
	if len(attachments) == 0 {
		return text, nil
	}
	places, err := wire.Placeholders(text, len(attachments))
	if err != nil {
		return nil, err
	}
	size := len(text)
	for _, a := range attachments {
		size += base64.StdEncoding.EncodedLen(len(a))
	}
	b, done := make([]byte, 0, size), 0
	for _, p := range places {
		b = append(b, text[done:p.Start]...)
		b = append(b, `{"$binary":"`...)
		b = base64.StdEncoding.AppendEncode(b, attachments[p.Num])
		b = append(b, `"}`...)
		done = p.End
	}
	return append(b, text[done:]...), nil
}
