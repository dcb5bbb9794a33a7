package comeback

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// message names what a client has published: by which client, on which of its
// connections, and its number there.
type message struct{ from, epoch, n int }

// Times are milliseconds of one clock.
type (
	// published is a message; acked is 0 while nobody has acknowledged it.
	published struct{ at, acked int64 }

	// receipt is a message that came to a client.
	receipt struct {
		m  message
		at int64
	}

	// absence is the time without a connection: until is 0 for a client that did not come
	// back, joined is when one that was not recovered was a member again. One that had no secret could
	// not be recovered: its session was none that is kept.
	absence struct {
		from, until, joined int64
		recovered, secret   bool
	}

	// client is what happened to one.
	client struct {
		connects int
		first    int64 // when it was a member first
		receipts []receipt
		absences []absence
	}
)

// history is a run.
type history struct {
	rooms   int
	window  time.Duration
	sent    map[message]*published
	clients []client
}

func newHistory(clients, rooms int, window time.Duration) *history {
	return &history{rooms: rooms, window: window, sent: map[message]*published{}, clients: make([]client, clients)}
}

// connected: a client is there, for the first time or again.
func (h *history) connected(i int, at int64, recovered, secret bool) {
	c := &h.clients[i]
	if c.connects++; c.away() {
		a := &c.absences[len(c.absences)-1]
		a.until, a.recovered, a.secret = at, recovered, secret
	}
}

// joined: a client that is new is a member of its room.
func (h *history) joined(i int, at int64) {
	c := &h.clients[i]
	if c.first == 0 {
		c.first = at
	}
	for k := range c.absences {
		if a := &c.absences[k]; !a.recovered && a.joined == 0 {
			a.joined = at
		}
	}
}

// lost: a client has no connection any more. The official client says so again when it loses
// the next one before it was connected.
func (h *history) lost(i int, at int64) {
	if c := &h.clients[i]; !c.away() {
		c.absences = append(c.absences, absence{from: at})
	}
}

// away tells whether a client has no connection now.
func (c *client) away() bool {
	return len(c.absences) > 0 && c.absences[len(c.absences)-1].until == 0
}

// member tells whether a client is in its room.
func (c *client) member() bool {
	return c.first > 0 && !c.away() && !slices.ContainsFunc(c.absences, func(a absence) bool { return !a.recovered && a.joined == 0 })
}

// What a session that is not recovered may lack: messages may be late before its end, and
// its join takes effect before it is told.
const (
	lateBefore = 10_000 // milliseconds
	earlyAfter = 1_000
	// again is how long before the loss of a connection what comes twice may have come first: a
	// killed node's mirror lags behind it by 20 ms, and more on a machine that is busy.
	again = 2_000
)

// verdict is what a run has shown.
type verdict struct {
	published, acked, received int
	lost, reordered, foreign   int
	missed                     int // by clients that were told so, as they were not recovered
	twice, twiceUnasked        int // the latter without a loss of the connection that explains it
	reconnects, within         int // of clients that had been connected; those within the window
	recovered, never           int
	anew, unsecret             int            // back within the window, and not recovered; of these those that had no secret
	refusals                   map[string]int // by the nodes, by reason
	allowed                    int            // messages that may come twice, when nodes are killed
	ackTimes, outages          []int64
	worst                      float64 // the greatest share of a round's reconnects that came in one second
	problems                   []string
}

const maxProblems = 20

func (v *verdict) problem(format string, args ...any) {
	if len(v.problems) < maxProblems {
		v.problems = append(v.problems, fmt.Sprintf(format, args...))
	}
}

