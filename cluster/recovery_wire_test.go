package cluster_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/wire"
)

// listener writes down what it hears, and takes its time: others run meanwhile.
type listener struct {
	mu     sync.Mutex
	busy   bool
	log    []string
	frames []recovery.Frame
}

func (l *listener) hear(what string, args ...any) {
	l.mu.Lock()
	l.log = append(l.log, fmt.Sprintf(what, args...))
	if l.busy {
		l.log = append(l.log, "TWO CALLS AT A TIME")
	}
	l.busy = true
	l.mu.Unlock()
	for range 100 {
		runtime.Gosched() // the cluster holds a mutex, for which a bubble's time does not pass
	}
	l.mu.Lock()
	l.busy = false
	l.mu.Unlock()
}

func (l *listener) Member(id wire.NodeID, met wire.Frontiers) { l.hear("%d member %v", id, met) }
func (l *listener) Linked(id wire.NodeID)                     { l.hear("%d linked", id) }
func (l *listener) Unlinked(id wire.NodeID)                   { l.hear("%d unlinked", id) }
func (l *listener) Down(id wire.NodeID)                       { l.hear("%d down", id) }
func (l *listener) Gap(id wire.NodeID)                        { l.hear("%d gap", id) }
func (l *listener) Unable(id wire.NodeID, is bool)            { l.hear("%d unable %v", id, is) }

func (l *listener) Frame(_ wire.NodeID, f recovery.Frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frames = append(l.frames, f)
}

func (l *listener) heard() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.log, ", ")
}

func (l *listener) got() []recovery.Frame {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.frames)
}

// listening is together with a listener at each node.
func listening(t *testing.T, count int, f func(t *testing.T, net *clustertest.Network, m []*member, l []*listener)) {
	var all []*listener
	together(t, count, func(_ int, cfg *cluster.Config) {
		all = append(all, &listener{})
		cfg.Recovery = all[len(all)-1]
	}, func(t *testing.T, net *clustertest.Network, m []*member) { f(t, net, m, all) })
}

// TestFramesOfRecoveryComeWholeAndInOrder, large and small ones, beside messages; those that a break of the link cuts
// off are lost, and nothing else.
func TestFramesOfRecoveryComeWholeAndInOrder(t *testing.T) {
	listening(t, 2, func(t *testing.T, net *clustertest.Network, m []*member, l []*listener) {
		net.SetDelay(m[0].host, m[1].host, 20*time.Millisecond)
		m[1].SetInterest(wire.Topic{Namespace: "/", Room: "r"}, true)
		time.Sleep(time.Second)
		r := rand.New(rand.NewPCG(1, 1))
		size := map[uint64]int{}
		const frames = 300
		for i := range uint64(frames) {
			n := r.IntN(100) << (2 * r.IntN(7))
			size[i] = n
			x := wire.NewMessage(wire.Envelope{Origin: 1}, make([]byte, n))
			m[0].SendFrame(m[1].ID(), recovery.TailEntries{Nonce: i, Entries: []*wire.Message{x, x}})
			m[0].publish("r")
			m[0].Flush()
			switch i % 100 {
			case 40:
				time.Sleep(time.Second)
			case 50:
				m[0].host.Reset(m[1].host)
				time.Sleep(3 * time.Second)
			}
		}
		time.Sleep(3 * time.Second)
		last, missing := -1, 0
		for _, f := range l[1].got() {
			x := f.(recovery.TailEntries)
			if int(x.Nonce) <= last || len(x.Entries) != 2 || len(x.Entries[1].Payload) != size[x.Nonce] {
				t.Fatalf("behind %d came %d, with %d bytes in %d messages, want %d", last, x.Nonce, len(x.Entries[0].Payload), len(x.Entries), size[x.Nonce])
			}
			missing += int(x.Nonce) - last - 1
			last = int(x.Nonce)
		}
		if last != frames-1 || missing == 0 || missing > 30 {
			t.Errorf("the last was %d, %d are missing", last, missing)
		}
		if got := m[1].count(); got != frames {
			t.Errorf("%d messages came, want %d", got, frames)
		}
		if s := m[0].Stats(); s.TooLarge != 0 || s.BulkBytes != 0 {
			t.Errorf("%d too large, %d bytes wait", s.TooLarge, s.BulkBytes)
		}
	})
}

