// Package relay gives a namespace the built-in verbs (CONTRACT §2): clients
// join and leave rooms, publish to them, see who is there and what was said, broadcast to all and send to one
// another, without any code of an application. It is an app like any other, a
// set of handlers on the Go API of package node.
//
// The first argument of publish, broadcast and direct is a name: of a room, an
// event or a socket. An object may stand for it that has the name, the
// message's priority, which every client may choose, and a key by which it is published once
// (node.Operator.IdempotencyKey):
//
//	publish("lobby", "hello", "hi")
//	publish({room: "lobby", priority: "high"}, "hello", "hi")
//	broadcast({event: "hello", priority: "low", idempotency_key: "8c5d..."}, "hi")
//	direct({to: id, priority: "high"}, "hello", "hi")
//
// What has a key waits for other nodes, and what the client says next waits for it.
//
// A check (node.Namespace.Use) of who may publish has to know both forms; for
// others than those it should refuse.
package relay

import (
	"encoding/json"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
)

// Attach registers the verbs on ns.
func Attach(ns *node.Namespace) {
	ns.OnInline("join", join)
	ns.On("leave", leave)
	ns.OnInline("publish", publish)
	ns.OnInline("broadcast", broadcast)
	ns.OnInline("direct", direct)
	ns.On("presence", presence)
	ns.On("history", history)
}

// answer acks with {ok:true} or what went wrong.
func answer(e *node.Event, err error) {
	if e.HasAck {
		e.Ack(node.ResultOf(err))
	}
}

// join is acknowledged when it is in force in the whole cluster. It does not
// hold up the client's next event, a heartbeat maybe, while it waits for that, and so
// needs no goroutine: only a client of which very many joins wait is read no further.
func join(e *node.Event) {
	room, err := name(e, 0, "room")
	if err != nil {
		answer(e, err)
		return
	}
	e.Args, e.Attachments = nil, nil // not to be held while it waits
	e.Session.JoinFunc([]string{room}, func(err error) { answer(e, err) })
}

func leave(e *node.Event) {
	room, err := name(e, 0, "room")
	if err == nil {
		err = node.CheckRoom(room)
	}
	if err != nil {
		answer(e, err)
		return
	}
	e.Session.LeaveFunc([]string{room}, func(err error) { answer(e, err) })
}

// publish(room, event, ...args): every other member gets event(...args).
func publish(e *node.Event) {
	room, how, err := first(e, "room", "room")
	if err != nil {
		answer(e, err)
		return
	}
	event, err := name(e, 1, "event")
	if err != nil {
		answer(e, err)
		return
	}
	emit(e, how, e.Session.To(room), event, e.Args[2:])
}

// broadcast(event, ...args): everyone else in the namespace gets it.
func broadcast(e *node.Event) {
	event, how, err := first(e, "event", "event")
	if err != nil {
		answer(e, err)
		return
	}
	emit(e, how, e.Session.Broadcast(), event, e.Args[1:])
}

// emit acks the event, if that is wanted, when the message outlives this node.
func emit(e *node.Event, how manner, to node.Operator, event string, args wire.Args) {
	if how.key == "" {
		emitNow(e, to.Priority(how.priority), event, args)
	} else {
		emitOnce(e, to.Priority(how.priority).IdempotencyKey(how.key), event, args)
	}
}

func emitOnce(e *node.Event, to node.Operator, event string, args wire.Args) {
	e.Wait(func() { emitNow(e, to, event, args) })
}

func emitNow(e *node.Event, to node.Operator, event string, args wire.Args) {
	if !e.HasAck {
		to.EmitArgs(event, args, e.Attachments)
		return
	}
	to.EmitArgsFunc(event, args, e.Attachments, func(err error) { answer(e, err) })
}

