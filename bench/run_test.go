package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/meshrt/meshrt/bench/swarm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a small Socket.IO server that can do what none should.
type fake struct {
	mu    sync.Mutex
	rooms map[string]map[*websocket.Conn]bool
	held  map[*websocket.Conn][]byte // for a reordering
	count map[*websocket.Conn]int

	drop, double, swap, damage, mix, hangUp int           // every so many of a member's messages; 0: none
	again                                   time.Duration // how much later a doubled message comes once more
	join                                    string
	joins                                   int
}

// serve speaks Engine.IO over one websocket.
func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("EIO") != "4" || r.URL.Query().Get("transport") != "websocket" {
		http.Error(w, "what?", http.StatusBadRequest)
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer f.leave(c)
	say(c, `0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`)
	say(c, "2")
	for {
		_, data, err := c.Read(context.Background())
		if err != nil {
			return
		}
		f.hear(c, string(data))
	}
}

func say(c *websocket.Conn, text string) {
	_ = c.Write(context.Background(), websocket.MessageText, []byte(text)) // the reader notices
}

func (f *fake) leave(c *websocket.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, members := range f.rooms {
		delete(members, c)
	}
	c.CloseNow()
}

func (f *fake) hear(c *websocket.Conn, text string) {
	if text == "40" {
		say(c, `40{"sid":"y"}`)
		return
	}
	at := strings.IndexByte(text, '[')
	if at < 0 {
		return
	}
	var args []string
	if json.Unmarshal([]byte(text[at:]), &args) != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if args[0] == "join" {
		if f.rooms[args[1]] == nil {
			f.rooms[args[1]] = map[*websocket.Conn]bool{}
		}
		f.rooms[args[1]][c] = true
		f.joins++
		if f.join != "" {
			say(c, f.join)
		}
		return
	}
	message, _ := json.Marshal(args[2:])
	for room, members := range f.rooms {
		for m := range members {
			if room == args[1] || f.mix > 0 {
				f.deliver(m, append([]byte("42"), message...))
			}
		}
	}
}

// deliver sends to one member, with what is wrong about it.
func (f *fake) deliver(c *websocket.Conn, message []byte) {
	f.count[c]++
	every := func(n int) bool { return n > 0 && f.count[c]%n == 0 }
	switch {
	case every(f.hangUp):
		c.CloseNow()
		return
	case every(f.drop):
		return
	case every(f.double):
		time.AfterFunc(f.again, func() { say(c, string(message)) })
	case every(f.damage):
		message = bytes.Replace(message, []byte("...."), []byte("..,."), 1)
	case every(f.swap):
		f.held[c] = message
		return
	}
	say(c, string(message))
	if held := f.held[c]; held != nil {
		say(c, string(held))
		f.held[c] = nil
	}
}

func (f *fake) start(t *testing.T) string {
	t.Helper()
	f.rooms, f.held, f.count = map[string]map[*websocket.Conn]bool{}, map[*websocket.Conn][]byte{}, map[*websocket.Conn]int{}
	server := httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(server.Close)
	return server.URL
}

// small is a short run against url.
func small(scenario, url string) Config {
	c := Defaults(scenario)
	c.URLs = []string{url, url}
	c.Clients, c.Rate, c.Size = min(c.Clients, 4), 200, 60
	c.Warmup, c.Duration, c.Tail, c.ConnectTimeout = 100*time.Millisecond, 400*time.Millisecond, time.Second, 5*time.Second
	if scenario == Rooms {
		c.Rooms, c.Publishers = 5, 3
	}
	return c
}

