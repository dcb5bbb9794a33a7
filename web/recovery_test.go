package web

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/meshrt/meshrt/node"
)

// minCursor is the length of the shortest cursor.
const minCursor = 22

// TestClientsOfBothProtocolsComeBack: what they are told, and what they get, when their connection broke;
// and who has said goodbye is new.
func TestClientsOfBothProtocolsComeBack(t *testing.T) {
	onBoxesWith(t, 2, Config{}, node.Config{Recovery: time.Minute}, func(t *testing.T, b []*box) {
		type words struct{ ID, Session, Cursor, SID, PID string }
		said := func(text string) (w words) {
			if err := json.Unmarshal([]byte(strings.TrimPrefix(text, "40")), &w); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			return w
		}
		next := func(c interface{ Next() (string, error) }) string {
			got, err := c.Next()
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		plain := b[0].clients.Dial("/ws")
		first := said(next(plain))
		plain.Send(`{"type":"join","id":1,"room":"r"}`)
		plain.Expect(`{"type":"ack","id":1,"ok":true}`)
		io := b[0].clients.Dial("/socket.io/?EIO=4&transport=websocket")
		next(io)
		io.Send(`40`)
		firstIO := said(next(io))
		io.Send(`421["join","r"]`)
		io.Expect(`431[{"ok":true}]`)

		// High and low ones keep the order of all: a cursor is a place.
		for _, p := range []node.Priority{node.Low, node.High, node.Normal} {
			b[1].node.In("/").To("r").Priority(p).Emit("e", "x")
		}
		time.Sleep(time.Second)
		_, past := b[1].ops.Get("/api/history?room=r&limit=50")
		var cursor, offset string
		for range 3 {
			event := said(next(plain))
			cursor = event.Cursor
			var args []string
			if text := next(io); json.Unmarshal([]byte(strings.TrimPrefix(text, "42")), &args) != nil || len(args) != 3 || len(cursor) < minCursor {
				t.Fatalf("got %s, want a cursor behind the argument", text)
			}
			if offset = args[2]; offset != cursor || !strings.Contains(past, `"id":"`+event.ID+`"`) {
				t.Errorf("got %q behind the argument, of a websocket %+v, and of history %s", offset, event, past)
			}
		}
		plain.Close()
		io.Close()
		b[1].node.In("/").To("r").Emit("missed", 1)
		time.Sleep(time.Second)

		again := b[1].clients.Dial("/ws?session=" + first.Session + "&cursor=" + cursor)
		text := next(again)
		if w := said(text); !strings.Contains(text, `"recovered":true`) || w.ID != first.ID || w.Session != first.Session {
			t.Fatalf("welcome %s", text)
		}
		if got := next(again); !strings.Contains(got, `"event":"missed","data":1`) {
			t.Errorf("got %s, want what it missed", got)
		}
		againIO := b[1].clients.Dial("/socket.io/?EIO=4&transport=websocket")
		next(againIO)
		againIO.Send(`40{"pid":"` + firstIO.PID + `","offset":"` + offset + `"}`)
		if w := said(next(againIO)); w.SID != firstIO.SID || w.PID != firstIO.PID {
			t.Errorf("connected as %+v, want %+v", w, firstIO)
		}
		if got := next(againIO); !strings.HasPrefix(got, `42["missed",1,"`) {
			t.Errorf("got %s, want what it missed", got)
		}
		time.Sleep(time.Second)
		_, metrics := b[1].ops.Get("/metrics")
		for _, sample := range []string{`history_requests_total{result="answered"} 1`, `history_requests_total{result="refused"} 0`, "history_messages_total 3",
			"history_incomplete_total 0", "history_waited_total 0", `history_seconds_bucket{le="3"} 1`, "history_seconds_count 1"} {
			if !strings.Contains(metrics, "\nmeshrt_"+sample+"\n") {
				t.Errorf("no metric %s", sample)
			}
		}
		if !strings.Contains(metrics, "\nmeshrt_recovery_recovered_total 2\n") || strings.Contains(metrics, "meshrt_recovery_log_bytes 0\n") {
			t.Error("the metrics do not say so")
		}
		for _, sample := range []string{"recovery_gathers_total 2", "recovery_too_many_total 0", "recovery_too_much_total 0",
			"recovery_full_total 0", "recovery_evicted_total 0", "recovery_outgrown_total 0", "recovery_gapped_total 0",
			"recovery_coming 0", "recovery_held_bytes 0", "recovery_unsent_bytes 0", "recovery_put_off_total 0", "mesh_bulk_bytes 0", "mesh_bulk_too_large_total 0"} {
			if !strings.Contains(metrics, "\nmeshrt_"+sample+"\n") {
				t.Errorf("no metric %s", sample)
			}
		}

		again.Bye()
		time.Sleep(time.Second)
		third := b[0].clients.Dial("/ws?session=" + first.Session + "&cursor=" + cursor)
		if got := next(third); !strings.Contains(got, `"recovered":false`) || said(got).Session == first.Session {
			t.Errorf("welcome %s of a client that had said goodbye", got)
		}
		third.Close()
		againIO.Close()
	})
}

// TestWhoMissedMoreThanAQueueHoldsIsNotCutForEver: such a client gets a new session, and not a replay that its own queue refuses.
func TestWhoMissedMoreThanAQueueHoldsIsNotCutForEver(t *testing.T) {
	onBoxesWith(t, 2, Config{}, node.Config{Recovery: time.Minute}, func(t *testing.T, b []*box) {
		c := b[0].clients.Dial("/ws")
		text, err := c.Next()
		var w struct{ Session string }
		if json.Unmarshal([]byte(text), &w); err != nil || w.Session == "" {
			t.Fatalf("welcome %s, %v", text, err)
		}
		c.Send(`{"type":"join","id":1,"room":"r"}`)
		c.Expect(`{"type":"ack","id":1,"ok":true}`)
		c.Close()
		time.Sleep(time.Second)
		for range 200 { // 2 MB
			b[1].node.In("/").To("r").Emit("missed", strings.Repeat("x", 10_000))
		}
		time.Sleep(time.Second)
		again := b[1].clients.Dial("/ws?session=" + w.Session)
		if text, err := again.Next(); !strings.Contains(text, `"recovered":false`) {
			t.Fatalf("welcome %.200s, %v", text, err)
		}
		again.Send(`{"type":"join","id":1,"room":"r"}`)
		again.Expect(`{"type":"ack","id":1,"ok":true}`)
		again.Close()
	})
}
