package web

import (
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/webtest"
)

// movingClient is a client on polling that takes a websocket at another node, as the
// official one does. All that it is told goes into got, over whatever way.
type movingClient struct {
	*poller
	r     *rand.Rand
	boxes []*box // that it polls through

	mu  sync.Mutex
	got []string // packets; attachments as "binary:" and hexadecimal digits
}

func (c *movingClient) at() *box { return c.boxes[c.r.IntN(len(c.boxes))] }

func (c *movingClient) took(packets ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, packets...)
}

func (c *movingClient) has(packet string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.got {
		if p == packet {
			return true
		}
	}
	return false
}

// poll polls until stop, and the last poll has returned.
func (c *movingClient) poll(stop *atomic.Bool, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	for !stop.Load() {
		res, err := c.boxes[r.IntN(len(c.boxes))].clients.Client.Get("http://meshrt.test" + c.query)
		if err != nil {
			return
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != 200 {
			c.took(fmt.Sprintf("poll: %d %s %v", res.StatusCode, body, err))
			return
		}
		for p := range strings.SplitSeq(string(body), "\x1e") {
			if text, binary := strings.CutPrefix(p, "b"); binary {
				raw, _ := base64.StdEncoding.DecodeString(text)
				p = fmt.Sprintf("binary:%x", raw)
			}
			c.took(p)
		}
	}
}

// read reads the websocket until it ends.
func (c *movingClient) read(ws *webtest.Conn) {
	for {
		p, err := ws.Next()
		if err != nil {
			c.took("end")
			return
		}
		if p == "2" {
			ws.Send("3")
		}
		c.took(p)
	}
}

// wait waits for a packet.
func (c *movingClient) wait(packet string) {
	for range 1000 {
		if c.has(packet) || c.has("end") {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	c.t.Errorf("no %s", packet)
}

var priorities = [...]node.Priority{node.High, node.Normal, node.Low}

// publisher is one order of messages: of a node to a room, in a priority. Every third
// message has an attachment.
type publisher struct {
	at       *box
	room     string
	priority node.Priority
	name     string
	next     atomic.Int64
}

func (p *publisher) run(stop *atomic.Bool, pause time.Duration) {
	for !stop.Load() {
		k := int(p.next.Add(1)) - 1
		args := []any{k}
		if k%3 == 0 {
			args = append(args, []byte(fmt.Sprint(p.name, k)))
		}
		p.at.node.In("/").To(p.room).Priority(p.priority).Emit(p.name, args...)
		time.Sleep(pause)
	}
}

var eventPacket = regexp.MustCompile(`^4(?:2|51-)\["(\w+)",(\d+)`)

// heard are the numbers that came of each publisher, in order. Attachments must follow
// their event.
func (c *movingClient) heard() map[string][]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	numbers := map[string][]int{}
	for i, p := range c.got {
		m := eventPacket.FindStringSubmatch(p)
		if m == nil {
			continue
		}
		k, _ := strconv.Atoi(m[2])
		numbers[m[1]] = append(numbers[m[1]], k)
		if want := fmt.Sprintf("binary:%x", m[1]+m[2]); strings.HasPrefix(p, "451-") && (i+1 == len(c.got) || c.got[i+1] != want) {
			c.t.Errorf("%s is not followed by its attachment", p)
		}
	}
	return numbers
}

// G1, G2 and G3 for a client that moves, whoever publishes, and for those who hear it.
func TestClientThatMovesHearsAllInOrder(t *testing.T) {
	seeds := uint64(9)
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			onMovers(t, Config{}, func(t *testing.T, b []*box) { moveOnce(t, b, seed) })
		})
	}
}

