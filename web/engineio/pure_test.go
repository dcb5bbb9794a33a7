package engineio

import (
	"log/slog"
	"testing"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

func TestHeartbeatArithmetic(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	const pong = beat(-1)
	for name, steps := range map[string][]struct {
		ms   int
		want beat
	}{
		"ping, then dead":         {{299, beatEarly}, {300, beatPing}, {499, beatEarly}, {500, beatDead}},
		"timer a little late":     {{320, beatPing}, {499, beatEarly}, {500, beatDead}},
		"process stood still":     {{321, beatPing}, {520, beatEarly}, {521, beatDead}},
		"pong in time":            {{300, beatPing}, {400, pong}, {500, beatEarly}, {700, beatPing}, {900, beatDead}},
		"pong at the last moment": {{300, beatPing}, {500, pong}, {500, beatEarly}, {800, beatPing}},
		"pong before the ping":    {{100, pong}, {300, beatEarly}, {400, beatPing}, {600, beatDead}},
	} {
		h := heartbeat{interval: 300 * time.Millisecond, timeout: 200 * time.Millisecond}
		h.alive(start)
		for _, step := range steps {
			if step.want == pong {
				h.alive(at(step.ms))
			} else if got := h.fired(at(step.ms)); got != step.want {
				t.Errorf("%s: fired at %d ms = %v, want %v", name, step.ms, got, step.want)
			} else if dead := h.dead(at(step.ms)); dead != (got == beatDead) {
				t.Errorf("%s: dead at %d ms = %v", name, step.ms, dead)
			}
		}
	}
}

// The time in which we do not read the client is none of its timeout's.
func TestHeartbeatWhileTheClientIsNotRead(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	const hold, release, pong = beat(-1), beat(-2), beat(-3)
	for name, steps := range map[string][]struct {
		ms   int
		want beat
	}{
		"before the ping it means nothing": {{0, hold}, {299, release}, {300, beatPing}, {500, beatDead}},
		"some of the timeout":              {{300, beatPing}, {350, hold}, {400, release}, {500, beatHeld}, {549, beatEarly}, {550, beatDead}},
		"all of it, over and over":         {{300, beatPing}, {300, hold}, {500, beatHeld}, {700, beatHeld}, {800, release}, {900, beatHeld}, {1000, beatDead}},
		"since before the ping":            {{100, hold}, {300, beatPing}, {400, release}, {500, beatHeld}, {600, beatDead}},
		"then its pong is read":            {{300, beatPing}, {300, hold}, {500, beatHeld}, {600, release}, {600, pong}, {700, beatEarly}, {900, beatPing}, {1100, beatDead}},
	} {
		h := heartbeat{interval: 300 * time.Millisecond, timeout: 200 * time.Millisecond}
		h.alive(start)
		for _, step := range steps {
			switch step.want {
			case hold:
				h.hold(at(step.ms))
			case release:
				h.release(at(step.ms))
			case pong:
				h.alive(at(step.ms))
			default:
				dead := h.dead(at(step.ms))
				if got := h.fired(at(step.ms)); got != step.want || dead != (got == beatDead) {
					t.Errorf("%s: fired at %d ms = %v, dead %v, want %v", name, step.ms, got, dead, step.want)
				}
			}
		}
	}
}

func TestReasonsAreNamedAsTheOfficialServerNamesThem(t *testing.T) {
	for r, want := range map[Reason][2]string{
		ReasonTransportClose:    {"transport close", "transport close"},
		ReasonTransportError:    {"transport error", "transport error"},
		ReasonPingTimeout:       {"ping timeout", "ping timeout"},
		ReasonParseError:        {"parse error", "parse error"},
		ReasonForcedClose:       {"forced close", "forced close"},
		ReasonForcedServerClose: {"forced server close", "forced server close"},
		ReasonShutdown:          {"server shutting down", "server shutting down"},
		ReasonSlow:              {"slow client", "transport error"},
		ReasonTooBig:            {"message too big", "transport error"},
		ReasonInvalidText:       {"invalid text", "transport error"},
		ReasonPanic:             {"internal error", "transport error"},
		ReasonMoved:             {"moved", "moved"},
		0:                       {"unknown", "unknown"},
		reasonEnd:               {"unknown", "unknown"},
	} {
		if got := [2]string{r.String(), r.Official()}; got != want {
			t.Errorf("Reason %d: %q, want %q", r, got, want)
		}
	}
}

func TestEveryCauseOfAWebSocketHasItsReason(t *testing.T) {
	for cause, want := range map[ws.Cause]Reason{
		ws.CauseLost:        ReasonTransportClose,
		ws.CauseBreach:      ReasonTransportError,
		ws.CauseSlow:        ReasonSlow,
		ws.CauseTooBig:      ReasonTooBig,
		ws.CauseInvalidText: ReasonInvalidText,
		ws.CausePanic:       ReasonPanic,
		ws.CauseGoodbye:     ReasonTransportClose,
	} {
		if got := causes[cause]; got != want {
			t.Errorf("cause %d: %v, want %v", cause, got, want)
		}
	}
	for cause := ws.Cause(1); cause < ws.CauseEnd; cause++ {
		if !causes[cause].valid() {
			t.Errorf("cause %d has no reason", cause)
		}
	}
}

func TestValidateNamesWhatIsWrong(t *testing.T) {
	for name, cfg := range map[string]Config{
		"negative":          {PingInterval: -1},
		"not a millisecond": {PingTimeout: time.Microsecond},
		"fraction":          {UpgradeTimeout: 1500 * time.Microsecond},
		"payload":           {MaxPayload: -1},
		"bytes":             {QueueBytes: -1},
		"groups":            {QueueGroups: -1},
		"transport":         {Transports: []string{"carrier pigeon"}},
	} {
		if err := cfg.Validate(); err == nil {
			t.Errorf("%s: %+v is valid", name, cfg)
		}
	}
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the zero Config: %v", err)
	}
}

