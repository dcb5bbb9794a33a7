package clustertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// DefaultDelay is the one-way latency between two hosts, and of a host to itself.
	DefaultDelay = 200 * time.Microsecond

	// minDelay stands in for none: timers that are due at once run on the thread
	// that sets them, and two such in one bubble crash the race detector (Go 1.26).
	minDelay = time.Nanosecond

	port     = 7946
	maxHosts = 60_000 // addresses 10.0.0.1 to 10.0.234.96
)

// Network connects hosts. Its methods may be called at any time from any goroutine.
type Network struct {
	mu    sync.RWMutex // taken before any gate; see path
	gate  gate         // opens at every heal, for dials that wait
	hosts map[string]*Host
	addrs map[netip.AddrPort]string // never given to another name
	paths map[pair]path
	conns map[*conn]struct{}

	dice sync.Mutex
	rand *rand.Rand
	loss float64 // chance of a packet to get lost
}

// pair is a direction between two hosts, by name: a restarted host keeps its
// cuts and delays.
type pair struct{ from, to string }

// path is the state of one direction.
type path struct {
	delay time.Duration
	cut   bool
}

// NewNetwork is a network without hosts. The seed decides which packets a loss hits.
func NewNetwork(seed uint64) *Network {
	return &Network{
		hosts: make(map[string]*Host),
		addrs: make(map[netip.AddrPort]string),
		paths: make(map[pair]path),
		conns: make(map[*conn]struct{}),
		rand:  rand.New(rand.NewPCG(seed, seed)),
	}
}

// Host is the host of that name. The first call makes it, at the next free
// address from 10.0.0.1:7946 on. A call after its Kill or the end of its Run
// makes a new one at the same address: the machine was started again.
func (n *Network) Host(name string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	old := n.hosts[name]
	if old != nil && !old.ended() {
		return old
	}
	h := newHost(n, name, n.address(old))
	n.hosts[name] = h
	n.addrs[h.addr] = name
	return h
}

func (n *Network) address(old *Host) netip.AddrPort {
	if old != nil {
		return old.addr
	}
	i := len(n.hosts) + 1
	if i > maxHosts {
		panic(fmt.Sprintf("clustertest: more than %d hosts", maxHosts))
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), port)
}

// Lookup finds hosts by name, for callers that resolve names themselves.
func (n *Network) Lookup(_ context.Context, name string) ([]netip.Addr, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if h, ok := n.hosts[name]; ok {
		return []netip.Addr{h.addr.Addr()}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// SetDelay sets the one-way latency from now on. What is under way keeps its
// own; a stream never reorders, so a shorter delay takes effect behind it.
func (n *Network) SetDelay(from, to *Host, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.pathLocked(from.name, to.name)
	p.delay = max(d, minDelay)
	n.paths[pair{from.name, to.name}] = p
}

// SetLoss sets the chance, from 0 to 1, that a packet is lost. Streams lose nothing.
func (n *Network) SetLoss(p float64) {
	n.dice.Lock()
	defer n.dice.Unlock()
	n.loss = p
}

func (n *Network) lost() bool {
	n.dice.Lock()
	defer n.dice.Unlock()
	return n.loss > 0 && n.rand.Float64() < n.loss
}

// Cut stops one direction. Packets sent on it from now on are lost; what is
// written to a stream waits for Heal, as TCP sends again and again. What was
// sent before the cut still arrives.
func (n *Network) Cut(from, to *Host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cutLocked(from.name, to.name)
}

// Heal ends a Cut. What streams held back arrives one delay later.
func (n *Network) Heal(from, to *Host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.healLocked(from.name, to.name)
}

// CutAll cuts every host off from every other, hosts made later not.
func (n *Network) CutAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for from := range n.hosts {
		for to := range n.hosts {
			n.cutLocked(from, to)
		}
	}
}

// Partition cuts both directions between hosts of different groups. It leaves
// all else as it is.
func (n *Network) Partition(groups ...[]*Host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, group := range groups {
		for _, other := range groups[i+1:] {
			n.separate(group, other)
		}
	}
}

func (n *Network) separate(a, b []*Host) {
	for _, x := range a {
		for _, y := range b {
			n.cutLocked(x.name, y.name)
			n.cutLocked(y.name, x.name)
		}
	}
}

// HealAll ends every cut.
func (n *Network) HealAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.paths {
		n.healLocked(p.from, p.to)
	}
}

func (n *Network) cutLocked(from, to string) {
	if from == to {
		return // a host always reaches itself
	}
	p := n.pathLocked(from, to)
	p.cut = true
	n.paths[pair{from, to}] = p
}

func (n *Network) healLocked(from, to string) {
	p := n.pathLocked(from, to)
	if !p.cut {
		return
	}
	p.cut = false
	n.paths[pair{from, to}] = p
	at := time.Now().Add(p.delay)
	for c := range n.conns { // one end may be closed already, so both pipes of each
		c.in.healed(pair{from, to}, at)
		c.out.healed(pair{from, to}, at)
	}
	n.gate.Lock()
	n.gate.wake()
	n.gate.Unlock()
}

func (n *Network) pathLocked(from, to string) path {
	if p, ok := n.paths[pair{from, to}]; ok {
		return p
	}
	return path{delay: DefaultDelay}
}

// roundTrip is the time there and back; ok is false while either way is cut.
func (n *Network) roundTrip(a, b string) (rtt time.Duration, ok bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	there, back := n.pathLocked(a, b), n.pathLocked(b, a)
	return there.delay + back.delay, !there.cut && !back.cut
}
