package bench

import (
	"bytes"
	"strings"
	"testing"
)

func TestDialects(t *testing.T) {
	node := socketIO{quote("enter \"x\""), quote("say")}
	for _, tt := range []struct {
		d              dialect
		at             stage
		in, room       string
		next           stage
		reply, failure string
	}{
		{node, opening, `0{"sid":"a","upgrades":[],"pingInterval":25000}`, "r", connected, "40", ""},
		{node, connected, `40{"sid":"b"}`, "r", joining, `420["enter \"x\"","r"]`, ""},
		{node, connected, `40{"sid":"b"}`, "", ready, "", ""},
		{node, connected, `44{"message":"Invalid namespace"}`, "r", connected, "", "refuses the namespace"},
		{node, joining, `430[]`, "r", ready, "", ""},
		{node, joining, `430[{"ok":true}]`, "r", ready, "", ""},
		{node, joining, `430["anything"]`, "r", ready, "", ""},
		{node, joining, `431[]`, "r", joining, "", ""},
		{node, joining, `430[{"ok":false,"error":"full","code":"limit"}]`, "r", ready, "", `refuses the join: "full"`},
		{node, joining, `42["news",1]`, "r", joining, "", ""},
		{node, ready, `2`, "r", ready, "3", ""},
		{node, ready, `41`, "r", ready, "", "disconnects"},
		{node, ready, `1`, "r", ready, "", "closes the session"},
		{node, ready, `6`, "r", ready, "", ""},
		{node, ready, `42[`, "r", ready, "", "malformed"},
		{node, opening, `x`, "r", opening, "", "malformed"},
		{plainJSON{}, opening, `{"type":"welcome","id":"a","node":"n"}`, "r", joining, `{"type":"join","id":1,"room":"r"}`, ""},
		{plainJSON{}, opening, `{"type":"welcome","id":"a","node":"n"}`, "", ready, "", ""},
		{plainJSON{}, joining, `{"type":"ack","id":1,"ok":true}`, "r", ready, "", ""},
		{plainJSON{}, joining, `{"type":"ack","id":1,"ok":false,"error":"no","code":"limit"}`, "r", ready, "", `refuses the join: "no"`},
		{plainJSON{}, ready, `{"type":"error","error":"no","code":"invalid"}`, "r", ready, "", `refuses a command: "no"`},
		{plainJSON{}, ready, `{"type":"event","event":"e"}`, "r", ready, "", ""},
		{plainJSON{}, ready, `<html>`, "r", ready, "", "no JSON"},
		{nats{48}, opening, "INFO {}\r\n", "r", joining, "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"go\",\"version\":\"0\"}\r\nSUB r r\r\nPING\r\n", ""},
		{nats{48}, opening, "INFO {}\r\n", "", joining, "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"go\",\"version\":\"0\"}\r\nPING\r\n", ""},
		{nats{48}, joining, "PONG\r\n", "r", ready, "", ""},
		{nats{48}, ready, "INFO {}\r\n", "r", ready, "", ""},
		{nats{48}, ready, "PING\r\n", "r", ready, "PONG\r\n", ""},
		{nats{48}, joining, "-ERR 'Permissions Violation'\r\n", "r", joining, "", "Permissions"},
	} {
		next, reply, err := tt.d.hear(tt.at, []byte(tt.in), false, tt.room)
		if next != tt.next || string(reply) != tt.reply {
			t.Errorf("%s at stage %d: %d, %q, want %d, %q", tt.in, tt.at, next, reply, tt.next, tt.reply)
		}
		if (err == nil) != (tt.failure == "") || err != nil && !strings.Contains(err.Error(), tt.failure) {
			t.Errorf("%s at stage %d: error %v, want %q", tt.in, tt.at, err, tt.failure)
		}
	}
}

func TestPublishIsWhatTheServerTakes(t *testing.T) {
	for _, tt := range []struct {
		protocol, want string
	}{
		{Meshrt, `42["publish","r\"","m","TEXT"]`},
		{Plain, `{"type":"publish","room":"r\"","event":"m","data":"TEXT"}`},
		{NATS, "PUB r\" 6\r\n\"TEXT\"\r\n"},
	} {
		c := Defaults(Fanout)
		c.Protocol, c.Size = tt.protocol, len("TEXT")
		before, after := newDialect(c).publish(`r"`)
		if got := string(before) + "TEXT" + string(after); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.protocol, got, tt.want)
		}
	}
}

// FuzzHear: whatever a server says, at any stage.
func FuzzHear(f *testing.F) {
	f.Add(0, false, `0{"sid":"a"}`)
	f.Add(2, false, `430[{"ok":true}]`)
	f.Add(3, true, "2")
	f.Add(2, false, `{"type":"ack","id":1,"ok":false,"error":{}}`)
	f.Fuzz(func(t *testing.T, at int, binary bool, text string) {
		from := stage(uint(at) % uint(gone))
		for _, d := range []dialect{socketIO{`"join"`, `"publish"`}, plainJSON{}} {
			next, _, err := d.hear(from, []byte(text), binary, "r")
			if next < from || next > from+1 || next == gone || err == nil && next == ready && from < joining {
				t.Errorf("%T: %q at stage %d leads to %d, %v", d, text, from, next, err)
			}
		}
	})
}

func TestSplitNATS(t *testing.T) {
	for _, tt := range []struct {
		in    string
		n     int
		fails bool
	}{
		{"", 0, false},
		{"PING\r", 0, false},
		{"PING\r\nPONG\r\n", 6, false},
		{"MSG r 1 5\r\nhello\r\n+OK", 18, false},
		{"MSG r 1 inbox 5\r\nhello\r\n", 24, false},
		{"MSG r 1 5\r\nhello\r", 0, false},
		{"MSG r 1 0\r\n\r\n", 13, false},
		{"MSG r 1 -1\r\n", 0, true},
		{"MSG r 1 99999999999\r\n", 0, true},
		{"MSG \r\n", 0, true},
		{strings.Repeat("x", maxLine-1), 0, false},
		{strings.Repeat("x", maxLine), 0, true},
	} {
		if n, err := splitNATS([]byte(tt.in)); n != tt.n || (err != nil) != tt.fails {
			t.Errorf("%.40q: %d, %v, want %d", tt.in, n, err, tt.n)
		}
	}
}

func FuzzSplitNATS(f *testing.F) {
	f.Add([]byte("MSG r 1 5\r\nhello\r\n"))
	f.Add([]byte("INFO {}\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := splitNATS(b)
		if n < 0 || n > len(b) || err != nil && n != 0 {
			t.Errorf("%q: %d, %v", b, n, err)
		}
		if n > 0 {
			if again, err := splitNATS(b[:n]); again != n || err != nil {
				t.Errorf("%q: %d bytes alone are %d, %v", b, n, again, err)
			}
		}
		if _, _, err := (nats{}).hear(opening, b[:n], false, "r"); err != nil && !bytes.HasPrefix(bytes.ToUpper(bytes.TrimSpace(b)), []byte("-ERR")) {
			t.Errorf("%q: %v", b, err)
		}
	})
}
