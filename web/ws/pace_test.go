package ws_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

func TestPaceLetsABurstThroughAndThenItsRate(t *testing.T) {
	start := time.Now()
	for _, tt := range []struct {
		rate, burst int
		interval    time.Duration
	}{{100, 200, 10 * time.Millisecond}, {1, 2, time.Second}, {2_000_000_000, 1, 0}} {
		p := ws.NewPace(tt.rate)
		for i := range tt.burst {
			if wait := p.Next(start); wait != 0 {
				t.Fatalf("rate %d: message %d of the burst waits %v", tt.rate, i+1, wait)
			}
		}
		for i := range 3 {
			if got, want := p.Next(start), time.Duration(i+1)*tt.interval; got != want {
				t.Errorf("rate %d: message %d after the burst waits %v, want %v", tt.rate, i+1, got, want)
			}
		}
		if wait := p.Next(start.Add(time.Hour)); wait != 0 {
			t.Errorf("rate %d: after an hour a message waits %v", tt.rate, wait)
		}
	}
	var none ws.Pace
	if none.Limited() || none.Next(start) != 0 {
		t.Error("the zero Pace has a limit")
	}
}

func TestNoticesSayEachCauseOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		n := ws.NewNotices(slog.New(slog.NewTextHandler(&out, nil)))
		for range 5 {
			n.Say("one", "cut")
			n.Say("two", "cut")
		}
		time.Sleep(time.Minute - time.Nanosecond)
		n.Say("one", "cut")
		if got := strings.Count(out.String(), "cause=one"); got != 1 {
			t.Errorf("%d lines about a cause within a minute, want 1", got)
		}
		time.Sleep(time.Nanosecond)
		n.Say("one", "cut")
		if got := strings.Count(out.String(), "cause=one not_logged=5"); got != 1 {
			t.Errorf("the line after a minute does not count the others:\n%s", &out)
		}
	})
}