// TestRecoveryHearsOneThingAtATime: the next waits for it.
func TestRecoveryHearsOneThingAtATime(t *testing.T) {
	listening(t, 3, func(t *testing.T, net *clustertest.Network, m []*member, l []*listener) {
		for range 20 {
			for _, a := range m {
				for _, b := range m {
					a.SendFrame(b.ID(), recovery.Draining{})
				}
				a.Flush()
			}
			m[0].host.Reset(m[1].host)
			time.Sleep(500 * time.Millisecond)
		}
		m[2].host.Kill()
		time.Sleep(20 * time.Second)
		for i, l := range l[:2] {
			heard := l.heard()
			if strings.Contains(heard, "TWO CALLS") || len(l.got()) == 0 {
				t.Errorf("node %d heard %s", i+1, heard)
			}
			for what, before := range map[string]string{"1 linked": "1 unable false", "2 linked": "2 unable false", "1 unlinked": "1 linked", "2 unlinked": "2 linked"} {
				if at := strings.Index(heard, what); at >= 0 && !strings.Contains(heard[:at], before) {
					t.Errorf("node %d heard %s", i+1, heard)
				}
			}
			if !strings.HasSuffix(heard, "3 down") {
				t.Errorf("node %d heard last %s", i+1, heard[max(0, len(heard)-40):])
			}
		}
	})
}

// TestNodeOfTheVersionBefore: it skips what it does not know, and is known for what it is before its link is up (G12). Its link
// may come before gossip.
func TestNodeOfTheVersionBefore(t *testing.T) {
	listening(t, 1, func(t *testing.T, net *clustertest.Network, m []*member, l []*listener) {
		for range 3 {
			m[0].publish("r")
		}
		old := newOldNode(t, net, m[0].host.Advertise().String())
		time.Sleep(2 * time.Second)
		m[0].publish("r")
		m[0].SendFrame(old.id, recovery.Draining{})
		m[0].Flush()
		time.Sleep(time.Second)
		if want := "5 member [3 0 0], 5 unable true, 5 linked"; l[0].heard() != want {
			t.Errorf("heard %q, want %q", l[0].heard(), want)
		}
		old.mu.Lock()
		got := old.kinds
		old.mu.Unlock()
		if got[wire.KindData] != 1 || got[wire.KindSync] == 0 || got[wire.KindGrant] == 0 || got[wire.KindRecovery] != 0 {
			t.Errorf("the old node got %v", got)
		}
		if n := m[0].count(); n != 1 {
			t.Errorf("%d messages of the old node, want one", n)
		}
		old.end()
		time.Sleep(20 * time.Second)
		if want := "5 linked, 5 unlinked, 5 down"; !strings.HasSuffix(l[0].heard(), want) {
			t.Errorf("heard %q", l[0].heard())
		}
	})
}

// oldNode speaks version 1: its frames are written here as they were then, where they have changed since.
type oldNode struct {
	id  wire.NodeID
	end func()

	mu    sync.Mutex
	kinds map[wire.Kind]int
}

// newOldNode links to addr, without gossip. It wants room r and publishes a message to it.
func newOldNode(t *testing.T, net *clustertest.Network, addr string) *oldNode {
	host := net.Host("old")
	old := &oldNode{id: 5, kinds: map[wire.Kind]int{}}
	host.SetNode("old@" + old.id.String())
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { host.Run(ctx) })
	time.Sleep(100 * time.Millisecond)
	conn, err := host.DialLink(ctx, addr)
	if err != nil {
		t.Fatal(err)
	}
	old.end = func() { conn.Close(); cancel(); wg.Wait() }
	body := append([]byte{0x96, byte(wire.KindHello), 1, 1, 5, 0xa3}, "old"...)
	body = append(append(body, 0xa0|byte(len(host.Advertise().String()))), host.Advertise().String()...)
	conn.Write(append([]byte{0, 0, 0, byte(len(body))}, body...))
	frames := wire.NewReader(conn)
	if f, err := frames.Next(); err != nil || f.Kind() != wire.KindHello {
		t.Fatalf("the answer is %x, %v", f, err)
	}
	conn.Write(wire.AppendSync(nil, wire.Sync{Version: 1, Topics: []wire.Topic{{Namespace: "/", Room: "r"}}, Settled: true}))
	conn.Write(wire.AppendData(nil, &wire.Message{Envelope: &wire.Envelope{Namespace: "/", Rooms: []string{"r"}}, Seq: 1, Payload: []byte(`["e"]`)}, false))
	wg.Go(func() {
		for {
			f, err := frames.Next()
			if err != nil {
				return
			}
			old.mu.Lock()
			old.kinds[f.Kind()]++
			old.mu.Unlock()
			if f.Kind() == wire.KindAsk {
				at, _, _ := wire.DecodeLease(f, wire.KindAsk)
				conn.Write(wire.AppendLease(nil, wire.KindGrant, at, wire.Frontiers{}))
				conn.Write(wire.AppendLease(nil, wire.KindAsk, at, wire.Frontiers{}))
			}
		}
	})
	return old
}
