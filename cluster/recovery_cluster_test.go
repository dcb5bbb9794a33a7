package cluster_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// texts are n messages that are told apart.
func texts(of string, from, to int) (list []string) {
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprint(of, i))
	}
	return list
}

// mirrorOf finds who mirrors m[0], and who does not.
func mirrorOf(t *testing.T, m []*member) (mirror, other *member) {
	t.Helper()
	for i, x := range m[1:] {
		whole := false
		x.rec.drive(func() { _, whole = x.rec.x.Kept(m[0].ID()) })
		if whole {
			return x, m[2-i]
		}
	}
	t.Fatal("nobody mirrors node 1")
	return nil, nil
}

func wantGot(t *testing.T, n *recoveryNode, pid recovery.PID, want []string) {
	t.Helper()
	if got := n.session(pid).got; !slices.Equal(got, want) {
		t.Errorf("client %s at node %d got %q, want %q", pid, n.ID(), got, want)
	}
}

// TestTailOfAKilledNodeIsCompleted: what it had acknowledged reaches those whom it had not got to.
func TestTailOfAKilledNodeIsCompleted(t *testing.T) {
	recovering(t, 3, nil, func(t *testing.T, net *clustertest.Network, m []*member) {
		for i, x := range m {
			x.rec.connect(recovery.PID(fmt.Sprint(i)), "r")
		}
		time.Sleep(2 * time.Second)
		mirror, other := mirrorOf(t, m)
		m[0].rec.say("r", "a0")
		time.Sleep(time.Second)
		net.Cut(m[0].host, other.host)
		for _, text := range texts("a", 1, 10) {
			m[0].rec.say("r", text)
		}
		time.Sleep(500 * time.Millisecond)
		if copies, ok := m[0].rec.acks()[10]; !ok || copies != 1 {
			t.Errorf("%d copies, acknowledged: %v", copies, ok)
		}
		pid := func(x *member) recovery.PID { return recovery.PID(fmt.Sprint(uint64(x.ID()) - 1)) }
		wantGot(t, other.rec, pid(other), texts("a", 0, 1))
		m[0].host.Kill()
		time.Sleep(15 * time.Second)
		wantGot(t, mirror.rec, pid(mirror), texts("a", 0, 10))
		wantGot(t, other.rec, pid(other), texts("a", 0, 10))
		if !slices.Contains(other.rec.news(), "1 down") {
			t.Errorf("heard %q", other.rec.news())
		}
	})
}

// TestClientOfAKilledNodeMissesNothing: it comes back elsewhere, with the place that it had.
func TestClientOfAKilledNodeMissesNothing(t *testing.T) {
	recovering(t, 3, nil, func(t *testing.T, net *clustertest.Network, m []*member) {
		m[0].rec.connect("secret", "r")
		time.Sleep(2 * time.Second)
		if s := m[0].rec.session("secret"); !s.joined["r"] {
			t.Fatal("the join is not acknowledged")
		}
		for _, text := range texts("b", 0, 5) {
			m[1].rec.say("r", text)
		}
		time.Sleep(time.Second)
		wantGot(t, m[0].rec, "secret", texts("b", 0, 5))
		cursor := m[0].rec.session("secret").cursor
		m[0].host.Kill()
		for _, text := range texts("b", 5, 10) {
			m[1].rec.say("r", text)
		}
		time.Sleep(time.Second)
		m[2].rec.back("secret", cursor)
		time.Sleep(9 * time.Second)
		if s := m[2].rec.session("secret"); s.outcome != "recovered" {
			t.Errorf("it is %q", s.outcome)
		}
		m[1].rec.say("r", "b10")
		time.Sleep(time.Second)
		wantGot(t, m[2].rec, "secret", texts("b", 5, 11))
	})
}

// TestLinksThatFlapCostNothing: every message comes once and is acknowledged.
func TestLinksThatFlapCostNothing(t *testing.T) {
	recovering(t, 2, nil, func(t *testing.T, net *clustertest.Network, m []*member) {
		m[1].rec.connect("c", "r")
		time.Sleep(2 * time.Second)
		const flaps, each = 20, 10
		for i := range flaps {
			for j := range each {
				m[0].rec.say("r", fmt.Sprint("a", i*each+j))
				time.Sleep(17 * time.Millisecond)
			}
			m[0].host.Reset(m[1].host)
		}
		time.Sleep(5 * time.Second)
		wantGot(t, m[1].rec, "c", texts("a", 0, flaps*each))
		linked := 0
		for _, h := range m[0].rec.news() {
			if h == "2 linked" {
				linked++
			}
		}
		if got := len(m[0].rec.acks()); got != flaps*each || linked < flaps/2 {
			t.Errorf("%d messages were acknowledged over %d links, want %d", got, linked, flaps*each)
		}
	})
}

