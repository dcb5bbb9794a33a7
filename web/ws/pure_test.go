package ws

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

func sized(bytes int) *Group { return &Group{frames: make([]Frame, 1), size: bytes} }

func TestOutboxAtItsEdge(t *testing.T) {
	for name, tt := range map[string]struct {
		before []int // sizes that are there
		add    int
		want   bool
	}{
		"empty, at the limit":          {nil, 100, true},
		"empty, over the limit":        {nil, 101, true},
		"not empty, fills it":          {[]int{40}, 60, true},
		"not empty, one byte too many": {[]int{40}, 61, false},
		"behind one over the limit":    {[]int{101}, 0, false},
		"last group":                   {[]int{1, 1}, 1, true},
		"one group too many":           {[]int{1, 1, 1}, 0, false},
	} {
		for _, taken := range []bool{false, true} {
			o := Outbox{MaxBytes: 100, MaxGroups: 3}
			for _, size := range tt.before {
				o.Push(sized(size))
			}
			if taken {
				o.Take() // still counts
			}
			if got := o.Add(sized(tt.add)); got != tt.want {
				t.Errorf("%s (taken: %v): Add = %v, want %v", name, taken, got, tt.want)
			}
		}
	}
}

func TestGroupSizeLeavesPingsOut(t *testing.T) {
	g := NewGroup(Frame{Text, []byte("abc")}, Frame{Ping, nil}, Frame{Binary, []byte{1, 2}})
	if g.Size() != 5 || g.messages != 2 || len(g.Frames()) != 3 {
		t.Errorf("%d bytes, %d messages, %d frames, want 5, 2, 3", g.Size(), g.messages, len(g.Frames()))
	}
}

func TestErrorsHaveTheirCause(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want Cause
	}{
		"too big":               {fmt.Errorf("read: %w", errTooBig), CauseTooBig},
		"write deadline":        {fmt.Errorf("write: %w", os.ErrDeadlineExceeded), CauseSlow},
		"write deadline of TCP": {&net.OpError{Op: "write", Err: os.ErrDeadlineExceeded}, CauseSlow},
		"invalid text":          {errInvalidText, CauseInvalidText},
		"hung up":               {errHungUp, CauseLost},
		"reset":                 {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, CauseLost},
		"closed":                {net.ErrClosed, CauseLost},
		"closed pipe":           {io.ErrClosedPipe, CauseLost},
		"anything else":         {errBreach, CauseBreach},
	} {
		if got := causeOf(tt.err); got != tt.want {
			t.Errorf("%s: cause %d, want %d", name, got, tt.want)
		}
	}
}

// frontConn is a connection in front of another, as tls.Conn is.
type frontConn struct {
	net.Conn
	raw net.Conn
}

func (c frontConn) NetConn() net.Conn { return c.raw }
func (c frontConn) Close() error      { panic("waits to say goodbye") }

func TestCutDoesNotSayGoodbyeOnTLS(t *testing.T) {
	here, there := net.Pipe()
	(&tap{Conn: frontConn{raw: here}}).cut()
	if _, err := there.Write([]byte("x")); err == nil {
		t.Error("the connection is open after cut")
	}
}

func TestRosterTurnsAwayOnceItDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Roster[string, int]
		if !r.Enter() || r.Add("a", 1) != nil || r.Add("b", 2) != nil {
			t.Fatal("a new roster turns away")
		}
		if err := r.Add("a", 3); !errors.Is(err, ErrTaken) {
			t.Errorf("a taken key: %v, want ErrTaken", err)
		}
		if got, ok := r.EnterFor("a"); got != 1 || !ok {
			t.Errorf("EnterFor(a) = %d, %v, want 1", got, ok)
		}
		r.Remove("b")
		if _, ok := r.EnterFor("b"); ok || r.Len() != 1 {
			t.Errorf("%d sessions after Remove, want 1", r.Len())
		}
		var got []int
		if r.DrainOver(t.Context(), 0, func(s int) { got = append(got, s) }); len(got) != 1 || got[0] != 1 {
			t.Errorf("DrainOver = %v, want the session of a", got)
		}
		if r.Enter() {
			t.Error("Enter = true after DrainOver")
		}
		if err := r.Add("c", 3); !errors.Is(err, ErrDraining) {
			t.Errorf("Add after DrainOver: %v, want ErrDraining", err)
		}
		if _, ok := r.EnterFor("a"); !ok {
			t.Error("EnterFor(a) = false after Drain, want true until Remove")
		}
		waited := false
		go func() { r.Wait(); waited = true }()
		synctest.Wait()
		if waited {
			t.Error("Wait returned before Leave")
		}
		for range 3 { // one Enter, two EnterFor
			if waited {
				t.Error("Wait returned before the last Leave")
			}
			r.Leave()
			synctest.Wait()
		}
		if !waited {
			t.Error("Wait did not return after the last Leave")
		}
	})
}

func TestGuardTellsAPanicFromAReturn(t *testing.T) {
	var log bytes.Buffer
	l := slog.New(slog.NewTextHandler(&log, nil))
	if !Guard(l, "10.0.0.1:5", func() {}) || log.Len() > 0 {
		t.Errorf("a part that returned is no panic: %s", log.String())
	}
	if Guard(l, "10.0.0.1:5", func() { panic("bug") }) || !strings.Contains(log.String(), "panic=bug") ||
		!strings.Contains(log.String(), "addr=10.0.0.1:5") {
		t.Errorf("a panic was taken for a return, or not logged: %s", log.String())
	}
}

func TestUpgradeIsFoundInLists(t *testing.T) {
	for name, tt := range map[string]struct {
		header http.Header
		want   bool
	}{
		"browser":    {http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}, true},
		"lists":      {http.Header{"Connection": {"keep-alive, UPGRADE"}, "Upgrade": {"h2c", "WebSocket "}}, true},
		"plain":      {http.Header{}, false},
		"no upgrade": {http.Header{"Connection": {"keep-alive"}, "Upgrade": {"websocket"}}, false},
		"other":      {http.Header{"Connection": {"upgrade"}, "Upgrade": {"websocket2"}}, false},
	} {
		if got := IsUpgrade(&http.Request{Header: tt.header}); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestRefusalSpeaksForItselfOnly(t *testing.T) {
	for name, tt := range map[string]struct {
		err     error
		status  int
		message string
	}{
		"any error": {errors.New("evil.example is not in the list"), 403, "Forbidden"},
		"refusal":   {fmt.Errorf("limit: %w", &Refusal{429, "Too many"}), 429, "Too many"},
		"no text":   {&Refusal{Status: 401}, 401, "Forbidden"},
		"no error":  {&Refusal{Status: 399, Message: "x"}, 403, "Forbidden"},
		"no status": {&Refusal{Status: 600, Message: "x"}, 403, "Forbidden"},
	} {
		if status, message := RefusalOf(tt.err); status != tt.status || message != tt.message {
			t.Errorf("%s: %d %q, want %d %q", name, status, message, tt.status, tt.message)
		}
	}
}
