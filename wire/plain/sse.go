package plain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/meshrt/meshrt/wire"
)

// AppendSSE appends one event of a text/event-stream (HTML Standard, section
// 9.2). Lines for an empty event or id are left out; data always has a line, as
// browsers ignore events without. Line breaks split data into several lines, which
// the reader joins again with "\n": no difference in JSON. In event and id, where
// they cannot be said, they become blanks, as does the NUL for which a browser
// ignores an id.
func AppendSSE(dst []byte, event, id string, data []byte) []byte {
	dst = appendField(dst, "event: ", event)
	dst = appendField(dst, "id: ", id)
	for {
		i := bytes.IndexAny(data, "\r\n")
		if i < 0 {
			break
		}
		dst = appendDataLine(dst, data[:i])
		if data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n' {
			i++
		}
		data = data[i+1:]
	}
	return append(appendDataLine(dst, data), '\n')
}

// AppendEventSSE appends the SSE form of AppendEvent: its frame as the data, under
// the name of the event. With a cursor it is left open: its last line is the id, which is
// the cursor so far, and has no end. Each reader's own part of the id ends it, and a blank
// line the event, so that the rest is the same for all.
func AppendEventSSE(dst []byte, m *wire.Message, id, cursor string) ([]byte, error) {
	name, args, err := split(m)
	if err != nil {
		return dst, fmt.Errorf("event as SSE: %w", err)
	}
	var event string
	if err := json.Unmarshal(name, &event); err != nil {
		return dst, fmt.Errorf("event as SSE: its name: %w", err)
	}
	dst = AppendSSE(dst, event, "", appendEvent(nil, m, name, args, id, cursor))
	if cursor == "" {
		return dst, nil
	}
	dst = append(dst[:len(dst)-1], "id: "...)
	return append(dst, oneLine.Replace(cursor)...), nil
}

func appendDataLine(dst, line []byte) []byte {
	dst = append(dst, "data: "...)
	return append(append(dst, line...), '\n')
}

var oneLine = strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ")

func appendField(dst []byte, field, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, field...)
	return append(append(dst, oneLine.Replace(value)...), '\n')
}
