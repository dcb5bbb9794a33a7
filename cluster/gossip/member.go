package gossip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/meshrt/meshrt/wire"
)

// Member is a live node other than this one.
type Member struct {
	ID     wire.NodeID
	Name   string // the operator's name
	Addr   string // ip:port of its cluster port
	Region string
	// MinVersion and MaxVersion are the versions of the link protocol it speaks.
	MinVersion, MaxVersion uint8
	// Settings is the hash that its Config has.
	Settings uint64
	Draining bool
	Since    time.Time // when this node saw it come
}

// errOwnAddress says that somebody else is said to be at our address. It is our
// own earlier run that others have not yet declared dead: not worth a warning.
var errOwnAddress = errors.New("at this node's own address")

// memberName is the name that memberlist knows a node by. It is never reused: a
// node that came back under its old name would raise no leave and no join, and
// with another address it would be locked out (MESH §1.1, measured).
func memberName(name string, id wire.NodeID) string { return name + "@" + id.String() }

func splitName(s string) (string, wire.NodeID, error) {
	name, boot, ok := strings.Cut(s, "@")
	if !ok {
		return "", 0, fmt.Errorf("node name %.160q has no boot", s)
	}
	if err := checkName(name, maxName); err != nil {
		return "", 0, fmt.Errorf("node name: %w", err)
	}
	id, err := wire.ParseNodeID(boot)
	if err != nil {
		return "", 0, fmt.Errorf("node name: %w", err)
	}
	return name, id, nil
}

// readMember checks all that was said about a node. Everything in n came from
// the network.
func readMember(n *memberlist.Node) (Member, netip.AddrPort, error) {
	name, id, err := splitName(n.Name)
	if err != nil {
		return Member{}, netip.AddrPort{}, err
	}
	at, err := readAddr(n.Addr, n.Port)
	if err != nil {
		return Member{}, netip.AddrPort{}, err
	}
	m, err := decodeMeta(n.Meta)
	if err != nil {
		return Member{}, netip.AddrPort{}, err
	}
	if m.Boot != uint64(id) {
		return Member{}, netip.AddrPort{}, errors.New("metadata of another node")
	}
	return Member{
		ID: id, Name: name, Addr: at.String(), Region: m.Region,
		MinVersion: m.Min, MaxVersion: m.Max, Settings: m.Settings,
		Draining: m.Flags&flagDraining != 0,
	}, at, nil
}

func readAddr(ip net.IP, port uint16) (netip.AddrPort, error) {
	a, ok := netip.AddrFromSlice(ip)
	a = a.Unmap()
	if !ok || a.IsUnspecified() || a.IsMulticast() || port == 0 {
		return netip.AddrPort{}, fmt.Errorf("address %.40v port %d is nobody's", ip, port)
	}
	return netip.AddrPortFrom(a, port), nil
}
