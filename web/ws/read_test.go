package ws_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/web/ws"
)

// A connection that ends within a message must not make half of it a whole one. The
// library would take the end of the stream for the message's end at the places that
// are marked.
func TestMessageThatIsCutShortIsNotReceived(t *testing.T) {
	for name, sent := range map[string][]byte{
		"after the header (marked)":            masked(0x81, 5, ""),
		"within a frame":                       masked(0x81, 5, "he"),
		"after one read of a frame (marked)":   masked(0x81, 600, strings.Repeat("x", 512)),
		"between two fragments (marked)":       masked(0x01, 2, "he"),
		"within the header of a fragment":      append(masked(0x01, 2, "he"), 0x80),
		"after the header of a control frame":  masked(0x89, 5, ""),
		"within the header of the first frame": {0x81},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, limits, nil, func(t *testing.T, h *host) {
				c, s := h.deafOpen()
				if _, err := c.Write(sent); err != nil {
					t.Fatal(err)
				}
				c.Close()
				if got := s.cause(); got != ws.CauseLost {
					t.Errorf("cause %d, want the connection lost", got)
				}
				if got := s.messages(); got != "" {
					t.Errorf("received %q, half a message", got)
				}
			})
		})
	}
}

func TestFragmentsAreOneMessage(t *testing.T) {
	inBubble(t, limits, nil, func(t *testing.T, h *host) {
		c, s := h.deafOpen()
		c.Write(masked(0x01, 2, "he"))
		c.Write(masked(0x89, 0, "")) // a ping may stand between
		c.Write(masked(0x80, 3, "llo"))
		synctest.Wait()
		if got := s.messages(); got != "hello" {
			t.Errorf("received %q, want hello", got)
		}
	})
}

func TestBreachOfTheProtocolCuts(t *testing.T) {
	for name, sent := range map[string][]byte{
		"unmasked":            {0x81, 1, 'x'},
		"reserved bit":        masked(0xa1, 1, "x"),
		"unknown opcode":      masked(0x83, 1, "x"),
		"lone continuation":   masked(0x80, 1, "x"),
		"fragmented ping":     masked(0x09, 1, "x"),
		"length's top bit":    {0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"new message within":  append(masked(0x01, 1, "x"), masked(0x81, 1, "x")...),
		"close frame of one":  masked(0x88, 1, "x"),
		"close, status 1006":  masked(0x88, 2, "\x03\xee"),
		"control over 125":    masked(0x89, 126, strings.Repeat("x", 126)),
		"compressed, unasked": masked(0xc1, 1, "\x00"),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, limits, nil, func(t *testing.T, h *host) {
				c, s := h.deafOpen()
				c.Write(sent)
				if got := s.cause(); got != ws.CauseBreach {
					t.Errorf("cause %d, want a breach", got)
				}
				if got := s.messages(); got != "" {
					t.Errorf("received %q", got)
				}
			})
		})
	}
}

func TestLossIsToldFromOtherEnds(t *testing.T) {
	closing := func(status websocket.StatusCode) func(*client) {
		return func(c *client) { c.Close(status, "") }
	}
	for name, tt := range map[string]struct {
		leave func(*client)
		want  ws.Cause
	}{
		"without a word":             {func(c *client) { c.CloseNow() }, ws.CauseLost},
		"a page that goes":           {closing(websocket.StatusGoingAway), ws.CauseLost},
		"a status of its own":        {closing(4000), ws.CauseLost},
		"a goodbye":                  {closing(websocket.StatusNormalClosure), ws.CauseGoodbye},
		"a goodbye without a status": {closing(websocket.StatusNoStatusRcvd), ws.CauseGoodbye},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, limits, nil, func(t *testing.T, h *host) {
				c, s := h.open()
				start := time.Now()
				tt.leave(c)
				if got := s.cause(); got != tt.want {
					t.Errorf("cause %d, want %d", got, tt.want)
				}
				if took := s.served.Sub(start); took != 0 {
					t.Errorf("took %v, want no time", took)
				}
			})
		})
	}
}

