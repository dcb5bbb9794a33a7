package plain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/meshrt/meshrt/wire"
)

const (
	// MaxRoom limits the name of a room or session in a command, in bytes.
	MaxRoom = 255
	// MaxID is the largest integer that a JavaScript client counts to exactly.
	MaxID = 1<<53 - 1
	// MaxArgs limits the arguments of a command: with the name of the event in
	// front they are an argument list of the size that wire allows.
	MaxArgs = wire.MaxArgs - 1
)

// Command is what a client asks for. Fields that its Type does not use are empty.
type Command struct {
	Type  string // join, leave, presence, history, publish, broadcast, direct, emit or ack
	ID    uint64 // for the answer, of an ack the event's; counts only with HasID, at most MaxID
	HasID bool

	Room  string // join, leave, presence, history, publish
	To    string // direct: a session id
	Event string // publish, broadcast, direct, emit; reserved names are not checked
	// Priority is a name, which is not checked, of publish, broadcast and direct; empty
	// when there is none.
	Priority string
	// Key is an idempotency key, whose length is not checked, of publish, broadcast and direct;
	// empty when there is none.
	Key  string
	Args wire.Args // of the event or ack, valid JSON
	// Limit, Since and Unseen are JSON texts, which are not checked, of history; nil when they are not there.
	Limit, Since, Unseen json.RawMessage
}

// member is a set of the members that a type of command must have.
type member uint8

const (
	needRoom member = 1 << iota
	needEvent
	needTo
	needID
	mayArgs // has arguments, like all that have an event
	mayLook // asks for a part: has a limit and a since
	maySend // is sent to others: has a priority and a key
)

var needs = map[string]member{
	"join":      needRoom,
	"leave":     needRoom,
	"presence":  needRoom,
	"history":   needRoom | mayLook,
	"publish":   needRoom | needEvent | maySend,
	"broadcast": needEvent | maySend,
	"direct":    needTo | needEvent | maySend,
	"emit":      needEvent,
	"ack":       needID | mayArgs,
}

// DecodeCommand reads one command. Its errors are sentences for the client, for
// an answer with the code "invalid"; where the id could be read it is in the
// Command beside the error, so that the answer can carry it. Members that the
// type does not use are ignored, and null is no value except as data.
func DecodeCommand(data []byte) (Command, error) {
	var c Command
	if !utf8.Valid(data) {
		return c, errors.New("the command is not valid UTF-8")
	}
	var m map[string]json.RawMessage // a struct would take "ROOM" for "room"
	if json.Unmarshal(data, &m) != nil || m == nil {
		return c, errors.New("the command is not a JSON object")
	}
	for name, value := range m {
		if name != "data" && bytes.Equal(value, []byte("null")) {
			delete(m, name)
		}
	}
	if err := c.readID(m["id"]); err != nil {
		return c, err
	}
	return c, c.read(m)
}

func (c *Command) readID(text json.RawMessage) error {
	if text == nil {
		return nil
	}
	id, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil || id > MaxID {
		return fmt.Errorf("id must be an integer from 0 to %d", int64(MaxID))
	}
	c.ID, c.HasID = id, true
	return nil
}

func (c *Command) read(m map[string]json.RawMessage) error {
	typ, err := stringMember(m, "type")
	if err != nil {
		return err
	}
	need, ok := needs[typ]
	if !ok {
		return fmt.Errorf("unknown type %.40q", typ)
	}
	c.Type = typ
	if need&needRoom != 0 {
		if c.Room, err = nameMember(m, "room"); err != nil {
			return err
		}
	}
	if need&mayLook != 0 {
		c.Limit, c.Since, c.Unseen = m["limit"], m["since"], m["unseen"]
	}
	if need&needTo != 0 {
		if c.To, err = nameMember(m, "to"); err != nil {
			return err
		}
	}
	if m["priority"] != nil && need&maySend != 0 {
		if c.Priority, err = stringMember(m, "priority"); err != nil {
			return err
		}
	}
	if m["idempotency_key"] != nil && need&maySend != 0 {
		if c.Key, err = stringMember(m, "idempotency_key"); err != nil {
			return err
		}
	}
	if need&needID != 0 && !c.HasID {
		return errors.New("id is missing")
	}
	if need&needEvent != 0 {
		if c.Event, err = stringMember(m, "event"); err != nil {
			return err
		}
	}
	if need&(needEvent|mayArgs) != 0 {
		c.Args, err = arguments(m)
	}
	return err
}

// stringMember is the string that m[key] must be, not empty.
func stringMember(m map[string]json.RawMessage, key string) (string, error) {
	raw, ok := m[key]
	if !ok {
		return "", fmt.Errorf("%s is missing", key)
	}
	if raw[0] != '"' {
		return "", fmt.Errorf("%s must be a string", key)
	}
	s := string(raw[1 : len(raw)-1])
	if strings.Contains(s, `\`) { // rare, and the slow way
		_ = json.Unmarshal(raw, &s) // valid, as the whole command is
	}
	if s == "" {
		return "", fmt.Errorf("%s must not be empty", key)
	}
	return s, nil
}

// nameMember is stringMember within MaxRoom.
func nameMember(m map[string]json.RawMessage, key string) (string, error) {
	s, err := stringMember(m, key)
	if err == nil && len(s) > MaxRoom {
		return "", fmt.Errorf("%s is longer than %d bytes", key, MaxRoom)
	}
	return s, err
}

func arguments(m map[string]json.RawMessage) (wire.Args, error) {
	data, hasData := m["data"]
	list, hasArgs := m["args"]
	switch {
	case hasData && hasArgs:
		return nil, errors.New("data and args exclude each other")
	case hasData:
		return wire.Args{data}, nil
	case !hasArgs:
		return nil, nil
	case list[0] != '[':
		return nil, errors.New("args must be an array")
	}
	args, err := wire.SplitArgs(list)
	if err != nil || len(args) > MaxArgs {
		return nil, fmt.Errorf("args has more than %d elements", MaxArgs)
	}
	return args, nil
}
