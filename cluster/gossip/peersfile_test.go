package gossip

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/clustertest"
)

func TestPeersRoundTrip(t *testing.T) {
	ps := []peer{{addr(3), time.Hour}, {addr(1), 0}, {netip.MustParseAddrPort("[fd00::1]:7946"), 90 * time.Second}}
	b := formatPeers("c", ps)
	if want := "meshrt-peers 1 c\n10.1.0.1:7946 0\n[fd00::1]:7946 90\n10.1.0.3:7946 3600\n"; string(b) != want {
		t.Errorf("got %q, want %q", b, want)
	}
	again, bad, err := parsePeers("c", b)
	if want := []peer{ps[1], ps[2], ps[0]}; !slices.Equal(again, want) || bad != 0 || err != nil {
		t.Errorf("got %v, %d bad, %v", again, bad, err)
	}
}

func TestDamagedPeersAreReadAsFarAsTheyMakeSense(t *testing.T) {
	const head = "meshrt-peers 1 c\n"
	for _, tt := range []struct {
		text      string
		good, bad int
		err       error
	}{
		{"", 0, 0, nil},
		{head, 0, 0, nil},
		{head + "10.0.0.1:1 5\n10.0.0.2:1", 1, 1, nil}, // cut off
		{head + "10.0.0.1:1 5\n10.0.0.2:1 7", 1, 1, nil},
		{head + "10.0.0.1:1 5\n10.0.0.1:1 6\n", 1, 1, nil},
		{head + "10.0.0.1:0 5\n0.0.0.0:1 5\n224.0.0.1:1 5\n[fe80::1%eth0]:1 5\nhost:1 5\n10.0.0.1:1 -5\n10.0.0.1:1\n10.0.0.1:1 86400\n\n\x00\n", 0, 10, nil},
		{head + strings.Repeat("x", 100) + "\n10.0.0.9:1 0\n", 1, 1, nil},
		{head + strings.Repeat("x", maxPeersFile), 0, 2, nil},
		{"meshrt-peers 1 other\n10.0.0.1:1 5\n", 0, 0, errForeign},
		{"meshrt-peers 2 c\n", 0, 0, errForeign},
		{"root:x:0:0\n", 0, 0, errForeign},
		{"meshrt-peers 1 c", 0, 0, errForeign},
	} {
		ps, bad, err := parsePeers("c", []byte(tt.text))
		if len(ps) != tt.good || bad != tt.bad || err != tt.err {
			t.Errorf("%.60q: got %v, %d bad, %v; want %d, %d, %v", tt.text, ps, bad, err, tt.good, tt.bad, tt.err)
		}
	}
}

func TestPeersFileIsBounded(t *testing.T) {
	var ps []peer
	for i := range bookSize + 10 {
		ps = append(ps, peer{netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)}), 65535), bookAge - time.Second})
	}
	ps[bookSize+9].age = 0
	again, bad, err := parsePeers("c", formatPeers("c", ps))
	if len(again) != bookSize || again[0] != ps[bookSize+9] || bad != 0 || err != nil {
		t.Errorf("%d peers, first %v, %d bad, %v", len(again), again[0], bad, err)
	}
	for range 5000 {
		again = append(again, again[0])
	}
	if ps, bad, _ := parsePeers("c", formatMany(again)); len(ps) > bookSize || bad == 0 {
		t.Errorf("%d peers of a file that is too long, %d bad", len(ps), bad)
	}
}

func formatMany(ps []peer) []byte {
	b := []byte(peersMagic + "c\n")
	for i := range ps {
		b = fmt.Appendf(b, "10.3.%d.%d:65535 86399\n", i>>8&255, i&255)
	}
	return b
}

func FuzzParsePeers(f *testing.F) {
	f.Add([]byte("meshrt-peers 1 c\n10.0.0.1:7946 0\n[fd00::1]:7946 90\n"))
	f.Add([]byte("meshrt-peers 1 c\n10.0.0.1:7946 0\n10.0.0.2"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ps, _, err := parsePeers("c", b)
		if err != nil {
			return
		}
		again, bad, err := parsePeers("c", formatPeers("c", ps))
		if len(again) != len(ps) || bad != 0 || err != nil {
			t.Fatalf("%v came back as %v, %d bad, %v", ps, again, bad, err)
		}
	})
}

// TestSiteFindsItselfAgain: power fails everywhere; then nobody has anybody to join but
// whom its file names.
func TestSiteFindsItselfAgain(t *testing.T) {
	dir := t.TempDir()
	bubble(t, func(l *lab) {
		l.tweak = func(c *Config) { c.PeersFile = filepath.Join(dir, c.Name) }
		ns := []*node{l.start("n1"), l.start("n2", "n1"), l.start("n3", "n2")}
		l.within(5*time.Second, "all see all", func() bool { return mesh(ns...) })
		time.Sleep(saveEvery + 3*time.Second)
		kept := map[string][]byte{}
		for _, n := range ns {
			n.host.Kill()
			kept[n.cfg.PeersFile], _ = os.ReadFile(n.cfg.PeersFile)
		}
		for _, n := range ns {
			n.stop() // writes the file once more, which a killed node does not
		}
		for path, b := range kept {
			os.WriteFile(path, b, 0o600)
		}
		time.Sleep(100 * time.Hour)
		var again []*node
		for _, n := range ns {
			again = append(again, l.start(n.cfg.Name))
			time.Sleep(time.Minute)
		}
		l.within(5*time.Second, "all see all again", func() bool { return mesh(again...) })
	})
}

