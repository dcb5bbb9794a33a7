package plain_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/plain"
)

func closing(code websocket.StatusCode, text string) websocket.CloseError {
	return websocket.CloseError{Code: code, Reason: text}
}

// wantEnd reads to the end, which must look like this to the client.
func (c *client) wantEnd(got string, end websocket.CloseError) {
	c.t.Helper()
	if g, e := c.readAll(); g != got || e != end {
		c.t.Errorf("client got %s and %v, want %s and %v", g, e, got, end)
	}
}

func TestDisconnectClosesInOrder(t *testing.T) {
	for _, connection := range []bool{true, false} {
		inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
			h.main.On("bye", func(e *node.Event) {
				e.Session.Emit("last words")
				e.Session.Disconnect(connection)
				e.Session.Emit("too late")
			})
			c := h.open()
			c.join("r")
			c.send(`{"type":"emit","id":1,"event":"bye"}`)
			c.wantEnd(`{"type":"event","event":"last words"}`, closing(1000, "server namespace disconnect"))
			h.wantLeft("server namespace disconnect")
			if got := h.node.Stats().Sessions; got != 0 {
				t.Errorf("%d sessions in the node, want none", got)
			}
		})
	}
}

// The shard may close the Sink before the session is known to its connection.
func TestDisconnectWhileConnecting(t *testing.T) {
	for range 20 { // the two race
		inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
			h.main.OnConnect(func(s *node.Session) error {
				s.Disconnect(true)
				return nil
			})
			c := h.connect("")
			if got, end := c.readAll(); !welcome.MatchString(got) || end.Code != websocket.StatusNormalClosure {
				t.Errorf("got %s and %v, want a welcome and 1000", got, end)
			}
			h.wantLeft("server namespace disconnect")
		})
	}
}

func TestRefusedSessionIsToldWhy(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		got  string
		code websocket.StatusCode
	}{
		"by a handler":     {node.Errorf(node.CodeForbidden, "members only"), `{"type":"error","error":"members only","code":"forbidden"}`, 1008},
		"any error":        {errors.New("no"), `{"type":"error","error":"no","code":"unavailable"}`, 1008},
		"by an ill server": {node.Errorf(node.CodeUnavailable, "not now"), `{"type":"error","error":"not now","code":"unavailable"}`, 1013},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
				h.main.OnConnect(func(*node.Session) error { return tt.err })
				c := h.connect("")
				go c.Write(context.Background(), websocket.MessageText, []byte(`{"type":"join","id":1,"room":"r"}`))
				got, end := c.readAll()
				if got != tt.got || end.Code != tt.code {
					t.Errorf("client got %s and %v, want %s and %d", got, end, tt.got, tt.code)
				}
				h.wantLeft() // it never was there
				if h.node.Stats().Sessions != 0 || h.server.Stats().Open != 0 {
					t.Error("something is left of the session")
				}
			})
		})
	}
}

func TestPanicWhileConnectingRefusesOneClient(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		h.main.OnConnect(func(s *node.Session) error {
			if s.Handshake().Query.Has("boom") {
				panic("a bug of the application")
			}
			return nil
		})
		good := h.open()
		h.connect("?boom").wantEnd(`{"type":"error","error":"internal error","code":"unavailable"}`, closing(1013, "unavailable"))
		good.join("still here")
	})
}

// A client that talks while its session is being opened is read afterwards.
func TestCommandsWaitUntilTheSessionIsOpen(t *testing.T) {
	inBubble(t, fast, func(t *testing.T, h *host) {
		enter, leave := make(chan struct{}), make(chan struct{})
		h.main.OnConnect(func(*node.Session) error { close(enter); <-leave; return nil })
		c := h.connect("")
		go c.Write(context.Background(), websocket.MessageText, []byte(`{"type":"join","id":1,"room":"r"}`))
		<-enter
		time.Sleep(30 * time.Second) // no heartbeat runs yet
		close(leave)
		if got := c.read(); !welcome.MatchString(got) {
			t.Errorf("first frame %s, want a welcome", got)
		}
		c.want(`{"type":"ack","id":1,"ok":true}`)
	})
}

// A command that was on its way when the connection ended is not carried out.
func TestNothingIsReceivedAfterTheEnd(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		opened := make(chan *node.Session, 1)
		h.main.OnConnect(func(s *node.Session) error { opened <- s; return nil })
		h.main.On("late", func(*node.Event) { t.Error("a late command was carried out") })
		c := h.open()
		synctest.Wait() // the reader waits for a command
		(<-opened).Disconnect(true)
		synctest.Wait()
		c.send(`{"type":"emit","event":"late"}`)
		c.wantEnd("", closing(1000, "server namespace disconnect"))
	})
}

func TestLossOfTheConnectionIsATransportClose(t *testing.T) {
	for name, leave := range map[string]func(*client){
		"without a word":     func(c *client) { c.CloseNow() },
		"with a close frame": func(c *client) { c.Close(websocket.StatusGoingAway, "") },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
				leave(h.open())
				h.wantLeft("transport close")
			})
		})
	}
}

