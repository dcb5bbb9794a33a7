package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/node/relay"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/web/webtest"
	"github.com/meshrt/meshrt/wire"
)

const enginePath = "/socket.io/?EIO=4&transport=websocket"

// conformance is the server that the official Socket.IO suite wants.
func conformance(n *node.Node) {
	for _, name := range []string{"/", "/custom"} {
		n.Namespace(name).OnConnect(func(s *node.Session) error {
			auth := s.Handshake().Auth
			if auth == nil {
				auth = json.RawMessage("{}")
			}
			return s.Emit("auth", auth)
		})
	}
	n.Namespace("/").On("message", func(e *node.Event) {
		n.In("/").To(e.Session.ID()).EmitArgs("message-back", e.Args, e.Attachments)
	})
	n.Namespace("/").On("message-with-ack", func(e *node.Event) { e.AckArgs(e.Args, e.Attachments) })
}

// serve runs f in a bubble with a server of one node.
func serve(t *testing.T, setup func(*node.Node), change func(*Config), f func(t *testing.T, s *webtest.Server, n *node.Node)) {
	synctest.Test(t, func(t *testing.T) {
		n, err := node.New(node.Config{})
		if err != nil {
			t.Fatal(err)
		}
		setup(n)
		cfg := Config{ConnectTimeout: time.Second, Engine: engineio.Config{PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond}}
		if change != nil {
			change(&cfg)
		}
		io := NewServer(cfg, n)
		ctx, cancel := context.WithCancel(context.Background())
		nodeCtx, stopNode := context.WithCancel(context.Background())
		done := make(chan struct{}, 2)
		go func() { io.Run(ctx); done <- struct{}{} }()
		go func() { n.Run(nodeCtx); done <- struct{}{} }()
		s := webtest.Serve(t, io)
		f(t, s, n)
		cancel()
		<-done
		stopNode()
		<-done
		s.Stop()
		if st := n.Stats(); st.Sessions != 0 || st.Rooms != 0 {
			t.Errorf("left behind: %d sessions, %d rooms", st.Sessions, st.Rooms)
		}
	})
}

// open is a client behind the Engine.IO handshake.
func open(t *testing.T, s *webtest.Server) *webtest.Conn {
	t.Helper()
	c := s.Dial(enginePath)
	if first, err := c.Next(); err != nil || !strings.HasPrefix(first, `0{"sid":"`) {
		t.Fatalf("first frame %q, %v", first, err)
	}
	return c
}

// joined is a client in a namespace, with its socket id. What the server
// emits on connect is still to be read.
func joined(t *testing.T, s *webtest.Server, connect string) (*webtest.Conn, string) {
	t.Helper()
	c := open(t, s)
	c.Send(connect)
	return c, sid(t, c)
}

func sid(t *testing.T, c *webtest.Conn) string {
	t.Helper()
	got, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(got, "{")
	var body map[string]any
	if at < 0 || !strings.HasPrefix(got, "40") || json.Unmarshal([]byte(got[at:]), &body) != nil || len(body) != 1 {
		t.Fatalf("connect answer %q, want 40{\"sid\":...} and nothing else", got)
	}
	return body["sid"].(string)
}

func TestConnectTellsTheSidAndEmitsFollow(t *testing.T) {
	serve(t, conformance, nil, func(t *testing.T, s *webtest.Server, _ *node.Node) {
		c, id := joined(t, s, "40")
		c.Expect(`42["auth",{}]`)
		if len(id) < 20 {
			t.Errorf("sid %q", id)
		}
		c.Send(`40/custom,{"token":"abc"}`)
		if other := sid(t, c); other == id {
			t.Error("one id for two namespaces")
		}
		c.Expect(`42/custom,["auth",{"token":"abc"}]`)
	})
}

func TestUnknownNamespaceIsAConnectError(t *testing.T) {
	serve(t, conformance, nil, func(t *testing.T, s *webtest.Server, _ *node.Node) {
		c := open(t, s)
		c.Send(`40/random`)
		c.Expect(`44/random,{"message":"Invalid namespace"}`)
	})
}

