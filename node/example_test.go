package node_test

import (
	"context"
	"fmt"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
)

// printer is a Sink that prints; package web/socketio has a real one.
type printer struct {
	name string
	out  chan<- string
}

func (p printer) Deliver(d *node.Delivery) bool {
	switch d.Kind {
	case node.KindEvent:
		p.out <- fmt.Sprintf("%s gets %s", p.name, d.Message.Payload)
	case node.KindAck:
		p.out <- fmt.Sprintf("%s is answered %s", p.name, d.Args)
	}
	return true
}
func (printer) Flush()     {}
func (printer) Close(bool) {}

// A chat room: everyone joins the lobby, and what one says all others hear.
func Example() {
	n, err := node.New(node.Config{})
	if err != nil {
		panic(err)
	}
	chat := n.Namespace("/")
	chat.OnConnect(func(s *node.Session) error {
		return s.Join(context.Background(), "lobby")
	})
	chat.On("say", func(e *node.Event) {
		var text string
		if err := e.Arg(0, &text); err != nil {
			e.Ack(node.ResultOf(err))
			return
		}
		e.Session.To("lobby").Emit("said", text)
		e.Ack("ok")
	})

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go n.Run(ctx)

	out := make(chan string, 2)
	ann, _ := n.Open(ctx, node.SessionConfig{Namespace: "/", Sink: printer{"ann", out}})
	n.Open(ctx, node.SessionConfig{Namespace: "/", Sink: printer{"bob", out}, Affinity: n.NewAffinity()})

	ann.Receive(&node.Event{Name: "say", Args: wire.Args{[]byte(`"hello"`)}, AckID: 1, HasAck: true})
	for range 2 {
		fmt.Println(<-out)
	}
	// Unordered output:
	// bob gets ["said","hello"]
	// ann is answered ["ok"]
}

// Operators choose who gets an event; each is a value that can be kept.
func ExampleOperator() {
	n, _ := node.New(node.Config{})
	news := n.In("/").To("news").Except("muted")
	err := news.Emit("headline", "It works", map[string]int{"page": 1})
	fmt.Println(err)
	err = news.Volatile().Emit("disconnect")
	fmt.Println(node.CodeOf(err), err)
	// Output:
	// <nil>
	// invalid event name "disconnect" is reserved
}

// Middleware refuses clients with an error that reaches them.
func ExampleNamespace_OnConnect() {
	n, _ := node.New(node.Config{})
	n.Namespace("/admin").OnConnect(func(s *node.Session) error {
		if string(s.Handshake().Auth) != `{"token":"secret"}` {
			return &node.Error{Code: node.CodeForbidden, Message: "not authorized"}
		}
		return nil
	})
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	_, err := n.Open(ctx, node.SessionConfig{Namespace: "/admin", Sink: printer{}})
	fmt.Println(err)
	// Output: not authorized
}
