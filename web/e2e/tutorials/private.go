package main

import (
	"encoding/json"

	"github.com/meshrt/meshrt/node"
)

// private is messages between users. All devices of a user, on whichever nodes,
// are a room, so that a message reaches each of them.
//
//	io("/private", {auth: {user: "ann"}})
//	await socket.emitWithAck("users")                            // ["ann", "bob"]
//	await socket.emitWithAck("private message", "bob", "hello")  // {seen: 1}
//	socket.on("private message", (from, text, ack) => ack())
func private(ns *node.Namespace) {
	type receipt struct {
		Seen int `json:"seen"` // devices that acknowledged it
	}
	ns.OnConnect(func(s *node.Session) error {
		var auth struct{ User string }
		if json.Unmarshal(s.Handshake().Auth, &auth) != nil || auth.User == "" {
			return node.Errorf(node.CodeInvalid, "who are you?") // connect_error at the client
		}
		s.Set("user", auth.User)
		if err := s.SetData(auth.User); err != nil {
			return err
		}
		return s.Join(s.Context(), "user "+auth.User)
	})
	node.Handle(ns, "users", func(s *node.Session, _ node.None) ([]string, error) { return people(s.Context(), ns.To()) })
	node.Handle2(ns, "private message", func(s *node.Session, to, text string) (receipt, error) {
		from := s.Get("user").(string)
		s.To("user "+from).Emit("sent", to, text) // the sender's other devices
		acks, err := ns.To("user "+to).EmitWithAck(s.Context(), "private message", from, text)
		return receipt{len(acks.Answers)}, err
	})
}
