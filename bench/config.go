package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meshrt/meshrt/bench/swarm"
)

// The scenarios.
const (
	Fanout  = "fanout"  // one room
	Rooms   = "rooms"   // many rooms
	Hop     = "hop"     // one publisher, one subscriber on the next URL
	Idle    = "idle"    // connections that only stay
	Connect = "connect" // a storm of connections
	Ramp    = "ramp"    // fanout, faster and faster
)

// Scenarios are their names.
var Scenarios = []string{Fanout, Rooms, Hop, Idle, Connect, Ramp}

// The protocols.
const (
	Meshrt   = "meshrt"   // Socket.IO, with the verbs of meshrt
	SocketIO = "socketio" // Socket.IO, with verbs of names that Config tells
	Plain    = "plain"    // the plain websocket of meshrt
	NATS     = "nats"     // core NATS over bare TCP
)

// Protocols are their names.
var Protocols = []string{Meshrt, SocketIO, Plain, NATS}

// Limits of a Config.
const (
	// MaxSize limits a message, in bytes: what Socket.IO servers take by default.
	MaxSize = 1_000_000 - 1_000
	// MaxRate limits the messages or connections a second.
	MaxRate = 10_000_000
	// MaxDuration limits each phase of a run: stamps and histograms hold more.
	MaxDuration = time.Hour
	// maxTallies limits the pairs of a client and a stream that it gets, 32 bytes each.
	maxTallies = 8_000_000
	maxWindow  = 1_000_000
	maxURLs    = 1024
	maxJoins   = 10_000
	maxPIDs    = 1024
)

// Config is what a run is to do. Defaults has values for all but URLs.
type Config struct {
	Scenario string
	URLs     []string // clients are spread over them round robin
	Protocol string
	// Names of the events by which a client joins a room, (room) with an ack, and
	// publishes, (room, event, text). Other than "join" and "publish" for SocketIO only.
	Join, Publish string

	Clients    int // that get messages, in Rooms: of each room
	Rooms      int
	Joins      int // rooms that each client of Rooms joins; Rooms is a multiple
	Slow       int // further clients of Fanout that read nothing once they joined; not counted
	Publishers int
	Rate       float64 // messages a second of all publishers, in Connect connections; in Ramp the first
	Unlimited  bool    // in place of Rate, Hop only: Window messages are on their way at any time
	Window     int
	Size       int // of a message, bytes

	Warmup         time.Duration // before what is measured
	Duration       time.Duration // that is measured, in Ramp: of each step
	Tail           time.Duration // without a message at the end until what is missing is lost
	ConnectTimeout time.Duration // for all clients to join, and in Connect for each

	Step  float64       // Ramp: the factor between two rates
	Limit time.Duration // Ramp: how high p99 may be
	PIDs  []int         // processes of the servers, for their CPU time and memory; Linux only
	Loops int           // threads that read
}

// Defaults is a Config that lacks only URLs.
func Defaults(scenario string) Config {
	c := Config{Scenario: scenario, Protocol: Meshrt, Join: "join", Publish: "publish", Clients: 1000, Rooms: 1, Joins: 1, Publishers: 1, Rate: 10,
		Window: 1000, Size: 128, Warmup: 2 * time.Second, Duration: 10 * time.Second, Tail: 5 * time.Second, ConnectTimeout: time.Minute,
		Step: 1.25, Limit: 250 * time.Millisecond, Loops: 1}
	switch scenario {
	case Rooms:
		c.Clients, c.Rooms, c.Publishers, c.Rate = 10, 100, 10, 1000
	case Hop:
		c.Clients, c.Rate = 1, 100
	case Connect:
		c.Rate, c.Publishers = 200, 0
	case Idle:
		c.Publishers = 0
	}
	return c
}

