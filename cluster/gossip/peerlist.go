package gossip

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A peers file is text: the line "meshrt-peers 1 CLUSTER", and one line for each address
// where a member was in the last 24 h: "IP:PORT AGE", the age in seconds when the file
// was written. There is no time of day in it: a site that was without power for a
// week, or whose clocks begin in 1970 after that, shall find itself all the same.

const (
	peersMagic   = "meshrt-peers 1 "
	maxPeersLine = 80                      // bytes; the longest of ours has 55
	maxPeersFile = bookSize * maxPeersLine // bytes that are read
)

// errForeign says that a file is not the peers file of this cluster, and so not ours to
// write over.
var errForeign = errors.New("not a peers file of this cluster")

// peer is an address with the time since a member was there.
type peer struct {
	addr netip.AddrPort
	age  time.Duration // whole seconds, less than bookAge
}

// formatPeers is the file: at most bookSize of the youngest, these first.
func formatPeers(cluster string, ps []peer) []byte {
	ps = slices.Clone(ps)
	slices.SortFunc(ps, func(a, b peer) int {
		return cmp.Or(cmp.Compare(a.age, b.age), a.addr.Compare(b.addr))
	})
	b := append([]byte(peersMagic), cluster+"\n"...)
	for _, p := range ps[:min(len(ps), bookSize)] {
		b = fmt.Appendf(b, "%v %d\n", p.addr, p.age/time.Second)
	}
	return b
}

// parsePeers reads what formatPeers wrote, or what is left of it: bad counts the lines that
// make no sense, and a last one without its end. An empty file has no peers. The
// only error is errForeign.
func parsePeers(cluster string, b []byte) (ps []peer, bad int, err error) {
	if len(b) == 0 {
		return nil, 0, nil
	}
	if len(b) > maxPeersFile {
		b, bad = b[:maxPeersFile], 1
	}
	head, rest, whole := bytes.Cut(b, []byte("\n"))
	if !whole || string(head) != peersMagic+cluster {
		return nil, 0, errForeign
	}
	seen := make(map[netip.AddrPort]bool)
	for len(rest) > 0 {
		var line []byte
		line, rest, whole = bytes.Cut(rest, []byte("\n"))
		p, ok := parsePeer(line)
		if !ok || !whole || seen[p.addr] || len(ps) >= bookSize {
			bad++
			continue
		}
		seen[p.addr] = true
		ps = append(ps, p)
	}
	return ps, bad, nil
}

func parsePeer(line []byte) (peer, bool) {
	if len(line) > maxPeersLine {
		return peer{}, false
	}
	addr, age, _ := strings.Cut(string(line), " ")
	at, err := netip.ParseAddrPort(addr)
	if err != nil || at.Addr().Zone() != "" {
		return peer{}, false
	}
	seconds, err := strconv.ParseUint(age, 10, 32)
	ip := at.Addr().Unmap()
	if err != nil || seconds >= uint64(bookAge/time.Second) || ip.IsUnspecified() || ip.IsMulticast() || at.Port() == 0 {
		return peer{}, false
	}
	return peer{netip.AddrPortFrom(ip, at.Port()), time.Duration(seconds) * time.Second}, true
}
