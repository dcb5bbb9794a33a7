package plain

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/ws"
	"github.com/meshrt/meshrt/wire"
)

func TestHeartbeatArithmetic(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	type step struct {
		now, heard int // milliseconds
		due        beat
		wait       int
	}
	for name, steps := range map[string][]step{
		"silent":                  {{300, 0, beatPing, 200}, {500, 0, beatDead, 0}},
		"timer fires early":       {{299, 0, beatNone, 1}, {300, 0, beatPing, 200}, {499, 0, beatNone, 1}, {500, 0, beatDead, 0}},
		"timer fires late":        {{310, 0, beatPing, 200}, {509, 0, beatNone, 1}, {510, 0, beatDead, 0}},
		"heard before the ping":   {{300, 250, beatNone, 250}, {550, 250, beatPing, 200}},
		"heard with the ping":     {{300, 0, beatPing, 200}, {500, 300, beatNone, 100}, {600, 300, beatPing, 200}},
		"heard at the last":       {{300, 0, beatPing, 200}, {500, 500, beatNone, 300}, {800, 500, beatPing, 200}, {1000, 500, beatDead, 0}},
		"heard, but too long ago": {{300, 0, beatPing, 200}, {700, 301, beatPing, 200}},
	} {
		h := heartbeat{interval: 300 * time.Millisecond, timeout: 200 * time.Millisecond}
		for _, s := range steps {
			due, wait := h.check(at(s.now), at(s.heard))
			if due != s.due || wait != time.Duration(s.wait)*time.Millisecond {
				t.Errorf("%s: at %d ms, heard at %d: %v and %v, want %v and %d ms", name, s.now, s.heard, due, wait, s.due, s.wait)
			}
		}
	}
}

func TestReasonsAreCompleteAndNamedAsTheOfficialServerNamesThem(t *testing.T) {
	official := map[string]bool{"transport close": true, "transport error": true, "ping timeout": true,
		"server namespace disconnect": true, "server shutting down": true}
	names := map[string]bool{}
	for r := reason(1); r < reasonEnd; r++ {
		if names[r.String()] || r.String() == "" {
			t.Errorf("reason %d has no name of its own: %q", r, r)
		}
		names[r.String()] = true
		if !slices.Contains(socketReasons, r) {
			t.Errorf("%v is not counted", r)
		}
		// The last two are of connections without a session: no handler is told.
		if !official[r.official()] && r < reasonRefused {
			t.Errorf("%v is told as %q, no official name", r, r.official())
		}
	}
	for _, r := range streamReasons {
		if !official[r.official()] {
			t.Errorf("%v is told as %q, no official name", r, r.official())
		}
	}
	for cause := ws.Cause(1); cause < ws.CauseEnd; cause++ {
		if causes[cause] == 0 {
			t.Errorf("cause %d has no reason", cause)
		}
	}
	for want, cause := range map[reason]ws.Cause{reasonClose: ws.CauseLost, reasonBreach: ws.CauseBreach, reasonSlow: ws.CauseSlow,
		reasonTooBig: ws.CauseTooBig, reasonInvalidText: ws.CauseInvalidText, reasonPanic: ws.CausePanic} {
		if causes[cause] != want {
			t.Errorf("cause %d is %v, want %v", cause, causes[cause], want)
		}
	}
}

// Waking a goroutine costs more than all else of a publish without an id.
func TestSilentAnswerWakesNoWriter(t *testing.T) {
	c := &conn{server: &Server{}} // Flush would need a websocket
	ok := &node.Delivery{Kind: node.KindAck, AckID: silent, Args: []byte(`[{"ok":true}]`)}
	if !c.Deliver(ok) {
		t.Error("Deliver = false, want the answer passed over")
	}
	c.Flush()
}

