package plain_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/plain"
	"github.com/meshrt/meshrt/wire"
)

func TestStreamIsASessionOfItsOwnKind(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		opened := make(chan *node.Session, 1)
		h.main.OnConnect(func(s *node.Session) error {
			opened <- s
			return s.Emit("hello", "early")
		})
		c := h.stream("?room=b&room=a&room=b&token=x")
		c.want(event("hello", `{"type":"event","event":"hello","data":"early"}`))
		for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
			if got := c.res.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		s := <-opened
		if hs := s.Handshake(); s.ID() != c.id || hs.Protocol != "sse" || hs.Query.Get("token") != "x" || hs.Header == nil || hs.Remote == "" {
			t.Errorf("session %s with %+v, client was told %s", s.ID(), hs, c.id)
		}
		sockets, _, _ := h.node.Sockets(context.Background(), node.Query{})
		if len(sockets) != 1 || sockets[0].Transport != "sse" || sockets[0].Protocol != "sse" || !reflect.DeepEqual(sockets[0].Rooms, []string{"a", "b"}) {
			t.Errorf("listed as %+v", sockets)
		}
	})
}

func TestStreamGetsWhatIsForItOnceAndInOrder(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		both, none := h.streamOf("a", "b"), h.stream("")
		ws := h.open()
		all := h.node.In("/")
		for i := range 20 {
			all.To("a").Emit("n", i)
			all.To("b", "a").Emit("both", i)
			all.To("c").Emit("others", i)
		}
		all.To("a").Except(both.id).Emit("except")
		for i := range 20 {
			both.want(event("n", fmt.Sprintf(`{"type":"event","room":"a","event":"n","data":%d}`, i)),
				event("both", fmt.Sprintf(`{"type":"event","event":"both","data":%d}`, i)))
		}
		ws.send(`{"type":"publish","room":"a","event":"said","data":1}`, `{"type":"broadcast","event":"all","data":2}`)
		for _, c := range []*reader{both, none} {
			ws.send(`{"type":"direct","to":"` + c.id + `","event":"psst","data":3}`)
		}
		from := `,"from":"` + ws.id + `"}`
		said, toAll, psst := event("said", `{"type":"event","room":"a","event":"said","data":1`+from),
			event("all", `{"type":"event","event":"all","data":2`+from), event("psst", `{"type":"event","event":"psst","data":3`+from)
		both.want(said, toAll, psst)
		none.want(toAll, psst)
	})
}

// Whatever an event holds, it is one event to the reader.
func TestEventsAreOneEventEach(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		c := h.streamOf("r")
		r := h.node.In("/").To("r")
		r.EmitArgs("lines", wire.Args{[]byte("{\n\"a\":\r\n1}"), []byte("\"x\\n\\nevent: forged\"")}, nil)
		c.want("event: lines\ndata: {\"type\":\"event\",\"room\":\"r\",\"event\":\"lines\",\"data\":{\ndata: \"a\":\ndata: 1}," +
			"\"args\":[{\ndata: \"a\":\ndata: 1},\"x\\n\\nevent: forged\"]}\n\n")
		r.Emit("two\nlines\r\n\r\nevent: forged")
		c.want(event("two lines    event: forged", `{"type":"event","room":"r","event":"two\nlines\r\n\r\nevent: forged"}`))
		args := wire.Args{[]byte(`{"file":{"_placeholder":true,"num":0}}`), []byte(`{"_placeholder":true,"num":1}`)}
		r.EmitArgs("upload", args, [][]byte{{1, 2, 3}, {}})
		file, empty := `{"file":{"$binary":"AQID"}}`, `{"$binary":""}`
		c.want(event("upload", `{"type":"event","room":"r","event":"upload","data":`+file+`,"args":[`+file+`,`+empty+`]}`))
		big := strings.Repeat("x", 1<<18)
		r.Emit("big", big)
		c.want(event("big", `{"type":"event","room":"r","event":"big","data":"`+big+`"}`))
	})
}

