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
// then leaves out nodes that are unready; BALANCER=blind has it ask all.
func TestKilledNodesCostNoClientAMessage(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("MESHRT_TORTURE"))
	if os.Getenv("SCENARIO") != "recovery" || err != nil {
		t.Skip("make torture SCENARIO=recovery T=2m runs this")
	}
	const window, rooms = time.Minute, 30
	fault := cmp.Or(os.Getenv("FAULT"), "kill")
	faults := map[string]func(*testing.T, []*server, time.Duration, uint64) []span{"kill": kills, "restart": restarts}[fault]
	if faults == nil {
		t.Fatalf("FAULT is %q, want kill or restart", fault)
	}
	name, transports, nodes := "meshrt", []string(nil), []*server(nil)
	if os.Getenv("PEER") == "socketio" {
		// Over polling its nodes need a balancer that is sticky.
		name, transports = "Socket.IO, Redis streams", []string{"websocket"}
		nodes = socketIONodes(t, window)
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
	h := newHistory(number(t, "CLIENTS", 300), rooms, window)
	b := startBalancer(t, backends)
	if fault == "restart" && os.Getenv("BALANCER") != "blind" {
		b.ask(t, nodes)
	}
	c := startCrowd(t, h, b.url(), 3, number(t, "RATE", 500), transports)
	settle(t, c, "at the start")
	c.tell("start")
	done := faults(t, nodes, length, uint64(number(t, "SEED", 1)))
	c.tell("stop")
	settle(t, c, "at the end")
	time.Sleep(3 * time.Second) // what is on its way
	c.end()
	judge(t, c, name, fault, done)
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
func kills(t *testing.T, nodes []*server, length time.Duration, seed uint64) (done []span) {
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

const (
	drain = 8 * time.Second // the nodes' -drain: half of it is for the last clients to go
	// calm is what follows a restart: clients come back after 1.5 s at most, and after 3 s when the first
	// node that they ask is the one that is ending.
	calm = 5 * time.Second
)

// restarts is rolling restarts of the whole cluster, one after the other, the last of which begins before
// length is over and is done to its end: each node is sent SIGTERM, is started again when it has ended, and
// the next follows when it is ready.
func restarts(t *testing.T, nodes []*server, length time.Duration, _ uint64) (done []span) {
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

func judge(t *testing.T, c *crowd, name, fault string, faults []span) {
	t.Helper()
	v := c.h.judge()
	v.rounds(c.h, faults)
	text := v.table(name, fault, len(faults))
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
	if name != "meshrt" {
		return // it promises less
	}
	for _, p := range append(v.problems, v.broken(fault)...) {
		t.Error(p)
	}
}
