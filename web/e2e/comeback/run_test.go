//go:build unix

package comeback

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// number is a setting from the environment.
func number(t *testing.T, name string, standard int) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv(name), strconv.Itoa(standard)))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestKilledNodesCostNoClientAMessage is make torture SCENARIO=recovery: for MESHRT_TORTURE a
// node of three is killed every 20 s, and started again after 2 s, under 300 clients in 30 rooms
// that publish 500 messages a second. PEER=socketio does the same to Socket.IO. With FAULT=restart
// the nodes are restarted with SIGTERM, each when the one before is ready: see restarts. The balancer
// then leaves out nodes that are unready; BALANCER=blind has it ask all. With FAULT=cut the nodes
// live, and all connections to one end every 10 s. TWICE is how many messages may
// come twice when nodes are killed. With BREAK, see comeback.mjs, ten clients do what is not promised: the
// run passes when that is noticed.
func TestKilledNodesCostNoClientAMessage(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("MESHRT_TORTURE"))
	if os.Getenv("SCENARIO") != "recovery" || err != nil {
		t.Skip("make torture SCENARIO=recovery T=2m runs this")
	}
	const window, rooms = time.Minute, 30
	fault := cmp.Or(os.Getenv("FAULT"), "kill")
	faults := map[string]func(*testing.T, []*server, *balancer, time.Duration, uint64) []span{"kill": kills, "restart": restarts, "cut": cuts}[fault]
	if faults == nil {
		t.Fatalf("FAULT is %q, want kill, restart or cut", fault)
	}
	rate := number(t, "RATE", 500)
	name, transports, nodes := "meshrt", []string(nil), []*server(nil)
	if os.Getenv("PEER") == "socketio" {
		// Over polling its nodes need a balancer that is sticky.
		name, transports = "Socket.IO, Redis streams", []string{"websocket"}
		nodes = socketIONodes(t, window, 2*rate*int(window/time.Second))
	} else {
		program, err := filepath.Abs(cmp.Or(os.Getenv("MESHRT"), "../../../bin/meshrt"))
		if err != nil {
			t.Fatal(err)
		}
		nodes = meshrtNodes(t, program, window, drain)
	}
	var backends []string
	for _, n := range nodes {
		n.start()
		backends = append(backends, n.http)
	}
	for _, n := range nodes {
		n.await(30 * time.Second)
	}
	watchRefusals(t, nodes)
	h := newHistory(number(t, "CLIENTS", 300), rooms, window)
	b := startBalancer(t, backends)
	if fault == "restart" && os.Getenv("BALANCER") != "blind" {
		b.ask(t, nodes)
	}
	c := startCrowd(t, h, b.url(), 3, rate, transports)
	settle(t, c, "at the start")
	c.tell("start")
	done := faults(t, nodes, b, length, uint64(number(t, "SEED", 1)))
	c.tell("stop")
	settle(t, c, "at the end")
	c.calm()
	c.end()
	v := c.h.judge()
	v.rounds(c.h, done)
	v.refusals, v.allowed = allRefusals(nodes), number(t, "TWICE", 0)
	report(t, c, v, v.table(name, fault, len(done)))
	if name != "meshrt" {
		return // it promises less
	}
	problems := append(v.problems, v.broken(fault)...)
	if os.Getenv("BREAK") != "" {
		noticed(t, v, problems)
		return
	}
	for _, p := range problems {
		t.Error(p)
	}
}

// settle waits until all clients are members. Those that never are, the verdict tells of.
func settle(t *testing.T, c *crowd, when string) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for {
		members, away := c.state()
		if members == len(c.h.clients) {
			return
		}
		if time.Now().After(end) {
			t.Errorf("%s %d clients are members and %d have no connection after a minute", when, members, away)
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// kills ends nodes with SIGKILL, one at a time.
func kills(t *testing.T, nodes []*server, _ *balancer, length time.Duration, seed uint64) (done []span) {
	t.Helper()
	const every, back = 20 * time.Second, 2 * time.Second
	chance := rand.New(rand.NewPCG(seed, 0))
	end := time.Now().Add(length)
	time.Sleep(every / 4)
	for time.Until(end) > every/2 {
		began := time.Now()
		n := nodes[chance.IntN(len(nodes))]
		n.kill()
		t.Logf("%s killed", n.name)
		time.Sleep(back)
		n.start()
		n.await(30 * time.Second)
		t.Logf("%s is back %v after", n.name, time.Since(began).Round(time.Millisecond))
		time.Sleep(min(every-time.Since(began), time.Until(end)))
		done = append(done, span{began.UnixMilli(), time.Now().UnixMilli()})
	}
	return done
}

// cuts ends all connections of one node at a time, which lives.
func cuts(t *testing.T, nodes []*server, b *balancer, length time.Duration, seed uint64) (done []span) {
	t.Helper()
	const every = 10 * time.Second
	chance := rand.New(rand.NewPCG(seed, 0))
	end := time.Now().Add(length)
	time.Sleep(every / 2)
	for time.Until(end) > every/2 {
		began := time.Now()
		b.cut(chance.IntN(len(nodes)))
		time.Sleep(min(every, time.Until(end)))
		done = append(done, span{began.UnixMilli(), time.Now().UnixMilli()})
	}
	return done
}

const (
	drain = 8 * time.Second // the nodes' -drain: half of it is for the last clients to go
	// calm is what follows a restart: clients come back after 1.5 s at most, and after 3 s when the first
	// node that they ask is the one that is ending.
	calm = 5 * time.Second
)

// restarts is rolling restarts of the whole cluster, one after the other, the last of which begins before
// length is over and is done to its end: each node is sent SIGTERM, is started again when it has ended, and
// the next follows when it is ready.
func restarts(t *testing.T, nodes []*server, _ *balancer, length time.Duration, _ uint64) (done []span) {
	t.Helper()
	end := time.Now().Add(length)
	time.Sleep(calm)
	for len(done) == 0 || time.Now().Before(end) {
		round := time.Now()
		for _, n := range nodes {
			began := time.Now()
			n.stop(drain + 20*time.Second)
			ended := time.Since(began).Round(time.Millisecond)
			n.start()
			n.await(30 * time.Second)
			t.Logf("%s ended %v after SIGTERM, and is ready %v after", n.name, ended, time.Since(began).Round(time.Millisecond))
		}
		time.Sleep(calm)
		done = append(done, span{round.UnixMilli(), time.Now().UnixMilli()})
	}
	return done
}

// report prints what a run has shown.
func report(t *testing.T, c *crowd, v *verdict, table string) {
	t.Helper()
	text := table
	if reasons := v.reasons(); reasons != "" {
		text += "\n" + reasons
	}
	fmt.Print("\n" + text)
	if file := os.Getenv("TABLE"); file != "" {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
	if len(c.refused) > 0 {
		t.Logf("messages that were not acknowledged: %v", c.refused)
	}
	if len(c.errors) > 0 {
		t.Errorf("clients were refused for good, though nodes only ended: %v", c.errors)
	}
}

// noticed holds that the judge has seen what clients broke on purpose, and that it is that.
func noticed(t *testing.T, v *verdict, problems []string) {
	t.Helper()
	for _, p := range problems {
		t.Log(p)
	}
	seen, known := map[string]int{"drop": v.lost, "double": v.twiceUnasked, "reorder": v.reordered, "claim": v.lost}[os.Getenv("BREAK")]
	if !known || seen == 0 || len(problems) == 0 {
		t.Errorf("BREAK=%s was not noticed: %d problems", os.Getenv("BREAK"), len(problems))
	}
}
