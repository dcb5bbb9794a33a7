//go:build unix

package forward

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/port"
	"github.com/meshrt/meshrt/wire"
)

// BenchmarkRequest compares a request that its own node answers with one that is
// passed on, over real cluster ports with TLS on loopback. cpu-µs/op has all of it:
// the client, both nodes and the kernel; the client's share is in both.
func BenchmarkRequest(b *testing.B) {
	for _, size := range []int{0, 100, 1_000_000} {
		for _, how := range []string{"local", "forwarded"} {
			b.Run(fmt.Sprintf("%s/%d bytes", how, size), func(b *testing.B) { benchmark(b, how, size) })
		}
	}
}

func benchmark(b *testing.B, how string, size int) {
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	x, y := portal(b, ctx, &all), portal(b, ctx, &all)
	for _, m := range []*member{x, y} {
		m.members.set([]cluster.NodeInfo{x.info, y.info})
	}
	for len(x.nodes()) == 0 {
		time.Sleep(time.Millisecond)
	}
	own := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "ok")
	})
	y.own = own
	h := http.Handler(own)
	if how == "forwarded" {
		h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := x.Pass(w, r, r.URL.Query().Get("sid")); err != nil {
				b.Error(err)
			}
		})
	}
	front := httptest.NewServer(h)
	defer front.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	url, body := front.URL+y.path(), []byte(strings.Repeat("x", size))
	before := cpu()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := roundTrip(client, url, body); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

func roundTrip(client *http.Client, url string, body []byte) error {
	method := http.MethodGet
	if len(body) > 0 {
		method = http.MethodPost
	}
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err == nil && string(got) != "ok" {
		err = fmt.Errorf("%s %s", res.Status, got)
	}
	return err
}

// portal is a member on a real cluster port.
func portal(b *testing.B, ctx context.Context, all *sync.WaitGroup) *member {
	id := wire.NewNodeID()
	p, err := port.Listen(port.Config{Cluster: "bench", Node: "n@" + id.String(), Bind: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	m := &member{members: &members{id: id, changed: make(chan struct{})}}
	m.info = cluster.NodeInfo{ID: id, Name: "n", Addr: p.Advertise().String()}
	m.Forwarder = New(Config{Cluster: m.members, Net: p})
	all.Go(func() { p.Run(ctx) })
	all.Go(func() { m.Run(ctx) })
	all.Go(func() {
		m.Serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.own(w, r) }), nil)
	})
	return m
}

// cpu is what this process has used, user and system.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
