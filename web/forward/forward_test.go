package forward

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

func TestRequestArrivesAsItCame(t *testing.T) {
	inLab(t, 2, Config{}, func(t *testing.T, l *lab) {
		x, y := l.all[0], l.all[1]
		y.own = func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("X-Answer", "yes")
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprintln(w, r.Method, r.URL.Path, r.Host, r.RemoteAddr, r.TLS != nil, len(r.Header["X-Forwarded-For"]),
				r.Header.Get("X-Forwarded-For"), r.Header.Get("Origin"), r.Header.Get("Cookie"), r.Header.Get(header), len(body))
		}
		r, _ := http.NewRequest("POST", "http://chat.example:99"+y.path(), strings.NewReader(strings.Repeat("x", 1_000_000)))
		r.Header.Set("X-Forwarded-For", "192.0.2.1, 192.0.2.2")
		r.Header.Set("Origin", "https://a.example")
		r.Header.Set("Cookie", "a=b")
		r.Header.Set(header, "https 192.0.2.9:9") // of a client: not believed
		r.Header.Set("Upgrade", "h2c")
		r.Header.Set("Connection", "Upgrade")
		res, err := x.front.Client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(res.Body)
		res.Body.Close()
		want := "POST /any/path/ chat.example:99 pipe false 1 192.0.2.1, 192.0.2.2 https://a.example a=b  1000000\n"
		if string(got) != want || res.StatusCode != http.StatusAccepted || res.Header.Get("X-Answer") != "yes" || len(res.Header["Date"]) != 1 {
			t.Errorf("got %d %v %q, want %q", res.StatusCode, res.Header, got, want)
		}
		synctest.Wait()
		if sx, sy := x.Stats(), y.Stats(); sx.Out["ok"] != 1 || sy.In["ok"] != 1 || sx.Conns != 1 || sx.Passing != 0 || sy.Serving != 0 {
			t.Errorf("counted %+v and %+v", sx, sy)
		}
	})
}

func TestSessionsThatNobodyHas(t *testing.T) {
	inLab(t, 2, Config{}, func(t *testing.T, l *lab) {
		x, y := l.all[0], l.all[1]
		dead := l.add(Config{})
		dead.host.Kill()
		l.know(x, y)
		stranger := dead.path()
		for _, tt := range []struct{ name, path, want, counted string }{
			{"forged", "/?sid=" + strings.Repeat("A", sidLen), errForged.Error(), "forged"},
			{"of this node", x.path(), errHere.Error(), ""},
			{"of a node that is gone", stranger, errGone.Error(), "gone"},
		} {
			before := x.Stats().Out[tt.counted]
			if status, body := x.front.Get(tt.path); status != http.StatusTeapot || body != tt.want {
				t.Errorf("%s: %d %s", tt.name, status, body)
			}
			if got := x.Stats().Out[tt.counted] - before; tt.counted != "" && got != 1 {
				t.Errorf("%s: counted %d times", tt.name, got)
			}
		}
		l.know(x, y, dead) // a member that does not answer
		within(t, dialTimeout, "the answer", func() {
			if status, _ := x.front.Get(stranger); status != http.StatusTeapot || x.Stats().Out["unreachable"] != 1 {
				t.Errorf("unreachable: %d, %v", status, x.Stats().Out)
			}
		})
	})
}

// An address can get a new owner, which has none of the sessions.
func TestAnotherNodeAtTheAddressIsNotAsked(t *testing.T) {
	inLab(t, 2, Config{}, func(t *testing.T, l *lab) {
		x, y := l.all[0], l.all[1]
		y.own = func(http.ResponseWriter, *http.Request) { t.Error("asked") }
		y.host.SetNode("n1@" + x.self.String())
		if status, _ := x.front.Get(y.path()); status != http.StatusTeapot {
			t.Errorf("status %d", status)
		}
	})
}

func TestRequestsThatWaitShareOneConnection(t *testing.T) {
	inLab(t, 2, Config{}, func(t *testing.T, l *lab) {
		x, y := l.all[0], l.all[1]
		y.own = park
		ctx, hangUp := context.WithCancel(t.Context())
		var all []<-chan answer
		for range streamsPerConn + 44 {
			all = append(all, x.begin(ctx, "GET", y.path(), nil))
		}
		if s := x.Stats(); s.Passing != streamsPerConn+44 || s.Conns != 2 {
			t.Errorf("%d requests on %d connections", s.Passing, s.Conns)
		}
		if got := y.Stats().Serving; got != streamsPerConn+44 {
			t.Errorf("%d arrived", got)
		}
		hangUp()
		for _, one := range all {
			<-one
		}
		time.Sleep(3 * tidyInterval)
		if s := x.Stats(); s.Passing != 0 || s.Conns != 1 || s.Out["canceled"] != streamsPerConn+44 || y.Stats().Serving != 0 {
			t.Errorf("afterwards: %+v, %d there", s, y.Stats().Serving)
		}
	})
}

