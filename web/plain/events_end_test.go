package plain_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/plain"
)

func match(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }

// comeBack is how a stream ends whose client is to connect again elsewhere.
const comeBack = "\nretry: ([0-4]?[0-9]{1,3})\n\n$"

// inBubbles runs test over both versions of HTTP.
func inBubbles(t *testing.T, cfg plain.Config, test func(t *testing.T, h *host)) {
	t.Helper()
	for name, http2 := range map[string]bool{"HTTP 1.1": false, "HTTP 2": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, cfg, func(t *testing.T, h *host) {
				if http2 {
					h.useHTTP2()
				}
				test(t, h)
			})
		})
	}
}

// window is what HTTP/2 takes for a client that does not read, in bytes.
const window = 64 << 10

// useHTTP2 makes a connection for each stream: they would share a pipe, and stand
// still with one that does not read.
func (h *host) useHTTP2() {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	h.http = &http.Client{Transport: perRequest(func() *http.Transport {
		return &http.Transport{DialContext: h.dial, Protocols: protocols, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: window}}
	})}
}

type perRequest func() *http.Transport

func (p perRequest) RoundTrip(r *http.Request) (*http.Response, error) { return p().RoundTrip(r) }

func TestHeartbeatsComeWhenNothingElseDoes(t *testing.T) {
	inBubbles(t, fast, func(t *testing.T, h *host) {
		c := h.stream("")
		start := time.Now()
		c.wantBeat(start.Add(300 * time.Millisecond))
		c.wantBeat(start.Add(600 * time.Millisecond))
		time.Sleep(150 * time.Millisecond)
		h.main.Emit("x")
		c.want(event("x", `{"type":"event","event":"x"}`))
		c.wantBeat(start.Add(1050 * time.Millisecond))
		h.wantLeft() // a deadline for writing has passed between them, too
	})
}

func TestReaderThatIsGoneIsATransportClose(t *testing.T) {
	inBubbles(t, plain.Config{}, func(t *testing.T, h *host) {
		c := h.streamOf("r")
		synctest.Wait()
		c.leave()
		h.wantLeft("transport close")
		if s, n := h.server.Stats().Streams, h.node.Stats(); s.Closed["transport close"] != 1 || s.Open != 0 || n.Sessions != 0 || n.Rooms != 0 {
			t.Errorf("stats %+v %+v, want one closed and nothing left", s, n)
		}
	})
}

func TestDisconnectEndsAStreamInOrder(t *testing.T) {
	for _, connection := range []bool{true, false} {
		inBubbles(t, plain.Config{}, func(t *testing.T, h *host) {
			opened := make(chan *node.Session, 1)
			h.main.OnConnect(func(s *node.Session) error { opened <- s; return nil })
			c, s := h.stream(""), <-opened
			s.Emit("last", "words")
			s.Disconnect(connection)
			s.Emit("too late")
			c.wantEnd(event("last", `{"type":"event","event":"last","data":"words"}`), true)
			h.wantLeft("server namespace disconnect")
		})
	}
}

// The shard may close the Sink before the session is known to its stream.
func TestDisconnectWhileAStreamOpens(t *testing.T) {
	for range 20 { // the two race
		inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
			h.main.OnConnect(func(s *node.Session) error { s.Disconnect(true); return nil })
			h.streamOf("r").wantEnd("", true)
			h.wantLeft("server namespace disconnect")
		})
	}
}

// The queue holds what the socket does not take: exactly QueueGroups events.
func TestSlowReaderIsCutAndNobodyWaitsForIt(t *testing.T) {
	for name, cfg := range map[string]plain.Config{
		"events": {QueueGroups: 8},
		"bytes":  {QueueBytes: 8 * len(event("all", `{"type":"event","event":"all","data":0}`))},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, cfg, func(t *testing.T, h *host) {
				slow, fast := h.stream(""), h.stream("")
				start := time.Now()
				for i := range 9 {
					h.wantLeft()
					h.main.Emit("all", i)
					fast.want(event("all", fmt.Sprintf(`{"type":"event","event":"all","data":%d}`, i)))
				}
				h.wantLeft("transport error")
				if took := time.Since(start); took != 0 {
					t.Errorf("the fast client waited %v", took)
				}
				if got := h.server.Stats().Streams; got.Closed["slow client"] != 1 || got.Open != 1 {
					t.Errorf("stats %+v, want one slow and one open", got)
				}
				if _, inOrder := slow.readAll(); inOrder {
					t.Error("to the slow client the stream ended in order, want it cut")
				}
			})
		})
	}
}

