package sio

import (
	"bytes"
	"encoding/json"

	"github.com/meshrt/meshrt/wire"
)

// EventName is the first element of data, the valid JSON text of an event's
// argument list. Nothing behind that element is read. A number is a name too,
// in the form that JavaScript gives it as a key: 1 and 1.0 are "1". Of any other
// text, ok is false.
func EventName(data []byte) (name string, ok bool) {
	const space = " \t\r\n"
	data = bytes.TrimLeft(data, space)
	if len(data) == 0 || data[0] != '[' {
		return "", false
	}
	data = bytes.TrimLeft(data[1:], space)
	if len(data) == 0 {
		return "", false
	}
	if data[0] == '"' {
		return stringName(data)
	}
	if end := bytes.IndexAny(data, ",]"+space); end > 0 {
		data = data[:end]
	}
	return numberName(data)
}

// stringName decodes the JSON string at the start of b.
func stringName(b []byte) (string, bool) {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			return escapedName(b, i)
		case '"':
			return string(b[1:i]), true
		}
	}
	return "", false
}

// escapedName is stringName for a string with an escape, the first at b[i].
func escapedName(b []byte, i int) (name string, ok bool) {
	for ; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			ok = json.Unmarshal(b[:i+1], &name) == nil
			return name, ok
		}
	}
	return "", false
}

func numberName(b []byte) (string, bool) {
	var f *float64 // nil for null
	if json.Unmarshal(b, &f) != nil || f == nil {
		return "", false
	}
	if *f == 0 {
		return "0", true // minus zero too
	}
	text, err := json.Marshal(*f) // writes numbers as JavaScript does
	return string(text), err == nil
}

// reservedName tells whether the name of an event is one that nobody may send. It
// makes a string of names with escapes alone.
func reservedName(data []byte) (reserved, ok bool) {
	if len(data) > 2 && data[0] == '[' && data[1] == '"' {
		if end := bytes.IndexByte(data[2:], '"'); end >= 0 && bytes.IndexByte(data[2:2+end], '\\') < 0 {
			return wire.ReservedEvent(string(data[2 : 2+end])), true
		}
	}
	name, ok := EventName(data)
	return wire.ReservedEvent(name), ok
}