func TestMiddlewareErrorReachesTheClientWithItsData(t *testing.T) {
	setup := func(n *node.Node) {
		n.Namespace("/").OnConnect(func(*node.Session) error {
			return &node.Error{Code: node.CodeForbidden, Message: "no", Data: map[string]any{"code": "E1", "text": "<b>"}}
		})
	}
	serve(t, setup, nil, func(t *testing.T, s *webtest.Server, _ *node.Node) {
		c := open(t, s)
		c.Send("40")
		c.Expect(`44{"message":"no","data":{"code":"E1","text":"<b>"}}`)
	})
}

func TestEventsAndAcksAreThePublishersBytes(t *testing.T) {
	serve(t, conformance, nil, func(t *testing.T, s *webtest.Server, _ *node.Node) {
		c, _ := joined(t, s, "40")
		c.Expect(`42["auth",{}]`)
		c.Send(`42["message",1,"2",{"3":[true]}]`)
		c.Expect(`42["message-back",1,"2",{"3":[true]}]`)
		c.Send(`42["message",12345678901234567890,"\ud800",{"b":1,"a":1.0}]`)
		c.Expect(`42["message-back",12345678901234567890,"\ud800",{"b":1,"a":1.0}]`)
		c.Send(`42456["message-with-ack",1,"2",{"3":[false]}]`)
		c.Expect(`43456[1,"2",{"3":[false]}]`)
	})
}

func TestBinaryEventsAndAcks(t *testing.T) {
	serve(t, conformance, nil, func(t *testing.T, s *webtest.Server, _ *node.Node) {
		c, _ := joined(t, s, "40")
		c.Expect(`42["auth",{}]`)
		c.Send(`452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
		c.SendBinary([]byte{1, 2, 3})
		c.SendBinary([]byte{4, 5, 6})
		c.Expect(`452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, "binary:010203", "binary:040506")
		c.Send(`452-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
		c.SendBinary([]byte{1, 2, 3})
		c.SendBinary([]byte{4, 5, 6})
		c.Expect(`462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, "binary:010203", "binary:040506")
	})
}

func TestClientAnswersAnEvent(t *testing.T) {
	gone := make(chan error, 1)
	setup := func(n *node.Node) {
		n.Namespace("/game").On("ask me", func(e *node.Event) {
			answer, err := e.Session.EmitWithAck(context.Background(), "ask", []byte{7}, "why?")
			if err != nil {
				gone <- err
				return
			}
			e.Ack(answer.Args[0], answer.Attachments[0])
		})
	}
	serve(t, setup, nil, func(t *testing.T, s *webtest.Server, n *node.Node) {
		c, _ := joined(t, s, "40/game,")
		c.Send(`42/game,9["ask me"]`)
		c.Expect(`451-/game,1["ask",{"_placeholder":true,"num":0},"why?"]`, "binary:07")
		c.Send(`43/game,["without a number"]`, `43/game,77["unasked"]`)
		c.Send(`461-/game,1["because",{"_placeholder":true,"num":0}]`)
		c.SendBinary([]byte{8})
		c.Expect(`461-/game,9["because",{"_placeholder":true,"num":0}]`, "binary:08")
		c.Send(`43/game,1["double"]`, `42/game,9["ask me"]`)
		c.Expect(`451-/game,2["ask",{"_placeholder":true,"num":0},"why?"]`, "binary:07")
		if got := n.Stats().AcksIgnored; got != 2 {
			t.Errorf("%d acks ignored, want 2", got)
		}
		c.Send(`43/game,2[` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `]`)
		c.ExpectClose(websocket.StatusProtocolError)
		if err := <-gone; !errors.Is(err, node.ErrGone) {
			t.Errorf("error %v", err)
		}
	})
}

func TestNonsenseClosesTheConnection(t *testing.T) {
	for _, bad := range []string{`4abc`, `42{}`, `42abc["x"]`, `42["x"`, `44{"message":"x"}`, `40`, `42/custom,["not joined"]`, `4511-["x"]`} {
		t.Run(bad, func(t *testing.T) {
			serve(t, conformance, nil, func(t *testing.T, s *webtest.Server, _ *node.Node) {
				c, _ := joined(t, s, "40")
				c.Expect(`42["auth",{}]`)
				c.Send(bad)
				if _, err := c.Next(); err == nil {
					t.Error("the connection is still open")
				}
			})
		})
	}
}

