package gossip

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/wire"
)

// lab is a network with nodes on it, in a bubble.
type lab struct {
	t     *testing.T
	net   *clustertest.Network
	nodes []*node
	tweak func(*Config) // of every node that starts
}

type node struct {
	*Gossip
	host *clustertest.Host
	log  *record
	stop func() // leave, then take the host off the network
	quit func() // the context of Run ends
}

// bubble runs f in a bubble. Afterwards it stops all nodes and sleeps: goroutines
// of memberlist outlive its Shutdown.
func bubble(t *testing.T, f func(l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t: t, net: clustertest.NewNetwork(1), tweak: func(*Config) {}}
		defer func() { // also after a t.Fatal
			for _, n := range l.nodes {
				n.quit()
			}
			for _, n := range l.nodes {
				n.stop()
			}
			time.Sleep(time.Minute)
		}()
		f(l)
	})
}

// start runs a node of that name that joins seeds, host names or addresses.
func (l *lab) start(name string, seeds ...string) *node {
	l.t.Helper()
	return l.startWith(name, 0, seeds...)
}

// startWith sets the tick of the rejoin loop, too.
func (l *lab) startWith(name string, rejoin time.Duration, seeds ...string) *node {
	l.t.Helper()
	n := &node{host: l.net.Host(name), log: &record{}}
	cfg := Config{
		ID: wire.NewNodeID(), Name: name, Cluster: "test", MinVersion: 1, MaxVersion: 2,
		Seeds: seeds, Net: n.host, Logger: slog.New(n.log), Resolver: l.net.Lookup,
	}
	l.tweak(&cfg)
	g, err := New(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	n.Gossip = g
	g.timing.rejoin = cmp.Or(rejoin, g.timing.rejoin)
	l.run(n)
	l.nodes = append(l.nodes, n)
	return n
}

func (l *lab) run(n *node) {
	hostCtx, off := context.WithCancel(context.Background())
	ctx, leave := context.WithCancel(context.Background())
	done := make(chan struct{})
	go n.host.Run(hostCtx)
	go func() {
		defer close(done)
		if err := n.Run(ctx); err != nil {
			l.t.Errorf("Run of %s: %v", n.cfg.Name, err)
		}
	}()
	n.quit = leave
	n.stop = sync.OnceFunc(func() {
		leave()
		<-done
		off()
	})
}

// form starts n1 to n<count>, each with the seed n1, and waits until all see all.
func (l *lab) form(count int) []*node {
	l.t.Helper()
	var ns []*node
	for i := range count {
		ns = append(ns, l.start(fmt.Sprintf("n%d", i+1), "n1"))
	}
	l.within(5*time.Second, "all see all", func() bool { return mesh(ns...) })
	return ns
}

// within waits for ok and gives the virtual time that it took.
func (l *lab) within(limit time.Duration, what string, ok func() bool) time.Duration {
	l.t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > limit {
			l.t.Fatalf("not within %v: %s\n%s", limit, what, l.state())
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(start)
}

func (l *lab) state() string {
	var b strings.Builder
	for _, n := range l.nodes {
		fmt.Fprintf(&b, "%s (%v) sees %v, hides %v\n", n.cfg.Name, n.cfg.ID, ids(n.Members()), ids(n.table.challengers()))
	}
	return b.String()
}

// names are those that n sees, sorted.
func (n *node) names() []string {
	var names []string
	for _, m := range n.Members() {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	return names
}

func (n *node) sees(other *node) bool {
	return slices.ContainsFunc(n.Members(), func(m Member) bool { return m.ID == other.cfg.ID })
}

// mesh tells whether each of ns sees exactly the others.
func mesh(ns ...*node) bool {
	for _, a := range ns {
		if len(a.Members()) != len(ns)-1 {
			return false
		}
		for _, b := range ns {
			if a != b && !a.sees(b) {
				return false
			}
		}
	}
	return true
}

// record keeps the log lines of a node.
type record struct {
	mu    sync.Mutex
	lines []string // "LEVEL message"
}

func (r *record) Enabled(context.Context, slog.Level) bool { return true }
func (r *record) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *record) WithGroup(string) slog.Handler            { return r }

func (r *record) Handle(_ context.Context, rec slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	line := rec.Level.String() + " " + rec.Message
	rec.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	r.lines = append(r.lines, line)
	return nil
}

// from gives the lines of at least that level.
func (r *record) from(level slog.Level) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for _, l := range r.lines {
		var at slog.Level
		name, _, _ := strings.Cut(l, " ")
		if at.UnmarshalText([]byte(name)) == nil && at >= level {
			lines = append(lines, l)
		}
	}
	return lines
}

type ctx = context.Context

func udp(a netip.AddrPort) net.Addr { return net.UDPAddrFromAddrPort(a) }
