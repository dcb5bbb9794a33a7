package port

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what to bind and who belongs to the cluster.
type Config struct {
	// Cluster is the cluster's name: 1 to 64 letters, digits, '-', '_' and '.'.
	// It is part of every key, so nodes of another cluster are strangers.
	Cluster string

	// Node is this run's "name@boot", at most 128 bytes. Peers see it as
	// PeerName.
	Node string

	// Bind is the host:port of both UDP and TCP. Port 0 is any port that is free
	// for both. The unspecified address means both address families with a
	// secret, and the machine's private addresses at the time of Listen without.
	Bind string

	// Advertise is the host[:port] that other nodes dial. Empty: the bound
	// address if it is specific, else a private address of the machine (IPv4
	// first), else a public one if there is a secret, else loopback.
	Advertise string

	// Secrets are the cluster secrets, at least 32 bytes each and at most two:
	// the first one signs, all are accepted. None is open LAN mode: anybody on
	// a private network can join.
	Secrets [][]byte

	// Logger gets the warnings. Nil: none are written.
	Logger *slog.Logger

	// HandshakeTimeout is for the whole handshake of a connection. Default 3 s.
	HandshakeTimeout time.Duration

	// MaxHandshakes is how many incoming connections may be in handshake at one
	// time; a quarter is kept for addresses of known members. Default 256. Each
	// costs at most about 30 KiB.
	MaxHandshakes int

	// MaxHandshakesPerAddr is how many of these one IPv4 address or one IPv6
	// /64 may have. Addresses of known members may have a quarter of
	// MaxHandshakes. Default 16.
	MaxHandshakesPerAddr int
}

const (
	defaultHandshakeTimeout     = 3 * time.Second
	defaultMaxHandshakes        = 256
	defaultMaxHandshakesPerAddr = 16
)

// withDefaults fills what was left at zero.
func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.HandshakeTimeout <= 0 {
		c.HandshakeTimeout = defaultHandshakeTimeout
	}
	if c.MaxHandshakes <= 0 {
		c.MaxHandshakes = defaultMaxHandshakes
	}
	if c.MaxHandshakesPerAddr <= 0 {
		c.MaxHandshakesPerAddr = defaultMaxHandshakesPerAddr
	}
	return c
}

// Port is a bound cluster port. Its methods may be called by several
// goroutines at once.
type Port struct {
	cfg       Config
	log       *slog.Logger
	open      bool // open LAN mode
	socks     []*socket
	advertise netip.AddrPort

	identity atomic.Pointer[identity]
	known    atomic.Pointer[func(netip.Addr) bool]
	gate     gate
	refusals logLimit
	count    counters

	gossip, links, http chan *Conn // authenticated, wait for Accept
	packets             *packetQueue

	started atomic.Bool
	done    chan struct{} // closed when Run begins to end
}

// Listen validates cfg, derives the keys and binds the sockets. They are closed
// by Run, so Run must be called, be it with an ended context.
func Listen(cfg Config) (*Port, error) {
	cfg = cfg.withDefaults()
	if err := errors.Join(checkCluster(cfg.Cluster), checkNode(cfg.Node)); err != nil {
		return nil, err
	}
	id, err := newIdentity(cfg.Cluster, cfg.Node, cfg.Secrets)
	if err != nil {
		return nil, err
	}
	p := &Port{
		cfg:     cfg,
		log:     cfg.Logger,
		open:    len(cfg.Secrets) == 0,
		gate:    gate{limits: limitsOf(cfg)},
		gossip:  make(chan *Conn, acceptQueue),
		links:   make(chan *Conn, acceptQueue),
		http:    make(chan *Conn, acceptQueue),
		packets: newPacketQueue(),
		done:    make(chan struct{}),
	}
	p.identity.Store(id)
	if err := p.bind(); err != nil {
		return nil, err
	}
	if p.open {
		p.log.Warn("no cluster secret: anybody on this private network can join, read and send; public addresses are refused",
			"cluster", cfg.Cluster, "advertise", p.advertise)
	}
	return p, nil
}

