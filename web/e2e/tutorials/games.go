package main

import (
	"crypto/subtle"
	"encoding/json"
	"time"

	"github.com/meshrt/meshrt/node"
)

// games is a central server: game servers, which may be behind a firewall,
// connect to it like clients, and players reach them through it. A player and
// the server of the game may be on different nodes.
//
//	game server  io("/servers", {auth: {game: "chess", key: "secret"}})
//	             socket.on("move", (player, move, ack) => ack({legal: true}))
//	             socket.emit("state", board)
//	player       await socket.emitWithAck("watch", "chess")
//	             await socket.emitWithAck("move", "chess", "e2e4")  // {legal: true}
//	             socket.on("state", (board) => ...)
func games(servers, players *node.Namespace, key string) {
	servers.OnConnect(func(s *node.Session) error {
		var auth struct{ Game, Key string }
		if json.Unmarshal(s.Handshake().Auth, &auth) != nil || subtle.ConstantTimeCompare([]byte(auth.Key), []byte(key)) == 0 {
			return &node.Error{Code: node.CodeForbidden, Message: "wrong key", Data: map[string]string{"code": "forbidden"}}
		}
		s.Set("game", auth.Game)
		return s.Join(s.Context(), auth.Game)
	})
	// What a game server tells all who watch its game.
	servers.On("state", func(e *node.Event) {
		game := e.Session.Get("game").(string)
		e.Ack(node.ResultOf(players.To(game).EmitArgs("state", e.Args, e.Attachments)))
	})
	// A cheater goes, whichever node he is on.
	node.Handle(servers, "kick", func(s *node.Session, player string) (node.None, error) {
		_, err := players.To(player).Disconnect(s.Context(), true)
		return node.None{}, err
	})

	node.Handle(players, "watch", func(s *node.Session, game string) (node.None, error) {
		return node.None{}, s.Join(s.Context(), game)
	})
	// A move is a question to the game's server; its answer is the player's ack.
	node.Handle2(players, "move", func(s *node.Session, game string, move json.RawMessage) (json.RawMessage, error) {
		acks, err := servers.To(game).Timeout(2*time.Second).EmitWithAck(s.Context(), "move", s.ID(), move)
		if err != nil {
			return nil, err
		}
		if len(acks.Answers) == 0 || len(acks.Answers[0].Args) == 0 {
			return nil, node.Errorf(node.CodeUnavailable, "no server of %q answers", game)
		}
		return acks.Answers[0].Args[0], nil
	})
}