func TestLargestMessageIsReceivedAndOneByteMoreIsNot(t *testing.T) {
	inBubble(t, limits, nil, func(t *testing.T, h *host) {
		c, s := h.open()
		largest := strings.Repeat("x", limits.MaxPayload)
		c.send(largest)
		c.send(largest + "x")
		_, end := c.readAll()
		if end.Code != websocket.StatusMessageTooBig {
			t.Errorf("status %d, want 1009", end.Code)
		}
		if got := s.cause(); got != ws.CauseTooBig || s.messages() != largest {
			t.Errorf("cause %d and %d bytes received, want too big and %d", got, len(s.messages()), len(largest))
		}
	})
}

func TestTextMustBeUTF8AndBinaryNeedNot(t *testing.T) {
	inBubble(t, limits, nil, func(t *testing.T, h *host) {
		c, s := h.open()
		c.Write(context.Background(), websocket.MessageBinary, []byte("\xff"))
		c.send("é")
		c.send("\xff")
		_, end := c.readAll()
		if got := s.cause(); got != ws.CauseInvalidText || end.Code != websocket.StatusInvalidFramePayloadData {
			t.Errorf("cause %d and status %d, want invalid text and 1007", got, end.Code)
		}
		if got := s.messages(); got != "\xff,é" {
			t.Errorf("received %q, want the binary message and é", got)
		}
		if n, bytes := h.cfg.Traffic.MessagesIn.Load(), h.cfg.Traffic.BytesIn.Load(); n != 2 || bytes != 3 {
			t.Errorf("counted %d messages of %d bytes, want 2 of 3", n, bytes)
		}
	})
}

func TestOpenedComesBeforeTheFirstMessage(t *testing.T) {
	var leave chan struct{}
	setup := func(s *session) { s.opened = func(*session) { <-leave } }
	inBubble(t, limits, setup, func(t *testing.T, h *host) {
		leave = make(chan struct{})
		c, s := h.open()
		go c.Write(context.Background(), websocket.MessageText, []byte("early"))
		s.send("meanwhile")
		if got := c.read(); got != "meanwhile" {
			t.Errorf("got %q while Opened runs, want what was queued", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := s.messages(); got != "" {
			t.Errorf("received %q before Opened returned", got)
		}
		close(leave)
		synctest.Wait()
		if got := s.messages(); got != "early" {
			t.Errorf("received %q, want early", got)
		}
	})
}

// Whatever comes counts, and while the handler keeps us from reading, the silence
// is not the client's.
func TestHeardIsWhenSomethingCameLast(t *testing.T) {
	setup := func(s *session) {
		s.opened = func(*session) { time.Sleep(time.Second) }
		s.received = func(_ *session, data string, _ bool) {
			if data == "work" {
				time.Sleep(10 * time.Second)
			}
		}
	}
	inBubble(t, limits, setup, func(t *testing.T, h *host) {
		c, in, s := h.rawOpen()
		go io.Copy(io.Discard, in)
		start := time.Now()
		at := func(what string, ago, want time.Duration) {
			t.Helper()
			time.Sleep(ago)
			synctest.Wait()
			if got := s.Heard().Sub(start); got != want {
				t.Errorf("%s: heard %v after the start, want %v", what, got, want)
			}
		}
		at("while Opened runs", time.Second/2, time.Second/2)
		at("when it has returned", time.Second, time.Second)
		c.Write(masked(0x8a, 0, ""))
		at("after a pong", time.Second, time.Second*3/2)
		c.Write(masked(0x01, 2, "x")[:3])
		at("within a header", time.Second, time.Second*5/2)
		c.Write([]byte{0, 0, 0, 'x'})
		at("within a message", time.Second, time.Second*7/2)
		c.Write([]byte("x"))
		c.Write(masked(0x80, 0, ""))
		c.Write(masked(0x81, 4, "work"))
		at("while Received runs", 5*time.Second, time.Second*19/2)
		at("when it has returned", 20*time.Second, time.Second*29/2)
	})
}