func limitsOf(cfg Config) limits {
	reserve := cfg.MaxHandshakes / 4
	return limits{
		all:      cfg.MaxHandshakes,
		unknown:  cfg.MaxHandshakes - reserve,
		perAddr:  cfg.MaxHandshakesPerAddr,
		perKnown: max(reserve, cfg.MaxHandshakesPerAddr),
	}
}

// bind opens the sockets and decides on the address to advertise.
func (p *Port) bind() error {
	at, err := parseBind(p.cfg.Bind, p.Allows)
	if err != nil {
		return err
	}
	ifaces, err := interfaceAddrs()
	if err != nil {
		return err
	}
	plan, err := bindPlan(at.Addr(), p.open, ifaces)
	if err != nil {
		return err
	}
	if p.socks, err = bindAll(plan, at.Port()); err != nil {
		return err
	}
	at = netip.AddrPortFrom(at.Addr(), p.socks[0].local.Port())
	if p.open { // only what was really bound
		ifaces = subnets(p.socks)
	}
	if p.advertise, err = findAdvertise(p.cfg.Advertise, at, ifaces, p.open); err != nil {
		closeAll(p.socks)
		return err
	}
	return nil
}

// Run serves the port until ctx ends. It owns the sockets and all goroutines,
// and returns nil after they ended. Connections that were accepted or dialled
// before stay with their owners. It may be called once.
func (p *Port) Run(ctx context.Context) error {
	if !p.started.CompareAndSwap(false, true) {
		return errors.New("cluster port: Run was called twice")
	}
	var wg sync.WaitGroup
	for _, s := range p.socks {
		wg.Go(func() { p.acceptLoop(ctx, &wg, s) })
		wg.Go(func() { p.readLoop(ctx, s) })
	}
	<-ctx.Done()
	close(p.done)
	closeAll(p.socks)
	p.gate.close()
	p.packets.close()
	wg.Wait()
	drain(p.gossip)
	drain(p.links)
	drain(p.http)
	return nil
}

func (p *Port) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Advertise is the address that other nodes dial.
func (p *Port) Advertise() netip.AddrPort { return p.advertise }

// Allows is the address rule: whom to let in, dial, and believe when gossip
// names an address. With a secret it is always true.
func (p *Port) Allows(a netip.Addr) bool { return !p.open || private(a) }

// SetKnown tells which addresses belong to members of the cluster: they have a
// reserve of handshake slots. The function gets plain addresses (no IPv4 inside
// IPv6, no zone) for every new connection and must neither block nor be slow.
func (p *Port) SetKnown(known func(netip.Addr) bool) { p.known.Store(&known) }

func (p *Port) isKnown(a netip.Addr) bool {
	known := p.known.Load()
	return known != nil && *known != nil && (*known)(plain(a))
}

// SetSecrets rotates the secrets, under the rules of Config.Secrets, for
// handshakes that begin from now on. Connections that exist stay as they are.
// It cannot switch open LAN mode on or off, because that decides what is bound.
func (p *Port) SetSecrets(secrets [][]byte) error {
	if p.open || len(secrets) == 0 {
		return errors.New("rotate cluster secrets: open LAN mode can only change with a restart")
	}
	id, err := newIdentity(p.cfg.Cluster, p.cfg.Node, secrets)
	if err != nil {
		return fmt.Errorf("rotate cluster secrets: %w", err)
	}
	p.identity.Store(id)
	return nil
}

// GossipKeys are the 32-byte keys of gossip datagrams: the first encrypts, all
// decrypt. There is one for each secret.
func (p *Port) GossipKeys() [][]byte {
	return p.eachKey(func(k keys) []byte { return k.gossip })
}

// SessionKeys are 32-byte HMAC keys for session ids: the first signs, all are
// accepted, as with the secrets that they come from.
func (p *Port) SessionKeys() [][]byte {
	return p.eachKey(func(k keys) []byte { return k.session })
}

func (p *Port) eachKey(part func(keys) []byte) [][]byte {
	var all [][]byte
	for _, k := range p.identity.Load().keys {
		all = append(all, bytes.Clone(part(k)))
	}
	return all
}
