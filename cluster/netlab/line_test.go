package netlab

import (
	"net/netip"
	"testing"
	"time"
)

// packetTo is the head of an IP packet.
func packetTo(dst netip.Addr, proto byte) []byte {
	if dst.Is4() {
		b := make([]byte, headerV4)
		b[0], b[9] = 0x45, proto
		copy(b[16:], dst.AsSlice())
		return b
	}
	b := make([]byte, headerV6)
	b[0], b[6] = 0x60, proto
	copy(b[24:], dst.AsSlice())
	return b
}

func TestPacketsFindTheirNode(t *testing.T) {
	for _, tt := range []struct {
		dst  string
		node int
		ok   bool
	}{
		{"10.99.0.1", 0, true}, {"10.99.0.254", 253, true}, {"10.99.0.0", 0, false}, {"10.98.0.1", 0, false}, {"224.0.0.22", 0, false},
		{"fd99::1", 0, true}, {"fd99::fe", 253, true}, {"fd99::", 0, false}, {"fd99::101", 0, false}, {"fd98::1", 0, false}, {"ff02::2", 0, false},
	} {
		b := packetTo(netip.MustParseAddr(tt.dst), protoUDP)
		node, ok := destination(b)
		if ok != tt.ok || ok && node != tt.node {
			t.Errorf("destination of a packet to %s = %d, %v, want %d, %v", tt.dst, node, ok, tt.node, tt.ok)
		}
		for n := range b {
			if _, ok := destination(b[:n]); ok || isUDP(b[:n]) {
				t.Errorf("%d bytes of %d pass as a packet", n, len(b))
			}
		}
		if !isUDP(b) || isUDP(packetTo(netip.MustParseAddr(tt.dst), 6)) {
			t.Errorf("UDP to %s is not told from TCP", tt.dst)
		}
	}
}

func TestARuleHitsItsShareAndTheSeedDecidesWhich(t *testing.T) {
	const packets = 10_000
	now, b := time.Unix(1, 0), make([]byte, 100)
	fates := func(seed uint64) (fates [packets]int, sum [3]int, late time.Duration) {
		l := newLine(seed, 1, 2)
		l.rule = Rule{Loss: 0.2, Duplicate: 0.1, Delay: time.Second, Jitter: time.Second}
		for i := range packets {
			copies, at := l.pass(now, b)
			if d := at.Sub(now); copies > 0 && (d < time.Second || d > 2*time.Second) {
				t.Fatalf("a packet took %v", d)
			} else if copies > 0 {
				late += d
			}
			fates[i] = copies
			sum[copies]++
		}
		return fates, sum, late
	}
	one, sum, late := fates(1)
	if again, _, _ := fates(1); one != again {
		t.Error("the same seed has another fate")
	}
	if two, _, _ := fates(2); one == two {
		t.Error("another seed has the same fate")
	}
	if sum[0] < 1900 || sum[0] > 2100 || sum[2] < 700 || sum[2] > 900 {
		t.Errorf("of %d packets %d were lost and %d doubled, want 2,000 and 800", packets, sum[0], sum[2])
	}
	if mean := late / time.Duration(sum[1]+sum[2]); mean < 1450*time.Millisecond || mean > 1550*time.Millisecond {
		t.Errorf("the mean delay was %v, want 1.5 s", mean)
	}
}

func TestThrottledLineHoldsLittle(t *testing.T) {
	l := newLine(1, 0, 1)
	l.rule = Rule{BytesPerSec: 10_000}
	now, b := time.Unix(1, 0), make([]byte, 1000)
	var last time.Time
	for range 10 { // a tenth of a second each
		if copies, at := l.pass(now, b); copies > 0 {
			last = at
		}
	}
	if l.Passed != 3 || l.Dropped != 7 || last.Sub(now) != 300*time.Millisecond {
		t.Errorf("%d passed, %d dropped, the last one after %v; want 3, 7, 300ms", l.Passed, l.Dropped, last.Sub(now))
	}
	if copies, at := l.pass(now.Add(time.Minute), b); copies != 1 || at.Sub(now) != time.Minute+100*time.Millisecond {
		t.Errorf("after a pause a packet took %v", at.Sub(now)-time.Minute)
	}
}

func TestCutAndBlockedUDP(t *testing.T) {
	udp, tcp := packetTo(addr6(1), protoUDP), packetTo(addr6(1), 6)
	for _, tt := range []struct {
		rule     Rule
		udp, tcp int
	}{{Rule{}, 1, 1}, {Rule{Cut: true}, 0, 0}, {Rule{BlockUDP: true}, 0, 1}} {
		l := newLine(1, 0, 1)
		l.rule = tt.rule
		u, _ := l.pass(time.Unix(1, 0), udp)
		c, _ := l.pass(time.Unix(1, 0), tcp)
		if u != tt.udp || c != tt.tcp {
			t.Errorf("%+v: %d of UDP and %d of TCP passed, want %d and %d", tt.rule, u, c, tt.udp, tt.tcp)
		}
	}
}