func TestClientWithoutConnectIsClosedAfterTheTimeout(t *testing.T) {
	serve(t, conformance, func(c *Config) { c.Engine.PingInterval = 5 * time.Second }, func(t *testing.T, s *webtest.Server, _ *node.Node) {
		start := time.Now()
		c := open(t, s)
		c.Send(`40/random`)
		c.Expect(`44/random,{"message":"Invalid namespace"}`)
		c.ExpectClose(websocket.StatusNormalClosure)
		if took := time.Since(start); took != time.Second {
			t.Errorf("closed after %v, want 1 s", took)
		}
	})
}

func TestDisconnectLeavesTheTransportAndOtherNamespaces(t *testing.T) {
	serve(t, conformance, nil, func(t *testing.T, s *webtest.Server, n *node.Node) {
		var why []string
		n.Namespace("/custom").OnDisconnect(func(_ *node.Session, reason string) { why = append(why, reason) })
		c, _ := joined(t, s, "40")
		c.Expect(`42["auth",{}]`)
		c.Send(`40/custom`)
		sid(t, c)
		c.Expect(`42/custom,["auth",{}]`)
		c.Send(`41/custom`)
		c.Send(`42["message","still here"]`)
		c.Expect(`42["message-back","still here"]`)
		if fmt.Sprint(why) != "[client namespace disconnect]" {
			t.Errorf("reasons %q", why)
		}
		c.Send(`41`)
		c.Expect("2") // the next packet is the ping
	})
}

func TestServerDisconnect(t *testing.T) {
	reasons := make(chan string, 10)
	setup := func(n *node.Node) {
		for _, name := range []string{"/", "/other"} {
			ns := n.Namespace(name)
			ns.OnDisconnect(func(_ *node.Session, reason string) { reasons <- name + " " + reason })
			ns.On("kick", func(e *node.Event) { e.Session.Emit("last"); e.Session.Disconnect(false) })
			ns.On("drop", func(e *node.Event) { e.Session.Emit("last"); e.Session.Disconnect(true) })
		}
		n.Namespace("/early").OnConnect(func(s *node.Session) error { s.Disconnect(false); return nil })
	}
	serve(t, setup, nil, func(t *testing.T, s *webtest.Server, n *node.Node) {
		c, _ := joined(t, s, "40")
		c.Send("40/other,", "40/early,")
		sid(t, c)
		sid(t, c)
		c.Expect("41/early,")
		c.Send(`42/other,["kick"]`)
		c.Expect(`42/other,["last"]`, `41/other,`)
		if got := <-reasons; got != "/other server namespace disconnect" {
			t.Errorf("reason %q", got)
		}
		c.Send(`42/other,["on its way"]`) // no reason to close the rest
		c.Send(`42["drop"]`)
		c.Expect(`42["last"]`, `41`)
		c.ExpectClose(websocket.StatusNormalClosure)
		if got := <-reasons; got != "/ server namespace disconnect" {
			t.Errorf("reason %q", got)
		}
		synctest.Wait()
		if got := n.Stats().Sessions; got != 0 {
			t.Errorf("%d sessions left", got)
		}
	})
}

func TestDisconnectReasonsAreTheOfficialOnes(t *testing.T) {
	for want, end := range map[string]func(c *webtest.Conn){
		"transport close":             func(c *webtest.Conn) { c.Close() },
		"ping timeout":                func(c *webtest.Conn) { c.Expect("2") }, // and no pong
		"parse error":                 func(c *webtest.Conn) { c.Send("4x") },
		"client namespace disconnect": func(c *webtest.Conn) { c.Send("41") },
		"transport error":             func(c *webtest.Conn) { c.Send("42" + strings.Repeat("x", 1_000_001)) },
	} {
		t.Run(want, func(t *testing.T) {
			var got []string
			setup := func(n *node.Node) {
				n.Namespace("/").OnDisconnect(func(_ *node.Session, reason string) { got = append(got, reason) })
			}
			serve(t, setup, nil, func(t *testing.T, s *webtest.Server, _ *node.Node) {
				c, _ := joined(t, s, "40")
				end(c)
				for _, err := c.Next(); err == nil && want != reasonClient; _, err = c.Next() {
				}
				synctest.Wait()
				if fmt.Sprint(got) != "["+want+"]" {
					t.Errorf("reasons %q", got)
				}
			})
		})
	}
}