func moveOnce(t *testing.T, b []*box, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	for _, x := range b {
		for _, y := range b {
			x.network.SetDelay(x.host, y.host, time.Duration(r.IntN(80))*time.Millisecond)
		}
	}
	breaks := seed%3 == 0
	c := &movingClient{poller: open(t, b[0], b[0]), r: r, boxes: b}
	if breaks { // what breaks is the links, not the way of polls
		c.boxes = b[:1]
	}
	member := &movingClient{poller: &poller{t: t}}
	ear := b[2].clients.Dial("/socket.io/?EIO=4&transport=websocket")
	go member.read(ear)
	ear.Send("40", `421["join","q"]`)
	member.wait(`431[{"ok":true}]`)

	var polls, all sync.WaitGroup
	var stopPolls, stop atomic.Bool
	polls.Go(func() { c.poll(&stopPolls, seed) })
	c.post(c.at(), `421["join","r"]`)
	c.wait(`431[{"ok":true}]`)
	var pubs []*publisher
	for i, x := range b {
		for _, room := range []string{"r", "s"} {
			for _, prio := range priorities {
				p := &publisher{at: x, room: room, priority: prio, name: fmt.Sprint(room, i) + prio.String()}
				pubs = append(pubs, p)
				pause := time.Duration(2+r.IntN(30)) * time.Millisecond
				all.Go(func() { p.run(&stop, pause) })
			}
		}
	}

	said := 0
	say := func(send func(packet string)) {
		send(fmt.Sprintf(`42["publish","q","m",%d]`, said))
		said++
	}
	for range r.IntN(20) {
		say(func(packet string) { c.post(c.at(), packet) })
		time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
	}
	if r.IntN(2) == 0 { // in force, or on its way, when the client moves
		c.post(c.at(), `427["join","late"]`)
	}
	if breaks {
		from, to := b[r.IntN(3)], b[r.IntN(3)]
		time.AfterFunc(time.Duration(r.IntN(300))*time.Millisecond, func() { from.host.Reset(to.host) })
	}
	ws := c.probe(b[1+r.IntN(2)])
	stopPolls.Store(true)
	polls.Wait()
	ws.Send("5", `422["join","s"]`)
	go c.read(ws)
	for range 10 {
		say(func(packet string) { ws.Send(packet) })
	}
	c.wait(`432[{"ok":true}]`)
	from := map[string]int{}
	for _, p := range pubs {
		from[p.name] = int(p.next.Load())
		if p.room == "r" {
			from[p.name] = 0
		}
	}
	time.Sleep(time.Duration(r.IntN(500)) * time.Millisecond)
	stop.Store(true)
	all.Wait()
	time.Sleep(5 * time.Second)

	lost := c.has("end")
	if lost && !breaks {
		t.Fatalf("lost: %q", c.got[len(c.got)-3:])
	}
	numbers := c.heard()
	for _, p := range pubs {
		checkRun(t, p.name, numbers[p.name], from[p.name], int(p.next.Load()), lost)
	}
	checkRun(t, "m", member.heard()["m"], 0, said, lost)
	ws.Close()
	ear.Close()
	time.Sleep(time.Minute)
	for i, x := range b {
		if left := openSessions(x); left != "0 polling, 0 websocket, 0 sessions" || x.node.Stats().Rooms != 0 {
			t.Errorf("left behind on node %d: %s, %d rooms", i, left, x.node.Stats().Rooms)
		}
		if topics := x.node.Cluster().Stats().Topics; topics != 0 {
			t.Errorf("node %d is interested in %d topics", i, topics)
		}
	}
}

// checkRun wants numbers that rise by one, from at most first up to but not end. Of a
// client that is lost the rest may be missing.
func checkRun(t *testing.T, name string, got []int, first, end int, lost bool) {
	t.Helper()
	for i := 1; i < len(got); i++ {
		if got[i] != got[i-1]+1 {
			t.Errorf("%s: %d follows %d", name, got[i], got[i-1])
			return
		}
	}
	switch {
	case lost || first == end && len(got) == 0:
	case len(got) == 0 || got[0] > first || got[len(got)-1] != end-1:
		t.Errorf("%s: got %v, want %d to %d", name, got, first, end-1)
	}
}
