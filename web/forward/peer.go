package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/wire"
)

const (
	dialTimeout = 3 * time.Second
	// maxDials is how many dials to one node may be under way: its port lets only so
	// many handshakes in from one address, and several nodes may share one.
	maxDials = 8
	// streamsPerConn is how many requests share a connection: on one, a large body
	// holds up the others for as long as its bytes are on the wire.
	streamsPerConn = 256
	// A connection on which nothing came for pingAfter is probed, and given up
	// pingTimeout later: a node that is dead in silence holds up nobody for longer.
	pingAfter   = 2 * time.Second
	pingTimeout = 2 * time.Second
	// writeTimeout is how long a connection may take no byte.
	writeTimeout = 10 * time.Second
	maxHeader    = 256 << 10 // bytes: more than what the listeners for clients let in
)

// peer is another node and the connections to it.
type peer struct {
	f    *Forwarder
	id   wire.NodeID
	name string

	ctx     context.Context // ends when the node has gone, with the cause
	cancel  context.CancelCauseFunc
	slots   chan struct{} // capacity maxDials
	passing int           // guarded by Forwarder.mu
	linked  bool          // the same

	mu      sync.Mutex // below Forwarder.mu
	addr    string
	conns   []*conn
	dialing *dialing // nil: nobody dials
}

// conn is one HTTP/2 connection to a peer.
type conn struct {
	*http.ClientConn
	used bool // since the last look of tidy
}

// dialing is one dial, for all who wait for a connection.
type dialing struct {
	done chan struct{}
	err  error // after done
}

func newPeer(f *Forwarder, n cluster.NodeInfo) *peer {
	p := &peer{f: f, id: n.ID, name: n.Name, addr: n.Addr, slots: make(chan struct{}, maxDials)}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	return p
}

func (p *peer) setAddr(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addr = addr
}

// host is the node in URLs.
func (p *peer) host() string { return p.id.String() }

// close ends all that is on its way to the node.
func (p *peer) close(cause error) {
	p.cancel(cause)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// tidy closes connections that nobody has used since the last look, but for one. The
// wait is for the other node too: the end of a connection makes it doubt what came
// over it last.
func (p *peer) tidy() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.conns) - 1; i > 0; i-- {
		if c := p.conns[i]; c.InFlight() == 0 && !c.used {
			c.Close()
			p.conns = slices.Delete(p.conns, i, i+1)
		}
	}
	for _, c := range p.conns {
		c.used = false
	}
}

// open is the number of connections.
func (p *peer) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// RoundTrip sends a request over a connection that has room. However many ask for
// one at a time, they wait for one dial.
func (p *peer) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		c, d := p.reserve()
		if c != nil {
			res, err := c.RoundTrip(r)
			if err != nil && p.ctx.Err() != nil {
				err = context.Cause(p.ctx) // close cut it: why is known better here
			}
			return res, err
		}
		select {
		case <-d.done:
		case <-r.Context().Done():
			return nil, context.Cause(r.Context())
		}
		if d.err != nil {
			return nil, d.err
		}
	}
}

// reserve is a place on a connection, or a dial to wait for.
func (p *peer) reserve() (*conn, *dialing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = slices.DeleteFunc(p.conns, func(c *conn) bool { return c.Err() != nil })
	for _, c := range p.conns {
		if c.Reserve() == nil {
			c.used = true
			return c, nil
		}
	}
	if p.dialing == nil {
		d := &dialing{done: make(chan struct{})}
		p.dialing = d
		p.f.dials.Go(func() { p.connect(d) })
	}
	return nil, p.dialing
}

func (p *peer) connect(d *dialing) {
	c, err := p.f.plain.NewClientConn(p.ctx, "http", p.host()+":80")
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil:
		d.err = fmt.Errorf("connect to node %s: %w", p.name, err)
	case p.ctx.Err() != nil:
		c.Close()
		d.err = context.Cause(p.ctx)
	default:
		p.conns = append(p.conns, &conn{ClientConn: c})
	}
	p.dialing = nil
	close(d.done)
}

// dial opens a stream to the node, and to no other that has its address now.
func (p *peer) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	addr := p.addr
	p.mu.Unlock()
	conn, err := p.f.cfg.Net.DialHTTP(ctx, addr)
	if err != nil {
		return nil, err
	}
	if got := peerName(conn); !strings.HasSuffix(got, "@"+p.id.String()) {
		conn.Close()
		return nil, fmt.Errorf("%s is %q now: %w", addr, got, errGone)
	}
	return conn, nil
}

// peerName is the proven name of the other side, empty if it proves none.
func peerName(conn net.Conn) string {
	if c, ok := conn.(interface{ PeerName() string }); ok {
		return c.PeerName()
	}
	return ""
}

// transports are those to all peers. Hosts in URLs are node ids.
func (f *Forwarder) transports() (plain, raw *http.Transport) {
	dial := func(ctx context.Context, _, addr string) (net.Conn, error) {
		host, _, _ := strings.Cut(addr, ":")
		id, err := wire.ParseNodeID(host)
		if err != nil {
			return nil, err
		}
		p, err := f.peer(id)
		if err != nil {
			return nil, err
		}
		return p.dial(ctx)
	}
	plain = &http.Transport{DialContext: dial, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
		Protocols: protocols(false), HTTP2: keepAlive()}
	raw = &http.Transport{DialContext: dial, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
		Protocols: protocols(true), DisableKeepAlives: true}
	return plain, raw
}

// protocols are HTTP/1.1 or HTTP/2; the TLS is the network's.
func protocols(one bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(one)
	p.SetUnencryptedHTTP2(!one)
	return p
}

func keepAlive() *http.HTTP2Config {
	return &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout, WriteByteTimeout: writeTimeout,
		MaxConcurrentStreams: streamsPerConn}
}

// goodbye tells the node that this one leaves, if there are connections, with
// requests or without: what came over one last is in doubt when it ends without a
// word.
func (p *peer) goodbye(ctx context.Context) error {
	if !p.inUse() {
		return nil
	}
	return p.tell(ctx, kindLeave)
}

// inUse tells whether the node has, or had, anything of ours.
func (p *peer) inUse() bool {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	return p.passing > 0 || p.open() > 0
}

// tell sends a word of this node's own.
func (p *peer) tell(ctx context.Context, word string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.host()+"/", nil)
	if err != nil {
		return err
	}
	r.Header.Set(header, word)
	res, err := p.RoundTrip(r)
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		return errors.New(res.Status)
	}
	return nil
}
