package port

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func host(i int) netip.Prefix {
	return site(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
}

func TestLogHasOneLinePerAddressAndMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l logLimit
		expect := func(addr netip.Prefix, suppressed int, ok bool) {
			t.Helper()
			if gotN, got := l.allow(addr); got != ok || gotN != suppressed {
				t.Fatalf("allow = %d, %v; want %d, %v", gotN, got, suppressed, ok)
			}
		}
		expect(host(1), 0, true)
		for range 41 {
			expect(host(1), 0, false)
		}
		expect(host(2), 0, true)
		time.Sleep(logEvery - time.Nanosecond)
		expect(host(1), 0, false)
		time.Sleep(time.Nanosecond)
		expect(host(1), 42, true)
		expect(host(1), 0, false)
		time.Sleep(logEvery)
		expect(host(1), 1, true)
	})
}

func TestLogMemoryIsBoundedUnderManyAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l logLimit
		lines := 0
		flood := func(from, to int) {
			for i := from; i < to; i++ {
				if _, ok := l.allow(host(i)); ok {
					lines++
				}
			}
		}
		flood(0, 10*maxLog)
		if want := maxLog + 1; lines != want || len(l.entries) != want {
			t.Errorf("%d lines, %d entries; want %d", lines, len(l.entries), want)
		}
		if n, ok := l.allow(host(5)); ok || n != 0 {
			t.Error("a remembered address has a second line")
		}
		time.Sleep(logEvery)
		lines = 0
		flood(20*maxLog, 21*maxLog)
		if lines != maxLog || len(l.entries) > maxLog+1 {
			t.Errorf("a minute later: %d lines for %d new addresses, %d entries", lines, maxLog, len(l.entries))
		}
	})
}
