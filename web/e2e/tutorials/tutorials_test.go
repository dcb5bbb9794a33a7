package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/webtest"
	"github.com/meshrt/meshrt/wire"
)

// onTwoNodes runs f with two nodes of the program.
func onTwoNodes(t *testing.T, f func(t *testing.T, one, two *webtest.Server)) {
	synctest.Test(t, func(t *testing.T) {
		network := clustertest.NewNetwork(1)
		var servers []*webtest.Server
		var stops []func()
		seed := ""
		for i := range 2 {
			id, name := wire.NewNodeID(), fmt.Sprint("n", i+1)
			host := network.Host(name)
			host.SetNode(name + "@" + id.String())
			cfg := cluster.Config{ID: id, Name: name, Cluster: "tutorials", Net: host}
			if i > 0 {
				cfg.Seeds = []string{seed}
			}
			seed = host.Advertise().String()
			n, err := node.New(node.Config{Cluster: cfg})
			if err != nil {
				t.Fatal(err)
			}
			handler, w, err := serve(n, "secret")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- w.RunWithNode(ctx) }()
			s := webtest.Serve(t, handler)
			servers = append(servers, s)
			stops = append(stops, func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				s.Stop()
			})
		}
		time.Sleep(3 * time.Second) // they meet
		f(t, servers[0], servers[1])
		for _, stop := range stops {
			stop()
		}
		time.Sleep(time.Minute) // memberlist outlives its Shutdown
	})
}

// client is a Socket.IO client in one namespace.
type client struct {
	*webtest.Conn
	t         *testing.T
	namespace string
	id        string
}

// connect gives the client, or the text of its connect_error.
func connect(t *testing.T, s *webtest.Server, namespace, auth string) (*client, string) {
	t.Helper()
	c := &client{Conn: s.Dial("/socket.io/?EIO=4&transport=websocket"), t: t, namespace: namespace + ","}
	c.next() // Engine.IO's handshake
	c.Send("40" + c.namespace + auth)
	answer := c.next()
	if refused, ok := strings.CutPrefix(answer, "44"+c.namespace); ok {
		return nil, refused
	}
	var body struct{ SID string }
	if text, ok := strings.CutPrefix(answer, "40"+c.namespace); !ok || json.Unmarshal([]byte(text), &body) != nil {
		t.Fatalf("connect answered %s", answer)
	}
	c.id = body.SID
	return c, ""
}

func (c *client) next() string {
	c.t.Helper()
	text, err := c.Next()
	if err != nil {
		c.t.Fatal(err)
	}
	return text
}

// emit is emitWithAck of these arguments, the JSON of a list, with its answer.
func (c *client) emit(args, answer string) {
	c.t.Helper()
	c.Send("42" + c.namespace + "1" + args)
	c.Expect("43" + c.namespace + "1" + answer)
}

func (c *client) gets(args string) {
	c.t.Helper()
	c.Expect("42" + c.namespace + args)
}

// asked is gets for an event that wants the answer.
func (c *client) asked(args, answer string) {
	c.t.Helper()
	got, ok := strings.CutPrefix(c.next(), "42"+c.namespace)
	id, found := strings.CutSuffix(got, args)
	if !ok || !found || id == "" {
		c.t.Fatalf("got %s, want a question %s", got, args)
	}
	c.Send("43" + c.namespace + id + answer)
}

func TestChatRoom(t *testing.T) {
	onTwoNodes(t, func(t *testing.T, one, two *webtest.Server) {
		ann, _ := connect(t, one, "/chat", "")
		bob, _ := connect(t, two, "/chat", "")
		ann.emit(`["enter","lobby","ann"]`, `[["ann"]]`)
		bob.emit(`["say","lobby","hi"]`, `[{"ok":false,"error":"enter first","code":"forbidden"}]`)
		bob.emit(`["enter","lobby"]`, `[{"ok":false,"error":"event \"enter\" has 1 arguments, want 2","code":"invalid"}]`)
		bob.emit(`["enter","lobby",""]`, `[{"ok":false,"error":"a name has 1 to 40 bytes","code":"invalid"}]`)
		bob.emit(`["enter","lobby","bob"]`, `[["ann","bob"]]`)
		ann.gets(`["entered","bob"]`)
		ann.Send(`42/chat,["say","lobby","hello"]`)
		for _, c := range []*client{ann, bob} {
			c.gets(`["said","ann","hello"]`)
		}
		bob.Send(`42/chat,["typing","lobby"]`)
		ann.gets(`["typing","bob"]`)
		bob.Close()
		ann.gets(`["left","bob"]`)
		ann.emit(`["enter","lobby","ann"]`, `[["ann"]]`)
	})
}