// direct(id, event, ...args): that socket gets event(from, ...args). To itself
// a socket may send too, so nobody is excepted.
func direct(e *node.Event) {
	id, how, err := first(e, "to", "socket id")
	if err != nil {
		answer(e, err)
		return
	}
	event, err := name(e, 1, "event")
	if err != nil {
		answer(e, err)
		return
	}
	o := e.Session.Namespace().To().From(e.Session).WithSender().Priority(how.priority)
	if how.key == "" {
		answer(e, o.Direct(id, event, e.Args[2:], e.Attachments))
	} else {
		directOnce(e, o.IdempotencyKey(how.key), id, event)
	}
}

func directOnce(e *node.Event, o node.Operator, id, event string) {
	e.Wait(func() { answer(e, o.Direct(id, event, e.Args[2:], e.Attachments)) })
}

// manner is how a message is to be sent.
type manner struct {
	priority node.Priority
	key      string // idempotency key; "" is none
}

type missing struct {
	Node   string `json:"node"`
	Reason string `json:"reason"`
}

// presence(room): who is in it, and from then on who comes and goes. Events of who is in missing come when it is known.
func presence(e *node.Event) {
	room, err := name(e, 0, "room")
	if err == nil {
		err = e.Session.WatchPresence(e.Session.Context(), room, func(list node.PresenceList) {
			e.AckShared(list.Ack())
		})
	}
	if err != nil {
		answer(e, err)
	}
}

// first is the first argument of a verb that sends: a name, or an object that has it
// as key, and the manner. What an object has besides would have no effect, and is
// better refused.
func first(e *node.Event, key, what string) (s string, how manner, err error) {
	var object map[string]json.RawMessage // a struct would take "ROOM" for "room"
	if len(e.Args) == 0 || len(e.Args[0]) == 0 || e.Args[0][0] != '{' || json.Unmarshal(e.Args[0], &object) != nil {
		s, err = name(e, 0, what)
		return s, how, err
	}
	for k, v := range object {
		switch k {
		case key:
			if json.Unmarshal(v, &s) != nil {
				err = node.Errorf(node.CodeInvalid, "%s needs a string as %s: the %s", e.Name, key, what)
			}
		case "priority":
			how.priority, err = priorityOf(v)
		case "idempotency_key":
			how.key, err = keyOf(v)
		default:
			err = node.Errorf(node.CodeInvalid, "%s knows no %.40q: in an object there are %s, priority and idempotency_key", e.Name, k, key)
		}
		if err != nil {
			return "", how, err
		}
	}
	if s == "" {
		err = node.Errorf(node.CodeInvalid, "%s has no %s: the %s", e.Name, key, what)
	}
	return s, how, err
}

func keyOf(text json.RawMessage) (key string, err error) {
	if json.Unmarshal(text, &key) != nil {
		return "", node.Errorf(node.CodeInvalid, "idempotency_key must be a string")
	}
	return key, node.CheckIdempotencyKey(key)
}

func priorityOf(text json.RawMessage) (node.Priority, error) {
	var name string
	if json.Unmarshal(text, &name) != nil {
		name = string(text)
	}
	return node.ParsePriority(name)
}

func name(e *node.Event, i int, what string) (string, error) {
	s, ok := wire.Args(e.Args).String(i)
	if !ok {
		return "", node.Errorf(node.CodeInvalid, "%s needs a string as argument %d: the %s", e.Name, i+1, what)
	}
	return s, nil
}

// Forward emits events of these names on to every client of the namespace, the
// sender too, as the classic chat tutorial's server does with io.emit. "*" is
// every event that has no handler.
func Forward(ns *node.Namespace, events ...string) {
	for _, name := range events {
		if name == "*" {
			ns.OnAny(func(e *node.Event) bool { forwardAll(e); return true })
		} else {
			ns.On(name, forwardAll)
		}
	}
}

func forwardAll(e *node.Event) {
	answer(e, e.Session.Namespace().To().EmitArgs(e.Name, e.Args, e.Attachments))
}
