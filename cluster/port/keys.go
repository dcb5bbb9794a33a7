package port

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

const (
	minSecret  = 32 // bytes; HKDF is no password hash, so passphrases are refused
	maxSecrets = 2  // memberlist's keyring races when one of three keys is removed (MESH §1.1)
	keySize    = 32 // bytes of the gossip key (AES-256) and of the session key (HMAC-SHA256)
)

// openSecret stands in for the secret in open LAN mode. Everybody knows it: it
// only keeps clusters of different names apart.
const openSecret = "meshrt open LAN mode: no secret!"

// The info strings of HKDF. Changing one splits a cluster in a rolling upgrade.
const (
	infoGossip  = "gossip aes-256-gcm"
	infoCA      = "node ca ed25519"
	infoSession = "session hmac-sha256"
)

// keys is everything that one secret gives in one cluster.
type keys struct {
	gossip  []byte             // encrypts gossip datagrams
	session []byte             // authenticates session ids
	ca      ed25519.PrivateKey // signs the certificates of nodes
}

// deriveKeys is HKDF-SHA256 with the cluster's name as salt, so that one secret
// used for two clusters still keeps them apart.
func deriveKeys(secret []byte, cluster string) (keys, error) {
	expand := func(info string, size int) ([]byte, error) {
		key, err := hkdf.Key(sha256.New, secret, []byte("meshrt/v1/"+cluster), info, size)
		if err != nil {
			return nil, fmt.Errorf("derive key %q: %w", info, err)
		}
		return key, nil
	}
	gossip, err1 := expand(infoGossip, keySize)
	session, err2 := expand(infoSession, keySize)
	seed, err3 := expand(infoCA, ed25519.SeedSize)
	if err := errors.Join(err1, err2, err3); err != nil {
		return keys{}, err
	}
	return keys{gossip: gossip, session: session, ca: ed25519.NewKeyFromSeed(seed)}, nil
}

// deriveAll gives the keys of each secret, the signing one first.
// No secret at all gives the keys of open LAN mode.
func deriveAll(secrets [][]byte, cluster string) ([]keys, error) {
	if len(secrets) == 0 {
		secrets = [][]byte{[]byte(openSecret)}
	}
	if len(secrets) > maxSecrets {
		return nil, fmt.Errorf("%d cluster secrets given, at most %d are possible", len(secrets), maxSecrets)
	}
	for i, s := range secrets {
		if len(s) < minSecret {
			return nil, fmt.Errorf("cluster secret %d has %d bytes, at least %d are needed", i+1, len(s), minSecret)
		}
	}
	all := make([]keys, 0, len(secrets))
	for _, s := range slices.CompactFunc(slices.Clone(secrets), bytes.Equal) {
		k, err := deriveKeys(s, cluster)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, nil
}
