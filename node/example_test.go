package node_test

import (
	"context"
	"fmt"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
)

// printer is a client that prints; package web/socketio has real ones.
type printer struct {
	name   string
	out    chan<- string
	answer string // to questions, as JSON; "" for none

	session *node.Session
}

func (p *printer) Deliver(d *node.Delivery) bool {
	switch d.Kind {
	case node.KindConnect:
		p.session = d.Session
	case node.KindEvent:
		p.out <- fmt.Sprintf("%s gets %s", p.name, d.Message.Payload)
		if d.AckID > 0 && p.answer != "" {
			p.session.ReceiveAck(d.AckID, wire.Args{[]byte(p.answer)}, nil)
		}
	case node.KindAck:
		p.out <- fmt.Sprintf("%s is answered %s", p.name, d.Args)
	}
	return true
}
func (*printer) Flush()     {}
func (*printer) Close(bool) {}

// A chat room: everyone joins the lobby, and what one says all others hear.
func Example() {
	n, err := node.New(node.Config{})
	if err != nil {
		panic(err)
	}
	chat := n.Namespace("/")
	chat.OnConnect(func(s *node.Session) error {
		return s.Join(s.Context(), "lobby")
	})
	node.Handle(chat, "say", func(s *node.Session, text string) (string, error) {
		return "ok", s.To("lobby").Emit("said", text)
	})

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go n.Run(ctx)

	out := make(chan string, 2)
	ann, _ := n.Open(ctx, node.SessionConfig{Namespace: "/", Sink: &printer{name: "ann", out: out}})
	n.Open(ctx, node.SessionConfig{Namespace: "/", Sink: &printer{name: "bob", out: out}})

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
	_, err := n.Open(ctx, node.SessionConfig{Namespace: "/admin", Sink: &printer{}})
	fmt.Println(err)
	// Output: not authorized
}

// A handler for an event of one argument. What is no such argument never gets
// to it; its error is the client's answer.
func ExampleHandle() {
	n, _ := node.New(node.Config{})
	type order struct {
		Item  string `json:"item"`
		Count int    `json:"count"`
	}
	node.Handle(n.Namespace("/"), "order", func(s *node.Session, o order) (float64, error) {
		if o.Count > 100 {
			return 0, node.Errorf(node.CodeLimit, "we have no %d of %s", o.Count, o.Item)
		}
		return float64(o.Count) * 1.5, nil
	})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go n.Run(ctx)

	out := make(chan string, 1)
	ann, _ := n.Open(ctx, node.SessionConfig{Namespace: "/", Sink: &printer{name: "ann", out: out}})
	for _, arg := range []string{`{"item":"tea","count":3}`, `{"item":"tea","count":300}`, `"tea"`} {
		ann.Receive(&node.Event{Name: "order", Args: wire.Args{[]byte(arg)}, HasAck: true})
		fmt.Println(<-out)
	}
	// Output:
	// ann is answered [4.5]
	// ann is answered [{"ok":false,"error":"we have no 300 of tea","code":"limit"}]
	// ann is answered [{"ok":false,"error":"argument 1 of event \"order\": json: cannot unmarshal string into Go value of type node_test.order","code":"invalid"}]
}

// The server may ask a client, even one whose handler is running.
func ExampleSession_EmitWithAck() {
	n, _ := node.New(node.Config{})
	node.Handle(n.Namespace("/"), "delete", func(s *node.Session, file string) (node.None, error) {
		ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
		defer cancel()
		answer, err := s.EmitWithAck(ctx, "are you sure?", file)
		if err != nil {
			return node.None{}, err // it is gone, or takes more than a minute
		}
		var sure bool
		if err := answer.Arg(0, &sure); err != nil || !sure {
			return node.None{}, node.Errorf(node.CodeForbidden, "not deleted")
		}
		return node.None{}, nil
	})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go n.Run(ctx)

	out := make(chan string, 2)
	ann, _ := n.Open(ctx, node.SessionConfig{Namespace: "/", Sink: &printer{name: "ann", out: out, answer: "true"}})
	ann.Receive(&node.Event{Name: "delete", Args: wire.Args{[]byte(`"notes.txt"`)}, HasAck: true})
	fmt.Println(<-out)
	fmt.Println(<-out)
	// Output:
	// ann gets ["are you sure?","notes.txt"]
	// ann is answered [{"ok":true}]
}