func TestMessagesThatNoClientMaySend(t *testing.T) {
	for name, tt := range map[string]struct {
		sent   string
		end    websocket.StatusCode
		reason string
	}{
		"too big":    {`{"type":"emit","event":"` + strings.Repeat("x", 1000), websocket.StatusMessageTooBig, "message too big"},
		"not UTF-8":  {"{\"type\":\"emit\",\"event\":\"\xff\"}", websocket.StatusInvalidFramePayloadData, "invalid text"},
		"just right": {`{"type":"emit","event":"` + strings.Repeat("x", 1000-len(`{"type":"emit","event":""}`)) + `"}`, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, plain.Config{MaxPayload: 1000}, func(t *testing.T, h *host) {
				c := h.open()
				c.send(tt.sent)
				if tt.end == 0 {
					if got := c.read(); !strings.HasPrefix(got, `{"type":"error","error":"no handler`) {
						t.Errorf("got %s, want the answer to a command", got)
					}
					return
				}
				if got, end := c.readAll(); got != "" || end.Code != tt.end {
					t.Errorf("client got %s and %v, want nothing and %d", got, end, tt.end)
				}
				h.wantLeft("transport error")
				if h.server.Stats().Closed[tt.reason] != 1 {
					t.Errorf("stats %+v, want one %s", h.server.Stats(), tt.reason)
				}
			})
		})
	}
}

func TestBreachOfTheWebSocketProtocolCuts(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		c := h.rawOpen()
		go io.Copy(io.Discard, c)
		c.Write([]byte{0x81, 1, '{'}) // unmasked
		h.wantLeft("transport error")
		if got := h.server.Stats().Closed["transport error"]; got != 1 {
			t.Errorf("counted %d, want 1", got)
		}
	})
}

// The queue holds what the socket does not take: exactly QueueGroups messages.
func TestSlowClientIsCutAndNobodyWaitsForIt(t *testing.T) {
	for name, cfg := range map[string]plain.Config{
		"messages": {QueueGroups: 8},
		"bytes":    {QueueBytes: 8 * len(`{"type":"event","event":"all","data":0}`)},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, cfg, func(t *testing.T, h *host) {
				h.open() // reads no more
				fast := h.open()
				start := time.Now()
				for i := range 9 {
					h.wantLeft()
					h.main.Emit("all", i)
					fast.want(fmt.Sprintf(`{"type":"event","event":"all","data":%d}`, i))
				}
				h.wantLeft("transport error")
				if took := time.Since(start); took != 0 {
					t.Errorf("the fast client waited %v", took)
				}
				if got := h.server.Stats(); got.Closed["slow client"] != 1 || got.Open != 1 {
					t.Errorf("stats %+v, want one slow and one open", got)
				}
			})
		})
	}
}

func TestOneWriteMayTakeThePingTimeout(t *testing.T) {
	cfg := plain.Config{PingTimeout: 7 * time.Second}
	inBubble(t, cfg, func(t *testing.T, h *host) {
		h.open() // reads no more
		h.main.Emit("x")
		time.Sleep(7*time.Second - time.Nanosecond)
		h.wantLeft()
		time.Sleep(time.Nanosecond)
		h.wantLeft("transport error")
	})
}

var retry = regexp.MustCompile(`^server shutting down, retry in ([0-9]+) ms$`)

func TestRunEndsEverything(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		a, b := h.open(), h.open()
		a.join("r")
		b.join("r")
		h.stopRun()
		for _, c := range []*client{a, b} {
			if got, end := c.readAll(); got != "" || end.Code != websocket.StatusServiceRestart || !retry.MatchString(end.Reason) {
				t.Errorf("client got %s and %v, want nothing and 1012 with a hint", got, end)
			}
		}
		<-h.ran
		h.wantLeft("server shutting down", "server shutting down")
		res, body := h.get("GET", upgrading())
		if res.StatusCode != 503 || body != "server shutting down\n" {
			t.Errorf("after Run: %d %s, want 503", res.StatusCode, body)
		}
	})
}

func TestRunWaitsForDeafClientsButNotLong(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		h.open() // reads no more
		start := time.Now()
		h.stopRun()
		<-h.ran
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("Run took %v to end, want 3s", took)
		}
		h.wantLeft("server shutting down")
	})
}

func TestRunWaitsForTheHandlersOfDisconnect(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		h.main.OnDisconnect(func(*node.Session, string) { time.Sleep(time.Minute) })
		go h.open().readAll()
		start := time.Now()
		h.stopRun()
		<-h.ran
		if took := time.Since(start); took != time.Minute {
			t.Errorf("Run took %v to end, want the handler's minute", took)
		}
	})
}

// The other nodes may take seconds to learn of a session.
func TestRunDoesNotWaitForSessionsThatAreBeingOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		h := newHost(t, l, plain.Config{}, cluster.Config{Name: "n1", Cluster: "test",
			Net: clustertest.NewNetwork(1).Host("n1"), Seeds: []string{"10.9.9.9:7946"}})
		h.use(l.dial)
		defer h.stop()
		c := h.connect("")
		synctest.Wait()
		start := time.Now()
		h.stopRun()
		if got, end := c.readAll(); got != "" || end.Code != websocket.StatusServiceRestart {
			t.Errorf("got %s and %v, want nothing and 1012", got, end)
		}
		<-h.ran
		if took := time.Since(start); took != 0 {
			t.Errorf("Run took %v to end, want no time", took)
		}
	})
}

// A request that was let in before the end, and would connect after it.
func TestConnectionThatComesWhileRunEndsIsTurnedAway(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		enter, leave := make(chan struct{}), make(chan struct{})
		h.main.OnConnect(func(*node.Session) error { close(enter); <-leave; return nil })
		go func() {
			<-enter
			h.stopRun()
			synctest.Wait()
			close(leave)
		}()
		if got, end := h.connect("").readAll(); got != "" || end.Code != websocket.StatusServiceRestart {
			t.Errorf("got %s and %v, want nothing and 1012", got, end)
		}
		<-h.ran
	})
}
