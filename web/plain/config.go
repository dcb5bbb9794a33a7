package plain

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

// Config says how clients are treated. Values of zero and below mean the default.
type Config struct {
	// PingInterval is how long a client may be silent before it is pinged, and how
	// long a stream may be before it gets a comment. Default 25 s.
	PingInterval time.Duration
	// PingTimeout is how long a client may then stay silent, and how long one
	// write to it may take. A dead client is gone PingInterval + PingTimeout after
	// it was last heard. Default 20 s.
	PingTimeout time.Duration
	// MaxPayload is the largest message of a client, in bytes; a larger one closes
	// the connection. Default 1,000,000.
	MaxPayload int
	// QueueBytes and QueueGroups limit what may wait for one client, in bytes and
	// messages, what is just being written included. A message that does not fit
	// cuts the connection; an empty queue takes one of any size. Default 1 MiB and
	// 65,536.
	QueueBytes, QueueGroups int

	// Drain is the time over which Run ends the sessions, so that not all clients
	// connect elsewhere at once; few end sooner, see ws.Roster.DrainOver. Zero: at once.
	Drain time.Duration

	// Accept judges a request before anything is allocated for it: web origins,
	// limits. An error refuses it, with the status and message of a *Refusal, else
	// with 403 and "Forbidden". It runs on the request's goroutine, so many at
	// once. Nil accepts all, web pages of any origin too: with cookies or in a
	// private network that is a danger.
	Accept func(*http.Request) error

	// Left is called once for each request that Accept let in, with its RemoteAddr,
	// when its connection or stream is over or did not come about. It must not block.
	Left func(remoteAddr string)
	// Rate is how many messages a second a client may send, and twice as many at
	// once. What comes faster is read later: nothing is lost, and the client is
	// slowed down. 0 and below is no limit.
	Rate int

	// Deflater compresses for websockets that ask for it (permessage-deflate). Nil is
	// no compression.
	Deflater *ws.Deflater

	// Logger gets what is a bug, a panic, at Error, and what clients do at Debug.
	// Default: slog.Default().
	Logger *slog.Logger
}

// Refusal is the error of Config.Accept that chooses its answer.
type Refusal = ws.Refusal

const (
	defaultPingInterval = 25 * time.Second
	defaultPingTimeout  = 20 * time.Second
	// openTimeout is how long a new session may wait for the other nodes to learn
	// of it: as long as a Socket.IO client may take to connect.
	openTimeout = 45 * time.Second
)

func (c Config) withDefaults() Config {
	positive(&c.PingInterval, defaultPingInterval)
	positive(&c.PingTimeout, defaultPingTimeout)
	positive(&c.MaxPayload, ws.DefaultMaxPayload)
	positive(&c.QueueBytes, ws.DefaultQueueBytes)
	positive(&c.QueueGroups, ws.DefaultQueueGroups)
	if c.Accept == nil {
		c.Accept = func(*http.Request) error { return nil }
	}
	if c.Left == nil {
		c.Left = func(string) {}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// positive gives field its default unless it has a positive value.
func positive[T int | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}
