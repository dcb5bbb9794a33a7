package ws_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/web/ws"
)

// What was queued still arrives when the end has a status, and nothing else does.
func TestEndFlushesWhenItHasAStatus(t *testing.T) {
	for name, tt := range map[string]struct {
		status ws.Status
		text   string
		got    string
		end    websocket.CloseError
	}{
		"normal":     {ws.StatusNormal, "bye", "last", websocket.CloseError{Code: 1000, Reason: "bye"}},
		"restart":    {ws.StatusRestart, "", "last", websocket.CloseError{Code: 1012}},
		"long text":  {ws.StatusTryLater, strings.Repeat("é", 100), "last", websocket.CloseError{Code: 1013, Reason: strings.Repeat("é", 61)}},
		"no status":  {0, "bye", "", websocket.CloseError{Code: -1}},
		"at the cap": {ws.StatusRefused, strings.Repeat("x", 123), "last", websocket.CloseError{Code: 1008, Reason: strings.Repeat("x", 123)}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, limits, nil, func(t *testing.T, h *host) {
				c, s := h.open()
				synctest.Wait()
				start := time.Now()
				s.queue("last") // without a Flush
				s.end(tt.status, tt.text)
				s.end(ws.StatusInternalError, "second") // the first counts
				if got, end := c.readAll(); got != tt.got || end != tt.end {
					t.Errorf("client got %q and %v, want %q and %v", got, end, tt.got, tt.end)
				}
				if s.cause() == 0 || s.served != start {
					t.Errorf("served until %v after the end, want no time", s.served.Sub(start))
				}
			})
		})
	}
}

func TestGracefulEndWaitsThreeSecondsForADeafClient(t *testing.T) {
	for name, queued := range map[string]int{"close frame only": 0, "something queued": 1, "writer is stuck": 2} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, limits, nil, func(t *testing.T, h *host) {
				_, s := h.open()
				synctest.Wait()
				if queued > 0 {
					s.queue("x")
				}
				if queued > 1 {
					s.Flush()
					synctest.Wait()
				}
				s.end(ws.StatusNormal, "")
				time.Sleep(ws.CloseTimeout - time.Nanosecond)
				if s.cause() != 0 {
					t.Error("ended early")
				}
				time.Sleep(time.Nanosecond)
				if s.cause() == 0 {
					t.Errorf("not ended after %v", ws.CloseTimeout)
				}
			})
		})
	}
}

// The library and crypto/tls would each wait some seconds for a client that is deaf.
func TestDeafTLSClientIsCutAtOnce(t *testing.T) {
	pki := httptest.NewTLSServer(nil)
	pki.Close()
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		h := newHost(t, limits, nil)
		defer h.serve(tls.NewListener(l, &tls.Config{Certificates: pki.TLS.Certificates}))()
		h.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := l.dial(ctx, network, addr)
			return tls.Client(c, &tls.Config{InsecureSkipVerify: true}), err // the test is about the server
		}
		_, s := h.open()
		s.send("stuck")
		synctest.Wait()
		start := time.Now()
		s.end(0, "")
		if s.cause() == 0 || s.served != start {
			t.Errorf("served %v after the end, want no time", s.served.Sub(start))
		}
	})
}

func TestServeReturnsAfterTheLastReceived(t *testing.T) {
	var enter, leave chan struct{}
	setup := func(s *session) {
		s.received = func(*session, string, bool) { close(enter); <-leave }
	}
	inBubble(t, limits, setup, func(t *testing.T, h *host) {
		enter, leave = make(chan struct{}), make(chan struct{})
		c, s := h.open()
		c.send("one")
		<-enter
		s.end(0, "")
		time.Sleep(time.Minute)
		if s.cause() != 0 {
			t.Error("Serve returned while Received ran")
		}
		close(leave)
		if s.cause() == 0 {
			t.Error("Serve did not return")
		}
	})
}

// The library answers a message that is too big with a close frame of its own, on
// which the writer's next write fails. It must not take that for the reason.
func TestReaderNamesTheReasonWhenTheWriterFailsToo(t *testing.T) {
	for range 20 { // the two race
		inBubble(t, limits, nil, func(t *testing.T, h *host) {
			c, s := h.open()
			s.send(strings.Split("xxxxxxxxxx", "")...)
			c.send(strings.Repeat("x", limits.MaxPayload+1))
			synctest.Wait() // the writer has a frame half out, the reader wants to close
			c.readAll()
			if got := s.cause(); got != ws.CauseTooBig {
				t.Errorf("cause %d, want too big", got)
			}
		})
	}
}

