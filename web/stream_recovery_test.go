package web

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
)

// source is a browser's EventSource, by section 9.2 of the HTML Standard, that comes back when it is told to.
type source struct {
	t       *testing.T
	query   string
	id      string // of the last event
	session string
	end     func()
	lines   *bufio.Scanner
}

// to opens the stream at b, with the id of the last event, and gives what comes until the session is known.
func (s *source) to(b *box) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://meshrt.test/sse"+s.query, nil)
	if s.id != "" {
		r.Header.Set("Last-Event-ID", s.id)
	}
	res, err := b.clients.Client.Do(r)
	if err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatal(res, err)
	}
	s.end = func() { cancel(); res.Body.Close(); synctest.Wait() }
	s.lines = bufio.NewScanner(res.Body)
	if got := s.next(); got != "retry" {
		s.t.Fatalf("the stream begins with %s", got)
	}
}

// next is one block: the data of an event, "id" for an id alone, "retry" for that.
func (s *source) next() (got string) {
	s.t.Helper()
	id := s.id
	for s.lines.Scan() {
		field, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch field {
		case "":
			if value != "" { // ": session ID"
				s.session = strings.TrimPrefix(value, "session ")
				continue
			}
			s.id = id
			if got == "" && id != "" {
				got = "id"
			}
			return got
		case "id":
			id = value
		case "retry", "data":
			if got = value; field == "retry" {
				got = field
			}
		}
	}
	s.t.Fatalf("the stream ended: %v", s.lines.Err())
	return ""
}

var number = regexp.MustCompile(`"data":(\d+),"id":"[\w-]+","cursor"`)

func (s *source) wantEvents(from, to int) {
	s.t.Helper()
	for i := from; i < to; i++ {
		got := s.next()
		if found := number.FindStringSubmatch(got); len(found) < 2 || found[1] != fmt.Sprint(i) {
			s.t.Errorf("got %s, want event %d", got, i)
		}
	}
}

var eventID = regexp.MustCompile(`^([A-Za-z0-9_-]{22,32})?\.[A-Za-z0-9_-]{22}$`)

// TestStreamsResumeOnAnyNode: with the id of the last event, also of none, a client gets what it has missed, once and in
// order, with no gap; or it is told of one.
func TestStreamsResumeOnAnyNode(t *testing.T) {
	onBoxesWith(t, 3, Config{}, node.Config{Recovery: time.Minute}, func(t *testing.T, b []*box) {
		emit := func(from, to int) {
			for i := from; i < to; i++ {
				b[2].node.In("/").To("r").Emit("e", i)
			}
			time.Sleep(time.Second)
		}
		s := &source{t: t, query: "?room=r"}
		s.to(b[0])
		if got := s.next(); got != "id" || !eventID.MatchString(s.id) || s.id[0] != '.' {
			t.Fatalf("a new session begins with %s, %q; want its id", got, s.id)
		}
		first := s.session
		s.end() // and has got nothing
		emit(0, 2)
		s.to(b[1])
		s.wantEvents(0, 2)
		if s.session != first || !eventID.MatchString(s.id) {
			t.Fatalf("session %s, id %q; want %s again", s.session, s.id, first)
		}
		emit(2, 5)
		s.wantEvents(2, 4) // the last one is lost on the way
		s.end()
		b[1].host.Kill()
		emit(5, 8)
		s.to(b[0])
		s.wantEvents(4, 8)
		b[2].node.In("/").To("r").Volatile().Emit("e", "volatile")
		time.Sleep(time.Second)
		before := s.id
		if got := s.next(); !strings.Contains(got, "volatile") || s.id != before {
			t.Errorf("got %s, and the id %s, was %s", got, s.id, before)
		}
		s.end()

		s.query += "&room=s" // of which it may miss something
		s.to(b[2])
		if got := s.next(); got != `{"type":"gap"}` || s.session != first || s.id != before {
			t.Errorf("with another room: %s, session %s, id %s", got, s.session, s.id)
		}
		emit(8, 9)
		s.wantEvents(8, 9)

		for _, id := range []string{"12", ".", strings.Split(s.id, ".")[0], "." + strings.Repeat("A", 22), s.id + "A"} {
			made := &source{t: t, query: "?room=r", id: id}
			made.to(b[0])
			if gap, next := made.next(), made.next(); gap != `{"type":"gap"}` || next != "id" || made.session == first || !eventID.MatchString(made.id) || made.id[0] != '.' {
				t.Errorf("id %s: %s, %s, session %s, id %s; want a gap, and the id of a new session", id, gap, next, made.session, made.id)
			}
			made.end()
		}
		s.end()

		// Who is disconnected by the server does not get the session back.
		last := &source{t: t, query: "?room=r"}
		last.to(b[0])
		last.next()
		b[0].node.In("/").To(last.session).Disconnect(t.Context(), true)
		time.Sleep(time.Second)
		last.end()
		last.to(b[2])
		if got := last.next(); got != `{"type":"gap"}` {
			t.Errorf("who was disconnected gets %s, want a gap", got)
		}
		last.end()
	})
}
