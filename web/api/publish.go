package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
)

// message is the body of all requests that send something.
type message struct {
	Namespace string          `json:"namespace"`
	Room      string          `json:"room"`
	Rooms     []string        `json:"rooms"`
	Except    []string        `json:"except"`
	To        string          `json:"to"`
	Event     string          `json:"event"`
	Data      json.RawMessage `json:"data"`
	Args      json.RawMessage `json:"args"`
	Volatile  bool            `json:"volatile"`
	Priority  node.Priority   `json:"priority"`
	Key       *string         `json:"idempotency_key"`
}

// maxRooms limits the rooms and exceptions of one request: each costs a look-up
// on every node.
const maxRooms = 1000

func decode(body []byte) (m message, args wire.Args, err error) {
	if !utf8.Valid(body) { // browsers would close the websocket that it arrives on
		return m, nil, node.Errorf(node.CodeInvalid, "body is not valid UTF-8")
	}
	if err := wire.CheckDepth(body); err != nil {
		return m, nil, node.Errorf(node.CodeInvalid, "body: %v", err)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields() // a field that has no effect is better refused
	if err := d.Decode(&m); err != nil {
		return m, nil, node.Errorf(node.CodeInvalid, "body: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return m, nil, node.Errorf(node.CodeInvalid, "body: more than one JSON value")
	}
	if m.Namespace == "" {
		m.Namespace = "/"
	}
	if m.Key != nil {
		if err := node.CheckIdempotencyKey(*m.Key); err != nil {
			return m, nil, err
		}
	}
	if len(m.Rooms) > maxRooms || len(m.Except) > maxRooms {
		return m, nil, node.Errorf(node.CodeLimit, "more than %d rooms", maxRooms)
	}
	switch {
	case m.Data != nil && m.Args != nil:
		return m, nil, node.Errorf(node.CodeInvalid, "either data or args, not both")
	case m.Data != nil:
		args = wire.Args{m.Data}
	case m.Args != nil:
		if args, err = wire.SplitArgs(m.Args); err != nil {
			return m, nil, node.Errorf(node.CodeInvalid, "args: %v", err)
		}
	}
	return m, args, nil
}

// only refuses what a request of this kind has no use for.
func (m message) only(rooms, to bool) error {
	switch {
	case !rooms && (m.Room != "" || m.Rooms != nil || m.Except != nil || m.Volatile):
		return node.Errorf(node.CodeInvalid, "room, rooms, except and volatile are for /api/publish")
	case !to && m.To != "":
		return node.Errorf(node.CodeInvalid, "to is for /api/direct")
	}
	return nil
}

func (h *handler) operator(m message) node.Operator {
	o := h.node.In(m.Namespace).Priority(m.Priority)
	if m.Key != nil {
		o = o.IdempotencyKey(*m.Key)
	}
	return o
}

func (h *handler) publish(ctx context.Context, body []byte) error {
	m, args, err := decode(body)
	if err == nil {
		err = m.only(true, false)
	}
	if err != nil {
		return err
	}
	rooms := m.Rooms
	if m.Room != "" {
		rooms = append(rooms, m.Room)
	}
	if len(rooms) == 0 {
		return node.Errorf(node.CodeInvalid, "room is missing; /api/broadcast is for everyone")
	}
	o := h.operator(m).To(rooms...).Except(m.Except...)
	if m.Volatile {
		o = o.Volatile()
	}
	return o.EmitArgsSafe(ctx, m.Event, args, nil)
}

func (h *handler) broadcast(ctx context.Context, body []byte) error {
	m, args, err := decode(body)
	if err == nil {
		err = m.only(false, false)
	}
	if err != nil {
		return err
	}
	return h.operator(m).EmitArgsSafe(ctx, m.Event, args, nil)
}

func (h *handler) direct(_ context.Context, body []byte) error {
	m, args, err := decode(body)
	if err == nil {
		err = m.only(false, true)
	}
	if err != nil {
		return err
	}
	if m.To == "" {
		return node.Errorf(node.CodeInvalid, "to is missing: the id of a socket")
	}
	return h.operator(m).Direct(m.To, m.Event, args, nil)
}