func mustRun(t *testing.T, c Config) *Report {
	t.Helper()
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestFaultsOfAServerAreCountedExactly: 100 messages to each of 4 clients, of
// which the server spoils every tenth.
func TestFaultsOfAServerAreCountedExactly(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		server *fake
		want   Messages
		gone   int64
	}{
		{"honest", &fake{}, Messages{Delivered: 400}, 0},
		{"drops", &fake{drop: 10}, Messages{Delivered: 360, Lost: 40}, 0},
		{"doubles", &fake{double: 10, again: time.Millisecond}, Messages{Delivered: 400, Doubled: 40}, 0},
		{"doubles late", &fake{double: 10, again: 100 * time.Millisecond}, Messages{Delivered: 400, Doubled: 40}, 0}, // the last ones too
		{"swaps", &fake{swap: 10}, Messages{Delivered: 396, Lost: 4, OutOfOrder: 36}, 0},                             // it holds the last ones
		{"damages", &fake{damage: 10}, Messages{Delivered: 360, Lost: 40, Damaged: 40}, 0},
		{"hangs up", &fake{hangUp: 31}, Messages{Delivered: 120, Lost: 280}, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.server.join = "430[]"
			r := mustRun(t, small(Fanout, tt.server.start(t)))
			tt.want.Sent, tt.want.Expected = 100, 400
			if *r.Messages != tt.want || r.Disconnected != tt.gone {
				t.Errorf("got %+v, %d disconnected, want %+v, %d", *r.Messages, r.Disconnected, tt.want, tt.gone)
			}
			if faults := r.Faults(); (faults == nil) != (tt.name == "honest") {
				t.Errorf("faults: %v", faults)
			}
		})
	}
}

func TestMessagesOfOtherRoomsAreStrays(t *testing.T) {
	t.Parallel()
	f := fake{join: "430[]", mix: 1}
	r := mustRun(t, small(Rooms, f.start(t)))
	want := Messages{Sent: 100, Expected: 400, Delivered: 400, Stray: 1600}
	if *r.Messages != want {
		t.Errorf("got %+v, want %+v", *r.Messages, want)
	}
}

// TestClientsOfSeveralRooms get all that is sent to each of them.
func TestClientsOfSeveralRooms(t *testing.T) {
	t.Parallel()
	c := small(Rooms, (&fake{join: "430[]"}).start(t))
	c.Rooms, c.Joins = 12, 3
	r := mustRun(t, c)
	if m := *r.Messages; m != (Messages{Sent: 100, Expected: 400, Delivered: 400}) || r.Clients != 16 || r.Joined != 19 {
		t.Errorf("got %+v of %d clients, %d joined", m, r.Clients, r.Joined)
	}
}

// TestSlowClientsAreNotCounted: neither what they do not get nor that they are cut.
func TestSlowClientsAreNotCounted(t *testing.T) {
	t.Parallel()
	for _, f := range []*fake{{}, {hangUp: 200}} {
		f.join = "430[]"
		c := small(Fanout, f.start(t))
		c.Slow = 2
		r := mustRun(t, c)
		if m := *r.Messages; m != (Messages{Sent: 100, Expected: 400, Delivered: 400}) || r.Joined != 7 || r.Faults() != nil {
			t.Errorf("got %+v, %d joined, faults %v", m, r.Joined, r.Faults())
		}
	}
}

func TestEachScenarioOfAnHonestServer(t *testing.T) {
	t.Parallel()
	for _, scenario := range Scenarios {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			f := fake{join: `430[{"ok":true}]`}
			c := small(scenario, f.start(t))
			if scenario == Ramp {
				c.Step, c.Rate = 100, 100 // the second or third is too much for a fake
				c.Duration, c.Limit = 100*time.Millisecond, 40*time.Millisecond
			}
			if runtime.GOOS == "linux" {
				c.PIDs = []int{os.Getpid()}
			}
			checkHonest(t, c, mustRun(t, c))
		})
	}
}

func checkHonest(t *testing.T, c Config, r *Report) {
	t.Helper()
	if err := r.Faults(); err != nil && c.Scenario != Ramp {
		t.Errorf("%v: %s", err, r.FirstError)
	}
	if want := int64(newPlan(c).conns()); r.Joined != want {
		t.Errorf("%d joined, want %d", r.Joined, want)
	}
	var table bytes.Buffer
	if err := r.Write(&table); err != nil || !strings.HasPrefix(table.String(), "scenario") {
		t.Errorf("table %q, %v", table.String(), err)
	}
	if c.Scenario == Ramp && len(r.Steps) < 1 {
		t.Errorf("no steps:\n%s", &table)
	}
	if len(c.PIDs) > 0 && (len(r.Servers) != 1 || r.Servers[0].PSS < 1<<20) {
		t.Errorf("servers %+v", r.Servers)
	}
}

