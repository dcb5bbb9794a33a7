package port

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// The values were computed with another implementation of RFC 5869. They must
// never change: nodes of two versions would not understand each other.
func TestKeysAreStableAcrossVersions(t *testing.T) {
	k, err := deriveKeys([]byte("0123456789abcdef0123456789abcdef"), "meshrt")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"gossip", k.gossip, "eb59817ef13a062a8d25d20771513c3efef0f17bef2efae2e437176e4fd49833"},
		{"session", k.session, "b6a81fbb1b1a3116017b8735a82bc982a84fab397be5e91f0a1e67b893f9f386"},
		{"ca", k.ca.Seed(), "6819e8b67d199e5e05c9f82ad0f7b9c6c56ab8e52eccf1c9e06a3b815eaec1e2"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s key = %s, want %s", c.name, got, c.want)
		}
	}
}

func TestKeysDifferBySecretAndClusterAndUse(t *testing.T) {
	seen := map[string]string{}
	for _, secret := range [][]byte{oldSecret, newSecret, []byte(openSecret)} {
		for _, cluster := range []string{"a", "b"} {
			k, err := deriveKeys(secret, cluster)
			if err != nil {
				t.Fatal(err)
			}
			for use, key := range map[string][]byte{"gossip": k.gossip, "session": k.session, "ca": k.ca.Seed()} {
				name := string(secret) + "/" + cluster + "/" + use
				if other := seen[string(key)]; other != "" {
					t.Errorf("%s and %s have the same key", name, other)
				}
				seen[string(key)] = name
			}
		}
	}
}

func TestSecretsHaveLimits(t *testing.T) {
	a, b, c := bytes.Repeat([]byte("a"), 32), bytes.Repeat([]byte("b"), 32), bytes.Repeat([]byte("c"), 32)
	for _, tc := range []struct {
		name    string
		secrets [][]byte
		want    int
		err     string
	}{
		{"none is open LAN mode", nil, 1, ""},
		{"32 bytes", [][]byte{a}, 1, ""},
		{"31 bytes", [][]byte{a[:31]}, 0, "secret 1 has 31 bytes, at least 32"},
		{"second too short", [][]byte{a, b[:5]}, 0, "secret 2 has 5 bytes"},
		{"two", [][]byte{a, b}, 2, ""},
		{"the same twice", [][]byte{a, a}, 1, ""},
		{"three", [][]byte{a, b, c}, 0, "3 cluster secrets given, at most 2"},
	} {
		got, err := deriveAll(tc.secrets, "test")
		if len(got) != tc.want || (err == nil) != (tc.err == "") {
			t.Errorf("%s: %d keys, error %v; want %d, %q", tc.name, len(got), err, tc.want, tc.err)
		} else if err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: error %q does not say %q", tc.name, err, tc.err)
		}
	}
}

func TestGossipAndSessionKeysFollowTheSecrets(t *testing.T) {
	p := listen(t, secrets(oldSecret, newSecret))
	first, _ := deriveKeys(oldSecret, "test")
	second, _ := deriveKeys(newSecret, "test")
	for name, c := range map[string][3][]byte{
		"gossip":  {bytes.Join(p.GossipKeys(), nil), first.gossip, second.gossip},
		"session": {bytes.Join(p.SessionKeys(), nil), first.session, second.session},
	} {
		if want := append(bytes.Clone(c[1]), c[2]...); !bytes.Equal(c[0], want) {
			t.Errorf("%s keys = %x, want %x", name, c[0], want)
		}
	}
	if err := p.SetSecrets([][]byte{newSecret}); err != nil {
		t.Fatal(err)
	}
	if got := p.GossipKeys(); len(got) != 1 || !bytes.Equal(got[0], second.gossip) {
		t.Errorf("gossip keys after rotation = %x, want %x", got, second.gossip)
	}
}
