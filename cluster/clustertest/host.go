package clustertest

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// backlog is how many streams of a kind may wait to be accepted. A dial beyond
// it is tried again every second, as a kernel does.
const backlog = 128

// Host is one machine, or one run of it: see Network.Host. Its methods may be
// called from any goroutine.
type Host struct {
	net        *Network
	name       string
	addr       netip.AddrPort
	packets    *packetConn
	gossip     *listener
	link       *listener
	http       *listener
	up, down   chan struct{} // closed when Run begins; when the host ended
	begin, end sync.Once

	mu       sync.Mutex
	nodeName string
	keys     [][]byte
	sessions [][]byte
}

// listener holds the streams of one kind until they are accepted.
type listener struct {
	waiting chan *conn
	done    chan struct{}
	once    sync.Once
}

func newListener() *listener {
	return &listener{waiting: make(chan *conn, backlog), done: make(chan struct{})}
}

func (l *listener) closed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// close also closes the streams that nobody will accept any more.
func (l *listener) close() {
	l.once.Do(func() { close(l.done) })
	for {
		select {
		case c := <-l.waiting:
			c.Close()
		default:
			return
		}
	}
}

func (l *listener) accept(ctx context.Context) (net.Conn, error) {
	if l.closed() || ctx.Err() != nil {
		return nil, net.ErrClosed
	}
	select {
	case c := <-l.waiting:
		return c, nil
	case <-ctx.Done():
	case <-l.done:
	}
	return nil, net.ErrClosed
}

func newHost(n *Network, name string, addr netip.AddrPort) *Host {
	h := &Host{
		net: n, name: name, addr: addr,
		gossip: newListener(), link: newListener(), http: newListener(),
		up: make(chan struct{}), down: make(chan struct{}),
		keys:     [][]byte{[]byte("clustertest: the gossip key, 32B")},
		sessions: [][]byte{[]byte("clustertest: the session key 32B")},
	}
	h.packets = &packetConn{host: h}
	return h
}

// Run puts the host on the network until ctx ends, then closes all that it has.
// Before, dials to it are refused and its own wait. After a Kill it does nothing
// until ctx ends.
func (h *Host) Run(ctx context.Context) error {
	h.begin.Do(func() { close(h.up) })
	<-ctx.Done()
	h.stop((*conn).shut)
	return nil
}

// Kill turns the host off: both ends of its streams fail, its packets vanish,
// dials to it are refused. What it sent before still arrives; what a cut held
// back is lost.
func (h *Host) Kill() { h.stop((*conn).kill) }

func (h *Host) stop(drop func(*conn)) {
	h.end.Do(func() {
		h.net.mu.Lock()
		close(h.down)
		for c := range h.net.conns {
			if c.out.way.from == h.name {
				drop(c)
			}
		}
		h.net.mu.Unlock()
		h.gossip.close()
		h.link.close()
		h.http.close()
		h.packets.Close()
	})
}

// ended tells that the host will not be up again.
func (h *Host) ended() bool {
	select {
	case <-h.down:
		return true
	default:
		return false
	}
}

// serving tells whether others can reach the host.
func (h *Host) serving() bool {
	select {
	case <-h.up:
		return !h.ended()
	default:
		return false
	}
}

// Reset breaks the streams between h and peer: every read and write on them
// fails from now on, at both ends, and what was on the way is lost.
func (h *Host) Reset(peer *Host) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	for c := range h.net.conns {
		if c.out.way == (pair{h.name, peer.name}) || c.out.way == (pair{peer.name, h.name}) {
			c.in.reset()
			c.out.reset()
		}
	}
}

// AcceptGossip waits for a stream of DialGossip. It ends with net.ErrClosed when
// the host does, or when the PacketConn is closed.
func (h *Host) AcceptGossip() (net.Conn, error) { return h.gossip.accept(context.Background()) }

// AcceptLink waits for a stream of DialLink until the host ends.
func (h *Host) AcceptLink() (net.Conn, error) { return h.link.accept(context.Background()) }

// AcceptHTTP waits for a stream of DialHTTP until ctx or the host ends.
func (h *Host) AcceptHTTP(ctx context.Context) (net.Conn, error) { return h.http.accept(ctx) }

// PacketConn is the host's packet socket, the same at every call. Closing it
// ends AcceptGossip too: there is no more gossip on this host.
func (h *Host) PacketConn() net.PacketConn { return h.packets }

// Advertise is the address of the host.
func (h *Host) Advertise() netip.AddrPort { return h.addr }

// Allows admits every address.
func (h *Host) Allows(netip.Addr) bool { return true }

// SetKnown is ignored: no address is preferred.
func (h *Host) SetKnown(func(netip.Addr) bool) {}

// SetNode sets what the other end of a stream gets from PeerName. Streams that
// are open keep the name they had.
func (h *Host) SetNode(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nodeName = name
}

func (h *Host) node() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.nodeName
}

// SetGossipKeys replaces the key that all hosts have by default, as a change of
// the cluster's secrets does. The first is the primary.
func (h *Host) SetGossipKeys(keys ...[]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys = slices.Clone(keys)
}

// GossipKeys is what SetGossipKeys set, else one fixed key of 32 bytes.
func (h *Host) GossipKeys() [][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.keys)
}

// SetSessionKeys is SetGossipKeys for the keys of session ids: the first signs.
func (h *Host) SetSessionKeys(keys ...[]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sessions = slices.Clone(keys)
}

// SessionKeys is what SetSessionKeys set, else one fixed key of 32 bytes.
func (h *Host) SessionKeys() [][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.sessions)
}
