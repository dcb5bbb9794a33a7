package engineio_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/meshrt/meshrt/web/engineio"
)

// urgent is event with a priority.
func urgent(data string) *engineio.Group { return event(data).At(engineio.High) }

// readUntil is how many messages come before the one that is wanted.
func (c *client) readUntil(want string) (before int) {
	for c.read() != want {
		before++
	}
	return before
}

// Behind what is being written there is nothing that a high message waits for.
func TestHighMessageOvertakesAThousandThatWait(t *testing.T) {
	app := newApp(nil)
	inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
		c := h.open()
		s := <-app.opened
		s.Send(message("is being written", false))
		s.Flush()
		synctest.Wait() // the writer waits for the client
		for range 1000 {
			s.Send(message("normal", false))
		}
		s.Send(message("low", false).At(engineio.Low))
		s.Send(urgent("1"))
		s.Send(urgent("2"))
		s.Flush()
		for _, want := range []string{"4is being written", "451-1", "[49]", "451-2", "[50]"} {
			if got := c.read(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		if got := c.readUntil("4low"); got != 1000 {
			t.Errorf("%d messages before the low one, want 1000", got)
		}
	})
}

// A writer that has begun with a thousand messages is overtaken as well: it does
// not take all at once.
func TestHighMessageWaitsForOneBatch(t *testing.T) {
	const limit = 256
	app := newApp(nil)
	inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
		c := h.open()
		s := <-app.opened
		synctest.Wait()
		for i := range 1000 {
			s.Send(event(fmt.Sprint(i)))
		}
		s.Flush()
		synctest.Wait() // the writer waits for the client
		s.Send(urgent("high"))
		s.Flush()
		if got := c.readUntil("451-high"); got != 2*limit {
			t.Errorf("%d messages before the high one, want those of %d events", got, limit)
		}
		c.read()
		for i := limit; i < 1000; i++ { // order, and nothing between an event and its attachment
			if got, want := c.read()+c.read(), fmt.Sprint("451-", i)+fmt.Sprint([]byte(fmt.Sprint(i))); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	})
}

// What waits for a poll goes first by priority, and what the poll left goes on by
// the websocket in the same way.
func TestPrioritiesHoldOnPollingAndAcrossTheUpgrade(t *testing.T) {
	app := newApp(nil)
	inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		send := func(round string) {
			p.s.Send(message("low"+round, false).At(engineio.Low))
			p.s.Send(message("normal"+round, false))
			p.s.Send(urgent("high" + round))
			p.s.Send(message("ack"+round, false).At(engineio.Barrier))
			p.s.Send(message("late"+round, false).At(engineio.Low))
		}
		send("1")
		p.wantGet(answer("200 " + payload("451-high1", "baGlnaDE=", "4normal1", "4low1", "4ack1", "4late1")))
		c := p.probe()
		send("2")
		c.send("5")
		synctest.Wait()
		p.s.Send(urgent("high3")) // the writer has the first batch, of what is high
		var got []string
		for range 8 {
			got = append(got, c.read())
		}
		want := []string{"451-high2", "[104 105 103 104 50]", "451-high3", "[104 105 103 104 51]", "4normal2", "4low2", "4ack2", "4late2"}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

// A session that leaves takes all that waits with it, in the order in which it would
// have gone out.
func TestSessionThatLeavesTakesItsQueueInOrder(t *testing.T) {
	app := newApp(nil)
	inBubble(t, engineio.Config{}, app, func(t *testing.T, h *host) {
		p := h.polling(app)
		want := []string{"4high"}
		for i := range 1000 {
			p.s.Send(message(fmt.Sprint(i), false))
			want = append(want, fmt.Sprint("4", i))
		}
		p.s.Send(message("high", false).At(engineio.High))
		if !h.server.Leave(p.sid, "there") {
			t.Fatal("it stays")
		}
		l, _ := h.server.LeavingTo(p.sid, "there")
		l.Probed()
		if _, ok := l.Freeze(t.Context()); !ok {
			t.Fatal("it cannot be frozen")
		}
		if body, ok := l.Take(); !ok || string(body) != payload(want...) {
			t.Errorf("took %v, %d bytes: %.40q", ok, len(body), body)
		}
	})
}

// incoming is a session that comes with a queue and gets more at once.
type incoming struct{ app *app }

func (incoming) Probed() {}
func (incoming) GiveUp() {}
func (i incoming) Move(s *engineio.Socket) (engineio.Moved, error) {
	more := func() error {
		s.Send(message("normal", false))
		s.Send(message("high 2", false).At(engineio.High))
		s.Flush()
		return nil
	}
	return engineio.Moved{Receiver: i.app.Opened(s), Body: []byte(payload("4high 1", "4normal", "4low")), Begin: more}, nil
}

// What a session brings with it keeps its order to what comes later, in each priority.
func TestNothingOvertakesWhatASessionHasBrought(t *testing.T) {
	app := newApp(nil)
	cfg := engineio.Config{Fetch: func(*http.Request, string) (engineio.Incoming, bool) { return incoming{app}, true }}
	inBubble(t, cfg, app, func(t *testing.T, h *host) {
		p := &poller{h: h, sid: "elsewhere"}
		c := p.probe()
		c.send("5")
		for _, want := range []string{"4high 1", "4normal", "4low", "4high 2", "4normal"} {
			if got := c.read(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}

// A group that is written again for a client of version 3 keeps its place.
func TestVersion3HasPrioritiesToo(t *testing.T) {
	app := newApp(nil)
	inBubble(t, officialV3, app, func(t *testing.T, h *host) {
		c := h.legacySocket("&b64=1")
		c.read()
		s := <-app.opened
		synctest.Wait()
		s.Send(message("normal", false))
		s.Send(urgent("1"))
		s.Flush()
		if got := c.read() + c.read() + c.read(); got != "451-1"+"b4MQ=="+"4normal" {
			t.Errorf("got %q", got)
		}
	})
}

// A pong that still waits is not sent again, however many batches go before it.
func TestPongWaitsOnce(t *testing.T) {
	app := newApp(nil)
	inBubble(t, officialV3, app, func(t *testing.T, h *host) {
		c := h.legacySocket("")
		c.read()
		s := <-app.opened
		synctest.Wait()
		for i := range 600 {
			s.Send(message(fmt.Sprint(i), false))
		}
		s.Flush()
		c.send("2")
		synctest.Wait() // the pong is in the third batch
		for range 300 {
			c.read()
		}
		c.send("2")
		synctest.Wait()
		go s.Close(engineio.ReasonForcedClose)
		got, _ := c.readAll()
		all := strings.Split(got, ",")
		pongs := len(slices.DeleteFunc(slices.Clone(all), func(p string) bool { return p != "3" }))
		if pongs != 1 || all[len(all)-1] != "3" {
			t.Errorf("%d pongs, and %s at the end: want one behind all", pongs, all[len(all)-1])
		}
	})
}
