package gossip

import (
	"context"
	"log"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxLogLine = 400 // bytes; strangers' names and metadata are part of the text
	// blockedUDPEvery is how often it is said that only TCP gets through.
	blockedUDPEvery = 10 * time.Minute
)

// logs receives memberlist's log lines. Nearly all go to debug: what memberlist
// warns of heals by itself, and joins and leaves are logged by the rejoin loop.
type logs struct {
	log    *slog.Logger
	count  *counters
	closed atomic.Bool // memberlist's goroutines outlive Run by a probe

	mu   sync.Mutex
	said time.Time // when blocked UDP was last warned of
}

func (l *logs) logger() *log.Logger { return log.New(l, "", 0) }

// Write takes one line. It always succeeds.
func (l *logs) Write(p []byte) (int, error) {
	if l.closed.Load() {
		return len(p), nil
	}
	line := string(p[:min(len(p), maxLogLine)])
	l.tally(line)
	if strings.Contains(line, "over TCP but UDP probes failed") && l.due() {
		l.log.Warn("a member is reached over TCP only: is UDP blocked on the cluster port?", "detail", text(line))
	} else if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("memberlist", "detail", text(line))
	}
	return len(p), nil
}

// tally counts what memberlist tells only its log.
func (l *logs) tally(line string) {
	switch {
	case strings.Contains(line, "handler queue full"):
		l.count.messagesDropped.Add(1)
	case strings.Contains(line, "Decrypt packet failed"), strings.Contains(line, "packet with unacceptable label"):
		l.count.packetsRefused.Add(1)
	}
}

func (l *logs) due() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !l.said.IsZero() && now.Sub(l.said) < blockedUDPEvery {
		return false
	}
	l.said = now
	return true
}

// text is a line without level and name: "[ERR] memberlist: ...".
func text(line string) string {
	if strings.HasPrefix(line, "[") {
		if _, rest, ok := strings.Cut(line, "] "); ok {
			line = rest
		}
	}
	return strings.ToValidUTF8(strings.TrimSpace(strings.TrimPrefix(line, "memberlist: ")), "?")
}