func TestPanicEndsItsConnectionOnly(t *testing.T) {
	for name, setup := range map[string]func(*session){
		"in Opened":   func(s *session) { s.opened = func(*session) { panic("a bug above") } },
		"in Received": func(s *session) { s.received = func(*session, string, bool) { panic("a bug above") } },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, limits, nil, func(t *testing.T, h *host) {
				good, fine := h.open()
				h.setup = setup
				bad, s := h.open()
				go bad.Write(context.Background(), websocket.MessageText, []byte("boom"))
				if _, end := bad.readAll(); end.Code != websocket.StatusInternalError {
					t.Errorf("status %d, want 1011", end.Code)
				}
				if got := s.cause(); got != ws.CausePanic {
					t.Errorf("cause %d, want a panic", got)
				}
				fine.send("still here")
				if got := good.read(); got != "still here" {
					t.Errorf("the other connection got %q", got)
				}
				if log := h.log.String(); !strings.Contains(log, "a bug above") || !strings.Contains(log, "end_test.go") {
					t.Errorf("the log lacks the panic or its stack: %s", log)
				}
			})
		})
	}
}

// Bytes of a client that our own code cannot take must not end the process.
func TestPanicOfTheReaderEndsItsConnectionOnly(t *testing.T) {
	inBubble(t, limits, nil, func(t *testing.T, h *host) {
		h.cfg.Traffic = nil // a message cannot be counted: any bug
		c, s := h.open()
		go c.Write(context.Background(), websocket.MessageText, []byte("boom"))
		if _, end := c.readAll(); end.Code != websocket.StatusInternalError {
			t.Errorf("status %d, want 1011", end.Code)
		}
		if got := s.cause(); got != ws.CausePanic || !strings.Contains(h.log.String(), "nil pointer") {
			t.Errorf("cause %d, want a panic in the log: %s", got, h.log.String())
		}
	})
}

// forgetful is a Handler that breaks its promise to call End.
type forgetful struct{ *session }

func (forgetful) Failed(ws.Cause) {}

func TestHandlerThatDoesNotEndIsCut(t *testing.T) {
	inBubble(t, limits, nil, func(t *testing.T, h *host) {
		h.run = func(s *session) { s.Go(forgetful{s}) }
		c, s := h.open()
		c.CloseNow()
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.served.IsZero() {
			t.Error("Serve did not return, as Take had more to come")
		}
	})
}

func TestRejectedConnectionIsNotServed(t *testing.T) {
	inBubble(t, limits, nil, func(t *testing.T, h *host) {
		h.run = func(s *session) {
			h.sessions <- s
			s.Reject(ws.StatusRefused, "no", s.leave)
		}
		c, s := h.open()
		s.send("x")
		if got, end := c.readAll(); got != "" || end != (websocket.CloseError{Code: 1008, Reason: "no"}) {
			t.Errorf("got %q and %v, want nothing and 1008", got, end)
		}
	})
}

// TestLastWordsOfMeanwhileGoOut: what is queued before the end is written, though whoever writes has just found nothing.
func TestLastWordsOfMeanwhileGoOut(t *testing.T) {
	for name, flush := range map[string]func(*session){"writer": (*session).Flush, "shard": (*session).FlushNow} {
		t.Run(name, func(t *testing.T) {
			overTCP(t, limits, nil, func(t *testing.T, h *host) {
				handlers := make(chan *late, 1)
				h.run = func(s *session) {
					l := &late{session: s}
					handlers <- l
					s.Go(l)
				}
				c, s := h.open()
				l := <-handlers
				waitFor(t, "nobody writes", s.asleep)
				l.send = func() {
					s.queue("last words")
					s.end(ws.StatusNormal, "")
				}
				l.armed.Store(true)
				flush(s)
				if got, end := c.readAll(); got != "last words" || end.Code != websocket.StatusNormalClosure {
					t.Errorf("got %q and %v, want the last words and 1000", got, end)
				}
			})
		})
	}
}