func TestClientsAreSpreadOverTheURLs(t *testing.T) {
	for _, scenario := range []string{Connect, Idle} {
		a, b := fake{join: "430[]"}, fake{join: "430[]"}
		c := small(scenario, a.start(t))
		c.URLs[1] = b.start(t)
		mustRun(t, c)
		a.mu.Lock()
		b.mu.Lock()
		if a.joins != 2 || b.joins != 2 {
			t.Errorf("%s: %d and %d clients, want 2 and 2", scenario, a.joins, b.joins)
		}
		b.mu.Unlock()
		a.mu.Unlock()
	}
}

// TestLatencyCountsFromWhenAMessageWasDue: a server that stalls for 200 ms delays
// also what is due meanwhile, which a closed loop would not notice.
func TestLatencyCountsFromWhenAMessageWasDue(t *testing.T) {
	f := fake{join: "430[]"}
	c := small(Fanout, f.start(t))
	stalled := time.AfterFunc(300*time.Millisecond, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		time.Sleep(200 * time.Millisecond) // what is tested
	})
	defer stalled.Stop()
	r := mustRun(t, c)
	if r.Latency.Max < 100 || r.Latency.P90 < 50 {
		t.Errorf("after a stall of 200 ms in 400 ms: %v, want p90 over 50 ms", r.Latency)
	}
}

// TestGeneratorThatIsLateSaysSo: what it sends too late counts from when it was due.
func TestGeneratorThatIsLateSaysSo(t *testing.T) {
	f := fake{join: "430[]"}
	c := small(Fanout, f.start(t))
	w := newCrowd(c, newPlan(c), 1)
	s, err := swarm.New(5, 1, w)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{config: c, plan: newPlan(c), crowd: w, swarm: s, report: newReport(c)}
	target, err := swarm.ParseTarget(t.Context(), c.URLs[0], "/", "EIO=4&transport=websocket")
	if err != nil {
		t.Fatal(err)
	}
	r.targets = []swarm.Target{target}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	defer func() { end(); <-ended }()
	if err := r.connect(ctx); err != nil {
		t.Fatal(err)
	}
	const late = 300 * time.Millisecond
	start := s.Now() - int64(late)
	w.from.Store(start)
	if err := r.press.run(ctx, schedule{start, 100}, start+int64(late)); err != nil {
		t.Fatal(err)
	}
	if err := r.drain(ctx, time.Second); err != nil {
		t.Fatal(err)
	}
	got, lag := w.latencies(false), Sum(&r.press.lag)
	if got.N != 30*4 || lag.N != 30 || got.Max < late || lag.Max < late {
		t.Errorf("%d deliveries to %v, %d messages %v late, want 120 and 30, %v or more", got.N, got.Max, lag.N, lag.Max, late)
	}
}

func TestUnlimitedKeepsToTheWindow(t *testing.T) {
	f := fake{join: "430[]"}
	c := small(Hop, f.start(t))
	c.Unlimited, c.Window = true, 7
	r := mustRun(t, c)
	if r.Faults() != nil || r.Messages.Sent < 100 || r.Rate != 0 || r.SendLag != nil {
		t.Errorf("%+v, %v", r.Messages, r.Faults())
	}
}

func TestServersThatCannotBeMeasuredAreErrors(t *testing.T) {
	silent, full, free := fake{}, fake{join: `430[{"ok":false,"error":"full"}]`}, httptest.NewServer(nil)
	free.Close()
	for _, tt := range []struct{ url, want string }{
		{silent.start(t), "1 of 5 clients joined within 300ms: does the server acknowledge join?"},
		{full.start(t), `the server refuses the join: "full"`},
		{free.URL, "connection refused"},
		{free.URL + "x", "port"},
	} {
		c := small(Fanout, tt.url)
		c.ConnectTimeout = 300 * time.Millisecond
		if _, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.url, err, tt.want)
		}
	}
	busy := fake{join: full.join}
	c := small(Connect, busy.start(t))
	c.ConnectTimeout = 300 * time.Millisecond
	if r := mustRun(t, c); r.Failed != 4 || r.Faults() == nil || r.TimeToJoined.P50 != -1 {
		t.Errorf("a storm that is refused: %d failed, %v", r.Failed, r.TimeToJoined)
	}
}

func TestInterruptedRunEnds(t *testing.T) {
	f := fake{join: "430[]"}
	c := small(Fanout, f.start(t))
	c.Duration = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, c); err == nil {
		t.Error("no error")
	}
}