// TestPeersFileOfAStop: a node that stops in order keeps what it learned last.
func TestPeersFileOfAStop(t *testing.T) {
	dir := t.TempDir()
	bubble(t, func(l *lab) {
		l.tweak = func(c *Config) { c.PeersFile = filepath.Join(dir, c.Name) }
		n1, n2 := l.start("n1"), l.start("n2", "n1")
		l.within(5*time.Second, "both see each other", func() bool { return mesh(n1, n2) })
		n1.stop()
		n2.stop()
		b, err := os.ReadFile(n1.cfg.PeersFile)
		if want := "meshrt-peers 1 test\n" + n2.host.Advertise().String() + " 0\n"; string(b) != want {
			t.Errorf("got %q, %v; want %q", b, err, want)
		}
		if _, err := os.Stat(n1.cfg.PeersFile + ".tmp"); err == nil {
			t.Error("a temporary file is left")
		}
	})
}

// TestPeersFileInTrouble: it is told, and the node works.
func TestPeersFileInTrouble(t *testing.T) {
	for name, tt := range map[string]struct {
		make func(path string)
		told string // WARN
		kept string // what the file holds at the end; empty: a peers file
	}{
		"foreign":   {func(p string) { os.WriteFile(p, []byte("root:x\n"), 0o600) }, "peers file is not one of this cluster; neither read nor written", "root:x\n"},
		"damaged":   {func(p string) { os.WriteFile(p, []byte("meshrt-peers 1 test\n10.0."), 0o600) }, "peers file is damaged; using what is left", ""},
		"directory": {func(p string) { os.Mkdir(p, 0o700) }, "cannot read the peers file; going on without", "-"},
		"no place":  {func(p string) { os.Remove(filepath.Dir(p)) }, "cannot write the peers file; will keep trying", "-"},
	} {
		path := filepath.Join(t.TempDir(), "sub", "peers")
		os.Mkdir(filepath.Dir(path), 0o700)
		tt.make(path)
		bubble(t, func(l *lab) {
			n1 := l.start("n1")
			l.tweak = func(c *Config) { c.PeersFile = path }
			n2 := l.start("n2", "n1")
			time.Sleep(time.Minute)
			if !mesh(n1, n2) {
				t.Errorf("%s: %s", name, l.state())
			}
			if told := n2.log.from(slog.LevelWarn); !slices.ContainsFunc(told, func(s string) bool { return strings.Contains(s, tt.told) }) || len(told) > 2 {
				t.Errorf("%s: told %q, want %q", name, told, tt.told)
			}
			if b, _ := os.ReadFile(path); tt.kept != "-" && string(b) != tt.kept && (tt.kept != "" || !bytes.HasPrefix(b, []byte(peersMagic))) {
				t.Errorf("%s: the file is %q", name, b)
			}
			if errs := n2.Stats().PeersFileErrors; (errs > 0) != (tt.kept == "-") {
				t.Errorf("%s: %d errors counted", name, errs)
			}
		})
	}
}

// TestRecalledAddressesAreTriedBeforeANodeCountsAsAlone: its joins would miss what the
// others publish.
func TestRecalledAddressesAreTriedBeforeANodeCountsAsAlone(t *testing.T) {
	p := planOf(t)
	p.recall(noon, peer{addr(1), time.Hour})
	p.recall(noon, peer{addr(2), 0})
	p.recall(noon, peer{self, 0})
	if as := p.news(noon); len(as) != 2 || p.settled() {
		t.Errorf("tries %v, settled %v", as, p.settled())
	}
	p.done(addr(1), errBoom)
	if p.settled() {
		t.Error("settled before the second was tried")
	}
	p.done(addr(2), errBoom)
	if !p.settled() {
		t.Error("not settled, and there is nobody")
	}
	if ps := p.peers(noon.Add(23*time.Hour + time.Minute)); len(ps) != 1 || ps[0].addr != addr(2) {
		t.Errorf("after a day %v is kept", ps)
	}
}

// TestRecalledAddressesMustBeAllowed: without a secret only private addresses are dialled.
func TestRecalledAddressesMustBeAllowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	os.WriteFile(path, []byte("meshrt-peers 1 test\n10.0.0.9:7946 0\n"), 0o600)
	bubble(t, func(l *lab) {
		l.tweak = func(c *Config) {
			c.PeersFile, c.Net = path, picky{c.Net.(*clustertest.Host), netip.MustParseAddr("10.0.0.9")}
		}
		n := l.start("n1")
		time.Sleep(time.Minute)
		if s := n.Stats(); s.Joins != 0 || s.LearnDropped != 1 {
			t.Errorf("%d joins, %d dropped", s.Joins, s.LearnDropped)
		}
	})
}
