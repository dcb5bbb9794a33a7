package gossip

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/memberlist"
)

// keys is memberlist's keyring, which follows the network's keys.
type keys struct {
	ring *memberlist.Keyring
	now  [][]byte // what is in the ring, the encrypting one first
	bad  [][]byte // what was refused last
}

func newKeys(want [][]byte) (*keys, error) {
	if len(want) == 0 {
		return nil, errors.New("no gossip key")
	}
	ring, err := memberlist.NewKeyring(want, want[0])
	if err != nil {
		return nil, fmt.Errorf("gossip keys: %w", err)
	}
	return &keys{ring: ring, now: want}, nil
}

// follow changes the ring to want, or tells once why it cannot. Keys are taken from the end of the ring only:
// removing another one shifts the slice that memberlist is reading (MESH §1.1).
// So a second key may be missing for a moment, which costs a packet at most.
func (k *keys) follow(want [][]byte) error {
	if len(want) == 0 || same(k.now, want) || same(k.bad, want) {
		return nil
	}
	for _, key := range want {
		if err := memberlist.ValidateKey(key); err != nil {
			k.bad = want
			return fmt.Errorf("gossip keys: %w", err)
		}
	}
	if err := errors.Join(k.ring.AddKey(want[0]), k.ring.UseKey(want[0])); err != nil {
		return fmt.Errorf("change gossip key: %w", err)
	}
	for old := k.ring.GetKeys(); len(old) > 1; old = k.ring.GetKeys() {
		if err := k.ring.RemoveKey(old[len(old)-1]); err != nil {
			return fmt.Errorf("remove gossip key: %w", err)
		}
	}
	for _, key := range want[1:] {
		if err := k.ring.AddKey(key); err != nil {
			return fmt.Errorf("add gossip key: %w", err)
		}
	}
	k.now = want
	return nil
}

func same(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }
