package ws

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// noticeEvery is the time between two lines about one cause.
const noticeEvery = time.Minute

// Notices writes at most one line a minute for each cause to a log, and says in it
// how many had none: clients that misbehave must not fill a disk. Causes are few
// and known to the program; none is made of what a client sends. Methods may be
// called concurrently.
type Notices struct {
	log *slog.Logger

	mu     sync.Mutex
	causes map[string]*notice
}

type notice struct {
	until      time.Time // quiet until then
	suppressed int       // since the last line
}

// NewNotices is for lines to log, at Info.
func NewNotices(log *slog.Logger) *Notices {
	return &Notices{log: log, causes: make(map[string]*notice)}
}

// Say writes a line about cause, unless the last one is less than a minute old.
func (n *Notices) Say(cause, message string, attrs ...slog.Attr) {
	suppressed, ok := n.due(cause)
	if !ok {
		return
	}
	attrs = append(attrs, slog.String("cause", cause))
	if suppressed > 0 {
		attrs = append(attrs, slog.Int("not_logged", suppressed))
	}
	n.log.LogAttrs(context.Background(), slog.LevelInfo, message, attrs...)
}

func (n *Notices) due(cause string) (suppressed int, ok bool) {
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.causes[cause]
	if c == nil {
		c = &notice{}
		n.causes[cause] = c
	}
	if now.Before(c.until) {
		c.suppressed++
		return 0, false
	}
	suppressed, c.suppressed = c.suppressed, 0
	c.until = now.Add(noticeEvery)
	return suppressed, true
}
