package main

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/meshrt/meshrt/node"
)

// chat is rooms that people enter under a name.
//
//	const there = await socket.emitWithAck("enter", "lobby", "ann");  // ["ann", "bob"]
//	socket.emit("say", "lobby", "hello");
//	socket.on("said", (name, text) => ...); also "entered", "left", "typing" with a name
func chat(ns *node.Namespace) {
	node.Handle2(ns, "enter", func(s *node.Session, room, name string) ([]string, error) {
		if name == "" || len(name) > 40 {
			return nil, node.Errorf(node.CodeInvalid, "a name has 1 to 40 bytes")
		}
		if err := s.SetData(name); err != nil {
			return nil, err
		}
		// From here on nothing is missed that anybody says, on any node.
		if err := s.Join(s.Context(), room); err != nil {
			return nil, err
		}
		if err := s.To(room).Emit("entered", name); err != nil {
			return nil, err
		}
		return people(s.Context(), ns.To(room))
	})
	node.Handle2(ns, "say", func(s *node.Session, room, text string) (node.None, error) {
		if !slices.Contains(s.Rooms(), room) {
			return node.None{}, node.Errorf(node.CodeForbidden, "enter first")
		}
		return node.None{}, ns.To(room).Emit("said", s.Data(), text) // the sender too
	})
	node.Handle(ns, "typing", func(s *node.Session, room string) (node.None, error) {
		return node.None{}, s.To(room).Volatile().Emit("typing", s.Data())
	})
	ns.OnDisconnecting(func(s *node.Session, _ string) {
		if rooms := s.Rooms(); len(rooms) > 0 {
			s.To(rooms...).Emit("left", s.Data())
		}
	})
}

// people are the names of all whom the operator means, in the whole cluster.
func people(ctx context.Context, who node.Operator) ([]string, error) {
	sockets, _, err := who.Sockets(ctx) // what a node that hangs knows is missing
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, s := range sockets {
		var name string
		if json.Unmarshal(s.Data, &name) == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