func TestGameServersBehindACentralServer(t *testing.T) {
	onTwoNodes(t, func(t *testing.T, one, two *webtest.Server) {
		if _, refused := connect(t, two, "/servers", `{"game":"chess","key":"guessed"}`); refused != `{"message":"wrong key","data":{"code":"forbidden"}}` {
			t.Errorf("wrong key: %s", refused)
		}
		if _, refused := connect(t, two, "/servers", ``); refused == "" {
			t.Error("no key: let in")
		}
		chess, _ := connect(t, two, "/servers", `{"game":"chess","key":"secret"}`)
		player, _ := connect(t, one, "/players", "")
		player.emit(`["watch","chess"]`, `[{"ok":true}]`)
		player.Send(`42/players,5["move","chess",{"from":"e2","to":"e4"}]`)
		chess.asked(`["move","`+player.id+`",{"from":"e2","to":"e4"}]`, `[{"legal": true}]`)
		player.Expect(`43/players,5[{"legal": true}]`)
		chess.emit(`["state",{"e4":"P"}]`, `[{"ok":true}]`)
		player.gets(`["state",{"e4":"P"}]`)
		player.emit(`["move","go","d4"]`, `[{"ok":false,"error":"no server of \"go\" answers","code":"unavailable"}]`)
		chess.emit(`["kick","`+player.id+`"]`, `[{"ok":true}]`)
		player.Expect(`41/players,`)
	})
}

func TestBroadcastRoute(t *testing.T) {
	onTwoNodes(t, func(t *testing.T, one, two *webtest.Server) {
		ws := two.Dial("/ws")
		if _, err := ws.Next(); err != nil { // its welcome
			t.Fatal(err)
		}
		if status, body := one.Post("/broadcast", `{"event":"news","data":{"title":"It works"}}`); status != 202 {
			t.Errorf("%d %s", status, body)
		}
		ws.Expect(`{"type":"event","event":"news","data":{"title":"It works"}}`)
		for body, want := range map[string]int{`{"event":"connect"}`: 400, `{`: 400, `{"event":"e"}`: 202} {
			if status, answer := one.Post("/broadcast", body); status != want {
				t.Errorf("%s: %d %s, want %d", body, status, answer, want)
			}
		}
		if status, body := one.Get("/about"); status != 200 || body != "a page of the program's own" {
			t.Errorf("the program's own page: %d %s", status, body)
		}
	})
}

func TestPrivateMessages(t *testing.T) {
	onTwoNodes(t, func(t *testing.T, one, two *webtest.Server) {
		if _, refused := connect(t, one, "/private", ""); refused != `{"message":"who are you?"}` {
			t.Errorf("nobody: %s", refused)
		}
		ann, _ := connect(t, one, "/private", `{"user":"ann"}`)
		phone, _ := connect(t, two, "/private", `{"user":"ann"}`)
		bob, _ := connect(t, two, "/private", `{"user":"bob"}`)
		ann.emit(`["users"]`, `[["ann","bob"]]`)
		ann.Send(`42/private,7["private message","bob","psst"]`)
		phone.gets(`["sent","bob","psst"]`)
		bob.asked(`["private message","ann","psst"]`, `[]`)
		ann.Expect(`43/private,7[{"seen":1}]`)
		ann.emit(`["private message","carol","hello?"]`, `[{"seen":0}]`)
		phone.gets(`["sent","carol","hello?"]`)
		// A handler waits for its own client, which answers while it does.
		ann.Send(`42/private,8["private message","ann","note to self"]`)
		phone.gets(`["sent","ann","note to self"]`)
		phone.asked(`["private message","ann","note to self"]`, `[]`)
		ann.asked(`["private message","ann","note to self"]`, `[]`)
		ann.Expect(`43/private,8[{"seen":2}]`)
	})
}