// A broadcast is encoded once for all streams and once for all websockets.
func TestMessageIsEncodedOnceForAllOfAKind(t *testing.T) {
	s := &Server{log: slog.New(slog.DiscardHandler)}
	newReader := func() *stream {
		return &stream{server: s, wake: make(chan struct{}, 1), ended: make(chan struct{}), out: ws.Outbox{MaxBytes: 1000, MaxGroups: 1000}}
	}
	a, b, c := newReader(), newReader(), &conn{server: s}
	d := &node.Delivery{Kind: node.KindEvent, Message: &wire.Message{Envelope: &wire.Envelope{}, Payload: []byte(`["e",1]`)}}
	a.Deliver(d)
	b.Deliver(d)
	ofA, open := a.take()
	ofB, _ := b.take()
	if !open || len(ofA) != 1 || len(ofB) != 1 || ofA[0] != ofB[0] {
		t.Errorf("streams got %v and %v, want the same group", ofA, ofB)
	}
	if one := c.group(d); one != c.group(d) || one == ofA[0] {
		t.Error("websockets do not share a group of their own")
	}
	again := func() { a.Deliver(d); a.Flush(); a.take(); c.group(d) }
	if n := testing.AllocsPerRun(100, again); n > 1 { // the queue's
		t.Errorf("a delivery of what was encoded takes %v allocations, want those of the queue", n)
	}
}

// unread is a response that nobody reads.
type unread struct{ *httptest.ResponseRecorder }

func (unread) SetWriteDeadline(time.Time) error { return nil }

func TestRefusedStreamIsForgotten(t *testing.T) {
	n, err := node.New(node.Config{})
	if err != nil {
		t.Fatal(err)
	}
	n.Namespace("/").OnConnect(func(*node.Session) error { return errors.New("no") })
	s := NewServer(Config{}, n)
	w := unread{httptest.NewRecorder()}
	s.ServeEvents(w, httptest.NewRequest("GET", "/sse", nil))
	if w.Code != 403 || s.roster.Len() != 0 {
		t.Errorf("status %d, and %d on the roster, want 403 and none", w.Code, s.roster.Len())
	}
}

// Whatever a client sends, a command is an event whose arguments are JSON.
func FuzzEventOfACommand(f *testing.F) {
	for _, seed := range []string{
		`{"type":"join","id":1,"room":"r"}`, `{"type":"publish","room":"\u00e9\"","event":"e","data":{"a":[1]}}`,
		`{"type":"direct","to":"x","event":"e","args":[1,"two",null]}`, `{"type":"broadcast","event":"\ud800"}`,
		`{"type":"emit","event":"e"}`, `{"type":"presence","room":"r"}`, `{"type":"history","room":"r","limit":[1],"since":"x"}`, `{`, "\xff",
	} {
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, binary bool) {
		cmd, err := decode(data, binary)
		if id := ackID(cmd); cmd.HasID == (id == silent) {
			t.Fatalf("%s: AckID %d", data, id)
		}
		if err != nil {
			return
		}
		e := event(cmd)
		if !json.Valid(e.Args.Join()) || e.Name == "" || !e.HasAck {
			t.Fatalf("%s: event %q with %s", data, e.Name, e.Args.Join())
		}
	})
}

// The node refuses such messages of its own publishers; those of other nodes
// break no connection either.
func TestWhatHasNoPlainFormIsLeftOut(t *testing.T) {
	n, err := node.New(node.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(Config{}, n)
	const placeholder = `{"_placeholder":true,"num":7}`
	event := &node.Delivery{Message: &wire.Message{Envelope: &wire.Envelope{Attachments: [][]byte{{1}}}, Payload: []byte(`["lost",` + placeholder + `]`)}}
	asks := &node.Delivery{Message: event.Message, AckID: 5}
	broken := &node.Delivery{Message: &wire.Message{Envelope: &wire.Envelope{}, Payload: []byte("[\"lost\",\"\xff\"]")}}
	for i, d := range []*node.Delivery{event, asks, broken} {
		if g := s.encodeEvent(d); g != nil {
			t.Errorf("event %d is told", i)
		}
		if g := s.encodeStream(d); g != nil {
			t.Errorf("event %d is streamed", i)
		}
	}
	ack := &node.Delivery{Kind: node.KindAck, AckID: 1, Args: json.RawMessage(`[` + placeholder + `]`), Attachments: [][]byte{{1}}}
	want := `{"type":"ack","id":1,"ok":false,"error":"the answer has no form as plain JSON","code":"unavailable"}`
	if got := string(s.encodeAck(ack).Frames()[0].Data); got != want {
		t.Errorf("answer %s, want %s", got, want)
	}
	if got := s.Stats(); got.Untold != 4 || got.Streams.Untold != 3 {
		t.Errorf("counted %d and %d, want 4 and 3", got.Untold, got.Streams.Untold)
	}
}