func TestOneRequestTooManyIsRefused(t *testing.T) {
	inLab(t, 3, Config{MaxPerNode: 2, MaxRequests: 3}, func(t *testing.T, l *lab) {
		x, y, z := l.all[0], l.all[1], l.all[2]
		y.own, z.own = park, park
		ctx, hangUp := context.WithCancel(t.Context())
		defer hangUp()
		for _, to := range []*member{y, y, z} {
			x.begin(ctx, "GET", to.path(), nil)
		}
		for _, to := range []*member{y, z} {
			if status, body := x.front.Get(to.path()); status != http.StatusTeapot || body != ErrBusy.Error() {
				t.Errorf("%d %s", status, body)
			}
		}
		if got := x.Stats().Out["busy"]; got != 2 {
			t.Errorf("counted %d times", got)
		}
		hangUp()
		synctest.Wait()
		z.own = func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }
		if status, _ := x.front.Get(z.path()); status != http.StatusOK {
			t.Errorf("afterwards: %d", status)
		}
	})
}

func TestBodyThatIsTooLargeIsBrokenOff(t *testing.T) {
	const most = 100_000
	inLab(t, 2, Config{MaxPayload: most}, func(t *testing.T, l *lab) {
		x, y := l.all[0], l.all[1]
		read := make(chan string, 1)
		y.own = func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			read <- fmt.Sprint(len(b), err == nil)
		}
		for _, hide := range []bool{false, true} { // the length
			for size, want := range map[int]string{most: fmt.Sprint(most, true), most + 1: ""} {
				var body io.Reader = strings.NewReader(strings.Repeat("x", size))
				if hide {
					body = struct{ io.Reader }{body}
				}
				got := <-x.begin(t.Context(), "POST", y.path(), body)
				there := <-read
				if tooLarge := strings.Contains(got.body, "too large"); tooLarge != (want == "") || (there != want) == (want != "") || strings.Contains(there, "true") != (want != "") {
					t.Errorf("%d bytes, length hidden %v: %d %q, there %s", size, hide, got.status, got.body, there)
				}
			}
		}
		if got := x.Stats().Out["too_large"]; got != 2 {
			t.Errorf("counted %d times", got)
		}
	})
}

func TestClientThatHangsUpIsSeenByTheOwner(t *testing.T) {
	inLab(t, 2, Config{}, func(t *testing.T, l *lab) {
		x, y := l.all[0], l.all[1]
		requests := make(chan *http.Request, 1)
		y.own = parkAs(requests)
		ctx, hangUp := context.WithCancel(t.Context())
		x.begin(ctx, "GET", y.path(), nil)
		r := <-requests
		hangUp()
		within(t, time.Second, "to hear of it", func() { <-r.Context().Done() })
		if connOf(r).lost.Err() != nil {
			t.Error("the way is lost, but it was the client")
		}
	})
}

func TestPollsEndWithTheNodeThatHasThem(t *testing.T) {
	for name, end := range map[string]struct {
		by    func(l *lab)
		limit time.Duration
	}{
		"killed":          {func(l *lab) { l.all[1].host.Kill() }, 10 * time.Millisecond},
		"gone":            {func(l *lab) { l.know(l.all[0]) }, 10 * time.Millisecond},
		"dead in silence": {func(l *lab) { l.net.Cut(l.all[0].host, l.all[1].host); l.net.Cut(l.all[1].host, l.all[0].host) }, pingAfter + pingTimeout + time.Second},
	} {
		inLab(t, 2, Config{}, func(t *testing.T, l *lab) {
			x, y := l.all[0], l.all[1]
			y.own = park
			poll := x.begin(t.Context(), "GET", y.path(), nil)
			post := x.begin(t.Context(), "POST", y.path(), strings.NewReader("4hello"))
			within(t, end.limit, name, func() {
				end.by(l)
				for _, one := range []<-chan answer{poll, post} {
					if got := <-one; got.status != http.StatusTeapot {
						t.Errorf("%s: %+v", name, got)
					}
				}
			})
			l.net.Heal(x.host, y.host)
			l.net.Heal(y.host, x.host)
		})
	}
}