// Validate tells what is wrong with c, in one sentence that names the flag.
func (c Config) Validate() error {
	if !slices.Contains(Scenarios, c.Scenario) {
		return fmt.Errorf("scenario %q: want %s", c.Scenario, strings.Join(Scenarios, ", "))
	}
	if !slices.Contains(Protocols, c.Protocol) {
		return fmt.Errorf("-protocol %q: want %s", c.Protocol, strings.Join(Protocols, ", "))
	}
	for _, check := range []func() error{c.validateClients, c.validateMessages, c.validateTimes} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c Config) validateClients() error {
	if n := len(c.URLs); n == 0 || n > maxURLs {
		return fmt.Errorf("-url: want 1 to %d servers, not %d", maxURLs, n)
	}
	for _, u := range c.URLs {
		if err := swarm.CheckURL(u); err != nil {
			return fmt.Errorf("-%w", err)
		}
	}
	if len(c.PIDs) > maxPIDs {
		return fmt.Errorf("-pid: want at most %d, not %d", maxPIDs, len(c.PIDs))
	}
	silent := c.Scenario == Idle || c.Scenario == Connect
	switch {
	case c.Clients < 1 || c.Clients > swarm.MaxConns || c.Rooms < 1 || c.Rooms > swarm.MaxConns || c.Clients*c.Rooms > maxTallies:
		return fmt.Errorf("-clients %d, -rooms %d: want at least 1 of each, and at most %d in all", c.Clients, c.Rooms, maxTallies)
	case c.Joins < 1 || c.Joins > maxJoins || c.Rooms%c.Joins != 0:
		return fmt.Errorf("-joins %d: want 1 to %d, and -rooms a multiple", c.Joins, maxJoins)
	case c.Slow < 0 || c.Slow > 0 && c.Scenario != Fanout:
		return fmt.Errorf("-slow %d: only for fanout", c.Slow)
	case c.Rooms > 1 && c.Scenario != Rooms:
		return fmt.Errorf("-rooms: scenario %s has one", c.Scenario)
	case c.Publishers < 0 || c.Publishers > swarm.MaxConns || c.Slow > swarm.MaxConns || newPlan(c).conns() > swarm.MaxConns:
		return fmt.Errorf("-clients %d, -rooms %d, -publishers %d, -slow %d: want at most %d connections in all", c.Clients, c.Rooms, c.Publishers, c.Slow, swarm.MaxConns)
	case silent != (c.Publishers == 0):
		return fmt.Errorf("-publishers %d: idle and connect have none, the others at least one", c.Publishers)
	case c.Scenario == Rooms && c.Publishers > c.Rooms:
		return fmt.Errorf("-publishers %d: want at most one for each of %d rooms", c.Publishers, c.Rooms)
	case c.Scenario == Hop && (c.Clients != 1 || c.Publishers != 1):
		return fmt.Errorf("scenario hop has one client and one publisher")
	case c.Scenario != Rooms && c.Clients*c.Publishers > maxTallies:
		return fmt.Errorf("-clients %d times -publishers %d: want at most %d", c.Clients, c.Publishers, maxTallies)
	case c.Loops < 1 || c.Loops > swarm.MaxLoops:
		return fmt.Errorf("-loops %d: want 1 to %d", c.Loops, swarm.MaxLoops)
	}
	return nil
}

func (c Config) validateMessages() error {
	switch {
	case !(c.Rate > 0 && c.Rate <= MaxRate):
		return fmt.Errorf("-rate %v: want over 0, at most %d a second", c.Rate, MaxRate)
	case c.Unlimited && c.Scenario != Hop:
		return fmt.Errorf("-rate max: only for hop; ramp finds the highest rate of a fan-out")
	case c.Window < 1 || c.Window > maxWindow:
		return fmt.Errorf("-window %d: want 1 to %d", c.Window, maxWindow)
	case c.Size < MinSize || c.Size > MaxSize:
		return fmt.Errorf("-size %d: want %d to %d bytes", c.Size, MinSize, MaxSize)
	case !(c.Step > 1 && c.Step <= 100):
		return fmt.Errorf("-step %v: want over 1, at most 100", c.Step)
	case c.Join == "" || c.Publish == "":
		return fmt.Errorf("-join and -publish: want names of events")
	case c.Protocol != SocketIO && (c.Join != "join" || c.Publish != "publish"):
		return fmt.Errorf("-join and -publish: only with -protocol socketio")
	}
	return nil
}

func (c Config) validateTimes() error {
	for _, t := range []struct {
		name  string
		value time.Duration
		least time.Duration
	}{{"warmup", c.Warmup, 0}, {"duration", c.Duration, 100 * time.Millisecond}, {"tail", c.Tail, 100 * time.Millisecond},
		{"connect-timeout", c.ConnectTimeout, time.Millisecond}, {"limit", c.Limit, time.Millisecond}} {
		if t.value < t.least || t.value > MaxDuration {
			return fmt.Errorf("-%s %v: want %v to %v", t.name, t.value, t.least, MaxDuration)
		}
	}
	return nil
}
