package port

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestClusterNamesAreSafeInAURI(t *testing.T) {
	for name, ok := range map[string]bool{
		"meshrt": true, "A-b_c.d": true, "10.0.0.1": true, "-": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, ".a": false, "a.": false, "a..b": false, ".": false,
		"a b": false, "a/b": false, "a:1": false, "a@b": false, "a%41": false, "ä": false, "a\x00": false, "a\n": false, "\xff": false,
	} {
		if err := checkCluster(name); (err == nil) != ok {
			t.Errorf("checkCluster(%q) = %v, want ok %v", name, err, ok)
		}
	}
}

func TestNodeNamesHaveOneAt(t *testing.T) {
	for name, ok := range map[string]bool{
		"a@b": true, "web-1.example.com@0abc": true, "_@-": true, "..@x": true, strings.Repeat("x", 126) + "@b": true,
		"": false, "a": false, "@b": false, "a@": false, "a@b@c": false, strings.Repeat("x", 127) + "@b": false,
		"a b@c": false, "a/b@c": false, "a?@c": false, "a#@c": false, "a%2e@c": false, "é@c": false, "a@\xff": false,
	} {
		if err := checkNode(name); (err == nil) != ok {
			t.Errorf("checkNode(%q) = %v, want ok %v", name, err, ok)
		}
	}
}

func TestEveryAllowedNameSurvivesACertificate(t *testing.T) {
	for _, c := range [][2]string{
		{"meshrt", "a@b"}, {"A-b_c.d", "Web-1.Example_com@0abc"}, {"10.0.0.1", "..@."}, {"-", "-@_"},
		{strings.Repeat("x", 64), strings.Repeat("y", 126) + "@z"},
	} {
		id, err := newIdentity(c[0], c[1], [][]byte{oldSecret})
		if err != nil {
			t.Errorf("%v: %v", c, err)
			continue
		}
		leaf, err := x509.ParseCertificate(id.server.Certificates[0].Certificate[0])
		if err != nil {
			t.Errorf("%v: %v", c, err)
			continue
		}
		got, err := id.peerName(tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}})
		if got != c[1] || err != nil {
			t.Errorf("%v: peer name %q, %v", c, got, err)
		}
	}
}

func uris(t testing.TB, texts ...string) tls.ConnectionState {
	t.Helper()
	leaf := &x509.Certificate{}
	for _, s := range texts {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		leaf.URIs = append(leaf.URIs, u)
	}
	return tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
}

func TestPeerNameIsExact(t *testing.T) {
	id := &identity{cluster: "test"}
	for _, c := range []struct {
		uris []string
		want string
	}{
		{[]string{"meshrt://test/n@1"}, "n@1"},
		{nil, ""},
		{[]string{"meshrt://test/n@1", "meshrt://test/m@1"}, ""},
		{[]string{"meshrt://test/n@1", "meshrt://test/n@1"}, ""},
		{[]string{"meshrt://other/n@1"}, ""},
		{[]string{"meshrt://TEST/n@1"}, ""},
		{[]string{"meshrt://test.evil/n@1"}, ""},
		{[]string{"meshrt://test:1/n@1"}, ""},
		{[]string{"meshrt://user@test/n@1"}, ""},
		{[]string{"https://test/n@1"}, ""},
		{[]string{"meshrt://test//n@1"}, ""},
		{[]string{"meshrt://test/x/n@1"}, ""},
		{[]string{"meshrt://test/n%401"}, ""},
		{[]string{"meshrt://test/n@1?"}, ""},
		{[]string{"meshrt://test/n@1?q"}, ""},
		{[]string{"meshrt://test/n@1#f"}, ""},
		{[]string{"meshrt:test/n@1"}, ""},
		{[]string{"meshrt:/n@1"}, ""},
		{[]string{"meshrt://test/"}, ""},
		{[]string{"meshrt://test/n"}, ""},
	} {
		got, err := id.peerName(uris(t, c.uris...))
		if got != c.want || (c.want == "") != errors.Is(err, errIdentity) {
			t.Errorf("%q: %q, %v; want %q", c.uris, got, err, c.want)
		}
	}
	if _, err := id.peerName(tls.ConnectionState{}); !errors.Is(err, errIdentity) {
		t.Errorf("no certificate: %v", err)
	}
}

func FuzzPeerName(f *testing.F) {
	f.Add("meshrt://test/n@1")
	f.Add("meshrt://test/n%401?#")
	id := &identity{cluster: "test"}
	f.Fuzz(func(t *testing.T, uri string) {
		if _, err := url.Parse(uri); err != nil {
			t.Skip()
		}
		name, err := id.peerName(uris(t, uri))
		if err != nil {
			return
		}
		// x509 hands out a parsed URI, which has forgotten these two spellings.
		uri = strings.TrimSuffix(strings.ToLower(uri[:6])+uri[6:], "#")
		if uri != "meshrt://test/"+name {
			t.Errorf("%q passes as %q", uri, name)
		}
	})
}
