package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
)

// roamer is a client that loses its connections, and comes back to any node. It looks at
// the numbers that each node publishes: they must be without a hole for as long as it is recovered.
type roamer struct {
	*soak
	name   int
	mu     sync.Mutex
	conn   *roamerSink
	pid    string
	joined bool // and was told so
	cursor string
	at     int            // the node
	last   map[string]int // number, by publisher
	twice  map[string]int // up to these numbers they may come again: the node was killed
}

// roamerSink is one connection.
type roamerSink struct {
	r       *roamer
	session *node.Session
	broken  bool
}

type soak struct {
	t    *testing.T
	b    *lab
	dead map[int]bool

	back, fresh, again atomic.Int32 // recoveries, new sessions, messages that came twice
}

func (k *roamerSink) Deliver(d *node.Delivery) bool {
	r := k.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if k.broken || r.conn != k || d.Kind != node.KindEvent {
		return true
	}
	var m []any
	json.Unmarshal(d.Message.Payload, &m)
	from, n := m[0].(string), int(m[1].(float64))
	last, had := r.last[from]
	if d.Cursor() == "" {
		r.t.Errorf("client %d at %d got %d of %s without a cursor", r.name, r.at, n, from)
	}
	switch {
	case !had || n == last+1:
	case n <= last && n <= r.twice[from]:
		r.again.Add(1)
		r.cursor = d.Cursor()
		return true
	default:
		r.t.Errorf("%v: client %d at %d got %d of %s behind %d", time.Now(), r.name, r.at, n, from, last)
	}
	r.last[from], r.cursor = n, d.Cursor()
	return true
}

func (k *roamerSink) Flush()     {}
func (k *roamerSink) Close(bool) { k.lose() }
func (k *roamerSink) Cut()       { k.lose() }

func (k *roamerSink) lose() {
	k.r.mu.Lock()
	defer k.r.mu.Unlock()
	k.broken = true
}

// connect comes to a node that lives.
func (r *roamer) connect(ctx context.Context, i int) {
	k := &roamerSink{r: r}
	r.mu.Lock()
	r.conn, r.at = k, i
	resume := node.Resume{PID: r.pid, Cursor: r.cursor}
	r.mu.Unlock()
	n := r.b.nodes[i]
	s, err := n.Open(ctx, node.SessionConfig{Namespace: "/", Sink: &opening{k}, Affinity: n.NewAffinity(), Resume: resume})
	if err != nil {
		k.lose()
		return
	}
	r.mu.Lock()
	k.session = s
	joined := r.joined && s.Recovered()
	r.mu.Unlock()
	if !joined && s.Join(ctx, "room") == nil { // what it was not told, it asks again
		r.mu.Lock()
		defer r.mu.Unlock()
		r.joined = r.conn == k && !k.broken
	}
}

// opening is a Sink that hears of its session with KindConnect, as clients do.
type opening struct{ *roamerSink }

func (o *opening) Deliver(d *node.Delivery) bool {
	if d.Kind == node.KindConnect {
		r := o.r
		r.mu.Lock()
		if r.conn == o.roamerSink {
			if r.pid = d.Session.PID(); d.Session.Recovered() {
				r.back.Add(1)
				if !r.joined { // what came before is of no room that it is in
					r.last = map[string]int{}
				}
			} else {
				r.fresh.Add(1)
				r.last, r.twice, r.cursor = map[string]int{}, map[string]int{}, ""
				r.joined = false
			}
		}
		r.mu.Unlock()
	}
	return o.roamerSink.Deliver(d)
}

// hangUp breaks the connection; its node hears of it after a while, if at all before the client is elsewhere.
func (r *roamer) hangUp(notice time.Duration) {
	r.mu.Lock()
	k, at, session := r.conn, r.at, r.conn.session
	k.broken = true
	r.mu.Unlock()
	if session != nil && !r.dead[at] {
		time.AfterFunc(notice, func() { session.Lost("transport close") })
	}
}

// TestRoamingClientsMissNothing has clients come and go between nodes that publish all the time, while nodes
// are killed and start.
func TestRoamingClientsMissNothing(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { roam(t, seed) })
	}
}

func roam(t *testing.T, seed uint64) {
	recoveringTogether(t, 4, func(t *testing.T, b *lab) {
		x := rand.New(rand.NewPCG(seed, 1))
		k := &soak{t: t, b: b, dead: map[int]bool{}}
		var clients []*roamer
		for i := range 8 {
			r := &roamer{soak: k, name: i, last: map[string]int{}, twice: map[string]int{}}
			clients = append(clients, r)
			r.connect(t.Context(), i%4)
		}
		numbers := map[int]int{}
		var wg sync.WaitGroup
		for step := range 1500 {
			i := x.IntN(4)
			if !k.dead[i] {
				numbers[i]++
				b.nodes[i].In("/").To("room").Emit(fmt.Sprint("p", i), numbers[i])
			}
			if step == 500 {
				k.kill(int(seed)%4, clients)
			}
			if x.IntN(10) == 0 {
				r := clients[x.IntN(len(clients))]
				to := x.IntN(4)
				r.mu.Lock()
				busy := r.conn.session == nil && !r.conn.broken
				r.mu.Unlock()
				if !busy && !k.dead[to] {
					r.hangUp(time.Duration(x.IntN(200)) * time.Millisecond)
					away := time.Duration(x.IntN(300)) * time.Millisecond
					wg.Go(func() { time.Sleep(away); r.connect(t.Context(), to) })
				}
			}
			time.Sleep(time.Duration(x.IntN(20)) * time.Millisecond)
		}
		wg.Wait()
		k.finish(clients, numbers)
	})
}

// kill ends a node; its clients may get again what came in the last batch of its order.
func (k *soak) kill(i int, clients []*roamer) {
	k.dead[i] = true
	k.b.kill(i)
	for _, r := range clients {
		r.mu.Lock()
		for from, n := range r.last {
			r.twice[from] = n
		}
		if r.at == i {
			r.conn.broken = true
		}
		r.mu.Unlock()
	}
}

func (k *soak) finish(clients []*roamer, numbers map[int]int) {
	time.Sleep(15 * time.Second)
	for _, r := range clients {
		r.mu.Lock()
		broken := r.conn.broken
		r.mu.Unlock()
		if broken || k.dead[r.at] {
			to := r.name % 4
			for k.dead[to] {
				to = (to + 1) % 4
			}
			r.connect(k.t.Context(), to)
		}
	}
	for i, n := range k.b.nodes {
		if !k.dead[i] {
			numbers[i]++
			n.In("/").To("room").Emit(fmt.Sprint("p", i), numbers[i])
		}
	}
	time.Sleep(time.Second)
	synctest.Wait()
	for _, r := range clients {
		for i, n := range numbers {
			if got := r.last[fmt.Sprint("p", i)]; !k.dead[i] && got != n {
				k.t.Errorf("client %d at %d has %d of node %d, want %d", r.name, r.at, got, i, n)
			}
		}
	}
	refused := map[string]uint64{}
	for _, n := range k.b.nodes {
		for why, count := range n.Stats().Recovery.Refused {
			refused[why] += count
		}
	}
	k.t.Logf("%d recoveries, %d new sessions, %d messages twice, refused %v", k.back.Load(), k.fresh.Load(), k.again.Load(), refused)
	if k.back.Load() < 50 {
		k.t.Error("that tests nothing")
	}
}
