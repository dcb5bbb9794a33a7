package forward

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

const comes = "/any/path/?EIO=4&transport=polling"

// A node that takes no clients any more has another one take them.
func TestClientIsOpenedAtANodeThatTakesIt(t *testing.T) {
	inLab(t, 3, Config{}, func(t *testing.T, l *lab) {
		x, y, z := l.all[0], l.all[1], l.all[2]
		y.opens = func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "leaving, too", http.StatusServiceUnavailable)
		}
		z.opens = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/any/path/" || r.Host != "meshrt.test" || r.RemoteAddr == "" {
				t.Errorf("it came as %v for %q of %q", r.URL, r.Host, r.RemoteAddr)
			}
			w.Write([]byte("welcome"))
		}
		for range 10 { // whichever is asked first
			if got := <-x.begin(t.Context(), "GET", comes, nil); got != (answer{200, "welcome", nil}) {
				t.Errorf("got %v", got)
			}
		}
		z.opens = y.opens
		if got := <-x.begin(t.Context(), "GET", comes, nil); got.status != http.StatusTeapot || got.body != ErrNobody.Error() {
			t.Errorf("nobody takes it: %v", got)
		}
		l.know(x)
		if got := <-x.begin(t.Context(), "GET", comes, nil); got.status != http.StatusTeapot || got.body != ErrNobody.Error() {
			t.Errorf("nobody is there: %v", got)
		}
	})
}

// One that has fallen silent costs a client that comes a moment only.
func TestNodeThatDoesNotAnswerTakesNoClient(t *testing.T) {
	inLab(t, 3, Config{}, func(t *testing.T, l *lab) {
		x, y, z := l.all[0], l.all[1], l.all[2]
		y.opens = park
		z.opens = func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("welcome")) }
		for range 10 {
			within(t, openTimeout+time.Second, "coming", func() {
				if got := <-x.begin(t.Context(), "GET", comes, nil); got != (answer{200, "welcome", nil}) {
					t.Errorf("got %v", got)
				}
			})
		}
	})
}

// What a client has opened ends with the node that has its connection, a moment after that says so.
func TestWhatWasOpenedEndsWithTheNodeOnItsWay(t *testing.T) {
	inLab(t, 2, Config{}, func(t *testing.T, l *lab) {
		x, y := l.all[0], l.all[1]
		streams := make(chan *http.Request, 2)
		y.opens = func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte("hello"))
			http.NewResponseController(w).Flush()
			streams <- r
			park(w, r)
		}
		got := x.begin(t.Context(), "GET", "/stream", nil)
		r := <-streams
		time.Sleep(2 * defaultWriteTimeout)
		if r.Context().Err() != nil {
			t.Fatal("it has ended by itself")
		}
		within(t, lettingGo+time.Second, "the end", func() {
			x.stopRun()
			<-x.ran
		})
		if a := <-got; a.status != 200 || a.body != "hello" {
			t.Errorf("the client got %v", a)
		}
		<-r.Context().Done()
	})
}

// hasty is a ResponseWriter as of HTTP/2, which ends a request at its deadline, also when nothing is being written.
type hasty struct {
	*httptest.ResponseRecorder
	end  context.CancelFunc
	late *time.Timer
}

func (h *hasty) SetWriteDeadline(t time.Time) error {
	if h.late != nil {
		h.late.Stop()
	}
	if h.late = nil; !t.IsZero() {
		h.late = time.AfterFunc(time.Until(t), h.end)
	}
	return nil
}

// Nor does a stream end in which nothing is said for long.
func TestSilentStreamOverHTTP2GoesOn(t *testing.T) {
	inLab(t, 2, Config{}, func(t *testing.T, l *lab) {
		x, y := l.all[0], l.all[1]
		y.opens = func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte("hello"))
			http.NewResponseController(w).Flush()
			park(w, r)
		}
		ctx, end := context.WithCancel(t.Context())
		defer end()
		r := httptest.NewRequestWithContext(ctx, "GET", "/stream", nil)
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
		over := make(chan struct{})
		go func() {
			defer close(over)
			defer func() { recover() }() // the proxy's way to break off
			x.Open(&hasty{ResponseRecorder: httptest.NewRecorder(), end: end}, r)
		}()
		time.Sleep(2 * defaultWriteTimeout)
		if ctx.Err() != nil {
			t.Error("it was cut, and nobody was slow")
		}
		end()
		<-over
	})
}

// Those that come while the others move are moved as well.
func TestWhatComesDuringAMoveMovesLater(t *testing.T) {
	inLab(t, 1, Config{}, func(t *testing.T, l *lab) {
		from := l.all[0].callers.add(nothing{}).from
		come := func() (closed context.Context) {
			closed, done := from.serve(&http.Request{}, true)
			context.AfterFunc(closed, done)
			return closed
		}
		first := come()
		from.hear(t.Context(), kindMove, "1s")
		second := come()
		if first.Err() == nil || second.Err() != nil {
			t.Fatalf("closed: %v and %v, want the first only", first.Err(), second.Err())
		}
		from.hear(t.Context(), kindMove, "1s")
		if second.Err() == nil {
			t.Error("the second was forgotten")
		}
	})
}
