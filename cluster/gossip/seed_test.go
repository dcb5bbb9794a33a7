package gossip

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestParseSeed(t *testing.T) {
	for _, tt := range []struct{ in, text, addr string }{ // no addr: a name
		{"10.0.0.1:80", "10.0.0.1:80", "10.0.0.1:80"},
		{"10.0.0.1", "10.0.0.1:7946", "10.0.0.1:7946"},
		{"[fd00::1]:80", "[fd00::1]:80", "[fd00::1]:80"},
		{"fd00::1", "[fd00::1]:7946", "[fd00::1]:7946"},
		{"::ffff:10.0.0.1", "[::ffff:10.0.0.1]:7946", "10.0.0.1:7946"},
		{"first:80", "first:80", ""},
		{"first", "first:7946", ""},
		{"a-b_c.Example.com.:65535", "a-b_c.Example.com.:65535", ""},
	} {
		s, err := parseSeed(tt.in)
		if err != nil || s.text != tt.text {
			t.Errorf("%q: %+v, %v, want %s", tt.in, s, err, tt.text)
			continue
		}
		if named := s.host != ""; named != (tt.addr == "") || !named && s.addrs[0].String() != tt.addr {
			t.Errorf("%q: host %q, addresses %v, want %q", tt.in, s.host, s.addrs, tt.addr)
		}
	}
}

func TestParseSeedRefuses(t *testing.T) {
	for _, in := range []string{
		"", ":7946", "a:", "a:0", "a:65536", "a:http", "a:b:c", "[a:1", "http://a:1", "a b:1", "a/b",
		"fe80::1%eth0", "[fe80::1%eth0]:1", "0.0.0.0:1", "::", "224.0.0.1", strings.Repeat("a", maxHostLength+1),
	} {
		if s, err := parseSeed(in); err == nil {
			t.Errorf("%q was read as %+v", in, s)
		}
	}
}

func TestSeedsGivenTwiceCountOnce(t *testing.T) {
	seeds, err := parseSeeds([]string{"a", "a:7946", "b", "10.0.0.1", "10.0.0.1:7946"})
	if err != nil || len(seeds) != 3 {
		t.Errorf("%d seeds, %v, want 3", len(seeds), err)
	}
	if _, err := parseSeeds([]string{"a", "b:x"}); err == nil || !strings.Contains(err.Error(), `"b:x"`) {
		t.Errorf("error %v does not name the bad one", err)
	}
}

func TestSeedTakesAnswers(t *testing.T) {
	s, _ := parseSeed("all:80")
	many := make([]netip.Addr, maxSeedAddrs+1)
	for i := range many {
		many[i] = addr(i).Addr()
	}
	if s.found(many, nil); len(s.addrs) != maxSeedAddrs || s.addrs[1].String() != "10.1.0.1:80" {
		t.Errorf("%d addresses, the second %v", len(s.addrs), s.addrs[1])
	}
	boom := errors.New("boom")
	if s.found(nil, boom); len(s.addrs) != maxSeedAddrs || s.err != boom {
		t.Errorf("after an error: %d addresses, %v", len(s.addrs), s.err)
	}
	var dns *net.DNSError
	if s.found(nil, nil); len(s.addrs) != 0 || !errors.As(s.err, &dns) || !dns.IsNotFound {
		t.Errorf("after an empty answer: %v, %v", s.addrs, s.err)
	}
	if s.found([]netip.Addr{netip.MustParseAddr("::ffff:10.0.0.1")}, nil); s.err != nil || s.addrs[0].String() != "10.0.0.1:80" {
		t.Errorf("mapped address: %v, %v", s.addrs, s.err)
	}
}

func FuzzParseSeed(f *testing.F) {
	for _, s := range []string{"a:1", "[::1]:7946", "::1", "10.0.0.1", "a%b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSeed(text)
		if err != nil {
			return
		}
		again, err := parseSeed(s.text)
		if err != nil || again.text != s.text || again.host != s.host || again.port != s.port {
			t.Fatalf("%q became %+v, which became %+v, %v", text, s, again, err)
		}
	})
}