// G2: what another node publishes after the response has begun is not missed.
func TestStreamBeginsWhenItsRoomsAreInForceEverywhere(t *testing.T) {
	const delay = 200 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		network := clustertest.NewNetwork(1)
		config := func(name string, seeds ...string) (cluster.Config, *clustertest.Host) {
			id, host := wire.NewNodeID(), network.Host(name)
			host.SetNode(name + "@" + id.String())
			return cluster.Config{ID: id, Name: name, Cluster: "test", Net: host, Seeds: seeds}, host
		}
		cfg, here := config("n1")
		l := newPipeListener()
		h := newHost(t, l, plain.Config{}, cfg)
		h.use(l.dial)
		cfg, there := config("n2", here.Advertise().String())
		other, err := node.New(node.Config{Cluster: cfg})
		if err != nil {
			t.Fatal(err)
		}
		otherRan := make(chan struct{})
		stopOther := h.start(other.Run, otherRan)
		time.Sleep(3 * time.Second) // they meet

		first := h.streamOf() // "/" is in force from here on
		network.SetDelay(here, there, delay)
		start := time.Now()
		c := h.streamOf("r")
		if took := time.Since(start); took < delay {
			t.Errorf("the stream began after %v, before the other node could know", took)
		}
		other.In("/").To("r").Emit("soon")
		c.want(event("soon", `{"type":"event","room":"r","event":"soon"}`))
		first.leave()
		h.stop()
		stopOther()
		<-otherRan
		time.Sleep(time.Minute) // memberlist outlives its Shutdown
	})
}

// What comes between the joining of a room here and its being in force elsewhere
// is not lost either.
func TestEventsWaitForTheStreamToBegin(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		h.main.OnConnect(func(s *node.Session) error {
			s.Join(context.Background(), "early")
			h.main.To("early").Emit("e", 1)
			time.Sleep(time.Second)
			h.main.To("early").Emit("e", 2)
			return nil
		})
		h.stream("").want(event("e", `{"type":"event","room":"early","event":"e","data":1}`),
			event("e", `{"type":"event","room":"early","event":"e","data":2}`))
	})
}

// Without recovery nothing can be resumed, and a client that asks must not believe it was.
func TestResumingAStreamIsAnsweredWithAGap(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		h.main.OnConnect(func(s *node.Session) error { return s.Emit("hello") })
		hello := event("hello", `{"type":"event","event":"hello"}`)
		h.stream("", "Last-Event-ID", "12").want(event("gap", `{"type":"gap"}`), hello)
		h.stream("", "Last-Event-ID", "").want(hello)
	})
}

