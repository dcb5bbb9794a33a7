package forward

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/clustertest"
	"github.com/meshrt/meshrt/web/webtest"
	"github.com/meshrt/meshrt/wire"
)

// members is a Cluster in which the test says who is there.
type members struct {
	id wire.NodeID

	mu      sync.Mutex
	nodes   []cluster.NodeInfo
	changed chan struct{}
}

func (m *members) ID() wire.NodeID { return m.id }

func (m *members) Nodes() []cluster.NodeInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nodes
}

func (m *members) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

func (m *members) set(nodes []cluster.NodeInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nodes = nodes
	close(m.changed)
	m.changed = make(chan struct{})
}

// member is one node: a Forwarder, a front for clients and what owns its sessions.
type member struct {
	*Forwarder
	members *members
	host    *clustertest.Host
	info    cluster.NodeInfo
	front   *webtest.Server
	own     http.HandlerFunc // set by the test before requests
	opens   http.HandlerFunc // the same

	stopRun, stopServe context.CancelFunc
	ran, served        chan struct{}
	hostEnd            context.CancelFunc
}

// lab is some members in a bubble.
type lab struct {
	t   *testing.T
	net *clustertest.Network
	all []*member
}

// inLab runs test with n members, of which all know all.
func inLab(t *testing.T, n int, cfg Config, test func(t *testing.T, l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t: t, net: clustertest.NewNetwork(1)}
		for range n {
			l.add(cfg)
		}
		l.know(l.all...)
		test(t, l)
		for _, m := range l.all {
			m.stop()
		}
		time.Sleep(time.Second) // net/http lingers on connections that it closes
	})
}

func (l *lab) add(cfg Config) *member {
	id, name := wire.NewNodeID(), fmt.Sprint("n", len(l.all))
	m := &member{host: l.net.Host(name), members: &members{id: id, changed: make(chan struct{})}, ran: make(chan struct{}), served: make(chan struct{})}
	m.host.SetNode(name + "@" + id.String())
	m.info = cluster.NodeInfo{ID: id, Name: name, Addr: m.host.Advertise().String(), State: "up"}
	cfg.Cluster, cfg.Net = m.members, m.host
	m.Forwarder = New(cfg)
	m.front = webtest.Serve(l.t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sid := r.URL.Query().Get("sid")
		pass := func() error { return m.Pass(w, r, sid) }
		if sid == "" {
			pass = func() error { return m.Open(w, r) }
		}
		if err := pass(); err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
		}
	}))
	hosting, hostEnd := context.WithCancel(context.Background())
	running, stopRun := context.WithCancel(context.Background())
	serving, stopServe := context.WithCancel(context.Background())
	m.hostEnd, m.stopRun, m.stopServe = hostEnd, stopRun, stopServe
	go m.host.Run(hosting)
	go func() { defer close(m.ran); m.Run(running) }()
	go func() {
		defer close(m.served)
		m.Serve(serving, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.own(w, r) }),
			http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.opens(w, r) }))
	}()
	l.all = append(l.all, m)
	return m
}

// know tells all members that these are the cluster.
func (l *lab) know(these ...*member) {
	var nodes []cluster.NodeInfo
	for _, m := range these {
		nodes = append(nodes, m.info)
	}
	for _, m := range l.all {
		m.members.set(slices.Clone(nodes))
	}
	synctest.Wait()
}

func (m *member) stop() {
	m.stopRun()
	<-m.ran
	m.stopServe()
	<-m.served
	m.front.Stop()
	m.hostEnd()
}

// path is the request of a session of m.
func (m *member) path() string { return "/any/path/?EIO=4&transport=polling&sid=" + m.NewSID() }

// answer is that of a request in the background.
type answer struct {
	status int
	body   string
	err    error
}

// begin sends a request and waits until it has got as far as it can.
func (m *member) begin(ctx context.Context, method, path string, body io.Reader) <-chan answer {
	got := make(chan answer, 1)
	r, _ := http.NewRequestWithContext(ctx, method, "http://meshrt.test"+path, body)
	go func() {
		res, err := m.front.Client.Do(r)
		if err != nil {
			got <- answer{err: err}
			return
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		got <- answer{res.StatusCode, strings.TrimSpace(string(b)), err}
	}()
	time.Sleep(10 * time.Millisecond) // the way there, and back
	synctest.Wait()
	return got
}

// park waits until the client is gone, as a poll does.
func park(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// parkAs is park, and lets the test look at the request.
func parkAs(requests chan<- *http.Request) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		park(w, r)
	}
}

// connOf is the connection on which r came from another node.
func connOf(r *http.Request) *inConn { return r.Context().Value(connKey{}).(*inConn) }

// within fails when f takes longer than limit of virtual time.
func within(t *testing.T, limit time.Duration, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); took > limit {
		t.Errorf("%s took %v, want %v at most", what, took, limit)
	}
}