// TestRelayVerbs: CONTRACT §2, as clients see it.
func TestRelayVerbs(t *testing.T) {
	setup := func(n *node.Node) { relay.Attach(n.Namespace("/")) }
	serve(t, setup, func(c *Config) { c.Engine.PingInterval = time.Hour }, func(t *testing.T, s *webtest.Server, _ *node.Node) {
		a, aid := joined(t, s, "40")
		b, bid := joined(t, s, "40")
		c, _ := joined(t, s, "40")
		a.Send(`421["join","x"]`)
		a.Expect(`431[{"ok":true}]`)
		b.Send(`421["join","x"]`)
		b.Expect(`431[{"ok":true}]`)

		a.Send(`422["publish","x","msg",{"n":1},2]`)
		a.Expect(`432[{"ok":true}]`)
		b.Expect(`42["msg",{"n":1},2]`)

		a.Send(`42["publish","x","quiet"]`) // no ack asked, none given
		b.Expect(`42["quiet"]`)

		a.Send(`423["broadcast","all",1]`)
		a.Expect(`433[{"ok":true}]`)
		b.Expect(`42["all",1]`)
		c.Expect(`42["all",1]`)

		a.Send(fmt.Sprintf(`424["direct",%q,"dm","hi"]`, bid))
		a.Expect(`434[{"ok":true}]`)
		b.Expect(fmt.Sprintf(`42["dm",%q,"hi"]`, aid))
		a.Send(fmt.Sprintf(`425["direct",%q,"self"]`, aid)) // to itself too
		a.Expect(fmt.Sprintf(`42["self",%q]`, aid), `435[{"ok":true}]`)

		a.Send(`451-6["publish","x","bin",{"_placeholder":true,"num":0}]`)
		a.SendBinary([]byte{9})
		a.Expect(`436[{"ok":true}]`)
		b.Expect(`451-["bin",{"_placeholder":true,"num":0}]`, "binary:09")

		b.Send(`427["leave","x"]`)
		b.Expect(`437[{"ok":true}]`)
		a.Send(`427["publish","x","msg"]`)
		a.Expect(`437[{"ok":true}]`)
		b.Send(`428["join"]`) // and the next frame of b is this ack: nothing arrived after leave
		b.Expect(`438[{"ok":false,"error":"join needs a string as argument 1: the room","code":"invalid"}]`)
	})
}

func TestRelayRefusals(t *testing.T) {
	setup := func(n *node.Node) { relay.Attach(n.Namespace("/")) }
	serve(t, setup, func(c *Config) { c.Engine.PingInterval = time.Hour }, func(t *testing.T, s *webtest.Server, n *node.Node) {
		a, _ := joined(t, s, "40")
		_, bid := joined(t, s, "40")
		gone := string(wire.NewSessionID(99)) // a node that is not there
		for i, tt := range []struct{ emit, code, message string }{
			{`["join",""]`, "invalid", "room name is empty"},
			{`["join",5]`, "invalid", "join needs a string as argument 1: the room"},
			{`["join","` + strings.Repeat("r", 256) + `"]`, "invalid", "room name is longer than 255 bytes"},
			{`["join","` + bid + `"]`, "forbidden", "room is another socket's id"},
			{`["leave"]`, "invalid", "leave needs a string as argument 1: the room"},
			{`["leave",""]`, "invalid", "room name is empty"},
			{`["publish","x"]`, "invalid", "publish needs a string as argument 2: the event"},
			{`["publish","x","disconnect"]`, "invalid", `event name \"disconnect\" is reserved`},
			{`["broadcast","connect_error"]`, "invalid", `event name \"connect_error\" is reserved`},
			{`["broadcast",""]`, "invalid", "event name is empty"},
			{`["direct","x","e"]`, "invalid", `\"x\" is no socket id`},
			{`["direct","` + gone + `","e"]`, "unavailable", "no socket " + gone},
			{`["presence",""]`, "invalid", "room name is empty"},
			{`["presence",7]`, "invalid", "presence needs a string as argument 1: the room"},
			{`["presence","` + bid + `"]`, "invalid", "room is a socket's id"},
		} {
			a.Send(fmt.Sprintf("42%d%s", i, tt.emit))
			a.Expect(fmt.Sprintf(`43%d[{"ok":false,"error":"%s","code":"%s"}]`, i, tt.message, tt.code))
		}
	})
}