// TestNodeThatWasTakenForDeadIsTakenBack: gaps are told, and all goes on.
func TestNodeThatWasTakenForDeadIsTakenBack(t *testing.T) {
	recovering(t, 3, nil, func(t *testing.T, net *clustertest.Network, m []*member) {
		for i, x := range m {
			x.rec.connect(recovery.PID(fmt.Sprint(i)), "r")
		}
		time.Sleep(2 * time.Second)
		net.Partition([]*clustertest.Host{m[0].host}, []*clustertest.Host{m[1].host, m[2].host})
		for i := range 150 {
			m[0].rec.say("r", fmt.Sprint("a", i))
			m[1].rec.say("r", fmt.Sprint("b", i))
			time.Sleep(100 * time.Millisecond)
		}
		net.HealAll()
		time.Sleep(10 * time.Second)
		for _, x := range m[1:] {
			want := []string{"1 down", "1 member", "1 able", "1 linked", "1 gap"}
			at := slices.Index(x.rec.news(), want[0])
			if got := x.rec.news()[max(at, 0):]; at < 0 || len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
				t.Errorf("node %d heard %q", x.ID(), x.rec.news())
			}
		}
		before := len(m[0].rec.acks())
		for i, x := range m {
			x.rec.say("r", fmt.Sprint("end", i))
		}
		time.Sleep(2 * time.Second)
		for i, x := range m {
			got := x.rec.session(recovery.PID(fmt.Sprint(i))).got
			end := got[max(len(got)-3, 0):]
			slices.Sort(end)
			if !slices.Equal(end, texts("end", 0, 3)) {
				t.Errorf("client %d got %q in the end", i, end)
			}
		}
		if got := len(m[0].rec.acks()) - before; got != 1 {
			t.Errorf("node 1 acknowledged %d messages at the end, want 1", got)
		}
	})
}

// TestNodeWithoutRecoveryIsTold: it gets no frames, and nobody is called recovered while it is there.
func TestNodeWithoutRecoveryIsTold(t *testing.T) {
	recovering(t, 3, func(i int) bool { return i == 2 }, func(t *testing.T, net *clustertest.Network, m []*member) {
		m[0].rec.connect("secret", "r")
		time.Sleep(2 * time.Second)
		m[1].rec.say("r", "b0")
		m[2].publish("r")
		time.Sleep(time.Second)
		wantGot(t, m[0].rec, "secret", []string{"b0", `["e"]`})
		if want := []string{"3 member", "3 unable", "3 linked"}; !isWithin(want, m[0].rec.news()) {
			t.Errorf("node 1 heard %q", m[0].rec.news())
		}
		if s := m[2].Stats(); s.Mesh.FramesIn[wire.KindRecovery] != 0 || s.Mesh.FramesOut[wire.KindRecovery] != 0 {
			t.Errorf("it has %d frames, and sent %d", s.Mesh.FramesIn[wire.KindRecovery], s.Mesh.FramesOut[wire.KindRecovery])
		}
		if s := m[0].Stats(); s.Mesh.FramesOut[wire.KindRecovery] == 0 || len(m[1].rec.acks()) != 1 {
			t.Errorf("%d frames to the other one, which acknowledged %v", s.Mesh.FramesOut[wire.KindRecovery], m[1].rec.acks())
		}
		m[1].rec.back("secret", m[0].rec.session("secret").cursor)
		time.Sleep(time.Second)
		if got := m[1].rec.session("secret").outcome; got == "recovered" || got == "" {
			t.Errorf("the client is %q", got)
		}
	})
}

// isWithin tells whether what is wanted was heard in that order, with other things between.
func isWithin(want, heard []string) bool {
	for _, h := range heard {
		if len(want) > 0 && h == want[0] {
			want = want[1:]
		}
	}
	return len(want) == 0
}
