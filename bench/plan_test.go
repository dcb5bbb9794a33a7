package bench

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meshrt/meshrt/bench/swarm"
)

func TestEveryStreamHasOnePublisherAndItsRoom(t *testing.T) {
	for _, tt := range []struct {
		scenario                   string
		rooms, clients, publishers int
		conns, streams             int
		joins, slow                int
	}{{Fanout, 1, 5, 3, 8, 3, 1, 0}, {Fanout, 1, 5, 3, 10, 3, 1, 2}, {Rooms, 7, 2, 3, 17, 7, 1, 0}, {Rooms, 6, 4, 3, 11, 6, 3, 0},
		{Hop, 1, 1, 1, 2, 1, 1, 0}, {Idle, 1, 4, 0, 4, 0, 1, 0}} {
		c := Defaults(tt.scenario)
		c.Joins, c.Slow = tt.joins, tt.slow
		c.Rooms, c.Clients, c.Publishers = tt.rooms, tt.clients, tt.publishers
		p := newPlan(c)
		if p.conns() != tt.conns || p.allStreams() != tt.streams {
			t.Errorf("%s: %d connections, %d streams, want %d, %d", tt.scenario, p.conns(), p.allStreams(), tt.conns, tt.streams)
		}
		members := map[int]int{}
		for id := range p.conns() {
			members[p.room(id)]++
			first, count := p.tallies(max(p.room(id), 0))
			for s := first; s < first+count; s++ {
				if first := max(p.room(id), 0); p.roomOf(s) < first || p.roomOf(s) >= first+tt.joins || p.publisher(s) >= tt.publishers {
					t.Errorf("%s: stream %d is of room %d and publisher %d", tt.scenario, s, p.roomOf(s), p.publisher(s))
				}
			}
		}
		if members[-1] != tt.publishers || members[tt.rooms-tt.joins] != tt.clients+tt.slow || len(members) > tt.rooms+1 {
			t.Errorf("%s: members %v", tt.scenario, members)
		}
	}
}

func TestSchedule(t *testing.T) {
	second := int64(time.Second)
	for _, tt := range []struct {
		rate  float64
		until int64 // after the start
		want  int64
	}{{10, 0, 0}, {10, -5, 0}, {10, 1, 1}, {10, second / 10, 1}, {10, second/10 + 1, 2}, {10, second, 10}, {3, second, 3}, {0.5, second, 1},
		{0.5, 2*second + 1, 2}, {1e7, second, 10_000_000}, {1.0 / 3, 3600 * second, 1200}} {
		s := schedule{12345, tt.rate}
		if got := s.count(s.start + tt.until); got != tt.want {
			t.Errorf("%v/s: %d are due before %d, want %d", tt.rate, got, tt.until, tt.want)
		}
	}
	// What is counted as due is due, and what is not is not.
	for _, rate := range []float64{0.7, 60, 333, 99_999.5} {
		s := schedule{99, rate}
		for _, after := range []int64{1, 1000, 16_666_666, 16_666_667, second, 7 * second / 3} {
			n := s.count(s.start + after)
			if s.at(n-1) >= s.start+after || s.at(n) < s.start+after {
				t.Errorf("%v/s: %d before %d, but they are at %d and %d", rate, n, after, s.at(n-1)-s.start, s.at(n)-s.start)
			}
		}
	}
}

func TestStamp(t *testing.T) {
	m := newStamper(0xcafe, 100)
	s := stamp{0x01020304, 0xfffffffe, 1<<62 + 7}
	text := m.append(nil, s)
	if len(text) != 100 || !bytes.HasPrefix(text, []byte("mb1.0000cafe.01020304.fffffffe.4000000000000007...")) {
		t.Errorf("the message is %q", text)
	}
	for _, tt := range []struct {
		name, in     string
		found, whole bool
	}{
		{"an event", `42["m","` + string(text) + `"]`, true, true},
		{"cut", `42["m","` + string(text), true, false},
		{"too short", `42["m","` + string(text[:99]) + `"]`, true, false},
		{"too long", `42["m","` + string(text) + `."]`, true, false},
		{"another digit", `42["m","` + strings.Replace(string(text), "cafe.0", "cafe.x", 1) + `"]`, true, false},
		{"another dot", `42["m","` + string(text[:99]) + `,"]`, true, false},
		{"another separator", `42["m","` + strings.Replace(string(text), "04.f", "04:f", 1) + `"]`, true, false},
		{"another run", `42["m","` + string(newStamper(1, 100).append(nil, s)) + `"]`, false, false},
		{"nothing", ``, false, false},
		{"a ping", `2`, false, false},
	} {
		got, found, whole := m.find([]byte(tt.in))
		if found != tt.found || whole != tt.whole || whole && got != s {
			t.Errorf("%s: %v, found %v, whole %v, want %v, %v", tt.name, got, found, whole, tt.found, tt.whole)
		}
	}
}