// The owner must know that the way was lost before it hears of the poll's end.
func TestNodeThatDiesTakesTheWayWithIt(t *testing.T) {
	inLab(t, 2, Config{}, func(t *testing.T, l *lab) {
		x, y := l.all[0], l.all[1]
		requests := make(chan *http.Request, 1)
		y.own = parkAs(requests)
		x.begin(t.Context(), "GET", y.path(), nil)
		r := <-requests
		x.host.Kill()
		within(t, 10*time.Millisecond, "to hear of it", func() { <-r.Context().Done() })
		if c := connOf(r); c.lost.Err() == nil || c.from.leaving.Err() != nil {
			t.Errorf("lost %v, leaving %v", c.lost.Err(), c.from.leaving.Err())
		}
		synctest.Wait()
		if n := len(y.callers.all); n != 0 {
			t.Errorf("%d nodes that have no connection are kept", n)
		}
	})
	inLab(t, 2, Config{}, func(t *testing.T, l *lab) { // no word of the end comes
		x, y := l.all[0], l.all[1]
		requests := make(chan *http.Request, 1)
		y.own = parkAs(requests)
		x.begin(t.Context(), "GET", y.path(), nil)
		r := <-requests
		l.net.CutAll()
		within(t, pingAfter+pingTimeout+time.Second, "to notice it", func() { <-r.Context().Done() })
		if connOf(r).lost.Err() == nil {
			t.Error("the way is not lost")
		}
		l.net.HealAll()
	})
}

func TestNodeThatStopsAsksTheOwnerToLetGo(t *testing.T) {
	inLab(t, 2, Config{}, func(t *testing.T, l *lab) {
		x, y := l.all[0], l.all[1]
		requests := make(chan *http.Request, 1)
		y.own = func(w http.ResponseWriter, r *http.Request) {
			requests <- r
			<-connOf(r).from.leaving.Done()
			time.Sleep(time.Second)
			io.WriteString(w, "6")
		}
		poll := x.begin(t.Context(), "GET", y.path(), nil)
		r := <-requests
		within(t, time.Second+10*time.Millisecond, "the end", func() {
			x.stopRun()
			<-x.ran
		})
		if got := <-poll; got.status != http.StatusOK || got.body != "6" {
			t.Errorf("poll: %+v", got)
		}
		time.Sleep(time.Second)
		if connOf(r).lost.Err() != nil {
			t.Error("an end in order is taken for a loss")
		}
		if status, body := x.front.Get(y.path()); status != http.StatusTeapot || body != errEnded.Error() {
			t.Errorf("afterwards: %d %s", status, body)
		}
	})
}

func TestWhatDoesNotLetGoIsCut(t *testing.T) {
	inLab(t, 2, Config{}, func(t *testing.T, l *lab) {
		x, y := l.all[0], l.all[1]
		y.own = park
		poll := x.begin(t.Context(), "GET", y.path(), nil)
		within(t, endTimeout+time.Millisecond, "the end", func() {
			x.stopRun()
			<-x.ran
		})
		if got := <-poll; got.status != http.StatusTeapot || got.body != errEnded.Error() || x.Stats().Out["stopped"] != 1 {
			t.Errorf("poll: %+v, %v", got, x.Stats().Out)
		}
	})
}

// What is said on the cluster port is believed, but must make sense.
func TestStrayRequestsOfNodesAreRefused(t *testing.T) {
	inLab(t, 2, Config{}, func(t *testing.T, l *lab) {
		x, y := l.all[0], l.all[1]
		y.own = func(http.ResponseWriter, *http.Request) { t.Error("served") }
		p, err := x.peer(y.self)
		if err != nil {
			t.Fatal(err)
		}
		for path, kind := range map[string]string{"/?sid=x": "", "/?sid=y": "gopher 1", "/": ""} {
			r, _ := http.NewRequest("GET", "http://"+p.host()+path, nil)
			r.Header.Set(header, kind)
			res, err := p.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: %s", path, res.Status)
			}
		}
		if got := y.Stats().In["stray"]; got != 3 {
			t.Errorf("counted %d times", got)
		}
	})
}

func TestNodeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(Config{Cluster: &members{id: 7, changed: make(chan struct{})}})
		if got := f.ids.owner(f.NewSID()); got != 7 {
			t.Errorf("owner %v", got)
		}
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 2)
		go func() { done <- f.Run(ctx) }()
		go func() { done <- f.Serve(ctx, nil, nil) }()
		synctest.Wait()
		stop()
		if err1, err2 := <-done, <-done; err1 != nil || err2 != nil {
			t.Error(err1, err2)
		}
	})
}