// All clients of a room are asked, on every node. Those who do not answer in
// time are told apart from those who did.
func ExampleOperator_EmitWithAck() {
	n, _ := node.New(node.Config{})
	n.Namespace("/").OnConnect(func(s *node.Session) error { return s.Join(s.Context(), "jury") })
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go n.Run(ctx)

	out := make(chan string, 2)
	n.Open(ctx, node.SessionConfig{Namespace: "/", Sink: &printer{name: "ann", out: out, answer: `"guilty"`}})
	n.Open(ctx, node.SessionConfig{Namespace: "/", Sink: &printer{name: "bob", out: out}})
	acks, err := n.In("/").To("jury").Timeout(50*time.Millisecond).EmitWithAck(ctx, "verdict?")
	fmt.Println(acks.Complete(), err)
	for _, a := range acks.Answers {
		fmt.Printf("%s\n", a.Args[0])
	}
	for _, s := range acks.Silent {
		fmt.Println(s.Reason)
	}
	// Output:
	// false <nil>
	// "guilty"
	// timeout
}

// Sessions of the whole cluster are moved by target.
func ExampleOperator_Join() {
	n, _ := node.New(node.Config{})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ns := n.Namespace("/")
	go n.Run(ctx)

	out := make(chan string, 1)
	n.Open(ctx, node.SessionConfig{Namespace: "/", Sink: &printer{name: "ann", out: out}})
	changed, err := ns.To().Except("banned").Join(ctx, "party") // in force everywhere when it returns
	fmt.Println(changed.Sockets, changed.Missing, err)
	ns.To("party").Emit("music")
	fmt.Println(<-out)
	// Output:
	// 1 [] <nil>
	// ann gets ["music"]
}

// Code of the nodes talks to its like on the others.
func ExampleNamespace_ServerSideEmit() {
	n, _ := node.New(node.Config{})
	ns := n.Namespace("/")
	ns.OnServer("reload", func(e *node.ServerEvent) {
		var what string
		if e.Arg(0, &what) == nil {
			fmt.Println(e.Node, "wants", what, "to be read again")
		}
		e.Ack("done")
	})
	ns.ServerSideEmit("reload", "prices") // to all others
	acks, err := ns.ServerSideEmitWithAck(context.Background(), "reload", "prices")
	fmt.Println(len(acks.Answers), acks.Missing, err) // here there are no others
	// Output: 0 [] <nil>
}

// Every event of a namespace can be checked before it is handled.
func ExampleNamespace_Use() {
	n, _ := node.New(node.Config{})
	ns := n.Namespace("/")
	ns.Use(func(e *node.Event) error {
		if e.Session.Get("user") == nil && e.Name != "log in" {
			return node.Errorf(node.CodeForbidden, "log in first")
		}
		return nil
	})
	node.Handle(ns, "secret", func(*node.Session, node.None) (int, error) { return 42, nil })
	node.Handle(ns, "log in", func(s *node.Session, name string) (node.None, error) {
		s.Set("user", name)
		return node.None{}, nil
	})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go n.Run(ctx)

	out := make(chan string, 1)
	ann, _ := n.Open(ctx, node.SessionConfig{Namespace: "/", Sink: &printer{name: "ann", out: out}})
	for _, event := range []string{"secret", "log in", "secret"} {
		ann.Receive(&node.Event{Name: event, Args: wire.Args{[]byte(`"ann"`)}, HasAck: true})
		fmt.Println(<-out)
	}
	// Output:
	// ann is answered [{"ok":false,"error":"log in first","code":"forbidden"}]
	// ann is answered [{"ok":true}]
	// ann is answered [42]
}
