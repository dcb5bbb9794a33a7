package forward

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

// header tells the other node what a request is: "http" or "https", how it came,
// and the address of the client; or a word of the node itself: kindMove and a time,
// or kindLeave. It is never taken from a client.
const (
	header    = "Meshrt-Forward"
	kindMove  = "move"
	kindLeave = "leave"
)

// exchange is one request that is passed on.
type exchange struct {
	ctx      context.Context // of all that is passed on
	cancel   context.CancelCauseFunc
	peer     *peer
	in       *http.Request
	w        http.ResponseWriter
	answered bool // the client has got, or gets, the answer of the other node
	err      error
	opens    bool        // it has no session yet: see Open
	late     *time.Timer // of those: when the other node has taken too long
}

// begin says that the answer comes, and bounds what the client can make of it: of a
// body that the other node did not want to the end, net/http reads on afterwards.
func (x *exchange) begin(timeout time.Duration) {
	x.answered = true
	rc, now := http.NewResponseController(x.w), time.Now()
	rc.SetWriteDeadline(now.Add(timeout))
	if x.in.ContentLength != 0 {
		rc.SetReadDeadline(now.Add(ws.CloseTimeout))
	}
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

// Pass serves a request for a session that is not known here, if another node has
// it: an engineio.Config.Elsewhere. After an error nothing of an answer was written.
// It is an *engineio.Refusal, or has an *http.MaxBytesError in it, or means that there
// is no such session.
func (f *Forwarder) Pass(w http.ResponseWriter, r *http.Request, sid string) error {
	id := f.ids.owner(sid)
	switch id {
	case 0:
		f.counts.out[forged].Add(1)
		return errForged
	case f.self:
		return errHere
	}
	p, err := f.enter(id)
	if err != nil {
		f.counts.out[resultOf(err)].Add(1)
		return err
	}
	defer f.leave(p)
	release, err := f.reserve(r)
	if err != nil {
		f.counts.out[busy].Add(1)
		return err
	}
	defer release()
	return f.exchange(&exchange{peer: p, in: r, w: w})
}

// exchange lasts until the answer is over. It also ends when the other node has gone.
func (f *Forwarder) exchange(x *exchange) error {
	result := aborted // a panic of the proxy, which breaks off an answer that has begun
	defer func() { f.counts.out[result].Add(1) }()
	ctx, cancel := context.WithCancelCause(x.in.Context())
	defer cancel(nil)
	defer context.AfterFunc(x.peer.ctx, func() { cancel(context.Cause(x.peer.ctx)) })()
	x.ctx, x.cancel = context.WithValue(ctx, exchangeKey{}, x), cancel
	x.hasten()
	f.proxy.ServeHTTP(&hijacker{ResponseWriter: x.w, x: x, timeout: f.cfg.WriteTimeout}, x.in.WithContext(x.ctx))
	if ctx.Err() != nil {
		x.err = context.Cause(ctx)
	}
	switch {
	case x.answered:
		result = passed
		return nil
	case x.in.Context().Err() != nil:
		result = canceled
	default:
		result = resultOf(x.err)
	}
	return x.err
}

// newProxy is what all exchanges share.
func (f *Forwarder) newProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { f.rewrite(r) },
		Transport:     roundTripper(f.roundTrip),
		FlushInterval: -1,
		BufferPool:    &buffers{},
		ErrorLog:      slog.NewLogLogger(f.log.Handler(), slog.LevelDebug),
		ModifyResponse: func(res *http.Response) error {
			x := exchangeOf(res.Request.Context())
			if err := x.taken(res.StatusCode); err != nil {
				return err
			}
			if res.StatusCode != http.StatusSwitchingProtocols {
				x.begin(f.cfg.WriteTimeout)
			}
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, err error) {
			x := exchangeOf(r.Context())
			x.err = err
			f.log.Debug("forward: request not passed on", "peer", x.peer.name, "err", err)
		},
	}
}

// rewrite keeps all of a request that its session may look at, Host too. Headers of proxies
// before us were judged by nobody, here as there.
func (f *Forwarder) rewrite(r *httputil.ProxyRequest) {
	x := exchangeOf(r.In.Context())
	r.Out.URL.Scheme, r.Out.URL.Host = "http", x.peer.host()
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values := r.In.Header.Values(name); len(values) > 0 {
			r.Out.Header[name] = values
		}
	}
	r.Out.Header.Del("Expect")
	if !isWebSocket(r.In) { // HTTP/2 knows of no upgrades
		r.Out.Header.Del("Connection")
		r.Out.Header.Del("Upgrade")
	}
	scheme := "http"
	if r.In.TLS != nil {
		scheme = "https"
	}
	r.Out.Header.Set(header, scheme+" "+r.In.RemoteAddr)
	if r.Out.Body != nil {
		// One that is too large is broken off, which ends its session. It is read so
		// far though its length may tell: a client that is not read sees no answer.
		r.Out.Body = http.MaxBytesReader(x.w, r.Out.Body, int64(f.cfg.MaxPayload))
	}
}

func isWebSocket(r *http.Request) bool { return ws.IsUpgrade(r) }

func (f *Forwarder) roundTrip(r *http.Request) (*http.Response, error) {
	x := exchangeOf(r.Context())
	if isWebSocket(r) {
		return f.raw.RoundTrip(r)
	}
	return x.peer.RoundTrip(r)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// resultOf is under which name a failure is counted.
func resultOf(err error) result {
	var tooBig *http.MaxBytesError
	switch {
	case errors.Is(err, ErrBusy):
		return busy
	case errors.As(err, &tooBig):
		return tooLarge
	case errors.Is(err, errGone):
		return gone
	case errors.Is(err, errEnded):
		return stopped
	}
	return unreachable
}

const bufferSize = 16 << 10 // bytes, for copying an answer

// buffers implements httputil.BufferPool.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return p[:]
	}
	return make([]byte, bufferSize)
}

func (b *buffers) Put(p []byte) { b.pool.Put((*[bufferSize]byte)(p)) }
