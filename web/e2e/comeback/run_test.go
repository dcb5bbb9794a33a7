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
// that publish 500 messages a second. PEER=socketio does the same to Socket.IO.
func TestKilledNodesCostNoClientAMessage(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("MESHRT_TORTURE"))
	if os.Getenv("SCENARIO") != "recovery" || err != nil {
		t.Skip("make torture SCENARIO=recovery T=2m runs this")
	}
	const window, rooms = time.Minute, 30
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
		nodes = meshrtNodes(t, program, window)
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
	c := startCrowd(t, h, startBalancer(t, backends).url(), 3, number(t, "RATE", 500), transports)
	settle(t, c, "at the start")
	c.tell("start")
	kills := torture(t, nodes, length, uint64(number(t, "SEED", 1)))
	c.tell("stop")
	settle(t, c, "at the end")
	time.Sleep(3 * time.Second) // what is on its way
	c.end()
	judge(t, c, name, kills)
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

// torture kills nodes, one at a time.
func torture(t *testing.T, nodes []*server, length time.Duration, seed uint64) (kills int) {
	t.Helper()
	const every, back = 20 * time.Second, 2 * time.Second
	chance := rand.New(rand.NewPCG(seed, 0))
	end := time.Now().Add(length)
	time.Sleep(every / 4)
	for ; time.Until(end) > every/2; kills++ {
		began := time.Now()
		n := nodes[chance.IntN(len(nodes))]
		n.kill()
		t.Logf("%s killed", n.name)
		time.Sleep(back)
		n.start()
		n.await(30 * time.Second)
		t.Logf("%s is back %v after", n.name, time.Since(began).Round(time.Millisecond))
		time.Sleep(min(every-time.Since(began), time.Until(end)))
	}
	return kills
}

func judge(t *testing.T, c *crowd, name string, kills int) {
	t.Helper()
	v := c.h.judge()
	text := v.table(name, kills)
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
		t.Errorf("clients were refused for good, though nodes only died: %v", c.errors)
	}
	if name != "meshrt" {
		return // it promises less
	}
	for _, p := range v.problems {
		t.Error(p)
	}
	if v.lost+v.reordered+v.foreign+v.twiceUnasked+v.never > 0 {
		t.Errorf("%d lost, %d out of order, %d for others, %d twice without a reason, %d clients that did not come back",
			v.lost, v.reordered, v.foreign, v.twiceUnasked, v.never)
	}
	if v.share() < 0.99 && kills > 0 {
		t.Errorf("%d of %d reconnects within the window were recovered, want more than 99 %%", v.recovered, v.within)
	}
}
