package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/meshrt/meshrt/bench"
)

// buildMeshrt builds the program as a release is, make build, but for the bundles
// of the official client. One that is named is taken as it is.
func buildMeshrt(ctx context.Context, s *site) error {
	if s.meshrt == "" {
		s.meshrt = filepath.Join(s.bin, "meshrt")
		if err := s.command(ctx, s.root, []string{"CGO_ENABLED=0"}, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", s.meshrt, "."); err != nil {
			return err
		}
	}
	secret, err := s.output(ctx, s.meshrt, "secret")
	if err != nil {
		return err
	}
	s.secret = filepath.Join(s.temp, "secret")
	return os.WriteFile(s.secret, []byte(secret+"\n"), 0o600)
}

// startMeshrt starts nodes with a secret: encrypted gossip and links.
func startMeshrt(ctx context.Context, s *site, nodes int, flags ...string) (*cluster, error) {
	c := &cluster{protocol: bench.Meshrt}
	return c.started(joinMeshrt(ctx, s, c, nodes, flags))
}

func joinMeshrt(ctx context.Context, s *site, c *cluster, nodes int, flags []string) error {
	first, apis := "", []string(nil)
	for i := range nodes {
		addrs, err := s.addresses(3)
		if err != nil {
			return err
		}
		args := append([]string{"-node", fmt.Sprint("n", i+1), "-http", addrs[0], "-api", addrs[1], "-bind", addrs[2], "-profile", "local",
			"-secret-file", s.secret, "-log-level", "warn"}, flags...)
		if i > 0 {
			args = append(args, "-join", first)
		} else {
			first = addrs[2]
		}
		if _, err := c.add(spawn(nil, s.meshrt, args...)); err != nil {
			return err
		}
		c.urls, apis = append(c.urls, "http://"+addrs[0]), append(apis, addrs[1])
	}
	for i, api := range apis {
		if err := c.procs[i].await(ctx, func() bool { return nodesUp(ctx, api) == nodes }); err != nil {
			return err
		}
	}
	return nil
}

// nodesUp counts the nodes that one is or is linked to, 0 while it does not answer.
func nodesUp(ctx context.Context, api string) (up int) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+api+"/api/nodes", nil)
	if err != nil {
		return 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	var body struct{ Nodes []struct{ State string } }
	if json.NewDecoder(resp.Body).Decode(&body) != nil {
		return 0
	}
	for _, n := range body.Nodes {
		if n.State == "self" || n.State == "up" {
			up++
		}
	}
	return up
}
