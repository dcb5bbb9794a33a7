package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/meshrt/meshrt/wire"
)

const (
	maxName    = 63 // bytes of a node's name
	maxCluster = 64 // bytes of a cluster's, as in cluster/port
	maxRegion  = 63 // bytes
	maxSeeds   = 64

	// labelPrefix with the cluster's name is in front of all gossip and part of
	// what is authenticated: clusters never mix even with one secret.
	labelPrefix = "meshrt:"
)

// Network is what gossip runs on: cluster/port, or cluster/clustertest in tests.
type Network interface {
	// PacketConn carries gossip packets; its deadlines must work. Gossip closes it
	// when Run ends, and AcceptGossip should then return net.ErrClosed. Where it
	// does not, one goroutine of Run stays in it until the network ends.
	PacketConn() net.PacketConn
	AcceptGossip() (net.Conn, error)
	DialGossip(ctx context.Context, addr string) (net.Conn, error)
	// Advertise is the address that others are told.
	Advertise() netip.AddrPort
	// GossipKeys are the keys of packets, 32 bytes each, the encrypting one
	// first. They are asked for at every round of the rejoin loop.
	GossipKeys() [][]byte
	// Allows tells whether a member may be at an address.
	Allows(netip.Addr) bool
}

// Config is what New needs. ID, Name, Cluster and Net are required.
type Config struct {
	ID      wire.NodeID // of this run of the node
	Name    string      // the operator's name: 1 to 63 of A-Z a-z 0-9 . _ -
	Cluster string      // nodes of another cluster name never mix; 1 to 64 such bytes
	Region  string      // at most 63 bytes
	// MinVersion and MaxVersion are the versions of the link protocol that this
	// node speaks. They are told, not judged.
	MinVersion, MaxVersion uint8
	// Settings is a hash of the settings that all nodes must agree on. It is
	// told, not judged.
	Settings uint64
	// Seeds are joined until they are members, for ever: host:port, or host with
	// port 7946. A name stands for all its addresses. The node's own is ignored.
	// At most 64.
	Seeds   []string
	Profile Profile
	// PeersFile keeps the addresses of the members of the last 24 h over the end of the
	// process; they are joined at the start like Seeds. Each node has its own. Empty: none.
	PeersFile string
	Net       Network
	Logger    *slog.Logger // nil: nothing is logged
	// Resolver looks up the names in Seeds. Nil: net.DefaultResolver.
	Resolver func(ctx context.Context, host string) ([]netip.Addr, error)
}

func (c *Config) check() error {
	switch {
	case c.ID == 0:
		return errors.New("gossip: no node id")
	case c.Net == nil:
		return errors.New("gossip: no network")
	case int(c.Profile) >= len(timings):
		return fmt.Errorf("gossip: unknown %v", c.Profile)
	case c.MinVersion > c.MaxVersion:
		return fmt.Errorf("gossip: protocol versions %d to %d", c.MinVersion, c.MaxVersion)
	case len(c.Region) > maxRegion || !utf8.ValidString(c.Region):
		return fmt.Errorf("region %.80q must be UTF-8 of at most %d bytes", c.Region, maxRegion)
	case len(c.Seeds) > maxSeeds:
		return fmt.Errorf("%d addresses to join, at most %d are possible", len(c.Seeds), maxSeeds)
	}
	return CheckNames(c.Name, c.Cluster)
}

func (c *Config) setDefaults() {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Resolver == nil {
		c.Resolver = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
}

// CheckNames says what is wrong with the operator's names of a node and a
// cluster, if anything is, for whoever reads them from a user.
func CheckNames(node, cluster string) error {
	if err := checkName(node, maxName); err != nil {
		return fmt.Errorf("node name: %w", err)
	}
	if err := checkName(cluster, maxCluster); err != nil {
		return fmt.Errorf("cluster name: %w", err)
	}
	return nil
}

func checkName(s string, most int) error {
	if s == "" || len(s) > most {
		return fmt.Errorf("%.80q must have 1 to %d bytes", s, most)
	}
	if strings.ContainsFunc(s, odd) {
		return fmt.Errorf("%q: only letters, digits, '.', '_' and '-' are allowed", s)
	}
	return nil
}

// odd finds what may not be in a name.
func odd(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_', r == '-':
		return false
	}
	return true
}
