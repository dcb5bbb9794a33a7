package socketio

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/webtest"
)

// The cases of the official Socket.IO suite (docs/socket.io-protocol/
// v5-test-suite), named as there, with exact times. Those of the Engine.IO
// suite are the TestOfficial... of package engineio; its first half is here once
// more, as that suite has it, to show that nothing above the engine changes it.

// officialCase is one of the suite, against the server that it wants.
type officialCase struct {
	name string
	run  func(t *testing.T, s *webtest.Server)
}

func runOfficial(t *testing.T, cases []officialCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			serve(t, conformance, nil, func(t *testing.T, s *webtest.Server, _ *node.Node) { c.run(t, s) })
		})
	}
}

const pollingPath = "/socket.io/?EIO=4&transport=polling"

// request is status and body.
func request(t *testing.T, s *webtest.Server, method, path, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text := make([]byte, 4096)
	n, _ := resp.Body.Read(text)
	return fmt.Sprintf("%d %s", resp.StatusCode, text[:n])
}

func wantStatus(t *testing.T, got string, want string) {
	t.Helper()
	if !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// pollingSession is the path of a new session, and its handshake.
func pollingSession(t *testing.T, s *webtest.Server) (path string, open map[string]any) {
	t.Helper()
	text, ok := strings.CutPrefix(request(t, s, "GET", pollingPath, ""), "200 0")
	if !ok || json.Unmarshal([]byte(text), &open) != nil {
		t.Fatalf("handshake %q", text)
	}
	return pollingPath + "&sid=" + open["sid"].(string), open
}

func checkOpenPacket(t *testing.T, open map[string]any, upgrades string) {
	t.Helper()
	if sid, _ := open["sid"].(string); sid == "" {
		t.Error("no sid")
	}
	delete(open, "sid")
	want := map[string]string{"upgrades": upgrades, "pingInterval": "300", "pingTimeout": "200", "maxPayload": "1e+06"}
	got := map[string]string{}
	for k, v := range open {
		got[k] = fmt.Sprint(v)
	}
	if !maps.Equal(got, want) {
		t.Errorf("open packet %v, want %v", got, want)
	}
}

func TestOfficialEngineHandshake(t *testing.T) {
	refused := func(transport string, paths ...string) func(*testing.T, *webtest.Server) {
		return func(t *testing.T, s *webtest.Server) {
			for _, path := range paths {
				if transport == "polling" {
					wantStatus(t, request(t, s, "GET", path, ""), "400 ")
				} else if _, status, err := s.TryDial(path); err == nil || status != 400 {
					t.Errorf("%s: %d, %v", path, status, err)
				}
			}
		}
	}
	runOfficial(t, []officialCase{
		{"polling opens a session", func(t *testing.T, s *webtest.Server) {
			_, open := pollingSession(t, s)
			checkOpenPacket(t, open, "[websocket]")
		}},
		{"polling fails with an invalid EIO", refused("polling", "/socket.io/?transport=polling", "/socket.io/?EIO=abc&transport=polling")},
		{"polling fails with an invalid transport", refused("polling", "/socket.io/?EIO=4", "/socket.io/?EIO=4&transport=abc")},
		{"polling fails with an invalid method", func(t *testing.T, s *webtest.Server) {
			wantStatus(t, request(t, s, "POST", pollingPath, ""), "400 ")
			wantStatus(t, request(t, s, "PUT", pollingPath, ""), "400 ")
		}},
		{"websocket opens a session", func(t *testing.T, s *webtest.Server) {
			c := s.Dial(enginePath)
			first, err := c.Next()
			var open map[string]any
			if err != nil || json.Unmarshal([]byte(strings.TrimPrefix(first, "0")), &open) != nil {
				t.Fatalf("first packet %q, %v", first, err)
			}
			checkOpenPacket(t, open, "[]")
		}},
		{"websocket fails with an invalid EIO", refused("websocket", "/socket.io/?transport=websocket", "/socket.io/?EIO=abc&transport=websocket")},
		{"websocket fails with an invalid transport", refused("websocket", "/socket.io/?EIO=4", "/socket.io/?EIO=4&transport=abc")},
	})
}

func TestOfficialEngineHeartbeatAndClose(t *testing.T) {
	runOfficial(t, []officialCase{
		{"polling sends ping and takes pong", func(t *testing.T, s *webtest.Server) {
			path, _ := pollingSession(t, s)
			start := time.Now()
			for i := range 3 {
				wantStatus(t, request(t, s, "GET", path, ""), "200 2")
				if got, want := time.Since(start), time.Duration(i+1)*300*time.Millisecond; got != want {
					t.Errorf("ping %d after %v, want %v", i, got, want)
				}
				wantStatus(t, request(t, s, "POST", path, "3"), "200 ok")
			}
		}},
		{"polling closes upon ping timeout", func(t *testing.T, s *webtest.Server) {
			path, _ := pollingSession(t, s)
			time.Sleep(500 * time.Millisecond)
			wantStatus(t, request(t, s, "GET", path, ""), "400 ")
		}},
		{"websocket sends ping and takes pong", func(t *testing.T, s *webtest.Server) {
			c, start := open(t, s), time.Now()
			for i := range 3 {
				c.Expect("2")
				if got, want := time.Since(start), time.Duration(i+1)*300*time.Millisecond; got != want {
					t.Errorf("ping %d after %v, want %v", i, got, want)
				}
				c.Send("3")
			}
		}},
		{"websocket closes upon ping timeout", func(t *testing.T, s *webtest.Server) {
			c, start := open(t, s), time.Now()
			c.Expect("2")
			c.ExpectClose(-1)
			if got := time.Since(start); got != 500*time.Millisecond {
				t.Errorf("closed after %v", got)
			}
		}},
		{"polling is forcefully closed", func(t *testing.T, s *webtest.Server) {
			path, _ := pollingSession(t, s)
			poll := make(chan string, 1)
			go func() { poll <- request(t, s, "GET", path, "") }()
			synctest.Wait()
			wantStatus(t, request(t, s, "POST", path, "1"), "200 ok")
			wantStatus(t, <-poll, "200 6")
			wantStatus(t, request(t, s, "GET", path, ""), "400 ")
		}},
		{"websocket is forcefully closed", func(t *testing.T, s *webtest.Server) {
			c := open(t, s)
			c.Send("1")
			c.ExpectClose(websocket.StatusNormalClosure)
		}},
	})
}

func TestOfficialEngineUpgrade(t *testing.T) {
	upgraded := func(t *testing.T, s *webtest.Server) (*webtest.Conn, string) {
		path, _ := pollingSession(t, s)
		socket := strings.Replace(path, "polling", "websocket", 1)
		c := s.Dial(socket)
		c.Send("2probe")
		c.Expect("3probe")
		c.Send("5")
		synctest.Wait()
		return c, path
	}
	alive := func(t *testing.T, c *webtest.Conn) {
		c.Send("40")
		sid(t, c)
	}
	runOfficial(t, []officialCase{
		{"upgrades from polling to websocket", func(t *testing.T, s *webtest.Server) {
			c, _ := upgraded(t, s)
			alive(t, c)
		}},
		{"ignores HTTP requests after it", func(t *testing.T, s *webtest.Server) {
			c, path := upgraded(t, s)
			wantStatus(t, request(t, s, "GET", path, ""), "400 ")
			alive(t, c)
		}},
		{"ignores a second websocket after it", func(t *testing.T, s *webtest.Server) {
			c, path := upgraded(t, s)
			s.Dial(strings.Replace(path, "polling", "websocket", 1)).ExpectClose(websocket.StatusPolicyViolation)
			alive(t, c)
		}},
	})
}

func TestOfficialConnect(t *testing.T) {
	connects := func(packet, auth string) func(*testing.T, *webtest.Server) {
		return func(t *testing.T, s *webtest.Server) {
			c, id := joined(t, s, packet)
			if id == "" {
				t.Error("no sid")
			}
			c.Expect(auth)
		}
	}
	closes := func(after time.Duration, packets ...string) func(*testing.T, *webtest.Server) {
		return func(t *testing.T, s *webtest.Server) {
			c, start := open(t, s), time.Now()
			c.Send(packets...)
			for _, err := c.Next(); err == nil; _, err = c.Next() {
				c.Send("3") // of the pings until then
			}
			if got := time.Since(start); got != after {
				t.Errorf("closed after %v, want %v", got, after)
			}
		}
	}
	runOfficial(t, []officialCase{
		{"to the main namespace", connects(`40`, `42["auth",{}]`)},
		{"to the main namespace with a payload", connects(`40{"token":"123"}`, `42["auth",{"token":"123"}]`)},
		{"to a custom namespace", connects(`40/custom,`, `42/custom,["auth",{}]`)},
		{"to a custom namespace with a payload", connects(`40/custom,{"token":"abc"}`, `42/custom,["auth",{"token":"abc"}]`)},
		{"not to an unknown namespace", func(t *testing.T, s *webtest.Server) {
			c := open(t, s)
			c.Send(`40/random`)
			c.Expect(`44/random,{"message":"Invalid namespace"}`)
		}},
		{"not with an invalid handshake", closes(0, `4abc`)},
		{"closes if none is received", closes(time.Second)},
	})
}

func TestOfficialDisconnect(t *testing.T) {
	runOfficial(t, []officialCase{
		{"from the main namespace", func(t *testing.T, s *webtest.Server) {
			c, _ := joined(t, s, `40`)
			c.Expect(`42["auth",{}]`)
			c.Send(`41`)
			c.Expect("2")
		}},
		{"from a custom namespace", func(t *testing.T, s *webtest.Server) {
			c, _ := joined(t, s, `40`)
			c.Expect(`42["auth",{}]`, "2")
			c.Send(`40/custom`)
			sid(t, c)
			c.Expect(`42/custom,["auth",{}]`)
			c.Send(`41/custom`, `42["message","message to main namespace"]`)
			c.Expect(`42["message-back","message to main namespace"]`)
		}},
	})
}

func TestOfficialMessage(t *testing.T) {
	const two = `{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}`
	ready := func(t *testing.T, s *webtest.Server) *webtest.Conn {
		c, _ := joined(t, s, `40`)
		c.Expect(`42["auth",{}]`)
		return c
	}
	exchange := func(packet string, want ...string) func(*testing.T, *webtest.Server) {
		return func(t *testing.T, s *webtest.Server) {
			c := ready(t, s)
			c.Send(packet)
			if slices.Contains(want, "binary:010203") {
				c.SendBinary([]byte{1, 2, 3})
				c.SendBinary([]byte{4, 5, 6})
			}
			c.Expect(want...)
		}
	}
	closes := func(packet string) func(*testing.T, *webtest.Server) {
		return func(t *testing.T, s *webtest.Server) {
			c := ready(t, s)
			c.Send(packet)
			c.ExpectClose(websocket.StatusProtocolError)
		}
	}
	runOfficial(t, []officialCase{
		{"plain text", exchange(`42["message",1,"2",{"3":[true]}]`, `42["message-back",1,"2",{"3":[true]}]`)},
		{"binary attachments", exchange(`452-["message",`+two+`]`, `452-["message-back",`+two+`]`, "binary:010203", "binary:040506")},
		{"plain text with an ack", exchange(`42456["message-with-ack",1,"2",{"3":[false]}]`, `43456[1,"2",{"3":[false]}]`)},
		{"binary attachments with an ack", exchange(`452-789["message-with-ack",`+two+`]`, `462-789[`+two+`]`, "binary:010203", "binary:040506")},
		{"closes upon an unknown packet type", closes(`4abc`)},
		{"closes upon an invalid payload", closes(`42{}`)},
		{"closes upon an invalid ack id", closes(`42abc["message-with-ack",1,"2",{"3":[false]}]`)},
	})
}

// TestBinaryIsFoundWhereverItIsNested: the texts go back as they came.
func TestBinaryIsFoundWhereverItIsNested(t *testing.T) {
	runOfficial(t, []officialCase{{"event and ack", func(t *testing.T, s *webtest.Server) {
		c, _ := joined(t, s, `40`)
		c.Expect(`42["auth",{}]`)
		const nested = `{"a":[{"_placeholder":true,"num":1}],"b":{"_placeholder":true,"num":0}},7`
		for _, x := range []struct{ send, want string }{
			{`452-["message",` + nested + `]`, `452-["message-back",` + nested + `]`},
			{`452-1["message-with-ack",` + nested + `]`, `462-1[` + nested + `]`},
		} {
			c.Send(x.send)
			c.SendBinary([]byte{1})
			c.SendBinary(nil)
			c.Expect(x.want, "binary:01", "binary:")
		}
	}}})
}