func TestForwardEmitsToEveryoneTheSenderToo(t *testing.T) {
	setup := func(n *node.Node) {
		relay.Forward(n.Namespace("/"), "chat message")
		relay.Forward(n.Namespace("/any"), "*")
	}
	serve(t, setup, nil, func(t *testing.T, s *webtest.Server, _ *node.Node) {
		a, _ := joined(t, s, "40")
		b, _ := joined(t, s, "40")
		a.Send(`42["chat message","hi",{"a":1}]`)
		a.Expect(`42["chat message","hi",{"a":1}]`)
		b.Expect(`42["chat message","hi",{"a":1}]`)
		c, _ := joined(t, s, "40/any,")
		c.Send(`42/any,["whatever"]`)
		c.Expect(`42/any,["whatever"]`)
	})
}

func TestShutdownClosesWithoutADisconnectPacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := node.New(node.Config{})
		n.Namespace("/")
		io := NewServer(Config{}, n)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{}, 2)
		go func() { io.Run(ctx); done <- struct{}{} }()
		nodeCtx, stop := context.WithCancel(context.Background())
		go func() { n.Run(nodeCtx); done <- struct{}{} }()
		s := webtest.Serve(t, io)
		c, _ := joined(t, s, "40")
		cancel()
		c.ExpectClose(websocket.StatusGoingAway) // an official client reconnects after this, and not after 41
		<-done
		stop()
		<-done
		s.Stop()
	})
}

// TestClientThatConnectsWhileTheNodeStopsComesBack: a connect_error would be
// the last that an official client asks.
func TestClientThatConnectsWhileTheNodeStopsComesBack(t *testing.T) {
	setup := func(n *node.Node) {
		n.Namespace("/").OnConnect(func(*node.Session) error { return node.ErrClosed })
		n.Namespace("/full").OnConnect(func(*node.Session) error { return node.Errorf(node.CodeUnavailable, "full") })
	}
	serve(t, setup, nil, func(t *testing.T, s *webtest.Server, _ *node.Node) {
		c := open(t, s)
		c.Send("40")
		c.ExpectClose(websocket.StatusNormalClosure)
		c = open(t, s)
		c.Send("40/full,")
		c.Expect(`44/full,{"message":"full"}`)
	})
}

func TestClientBundleIsServedOrSaysWhyNot(t *testing.T) {
	serve(t, conformance, nil, func(t *testing.T, s *webtest.Server, _ *node.Node) {
		if status, body := s.Get("/socket.io/socket.io.nothing.js"); status != 404 || !strings.Contains(body, "make build") {
			t.Errorf("missing bundle: %d %s", status, body)
		}
		if status, _ := s.Get("/socket.io/?EIO=4"); status != 400 {
			t.Errorf("a request without a transport: %d", status)
		}
		status, body := s.Get("/socket.io/socket.io.js")
		if _, err := clientFiles.ReadFile("client/socket.io.js"); err != nil {
			if status != 404 {
				t.Errorf("built without the bundle: %d", status)
			}
			return
		}
		if status != 200 || !strings.Contains(body, "Socket.IO v4") {
			t.Errorf("bundle: %d, %d bytes", status, len(body))
		}
	})
}

func TestTooManyNamespaces(t *testing.T) {
	setup := func(n *node.Node) { n.NamespaceFunc(func(string) bool { return true }, func(*node.Namespace) {}) }
	serve(t, setup, nil, func(t *testing.T, s *webtest.Server, _ *node.Node) {
		c := open(t, s)
		for i := range maxNamespaces {
			c.Send(fmt.Sprintf("40/%d,", i))
			sid(t, c)
		}
		c.Send("40/more,")
		c.Expect(`44/more,{"message":"more than 100 namespaces"}`)
	})
}
