package socketio

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/wire"
	"github.com/meshrt/meshrt/wire/sio"
)

// Whatever a client gives with its CONNECT, it names a session of before or a new one is made; and what one of an
// old version writes behind its namespace is JSON for us.
func FuzzConnect(f *testing.F) {
	f.Add(`{"pid":"p","offset":"o"}`, "/chat?token=a%20b&x")
	f.Add(`{"pid":null,"offset":7}`, "/?%zz&a=1;b=2")
	f.Add(`{"pid":`, "?")
	f.Fuzz(func(t *testing.T, auth, namespace string) {
		if r := resumeOf(json.RawMessage(auth)); r != (node.Resume{}) && !json.Valid([]byte(auth)) {
			t.Errorf("%s is taken for %+v", auth, r)
		}
		p := modern(sio.Packet{Type: sio.Connect, Namespace: namespace})
		if strings.Contains(p.Namespace, "?") || len(p.Data) > 0 && !json.Valid(p.Data) {
			t.Errorf("%q became %q with %q", namespace, p.Namespace, p.Data)
		}
	})
}

// Whatever another node says of a client that moves, it comes or it stays.
func FuzzMove(f *testing.F) {
	for _, sample := range []any{
		moveReply{Parser: parserText, Sessions: []node.Moving{{Namespace: "/", ID: "x", Rooms: []string{"r"}, Data: []byte("1"), Info: []byte("{")}}, Joined: true},
		moveReply{Parser: 9, Sessions: []node.Moving{{Namespace: "/", ID: "x"}, {Namespace: "/", ID: "y"}, {Namespace: "none"}}},
		moveReply{Parser: parserText, Text: []byte(`52-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`), Attachments: [][]byte{{1}}, Owed: []int{-1, 7}},
		moveReply{Parser: parserText, Text: []byte(`2["e"]`)},
		moveRequest{Step: moveBegin, SID: "x"}, moveRequest{Step: moveCommit, SID: "x", Origins: []wire.NodeID{7}}, moveRequest{Step: 99},
	} {
		body, err := wire.Marshal(sample)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	n, err := node.New(node.Config{SessionsMove: true})
	if err != nil {
		f.Fatal(err)
	}
	n.Namespace("/")
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); n.Run(ctx) }()
	f.Cleanup(func() { stop(); <-done })
	s := NewServer(Config{ConnectTimeout: time.Hour}, n)
	f.Fuzz(func(t *testing.T, body []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		s.answerMove(ctx, 7, body)
		var reply moveReply
		if wire.Unmarshal(body, &reply) != nil {
			return
		}
		c := s.newConn(new(engineio.Socket))
		err := c.resume(reply)
		c.mu.Lock()
		c.stopTimeoutLocked()
		c.mu.Unlock()
		if err != nil {
			return
		}
		arrival, err := n.Arrive(ctx, 7, c.arriving(reply.Sessions), c.affinity)
		if err != nil {
			return
		}
		c.arrived(arrival.Sessions())
		arrival.Admit(reply.Owed)
		for _, session := range arrival.Sessions() {
			session.Close("bye")
		}
	})
}
