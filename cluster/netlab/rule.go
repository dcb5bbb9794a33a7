package netlab

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Rule is what happens to the packets of one direction. The zero value lets all
// pass at once.
type Rule struct {
	Cut      bool // nothing passes
	BlockUDP bool // no UDP passes

	Loss      float64 // share of packets that are lost, 0 to 1
	Duplicate float64 // share of packets that come twice, 0 to 1

	Delay time.Duration
	// Jitter is added to Delay, between 0 and all of it: packets overtake.
	Jitter time.Duration
	// BytesPerSec is the rate of the line, 0 for no limit. What waits for more
	// than 200 ms is dropped.
	BytesPerSec int
}

// plain tells that a rule needs no clock and no queue.
func (r Rule) plain() bool {
	return r.Delay == 0 && r.Jitter == 0 && r.BytesPerSec == 0 && r.Duplicate == 0
}

const (
	headerV4 = 20
	headerV6 = 40
	protoUDP = 17
)

// isUDP looks at an IP packet. Headers of IPv6 that come before UDP are not
// followed: none of ours has them.
func isUDP(b []byte) bool {
	switch {
	case len(b) >= headerV4 && b[0]>>4 == 4:
		return b[9] == protoUDP
	case len(b) >= headerV6 && b[0]>>4 == 6:
		return b[6] == protoUDP
	}
	return false
}

// destination is the node that an IP packet is for; false for packets to
// nobody here, such as multicast.
func destination(b []byte) (node int, ok bool) {
	switch {
	case len(b) >= headerV4 && b[0]>>4 == 4:
		dst := binary.BigEndian.Uint32(b[16:20])
		node = int(dst&0xff) - 1
		ok = dst&^0xff == base4
	case len(b) >= headerV6 && b[0]>>4 == 6:
		hi, lo := binary.BigEndian.Uint64(b[24:32]), binary.BigEndian.Uint64(b[32:40])
		node = int(lo&0xff) - 1
		ok = hi == base6 && lo&^0xff == 0
	}
	return node, ok && node >= 0
}

// The networks 10.99.0.0/24 and fd99::/64. Both are private, so that a node
// without a secret takes part, and no namespace has a way out.
const (
	base4 = 10<<24 | 99<<16
	base6 = 0xfd99 << 48
)

func addr4(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 99, 0, byte(i + 1)}) }

func addr6(i int) netip.Addr { return netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x99, 15: byte(i + 1)}) }
