// Package relay gives a namespace the built-in verbs (CONTRACT §2): clients
// join and leave rooms, publish to them, broadcast to all and send to one
// another, without any code of an application. It is an app like any other, a
// set of handlers on the Go API of package node.
package relay

import (
	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
)

// Attach registers the verbs on ns.
func Attach(ns *node.Namespace) {
	ns.On("join", join)
	ns.On("leave", leave)
	ns.On("publish", publish)
	ns.On("broadcast", broadcast)
	ns.On("direct", direct)
}

// answer acks with {ok:true} or what went wrong.
func answer(e *node.Event, err error) { e.Ack(node.ResultOf(err)) }

// join is acknowledged when it is in force in the whole cluster. It does not
// hold up the client's next event, a heartbeat maybe, while it waits for that.
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
	if err == nil {
		e.Session.Leave(room)
	}
	answer(e, err)
}

// publish(room, event, ...args): every other member gets event(...args).
func publish(e *node.Event) {
	room, err := name(e, 0, "room")
	if err != nil {
		answer(e, err)
		return
	}
	answer(e, forward(e, e.Session.To(room), 1))
}

// broadcast(event, ...args): everyone else in the namespace gets it.
func broadcast(e *node.Event) {
	answer(e, forward(e, e.Session.Broadcast(), 0))
}

// direct(id, event, ...args): that socket gets event(from, ...args). To itself
// a socket may send too, so nobody is excepted.
func direct(e *node.Event) {
	id, err := name(e, 0, "socket id")
	if err != nil {
		answer(e, err)
		return
	}
	event, err := name(e, 1, "event")
	if err != nil {
		answer(e, err)
		return
	}
	answer(e, e.Session.Direct(id, event, e.Args[2:], e.Attachments))
}

// forward sends the event that starts at argument i.
func forward(e *node.Event, to node.Operator, i int) error {
	event, err := name(e, i, "event")
	if err != nil {
		return err
	}
	return to.EmitArgs(event, e.Args[i+1:], e.Attachments)
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
