package engineio_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/meshrt/meshrt/web/engineio"
)

// Official clients put all that they have into one POST.
func TestThousandsOfPacketsInOnePost(t *testing.T) {
	for _, n := range []int{1000, 100_000} {
		app := newApp(nil)
		inBubble(t, official, app, func(t *testing.T, h *host) {
			p := h.polling(app)
			packets, want := make([]string, n), make([]string, n)
			for i := range n {
				want[i] = fmt.Sprint(i)
				packets[i] = "4" + want[i]
			}
			p.wantPost(packets...)
			if got := p.s.messages(); got != strings.Join(want, ",") {
				t.Errorf("%d packets: received %d bytes, want %d in order", n, len(got), len(strings.Join(want, ",")))
			}
		})
	}
}

func TestThousandEchoesInOneTick(t *testing.T) {
	app := newApp(echo)
	inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		var packets []string
		for i := range 1000 {
			packets = append(packets, fmt.Sprintf(`42["message","%d"]`, i))
		}
		waiting := p.hang()
		p.wantPost(packets...)
		var got []string
		for len(got) < 1000 { // the first poll has what was there when it woke
			one := string(<-waiting)
			got = append(got, strings.Split(strings.TrimPrefix(one, "200 "), "\x1e")...)
			if len(got) < 1000 {
				waiting = p.hang()
			}
		}
		if payload(got...) != payload(packets...) {
			t.Errorf("%d echoes, lost or out of order", len(got))
		}
	})
}

// The limit is in bytes of the body, whatever it claims to have.
func TestBodyAtMaxPayload(t *testing.T) {
	cfg := official
	cfg.MaxPayload = 1000
	for _, chunked := range []bool{false, true} {
		app := newApp(echo)
		inBubble(t, cfg, app, func(t *testing.T, h *host) {
			p := h.polling(app)
			post := func(body string) answer {
				var r io.Reader = strings.NewReader(body)
				if chunked {
					r = io.MultiReader(r) // hides the length
				}
				return p.do(context.Background(), "POST", r, nil)
			}
			largest := "4" + strings.Repeat("é", 499) + "x"
			if got := post(largest); got != "200 ok" {
				t.Errorf("1000 bytes: %q, want 200 ok", got)
			}
			p.wantGet(answer("200 " + largest))
			want := answer(`413 {"code":3,"message":"Payload too large"}`)
			if got := post(largest + "x"); got != want {
				t.Errorf("1001 bytes: %q, want %q", got, want)
			}
			p.wantGet(unknownSID)
			wantEnd(t, p.s, engineio.ReasonTooBig)
			time.Sleep(time.Second) // net/http keeps the connection for a while
		})
	}
}

// A message may be kept for long: a small one must not keep a large body.
func TestMessagesDoNotShareTheBody(t *testing.T) {
	app := newApp(nil)
	var got [][]byte
	handler := handlerFunc(func(s *engineio.Socket) engineio.Receiver {
		app.Opened(s)
		return receiverFunc(func(data []byte) { got = append(got, data) })
	})
	inBubble(t, official, handler, func(t *testing.T, h *host) {
		p := h.polling(app)
		p.wantPost("4large"+strings.Repeat("x", 1000), "4small")
		if len(got) != 2 || string(got[1]) != "small" {
			t.Fatalf("received %q", got)
		}
		address := func(data []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(data))) }
		if address(got[1])-address(got[0]) == uintptr(len(got[0])+2) {
			t.Error("the small message lies behind the large one, in the memory of the body")
		}
	})
}

// receiverFunc is a Receiver of one function.
type receiverFunc func(data []byte)

func (f receiverFunc) Received(data []byte, _ bool) { f(data) }
func (f receiverFunc) Closed(engineio.Reason)       {}

func TestGroupsStayTogetherInAPayload(t *testing.T) {
	app := newApp(nil)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		for _, data := range []string{"1", "2"} {
			p.s.Send(event(data))
		}
		p.wantGet("200 451-1\x1ebMQ==\x1e451-2\x1ebMg==")
	})
}

func TestSendAloneDoesNotWakeThePoll(t *testing.T) {
	app := newApp(nil)
	inBubble(t, official, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		waiting := p.hang()
		p.s.Send(message("x", false))
		p.s.Send(message("y", false))
		wantNothing(t, waiting)
		p.s.Flush()
		wantNow(t, waiting, "200 4x\x1e4y")
	})
}

