package plain

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/meshrt/meshrt/wire"
)

// pastLevels is how deep a message of the past stands in the answer that has it: list of arguments, object, list of messages.
const pastLevels = 3

// AppendPast appends m as a message of the past: an object with its id, age, event, data, args and from, as in the frame of
// an event, for clients of all protocols. It fails, with nothing appended, on a payload that would spoil an answer with many:
// what AppendEvent refuses, what is no JSON or not UTF-8, and what nests too deep.
func AppendPast(dst []byte, m *wire.Message, id string, age time.Duration) ([]byte, error) {
	name, args, err := split(m)
	if err != nil {
		return dst, fmt.Errorf("past event as JSON: %w", err)
	}
	b := append(make([]byte, 0, 192+len(m.Payload)), "[[["[:pastLevels]...)
	b = append(b, `{"age_ms":`...)
	b = appendMember(strconv.AppendInt(b, age.Milliseconds(), 10), "id", id)
	b = appendArgs(append(append(b, `,"event":`...), name...), args)
	if m.From != "" {
		b = appendMember(b, "from", string(m.From))
	}
	b = append(b, '}')
	switch text := b[pastLevels:]; {
	case !utf8.Valid(text) || !json.Valid(text):
		return dst, errors.New("past event as JSON: it is no JSON text in UTF-8")
	case wire.CheckDepth(b) != nil:
		return dst, errors.New("past event as JSON: it nests too deep")
	default:
		return slices.Concat(dst, text), nil
	}
}
