package engineio

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

// The names of the transports, as in the query of a request.
const (
	Polling   = "polling"
	WebSocket = "websocket"
)

// Defaults of Config. The first four are the official server's.
const (
	DefaultPingInterval   = 25 * time.Second
	DefaultPingTimeout    = 20 * time.Second
	DefaultUpgradeTimeout = 10 * time.Second
	DefaultMaxPayload     = ws.DefaultMaxPayload
	DefaultQueueBytes     = ws.DefaultQueueBytes
	DefaultQueueGroups    = ws.DefaultQueueGroups
)

// sidBytes is the randomness of a default session id. Who knows an id may use the
// session, so it must not be guessed.
const sidBytes = 20

// Config says how a Server treats its clients. The zero value of each field means
// its default.
type Config struct {
	// PingInterval is the time from the handshake, and from each pong, to the
	// next ping. Whole milliseconds: clients are told it in those. Shorter finds
	// dead clients sooner and costs two packets a client each time.
	PingInterval time.Duration
	// PingTimeout is how long a client may take to answer a ping, on polling to
	// fetch it too, and how long one write to it may take. A dead client is gone
	// after at most PingInterval + PingTimeout.
	PingTimeout time.Duration
	// UpgradeTimeout is how long a client may take to change its transport, from
	// the handshake of the websocket on. After it the websocket is closed and the
	// session goes on with polling.
	UpgradeTimeout time.Duration
	// MaxPayload is the largest websocket message or polling body of a client, in
	// bytes, the packet type included. A larger one ends the session.
	MaxPayload int

	// QueueBytes and QueueGroups limit what may wait for one client, what is just
	// being written included. A group that does not fit ends the session with
	// ReasonSlow; an empty queue takes one group of any size.
	QueueBytes, QueueGroups int

	// Transports are those that clients may use: Polling and WebSocket, the
	// default, and then they may go from the one to the other; or one of them.
	Transports []string

	// Drain is the time over which Run ends the sessions, so that not all clients
	// connect elsewhere at once; few end sooner, see ws.Roster.DrainOver. Zero: at once.
	Drain time.Duration

	// AllowEIO3 lets clients of Engine.IO 3 in, which come with Socket.IO 1 and 2.
	// See Socket.Version.
	AllowEIO3 bool

	// Accept judges the first request of a session before anything is allocated
	// for it: web origins, limits. An error refuses the request, with the status
	// and message of a *Refusal, else with 403 and "Forbidden". It runs on the
	// request's goroutine, so many at once. Nil accepts all, web pages of any
	// origin too: with cookies or in a private network that is a danger.
	Accept func(*http.Request) error

	// Left is called once for each request that Accept let in, with its RemoteAddr,
	// when its session has ended or did not come about. It must not block.
	Left func(remoteAddr string)
	// Rate is how many messages a second a client may send, an attachment counting
	// as one, and twice as many at once. What comes faster is read later: nothing is
	// lost, and the client is slowed down. 0 is no limit.
	Rate int

	// Deflater compresses for websockets that ask for it (permessage-deflate). Nil is
	// no compression.
	Deflater *ws.Deflater

	// NewSID draws the id of a session: unique, not to be guessed, and of
	// characters that need no escape in a query. Default: 20 random bytes in
	// base64url.
	NewSID func() string

	// Elsewhere serves a request with a session id that is not known here: another
	// server may have the session. An error must come before anything of the answer,
	// which then is that of a *Refusal, that of a body that is too large for an
	// *http.MaxBytesError, or else that the session is unknown. Whether the
	// transport is allowed is for the server that has the session. Requests are
	// served while Run ends too, and Run does not wait for them. Nil: there are no
	// other servers.
	Elsewhere func(w http.ResponseWriter, r *http.Request, sid string) error

	// Fetch finds a session that is not known here, for a websocket of its client, and
	// reports whether it may move here. Before, the websocket is judged by Accept.
	// Otherwise it is passed on to Elsewhere. Nil: sessions do not come.
	Fetch func(r *http.Request, sid string) (Incoming, bool)

	// Logger gets what is a bug, a panic or an id given twice, at Error, and what
	// clients do at Debug.
	// Default: slog.Default().
	Logger *slog.Logger
}

// Validate tells what is wrong with c, in words for whoever configured it.
func (c Config) Validate() error {
	c = c.withDefaults()
	for name, d := range map[string]time.Duration{
		"PingInterval": c.PingInterval, "PingTimeout": c.PingTimeout, "UpgradeTimeout": c.UpgradeTimeout,
	} {
		if d < time.Millisecond || d%time.Millisecond != 0 {
			return fmt.Errorf("engineio: %s is %v, want whole milliseconds, one or more", name, d)
		}
	}
	if c.Rate < 0 {
		return errors.New("engineio: Rate must not be negative")
	}
	if c.MaxPayload < 1 || c.QueueBytes < 1 || c.QueueGroups < 1 {
		return errors.New("engineio: MaxPayload, QueueBytes and QueueGroups must be positive")
	}
	for _, name := range c.Transports {
		if name != Polling && name != WebSocket {
			return fmt.Errorf("engineio: no transport is called %q", name)
		}
	}
	return nil
}

func (c Config) withDefaults() Config {
	set(&c.PingInterval, DefaultPingInterval)
	set(&c.PingTimeout, DefaultPingTimeout)
	set(&c.UpgradeTimeout, DefaultUpgradeTimeout)
	set(&c.MaxPayload, DefaultMaxPayload)
	set(&c.QueueBytes, DefaultQueueBytes)
	set(&c.QueueGroups, DefaultQueueGroups)
	set(&c.Logger, slog.Default())
	if c.Transports == nil {
		c.Transports = []string{Polling, WebSocket}
	}
	c.Transports = slices.Clone(c.Transports)
	if c.Left == nil {
		c.Left = func(string) {}
	}
	if c.NewSID == nil {
		c.NewSID = newSID
	}
	return c
}

// set gives field its default when it has the zero value.
func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func newSID() string {
	var b [sidBytes]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