// What overflows a queue that nobody is writing from must not look like an end in
// order either.
func TestBurstThatOverflowsCutsAStream(t *testing.T) {
	inBubbles(t, plain.Config{QueueGroups: 8}, func(t *testing.T, h *host) {
		c := h.stream("")
		release := h.pauseShards()
		for i := range 9 {
			h.main.Emit("all", i)
		}
		release()
		c.wantEnd("", false)
		h.wantLeft("transport error")
	})
}

// pausing is a Sink that delivers nothing until the channel is closed.
type pausing chan struct{}

func (p pausing) Deliver(d *node.Delivery) bool {
	if d.Kind == node.KindEvent {
		<-p
	}
	return true
}
func (pausing) Flush()     {}
func (pausing) Close(bool) {}

// pauseShards keeps all shards of the node from delivering until release: what is
// published meanwhile comes in one sweep.
func (h *host) pauseShards() (release func()) {
	p := make(pausing)
	for range runtime.GOMAXPROCS(0) {
		s, err := h.node.Open(h.t.Context(), node.SessionConfig{Namespace: "/", Sink: p, Affinity: h.node.NewAffinity()})
		if err != nil {
			h.t.Fatal(err)
		}
		go h.main.To(s.ID()).Emit("pause") // who publishes may deliver, and pauses then
		h.atStop = append(h.atStop, func() { s.Close("") })
	}
	synctest.Wait()
	return func() { close(p) }
}

func TestSlowReaderOfHTTP2IsCut(t *testing.T) {
	inBubble(t, plain.Config{QueueGroups: 8}, func(t *testing.T, h *host) {
		h.useHTTP2()
		slow := h.stream("")
		for range 9 {
			h.wantLeft()
			h.main.Emit("all", make([]byte, window))
			synctest.Wait()
		}
		h.wantLeft("transport error")
		if _, inOrder := slow.readAll(); inOrder {
			t.Error("to the slow client the stream ended in order, want it cut")
		}
	})
}

func TestOneWriteToAStreamMayTakeThePingTimeout(t *testing.T) {
	cfg := plain.Config{PingTimeout: 7 * time.Second}
	inBubbles(t, cfg, func(t *testing.T, h *host) {
		h.stream("") // reads no more
		h.main.Emit("x", make([]byte, window))
		time.Sleep(7*time.Second - time.Nanosecond)
		h.wantLeft()
		time.Sleep(time.Nanosecond)
		h.wantLeft("transport error")
		if got := h.server.Stats().Streams.Closed["slow client"]; got != 1 {
			t.Errorf("counted %d slow clients, want 1", got)
		}
	})
}

func TestRunEndsStreams(t *testing.T) {
	inBubbles(t, plain.Config{}, func(t *testing.T, h *host) {
		a, b := h.streamOf("r"), h.streamOf("r")
		h.main.To("r").Emit("last")
		synctest.Wait()
		h.stopRun()
		for _, c := range []*reader{a, b} {
			c.want(event("last", `{"type":"event","room":"r","event":"last"}`))
			if got, inOrder := c.readAll(); !match("^"+comeBack[1:], got) || !inOrder {
				t.Errorf("client got %q, in order %v, want a hint when to come back", got, inOrder)
			}
		}
		<-h.ran
		h.wantLeft("server shutting down", "server shutting down")
		if got := h.server.Stats().Streams.Closed["server shutting down"]; got != 2 {
			t.Errorf("counted %d, want 2", got)
		}
		res, body := h.refused("GET", "")
		if res.StatusCode != 200 || !match(`^: "server shutting down"`+comeBack, body) {
			t.Errorf("after Run: %d %q, want a hint when to come back", res.StatusCode, body)
		}
		if got := h.server.Stats().Streams.Refused["server shutting down"]; got != 1 {
			t.Errorf("counted %d refused, want 1", got)
		}
	})
}

func TestRunWaitsForDeafReadersButNotLong(t *testing.T) {
	for name, events := range map[string]int{"being written to": 1, "of the last word": 0} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, plain.Config{}, func(t *testing.T, h *host) {
				h.stream("") // reads no more
				for range events {
					h.main.Emit("x", make([]byte, window))
				}
				synctest.Wait()
				start := time.Now()
				h.stopRun()
				<-h.ran
				if took := time.Since(start); took != 3*time.Second && (events > 0 || took != 0) {
					t.Errorf("Run took %v to end, want 3s", took) // or none, for a word that fits HTTP/2's window
				}
				h.wantLeft("server shutting down")
			})
		})
	}
}

