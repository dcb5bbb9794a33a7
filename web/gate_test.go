package web

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

// guests opens connections at a gate and tells which were closed.
type guests struct {
	g      *gate
	closed []int
}

type fakeConn struct {
	net.Conn
	close func()
}

func (c *fakeConn) Close() error         { c.close(); return nil }
func (c *fakeConn) RemoteAddr() net.Addr { return &net.TCPAddr{} }

func newGuests(most, halfOpen int) *guests {
	g := newGate(most, ws.NewNotices(slog.New(slog.DiscardHandler)))
	g.maxHalfOpen = halfOpen
	return &guests{g: g}
}

func (x *guests) open(id int) *guest {
	return x.g.enter(&fakeConn{close: func() { x.closed = append(x.closed, id) }})
}

const refused = -1

// tunnel is a websocket that is passed on.
func (x *guests) tunnel() {
	if _, ok := x.g.reserve(); !ok {
		x.closed = append(x.closed, refused)
	}
}

// rush is what comes to a gate with limits, and who is closed for it.
type rush struct {
	most, halfOpen int
	do             func(x *guests)
	closed         []int
}

func (r rush) test(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newGuests(r.most, r.halfOpen)
		r.do(x)
		if !slices.Equal(x.closed, r.closed) {
			t.Errorf("closed %v, want %v", x.closed, r.closed)
		}
		open, halfOpen, closed := x.g.stats()
		if open != len(x.g.conns) || halfOpen > open || closed[gateHandshakes]+closed[gateDescriptors] != uint64(len(r.closed)) {
			t.Errorf("stats: %d open, %d half-open, closed %v", open, halfOpen, closed)
		}
	})
}

func TestGateCountsWhatIsPassedOn(t *testing.T) {
	for name, tt := range map[string]rush{
		"it takes places": {10, 9, func(x *guests) {
			x.g.reserve()
			release, _ := x.g.reserve()
			for id := range 8 {
				x.g.move(x.open(id), nil)
			}
			x.open(8)
			release()
			x.open(9)
			x.open(10)
		}, []int{8, 10}},
		"it makes room, too, but leaves some": {11, 9, func(x *guests) {
			x.g.move(x.open(1), nil)
			x.open(2)
			x.tunnel()
			x.open(3)
			x.tunnel() // all are young
			time.Sleep(youngest)
			x.tunnel()
			x.tunnel()
			x.tunnel()
		}, []int{refused, 2, 3, refused}},
	} {
		t.Run(name, tt.test)
	}
}

func TestGateMakesRoom(t *testing.T) {
	for name, tt := range map[string]rush{
		"up to the limit nobody is closed": {3, 9, func(x *guests) { x.open(1); x.open(2); x.open(3) }, nil},
		"the oldest without a request goes": {3, 9, func(x *guests) {
			x.open(1)
			x.open(2)
			x.open(3)
			time.Sleep(youngest)
			x.open(4)
			x.open(5)
		}, []int{1, 2}},
		"a rush closes the newest": {3, 9, func(x *guests) {
			x.open(1)
			x.open(2)
			x.open(3)
			time.Sleep(youngest - 1)
			x.open(4)
		}, []int{4}},
		"half-open ones have a limit of their own": {0, 2, func(x *guests) {
			x.open(1)
			x.open(2)
			time.Sleep(youngest)
			x.open(3)
		}, []int{1}},
		"a request takes it off that": {0, 2, func(x *guests) {
			x.g.move(x.open(1), nil)
			x.open(2)
			time.Sleep(youngest)
			x.open(3)
			x.open(4)
		}, []int{2}},
		"then the one that is idle longest": {2, 9, func(x *guests) {
			a, b := x.open(1), x.open(2)
			x.g.move(a, nil)
			x.g.move(b, nil)
			x.g.served(b)
			x.g.served(a)
			x.open(3)
		}, []int{2}},
		"who is served stays": {2, 9, func(x *guests) {
			x.g.move(x.open(1), nil)
			x.g.move(x.open(2), nil)
			time.Sleep(time.Hour)
			x.open(3)
		}, []int{3}},
		"a hijacked one counts until its handler returns": {1, 9, func(x *guests) {
			a := x.open(1)
			x.g.move(a, nil)
			x.g.hijacked(a.conn)
			x.open(2)
			x.g.served(a)
			x.open(3)
		}, []int{2}},
		"a websocket counts until its end": {1, 9, func(x *guests) {
			a := x.open(1)
			x.g.move(a, nil)
			x.g.hijacked(a.conn)
			a.Stayed()
			x.g.served(a)
			x.open(2)
			a.Left()
			x.open(3)
		}, []int{2}},
		"who has left makes room": {1, 9, func(x *guests) {
			x.g.leave(x.open(1).conn)
			x.open(2)
		}, nil},
	} {
		t.Run(name, tt.test)
	}
}

// Through a real http.Server: what is open and silent makes room for clients, and
// everything is forgotten when it is over.
func TestGateBeforeAServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(4, ws.NewNotices(slog.New(slog.DiscardHandler)))
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hijack" {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
			return
		}
		io.WriteString(w, "ok")
	})}
	g.mount(server)
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(l) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 8 { // more than there is room for, had they not left
		for _, path := range []string{"/", "/hijack"} {
			if resp, err := client.Get("http://" + l.Addr().String() + path); err == nil {
				resp.Body.Close()
			} else if path == "/" {
				t.Fatal(err)
			}
		}
	}
	keep := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	for range 3 {
		resp, err := keep.Get("http://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	keep.CloseIdleConnections()
	server.Close()
	<-done
	deadline := time.Now().Add(5 * time.Second)
	for {
		open, halfOpen, _ := g.stats()
		if open == 0 && halfOpen == 0 && g.idle.Len() == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections, %d half-open, are not forgotten", open, halfOpen)
		}
		time.Sleep(time.Millisecond)
	}
}