// judge looks at all of a run.
func (h *history) judge() *verdict {
	v := &verdict{published: len(h.sent)}
	byRoom := make([][]message, h.rooms)
	for m, p := range h.sent {
		if p.acked > 0 {
			v.acked++
			v.ackTimes = append(v.ackTimes, p.acked-p.at)
			byRoom[m.from%h.rooms] = append(byRoom[m.from%h.rooms], m)
		}
	}
	for i := range h.clients {
		c := &h.clients[i]
		h.judgeAbsences(v, i, c)
		got := h.judgeReceipts(v, i, c)
		for _, m := range byRoom[i%h.rooms] {
			at := h.sent[m].at
			switch _, has := got[m]; {
			case has || m.from == i:
			case c.owed(at):
				v.lost++
				v.problem("client %d lacks message %v, published %s, at %d", i, m, c.near(at), at)
			case c.missed(at):
				v.missed++
			}
		}
	}
	return v
}

// judgeAbsences counts who was recovered.
func (h *history) judgeAbsences(v *verdict, i int, c *client) {
	for _, a := range c.absences {
		if a.until == 0 {
			v.never++
			v.problem("client %d never came back", i)
			continue
		}
		v.reconnects++
		v.outages = append(v.outages, a.until-a.from)
		if a.until-a.from <= h.window.Milliseconds() {
			v.within++
		}
		switch {
		case a.recovered:
			v.recovered++
		case a.until-a.from > h.window.Milliseconds():
		case a.secret:
			v.anew++
		default:
			v.anew++
			v.unsecret++
		}
	}
}

// judgeReceipts looks at what came to a client, in order.
func (h *history) judgeReceipts(v *verdict, i int, c *client) (got map[message]int64) {
	got = make(map[message]int64, len(c.receipts))
	type stream struct{ from, epoch int }
	last := map[stream]int{}
	for _, r := range c.receipts {
		v.received++
		if h.sent[r.m] == nil || r.m.from%h.rooms != i%h.rooms || r.m.from == i {
			v.foreign++
			v.problem("client %d got %v, which was not for it", i, r.m)
			continue
		}
		if first, has := got[r.m]; has {
			v.twice++
			if !c.lostSoonAfter(first, r.at) {
				v.twiceUnasked++
				v.problem("client %d got %v twice, %d ms after the first time", i, r.m, r.at-first)
			}
			continue
		}
		got[r.m] = r.at
		s := stream{r.m.from, r.m.epoch}
		if before, has := last[s]; has && before > r.m.n {
			v.reordered++
			v.problem("client %d got %v behind number %d", i, r.m, before)
			continue
		}
		last[s] = r.m.n
	}
	return got
}

// owed tells whether a message of that time must have come.
func (c *client) owed(at int64) bool {
	return !slices.ContainsFunc(c.absences, func(a absence) bool {
		if a.until > 0 && a.recovered {
			return false
		}
		return at >= a.from-lateBefore && (a.joined == 0 || at <= a.joined+earlyAfter)
	})
}

// missed tells whether a client that was not recovered was away at that time.
func (c *client) missed(at int64) bool {
	return slices.ContainsFunc(c.absences, func(a absence) bool { return !a.recovered && at >= a.from && (a.joined == 0 || at <= a.joined) })
}

// lostSoonAfter tells whether the connection was lost between the two times that a message
// came, soon after the first.
func (c *client) lostSoonAfter(first, second int64) bool {
	return slices.ContainsFunc(c.absences, func(a absence) bool {
		return a.from >= first && a.from <= second && a.from-first <= again
	})
}

// near says where a time is among the client's absences.
func (c *client) near(at int64) string {
	for i, a := range c.absences {
		if at < a.until || a.until == 0 {
			return fmt.Sprintf("%d ms after the loss of its connection %d, which was for %d ms", at-a.from, i+1, a.until-a.from)
		}
	}
	return "after its last loss of a connection"
}

// share is how many of the reconnects within the window were recovered, of one.
func (v *verdict) share() float64 {
	if v.within == 0 {
		return 0
	}
	return float64(v.within-v.anew) / float64(v.within)
}

// percentile of times, 0 for none.
func percentile(times []int64, of float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.SortFunc(times, cmp.Compare[int64])
	return time.Duration(times[int(float64(len(times)-1)*of)]) * time.Millisecond
}