func jsonError(code, message string) string {
	return fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`+"\n", code, message)
}

func TestRequestsThatGetNoStream(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		other := h.stream("")
		rooms := make([]string, 101)
		for i := range rooms {
			rooms[i] = fmt.Sprint("r", i)
		}
		h.streamOf(rooms[:100]...).leave()
		synctest.Wait()
		for name, tt := range map[string]struct {
			method, query string
			status        int
			code, message string
		}{
			"POST":           {"POST", "", 405, "invalid", "this address takes GET requests for an event stream"},
			"empty room":     {"GET", "?room=", 400, "invalid", "room name is empty"},
			"one of several": {"GET", "?room=a&room=" + strings.Repeat("x", 256), 400, "invalid", "room name is longer than 255 bytes"},
			"not UTF-8":      {"GET", "?room=%ff", 400, "invalid", "room name is not valid UTF-8"},
			"malformed":      {"GET", "?room=%f", 400, "invalid", `the query is malformed: invalid URL escape "%f"`},
			"too many":       {"GET", "?" + url.Values{"room": rooms}.Encode(), 400, "limit", "more than 100 rooms"},
			"of another":     {"GET", "?room=" + other.id, 403, "forbidden", "room is another socket's id"},
		} {
			res, body := h.refused(tt.method, tt.query)
			if res.StatusCode != tt.status || body != jsonError(tt.code, tt.message) || res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %d %s", name, res.StatusCode, body)
			}
			if allow := res.Header.Get("Allow"); tt.status == 405 && allow != "GET, HEAD" {
				t.Errorf("%s: allows %q", name, allow)
			}
		}
		h.wantLeft("transport close", "server namespace disconnect") // of 100 rooms, and the last: its name is no mistake in itself
		if got := h.server.Stats().Streams; got.Opened != 2 || got.Open != 1 || got.Refused["bad request"] != 6 || got.Refused["connection refused"] != 1 {
			t.Errorf("stats %+v, want 2 opened, 6 and 1 refused", got)
		}
		if got := h.node.Stats().Sessions; got != 1 {
			t.Errorf("%d sessions in the node, want one", got)
		}
	})
}

func TestHeadTellsTheHeaderAndOpensNothing(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		h.main.OnConnect(func(*node.Session) error { t.Error("opened a session"); return nil })
		if res, _ := h.refused("HEAD", "?room=a"); res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("HEAD: %d %v", res.StatusCode, res.Header)
		}
		if res, _ := h.refused("HEAD", "?room="); res.StatusCode != 400 {
			t.Errorf("HEAD of no room: %d, want 400", res.StatusCode)
		}
	})
}

func TestAcceptJudgesStreams(t *testing.T) {
	for name, tt := range map[string]struct {
		err    error
		status int
		body   string
	}{
		"any error, which stays inside": {errors.New("origin evil.example is not in the list"), 403, jsonError("forbidden", "Forbidden")},
		"too many":                      {&plain.Refusal{Status: 429, Message: "Too many"}, 429, jsonError("limit", "Too many")},
		"too full":                      {fmt.Errorf("limit: %w", &plain.Refusal{Status: 503, Message: "Full"}), 503, jsonError("unavailable", "Full")},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			cfg := plain.Config{Accept: func(*http.Request) error { asked++; return tt.err }}
			inBubble(t, cfg, func(t *testing.T, h *host) {
				h.refused("GET", "?room=")
				if asked != 0 {
					t.Error("asked about a request that is none for a stream")
				}
				if res, body := h.refused("GET", ""); res.StatusCode != tt.status || body != tt.body || asked != 1 {
					t.Errorf("got %d %q, asked %d times, want %d %q, once", res.StatusCode, body, asked, tt.status, tt.body)
				}
				if got := h.server.Stats().Streams; got.Refused["forbidden"] != 1 || got.Opened != 0 {
					t.Errorf("stats %+v, want one refused", got)
				}
			})
		})
	}
}

// A browser never comes back after an error, so only what is final is one.
func TestApplicationRefusesStreams(t *testing.T) {
	for name, tt := range map[string]struct {
		err    error
		status int
		body   string
		why    string
	}{
		"by a handler":  {node.Errorf(node.CodeForbidden, "members only"), 403, `^` + jsonError("forbidden", "members only") + `$`, "connection refused"},
		"any error":     {errors.New("no"), 403, `^` + jsonError("unavailable", "no") + `$`, "connection refused"},
		"for a mistake": {node.Errorf(node.CodeInvalid, "what?"), 400, `"what\?"`, "connection refused"},
		"for now":       {node.Errorf(node.CodeUnavailable, "ill\n\ndata: forged"), 200, `^: "ill\\n\\ndata: forged"` + comeBack, "unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
				h.main.OnConnect(func(*node.Session) error { return tt.err })
				res, body := h.refused("GET", "?room=r")
				if res.StatusCode != tt.status || !match(tt.body, body) {
					t.Errorf("got %d %q, want %d %s", res.StatusCode, body, tt.status, tt.body)
				}
				h.wantLeft() // it never was there
				if got := h.server.Stats().Streams; got.Refused[tt.why] != 1 || got.Opened != 0 {
					t.Errorf("stats %+v, want one %s", got, tt.why)
				}
			})
		})
	}
}

// bare is a ResponseWriter that a careless middleware made.
type bare struct{ http.ResponseWriter }

// flushing hides deadlines only.
type flushing struct{ bare }

func (flushing) Flush() {}

func TestResponseThatCannotStreamIsAnError(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		for _, wrap := range []func(http.ResponseWriter) http.ResponseWriter{
			func(w http.ResponseWriter) http.ResponseWriter { return bare{w} },
			func(w http.ResponseWriter) http.ResponseWriter { return flushing{bare{w}} },
		} {
			w := httptest.NewRecorder()
			h.server.ServeEvents(wrap(w), httptest.NewRequest("GET", "/sse", nil))
			body, _ := io.ReadAll(w.Body)
			want := jsonError("unavailable", "the server cannot stream: something before it hides how to flush a response")
			if w.Code != 500 || string(body) != want {
				t.Errorf("got %d %s, want 500 %s", w.Code, body, want)
			}
		}
		if got := h.server.Stats().Streams; got.Refused["cannot stream"] != 2 || got.Opened != 0 {
			t.Errorf("stats %+v, want two refused", got)
		}
	})
}

func TestStatsOfStreams(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		c := h.stream("")
		h.stream("")
		h.open()
		h.main.Emit("x")
		x := event("x", `{"type":"event","event":"x"}`)
		c.want(x)
		c.leave()
		synctest.Wait()
		got := h.server.Stats()
		if got.Open != 1 || got.Opened != 1 || got.Streams.Open != 1 || got.Streams.Opened != 2 || got.Streams.Closed["transport close"] != 1 {
			t.Errorf("stats %+v", got)
		}
		// The other one reads nothing: its write is not over.
		if got.Streams.EventsOut != 1 || got.Streams.BytesOut != uint64(len(x)) {
			t.Errorf("counted %d events of %d bytes, want 1 of %d", got.Streams.EventsOut, got.Streams.BytesOut, len(x))
		}
		if len(got.Streams.Closed) != 6 || len(got.Closed) != 12 || len(got.Streams.Refused) != 7 || len(got.Refused) != 4 {
			t.Errorf("reasons of another kind are counted: %+v", got)
		}
	})
}