// Websockets are moved one by one, in the time that the node says.
func TestWebSocketsMoveOverATime(t *testing.T) {
	inLab(t, 2, Config{}, func(t *testing.T, l *lab) {
		x, y := l.all[0], l.all[1]
		const sockets = 1000
		closed := make(chan time.Time, sockets)
		from := y.callers.add(nothing{}).from
		for range sockets {
			r := &http.Request{Header: http.Header{"Connection": {"upgrade"}, "Upgrade": {"websocket"}}}
			leaving, done := from.serve(r, false)
			context.AfterFunc(leaving, func() { closed <- time.Now(); done() })
		}
		start := time.Now()
		from.hear(t.Context(), kindMove, "1s")
		synctest.Wait()
		if n := len(closed); n != sockets {
			t.Fatalf("%d of %d closed", n, sockets)
		}
		if took := time.Since(start); took < 900*time.Millisecond || took > time.Second {
			t.Errorf("all took %v, want a second", took)
		}
		within(t, goodbyeTimeout, "nobody to move", func() { x.Move(time.Hour) })
	})
}

// nothing is a connection of a node without a name.
type nothing struct{ net.Conn }

// The last answer may have gone out a moment before.
func TestNodeThatStopsWithNothingUnderWaySaysGoodbyeToo(t *testing.T) {
	inLab(t, 2, Config{}, func(t *testing.T, l *lab) {
		x, y := l.all[0], l.all[1]
		requests := make(chan *http.Request, 1)
		y.own = func(w http.ResponseWriter, r *http.Request) { requests <- r }
		if status, _ := x.front.Get(y.path()); status != http.StatusOK {
			t.Fatal(status)
		}
		x.stopRun()
		<-x.ran
		time.Sleep(time.Second)
		if c := connOf(<-requests); c.lost.Err() != nil || c.from.leaving.Err() == nil {
			t.Errorf("lost %v, leaving %v", c.lost.Err(), c.from.leaving.Err())
		}
	})
}

func TestEveryEndOfAConnectionIsALoss(t *testing.T) {
	for name, end := range map[string]func(c *inConn){
		"read":  func(c *inConn) { c.Read(nil) },
		"write": func(c *inConn) { c.Write(nil) },
		"close": func(c *inConn) { c.Close() },
	} {
		var all callers
		here, there := net.Pipe()
		there.Close()
		c := all.add(here)
		if end(c); c.lost.Err() == nil {
			t.Errorf("%s: not lost", name)
		}
	}
}

func TestDeadlinesOfTheServerAreNoLoss(t *testing.T) {
	var all callers
	here, there := net.Pipe()
	defer there.Close()
	c := all.add(here)
	defer c.Close()
	c.SetDeadline(time.Unix(1, 0))
	if _, err := c.Read(make([]byte, 1)); err == nil || c.lost.Err() != nil {
		t.Errorf("error %v, lost %v", err, c.lost.Err())
	}
}

// deadlines is a ResponseWriter that keeps what it is told.
type deadlines struct {
	http.ResponseWriter
	read, write time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = t; return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = t; return nil }

func TestClientHasNotForEverToTakeAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for length, read := range map[int64]time.Time{0: {}, 5: time.Now().Add(ws.CloseTimeout), -1: time.Now().Add(ws.CloseTimeout)} {
			d := &deadlines{}
			x := &exchange{w: d, in: &http.Request{ContentLength: length}}
			x.begin(time.Minute)
			if want := time.Now().Add(time.Minute); !d.write.Equal(want) || !d.read.Equal(read) {
				t.Errorf("body of %d bytes: until %v to write and %v to read", length, d.write, d.read)
			}
		}
	})
}

// The owner may stop, too, or the node that asked may be gone: nobody waits then.
func TestMoveEndsWithItsRequest(t *testing.T) {
	inLab(t, 2, Config{}, func(t *testing.T, l *lab) {
		from := l.all[1].callers.add(nothing{}).from
		const sockets = 5000
		closed := 0
		for range sockets {
			r := &http.Request{Header: http.Header{"Connection": {"upgrade"}, "Upgrade": {"websocket"}}}
			from.sockets.Add(r, func() { closed++ })
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		within(t, time.Second, "the move", func() { from.hear(ctx, kindMove, "1h") })
		if closed != sockets {
			t.Errorf("%d of %d closed", closed, sockets)
		}
	})
}