func TestQueueOfAClientThatDoesNotPollIsLimited(t *testing.T) {
	cfg := official
	cfg.QueueGroups = 4
	app := newApp(nil)
	inBubble(t, cfg, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		for range 2 { // an answer that is out counts no more, though the next poll is not in
			for i := range 4 {
				if !p.s.Send(message("x", false)) {
					t.Fatalf("Send %d = false, want true", i+1)
				}
			}
			p.wantGet("200 4x\x1e4x\x1e4x\x1e4x")
			synctest.Wait()
		}
		for range 4 {
			p.s.Send(message("x", false))
		}
		if p.s.Send(message("x", false)) {
			t.Error("fifth group fits a queue of four")
		}
		wantEnd(t, p.s, engineio.ReasonSlow)
		p.wantGet(unknownSID)
	})
}

// A client that does not read its poll: what is on its way counts, the next poll
// waits behind it, and PingTimeout is how long one answer may take.
func TestAnswerThatIsNotRead(t *testing.T) {
	cfg := official
	cfg.QueueGroups = 4
	cfg.PingInterval = time.Minute
	app := newApp(nil)
	inBubble(t, cfg, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		c := p.raw("GET", "\r\n")
		send := func(data string) bool {
			defer p.s.Flush()
			return p.s.Send(message(data, false))
		}
		send("a")
		synctest.Wait()
		next := p.hang() // no second poll at once: the client may have got its answer
		if !send("b") || !send("c") || !send("d") {
			t.Error("three groups do not fit beside the one that is being written")
		}
		wantNothing(t, next)
		time.Sleep(199 * time.Millisecond)
		if got := c.read(); got != "200 4a" {
			t.Errorf("first poll: %q, want 200 4a", got)
		}
		wantNow(t, next, "200 4b\x1e4c\x1e4d")

		p.raw("GET", "\r\n")
		send("e")
		synctest.Wait()
		start := time.Now()
		for _, fits := range []bool{true, true, true, false} {
			if send("f") != fits {
				t.Errorf("Send = %v beside an answer that is being written", !fits)
			}
		}
		wantEnd(t, p.s, engineio.ReasonSlow)

		p = h.polling(app)
		p.raw("GET", "\r\n")
		send("e")
		next = p.hang()
		time.Sleep(200 * time.Millisecond)
		wantEnd(t, p.s, engineio.ReasonSlow)
		if took := p.s.endedAt.Sub(start); took != 200*time.Millisecond {
			t.Errorf("ended after %v, want 200ms", took)
		}
		wantNow(t, next, "200 1")
	})
}

// What a graceful end waits for is three seconds, and what cuts waits for nothing.
func TestEndWhileAnAnswerIsNotRead(t *testing.T) {
	for reason, want := range map[engineio.Reason]time.Duration{
		engineio.ReasonForcedClose: 3 * time.Second,
		engineio.ReasonParseError:  3 * time.Second, // has no other wait
		engineio.ReasonSlow:        0,
	} {
		app := newApp(nil)
		inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
			p := h.polling(app)
			p.raw("GET", "\r\n") // waits, and its answer is the end
			p.s.Close(reason)
			time.Sleep(3 * time.Second)
			wantEnd(t, p.s, reason)
			if took := p.s.endedAt.Sub(p.s.OpenedAt()); took != 3*time.Second {
				t.Errorf("%v: the last answer was given %v, want 3s", reason, took)
			}

			p = h.polling(app)
			p.raw("GET", "\r\n")
			p.s.Send(message("a", false))
			p.s.Flush()
			synctest.Wait()
			p.s.Close(reason)
			time.Sleep(want)
			wantEnd(t, p.s, reason)
			if took := p.s.endedAt.Sub(p.s.OpenedAt()); took != want {
				t.Errorf("%v: ended after %v, want %v", reason, took, want)
			}
		})
	}
}

// The web server's own time limits are for requests that do not wait.
func TestPollOutlivesTheTimeoutsOfTheServer(t *testing.T) {
	app := newApp(nil)
	inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
		synctest.Wait() // Serve has read what it reads of the fields
		h.web.ReadTimeout, h.web.WriteTimeout = time.Second, time.Second
		p := h.polling(app)
		start := time.Now()
		p.wantGet("200 2")
		if took := time.Since(start); took != engineio.DefaultPingInterval {
			t.Errorf("ping after %v, want %v", took, engineio.DefaultPingInterval)
		}
	})
}

// Over TCP, where a connection that is closed with unread input is reset and may
// lose the answer.
func TestAnswerToABodyThatIsTooLargeArrives(t *testing.T) {
	app := newApp(nil)
	l, _ := listenTCP(t)
	h := newHost(t, l, engineio.Config{}, app)
	defer h.stop()
	for range 10 {
		p := h.polling(app)
		got := p.do(context.Background(), "POST", bytes.NewReader(make([]byte, 3_000_000)), nil)
		if want := answer(`413 {"code":3,"message":"Payload too large"}`); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