// FuzzStamp: whatever a server sends for a message.
func FuzzStamp(f *testing.F) {
	m := newStamper(0xcafe, MinSize+2)
	f.Add(append(m.append([]byte(`42["m","`), stamp{1, 2, 3}), `"]`...))
	f.Add([]byte("mb1.0000cafe."))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, found, whole := m.find(b)
		if whole && (!found || !bytes.Contains(b, m.append(nil, s))) {
			t.Errorf("%q is %v", b, s)
		}
	})
}

func TestMemoryOfProcesses(t *testing.T) {
	if got, err := parseRollup("00400000 [rollup]\nRss:  99 kB\nPss:       1234 kB\nPss_Dirty: 7 kB\n"); err != nil || got != 1234<<10 {
		t.Errorf("PSS %d, %v, want %d", got, err, 1234<<10)
	}
	for _, text := range []string{"", "Pss:\n", "Pss: 5 MB\n", "Pss: x kB"} {
		if _, err := parseRollup(text); err == nil {
			t.Errorf("parseRollup(%q) is no error", text)
		}
	}
}

func TestValidateNamesTheFlag(t *testing.T) {
	for _, scenario := range Scenarios {
		c := Defaults(scenario)
		c.URLs = []string{"http://127.0.0.1"}
		if err := c.Validate(); err != nil {
			t.Errorf("defaults of %s: %v", scenario, err)
		}
	}
	for _, tt := range []struct {
		scenario string
		change   func(*Config)
		want     string
	}{
		{"storm", func(*Config) {}, `scenario "storm"`},
		{Fanout, func(c *Config) { c.URLs = nil }, "-url"},
		{Fanout, func(c *Config) { c.Protocol = "sio" }, "-protocol"},
		{Fanout, func(c *Config) { c.Join = "enter" }, "-join"},
		{Fanout, func(c *Config) { c.Clients = 0 }, "-clients"},
		{Rooms, func(c *Config) { c.Clients, c.Rooms = 2000, 2000 }, "-rooms 2000"},
		{Fanout, func(c *Config) { c.Rooms = 2 }, "-rooms"},
		{Rooms, func(c *Config) { c.Clients, c.Rooms = 20_000, 2000 }, "-rooms 2000"},
		{Rooms, func(c *Config) { c.Joins = 0 }, "-joins"},
		{Rooms, func(c *Config) { c.Joins = 3 }, "-joins"},
		{Rooms, func(c *Config) { c.Rooms, c.Joins = 2*maxJoins, 2*maxJoins }, "-joins"},
		{Rooms, func(c *Config) { c.Slow = 1 }, "-slow"},
		{Fanout, func(c *Config) { c.Slow = -1 }, "-slow"},
		{Fanout, func(c *Config) { c.Slow = swarm.MaxConns }, "-slow"},
		{Fanout, func(c *Config) { c.Publishers = 0 }, "-publishers"},
		{Idle, func(c *Config) { c.Publishers = 1 }, "-publishers"},
		{Rooms, func(c *Config) { c.Publishers = c.Rooms + 1 }, "-publishers"},
		{Fanout, func(c *Config) { c.Clients, c.Publishers = 100_000, 1000 }, "-clients"},
		{Hop, func(c *Config) { c.Clients = 2 }, "hop"},
		{Fanout, func(c *Config) { c.Rate = 0 }, "-rate"},
		{Fanout, func(c *Config) { c.Rate = MaxRate + 1 }, "-rate"},
		{Fanout, func(c *Config) { c.Unlimited = true }, "-rate max"},
		{Hop, func(c *Config) { c.Window = 0 }, "-window"},
		{Fanout, func(c *Config) { c.Size = MinSize - 1 }, "-size"},
		{Fanout, func(c *Config) { c.Size = MaxSize + 1 }, "-size"},
		{Ramp, func(c *Config) { c.Step = 1 }, "-step"},
		{Fanout, func(c *Config) { c.Duration = 0 }, "-duration"},
		{Fanout, func(c *Config) { c.Warmup = -1 }, "-warmup"},
		{Fanout, func(c *Config) { c.Tail = MaxDuration + 1 }, "-tail"},
		{Fanout, func(c *Config) { c.Loops = 0 }, "-loops"},
	} {
		c := Defaults(tt.scenario)
		c.URLs = []string{"http://127.0.0.1"}
		tt.change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.scenario, err, tt.want)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		report Report
		want   string
	}{
		{Report{Messages: &Messages{Sent: 5}}, "<nil>"},
		{Report{Messages: &Messages{Lost: 1, Doubled: 2, OutOfOrder: 3, Stray: 4, Damaged: 5}, Failed: 6, Disconnected: 7},
			"1 messages lost, 2 doubled, 3 out of order, 4 stray, 5 damaged, 6 clients not joined, 7 clients disconnected"},
		{Report{Scenario: Ramp, HeldRate: 5, Messages: &Messages{Lost: 1}, Disconnected: 1}, "<nil>"},
		{Report{Scenario: Ramp, HeldRate: 5, Messages: &Messages{Doubled: 1}}, "1 doubled"},
		{Report{Scenario: Ramp}, "the first rate did not hold"},
	} {
		if got := fmt.Sprint(tt.report.Faults()); got != tt.want {
			t.Errorf("faults %q, want %q", got, tt.want)
		}
	}
}