// A client must not take a stream for open whose session has ended. Run waits.
func TestHandlersOfDisconnectKeepNoClientWaiting(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		h.main.OnDisconnect(func(*node.Session, string) { time.Sleep(time.Minute) })
		c := h.stream("")
		start := time.Now()
		h.stopRun()
		c.readAll()
		if took := time.Since(start); took != 0 {
			t.Errorf("the client saw the end after %v", took)
		}
		<-h.ran
		if took := time.Since(start); took != time.Minute {
			t.Errorf("Run took %v to end, want the handler's minute", took)
		}
	})
}

// The other nodes may take seconds to learn of a session.
func TestStreamsThatAreBeingOpened(t *testing.T) {
	for name, tt := range map[string]struct {
		act     func(*host, context.CancelFunc)
		refused string
	}{
		"Run ends":        {func(h *host, _ context.CancelFunc) { h.stopRun() }, "server shutting down"},
		"the client left": {func(_ *host, leave context.CancelFunc) { leave() }, "client gone"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newPipeListener()
				h := newHost(t, l, plain.Config{}, cluster.Config{Name: "n1", Cluster: "test",
					Net: clustertest.NewNetwork(1).Host("n1"), Seeds: []string{"10.9.9.9:7946"}})
				h.use(l.dial)
				defer h.stop()
				block := make(chan struct{})
				h.main.OnConnect(func(s *node.Session) error { close(block); return nil })
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				req, _ := http.NewRequestWithContext(ctx, "GET", "http://host/sse?room=r", nil)
				start, done := time.Now(), make(chan struct{})
				go func() {
					defer close(done)
					if res, err := h.http.Do(req); err == nil {
						res.Body.Close()
					}
				}()
				<-block
				time.Sleep(time.Second)
				tt.act(h, leave)
				<-done
				synctest.Wait()
				if got := h.server.Stats().Streams; got.Refused[tt.refused] != 1 || got.Opened != 0 {
					t.Errorf("stats %+v, want one %s", got, tt.refused)
				}
				if took := time.Since(start); took != time.Second {
					t.Errorf("took %v, want no time after a second", took)
				}
			})
		})
	}
}

// A bug below, or a middleware's, ends the session as well.
func TestPanicEndsTheSessionOfAStream(t *testing.T) {
	inBubbles(t, plain.Config{}, func(t *testing.T, h *host) {
		h.wrap(func(w *wrapped) { w.writes = 1 })
		c := h.stream("")
		h.main.Emit("x")
		c.wantEnd("", false)
		h.wantLeft("transport error")
		if got := h.server.Stats().Streams; got.Closed["internal error"] != 1 || got.Open != 0 {
			t.Errorf("stats %+v, want one internal error", got)
		}
	})
}

// Nobody may touch a response when its handler has returned.
func TestResponseIsLeftAloneAfterTheEnd(t *testing.T) {
	inBubble(t, plain.Config{QueueGroups: 1}, func(t *testing.T, h *host) {
		h.wrap(func(w *wrapped) { w.delay = time.Second })
		h.stream("") // reads no more
		h.main.Emit("x")
		synctest.Wait()
		h.main.Emit("y")
		time.Sleep(2 * time.Second)
		h.wantLeft("transport error")
	})
}

// wrapped is a response that panics after some writes, and that takes a while to
// stop a write.
type wrapped struct {
	http.ResponseWriter
	t      *testing.T
	writes int
	delay  time.Duration
	over   atomic.Bool // the handler has returned
}

func (h *host) wrap(set func(*wrapped)) {
	h.web.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := &wrapped{ResponseWriter: w, t: h.t, writes: 100}
		set(f)
		defer f.over.Store(true)
		h.server.ServeEvents(f, r)
	})
}

func (w *wrapped) Write(p []byte) (int, error) {
	if w.writes--; w.writes < 0 {
		panic("a bug")
	}
	return w.ResponseWriter.Write(p)
}

func (w *wrapped) SetWriteDeadline(deadline time.Time) error {
	err := http.NewResponseController(w.ResponseWriter).SetWriteDeadline(deadline)
	if deadline.Before(time.Now()) && !deadline.IsZero() {
		time.Sleep(w.delay)
	}
	if w.over.Load() {
		w.t.Error("the response was touched after the end")
	}
	return err
}

func (w *wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }
