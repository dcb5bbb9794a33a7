package gossip

import (
	"fmt"
	"time"

	"github.com/hashicorp/memberlist"
)

// Profile is a set of timings for a kind of network.
type Profile uint8

const (
	LAN   Profile = iota // one data centre: a crash is noticed within 5 s
	WAN                  // long or lossy ways: within 15 s
	Local                // one machine, for development
)

var profileNames = [...]string{LAN: "lan", WAN: "wan", Local: "local"}

// ParseProfile reads "lan", "wan" or "local".
func ParseProfile(s string) (Profile, error) {
	for p, name := range profileNames {
		if s == name {
			return Profile(p), nil
		}
	}
	return 0, fmt.Errorf("profile %q must be lan, wan or local", s)
}

// String is the name that ParseProfile reads.
func (p Profile) String() string {
	if int(p) < len(profileNames) {
		return profileNames[p]
	}
	return fmt.Sprintf("profile(%d)", uint8(p))
}

// timing is a row of the table in MESH §2, where the measurements are.
type timing struct {
	probe, probeTimeout  time.Duration
	suspicion            int // times log(N+1) probes until a suspect is dead, unconfirmed 4 times that
	gossip               time.Duration
	gossipNodes          int
	pushPull             time.Duration
	stream               time.Duration // a dial, a read or a write of a stream; a name lookup
	dead                 time.Duration // how long the dead are still gossiped to
	packet               int           // bytes
	rejoin               time.Duration
	suspicionMaxMultiple int
}

var timings = [...]timing{
	LAN: {
		probe: 500 * time.Millisecond, probeTimeout: 200 * time.Millisecond,
		suspicion: 4, suspicionMaxMultiple: 4,
		gossip: 100 * time.Millisecond, gossipNodes: 3,
		pushPull: 15 * time.Second, stream: 3 * time.Second, dead: 60 * time.Second,
		packet: 1400, rejoin: 2 * time.Second,
	},
	WAN: {
		probe: 1500 * time.Millisecond, probeTimeout: 750 * time.Millisecond,
		suspicion: 5, suspicionMaxMultiple: 4,
		gossip: 300 * time.Millisecond, gossipNodes: 4,
		pushPull: 30 * time.Second, stream: 5 * time.Second, dead: 120 * time.Second,
		packet: 1200, rejoin: 5 * time.Second, // 1200 bytes pass tunnels
	},
	Local: {
		probe: 500 * time.Millisecond, probeTimeout: 200 * time.Millisecond,
		suspicion: 4, suspicionMaxMultiple: 4,
		gossip: 100 * time.Millisecond, gossipNodes: 3,
		pushPull: 5 * time.Second, stream: time.Second, dead: 15 * time.Second,
		packet: 1400, rejoin: 2 * time.Second,
	},
}

// handoffDepth is how many gossip messages wait to be handled; more are dropped
// and counted, and the next push/pull repairs it.
const handoffDepth = 4096

// apply sets what the profile decides.
func (t timing) apply(c *memberlist.Config) {
	c.ProbeInterval, c.ProbeTimeout = t.probe, t.probeTimeout
	c.SuspicionMult, c.SuspicionMaxTimeoutMult = t.suspicion, t.suspicionMaxMultiple
	c.GossipInterval, c.GossipNodes = t.gossip, t.gossipNodes
	c.PushPullInterval, c.TCPTimeout = t.pushPull, t.stream
	c.GossipToTheDeadTime = t.dead
	c.UDPBufferSize = t.packet
}

// memberlistConfig is the configuration of one run. Compression is off because
// it costs eight times the CPU (MESH §1.1). The DelegateProtocol versions stay 0:
// memberlist drops a whole push/pull when one node's are out of range, so
// versions are agreed on in each link's HELLO. Names are not required of
// streams, or a join by address would be refused.
func (g *Gossip) memberlistConfig(t *transport, ring *keys) *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	g.timing.apply(c)
	c.Name = memberName(g.cfg.Name, g.cfg.ID)
	c.Label = labelPrefix + g.cfg.Cluster
	c.Transport = t
	c.Keyring = ring.ring
	c.EnableCompression = false
	c.RequireNodeNames = false
	c.HandoffQueueDepth = handoffDepth
	c.Logger = g.logs.logger()
	d := &delegate{g}
	c.Delegate, c.Events, c.Alive, c.Conflict = d, d, d, d
	return c
}
