//go:build unix

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestSiteFindsItselfAgainByItsPeersFiles: power fails everywhere, and no node is told whom
// to join any more.
func TestSiteFindsItselfAgainByItsPeersFiles(t *testing.T) {
	dir := t.TempDir()
	var nodes []*node
	file := func(n *node) string { return filepath.Join(dir, n.name) }
	for i := range 3 {
		name := fmt.Sprint("n", i+1)
		nodes = append(nodes, newNode(t, name, nodes[max(0, i-1):i], "-peers-file", filepath.Join(dir, name)))
		nodes[i].start()
	}
	waitJoined(t, 10*time.Second, nodes...)
	eventually(t, 15*time.Second, "every file names both others", func() bool {
		return !slices.ContainsFunc(nodes, func(n *node) bool {
			b, _ := os.ReadFile(file(n))
			return bytes.Count(b, []byte("\n")) != 3
		})
	})
	for _, n := range nodes {
		n.kill()
	}
	for _, n := range nodes {
		if i := slices.Index(n.args, "-join"); i >= 0 {
			n.args = slices.Delete(n.args, i, i+2)
		}
		n.start()
	}
	waitJoined(t, 10*time.Second, nodes...)
}