// The timer may be late, as others are served first: the session is as dead.
func TestPollAfterThePingTimeoutFindsNoSession(t *testing.T) {
	for late, want := range map[time.Duration]error{-time.Minute: nil, 0: codeUnknownSID, time.Minute: codeUnknownSID} {
		s := NewServer(Config{Logger: slog.New(slog.DiscardHandler)}, nil)
		p := &polling{opened: make(chan struct{})}
		close(p.opened)
		p.socket = newSocket(s, "sid", ws.Memo{}, p)
		p.changed.L = &p.socket.mu
		s.roster.Enter() // for p.close
		p.socket.heartbeat = heartbeat{awaited: true, due: time.Now().Add(-late)}
		if err := p.admitGet(&poll{}); err != want {
			t.Errorf("%v after the ping timeout: %v, want %v", late, err, want)
		}
	}
}

func TestHeartbeatByTheClientHasNoPingOfOurs(t *testing.T) {
	start := time.Unix(1000, 0)
	h := heartbeat{interval: 500 * time.Millisecond, timeout: 200 * time.Millisecond, byClient: true}
	h.alive(start)
	h.alive(start.Add(100 * time.Millisecond))
	for after, want := range map[time.Duration]beat{599 * time.Millisecond: beatEarly, 600 * time.Millisecond: beatDead} {
		now := start.Add(after)
		if got := h.fired(now); got != want || h.dead(now) != (want == beatDead) {
			t.Errorf("after %v: %v, dead %v", after, got, h.dead(now))
		}
	}

	now := start.Add(time.Second)
	h.alive(now)
	h.hold(now.Add(300 * time.Millisecond))
	if got := h.fired(now.Add(500 * time.Millisecond)); got != beatHeld {
		t.Errorf("while we do not read: %v, want beatHeld", got)
	}
	h.release(now.Add(600 * time.Millisecond))
	h.alive(now.Add(600 * time.Millisecond)) // the ping that was behind
	if got := h.fired(now.Add(1100 * time.Millisecond)); got != beatDead {
		t.Errorf("an interval after the last ping: %v, want beatDead", got)
	}
}

// Take of a session that has just left polling waits for the answer to a poll: a
// shard must leave that to the writer.
func TestNobodyWritesToAWebSocketWhoseTakeWaits(t *testing.T) {
	conn := &ws.Conn{}
	u := &upgrade{webSocket: webSocket{conn: conn}, polling: &polling{writing: &poll{}}}
	if u.websocket() != nil {
		t.Error("there is one while an answer is on its way")
	}
	u.polling.writing = nil
	if u.websocket() != conn {
		t.Error("there is none afterwards")
	}
}
